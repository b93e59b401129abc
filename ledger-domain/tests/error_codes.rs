//! `docs/error-codes.md` says what the code says.
//!
//! After a change of the codes, `WRITE_DOCS=1` before the command of this test writes the page anew.

use std::{env, fmt::Write as _, fs, path::Path};

use ledger_domain::{Code, Date, Rejection};

const HEAD: &str = "\
# Rejection codes

Why the ledger refuses a command. A rejection of this page rests on the state of the account's shard. Like an acceptance it
is an outcome: it is recorded in the shard's log, answered only when it is durable and applied, and its key answers it for
as long as the key is known.

Programs branch on the code: names and numbers never change and are never used again. Sentences are for people and may
change; the figures in those below are examples. Amounts are in the currency's minor units.

Where several reasons speak against a command, the first of them on this page is told, whatever the order in which the
command names its accounts.

*gRPC* is the status that a refusal has there. *Later* says whether the same command can succeed later without anybody
correcting it. As the refusal is recorded, it then has to come under a new key. A dry run is refused in the same words, and
nothing is recorded.

| number | code | gRPC | later | example of its sentence |
|---:|---|---|---|---|
";

const TAIL: &str = "
## Reads that are refused

A read changes nothing, and its refusal is recorded nowhere: the same question may be answered a moment later.

| code | later | example of its sentence |
|---|---|---|
| `TOO_STALE` | yes | the answer here is up to 4210 ms stale, and 2000 ms are allowed |
| `TOO_STALE` | no | 200 ms are allowed, and clocks alone may differ by 500 ms: only home can tell |
| `NOT_HERE_YET` | yes | the view of shard 1 did not arrive at 1:1:4711 in time |
| `AGE_UNKNOWN` | yes | how old the answer here is cannot be told: this node's clock has jumped, and no peer has confirmed it since |
| `POSITION_LOST` | no | shard 1 has no position 1:1:4711: its log was restored and goes on from an earlier one |
";

/// Figures as a rejection with this code could have them.
fn example(code: Code) -> Rejection {
    let days = |iso: &str| {
        let date: Date = iso.parse().expect("a date");
        i64::from(date.days())
    };
    let figures = match code {
        Code::AccountNotFound
        | Code::AccountExists
        | Code::AccountClosed
        | Code::CurrencyMismatch
        | Code::SameAccount
        | Code::HouseAccountNotFound
        | Code::HouseAccountReserved
        | Code::HoldNotFound
        | Code::SuspenseItemNotFound
        | Code::ReferenceTaken
        | Code::ConsumerExists
        | Code::ConsumerNotFound
        | Code::ConsumerShareNotFound
        | Code::ConsumerNotParked
        | Code::ConsumerParked
        | Code::ConsumerFenced
        | Code::ConsumerCursorMoved
        | Code::ConsumerCursorInvalid
        | Code::ConsumerCursorBack
        | Code::CustomerExists
        | Code::CustomerErased
        | Code::LegalHold
        | Code::NoLegalHold
        | Code::CustomerNotFound
        | Code::AccountNotAttached
        | Code::ReferenceNotClaimed
        | Code::NotReversible => vec![],
        Code::CustomerAccountsFull | Code::ConsumersFull => vec![1_000, 1_000],
        Code::AccountsAttached => vec![2],
        Code::RetentionRuns => vec![days("2026-02-01"), days("2036-01-31")],
        Code::DateBeforeOriginal => vec![days("2026-01-31"), days("2026-02-01")],
        Code::ReversalExceeded => vec![750, 2_000],
        Code::VersionMismatch => vec![8, 7],
        Code::BalanceBelowMinimum => vec![250, 1_000],
        Code::BalanceAboveMaximum => vec![12_000, 10_000],
        Code::AccountFrozen => vec![1, 1_790_000_000_000],
        Code::NotFrozen => vec![4],
        Code::FreezeOver => vec![1_790_000_000_000, 1_795_000_000_000],
        Code::InsufficientFunds => vec![1_250, 2_000],
        Code::BalanceOverflow => vec![i64::MAX],
        Code::BalanceNotZero => vec![1_250],
        Code::DateBeforeOpening => vec![days("2026-01-31"), days("2026-02-01")],
        Code::DateInFuture => vec![days("2026-02-02"), days("2026-02-01")],
        Code::DayClosed => vec![days("2026-01-31"), days("2026-02-01")],
        Code::ChannelFull => vec![10_000, 10_000],
        Code::TransfersUnderWay => vec![2],
        Code::AccountInExcess => vec![-500],
        Code::Moved => vec![7],
        Code::HoldExpired => vec![4_000, 2_500],
        Code::HoldEnded => vec![0, 2_500],
        Code::HoldExceeded => vec![1_000, 2_500],
        Code::TransactionLimitExceeded => vec![20_000, 25_000],
        Code::DailyLimitExceeded => vec![50_000, 45_000, 10_000],
        Code::HoldsOpen => vec![4_000],
        Code::JournalsOpen => vec![4_000, 1_000],
        Code::JournalsFull => vec![10_000, 10_000],
        Code::ChannelMoneyFull => vec![999_999_999_999_000, 1_000_000_000_000_000],
    };
    Rejection::new(code, figures)
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for &code in Code::ALL {
        let (figures, meanings) = (example(code).figures, code.figures());
        assert_eq!(figures.len(), meanings.len(), "{code:?}: {meanings:?}");
        let later = if code.retry_can_help() { "yes" } else { "no" };
        let (number, name, sort) = (code as u32, code.name(), code.sort().name());
        writeln!(
            page,
            "| {number} | `{name}` | `{sort}` | {later} | {} |",
            example(code)
        )
        .expect("a string takes everything");
    }
    page.push_str(TAIL);
    page
}

#[test]
fn the_page_of_error_codes_says_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/error-codes.md");
    if env::var_os("WRITE_DOCS").is_some() {
        fs::write(&path, page()).expect("write docs/error-codes.md");
    }
    let written = fs::read_to_string(&path).expect("read docs/error-codes.md");
    assert_eq!(
        written,
        page(),
        "docs/error-codes.md is old: run this test with WRITE_DOCS=1"
    );
}
