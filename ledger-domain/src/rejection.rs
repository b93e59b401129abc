//! Rejections: their stable codes and the sentences that explain them.

use std::fmt;

use crate::freeze::FreezeType;

/// What sort of refusal a code is, in the words of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sort {
    /// The command makes no sense, whatever the state.
    InvalidArgument,
    /// Something that it names is not there.
    NotFound,
    /// What it would make is there already.
    AlreadyExists,
    /// A bound of what is under way is reached.
    ResourceExhausted,
    /// The state does not allow it.
    FailedPrecondition,
}

impl Sort {
    /// The name of the gRPC status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
        }
    }
}

/// Can the same command succeed later without anybody correcting it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Later {
    Yes,
    No,
}

/// The table of codes: number, variant, name, gRPC status, whether it can succeed later.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $number:literal $name:ident $text:literal $sort:ident $later:ident,)+) => {
        /// Why a command was refused: a stable number, a stable name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Code {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Code {
            /// Every code, in the order of precedence: where several reasons speak against a
            /// command, the first of them here is told.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name that programs branch on.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The sort of refusal.
            pub const fn sort(self) -> Sort {
                match self { $(Self::$name => Sort::$sort,)+ }
            }

            /// What the figures of a rejection mean, in their order, as the code documents them.
            pub fn figures(self) -> Vec<&'static str> {
                meanings(match self { $(Self::$name => concat!($($doc),+),)+ })
            }

            /// Can the same command succeed later without anybody correcting it?
            pub const fn retry_can_help(self) -> bool {
                matches!(match self { $(Self::$name => Later::$later,)+ }, Later::Yes)
            }
        }
    };
}

