//! What accounts were: whole, as of a date, a time or a place.
//!
//! The views answer, out of lines and states; what of that is missing is replayed from the log, and is the
//! same. As of a date only what is posted goes by the dates from which things count: the rest is what it
//! was after everything that was booked by the close of that date.

use std::sync::Arc;

use ledger_domain::{Account, AccountId, Date, HybridTime, ShardId, SpendingLimits, Token};
use replication::{
    past::{History, Needed, Past, PastDay},
    topology::Directory as _,
    view::Moment,
};
use tonic::Status;

use super::{Server, deadline::Deadline, events, freeze, receipt, refusal, teller};
use crate::api::{
    atm::v1 as atm,
    teller::v1 as pb,
    v1::{
        self,
        read_mode::{AsOf, as_of::At},
    },
};

impl Server {
    /// What an account was; `None` where it was not opened by then.
    pub(super) async fn as_of_moment(
        self: &Arc<Self>,
        home: ShardId,
        id: AccountId,
        moment: Moment,
        deadline: Deadline,
    ) -> Result<Option<atm::Balance>, Status> {
        let known = self
            .known(home, id, moment, Needed::Posted, deadline)
            .await?;
        Ok(known.map(|past| self.past_balance(id, moment, &past)))
    }

    /// What is needed of what an account was; `None` where it was not opened by then.
    pub(super) async fn known(
        self: &Arc<Self>,
        home: ShardId,
        id: AccountId,
        moment: Moment,
        needed: Needed,
        deadline: Deadline,
    ) -> Result<Option<Past>, Status> {
        if let Moment::Time(time) = moment {
            let found = self.views().watermark(home).map_err(refusal::unreadable)?;
            if found.is_none_or(|found| found.time < time) {
                self.show_interest(home);
            }
        }
        let views = self.views();
        let history = History {
            hub: &self.hub,
            views: &views,
            epoch: self.directory.epoch(home).unwrap_or(1),
        };
        let past = history.at(home, &id, moment, needed, deadline.patience());
        let past = past.await.map_err(events::unreadable)?;
        if let Moment::Place(position) = moment {
            // A later reign may have come to its index while it was waited for.
            self.still_there(position)?;
        }
        Ok(past)
    }

    /// A balance as of a moment, as it is told.
    pub(super) fn past_balance(&self, id: AccountId, moment: Moment, past: &Past) -> atm::Balance {
        let (position, time) = match moment {
            Moment::Time(time) => (past.position, time),
            Moment::Place(position) => (position, past.time),
        };
        atm::Balance {
            position: Some(receipt::position(position)),
            true_at: Some(receipt::time(time)),
            staleness_bound_ms: self.staleness_bound_ms(position.shard, time),
            served_by: Some(self.served_by()),
            mode: atm::ModeUsed::AsOf.into(),
            token: self.token(&Token::at(position)),
            ..sums(id, &past.account, past.is_whole)
        }
    }

    /// What an account came to at the close of a date; `None` where it is not known here.
    pub(super) async fn as_of_date(
        &self,
        home: ShardId,
        id: AccountId,
        date: &str,
        covered: Token,
    ) -> Result<Option<atm::Balance>, Status> {
        let date = date.parse::<Date>().map_err(refusal::invalid)?;
        let Some((day, account)) = self.on(home, id, date, Needed::Posted).await? else {
            return Ok(None);
        };
        let now = self.balance(id, &day.now, covered, atm::ModeUsed::AsOf);
        let sums = sums(id, &account, day.is_whole);
        Ok(Some(atm::Balance {
            posted: sums.posted,
            held: sums.held,
            available: sums.available,
            reserved: sums.reserved,
            incoming: sums.incoming,
            outgoing: sums.outgoing,
            effective_date: date.to_string(),
            ..now
        }))
    }

    /// What an account was at the close of a date, with what is posted by then.
    async fn on(
        &self,
        home: ShardId,
        id: AccountId,
        date: Date,
        needed: Needed,
    ) -> Result<Option<(PastDay, Account)>, Status> {
        let views = self.views();
        let history = History {
            hub: &self.hub,
            views: &views,
            epoch: self.directory.epoch(home).unwrap_or(1),
        };
        let day = history.on(&id, date, needed).await;
        let day = day.map_err(events::unreadable)?;
        let Some(day) = day else {
            return Ok(None);
        };
        let posted = i64::try_from(day.posted)
            .map_err(|_| refusal::invalid("the balance as of that date leaves 64 bits"))?;
        let account = Account {
            posted,
            ..day.account
        };
        Ok(Some((day, account)))
    }

