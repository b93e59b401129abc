//! What another ledger, TigerBeetle, is tested for, restated as cases of ours.
//!
//! Its state machine has tests that are tables (`src/state_machine_tests.zig`): what is asked, and
//! what must be answered. Each case here names the test that it corresponds to, and says where our
//! answer is another on purpose. [`script`] says how a case is written; [`statuses`] which code of
//! ours says what a status of theirs does. `docs/tigerbeetle.md` is made from both.

mod balancing;
mod closing;
mod limits;
mod linked;
mod script;
mod statuses;
mod transfers;
mod two_phase;

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

use script::play;

/// A test of theirs, as ours.
struct Case {
    /// Its name there, and after a semicolon which part of it.
    theirs: &'static str,
    /// Where we differ on purpose, and why; empty where we do not.
    differs: &'static str,
    script: &'static str,
}

/// What the cases are about, and the file that has them.
const TABLES: [(&str, &str, &[Case]); 6] = [
    (
        "Accounts, transfers, retries",
        "transfers.rs",
        transfers::CASES,
    ),
    ("Two phases and expiry", "two_phase.rs", two_phase::CASES),
    ("Balancing", "balancing.rs", balancing::CASES),
    ("Linked chains", "linked.rs", linked::CASES),
    ("Closing", "closing.rs", closing::CASES),
    ("Limits", "limits.rs", limits::CASES),
];

fn cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().flat_map(|(_, _, cases)| *cases)
}

#[test]
fn every_case_is_answered_as_it_says() {
    let mut met = BTreeSet::new();
    for case in cases() {
        for row in play(case.script) {
            let status = statuses::ALL.iter().find(|it| it.theirs == row.theirs);
            let status = status.unwrap_or_else(|| panic!("{}: no such status", row.theirs));
            let is_same = status.ours.contains(&row.ours.as_str());
            assert_ne!(is_same, row.is_different, "{}: {row:?}", case.theirs);
            assert!(
                is_same || !case.differs.is_empty(),
                "{}: {row:?}, and nobody says why",
                case.theirs
            );
            met.insert((status.theirs, row.ours));
        }
    }
    for status in statuses::ALL {
        for ours in status.ours {
            let pair = (status.theirs, (*ours).to_owned());
            assert!(met.contains(&pair), "no case shows {pair:?}");
        }
    }
}

const HEAD: &str = "\
# Measured against TigerBeetle

TigerBeetle is a ledger whose state machine is exact and thoroughly tested. Its tests are tables of what is asked and what must
be answered. This page says which of our cases corresponds to which of them, where our answer is another on purpose, and which
code of ours says what a status of theirs does. The cases are in `ledger-domain/tests/laws/tigerbeetle`, as scripts that can be
read aloud; a test plays them, and makes this page from what they say.

Source: the `tigerbeetle/tigerbeetle` repository at commit 52ad553, `src/state_machine_tests.zig` for the cases and
`src/tigerbeetle.zig` for the statuses.

What is different throughout:

- An account of theirs has four sums, of debits and credits, pending and posted, of 128 bits. One of ours has a signed balance,
  and what is held of it, of 64 bits; positive is the customer's. Money comes from and goes to house accounts, so that every book
  sums to zero.
- Theirs has one command, the transfer, with flags. Ours has commands with names, so that what cannot be combined cannot be said.
- The id that a caller of theirs chooses for a transfer is the key of a command here. What is asked again under a key is answered
  with the outcome of the first time, a refusal too. Of theirs only some refusals take the id.
- A cluster of theirs has one state machine. Here an account lives in a shard of its home region, and a transfer may go to
  another: what their tests say is said here of one shard, and `ledger-domain/tests/laws/channels.rs` says the rest.

## Cases

";

const STATUSES: &str = "
## Statuses

| theirs | here | |
|---|---|---|
";

const NOT_RESTATED: &str = "
## Not restated

- `imported events`: history of another ledger cannot be brought in with its own times. What is nearest, effective dates, has its
  cases under the first heading.
- `get_account_transfers`, `get_account_balances`, `query_accounts`, `query_transfers`, `get_change_events`: reads are answered by
  views and feeds, which have laws of their own (`ledger-domain/src/movement.rs`, the simulator's oracles 5 and 6).
- `batch_elements_max`, `input_valid`, multi-batches: how requests are framed, which gRPC does here.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (about, file, cases) in TABLES {
        writeln!(page, "### {about}\n\n`{file}`\n").expect("a string takes everything");
        for case in cases {
            let differs = match case.differs {
                "" => "as there.",
                differs => differs,
            };
            writeln!(page, "- `{}`: {differs}", case.theirs).expect("a string takes everything");
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page.push_str(STATUSES);
    for status in statuses::ALL {
        let ours = status.ours.iter().map(|ours| match *ours {
            "done" => "done".to_owned(),
            "again" => "answered again".to_owned(),
            code => format!("`{code}`"),
        });
        let ours: Vec<_> = ours.collect();
        let ours = if ours.is_empty() {
            "–".to_owned()
        } else {
            ours.join(", ")
        };
        writeln!(page, "| `{}` | {ours} | {} |", status.theirs, status.why)
            .expect("a string takes everything");
    }
    page.push_str(NOT_RESTATED);
    page
}

#[test]
fn the_page_says_what_the_cases_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tigerbeetle.md");
    if env::var_os("WRITE_DOCS").is_some() {
        fs::write(&path, page()).expect("write docs/tigerbeetle.md");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written,
        page(),
        "docs/tigerbeetle.md is old: run this test with WRITE_DOCS=1"
    );
}
