//! From a decided outcome to what the caller keeps.

use ledger_domain::{
    Account, AccountId, Command, Currency, Event, HybridTime, Outcome, Position, Rejection,
    SuspenseCleared, Token, event::After, state::State as _, suspense::Cleared,
};
use replication::shard::{Answer, Shard};
use tonic::Status;

use super::{
    Server, journals, refusal,
    settlement::{self, Ending, Progress},
    spending,
};
use crate::api::v1;

pub(super) fn time(time: HybridTime) -> v1::Time {
    let unix_nanos = i64::try_from(time.wall_nanos).unwrap_or(i64::MAX);
    let hlc = time.to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    v1::Time { unix_nanos, hlc }
}

/// A time out of the `hlc` of [`time`].
pub(super) fn parse_time(hlc: &str) -> Option<HybridTime> {
    let digits = hlc.len() == 32 && hlc.bytes().all(|b| b.is_ascii_hexdigit());
    let number = digits.then(|| u128::from_str_radix(hlc, 16).ok())??;
    HybridTime::from_bytes(number.to_be_bytes())
}

pub(super) fn position(p: Position) -> v1::Position {
    v1::Position {
        shard: p.shard.0,
        epoch: p.epoch,
        index: p.index,
    }
}

pub(super) fn money(minor_units: i64, currency: Currency) -> v1::Money {
    v1::Money {
        minor_units,
        currency: currency.to_string(),
    }
}

/// How far an accepted command is.
fn status(outcome: &Outcome, progress: &Progress) -> v1::TransactionStatus {
    match progress {
        Progress::Decided if settlement::is_open(outcome) => v1::TransactionStatus::Accepted,
        Progress::Decided | Progress::Ended(Ending::Settled { .. }) => {
            v1::TransactionStatus::Settled
        }
        Progress::Ended(Ending::Decided(journal)) if journal.cancelled.is_none() => {
            v1::TransactionStatus::Settled
        }
        Progress::Ended(Ending::Returned { .. } | Ending::Decided(_)) => {
            v1::TransactionStatus::Returned
        }
        Progress::Open => v1::TransactionStatus::Unknown,
    }
}

/// What an outcome leaves on each account that it touches.
fn afters(events: &[Event]) -> Vec<After> {
    let mut last: Vec<After> = Vec::new();
    for after in events.iter().flat_map(every_after) {
        match last.iter_mut().find(|it| it.account == after.account) {
            Some(before) => *before = after,
            None => last.push(after),
        }
    }
    last
}

fn every_after(event: &Event) -> Vec<After> {
    let of = |account: &AccountId, version| After {
        account: *account,
        posted: 0,
        held: 0,
        version,
    };
    match event {
        Event::FundsDeposited { after, .. }
        | Event::FundsWithdrawn { after, .. }
        | Event::AccountFrozen { after, .. }
        | Event::AccountThawed { after, .. }
        | Event::LimitChanged { after, .. }
        | Event::SpendingLimitSet { after, .. } => vec![*after],
        Event::FundsTransferred { payer, payee, .. } => vec![*payer, *payee],
        Event::TransferSent { payer, .. } => vec![*payer],
        Event::Hold(event) => vec![event.after],
        Event::Journal(event) => journals::afters(event),
        Event::SuspenseCleared(SuspenseCleared {
            to: Cleared::Account(after),
            ..
        }) => vec![*after],
        Event::AccountOpened { account, .. } => vec![of(account, 1)],
        // It is empty by then: what was left is swept.
        Event::AccountClosed {
            account, version, ..
        } => vec![of(account, *version)],
        _ => Vec::new(),
    }
}