    /// All that an account was, as `GetAccount` tells it.
    pub(super) async fn account_as_of(
        self: &Arc<Self>,
        home: ShardId,
        id: AccountId,
        as_of: &AsOf,
        deadline: Deadline,
    ) -> Result<pb::GetAccountReply, Status> {
        let covered = self.wait_for(&as_of.tokens, deadline).await?;
        let told = match &as_of.at {
            Some(At::EffectiveDate(date)) => {
                let date = date.parse::<Date>().map_err(refusal::invalid)?;
                let found = self.on(home, id, date, Needed::Whole).await?;
                found.map(|(day, account)| self.told_of_day(id, date, &day, &account, covered))
            }
            Some(At::Time(time)) => {
                let moment = self.moment(time)?;
                self.told_of_moment(home, id, moment, deadline).await?
            }
            Some(At::Position(position)) => {
                let moment = self.place(home, position)?;
                self.told_of_moment(home, id, moment, deadline).await?
            }
            None => return Err(refusal::invalid("as of what is not said")),
        };
        let mut told = told.ok_or_else(refusal::unknown_account)?;
        if let Some(account) = &mut told.account {
            let opening = self.views().opening(&id).map_err(refusal::unreadable)?;
            teller::put_opening(account, opening);
        }
        Ok(told)
    }

    async fn told_of_moment(
        self: &Arc<Self>,
        home: ShardId,
        id: AccountId,
        moment: Moment,
        deadline: Deadline,
    ) -> Result<Option<pb::GetAccountReply>, Status> {
        let known = self.known(home, id, moment, Needed::Whole, deadline);
        let Some(past) = known.await? else {
            return Ok(None);
        };
        let balance = self.past_balance(id, moment, &past);
        Ok(Some(pb::GetAccountReply {
            account: Some(pb::Account {
                freezes: past.freezes.iter().map(freeze::reply).collect(),
                spending: limits(&past.spending, &past.account),
                ..teller::account_reply(&id, &past.account, None)
            }),
            served_by: balance.served_by,
            position: balance.position,
            true_at: balance.true_at,
            effective_date: String::new(),
            token: balance.token,
        }))
    }

    fn told_of_day(
        &self,
        id: AccountId,
        date: Date,
        day: &PastDay,
        account: &Account,
        covered: Token,
    ) -> pb::GetAccountReply {
        // A freeze that was over by the close of the day is none of that day's.
        let known = day.now.watermark.time;
        let close = self
            .close_of(day.now.shard, date)
            .unwrap_or(known)
            .min(known);
        let now = self.balance(id, &day.now, covered, atm::ModeUsed::AsOf);
        pb::GetAccountReply {
            account: Some(pb::Account {
                freezes: freeze::in_force(&day.freezes, close.millis()),
                spending: limits(&day.spending, account),
                ..teller::account_reply(&id, account, None)
            }),
            served_by: now.served_by,
            position: now.position,
            true_at: now.true_at,
            effective_date: date.to_string(),
            token: now.token,
        }
    }

    /// When a date is over where a shard is at home.
    fn close_of(&self, shard: ShardId, date: Date) -> Option<HybridTime> {
        let next = jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(i64::from(date.tomorrow().days())))
            .ok()?;
        let midnight = next.to_zoned(self.zone_of(shard)).ok()?;
        let millis = u64::try_from(midnight.timestamp().as_millisecond()).ok()?;
        Some(HybridTime::from_millis(millis))
    }
}

/// What an account comes to; only what is posted where the rest is not known.
fn sums(id: AccountId, account: &Account, is_whole: bool) -> atm::Balance {
    let money = |units| receipt::money(units, account.currency);
    let posted = atm::Balance {
        account_id: id.to_string(),
        posted: Some(money(account.posted)),
        currency: account.currency.to_string(),
        ..atm::Balance::default()
    };
    if !is_whole {
        return posted;
    }
    atm::Balance {
        held: Some(money(account.held)),
        available: account.available().map(money),
        reserved: Some(money(account.reserved)),
        incoming: Some(money(account.accepted)),
        outgoing: Some(money(account.outgoing)),
        ..posted
    }
}

/// How much could leave by channel. What did on the day is not kept.
fn limits(limits: &SpendingLimits, account: &Account) -> Vec<v1::Spending> {
    let limits = limits.iter().map(|(channel, limit)| v1::Spending {
        channel: channel as i32,
        per_transaction: limit
            .per_transaction
            .map(|most| receipt::money(most, account.currency)),
        per_day: limit
            .per_day
            .map(|most| receipt::money(most, account.currency)),
        ..v1::Spending::default()
    });
    limits.collect()
}
