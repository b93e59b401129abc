//! What an event is about: its kind, the accounts it names, the amounts, and the transaction it belongs
//! to. Whoever reads events chooses among them by these.

use crate::{
    AccountId, Currency, Event, HoldChange, JournalEvent, Party, Position, TransactionId,
    consumer::ConsumerChange,
    customer::CustomerChange,
    event::After,
    journal::{Ask, Line},
    suspense::Cleared,
};

/// The kinds of events, each with its number in the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
#[allow(
    missing_docs,
    reason = "they are described in the stored format's file"
)]
pub enum EventKind {
    AccountOpened = 1,
    HouseAccountOpened = 2,
    FundsDeposited = 3,
    FundsWithdrawn = 4,
    FundsTransferred = 5,
    TransferSent = 6,
    TransferReceived = 7,
    TransferRefused = 8,
    TransferSettled = 9,
    TransferReturned = 10,
    AccountClosed = 11,
    ItemsForgotten = 12,
    HoldPlaced = 20,
    HoldRaised = 21,
    HoldCaptured = 22,
    HoldReleased = 23,
    HoldExpired = 24,
    HoldLate = 25,
    AccountFrozen = 30,
    AccountThawed = 31,
    TransferSuspended = 32,
    LimitChanged = 33,
    SuspenseCleared = 34,
    TransactionReversed = 35,
    DayClosed = 60,
    SpendingLimitSet = 61,
    JournalBooked = 70,
    JournalOpened = 71,
    JournalReserved = 72,
    JournalRefused = 73,
    JournalAnswered = 74,
    JournalPosted = 75,
    JournalCancelled = 76,
    ConsumerCreated = 80,
    ConsumerAdvanced = 81,
    ConsumerParked = 82,
    ConsumerResumed = 83,
    ConsumerMoved = 84,
    ConsumerRemoved = 85,
    ReferenceClaimed = 100,
    ReferenceReleased = 101,
    CustomerRegistered = 102,
    AccountAttached = 103,
    AccountDetached = 104,
    ProfileSet = 105,
    LegalHoldPlaced = 106,
    LegalHoldLifted = 107,
    CustomerErased = 108,
}

impl EventKind {
    /// All, by number.
    pub const ALL: [Self; 48] = [
        Self::AccountOpened,
        Self::HouseAccountOpened,
        Self::FundsDeposited,
        Self::FundsWithdrawn,
        Self::FundsTransferred,
        Self::TransferSent,
        Self::TransferReceived,
        Self::TransferRefused,
        Self::TransferSettled,
        Self::TransferReturned,
        Self::AccountClosed,
        Self::ItemsForgotten,
        Self::HoldPlaced,
        Self::HoldRaised,
        Self::HoldCaptured,
        Self::HoldReleased,
        Self::HoldExpired,
        Self::HoldLate,
        Self::AccountFrozen,
        Self::AccountThawed,
        Self::TransferSuspended,
        Self::LimitChanged,
        Self::SuspenseCleared,
        Self::TransactionReversed,
        Self::DayClosed,
        Self::SpendingLimitSet,
        Self::JournalBooked,
        Self::JournalOpened,
        Self::JournalReserved,
        Self::JournalRefused,
        Self::JournalAnswered,
        Self::JournalPosted,
        Self::JournalCancelled,
        Self::ConsumerCreated,
        Self::ConsumerAdvanced,
        Self::ConsumerParked,
        Self::ConsumerResumed,
        Self::ConsumerMoved,
        Self::ConsumerRemoved,
        Self::ReferenceClaimed,
        Self::ReferenceReleased,
        Self::CustomerRegistered,
        Self::AccountAttached,
        Self::AccountDetached,
        Self::ProfileSet,
        Self::LegalHoldPlaced,
        Self::LegalHoldLifted,
        Self::CustomerErased,
    ];