codes! {
    /// The account is not at the version that the command was made for. Figures: version, expected.
    130 VersionMismatch "VERSION_MISMATCH" FailedPrecondition No,
    /// It would leave less than the command allows. Figures: balance after, minimum (minor units).
    131 BalanceBelowMinimum "BALANCE_BELOW_MINIMUM" FailedPrecondition Yes,
    /// It would leave more than the command allows. Figures: balance after, maximum (minor units).
    132 BalanceAboveMaximum "BALANCE_ABOVE_MAXIMUM" FailedPrecondition Yes,
    /// Payer and payee are one account. Figures: none.
    7 SameAccount "SAME_ACCOUNT" InvalidArgument No,
    /// No house account has this code. Figures: none.
    8 HouseAccountNotFound "HOUSE_ACCOUNT_NOT_FOUND" NotFound No,
    /// The house account is kept by the ledger itself. Figures: none.
    14 HouseAccountReserved "HOUSE_ACCOUNT_RESERVED" FailedPrecondition No,
    /// The date is still to come where it is to count. Figures: date, date there (days).
    11 DateInFuture "DATE_IN_FUTURE" FailedPrecondition Yes,
    /// The day is closed. Figures: date, closed through (days).
    230 DayClosed "DAY_CLOSED" FailedPrecondition No,
    /// The account has nothing in suspense by this transaction. Figures: none.
    170 SuspenseItemNotFound "SUSPENSE_ITEM_NOT_FOUND" NotFound No,
    /// The reference stands for another account. Figures: none.
    261 ReferenceTaken "REFERENCE_TAKEN" AlreadyExists No,
    /// The reference does not stand for this account. Figures: none.
    262 ReferenceNotClaimed "REFERENCE_NOT_CLAIMED" NotFound No,
    /// A customer has this id already. Figures: none.
    263 CustomerExists "CUSTOMER_EXISTS" AlreadyExists No,
    /// No customer has this id. Figures: none.
    264 CustomerNotFound "CUSTOMER_NOT_FOUND" NotFound No,
    /// The customer is erased. Figures: none.
    267 CustomerErased "CUSTOMER_ERASED" FailedPrecondition No,
    /// The customer does not have this account. Figures: none.
    265 AccountNotAttached "ACCOUNT_NOT_ATTACHED" NotFound No,
    /// The customer has as many accounts as it can. Figures: accounts, their bound.
    266 CustomerAccountsFull "CUSTOMER_ACCOUNTS_FULL" ResourceExhausted Yes,
    /// The customer has accounts. Figures: how many.
    268 AccountsAttached "ACCOUNTS_ATTACHED" FailedPrecondition Yes,
    /// The law keeps the customer from being erased. Figures: none.
    269 LegalHold "LEGAL_HOLD" FailedPrecondition Yes,
    /// The customer has to be remembered for a while yet. Figures: date, until when (days).
    270 RetentionRuns "RETENTION_RUNS" FailedPrecondition Yes,
    /// Nothing of the law keeps the customer from being erased. Figures: none.
    280 NoLegalHold "NO_LEGAL_HOLD" FailedPrecondition No,
    /// A consumer group of the region has this name already. Figures: none.
    271 ConsumerExists "CONSUMER_EXISTS" AlreadyExists No,
    /// The shard keeps as many consumer groups as it can. Figures: groups, their bound.
    272 ConsumersFull "CONSUMERS_FULL" ResourceExhausted Yes,
    /// No consumer group of the region has this name. Figures: none.
    273 ConsumerNotFound "CONSUMER_NOT_FOUND" NotFound No,
    /// The consumer group has no share of this number. Figures: none.
    274 ConsumerShareNotFound "CONSUMER_SHARE_NOT_FOUND" NotFound No,
    /// The share is not parked. Figures: none.
    275 ConsumerNotParked "CONSUMER_NOT_PARKED" FailedPrecondition No,
    /// The share is parked at an event that could not be processed. Figures: none.
    276 ConsumerParked "CONSUMER_PARKED" FailedPrecondition No,
    /// The share was lent to another member since. Figures: none.
    277 ConsumerFenced "CONSUMER_FENCED" FailedPrecondition No,
    /// The share's cursor is not where the member had it. Figures: none.
    278 ConsumerCursorMoved "CONSUMER_CURSOR_MOVED" FailedPrecondition No,
    /// The cursor is not one of the share's shards, or the group has none, or too many shares. Figures: none.
    279 ConsumerCursorInvalid "CONSUMER_CURSOR_INVALID" InvalidArgument No,
    /// The cursor would go back. Figures: none.
    301 ConsumerCursorBack "CONSUMER_CURSOR_BACK" FailedPrecondition No,
    /// The transaction moved nothing that can be moved back. Figures: none.
    171 NotReversible "NOT_REVERSIBLE" FailedPrecondition No,
    /// It would count from before the transaction that it reverses. Figures: date, the original's (days).
    172 DateBeforeOriginal "DATE_BEFORE_ORIGINAL" FailedPrecondition No,
    /// More was asked for than is left of the transaction. Figures: what is left, asked for (minor units).
    173 ReversalExceeded "REVERSAL_EXCEEDED" FailedPrecondition No,
    /// An account has this id already. Figures: none.
    2 AccountExists "ACCOUNT_EXISTS" AlreadyExists No,
    /// No account has this id. Figures: none.
    1 AccountNotFound "ACCOUNT_NOT_FOUND" NotFound No,
    /// The account lives in another shard now. Figures: its number.
    16 Moved "MOVED" FailedPrecondition Yes,
    /// The account is closed. Figures: none.
    3 AccountClosed "ACCOUNT_CLOSED" FailedPrecondition No,
    /// The account is kept in another currency. Figures: none.
    4 CurrencyMismatch "CURRENCY_MISMATCH" InvalidArgument No,
    /// The effective date is before the account was opened. Figures: date, opening (days).
    10 DateBeforeOpening "DATE_BEFORE_OPENING" FailedPrecondition No,
    /// A freeze stops it. Figures: type, until when (ms since 1970; 0 where it has to be lifted).
    133 AccountFrozen "ACCOUNT_FROZEN" FailedPrecondition Yes,
    /// No freeze of this type is in force. Figures: type.
    134 NotFrozen "NOT_FROZEN" FailedPrecondition No,
    /// The freeze would be over before it began. Figures: its end, now (ms since 1970).
    135 FreezeOver "FREEZE_OVER" FailedPrecondition No,
    /// No hold of the account has this id. Figures: none.
    100 HoldNotFound "HOLD_NOT_FOUND" NotFound No,
    /// The hold has expired. Figures: what it gave back, asked for (minor units).
    101 HoldExpired "HOLD_EXPIRED" FailedPrecondition No,
    /// The hold was captured to its end, or released. Figures: what it gave back, asked for (minor units).
    102 HoldEnded "HOLD_ENDED" FailedPrecondition No,
    /// More was asked for than the hold still holds. Figures: what remains, asked for (minor units).
    103 HoldExceeded "HOLD_EXCEEDED" FailedPrecondition No,
    /// Transfers of this account are still under way. Figures: how many.
    13 TransfersUnderWay "TRANSFERS_UNDER_WAY" FailedPrecondition Yes,
    /// Holds of the account are open. Figures: held (minor units).
    104 HoldsOpen "HOLDS_OPEN" FailedPrecondition Yes,
    /// Journals with legs on this account are not decided. Figures: reserved, accepted (minor units).
    190 JournalsOpen "JOURNALS_OPEN" FailedPrecondition Yes,
    /// Only an account is closed that is empty, or has its rest swept. Figures: posted (minor units).
    9 BalanceNotZero "BALANCE_NOT_ZERO" FailedPrecondition Yes,
    /// The balance would leave 64 bits. Figures: posted (minor units).
    6 BalanceOverflow "BALANCE_OVERFLOW" FailedPrecondition No,
    /// The account is in excess of its limit and takes only credits. Figures: available.
    15 AccountInExcess "ACCOUNT_IN_EXCESS" FailedPrecondition Yes,
    /// Figures: available, asked for (minor units).
    5 InsufficientFunds "INSUFFICIENT_FUNDS" FailedPrecondition Yes,
    /// It is more than may be spent by its channel in one transaction. Figures: limit, asked for (minor units).
    231 TransactionLimitExceeded "TRANSACTION_LIMIT_EXCEEDED" FailedPrecondition No,
    /// It is more than may still be spent by its channel today. Figures: limit, spent, asked for (minor units).
    232 DailyLimitExceeded "DAILY_LIMIT_EXCEEDED" FailedPrecondition Yes,
    /// Too many transfers are under way to that shard. Figures: items, their bound.
    12 ChannelFull "CHANNEL_FULL" ResourceExhausted Yes,
    /// Too many legs are in journals that ask that shard and are not decided. Figures: legs, their bound.
    191 JournalsFull "JOURNALS_FULL" ResourceExhausted Yes,
    /// Too much money is under way to that shard. Figures: sum, its bound (minor units).
    17 ChannelMoneyFull "CHANNEL_MONEY_FULL" ResourceExhausted Yes,
}