impl Server {
    /// The receipt of an accepted command, or the status of a rejected one.
    pub(super) fn receipt(
        &self,
        shard: &Shard,
        answer: &Answer,
        key: &str,
        progress: &Progress,
    ) -> Result<v1::Receipt, Status> {
        let events = match &answer.outcome.result {
            Ok(events) => events,
            Err(rejection) => return Err(refusal::rejected(rejection, key)),
        };
        let decided = answer.transaction.position;
        let (mut at, mut afters) = (decided, afters(events));
        let mut token = Token::at(decided);
        let (mut credited, mut rejection) = (None, None);
        match progress {
            Progress::Decided | Progress::Open => {}
            Progress::Ended(Ending::Settled { covers, credit }) => {
                let credit = credit.as_ref();
                let there = credit.map_or(*covers, |credit| credit.position);
                token = token.merge(Token::at(there));
                credited = credit.map(|c| balance_after(&c.payee, &c.account, c.position));
            }
            Progress::Ended(Ending::Decided(journal)) => {
                token = token.merge(Token::at(journal.position));
                (at, afters) = (journal.position, journal.afters.clone());
                let why = journal.cancelled.as_ref();
                rejection = why.map(|(_, refusal)| refusal::recorded(&refusal.rejection));
            }
            Progress::Ended(Ending::Returned {
                rejection: why,
                position,
                payer,
            }) => {
                token = Token::at(*position);
                rejection = Some(refusal::recorded(why));
                if let Some(payer) = payer {
                    (at, afters) = (*position, vec![*payer]);
                }
            }
        }
        let book = shard.book();
        let currency = |id: &AccountId| Some(book.account(id)?.currency);
        let spending = spending::set(&answer.outcome, currency);
        let here = afters
            .into_iter()
            .filter_map(|after| Some(balance_after(&after, &book.account(&after.account)?, at)));
        let balances_after = here.chain(credited).collect();
        Ok(v1::Receipt {
            balances_after,
            token: self.token(&token),
            status: status(&answer.outcome, progress).into(),
            rejection,
            spending,
            ..self.bare_receipt(answer, key)
        })
    }

    /// The receipts that an accepted command, or the commands of a group, would have; or the status
    /// of the one that would be rejected.
    pub(super) async fn dry_run(
        &self,
        shard: &Shard,
        command: &Command,
        rest: &[Command],
        key: &str,
    ) -> Result<Vec<v1::Receipt>, Status> {
        let answer = shard.dry_run(command, rest, |outcomes, state| {
            let each = outcomes.into_iter().map(|outcome| {
                let events = outcome.result.as_deref().unwrap_or_default();
                let afters = afters(events).into_iter();
                let known = afters.filter_map(|it| Some((it, state.account(&it.account)?)));
                (known.collect::<Vec<_>>(), outcome)
            });
            each.collect::<Vec<_>>()
        });
        let would = answer.await.map_err(|error| refusal::read(&error))?;
        let receipts = would.answer.iter().map(|(afters, outcome)| {
            if let Err(rejection) = &outcome.result {
                let command = outcome.command.as_ref();
                let place = command.and_then(|command| command.info.group);
                return Err(refusal::would_be_rejected(rejection, key, place));
            }
            let known = afters.iter();
            let currency = |id: &AccountId| {
                let account = known.clone().find(|(after, _)| after.account == *id);
                Some(account?.1.currency)
            };
            let spending = spending::set(outcome, currency);
            let afters = afters.iter();
            let balances_after =
                afters.map(|(after, account)| balance_after(after, account, would.position));
            Ok(v1::Receipt {
                balances_after: balances_after.collect(),
                status: status(outcome, &Progress::Decided).into(),
                position: Some(position(would.position)),
                time: Some(time(would.time)),
                served_by: Some(self.served_by()),
                idempotency_key: key.to_owned(),
                dry_run: true,
                into_closed_day: into_closed_day(outcome),
                spending,
                ..v1::Receipt::default()
            })
        });
        receipts.collect()
    }

    /// The receipt of a command that was refused, for whoever looks it up.
    pub(super) fn rejected_receipt(
        &self,
        answer: &Answer,
        rejection: &Rejection,
        key: &str,
    ) -> v1::Receipt {
        v1::Receipt {
            status: v1::TransactionStatus::Rejected.into(),
            rejection: Some(refusal::recorded(rejection)),
            ..self.bare_receipt(answer, key)
        }
    }

    fn bare_receipt(&self, answer: &Answer, key: &str) -> v1::Receipt {
        v1::Receipt {
            transaction_id: answer.transaction.to_string(),
            position: Some(position(answer.transaction.position)),
            time: Some(time(answer.time)),
            served_by: Some(self.served_by()),
            idempotency_key: key.to_owned(),
            duplicate: answer.repeated,
            into_closed_day: into_closed_day(&answer.outcome),
            ..v1::Receipt::default()
        }
    }
}

/// Whether it counts from a day that was closed.
fn into_closed_day(outcome: &Outcome) -> bool {
    let command = outcome.command.as_ref();
    command.is_some_and(|command| command.info.into_closed_day)
}

/// `account` gives currency, limit and what is held; the event gives the balance.
fn balance_after(after: &After, account: &Account, at: Position) -> v1::BalanceAfter {
    let then = Account {
        posted: after.posted,
        held: after.held,
        ..*account
    };
    v1::BalanceAfter {
        account_id: after.account.to_string(),
        posted: Some(money(then.posted, then.currency)),
        held: Some(money(then.held, then.currency)),
        available: then.available().map(|units| money(units, then.currency)),
        position: Some(position(at)),
        version: after.version,
    }
}
