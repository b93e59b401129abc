//! What a caller asks, and who asks it.

use crate::{
    AccountId, Amount, Conditions, Currency, CustomerId, Date, Fingerprint, Freeze, HouseCode,
    KeyDigest, Limit, Moved, Sealed, ShardId, SpendingLimit, TransactionId,
    consumer::{ConsumerChange, ConsumerId},
    customer::CustomerAction,
    freeze::FreezeType,
    hold::{HoldAction, Payee},
    journal::{Legs, Rate},
    reference::Claim,
};

/// How a command came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Channel {
    /// A person at a desk.
    Teller = 1,
    /// A machine in a wall.
    Atm = 2,
    /// A file of many.
    Batch = 3,
    /// The ledger itself.
    System = 4,
    /// A payment card.
    Card = 5,
    /// A customer, over the network.
    Online = 6,
}

impl Channel {
    /// Those by which spending is counted, and can be limited: all that callers state.
    pub const LIMITED: [Self; 5] = [
        Self::Teller,
        Self::Atm,
        Self::Batch,
        Self::Card,
        Self::Online,
    ];

    /// The channel with a stored number.
    pub fn from_number(number: i32) -> Option<Self> {
        let all = Self::LIMITED.into_iter().chain([Self::System]);
        all.into_iter().find(|channel| *channel as i32 == number)
    }
}

/// Who asked, under which key, and what is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandInfo {
    /// Keyed digest of caller, account and idempotency key.
    pub key: KeyDigest,
    /// Keyed digest of the body.
    pub fingerprint: Fingerprint,
    /// When the caller first tried, ms since 1970.
    pub first_attempt_ms: u64,
    /// The caller's name.
    pub actor: String,
    /// Whether somebody vouches for that name.
    pub authenticated: bool,
    /// How it came in.
    pub channel: Channel,
    /// Keyed digest of the caller's reference.
    pub reference: Option<[u8; 16]>,
    /// Ties together what different systems did for one purpose.
    pub correlation_id: String,
    /// Why, where the caller says so. Not for personal data.
    pub reason: String,
    /// Whether it takes a privilege: a forced debit, a change of a limit, a clearing of suspense, the
    /// close of a day, or what decides whether a customer is erased.
    pub privileged: bool,
    /// Whether it may count from a day that is closed; in an outcome, that it does.
    pub into_closed_day: bool,
    /// The date asked for; the business date where none was.
    pub effective_date: Option<Date>,
    /// Sealed to the account's residency domain.
    pub memo: Option<Sealed>,
    /// Sealed to the account's residency domain.
    pub external_reference: Option<Sealed>,
    /// Its place in its group; `None` where it is decided on its own.
    pub group: Option<GroupPlace>,
}

/// The most commands a group may have.
pub const LONGEST_GROUP: usize = 64;