    /// Its name, that of the message in the stored format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccountOpened => "AccountOpened",
            Self::HouseAccountOpened => "HouseAccountOpened",
            Self::FundsDeposited => "FundsDeposited",
            Self::FundsWithdrawn => "FundsWithdrawn",
            Self::FundsTransferred => "FundsTransferred",
            Self::TransferSent => "TransferSent",
            Self::TransferReceived => "TransferReceived",
            Self::TransferRefused => "TransferRefused",
            Self::TransferSettled => "TransferSettled",
            Self::TransferReturned => "TransferReturned",
            Self::AccountClosed => "AccountClosed",
            Self::ItemsForgotten => "ItemsForgotten",
            Self::HoldPlaced => "HoldPlaced",
            Self::HoldRaised => "HoldRaised",
            Self::HoldCaptured => "HoldCaptured",
            Self::HoldReleased => "HoldReleased",
            Self::HoldExpired => "HoldExpired",
            Self::HoldLate => "HoldLate",
            Self::AccountFrozen => "AccountFrozen",
            Self::AccountThawed => "AccountThawed",
            Self::TransferSuspended => "TransferSuspended",
            Self::LimitChanged => "LimitChanged",
            Self::SuspenseCleared => "SuspenseCleared",
            Self::TransactionReversed => "TransactionReversed",
            Self::DayClosed => "DayClosed",
            Self::SpendingLimitSet => "SpendingLimitSet",
            Self::JournalBooked => "JournalBooked",
            Self::JournalOpened => "JournalOpened",
            Self::JournalReserved => "JournalReserved",
            Self::JournalRefused => "JournalRefused",
            Self::JournalAnswered => "JournalAnswered",
            Self::JournalPosted => "JournalPosted",
            Self::JournalCancelled => "JournalCancelled",
            Self::ConsumerCreated => "ConsumerCreated",
            Self::ConsumerAdvanced => "ConsumerAdvanced",
            Self::ConsumerParked => "ConsumerParked",
            Self::ConsumerResumed => "ConsumerResumed",
            Self::ConsumerMoved => "ConsumerMoved",
            Self::ConsumerRemoved => "ConsumerRemoved",
            Self::ReferenceClaimed => "ReferenceClaimed",
            Self::ReferenceReleased => "ReferenceReleased",
            Self::CustomerRegistered => "CustomerRegistered",
            Self::AccountAttached => "AccountAttached",
            Self::AccountDetached => "AccountDetached",
            Self::ProfileSet => "ProfileSet",
            Self::LegalHoldPlaced => "LegalHoldPlaced",
            Self::LegalHoldLifted => "LegalHoldLifted",
            Self::CustomerErased => "CustomerErased",
        }
    }

    /// The kind with a name; of capitals no notice is taken.
    pub fn from_name(name: &str) -> Option<Self> {
        let is_it = |kind: &Self| kind.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_it)
    }
}

/// An amount that an event names, greater than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Minor units.
    pub units: i64,
    /// In which currency.
    pub currency: Kept,
}

/// A currency, as an event tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// This one.
    In(Currency),
    /// That of an account.
    AsOf(AccountId),
}

impl Event {
    /// Its kind.
    pub fn kind(&self) -> EventKind {
        use EventKind as K;
        match self {
            Self::AccountOpened { .. } => K::AccountOpened,
            Self::HouseAccountOpened { .. } => K::HouseAccountOpened,
            Self::FundsDeposited { .. } => K::FundsDeposited,
            Self::FundsWithdrawn { .. } => K::FundsWithdrawn,
            Self::FundsTransferred { .. } => K::FundsTransferred,
            Self::TransferSent { .. } => K::TransferSent,
            Self::TransferReceived { .. } => K::TransferReceived,
            Self::TransferRefused { .. } => K::TransferRefused,
            Self::TransferSettled { .. } => K::TransferSettled,
            Self::TransferReturned { .. } => K::TransferReturned,
            Self::AccountClosed { .. } => K::AccountClosed,
            Self::ItemsForgotten { .. } => K::ItemsForgotten,
            Self::Hold(event) => match event.change {
                HoldChange::Placed { .. } => K::HoldPlaced,
                HoldChange::Raised { .. } => K::HoldRaised,
                HoldChange::Captured { .. } => K::HoldCaptured,
                HoldChange::Released { .. } => K::HoldReleased,
                HoldChange::Expired { .. } => K::HoldExpired,
                HoldChange::Late { .. } => K::HoldLate,
            },
            Self::AccountFrozen { .. } => K::AccountFrozen,
            Self::AccountThawed { .. } => K::AccountThawed,
            Self::TransferSuspended { .. } => K::TransferSuspended,
            Self::LimitChanged { .. } => K::LimitChanged,
            Self::SuspenseCleared(_) => K::SuspenseCleared,
            Self::Reversed(_) => K::TransactionReversed,
            Self::DayClosed { .. } => K::DayClosed,
            Self::SpendingLimitSet { .. } => K::SpendingLimitSet,
            Self::Journal(event) => match event {
                JournalEvent::Booked { .. } => K::JournalBooked,
                JournalEvent::Opened { .. } => K::JournalOpened,
                JournalEvent::Reserved { .. } => K::JournalReserved,
                JournalEvent::Refused { .. } => K::JournalRefused,
                JournalEvent::Answered { .. } => K::JournalAnswered,
                JournalEvent::Posted { .. } => K::JournalPosted,
                JournalEvent::Cancelled { .. } => K::JournalCancelled,
            },
            Self::Consumer(event) => match event.change {
                ConsumerChange::Created { .. } => K::ConsumerCreated,
                ConsumerChange::Advanced { .. } => K::ConsumerAdvanced,
                ConsumerChange::Parked { .. } => K::ConsumerParked,
                ConsumerChange::Resumed { .. } => K::ConsumerResumed,
                ConsumerChange::Moved { .. } => K::ConsumerMoved,
                ConsumerChange::Removed => K::ConsumerRemoved,
            },
            Self::ReferenceClaimed(_) => K::ReferenceClaimed,
            Self::ReferenceReleased(_) => K::ReferenceReleased,
            Self::Customer(event) => match &event.change {
                CustomerChange::Registered => K::CustomerRegistered,
                CustomerChange::Attached(_) => K::AccountAttached,
                CustomerChange::Detached { .. } => K::AccountDetached,
                CustomerChange::ProfileSet(_) => K::ProfileSet,
                CustomerChange::LegalHoldPlaced => K::LegalHoldPlaced,
                CustomerChange::LegalHoldLifted => K::LegalHoldLifted,
                CustomerChange::Erased => K::CustomerErased,
            },
        }
    }

