//! state + event → state. Total: an event that does not fit is an error that names itself, never
//! a panic and never half applied in silence.

use bytes::Bytes;

use crate::{
    Account, AccountId, Amount, Currency, CustomerId, Date, Event, Freezes, HouseCode,
    ReferenceDigest, ShardId, SpendingLimits, TransactionId,
    account::Status,
    chain,
    consumer::{self, ConsumerId},
    customer,
    day::is_closed,
    event::{After, ChannelItem, ItemRef},
    freeze::FreezeType,
    hold, journal,
    journal::JournalRef,
    planted::{Bug, planted},
    reference::Claim,
    reversal,
    state::{Inbound, Recorded, Sent, State},
    suspense::{Cleared, Suspended, SuspenseCleared},
};

/// An event that does not follow from the book. It means damage or a defect: whoever meets it
/// stops, and says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The account is not in the book.
    #[error("{0} is not in the book")]
    NoAccount(AccountId),
    /// The account is in the book already.
    #[error("{0} is in the book already")]
    AccountExists(AccountId),
    /// The balance or version after the event is not what the event says.
    #[error(
        "{account} would have {found}, version {found_version}; the event says {said}, version {said_version}"
    )]
    After {
        /// Which account.
        account: AccountId,
        /// What the book arrives at.
        found: i64,
        /// The version the book arrives at.
        found_version: u64,
        /// What the event says.
        said: i64,
        /// The version the event says.
        said_version: u64,
    },
    /// The account is kept in another currency: taken, it would break the sums of both.
    #[error("{account} is kept in another currency than {currency}")]
    Currency {
        /// Which account.
        account: AccountId,
        /// What the event moves.
        currency: Currency,
    },
    /// A balance, version or count leaves its bits.
    #[error("a balance, version or count leaves its bits")]
    Overflow,
    /// The house account was never opened, or is opened twice.
    #[error("house account {0} {1} is missing, or opened twice")]
    House(HouseCode, Currency),
    /// A freeze that is not there is lifted.
    #[error("{0} has no freeze of the type {1}")]
    NotFrozen(AccountId, FreezeType),
    /// What is held after the event is not what the event says.
    #[error("{account} would have {found} held; the event says {said}")]
    Held {
        /// Which account.
        account: AccountId,
        /// What the book arrives at.
        found: i64,
        /// What the event says.
        said: i64,
    },
    /// The event does not fit its hold, or the hold is not open.
    #[error("what happens to hold {number} does not follow")]
    Hold {
        /// The hold's number.
        number: u64,
    },
    /// What is cleared is not in suspense, or is another's or more or less than the event says.
    #[error("transaction {0} has not put in suspense what is cleared")]
    Suspense(TransactionId),
    /// More than the original is reversed, or not what the event says.
    #[error("what of transaction {0} is reversed does not follow")]
    Reversed(TransactionId),
    /// The day is closed already.
    #[error("{0} is closed already")]
    DayClosed(Date),
    /// What the book comes to is not what was frozen.
    #[error("the book does not come to what was frozen of {0}")]
    Frozen(Date),
    /// A journal's number does not follow, or not from what its shards were asked about before.
    #[error("journal {0} does not follow")]
    JournalNumber(u64),
    /// The journal is not open, or is another than the event says.
    #[error("journal {} of shard {} is not open, or is another", .0.number, .0.coordinator)]
    Journal(JournalRef),
    /// A journal's leg does not fit its account.
    #[error("leg {0} of a journal does not fit its account")]
    Leg(u32),
    /// What a journal books does not come to zero.
    #[error("a journal's bookings in {0} do not come to zero")]
    Unbalanced(Currency),
    /// A reference stands for another account, or not for this one.
    #[error("for whom the reference {0:?} stands does not follow")]
    Reference(ReferenceDigest),
    /// The customer is there already, or is not, or does not have the account.
    #[error("what happens to {0} does not follow")]
    Customer(CustomerId),
    /// The consumer group is there already, or is not, or has read less or elsewhere.
    #[error("what happens to the consumer {0} does not follow")]
    Consumer(ConsumerId),
    /// The item's number does not follow.
    #[error("item {number} of the channel with shard {peer} does not follow")]
    Item {
        /// The other end.
        peer: ShardId,
        /// The number.
        number: u64,
    },
}

