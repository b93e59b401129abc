//! Known bugs, for the proof that the simulator would notice them.
//!
//! Each is a mistake that somebody could make, at the one place where it would be made, behind
//! [`planted`]. Without the feature `planted-bugs` that is `false` at compile time: no trace of
//! any of them is in the program. The simulator's own build turns the feature on, and then one bug
//! can be chosen for a process, before its first node starts.

/// A mistake that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The log calls written what a power cut can still take.
    NoSyncBeforeAck,
    /// A caller is answered when the entry is proposed, not when it is applied.
    ReplyBeforeApply,
    /// A refusal is told when its entry is proposed, not when it is applied.
    RejectionBeforeApply,
    /// A leader that was restarted leads on without an election.
    LeaderRestored,
    /// The writer decides before its reign's blank entry is applied here.
    WriterOpensEarly,
    /// A view folds entries that are void.
    VoidEntryFolded,
    /// A command whose entry's fate is unknown is decided again: taken for never decided, its key is
    /// not looked for either. With that look the ledger has a second line that holds.
    UnknownDecidedAgain,
    /// A snapshot leaves out the keys of commands.
    KeysLostInSnapshot,
    /// A key answers whatever is asked under it, without a look at the body.
    KeyWithoutBody,
    /// An item of a channel is acted on whatever its number.
    ItemNumberUnchecked,
    /// An item that is not the one that was recorded under its number stops nothing.
    ItemHashUnchecked,
    /// An item is acted on before it is durable in this region.
    CopyUnsynced,
    /// An item is acted on by shards that it was not sent to.
    CreditWithoutItem,
    /// A follower takes a snapshot's place in the log, but not its data.
    SnapshotWithoutData,
    /// Records that a snapshot overruled are kept below the purge.
    StaleTailKept,
    /// A view's cursor is written before its rows.
    CursorBeforeRows,
    /// A view calls complete one nanosecond more than it has folded.
    WatermarkTooNew,
    /// An entry counts whatever reign it was decided under.
    EpochUnchecked,
    /// A session's place in one shard is compared with another shard's index.
    TokenAcrossShards,
    /// History that is fetched later is stored without a look at its chain.
    BackfillUnverified,
    /// A clock follows any time, however far ahead.
    ClockBoundIgnored,
    /// A node says how old an answer is by its own clock, however wrong that is.
    WrongClockBelieved,
    /// Holds expire by the leader's own clock, not by the time of the entry.
    ExpiryByLocalClock,
    /// What was reversed of a transaction is not looked at before more of it is.
    ReversalsUncounted,
    /// A daily limit is compared with one command alone, not with all that was spent.
    SpendingUncounted,
    /// What a journal has set aside is still there for others to spend.
    ReservationsUncounted,
    /// A shard that has set legs aside posts them, however the journal was decided.
    CancelledJournalPosted,
    /// What a member has not acknowledged when it leaves is not told to the next.
    ConsumerTellsOnce,
}

