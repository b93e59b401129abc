//! What the events of an entry mean for the balances and statements of accounts: the fold that
//! every read model uses.

use crate::{
    Account, AccountId, Date, Event, Freeze, HouseCode, Limit, ShardId, SpendingLimit,
    account::Status,
    command::Channel,
    event::Outcome,
    freeze::FreezeType,
    hold::HoldEvent,
    journal::{JournalEvent, Line, Party, Side},
    suspense::Cleared,
};

/// The other side of a movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counterparty {
    /// A house account of the same book.
    House(HouseCode),
    /// Another account, here or elsewhere.
    Account(AccountId),
}

/// What kind of movement a statement line shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum MovementKind {
    /// Money came in against a house account.
    Deposit = 1,
    /// Money went out against a house account.
    Withdrawal = 2,
    /// Money went to another account.
    TransferOut = 3,
    /// Money came from another account.
    TransferIn = 4,
    /// A transfer came back.
    Return = 5,
    /// A leg of a journal.
    Journal = 6,
}

impl Change {
    /// The account that it is of; `None` where a transfer's number has to tell.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Opened(id, _)
            | Self::Closed(id, _)
            | Self::Limited(id, ..)
            | Self::Frozen(id, ..)
            | Self::Thawed(id, ..)
            | Self::Spending(id, ..)
            | Self::SetAside(id, ..)
            | Self::Aside(id, ..) => Some(*id),
            Self::Moved(movement) => Some(movement.account),
            Self::Held(event) => Some(event.after.account),
            Self::Arrived(..) => None,
        }
    }
}

impl MovementKind {
    /// The kind with a number.
    pub fn from_number(number: i32) -> Option<Self> {
        use MovementKind::{Deposit, Journal, Return, TransferIn, TransferOut, Withdrawal};
        let all = [
            Deposit,
            Withdrawal,
            TransferOut,
            TransferIn,
            Return,
            Journal,
        ];
        all.into_iter().find(|kind| *kind as i32 == number)
    }
}

/// One line of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Whose.
    pub account: AccountId,
    /// Minor units, positive for a credit.
    pub amount: i64,
    /// The booked sum after it, minor units.
    pub posted: i64,
    /// The account's version after it.
    pub version: u64,
    /// What is held of the account after it, minor units.
    pub held: i64,
    /// From which date it counts.
    pub effective_date: Date,
    /// The other side.
    pub counterparty: Counterparty,
    /// What kind.
    pub kind: MovementKind,
    /// The outcome's place in its entry.
    pub ordinal: u32,
}

/// What an event does to a read model, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An account began.
    Opened(AccountId, Account),
    /// An account moved.
    Moved(Movement),
    /// A hold began, changed or ended.
    Held(HoldEvent),
    /// An account ended, at this version.
    Closed(AccountId, u64),
    /// An account may go this far below zero now; and its version.
    Limited(AccountId, u64, Limit),
    /// An account is frozen, or a freeze of this type is another now; and its version.
    Frozen(AccountId, u64, Freeze),
    /// A freeze of this type was lifted; and the account's version.
    Thawed(AccountId, u64, FreezeType),
    /// So much may leave an account by a channel now; and its version.
    Spending(AccountId, u64, Channel, SpendingLimit),
    /// A journal set something aside, or gave it back: the account's version now, and what is held.
    SetAside(AccountId, u64, i64),
    /// What open journals have reserved of an account changes by so much, and what they have
    /// accepted for it; minor units.
    Aside(AccountId, i64, i64),
    /// A transfer is no longer under way.
    Arrived(ShardId, u64),
}