/// Applies one event.
pub fn evolve<S: State>(state: &mut S, event: &Event) -> Result<(), Mismatch> {
    match event {
        Event::AccountOpened {
            account,
            currency,
            limit,
            opened_on,
        } => {
            if state.account(account).is_some() {
                return Err(Mismatch::AccountExists(*account));
            }
            let opened = Account {
                currency: *currency,
                limit: *limit,
                status: Status::Open,
                posted: 0,
                held: 0,
                version: 1,
                opened_on: *opened_on,
                under_way: 0,
                outgoing: 0,
                reserved: 0,
                accepted: 0,
            };
            state.set_account(*account, opened);
        }
        Event::HouseAccountOpened { code, currency } => {
            if state.house(code, *currency).is_some() {
                return Err(Mismatch::House(code.clone(), *currency));
            }
            state.set_house(code.clone(), *currency, 0);
        }
        Event::FundsDeposited {
            after,
            house,
            currency,
            amount,
        } => {
            move_account(state, after, *currency, amount.minor_units())?;
            move_house(state, house, *currency, -amount.minor_units())?;
        }
        Event::FundsWithdrawn {
            after,
            house,
            currency,
            amount,
        } => {
            move_account(state, after, *currency, -amount.minor_units())?;
            move_house(state, house, *currency, amount.minor_units())?;
        }
        Event::FundsTransferred {
            payer,
            payee,
            currency,
            amount,
        } => {
            move_account(state, payer, *currency, -amount.minor_units())?;
            move_account(state, payee, *currency, amount.minor_units())?;
        }
        Event::TransferSent {
            payer,
            item,
            stored,
        } => {
            move_account(state, payer, item.currency, -item.amount.minor_units())?;
            send(state, item, stored)?;
        }
        Event::TransferReceived {
            item,
            payee,
            currency,
            amount,
            ..
        } => {
            take(state, item, *currency, *amount)?;
            move_account(state, payee, *currency, amount.minor_units())?;
        }
        Event::TransferRefused { item, .. } => {
            record(state, item, false)?;
        }
        Event::TransferSettled {
            destination,
            number,
        } => {
            let sent = finish(state, *destination, *number)?;
            let (currency, units) = (sent.item.currency, sent.item.amount.minor_units());
            move_in_transit(state, *destination, currency, -units)?;
            move_house(state, &HouseCode::DueTo(*destination), currency, units)?;
        }
        Event::TransferReturned {
            destination,
            number,
            payer,
            ..
        } => {
            let sent = finish(state, *destination, *number)?;
            let (currency, units) = (sent.item.currency, sent.item.amount.minor_units());
            move_in_transit(state, *destination, currency, -units)?;
            match payer {
                Some(after) => move_account(state, after, currency, units)?,
                None => {
                    move_house(state, &HouseCode::Suspense, currency, units)?;
                }
            }
        }
        Event::AccountClosed {
            account: id,
            version,
            ..
        } => {
            let mut account = state.account(id).ok_or(Mismatch::NoAccount(*id))?;
            account.status = Status::Closed;
            account.version = account.version.checked_add(1).ok_or(Mismatch::Overflow)?;
            let said = After {
                account: *id,
                posted: account.posted,
                version: *version,
                held: account.held,
            };
            check(&account, &said)?;
            state.set_account(*id, account);
            state.set_freezes(*id, Freezes::default());
            state.set_spending_limits(*id, SpendingLimits::default());
        }
        Event::AccountFrozen { after, freeze } => {
            touch(state, after)?;
            let mut freezes = state.freezes(&after.account);
            freezes.put(freeze.clone());
            state.set_freezes(after.account, freezes);
        }
        Event::AccountThawed { after, kind } => {
            let mut freezes = state.freezes(&after.account);
            if !freezes.lift(*kind) {
                return Err(Mismatch::NotFrozen(after.account, *kind));
            }
            touch(state, after)?;
            state.set_freezes(after.account, freezes);
        }
        Event::LimitChanged { after, limit } => {
            let limit = *limit;
            let touched = touched(state, after)?;
            state.set_account(after.account, Account { limit, ..touched });
        }
        Event::SpendingLimitSet {
            after,
            channel,
            limit,
            date,
            spent,
        } => {
            touch(state, after)?;
            let id = after.account;
            let mut limits = state.spending_limits(&id);
            limits.set(*channel, *limit);
            state.set_spending_limits(id, limits);
            // Who goes on from a book of before spending was counted learns it here.
            let before = state.spent(&id, *date);
            if before.by(*channel) != *spent {
                state.set_spent(id, *date, before.with(*channel, *spent));
            }
        }
        Event::TransferSuspended {
            item,
            currency,
            amount,
            ..
        } => {
            take(state, item, *currency, *amount)?;
            move_house(state, &HouseCode::Suspense, *currency, amount.minor_units())?;
        }
        Event::SuspenseCleared(event) => clear(state, event)?,
        Event::Reversed(event) => reversal::count(state, event)?,
        Event::DayClosed { date, frozen } => {
            if is_closed(*date, state.closed_through()) {
                return Err(Mismatch::DayClosed(*date));
            }
            if state.trial_balance() != *frozen {
                return Err(Mismatch::Frozen(*date));
            }
            state.set_closed_through(*date);
        }
        Event::Hold(event) => hold::evolve(state, event)?,
        Event::Journal(event) => journal::evolve(state, event)?,
        Event::Customer(event) => customer::evolve(state, event)?,
        Event::Consumer(event) => consumer::evolve(state, event)?,
        Event::ReferenceClaimed(claim) => {
            let is_free = state.reference(&claim.digest).is_none();
            if !is_free {
                held(state, claim)?;
            }
            state.set_reference(claim.digest, Some(claim.account));
        }
        Event::ReferenceReleased(claim) => {
            held(state, claim)?;
            state.set_reference(claim.digest, None);
        }
        Event::ItemsForgotten { source, through } => {
            let head = state.inbound(*source);
            if *through > head.recorded || *through < head.forgotten {
                return Err(Mismatch::Item {
                    peer: *source,
                    number: *through,
                });
            }
            for number in (head.forgotten..*through).map(|before| before + 1) {
                state.set_recorded(*source, number, None);
            }
            state.set_inbound(
                *source,
                Inbound {
                    forgotten: *through,
                    ..head
                },
            );
        }
    }
    Ok(())
}