/// Is this bug planted in this process?
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn planted(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use chosen::{choose, planted};

#[cfg(feature = "planted-bugs")]
mod chosen {
    use std::sync::OnceLock;

    use super::Bug;

    static CHOSEN: OnceLock<Bug> = OnceLock::new();

    /// Plants a bug in this process, for as long as it lives. Another chosen before stays.
    pub fn choose(bug: Bug) {
        CHOSEN.get_or_init(|| bug);
    }

    /// Is this bug planted in this process?
    ///
    /// By name, so that a program in which any bug can be planted has their names in it, and a
    /// test can look for them.
    pub fn planted(bug: Bug) -> bool {
        CHOSEN
            .get()
            .is_some_and(|chosen| chosen.name() == bug.name())
    }
}

impl Bug {
    /// All of them.
    pub const ALL: &[Bug] = &[
        Bug::NoSyncBeforeAck,
        Bug::ReplyBeforeApply,
        Bug::RejectionBeforeApply,
        Bug::LeaderRestored,
        Bug::WriterOpensEarly,
        Bug::VoidEntryFolded,
        Bug::UnknownDecidedAgain,
        Bug::KeysLostInSnapshot,
        Bug::KeyWithoutBody,
        Bug::ItemNumberUnchecked,
        Bug::ItemHashUnchecked,
        Bug::CopyUnsynced,
        Bug::CreditWithoutItem,
        Bug::SnapshotWithoutData,
        Bug::StaleTailKept,
        Bug::CursorBeforeRows,
        Bug::WatermarkTooNew,
        Bug::EpochUnchecked,
        Bug::TokenAcrossShards,
        Bug::BackfillUnverified,
        Bug::ClockBoundIgnored,
        Bug::WrongClockBelieved,
        Bug::ExpiryByLocalClock,
        Bug::ReversalsUncounted,
        Bug::SpendingUncounted,
        Bug::ReservationsUncounted,
        Bug::CancelledJournalPosted,
        Bug::ConsumerTellsOnce,
    ];

    /// What a person calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Bug::NoSyncBeforeAck => "no-sync-before-ack",
            Bug::ReplyBeforeApply => "reply-before-apply",
            Bug::RejectionBeforeApply => "rejection-before-apply",
            Bug::LeaderRestored => "leader-restored",
            Bug::WriterOpensEarly => "writer-opens-early",
            Bug::VoidEntryFolded => "void-entry-folded",
            Bug::UnknownDecidedAgain => "unknown-decided-again",
            Bug::KeysLostInSnapshot => "keys-lost-in-snapshot",
            Bug::KeyWithoutBody => "key-without-body",
            Bug::ItemNumberUnchecked => "item-number-unchecked",
            Bug::ItemHashUnchecked => "item-hash-unchecked",
            Bug::CopyUnsynced => "copy-unsynced",
            Bug::CreditWithoutItem => "credit-without-item",
            Bug::SnapshotWithoutData => "snapshot-without-data",
            Bug::StaleTailKept => "stale-tail-kept",
            Bug::CursorBeforeRows => "cursor-before-rows",
            Bug::WatermarkTooNew => "watermark-too-new",
            Bug::EpochUnchecked => "epoch-unchecked",
            Bug::TokenAcrossShards => "token-across-shards",
            Bug::BackfillUnverified => "backfill-unverified",
            Bug::ClockBoundIgnored => "clock-bound-ignored",
            Bug::WrongClockBelieved => "wrong-clock-believed",
            Bug::ExpiryByLocalClock => "expiry-by-local-clock",
            Bug::ReversalsUncounted => "reversals-uncounted",
            Bug::SpendingUncounted => "spending-uncounted",
            Bug::ReservationsUncounted => "reservations-uncounted",
            Bug::CancelledJournalPosted => "cancelled-journal-posted",
            Bug::ConsumerTellsOnce => "consumer-tells-once",
        }
    }

    /// What it does, in a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Bug::NoSyncBeforeAck => "The log calls written what a power cut can still take.",
            Bug::ReplyBeforeApply => {
                "A caller is answered when the entry is proposed, not when it is applied."
            }
            Bug::RejectionBeforeApply => {
                "A refusal is told when its entry is proposed, not when it is applied."
            }
            Bug::LeaderRestored => "A leader that was restarted leads on without an election.",
            Bug::WriterOpensEarly => {
                "The writer decides before its reign's blank entry is applied here."
            }
            Bug::VoidEntryFolded => "A view folds entries that are void.",
            Bug::UnknownDecidedAgain => "A command whose entry's fate is unknown is decided again.",
            Bug::KeysLostInSnapshot => "A snapshot leaves out the keys of commands.",
            Bug::KeyWithoutBody => {
                "A key answers whatever is asked under it, without a look at the body."
            }
            Bug::ItemNumberUnchecked => "An item of a channel is acted on whatever its number.",
            Bug::ItemHashUnchecked => {
                "Some items are altered in memory, and nobody compares what was decided with what was sent."
            }
            Bug::CopyUnsynced => "An item is acted on before it is durable in this region.",
            Bug::CreditWithoutItem => "An item is acted on by shards that it was not sent to.",
            Bug::SnapshotWithoutData => {
                "A follower takes a snapshot's place in the log, but not its data."
            }
            Bug::StaleTailKept => "Records that a snapshot overruled are kept below the purge.",
            Bug::CursorBeforeRows => "A view's cursor is written before its rows.",
            Bug::WatermarkTooNew => "A view calls complete one nanosecond more than it has folded.",
            Bug::EpochUnchecked => "An entry counts whatever reign it was decided under.",
            Bug::TokenAcrossShards => {
                "A session's place in one shard is compared with another shard's index."
            }
            Bug::BackfillUnverified => {
                "History that is fetched later is stored without a look at its chain."
            }
            Bug::ClockBoundIgnored => "A clock follows any time, however far ahead.",
            Bug::WrongClockBelieved => {
                "A node says how old an answer is by its own clock, however wrong that is."
            }
            Bug::ExpiryByLocalClock => {
                "Holds expire by the leader's own clock, not by the time of the entry."
            }
            Bug::ReversalsUncounted => {
                "What was reversed of a transaction is not looked at before more of it is."
            }
            Bug::SpendingUncounted => {
                "A daily limit is compared with one command alone, not with all that was spent."
            }
            Bug::ReservationsUncounted => {
                "What a journal has set aside is still there for others to spend."
            }
            Bug::CancelledJournalPosted => {
                "A shard that has set legs aside posts them, however the journal was decided."
            }
            Bug::ConsumerTellsOnce => {
                "What a member has not acknowledged when it leaves is not told to the next."
            }
        }
    }

    /// The bug of a name.
    pub fn from_name(name: &str) -> Option<Bug> {
        Bug::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}