/// The changes of one outcome. `business_date` is the entry's.
///
/// A return counts from the date of the original, which only the book remembers: `sent` gives it,
/// with the payee.
pub fn changes(
    outcome: &Outcome,
    ordinal: u32,
    business_date: Date,
    sent: impl Fn(ShardId, u64) -> Option<(Date, AccountId, i64)>,
) -> Vec<Change> {
    let Ok(events) = &outcome.result else {
        return Vec::new();
    };
    let effective_date = outcome
        .command
        .as_ref()
        .map_or(business_date, |c| c.effective_date);
    let mut out = Vec::new();
    for event in events {
        let line = |after: &crate::event::After, amount, counterparty, kind, effective_date| {
            Change::Moved(Movement {
                account: after.account,
                amount,
                posted: after.posted,
                version: after.version,
                held: after.held,
                effective_date,
                counterparty,
                kind,
                ordinal,
            })
        };
        match event {
            Event::AccountOpened {
                account,
                currency,
                limit,
                opened_on,
            } => {
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
                out.push(Change::Opened(*account, opened));
            }
            Event::FundsDeposited {
                after,
                house,
                amount,
                ..
            } => out.push(line(
                after,
                amount.minor_units(),
                Counterparty::House(house.clone()),
                MovementKind::Deposit,
                effective_date,
            )),
            Event::FundsWithdrawn {
                after,
                house,
                amount,
                ..
            } => out.push(line(
                after,
                -amount.minor_units(),
                Counterparty::House(house.clone()),
                MovementKind::Withdrawal,
                effective_date,
            )),
            Event::FundsTransferred {
                payer,
                payee,
                amount,
                ..
            } => {
                let units = amount.minor_units();
                let to = Counterparty::Account(payee.account);
                let from = Counterparty::Account(payer.account);
                out.push(line(
                    payer,
                    -units,
                    to,
                    MovementKind::TransferOut,
                    effective_date,
                ));
                out.push(line(
                    payee,
                    units,
                    from,
                    MovementKind::TransferIn,
                    effective_date,
                ));
            }
            Event::TransferSent { payer, item, .. } => out.push(line(
                payer,
                -item.amount.minor_units(),
                Counterparty::Account(item.payee),
                MovementKind::TransferOut,
                effective_date,
            )),
            Event::TransferReceived {
                payee,
                payer,
                amount,
                effective_date,
                ..
            } => out.push(line(
                payee,
                amount.minor_units(),
                Counterparty::Account(*payer),
                MovementKind::TransferIn,
                *effective_date,
            )),
            Event::TransferReturned {
                destination,
                number,
                payer,
                ..
            } => {
                if let Some((payer, (date, payee, amount))) =
                    payer.as_ref().zip(sent(*destination, *number))
                {
                    let counterparty = Counterparty::Account(payee);
                    out.push(line(
                        payer,
                        amount,
                        counterparty,
                        MovementKind::Return,
                        date,
                    ));
                }
                out.push(Change::Arrived(*destination, *number));
            }
            Event::TransferSettled {
                destination,
                number,
            } => {
                out.push(Change::Arrived(*destination, *number));
            }
            Event::AccountClosed {
                account, version, ..
            } => {
                out.push(Change::Closed(*account, *version));
            }
            Event::SuspenseCleared(cleared) => {
                if let Cleared::Account(after) = &cleared.to {
                    out.push(line(
                        after,
                        cleared.amount.minor_units(),
                        Counterparty::House(HouseCode::Suspense),
                        MovementKind::Deposit,
                        effective_date,
                    ));
                }
            }
            Event::Journal(event) => journal_changes(event, effective_date, ordinal, &mut out),
            Event::Hold(event) => out.push(Change::Held(*event)),
            Event::AccountFrozen { after, freeze } => {
                out.push(Change::Frozen(after.account, after.version, freeze.clone()));
            }
            Event::AccountThawed { after, kind } => {
                out.push(Change::Thawed(after.account, after.version, *kind));
            }
            Event::SpendingLimitSet {
                after,
                channel,
                limit,
                ..
            } => out.push(Change::Spending(
                after.account,
                after.version,
                *channel,
                *limit,
            )),
            Event::LimitChanged { after, limit } => {
                out.push(Change::Limited(after.account, after.version, *limit));
            }
            Event::HouseAccountOpened { .. }
            | Event::Reversed(_)
            | Event::DayClosed { .. }
            | Event::ReferenceClaimed(_)
            | Event::ReferenceReleased(_)
            | Event::Customer(_)
            | Event::Consumer(_)
            | Event::TransferSuspended { .. }
            | Event::TransferRefused { .. }
            | Event::ItemsForgotten { .. } => {}
        }
    }
    out
}

fn journal_changes(event: &JournalEvent, dated: Date, ordinal: u32, out: &mut Vec<Change>) {
    let (lines, effective_date, aside) = match event {
        JournalEvent::Booked { lines, .. } => (lines, Some(dated), 0),
        JournalEvent::Posted { lines, date, .. } => (lines, Some(*date), -1),
        JournalEvent::Opened { lines, .. } | JournalEvent::Reserved { lines, .. } => {
            (lines, None, 1)
        }
        JournalEvent::Cancelled { lines, .. } => (lines, None, -1),
        JournalEvent::Refused { .. } | JournalEvent::Answered { .. } => return,
    };
    for Line { leg, after } in lines {
        let Some(after) = after else { continue };
        if aside != 0 {
            let units = aside * leg.amount.minor_units();
            let (reserved, accepted) = match leg.side {
                Side::Debit => (units, 0),
                Side::Credit => (0, units),
            };
            out.push(Change::Aside(after.account, reserved, accepted));
        }
        let Some(effective_date) = effective_date else {
            out.push(Change::SetAside(after.account, after.version, after.held));
            continue;
        };
        out.push(Change::Moved(Movement {
            account: after.account,
            amount: leg.units(),
            posted: after.posted,
            version: after.version,
            held: after.held,
            effective_date,
            counterparty: match &leg.against {
                Party::Account(id) => Counterparty::Account(*id),
                Party::House(code) => Counterparty::House(code.clone()),
            },
            kind: MovementKind::Journal,
            ordinal,
        }));
    }
}