/// A reference that stands for an account must stand for the one of a claim.
fn held<S: State>(state: &S, claim: &Claim) -> Result<(), Mismatch> {
    match state.reference(&claim.digest) == Some(claim.account) {
        true => Ok(()),
        false => Err(Mismatch::Reference(claim.digest)),
    }
}

/// Raises an account's version to what an event says that moves no money.
fn touch<S: State>(state: &mut S, after: &After) -> Result<(), Mismatch> {
    let account = touched(state, after)?;
    state.set_account(after.account, account);
    Ok(())
}

/// An account at the version of an event that moves no money.
fn touched<S: State>(state: &S, after: &After) -> Result<Account, Mismatch> {
    let id = after.account;
    let mut account = state.account(&id).ok_or(Mismatch::NoAccount(id))?;
    account.version = account.version.checked_add(1).ok_or(Mismatch::Overflow)?;
    check(&account, after)?;
    Ok(account)
}

pub(crate) fn check(account: &Account, said: &After) -> Result<(), Mismatch> {
    if account.held != said.held {
        return Err(Mismatch::Held {
            account: said.account,
            found: account.held,
            said: said.held,
        });
    }
    if account.posted == said.posted && account.version == said.version {
        return Ok(());
    }
    Err(Mismatch::After {
        account: said.account,
        found: account.posted,
        found_version: account.version,
        said: said.posted,
        said_version: said.version,
    })
}

fn move_account<S: State>(
    state: &mut S,
    after: &After,
    currency: Currency,
    delta: i64,
) -> Result<(), Mismatch> {
    let id = after.account;
    let mut account = state.account(&id).ok_or(Mismatch::NoAccount(id))?;
    if account.currency != currency {
        return Err(Mismatch::Currency {
            account: id,
            currency,
        });
    }
    account.posted = account
        .posted
        .checked_add(delta)
        .ok_or(Mismatch::Overflow)?;
    account.version = account.version.checked_add(1).ok_or(Mismatch::Overflow)?;
    check(&account, after)?;
    state.set_account(id, account);
    Ok(())
}

pub(crate) fn move_house<S: State>(
    state: &mut S,
    code: &HouseCode,
    currency: Currency,
    delta: i64,
) -> Result<(), Mismatch> {
    let balance = state
        .house(code, currency)
        .ok_or_else(|| Mismatch::House(code.clone(), currency))?;
    let balance = balance.checked_add(delta).ok_or(Mismatch::Overflow)?;
    state.set_house(code.clone(), currency, balance);
    Ok(())
}

