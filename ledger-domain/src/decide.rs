//! command + state → outcome. The only place where events are made.
//!
//! Deciding evolves the state it is given, so that the next command of the same entry sees what
//! this one did. The state is an overlay above the applied book; an entry that comes to nothing
//! takes its overlay with it.

mod closing;
mod consumers;
mod customers;
mod days;
mod freezes;
mod holds;
mod journals;
mod paying;
mod references;
mod reversals;
mod spending;
mod suspense;

use crate::{
    Account, AccountId, Amount, Code, Currency, Date, Event, HouseCode, HybridTime, Limit, Outcome,
    Rejection, ShardId,
    account::Status,
    command::{Action, Command, CommandInfo},
    day::{business_date, is_closed},
    event::{After, ChannelItem, CommandRecord, ItemRef},
    evolve::evolve,
    freeze::Blocks,
    journal::is_for_journals,
    overlay::Overlay,
    state::State,
};

pub use holds::expire;
pub use journals::{Asked, conclude, hear, reserve};

/// When, where and under which rules something is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// The shard that decides.
    pub shard: ShardId,
    /// The reign.
    pub epoch: u64,
    /// The entry's time.
    pub time: HybridTime,
    /// The home region's date by the calendar, at that time.
    pub calendar_date: Date,
    /// How many items may be under way to one shard.
    pub channel_bound: u64,
    /// How much money may be under way to one shard, in minor units of each currency.
    pub channel_money_bound: i64,
}

/// Decides a command and evolves the state by its events.
pub fn decide<S: State>(state: &mut S, at: &Circumstances, command: &Command) -> Outcome {
    let closed_through = state.closed_through();
    let business_date = business_date(at.calendar_date, closed_through);
    let effective_date = command.info.effective_date.unwrap_or(business_date);
    let mut scribe = Scribe::new(state, at.time);
    let rejection = scribe.decide(at, command, effective_date).err();
    assert!(
        rejection.is_none() || scribe.events.is_empty(),
        "a command is refused before its first event, or not at all"
    );
    let record = CommandRecord {
        // As it is stored: what the writer answers is what a replica reads.
        info: CommandInfo {
            effective_date: Some(effective_date),
            into_closed_day: command.info.into_closed_day
                && is_closed(effective_date, closed_through),
            privileged: command.is_privileged(),
            ..command.info.clone()
        },
        kind: command.action.kind(),
        account: command.action.account(),
        effective_date,
    };
    let result = rejection.map_or(Ok(scribe.events), Err);
    if let Ok(events) = &result {
        crate::spending::count(state, &record, events, business_date);
    }
    Outcome {
        command: Some(record),
        result,
    }
}