    /// What it leaves behind of accounts of its book.
    pub fn afters(&self) -> Vec<After> {
        match self {
            Self::FundsDeposited { after, .. }
            | Self::FundsWithdrawn { after, .. }
            | Self::AccountFrozen { after, .. }
            | Self::AccountThawed { after, .. }
            | Self::LimitChanged { after, .. }
            | Self::SpendingLimitSet { after, .. } => vec![*after],
            Self::FundsTransferred { payer, payee, .. } => vec![*payer, *payee],
            Self::TransferSent { payer, .. } => vec![*payer],
            Self::TransferReceived { payee, .. } => vec![*payee],
            Self::TransferReturned { payer, .. } => payer.iter().copied().collect(),
            Self::Hold(event) => vec![event.after],
            Self::SuspenseCleared(cleared) => match &cleared.to {
                Cleared::Account(after) => vec![*after],
                Cleared::House(_) | Cleared::Sent { .. } => Vec::new(),
            },
            Self::Journal(event) => lines(event).iter().filter_map(|line| line.after).collect(),
            Self::AccountOpened { .. }
            | Self::HouseAccountOpened { .. }
            | Self::TransferRefused { .. }
            | Self::TransferSettled { .. }
            | Self::AccountClosed { .. }
            | Self::ItemsForgotten { .. }
            | Self::DayClosed { .. }
            | Self::TransferSuspended { .. }
            | Self::ReferenceClaimed(_)
            | Self::ReferenceReleased(_)
            | Self::Customer(_)
            | Self::Consumer(_)
            | Self::Reversed(_) => Vec::new(),
        }
    }

    /// The accounts that it names, of its own book and of others, each once. What only refers to a
    /// transfer by its number names none.
    pub fn accounts(&self) -> Vec<AccountId> {
        let mut named: Vec<_> = self.afters().iter().map(|after| after.account).collect();
        match self {
            Self::AccountOpened { account, .. } | Self::AccountClosed { account, .. } => {
                named.push(*account);
            }
            Self::ReferenceClaimed(claim) | Self::ReferenceReleased(claim) => {
                named.push(claim.account);
            }
            Self::Customer(event) => named.extend(event.change.account()),
            Self::TransferSent { item, .. } => named.extend([item.payer, item.payee]),
            Self::TransferReceived { payer, .. } => named.push(*payer),
            Self::TransferSuspended { payee, payer, .. } => named.extend([*payee, *payer]),
            Self::SuspenseCleared(cleared) => {
                named.push(cleared.owner);
                if let Cleared::Sent { item, .. } = &cleared.to {
                    named.extend([item.payer, item.payee]);
                }
            }
            Self::Journal(event) => {
                let own = lines(event).iter().map(|line| &line.leg);
                let asked: &[Ask] = match event {
                    JournalEvent::Opened { asks, .. } => asks,
                    _ => &[],
                };
                let legs = own.chain(asked.iter().flat_map(|ask| &ask.legs));
                let parties = legs.flat_map(|leg| [&leg.party, &leg.against]);
                named.extend(parties.filter_map(|party| match party {
                    Party::Account(id) => Some(*id),
                    Party::House(_) => None,
                }));
            }
            _ => {}
        }
        let mut once = Vec::with_capacity(named.len());
        for id in named {
            if !once.contains(&id) {
                once.push(id);
            }
        }
        once
    }