/// Moves the in-transit account of a channel, and the sum of all of them.
fn move_in_transit<S: State>(
    state: &mut S,
    to: ShardId,
    currency: Currency,
    delta: i64,
) -> Result<(), Mismatch> {
    move_house(state, &HouseCode::InTransit(to), currency, delta)?;
    let sum = state.in_transit(currency).checked_add(delta.into());
    state.set_in_transit(currency, sum.ok_or(Mismatch::Overflow)?);
    Ok(())
}

/// Puts the next item on its way. Where its money comes from is the caller's to see to.
fn send<S: State>(state: &mut S, item: &ChannelItem, stored: &Bytes) -> Result<(), Mismatch> {
    let (to, number) = (item.destination, item.number);
    let mut head = state.outbound(to);
    if head.sent.checked_add(1) != Some(number) {
        return Err(Mismatch::Item { peer: to, number });
    }
    head.sent = number;
    head.under_way = head.under_way.checked_add(1).ok_or(Mismatch::Overflow)?;
    move_in_transit(state, to, item.currency, item.amount.minor_units())?;
    let payer = state
        .account(&item.payer)
        .ok_or(Mismatch::NoAccount(item.payer))?;
    let payer = payer.with_sent(item.amount).ok_or(Mismatch::Overflow)?;
    state.set_account(item.payer, payer);
    state.set_outbound(to, head);
    let sent = Sent {
        item: item.clone(),
        hash: chain::writer_link(stored),
    };
    state.set_sent(to, number, Some(sent));
    Ok(())
}

/// Takes an item out of suspense, to where the event says.
fn clear<S: State>(state: &mut S, event: &SuspenseCleared) -> Result<(), Mismatch> {
    let SuspenseCleared {
        put,
        owner,
        currency,
        amount,
        to,
    } = event;
    let item = state.suspended(put);
    let as_said =
        |it: &Suspended| (it.owner, it.currency, it.amount) == (*owner, *currency, *amount);
    if !item.as_ref().is_some_and(as_said) {
        return Err(Mismatch::Suspense(*put));
    }
    let units = amount.minor_units();
    move_house(state, &HouseCode::Suspense, *currency, -units)?;
    match to {
        Cleared::Account(after) => move_account(state, after, *currency, units)?,
        Cleared::House(house) => move_house(state, house, *currency, units)?,
        Cleared::Sent { item, stored } => {
            let carries = (item.payer, item.currency, item.amount);
            if carries != (*owner, *currency, *amount) {
                return Err(Mismatch::Suspense(*put));
            }
            send(state, item, stored)?;
        }
    }
    state.set_suspended(*put, None);
    Ok(())
}

/// Takes an item: its source owes this book what it carries.
fn take<S: State>(
    state: &mut S,
    item: &ItemRef,
    currency: Currency,
    amount: Amount,
) -> Result<(), Mismatch> {
    record(state, item, true)?;
    let due_from = HouseCode::DueFrom(item.source);
    move_house(state, &due_from, currency, -amount.minor_units())
}

fn record<S: State>(state: &mut S, item: &ItemRef, taken: bool) -> Result<(), Mismatch> {
    let (source, number) = (item.source, item.number);
    let head = state.inbound(source);
    if head.recorded.checked_add(1) != Some(number) && !planted(Bug::ItemNumberUnchecked) {
        return Err(Mismatch::Item {
            peer: source,
            number,
        });
    }
    state.set_inbound(
        source,
        Inbound {
            recorded: number,
            ..head
        },
    );
    let hash = item.hash;
    state.set_recorded(source, number, Some(Recorded { hash, taken }));
    Ok(())
}

/// An item is no longer under way. Where its money goes is the caller's to see to.
fn finish<S: State>(state: &mut S, to: ShardId, number: u64) -> Result<Sent, Mismatch> {
    let sent = state
        .sent(to, number)
        .ok_or(Mismatch::Item { peer: to, number })?;
    let mut head = state.outbound(to);
    head.under_way = head
        .under_way
        .checked_sub(1)
        .ok_or(Mismatch::Item { peer: to, number })?;
    let Sent { item, .. } = &sent;
    let payer = state
        .account(&item.payer)
        .ok_or(Mismatch::NoAccount(item.payer))?;
    let payer = payer.with_ended(item.amount).ok_or(Mismatch::Overflow)?;
    state.set_account(item.payer, payer);
    state.set_outbound(to, head);
    state.set_sent(to, number, None);
    Ok(sent)
}
