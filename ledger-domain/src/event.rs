//! Facts, in the past tense, never changed.

use bytes::Bytes;

use crate::{
    AccountId, Amount, Currency, Date, Freeze, Hash, HouseCode, Limit, Rejection, Sealed, ShardId,
    SpendingLimit,
    command::{Channel, CommandInfo, Kind},
    consumer::ConsumerEvent,
    customer::CustomerEvent,
    day::FrozenRow,
    freeze::FreezeType,
    hold::HoldEvent,
    journal::JournalEvent,
    reference::Claim,
    reversal::TransactionReversed,
    suspense::{Cleared, SuspenseCleared},
};

/// What a movement leaves behind. It makes an event explain itself, and a replay check itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Which account.
    pub account: AccountId,
    /// Its booked sum now, minor units.
    pub posted: i64,
    /// Its version now.
    pub version: u64,
    /// What is held of it now, minor units.
    pub held: i64,
}

/// Names an item of a peer's channel beyond doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemRef {
    /// Who owes it.
    pub source: ShardId,
    /// Under which reign it was written.
    pub source_epoch: u64,
    /// Its number in the channel, from 1.
    pub number: u64,
    /// BLAKE3 of the item as stored.
    pub hash: Hash,
}

/// One numbered thing a shard owes another: a credit on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelItem {
    /// Who owes it.
    pub source: ShardId,
    /// Under which reign it was written.
    pub source_epoch: u64,
    /// Whom it is owed.
    pub destination: ShardId,
    /// Its number in the channel, from 1, without gaps.
    pub number: u64,
    /// Who pays.
    pub payer: AccountId,
    /// Who is paid.
    pub payee: AccountId,
    /// In which currency.
    pub currency: Currency,
    /// How much.
    pub amount: Amount,
    /// From which date it counts.
    pub effective_date: Date,
    /// Sealed to the payee's domain.
    pub memo: Option<Sealed>,
    /// The payer's correlation id.
    pub correlation_id: String,
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the fields are described once, in the stored format's file"
)]
pub enum Event {
    /// An account began.
    AccountOpened {
        account: AccountId,
        currency: Currency,
        limit: Limit,
        opened_on: Date,
    },
    /// A house account began in this book.
    HouseAccountOpened { code: HouseCode, currency: Currency },
    /// after +amount, house −amount.
    FundsDeposited {
        after: After,
        house: HouseCode,
        currency: Currency,
        amount: Amount,
    },
    /// after −amount, house +amount.
    FundsWithdrawn {
        after: After,
        house: HouseCode,
        currency: Currency,
        amount: Amount,
    },
    /// Within one book: payer −amount, payee +amount.
    FundsTransferred {
        payer: After,
        payee: After,
        currency: Currency,
        amount: Amount,
    },
    /// payer −amount, in-transit(destination) +amount. Holds the item and its stored bytes.
    TransferSent {
        payer: After,
        item: ChannelItem,
        stored: Bytes,
    },
    /// due-from(source) −amount, payee +amount.
    TransferReceived {
        item: ItemRef,
        payee: After,
        payer: AccountId,
        currency: Currency,
        amount: Amount,
        effective_date: Date,
        memo: Option<Sealed>,
        source_index: u64,
        source_ordinal: u32,
    },
    /// The destination cannot take it.
    TransferRefused { item: ItemRef, rejection: Rejection },
    /// in-transit(destination) −amount, due-to(destination) +amount.
    TransferSettled { destination: ShardId, number: u64 },
    /// in-transit(destination) −amount, payer (or suspense, where absent) +amount.
    TransferReturned {
        destination: ShardId,
        number: u64,
        payer: Option<After>,
        rejection: Rejection,
    },
    /// An account ended.
    AccountClosed {
        account: AccountId,
        version: u64,
        closed_on: Date,
    },
    /// Something happened to a hold; where it was captured, the payment is the next event.
    Hold(HoldEvent),
    /// Repeats of these cannot come any more.
    ItemsForgotten { source: ShardId, through: u64 },
    /// An account is frozen, or a freeze of this type is another now.
    AccountFrozen { after: After, freeze: Freeze },
    /// A freeze was lifted. That one is over by itself is no event.
    AccountThawed { after: After, kind: FreezeType },
    /// An account may go this far below zero from now on.
    LimitChanged { after: After, limit: Limit },
    /// So much may be spent by a channel from now on; and so much was, on the business date.
    SpendingLimitSet {
        after: After,
        channel: Channel,
        limit: SpendingLimit,
        date: Date,
        spent: i64,
    },
    /// A day is closed, and all before it; what the book comes to, in the order of its rows.
    DayClosed { date: Date, frozen: Vec<FrozenRow> },
    /// due-from(source) −amount, suspense +amount: the payee is frozen, and what arrives is kept.
    TransferSuspended {
        item: ItemRef,
        payee: AccountId,
        payer: AccountId,
        currency: Currency,
        amount: Amount,
        effective_date: Date,
        memo: Option<Sealed>,
        source_index: u64,
        source_ordinal: u32,
        rejection: Rejection,
    },
    /// suspense −amount, where it was cleared to +amount.
    SuspenseCleared(SuspenseCleared),
    /// A part of an earlier transaction is moved back: the payment is the next event.
    Reversed(TransactionReversed),
    /// Something happened to a journal.
    Journal(JournalEvent),
    /// A reference stands for an account; it may have before.
    ReferenceClaimed(Claim),
    /// A reference of an account stands for nobody.
    ReferenceReleased(Claim),
    /// Something happened to a customer.
    Customer(CustomerEvent),
    /// Something happened to a consumer group.
    Consumer(ConsumerEvent),
}

impl Event {
    /// What of an earlier transaction it moves back.
    pub fn reverses(&self) -> Option<&TransactionReversed> {
        match self {
            Self::Reversed(event) => Some(event),
            Self::Journal(JournalEvent::Opened { reverses, .. }) => reverses.as_ref(),
            _ => None,
        }
    }

    /// The item that it puts on its way to another shard, and its stored bytes.
    pub fn sends(&self) -> Option<(&ChannelItem, &Bytes)> {
        match self {
            Self::TransferSent { item, stored, .. } => Some((item, stored)),
            Self::SuspenseCleared(SuspenseCleared {
                to: Cleared::Sent { item, stored },
                ..
            }) => Some((item, stored)),
            _ => None,
        }
    }
}

/// What became of one command, or of another shard's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The command; `None` where the outcome follows from another shard's entry.
    pub command: Option<CommandRecord>,
    /// Its events, or why there are none.
    pub result: Result<Vec<Event>, Rejection>,
}

impl Outcome {
    /// Whether the log has words that belong to it: a memo, references, a reason.
    pub fn has_words(&self) -> bool {
        let of_command = self.command.as_ref().is_some_and(|command| {
            let info = &command.info;
            info.memo.is_some()
                || info.external_reference.is_some()
                || !info.correlation_id.is_empty()
                || !info.reason.is_empty()
        });
        let has_memo = |event: &Event| match event {
            Event::TransferReceived { memo, .. } | Event::TransferSuspended { memo, .. } => {
                memo.is_some()
            }
            _ => false,
        };
        of_command || self.result.iter().flatten().any(has_memo)
    }
}

/// A command as its outcome remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRecord {
    /// Who asked and how.
    pub info: CommandInfo,
    /// What kind of thing.
    pub kind: Kind,
    /// The account it named first.
    pub account: AccountId,
    /// The date it counts from.
    pub effective_date: Date,
}
