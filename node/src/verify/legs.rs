//! What each event moves: who gets how much, and who gives it.
//!
//! | event | legs |
//! |---|---|
//! | funds deposited | account +, house account − |
//! | funds withdrawn | account −, house account + |
//! | funds transferred | payer −, payee + |
//! | transfer sent | payer −, `in-transit` of the destination + |
//! | transfer received | `due-from` of the source −, payee + |
//! | transfer suspended | `due-from` of the source −, `suspense` + |
//! | transfer settled | `in-transit` of the destination −, `due-to` of the destination + |
//! | transfer returned | `in-transit` of the destination −, payer (or `suspense`) + |
//! | journal booked | every leg |
//! | journal posted | every leg of the book, `clearing` of the other shards |
//! | suspense cleared | `suspense` −, account, house account or `in-transit` of the destination + |
//!
//! The other events move nothing: what they do to holds, [`super::holds`] follows. What an item of a channel is about, only its sending says.

use ledger_domain::{AccountId, Currency};

use super::channel::Item;
use super::journals;
use super::stored::{self, Read, ledger};

/// Who has money in a book.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A customer's account.
    Customer(AccountId),
    /// One of the bank's own accounts, by its code.
    House(String),
}

/// One side of a movement.
#[derive(Debug, Clone)]
pub struct Leg {
    /// Whose.
    pub holder: Holder,
    /// In which currency.
    pub currency: Currency,
    /// Minor units, with the ledger's sign: positive is the holder's.
    pub units: i64,
    /// What the event says that this leaves behind.
    pub(super) said: Option<Said>,
}

/// What an event says about an account after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub(super) posted: i64,
    pub(super) version: u64,
    pub(super) held: i64,
}

/// The two legs of an amount: from the first to the second.
fn pair(
    from: (Holder, Option<Said>),
    to: (Holder, Option<Said>),
    money: (Currency, i64),
) -> Vec<Leg> {
    let (currency, units) = money;
    let leg = |(holder, said), units| Leg {
        holder,
        currency,
        units,
        said,
    };
    vec![leg(from, -units), leg(to, units)]
}

/// `due-to:7` and the like.
fn house(code: &str, shard: u32) -> (Holder, Option<Said>) {
    (Holder::House(format!("{code}:{shard}")), None)
}

fn house_code(code: &str) -> Read<(Holder, Option<Said>)> {
    house_type(code).ok_or_else(|| format!("`{code}` is no house account"))?;
    Ok((Holder::House(code.to_owned()), None))
}

fn customer(after: &Option<ledger::After>) -> Read<(Holder, Option<Said>)> {
    let (account, said) = said(after)?;
    Ok((Holder::Customer(account), Some(said)))
}

/// Of whom a balance after tells, and what.
pub(super) fn said(after: &Option<ledger::After>) -> Read<(AccountId, Said)> {
    let after = after.as_ref().ok_or("a balance after is missing")?;
    let said = Said {
        posted: after.posted,
        version: after.version,
        held: after.held,
    };
    Ok((stored::account(&after.account)?, said))
}

fn money(currency: &str, amount: u64) -> Read<(Currency, i64)> {
    Ok((stored::currency(currency)?, stored::amount(amount)?))
}

/// The type of bookkeeping that a house account's code has; `None` where it is no such code.
pub(super) fn house_type(code: &str) -> Option<ledger::HouseType> {
    use ledger::HouseType::{Asset, Equity, Income, Liability};
    Some(match code.split_once(':') {
        None => match code {
            "cash" => Asset,
            "fees" => Income,
            "suspense" => Liability,
            "equity" => Equity,
            "fx-position" => Asset,
            _ => return None,
        },
        Some((code, shard)) => {
            shard.parse::<u32>().ok()?;
            match code {
                "in-transit" | "due-to" | "clearing" => Liability,
                "due-from" => Asset,
                _ => return None,
            }
        }
    })
}