/// The place of a command in a group: commands that are done in their order, all or none.
///
/// The first one's key is the group's, and so are everybody's fingerprints. Done, they are outcomes
/// one after the other in the same entry. Refused, they are one outcome: that of the first command
/// that could not be done, under the group's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPlace {
    /// Which command it is, from 1.
    pub item: u32,
    /// Of how many: two or more, up to [`LONGEST_GROUP`].
    pub of: u32,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open an account.
    Open {
        /// Its id.
        account: AccountId,
        /// What it is kept in.
        currency: Currency,
        /// How far below zero it may go.
        limit: Limit,
        /// The first date anything may be effective on; the business date where none is given.
        opened_on: Option<Date>,
    },
    /// Take money in against a house account.
    Deposit {
        /// Whose.
        account: AccountId,
        /// Where it comes from.
        house: HouseCode,
        /// In which currency.
        currency: Currency,
        /// How much.
        amount: Amount,
    },
    /// Pay money out against a house account.
    Withdraw {
        /// Whose.
        account: AccountId,
        /// Where it goes.
        house: HouseCode,
        /// In which currency.
        currency: Currency,
        /// How much.
        amount: Amount,
    },
    /// Move money to another account, anywhere.
    Transfer {
        /// The payer.
        from: AccountId,
        /// The payee.
        to: AccountId,
        /// The payee's shard, as the directory has it.
        to_shard: ShardId,
        /// In which currency.
        currency: Currency,
        /// How much.
        amount: Amount,
        /// The memo, sealed to the payee's domain.
        payee_memo: Option<Sealed>,
    },
    /// Close an account, for ever.
    Close {
        /// Which.
        account: AccountId,
        /// Who gets what is left in it; where nobody is named, it has to be empty.
        sweep: Option<Payee>,
    },
    /// Take an item out of suspense. Privileged.
    ClearSuspense {
        /// Whose it is.
        owner: AccountId,
        /// The transaction that put it there.
        put: TransactionId,
        /// Who gets it.
        to: Payee,
    },
    /// Move back what a transaction moved, or a part of it.
    Reverse {
        /// An account that paid or was paid.
        account: AccountId,
        /// The transaction.
        original: TransactionId,
        /// What it moved, out of the log; `None` where that cannot be moved back.
        moved: Option<Box<Moved>>,
        /// How much; all that is not reversed where nothing is said.
        money: Option<(Currency, Amount)>,
    },
    /// Something about a hold.
    Hold {
        /// Whose money.
        account: AccountId,
        /// What.
        action: HoldAction,
    },
    /// Freeze an account, or change a freeze.
    Freeze {
        /// Which.
        account: AccountId,
        /// How.
        freeze: Freeze,
    },
    /// Change how far below zero an account may go. Privileged.
    SetLimit {
        /// Which.
        account: AccountId,
        /// How far from now on; where it is in use further than that, the account is in excess.
        limit: Limit,
    },
    /// Change how much may be spent by a channel. Privileged.
    SetSpendingLimit {
        /// Of which account.
        account: AccountId,
        /// By which channel; [`Channel::System`] is never limited.
        channel: Channel,
        /// How much from now on, in place of what was; where more was spent today, it is in excess.
        limit: SpendingLimit,
    },
    /// Close a business day, and all days before it, in one shard. Privileged.
    CloseDay {
        /// The name of the shard's books, in place of an account: [`AccountId::of_books`].
        books: AccountId,
        /// Which day.
        date: Date,
    },
    /// Let a reference stand for an account. Again for the same account: an opening that was refused
    /// leaves a claim behind.
    ClaimReference {
        /// Where it is kept, in place of an account: [`AccountId::of_reference`].
        place: AccountId,
        /// Which, and for whom.
        claim: Claim,
    },
    /// Let a reference stand for nobody.
    ReleaseReference {
        /// Where it is kept, in place of an account: [`AccountId::of_reference`].
        place: AccountId,
        /// Which, and whose it must be.
        claim: Claim,
    },
    /// Something about a customer.
    Customer {
        /// Where it is kept, in place of an account: [`CustomerId::place`].
        place: AccountId,
        /// Whom.
        customer: CustomerId,
        /// What.
        action: CustomerAction,
    },
    /// Something about a consumer group.
    Consumer {
        /// Where it is kept, in place of an account: [`ConsumerId::place`].
        place: AccountId,
        /// Which.
        consumer: ConsumerId,
        /// What.
        change: ConsumerChange,
    },
    /// Debit and credit any accounts anywhere, all or none; with a rate, an exchange.
    Journal {
        /// What is debited and credited.
        legs: Legs,
        /// The rate of exchange, to be recorded.
        rate: Option<Rate>,
    },
    /// Lift a freeze.
    Unfreeze {
        /// Of which account.
        account: AccountId,
        /// Which of its freezes.
        kind: FreezeType,
    },
}