impl Code {
    /// The code with a number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| *c as u32 == number)
    }
}

/// A refusal that rests on the ledger's state, and the figures that explain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub code: Code,
    /// The figures in the order that the code documents.
    pub figures: Vec<i64>,
}

impl Rejection {
    /// The one of two that is told where both apply.
    pub fn first(self, other: Self) -> Self {
        let place = |code| Code::ALL.iter().position(|known| *known == code);
        match place(other.code) < place(self.code) {
            true => other,
            false => self,
        }
    }

    /// A rejection with its figures.
    pub fn new(code: Code, figures: impl Into<Vec<i64>>) -> Self {
        Self {
            code,
            figures: figures.into(),
        }
    }
}

impl From<Code> for Rejection {
    fn from(code: Code) -> Self {
        Self::new(code, [])
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = |i: usize| self.figures.get(i).copied().unwrap_or_default();
        let day = |i| {
            i32::try_from(figure(i))
                .ok()
                .and_then(crate::Date::from_days)
        };
        let date = |i| day(i).map_or_else(|| "?".to_owned(), |d| d.to_string());
        let instant = |i| instant(figure(i));
        let frozen = |i| {
            let number = i32::try_from(figure(i)).unwrap_or_default();
            FreezeType::from_number(number).map_or_else(|| "?".to_owned(), |it| it.to_string())
        };
        match self.code {
            Code::VersionMismatch => write!(
                f,
                "the account is at version {}, not at {} as expected",
                figure(0),
                figure(1)
            ),
            Code::BalanceBelowMinimum => write!(
                f,
                "{} minor units would be left, less than the command's minimum of {}",
                figure(0),
                figure(1)
            ),
            Code::BalanceAboveMaximum => write!(
                f,
                "the balance would be {} minor units, more than the command's maximum of {}",
                figure(0),
                figure(1)
            ),
            Code::AccountFrozen => match figure(1) {
                0 => write!(f, "the account is frozen ({})", frozen(0)),
                _ => write!(
                    f,
                    "the account is frozen ({}) until {}",
                    frozen(0),
                    instant(1)
                ),
            },
            Code::NotFrozen => write!(f, "the account has no freeze of this type: {}", frozen(0)),
            Code::FreezeOver => write!(
                f,
                "the freeze would end at {}; it is {} already",
                instant(0),
                instant(1)
            ),
            Code::AccountNotFound => write!(f, "no account has this id; check it for a slip"),
            Code::AccountExists => write!(f, "an account with this id exists already"),
            Code::AccountClosed => write!(f, "the account is closed"),
            Code::CurrencyMismatch => write!(f, "the account is kept in another currency"),
            Code::InsufficientFunds => {
                write!(
                    f,
                    "{} minor units are available, {} were asked for",
                    figure(0),
                    figure(1)
                )
            }
            Code::BalanceOverflow => {
                write!(
                    f,
                    "the balance of {} minor units cannot take this as well",
                    figure(0)
                )
            }
            Code::SameAccount => write!(f, "payer and payee are the same account"),
            Code::HouseAccountNotFound => write!(f, "no house account has this code"),
            Code::HouseAccountReserved => {
                write!(
                    f,
                    "this house account is kept by the ledger itself; name another"
                )
            }
            Code::BalanceNotZero => write!(
                f,
                "the account holds {} minor units; name who gets what is left, or settle it first",
                figure(0)
            ),
            Code::DateBeforeOpening => {
                write!(
                    f,
                    "effective {} is before the account's opening on {}",
                    date(0),
                    date(1)
                )
            }
            Code::DateInFuture => {
                write!(
                    f,
                    "{} is still to come: the date here is {}",
                    date(0),
                    date(1)
                )
            }
            Code::DayClosed => write!(
                f,
                "{} is closed, as are all days through {}",
                date(0),
                date(1)
            ),
            Code::ChannelFull => write!(
                f,
                "{} transfers to that shard are under way, of at most {}; try again shortly",
                figure(0),
                figure(1)
            ),
            Code::ChannelMoneyFull => write!(
                f,
                "{} minor units are under way to that shard, of at most {}; try again shortly, \
                 or with less",
                figure(0),
                figure(1)
            ),
            Code::TransfersUnderWay => {
                write!(f, "{} transfers of this account are under way", figure(0))
            }
            Code::AccountInExcess => write!(
                f,
                "the account is in excess ({} available) and takes only credits",
                figure(0)
            ),
            Code::SuspenseItemNotFound => write!(
                f,
                "this transaction put nothing of the account in suspense, or it is cleared"
            ),
            Code::ReferenceTaken => write!(
                f,
                "the reference stands for another account; check it for a slip, or have it released there"
            ),
            Code::ReferenceNotClaimed => write!(
                f,
                "the reference does not stand for this account; check both for a slip"
            ),
            Code::CustomerExists => write!(f, "a customer with this id exists already"),
            Code::CustomerNotFound => {
                write!(f, "no customer has this id; check it for a slip")
            }
            Code::CustomerErased => {
                write!(f, "the customer is erased: nothing is said of it any more")
            }
            Code::AccountsAttached => write!(
                f,
                "the customer has {} accounts; close and detach them first",
                figure(0)
            ),
            Code::LegalHold => write!(
                f,
                "a legal hold stands: the customer is erased once it is lifted"
            ),
            Code::RetentionRuns => write!(
                f,
                "it is {}, and the customer has to be remembered until {}",
                date(0),
                date(1)
            ),
            Code::NoLegalHold => write!(f, "no legal hold stands on the customer"),
            Code::AccountNotAttached => write!(
                f,
                "the customer does not have this account; check both for a slip"
            ),
            Code::ConsumerExists => write!(
                f,
                "a consumer of this region has this name already; choose another, or remove it first"
            ),
            Code::ConsumersFull => write!(
                f,
                "the shard keeps {} consumers, of at most {}; remove one, or choose another name: it \
                says which shard",
                figure(0),
                figure(1)
            ),
            Code::ConsumerNotFound => {
                write!(
                    f,
                    "no consumer of this region has this name; check both for a slip"
                )
            }
            Code::ConsumerShareNotFound => {
                write!(
                    f,
                    "the consumer has no share of this number; show it to see which there are"
                )
            }
            Code::ConsumerNotParked => {
                write!(f, "the share is not parked; nothing is to be resumed")
            }
            Code::ConsumerParked => write!(
                f,
                "the share is parked at an event that could not be processed; resume it with it, or after it"
            ),
            Code::ConsumerFenced => {
                write!(
                    f,
                    "the share was lent to another member since; take it again first"
                )
            }
            Code::ConsumerCursorMoved => write!(
                f,
                "the share's cursor is not where it was thought to be; begin again from where it is"
            ),
            Code::ConsumerCursorInvalid => write!(
                f,
                "a cursor names the shards that its share reads, and a group has at least one share and at \
                most 256; show it to see which they are"
            ),
            Code::ConsumerCursorBack => {
                write!(
                    f,
                    "what was acknowledged stays so; to read it again, move the consumer"
                )
            }
            Code::CustomerAccountsFull => write!(
                f,
                "the customer has {} accounts, of at most {}; close one and detach it first",
                figure(0),
                figure(1)
            ),
            Code::NotReversible => write!(
                f,
                "this transaction moved nothing that can be moved back; what came back by itself, is in \
                 suspense, or was done by a reversal cannot be reversed, nor a journal that was \
                 cancelled or a part of one"
            ),
            Code::DateBeforeOriginal => write!(
                f,
                "effective {} is before the transaction that it reverses, which counts from {}",
                date(0),
                date(1)
            ),
            Code::ReversalExceeded if figure(0) == 0 => {
                write!(f, "all of the transaction is reversed already")
            }
            Code::ReversalExceeded => write!(
                f,
                "{} minor units of the transaction are not reversed yet, {} were asked for",
                figure(0),
                figure(1)
            ),
            Code::HoldNotFound => write!(f, "the account has no hold with this id"),
            Code::HoldExpired => write!(
                f,
                "the hold has expired and gave {} minor units back; {} were asked for",
                figure(0),
                figure(1)
            ),
            Code::HoldEnded => write!(
                f,
                "the hold has ended and gave {} minor units back; {} were asked for",
                figure(0),
                figure(1)
            ),
            Code::HoldExceeded => write!(
                f,
                "the hold still holds {} minor units, {} were asked for",
                figure(0),
                figure(1)
            ),
            Code::HoldsOpen => write!(
                f,
                "{} minor units of the account are held; capture or release them first",
                figure(0)
            ),
            Code::TransactionLimitExceeded => write!(
                f,
                "{} minor units may be spent by this channel in one transaction, {} were asked for; \
                 ask for less, or by another channel",
                figure(0),
                figure(1)
            ),
            Code::DailyLimitExceeded => write!(
                f,
                "{} minor units may be spent by this channel on one business day, {} were today, and \
                 {} were asked for; ask for less, by another channel, or on the next business day",
                figure(0),
                figure(1),
                figure(2)
            ),
            Code::JournalsOpen => write!(
                f,
                "journals that are not decided have set aside {} minor units of the account and \
                 accepted {} for it; try again once they are",
                figure(0),
                figure(1)
            ),
            Code::JournalsFull => write!(
                f,
                "{} legs are in journals with one of its shards that are not decided, of at most {}; try \
                 again shortly",
                figure(0),
                figure(1)
            ),
            Code::Moved => write!(f, "the account lives in shard {} now", figure(0)),
        }
    }
}