    /// The amounts that it names: of a journal, one for each leg of its book.
    pub fn figures(&self) -> Vec<Figure> {
        let of = |units: i64, currency: &Currency| {
            let currency = Kept::In(*currency);
            vec![Figure { units, currency }]
        };
        match self {
            Self::FundsDeposited {
                amount, currency, ..
            }
            | Self::FundsWithdrawn {
                amount, currency, ..
            }
            | Self::FundsTransferred {
                amount, currency, ..
            }
            | Self::TransferReceived {
                amount, currency, ..
            }
            | Self::TransferSuspended {
                amount, currency, ..
            } => of(amount.minor_units(), currency),
            Self::TransferSent { item, .. } => of(item.amount.minor_units(), &item.currency),
            Self::SuspenseCleared(cleared) => of(cleared.amount.minor_units(), &cleared.currency),
            Self::Hold(event) => {
                let amount = match event.change {
                    HoldChange::Placed { amount, .. }
                    | HoldChange::Raised { by: amount }
                    | HoldChange::Captured { amount, .. }
                    | HoldChange::Late { amount }
                    | HoldChange::Released { released: amount }
                    | HoldChange::Expired { released: amount } => amount,
                };
                let currency = Kept::AsOf(event.after.account);
                let units = amount.minor_units();
                vec![Figure { units, currency }]
            }
            Self::Journal(event) => {
                let legs = lines(event).iter().map(|line| &line.leg);
                legs.flat_map(|leg| of(leg.amount.minor_units(), &leg.currency))
                    .collect()
            }
            Self::AccountOpened { .. }
            | Self::HouseAccountOpened { .. }
            | Self::TransferRefused { .. }
            | Self::TransferSettled { .. }
            | Self::TransferReturned { .. }
            | Self::AccountClosed { .. }
            | Self::ItemsForgotten { .. }
            | Self::AccountFrozen { .. }
            | Self::AccountThawed { .. }
            | Self::LimitChanged { .. }
            | Self::SpendingLimitSet { .. }
            | Self::DayClosed { .. }
            | Self::ReferenceClaimed(_)
            | Self::ReferenceReleased(_)
            | Self::Customer(_)
            | Self::Consumer(_)
            | Self::Reversed(_) => Vec::new(),
        }
    }

    /// The transaction that it follows from, or is about: the payment that it receives, the opening of
    /// its journal, what it reverses, what put in suspense what it clears.
    pub fn refers_to(&self) -> Option<TransactionId> {
        match self {
            Self::TransferReceived {
                item,
                source_index,
                source_ordinal,
                ..
            }
            | Self::TransferSuspended {
                item,
                source_index,
                source_ordinal,
                ..
            } => Some(TransactionId {
                position: Position {
                    shard: item.source,
                    epoch: item.source_epoch,
                    index: *source_index,
                },
                ordinal: *source_ordinal,
            }),
            Self::SuspenseCleared(cleared) => Some(cleared.put),
            Self::Reversed(reversed) => Some(reversed.original),
            Self::Journal(event) => match event {
                JournalEvent::Reserved { opened, .. } => Some(*opened),
                JournalEvent::Refused { opened, .. } | JournalEvent::Posted { opened, .. } => {
                    *opened
                }
                JournalEvent::Opened { reverses, .. } => reverses.as_ref().map(|it| it.original),
                JournalEvent::Cancelled { reverses, .. } => reverses.as_ref().map(|it| it.original),
                JournalEvent::Booked { .. } | JournalEvent::Answered { .. } => None,
            },
            _ => None,
        }
    }
}

fn lines(event: &JournalEvent) -> &[Line] {
    match event {
        JournalEvent::Booked { lines, .. }
        | JournalEvent::Opened { lines, .. }
        | JournalEvent::Reserved { lines, .. }
        | JournalEvent::Posted { lines, .. }
        | JournalEvent::Cancelled { lines, .. } => lines,
        JournalEvent::Refused { .. } | JournalEvent::Answered { .. } => &[],
    }
}