/// The kind of an action, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Kind {
    /// [`Action::Open`].
    Open = 1,
    /// [`Action::Deposit`].
    Deposit = 2,
    /// [`Action::Withdraw`].
    Withdraw = 3,
    /// [`Action::Transfer`].
    Transfer = 4,
    /// [`Action::Close`].
    Close = 5,
    /// [`HoldAction::Place`].
    PlaceHold = 10,
    /// [`HoldAction::Raise`].
    RaiseHold = 11,
    /// [`HoldAction::Capture`].
    CaptureHold = 12,
    /// [`HoldAction::Release`].
    ReleaseHold = 13,
    /// [`Action::Freeze`].
    Freeze = 20,
    /// [`Action::Unfreeze`].
    Unfreeze = 21,
    /// [`Action::SetLimit`].
    SetLimit = 22,
    /// [`Action::ClearSuspense`].
    ClearSuspense = 30,
    /// [`Action::Reverse`].
    Reverse = 31,
    /// [`Action::CloseDay`].
    CloseDay = 40,
    /// [`Action::SetSpendingLimit`].
    SetSpendingLimit = 41,
    /// [`Action::Journal`].
    Journal = 50,
    /// [`Action::Journal`] with a rate of exchange.
    Exchange = 51,
    /// [`ConsumerChange::Created`].
    CreateConsumer = 80,
    /// [`ConsumerChange::Advanced`].
    AdvanceConsumer = 81,
    /// [`ConsumerChange::Parked`].
    ParkConsumer = 82,
    /// [`ConsumerChange::Resumed`].
    ResumeConsumer = 83,
    /// [`ConsumerChange::Moved`].
    MoveConsumer = 84,
    /// [`ConsumerChange::Removed`].
    RemoveConsumer = 85,
    /// [`Action::ClaimReference`].
    ClaimReference = 100,
    /// [`Action::ReleaseReference`].
    ReleaseReference = 101,
    /// [`CustomerAction::Register`].
    RegisterCustomer = 102,
    /// [`CustomerAction::Attach`].
    AttachAccount = 103,
    /// [`CustomerAction::Detach`].
    DetachAccount = 104,
    /// [`CustomerAction::SetProfile`].
    SetProfile = 105,
    /// [`CustomerAction::PlaceLegalHold`].
    PlaceLegalHold = 106,
    /// [`CustomerAction::LiftLegalHold`].
    LiftLegalHold = 107,
    /// [`CustomerAction::Erase`].
    EraseCustomer = 108,
}

impl Kind {
    /// The kind with a stored number.
    pub fn from_number(number: i32) -> Option<Self> {
        [
            Self::Open,
            Self::Deposit,
            Self::Withdraw,
            Self::Transfer,
            Self::Close,
            Self::PlaceHold,
            Self::RaiseHold,
            Self::CaptureHold,
            Self::ReleaseHold,
            Self::Freeze,
            Self::Unfreeze,
            Self::SetLimit,
            Self::ClearSuspense,
            Self::Reverse,
            Self::CloseDay,
            Self::SetSpendingLimit,
            Self::Journal,
            Self::Exchange,
            Self::CreateConsumer,
            Self::AdvanceConsumer,
            Self::ParkConsumer,
            Self::ResumeConsumer,
            Self::MoveConsumer,
            Self::RemoveConsumer,
            Self::ClaimReference,
            Self::ReleaseReference,
            Self::RegisterCustomer,
            Self::AttachAccount,
            Self::DetachAccount,
            Self::SetProfile,
            Self::PlaceLegalHold,
            Self::LiftLegalHold,
            Self::EraseCustomer,
        ]
        .into_iter()
        .find(|k| *k as i32 == number)
    }

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Deposit => "deposit",
            Self::Withdraw => "withdraw",
            Self::Transfer => "transfer",
            Self::Close => "close",
            Self::PlaceHold => "place_hold",
            Self::RaiseHold => "raise_hold",
            Self::CaptureHold => "capture_hold",
            Self::ReleaseHold => "release_hold",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::SetLimit => "set limit",
            Self::ClearSuspense => "clear_suspense",
            Self::Reverse => "reverse",
            Self::CloseDay => "close_day",
            Self::SetSpendingLimit => "set_spending_limit",
            Self::Journal => "journal",
            Self::Exchange => "exchange",
            Self::CreateConsumer => "create_consumer",
            Self::AdvanceConsumer => "advance_consumer",
            Self::ParkConsumer => "park_consumer",
            Self::ResumeConsumer => "resume_consumer",
            Self::MoveConsumer => "move_consumer",
            Self::RemoveConsumer => "remove_consumer",
            Self::ClaimReference => "claim_reference",
            Self::ReleaseReference => "release_reference",
            Self::RegisterCustomer => "register_customer",
            Self::AttachAccount => "attach_account",
            Self::DetachAccount => "detach_account",
            Self::SetProfile => "set_profile",
            Self::PlaceLegalHold => "place_legal_hold",
            Self::LiftLegalHold => "lift_legal_hold",
            Self::EraseCustomer => "erase_customer",
        }
    }
}