/// The legs of an event. `item` is what it closes, where it closes one.
pub(super) fn of(event: &ledger::event::Event, item: Option<&Item>) -> Read<Vec<Leg>> {
    use ledger::event::Event as E;
    let closed = || item.ok_or("it closes an item that is not under way");
    Ok(match event {
        E::FundsDeposited(e) => pair(
            house_code(&e.house)?,
            customer(&e.after)?,
            money(&e.currency, e.amount)?,
        ),
        E::FundsWithdrawn(e) => pair(
            customer(&e.after)?,
            house_code(&e.house)?,
            money(&e.currency, e.amount)?,
        ),
        E::FundsTransferred(e) => pair(
            customer(&e.payer)?,
            customer(&e.payee)?,
            money(&e.currency, e.amount)?,
        ),
        E::TransferSent(e) => {
            let item: ledger::ChannelItem = stored::message(e.item.clone())?;
            pair(
                customer(&e.payer)?,
                house("in-transit", item.destination),
                money(&item.currency, item.amount)?,
            )
        }
        E::TransferReceived(e) => {
            let source = e.item.as_ref().ok_or("an item is missing")?.source;
            pair(
                house("due-from", source),
                customer(&e.payee)?,
                money(&e.currency, e.amount)?,
            )
        }
        E::TransferSuspended(e) => {
            let source = e.item.as_ref().ok_or("an item is missing")?.source;
            pair(
                house("due-from", source),
                house_code("suspense")?,
                money(&e.currency, e.amount)?,
            )
        }
        E::TransferSettled(e) => pair(
            house("in-transit", e.destination),
            house("due-to", e.destination),
            closed()?.money,
        ),
        E::TransferReturned(e) => {
            let to = match &e.payer {
                Some(_) => customer(&e.payer)?,
                None => house_code("suspense")?,
            };
            pair(house("in-transit", e.destination), to, closed()?.money)
        }
        E::SuspenseCleared(e) => {
            use ledger::suspense_cleared::To;
            let money = money(&e.currency, e.amount)?;
            let to = match e.to.as_ref().ok_or("where it is cleared to is missing")? {
                To::Account(after) => customer(&Some(after.clone()))?,
                To::House(code) => house_code(code)?,
                To::Item(item) => {
                    let item: ledger::ChannelItem = stored::message(item.clone())?;
                    if self::money(&item.currency, item.amount)? != money {
                        return Err("another amount is sent than is cleared".to_owned());
                    }
                    house("in-transit", item.destination)
                }
            };
            pair(house_code("suspense")?, to, money)
        }
        E::JournalBooked(e) => journals::booked(&e.lines, &[])?,
        E::JournalPosted(e) => journals::booked(&e.lines, &e.clearing)?,
        E::JournalOpened(_)
        | E::JournalReserved(_)
        | E::JournalRefused(_)
        | E::JournalAnswered(_)
        | E::JournalCancelled(_)
        | E::AccountOpened(_)
        | E::HoldPlaced(_)
        | E::HoldRaised(_)
        | E::HoldCaptured(_)
        | E::HoldReleased(_)
        | E::HoldLate(_)
        | E::HoldExpired(_)
        | E::TransactionReversed(_)
        | E::HouseAccountOpened(_)
        | E::TransferRefused(_)
        | E::AccountClosed(_)
        | E::AccountFrozen(_)
        | E::AccountThawed(_)
        | E::LimitChanged(_)
        | E::SpendingLimitSet(_)
        | E::DayClosed(_)
        | E::ReferenceClaimed(_)
        | E::ReferenceReleased(_)
        | E::ConsumerCreated(_)
        | E::ConsumerAdvanced(_)
        | E::ConsumerParked(_)
        | E::ConsumerResumed(_)
        | E::ConsumerMoved(_)
        | E::ConsumerRemoved(_)
        | E::CustomerRegistered(_)
        | E::ProfileSet(_)
        | E::LegalHoldPlaced(_)
        | E::LegalHoldLifted(_)
        | E::CustomerErased(_)
        | E::AccountAttached(_)
        | E::AccountDetached(_)
        | E::ItemsForgotten(_) => Vec::new(),
    })
}
