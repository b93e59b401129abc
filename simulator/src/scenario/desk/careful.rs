//! Commands that depend on what somebody knows, and commands that are only tried out.

use std::time::Duration;

use node::{
    api::v1::{BalanceAfter, CommandContext, Receipt},
    client::Error,
};
use rand::{Rng, rngs::SmallRng};

use super::{Desk, orders, some};
use crate::history::{Conditions, Freeze, Mode, Moment, Reading, Request};

/// What a receipt said of an account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    version: u64,
    posted: i64,
}

impl Known {
    fn told(after: &BalanceAfter) -> Option<Self> {
        Some(Self {
            version: after.version,
            posted: after.posted.as_ref()?.minor_units,
        })
    }
}

/// Something that takes a privilege.
pub(in crate::scenario) fn overriding(account: String, rng: &mut SmallRng) -> Request {
    if rng.random_bool(0.5) {
        let limit = rng.random_range(0..400);
        return Request::SetLimit { account, limit };
    }
    let amount = rng.random_range(1..500);
    let request = Box::new(Request::Withdraw { account, amount });
    Request::Forced { request }
}

impl Desk {
    pub(super) fn learn(&mut self, receipt: &Receipt) {
        for after in &receipt.balances_after {
            if let Some(known) = Known::told(after) {
                self.known.insert(after.account_id.clone(), known);
            }
        }
    }

    /// A command that is to be done only if its account is about as it was last seen here.
    pub(crate) fn provided(&self, request: Request, rng: &mut SmallRng) -> Request {
        if matches!(request, Request::StrongRead { .. }) {
            return request;
        }
        let known = self.known.get(request.named_first()).copied();
        let known = known.unwrap_or(Known {
            version: 1,
            posted: 0,
        });
        let mut conditions = Conditions::default();
        match rng.random_range(0..4) {
            0 | 1 => conditions.version = Some(known.version),
            2 => conditions.minimum = Some(known.posted + rng.random_range(-600..100)),
            _ => conditions.maximum = Some(known.posted + rng.random_range(-100..600)),
        }
        Request::Provided {
            conditions,
            request: Box::new(request),
        }
    }

    /// An account is to be frozen for a while, as a rule, or thawed.
    pub(crate) fn freezing(&self, account: String, rng: &mut SmallRng) -> Request {
        if rng.random_bool(0.2) {
            return Request::Unfreeze { account };
        }
        // By what this one has seen last: some freezes are over before they could begin.
        let now_ms = self.seen.front().map_or(0, |seen| seen.at / 1_000_000);
        let until_ms = now_ms + rng.random_range(0..4_000);
        let (debits, credits) = match rng.random_range(0..3) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let freeze = Freeze {
            debits,
            credits,
            keeps: rng.random_bool(0.5),
            until_ms: (now_ms > 0 && rng.random_bool(0.95)).then_some(until_ms),
        };
        Request::Freeze { account, freeze }
    }

    /// Asks what would become of a command. That it writes nothing the judges see from its key,
    /// which nobody has asked under; what it says of the balance is as good as a strong read.
    ///
    /// # Errors
    ///
    /// When the answer makes no sense.
    pub(crate) async fn rehearse(
        &mut self,
        request: &Request,
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        let context = CommandContext {
            dry_run: true,
            ..self.context()
        };
        let Some(command) = orders::command(request, &context) else {
            return Ok(());
        };
        // How much that would be is not known here.
        if let Request::Capture { amount: None, .. } = request {
            return Ok(());
        }
        let client = some(&self.tellers, rng);
        let history = self.lobby.history.clone();
        let invoked = history.moment();
        match orders::submit(&client, command).await {
            Ok(receipt) => {
                let asked = (invoked, history.moment());
                let by = self.moves_at_once(request);
                let reading = before(&self.name, asked, (request, by), &receipt)?;
                self.trace.record(format!("dry run: {reading:?}"));
                // What was left before a sweep is not told.
                let sweeps = matches!(request.bare(), Request::Close { sweep: Some(_), .. });
                if !sweeps {
                    history.note_reading(reading);
                }
                self.lobby.note_aside("dry runs");
            }
            Err(Error::Rejected(refused)) if refused.recorded => {
                let what = format!("a dry run is recorded: {refused}");
                return Err(Error::Malformed(what));
            }
            Err(error @ (Error::Malformed(_) | Error::Options(_))) => return Err(error),
            Err(error) => {
                self.trace.record(format!("dry run: {error}"));
                self.lobby.note_aside("dry runs that were refused");
            }
        }
        Ok(())
    }

    /// What a command adds at once to the account that it names first.
    fn moves_at_once(&self, request: &Request) -> i64 {
        match request.bare() {
            Request::Deposit { amount, .. } => *amount,
            Request::Withdraw { amount, .. }
            | Request::Transfer { amount, .. }
            | Request::Capture {
                amount: Some(amount),
                ..
            } => -amount,
            Request::Journal { .. } if !self.is_between_shards(request) => {
                let effects = request.effects();
                effects.get(request.named_first()).copied().unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// What the account had before a command that was tried out, and that adds so much to it.
fn before(
    client: &str,
    (invoked, completed): (Moment, Moment),
    (request, by): (&Request, i64),
    receipt: &Receipt,
) -> Result<Reading, Error> {
    let account = request.named_first();
    let missing = || Error::Malformed(format!("a dry run without its balance: {receipt:?}"));
    let of_account = |after: &&BalanceAfter| after.account_id == account;
    let after = receipt.balances_after.iter().find(of_account);
    let after = after.and_then(Known::told).ok_or_else(missing)?;
    let position = receipt.position.as_ref().ok_or_else(missing)?;
    if !receipt.dry_run || !receipt.transaction_id.is_empty() {
        return Err(Error::Malformed(format!("no dry run: {receipt:?}")));
    }
    let served_by = receipt.served_by.clone().unwrap_or_default();
    Ok(Reading {
        client: client.to_owned(),
        account: account.to_owned(),
        mode: Mode::Strong,
        invoked,
        completed,
        node: served_by.node,
        is_strong: true,
        shard: position.shard,
        index: position.index,
        balance: after.posted - by,
        aside: None,
        stale_by: Duration::ZERO,
        true_at: 0,
        must_cover: None,
    })
}