/// Decides commands together, all or none: a group, or a command on its own.
///
/// The outcomes of all of them; or that of the first that is refused alone, under the group's key,
/// with the state as it was.
pub fn decide_together(
    state: &mut Overlay<'_>,
    at: &Circumstances,
    first: &Command,
    rest: &[Command],
) -> Vec<Outcome> {
    if rest.is_empty() {
        return vec![decide(state, at, first)];
    }
    let all = state.attempt(|state| {
        let mut outcomes = Vec::with_capacity(1 + rest.len());
        for command in [first].into_iter().chain(rest) {
            let outcome = decide(state, at, command);
            if outcome.result.is_err() {
                return Err(outcome);
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    });
    all.unwrap_or_else(|mut refused| {
        if let Some(record) = &mut refused.command {
            record.info.key = first.info.key;
        }
        vec![refused]
    })
}

/// Decides about an item of another shard, which the caller has checked to be exactly the next.
///
/// `index` and `ordinal` are the place of the paying transaction.
pub fn receive<S: State>(
    state: &mut S,
    at: &Circumstances,
    item: &ChannelItem,
    reference: ItemRef,
    index: u64,
    ordinal: u32,
) -> Outcome {
    let mut scribe = Scribe::new(state, at.time);
    let effective_date = arrival_date(item, scribe.state.account(&item.payee).as_ref());
    let taken = scribe
        .credit_check(&item.payee, item.currency, item.amount, effective_date)
        .and_then(|account| scribe.due_from_check(item).map(|()| account));
    match taken {
        Ok(account) => {
            scribe.open_house(HouseCode::DueFrom(item.source), item.currency);
            let payee = after(item.payee, &account, item.amount.minor_units());
            scribe.happened(Event::TransferReceived {
                item: reference,
                payee,
                payer: item.payer,
                currency: item.currency,
                amount: item.amount,
                effective_date,
                memo: item.memo.clone(),
                source_index: index,
                source_ordinal: ordinal,
            });
        }
        Err(rejection) if scribe.keeps(item, &rejection) => {
            scribe.open_house(HouseCode::DueFrom(item.source), item.currency);
            scribe.open_house(HouseCode::Suspense, item.currency);
            scribe.happened(Event::TransferSuspended {
                item: reference,
                payee: item.payee,
                payer: item.payer,
                currency: item.currency,
                amount: item.amount,
                effective_date,
                memo: item.memo.clone(),
                source_index: index,
                source_ordinal: ordinal,
                rejection,
            });
        }
        Err(rejection) => {
            scribe.happened(Event::TransferRefused {
                item: reference,
                rejection,
            });
        }
    }
    Outcome {
        command: None,
        result: Ok(scribe.events),
    }
}

/// From which date an item counts for its payee: the payer's, but not one of the two days before the
/// payee's account was opened. Where it is tomorrow already, an account opened today can be paid; and
/// where today is closed already, one opened for the day after.
fn arrival_date(item: &ChannelItem, payee: Option<&Account>) -> Date {
    let ahead = |payee: &Account| payee.opened_on.days() - item.effective_date.days();
    match payee {
        Some(payee) if (1..=2).contains(&ahead(payee)) => payee.opened_on,
        _ => item.effective_date,
    }
}

/// Closes an item that its destination has taken or refused. `None` where it is closed already.
///
/// This can never be refused, and has room in every account it touches: see
/// [`State::in_transit`] for who keeps that room.
pub fn resolve<S: State>(
    state: &mut S,
    at: &Circumstances,
    destination: ShardId,
    number: u64,
    refused: Option<Rejection>,
) -> Option<Outcome> {
    let sent = state.sent(destination, number)?;
    let mut scribe = Scribe::new(state, at.time);
    let item = sent.item;
    match refused {
        None => {
            scribe.open_house(HouseCode::DueTo(destination), item.currency);
            scribe.happened(Event::TransferSettled {
                destination,
                number,
            });
        }
        Some(rejection) => {
            let units = item.amount.minor_units();
            let payer = scribe
                .state
                .account(&item.payer)
                .filter(|a| a.status == Status::Open)
                .filter(|a| room(a.posted, i128::from(units) + i128::from(a.accepted)).is_ok())
                .filter(|_| scribe.freeze_check(&item.payer, Blocks::Credits).is_ok())
                .map(|a| after(item.payer, &a, units));
            if payer.is_none() {
                scribe.open_house(HouseCode::Suspense, item.currency);
            }
            scribe.happened(Event::TransferReturned {
                destination,
                number,
                payer,
                rejection,
            });
        }
    }
    Some(Outcome {
        command: None,
        result: Ok(scribe.events),
    })
}

/// Forgets records whose items the source has closed. `None` where there is nothing to forget.
pub fn forget<S: State>(state: &mut S, source: ShardId, through: u64) -> Option<Outcome> {
    let head = state.inbound(source);
    let through = through.min(head.recorded);
    (through > head.forgotten).then(|| {
        // This depends on no time.
        let mut scribe = Scribe::new(state, HybridTime::ZERO);
        scribe.happened(Event::ItemsForgotten { source, through });
        Outcome {
            command: None,
            result: Ok(scribe.events),
        }
    })
}

fn after(account: AccountId, before: &Account, delta: i64) -> After {
    let posted = before
        .posted
        .checked_add(delta)
        .expect("checked before it is decided");
    After {
        account,
        posted,
        version: before.version + 1,
        held: before.held,
    }
}

/// Makes events and lets the state follow each at once.
struct Scribe<'a, S> {
    state: &'a mut S,
    /// The entry's time: by it freezes are over.
    now_ms: u64,
    events: Vec<Event>,
}

impl<'a, S: State> Scribe<'a, S> {
    fn new(state: &'a mut S, now: HybridTime) -> Self {
        Self {
            state,
            now_ms: now.millis(),
            events: Vec::new(),
        }
    }

    fn happened(&mut self, event: Event) {
        evolve(self.state, &event).expect("an event follows from the state it was decided on");
        self.events.push(event);
    }

    fn open_house(&mut self, code: HouseCode, currency: Currency) {
        if self.state.house(&code, currency).is_none() {
            self.happened(Event::HouseAccountOpened { code, currency });
        }
    }

    fn decide(
        &mut self,
        at: &Circumstances,
        command: &Command,
        date: Date,
    ) -> Result<(), Rejection> {
        command.conditions.check(self.state, &command.action)?;
        match &command.action {
            Action::Open {
                account,
                currency,
                limit,
                opened_on,
            } => {
                let opened_on = opened_on.unwrap_or(self.business_date(at));
                self.date_check(at, &command.info, opened_on)?;
                if self.state.account(account).is_some() {
                    return Err(Code::AccountExists.into());
                }
                self.happened(Event::AccountOpened {
                    account: *account,
                    currency: *currency,
                    limit: *limit,
                    opened_on,
                });
            }
            Action::Deposit {
                account,
                house,
                currency,
                amount,
            } => {
                for_callers(house)?;
                self.date_check(at, &command.info, date)?;
                let money = (*currency, *amount);
                self.pay_in_check(account, house, money, date)?;
                self.pay_in(account, house, money);
            }
            Action::Withdraw {
                account,
                house,
                currency,
                amount,
            } => {
                for_callers(house)?;
                self.date_check(at, &command.info, date)?;
                let (before, ()) = both(
                    self.spend_check(at, command, account, (*currency, *amount), date),
                    self.house_check(house, *currency, amount.minor_units()),
                )?;
                self.open_house(house.clone(), *currency);
                self.happened(Event::FundsWithdrawn {
                    after: after(*account, &before, -amount.minor_units()),
                    house: house.clone(),
                    currency: *currency,
                    amount: *amount,
                });
            }
            Action::Transfer {
                from,
                to,
                to_shard,
                currency,
                amount,
                payee_memo,
            } => {
                if from == to {
                    return Err(Code::SameAccount.into());
                }
                self.date_check(at, &command.info, date)?;
                let payer = self
                    .spend_check(at, command, from, (*currency, *amount), date)
                    .map(drop);
                let other = match *to_shard == at.shard {
                    true => self.credit_check(to, *currency, *amount, date).map(drop),
                    false => self.channel_check(from, *to_shard, *currency, *amount, at),
                };
                both(payer, other)?;
                let ends = (*from, *to, *to_shard);
                let money = (*currency, *amount);
                self.pay(at, &command.info, ends, money, date, payee_memo);
            }
            Action::Hold { account, action } => {
                self.decide_hold(at, command, *account, action, date)?;
            }
            Action::Close { account, sweep } => {
                self.close(at, &command.info, *account, sweep.as_ref(), date)?;
            }
            Action::ClearSuspense { owner, put, to } => {
                self.clear_suspense(at, &command.info, *owner, *put, to, date)?;
            }
            Action::Reverse {
                original,
                moved,
                money,
                ..
            } => {
                let moved = moved.as_deref();
                self.reverse(at, command, *original, moved, *money, date)?;
            }
            Action::SetLimit { account, limit } => {
                let before = self.open_account(account)?;
                self.happened(Event::LimitChanged {
                    after: after(*account, &before, 0),
                    limit: *limit,
                });
            }
            Action::SetSpendingLimit {
                account,
                channel,
                limit,
            } => self.set_spending_limit(at, *account, *channel, *limit)?,
            Action::CloseDay { date, .. } => self.close_day(at, *date)?,
            Action::Journal { legs, rate } => {
                self.journal(at, &command.info, legs, rate.as_ref(), date)?;
            }
            Action::ClaimReference { claim, .. } => self.claim_reference(*claim)?,
            Action::ReleaseReference { claim, .. } => self.release_reference(*claim)?,
            Action::Consumer {
                consumer, change, ..
            } => self.consumer(consumer, change)?,
            Action::Customer {
                customer, action, ..
            } => self.customer(at, *customer, action)?,
            Action::Freeze { account, freeze } => self.freeze(account, freeze)?,
            Action::Unfreeze { account, kind } => self.unfreeze(account, *kind)?,
        }
        Ok(())
    }

    fn open_account(&self, id: &AccountId) -> Result<Account, Rejection> {
        let account = self.state.account(id).ok_or(Code::AccountNotFound)?;
        match account.status {
            Status::Open => Ok(account),
            Status::Closed => Err(Code::AccountClosed.into()),
        }
    }

    fn movable(
        &self,
        id: &AccountId,
        currency: Currency,
        date: Date,
        direction: Blocks,
    ) -> Result<Account, Rejection> {
        let account = self.open_account(id)?;
        if account.currency != currency {
            return Err(Code::CurrencyMismatch.into());
        }
        if date < account.opened_on {
            let figures = [date.days().into(), account.opened_on.days().into()];
            return Err(Rejection::new(Code::DateBeforeOpening, figures));
        }
        self.freeze_check(id, direction)?;
        Ok(account)
    }

    fn credit_check(
        &self,
        id: &AccountId,
        currency: Currency,
        amount: Amount,
        date: Date,
    ) -> Result<Account, Rejection> {
        let account = self.movable(id, currency, date, Blocks::Credits)?;
        // What was accepted has its place.
        let more = i128::from(account.accepted) + i128::from(amount.minor_units());
        room(account.posted, more)?;
        Ok(account)
    }

    fn debit_check(
        &self,
        id: &AccountId,
        currency: Currency,
        amount: Amount,
        date: Date,
        forced: bool,
    ) -> Result<Account, Rejection> {
        let account = self.movable(id, currency, date, Blocks::Debits)?;
        let asked = amount.minor_units();
        // What was set aside can be taken.
        let less = i128::from(account.reserved) + i128::from(asked);
        room(account.posted, -less)?;
        match account.available().filter(|_| !forced) {
            Some(available) if available < 0 => {
                Err(Rejection::new(Code::AccountInExcess, [available]))
            }
            Some(available) if available < asked => {
                Err(Rejection::new(Code::InsufficientFunds, [available, asked]))
            }
            _ => Ok(account),
        }
    }

    fn house_check(
        &self,
        code: &HouseCode,
        currency: Currency,
        delta: i64,
    ) -> Result<(), Rejection> {
        let balance = self.state.house(code, currency).unwrap_or(0);
        let reserved = match code {
            // Everything under way may come back and find no other place.
            HouseCode::Suspense if delta > 0 => self.state.in_transit(currency),
            _ => 0,
        };
        room(balance, i128::from(delta) + reserved)?;
        match self.state.journal_room(currency) {
            most if most > 0 && is_for_journals(code) => {
                room(balance, i128::from(delta) + most)?;
                room(balance, i128::from(delta) - most)
            }
            _ => Ok(()),
        }
    }

    /// What a shard owes this book is bounded over there, too: this is the last line.
    fn due_from_check(&self, item: &ChannelItem) -> Result<(), Rejection> {
        let code = HouseCode::DueFrom(item.source);
        let balance = self.state.house(&code, item.currency).unwrap_or(0);
        room(balance, -i128::from(item.amount.minor_units()))
    }

    /// A channel takes so much and no more; and as the bank's own accounts can never refuse a later
    /// step, there must be room in them before the first: for everything under way to arrive, and
    /// for everything under way, on all channels, to come back into suspense.
    fn channel_check(
        &self,
        payer: &AccountId,
        to: ShardId,
        currency: Currency,
        amount: Amount,
        at: &Circumstances,
    ) -> Result<(), Rejection> {
        let balance = |code| self.state.house(&code, currency).unwrap_or(0);
        let units = i128::from(amount.minor_units());
        let in_transit = balance(HouseCode::InTransit(to));
        room(
            balance(HouseCode::DueTo(to)),
            i128::from(in_transit) + units,
        )?;
        let coming_back = self.state.in_transit(currency) + units;
        room(balance(HouseCode::Suspense), coming_back)?;
        let outgoing = self.state.account(payer).map_or(0, |payer| payer.outgoing);
        room(outgoing, units)?;
        let under_way = self.state.outbound(to).under_way;
        has_room(Code::ChannelFull, under_way, at.channel_bound)?;
        if i128::from(in_transit) + units > at.channel_money_bound.into() {
            let figures = [in_transit, at.channel_money_bound];
            return Err(Rejection::new(Code::ChannelMoneyFull, figures));
        }
        Ok(())
    }
}

/// Refuses one more where so many are under way as a channel takes.
fn has_room(code: Code, under_way: u64, bound: u64) -> Result<(), Rejection> {
    let figures = [under_way, bound].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    match under_way < bound {
        true => Ok(()),
        false => Err(Rejection::new(code, figures)),
    }
}

/// Where two checks refuse, the reason is told that comes first.
fn both<A, B>(one: Result<A, Rejection>, other: Result<B, Rejection>) -> Result<(A, B), Rejection> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(one), Err(other)) => Err(one.first(other)),
        (Err(rejection), Ok(_)) | (Ok(_), Err(rejection)) => Err(rejection),
    }
}

fn for_callers(house: &HouseCode) -> Result<(), Rejection> {
    match house.is_for_callers() {
        true => Ok(()),
        false => Err(Code::HouseAccountReserved.into()),
    }
}

/// Refuses what a balance could not take.
fn room(balance: i64, delta: i128) -> Result<(), Rejection> {
    match i64::try_from(i128::from(balance) + delta) {
        Ok(_) => Ok(()),
        Err(_) => Err(Rejection::new(Code::BalanceOverflow, [balance])),
    }
}

fn not_in_future(date: Date, business_date: Date) -> Result<(), Rejection> {
    if date <= business_date {
        return Ok(());
    }
    Err(Rejection::new(
        Code::DateInFuture,
        [date.days().into(), business_date.days().into()],
    ))
}

/// A limit that a caller may set: zero or more minor units of overdraft.
pub fn valid_limit(limit: Limit) -> bool {
    matches!(limit, Limit::Unlimited | Limit::Overdraft(0..))
}