impl Action {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Open { .. } => Kind::Open,
            Self::Deposit { .. } => Kind::Deposit,
            Self::Withdraw { .. } => Kind::Withdraw,
            Self::Transfer { .. } => Kind::Transfer,
            Self::Close { .. } => Kind::Close,
            Self::Hold { action, .. } => match action {
                HoldAction::Place { .. } => Kind::PlaceHold,
                HoldAction::Raise { .. } => Kind::RaiseHold,
                HoldAction::Capture { .. } => Kind::CaptureHold,
                HoldAction::Release { .. } => Kind::ReleaseHold,
            },
            Self::Freeze { .. } => Kind::Freeze,
            Self::Unfreeze { .. } => Kind::Unfreeze,
            Self::SetLimit { .. } => Kind::SetLimit,
            Self::ClearSuspense { .. } => Kind::ClearSuspense,
            Self::Reverse { .. } => Kind::Reverse,
            Self::CloseDay { .. } => Kind::CloseDay,
            Self::SetSpendingLimit { .. } => Kind::SetSpendingLimit,
            Self::Journal { rate: None, .. } => Kind::Journal,
            Self::Journal { rate: Some(_), .. } => Kind::Exchange,
            Self::ClaimReference { .. } => Kind::ClaimReference,
            Self::ReleaseReference { .. } => Kind::ReleaseReference,
            Self::Consumer { change, .. } => match change {
                ConsumerChange::Created { .. } => Kind::CreateConsumer,
                ConsumerChange::Advanced { .. } => Kind::AdvanceConsumer,
                ConsumerChange::Parked { .. } => Kind::ParkConsumer,
                ConsumerChange::Resumed { .. } => Kind::ResumeConsumer,
                ConsumerChange::Moved { .. } => Kind::MoveConsumer,
                ConsumerChange::Removed => Kind::RemoveConsumer,
            },
            Self::Customer { action, .. } => match action {
                CustomerAction::Register => Kind::RegisterCustomer,
                CustomerAction::Attach(_) => Kind::AttachAccount,
                CustomerAction::Detach(_) => Kind::DetachAccount,
                CustomerAction::SetProfile(_) => Kind::SetProfile,
                CustomerAction::PlaceLegalHold => Kind::PlaceLegalHold,
                CustomerAction::LiftLegalHold => Kind::LiftLegalHold,
                CustomerAction::Erase { .. } => Kind::EraseCustomer,
            },
        }
    }

    /// The account it names first: the one whose home decides it.
    pub const fn account(&self) -> AccountId {
        match self {
            Self::Open { account, .. }
            | Self::Deposit { account, .. }
            | Self::Withdraw { account, .. }
            | Self::Transfer { from: account, .. }
            | Self::Close { account, .. }
            | Self::Reverse { account, .. }
            | Self::Hold { account, .. }
            | Self::Freeze { account, .. }
            | Self::Unfreeze { account, .. }
            | Self::SetLimit { account, .. }
            | Self::SetSpendingLimit { account, .. }
            | Self::ClearSuspense { owner: account, .. }
            | Self::ClaimReference { place: account, .. }
            | Self::ReleaseReference { place: account, .. }
            | Self::Customer { place: account, .. }
            | Self::Consumer { place: account, .. }
            | Self::CloseDay { books: account, .. } => *account,
            Self::Journal { legs, .. } => legs.account(),
        }
    }
}

/// A command, ready to be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Who asked and how.
    pub info: CommandInfo,
    /// What is asked.
    pub action: Action,
    /// What must hold for it.
    pub conditions: Conditions,
    /// Whether a debit is done whatever the balance. Privileged.
    pub forced: bool,
}

impl Command {
    /// Whether it takes a privilege: those of [`CommandInfo::privileged`], and every forced one.
    pub const fn is_privileged(&self) -> bool {
        self.info.privileged || self.forced
    }
}
