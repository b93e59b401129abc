//! Days that are closed, and what is booked into them.

use jiff::{ToSpan, civil};
use ledger_domain::{AccountId, ShardId};
use node::{
    api::{
        teller::v1::CloseDayRequest,
        v1::{CommandContext, Receipt},
    },
    client::{Error, Rejection},
};
use rand::{Rng, rngs::SmallRng};

use super::{Desk, orders, some};
use crate::{
    history::{Outcome, Request},
    scenario::steps::day_of,
};

/// A day as the API spells it.
pub(in crate::scenario) fn text(day: i32) -> String {
    let epoch = civil::date(1970, 1, 1);
    epoch.saturating_add(day.days()).to_string()
}

impl Desk {
    /// The day by the calendar of a shard's region, as far as this one knows: nobody does before
    /// having seen anything.
    fn day_in(&self, shard: u32) -> Option<i32> {
        let seen = self.seen.front().map_or(0, |seen| seen.at);
        (seen > 0).then(|| day_of(seen, &self.lobby.bank.zone(shard)))
    }

    /// Closes the day of the shard that a request is for; or does what it asks as of a day.
    pub(crate) fn about_days(&self, request: Request, rng: &mut SmallRng) -> Request {
        let home = self.lobby.bank.home(request.named_first());
        let Some(today) = self.day_in(home) else {
            return request;
        };
        // Yesterday as well, and what is to come.
        let day = today + [-1, 0, 0, 0, 0, 1][rng.random_range(0..6)];
        if rng.random_bool(0.2) {
            let shards = &self.lobby.bank.topology().shards;
            let region = shards.iter().find(|shard| shard.id == home);
            let region = region.expect("it is a shard of the bank").region;
            return Request::CloseDay {
                books: AccountId::of_books(region, ShardId(home)).to_string(),
                shard: home,
                day,
            };
        }
        match request {
            Request::Deposit { .. }
            | Request::Withdraw { .. }
            | Request::Transfer { .. }
            | Request::Journal { .. } => Request::Dated {
                day,
                into_closed_day: rng.random_bool(0.5),
                request: Box::new(request),
            },
            request => request,
        }
    }

    /// Asks one shard for it. That another has closed it before is what became of it.
    pub(super) async fn close_day(
        &mut self,
        request: &Request,
        context: &CommandContext,
        rng: &mut SmallRng,
    ) -> Result<Outcome, Error> {
        let Request::CloseDay { shard, day, .. } = request else {
            return Err(Error::Malformed(format!("{request:?} closes no day")));
        };
        let shards = &self.lobby.bank.topology().shards;
        let region = shards.iter().find(|it| it.id == *shard);
        let asked = CloseDayRequest {
            context: Some(CommandContext {
                memo: String::new(),
                ..context.clone()
            }),
            region: region.map(|it| it.region.to_string()).unwrap_or_default(),
            date: text(*day),
            shard: Some(*shard),
        };
        let client = some(&self.tellers, rng);
        let reply = match client.close_day(asked).await {
            Ok(reply) => reply,
            Err(error) => return orders::recorded(error),
        };
        let told = reply.shards.into_iter().next().unwrap_or_default();
        if let Some(why) = told.rejection {
            return orders::recorded(Error::Rejected(Rejection::from(why)));
        }
        let close = told.close.ok_or_else(orders::no_place)?;
        self.lobby.note_aside("days closed");
        if told.closed_before {
            return Ok(Outcome::Rejected {
                position: None,
                code: "DAY_CLOSED".to_owned(),
            });
        }
        orders::accepted(&Receipt {
            transaction_id: close.transaction_id,
            position: close.position,
            ..Receipt::default()
        })
    }
}