/// The names of figures, out of the sentence that lists them: `Figures: one, another (their unit).`
fn meanings(documented: &'static str) -> Vec<&'static str> {
    let listed = documented.split_once("Figures: ");
    let listed = listed.and_then(|(_, rest)| rest.split(['(', '.']).next());
    match listed.map(str::trim) {
        None | Some("none") => Vec::new(),
        Some(names) => names.split(", ").collect(),
    }
}

/// A time in ms since 1970 as people read it, to the second.
fn instant(ms: i64) -> String {
    let (seconds, day) = (ms.div_euclid(1_000), 24 * 3_600);
    let date = i32::try_from(seconds.div_euclid(day)).ok();
    let Some(date) = date.and_then(crate::Date::from_days) else {
        return "?".to_owned();
    };
    let rest = seconds.rem_euclid(day);
    let (hours, minutes) = (rest / 3_600, rest / 60 % 60);
    format!("{date}T{hours:02}:{minutes:02}:{:02}Z", rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable_and_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_number(*code as u32), Some(*code));
            assert!(!Rejection::from(*code).to_string().is_empty());
        }
        assert_eq!(Code::from_number(0), None);
        assert_eq!(Code::SameAccount.figures(), [""; 0]);
        assert_eq!(Code::AccountFrozen.figures(), ["type", "until when"]);
        assert_eq!(
            Code::InsufficientFunds.figures(),
            ["available", "asked for"]
        );
        let mut numbers: Vec<_> = Code::ALL.iter().map(|code| *code as u32).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Code::ALL.len());
    }
}
