use super::super::{Step, Verdict, Violation, What, follow};
use crate::history::{Name, Request};

/// A second in nanoseconds; the life of the hold.
const LIFE: u64 = 1_000_000_000;

/// What happened, and when.
type Happened = Vec<(u64, What)>;

fn alice() -> String {
    "alice".to_owned()
}

fn name(key: &str) -> Name {
    Name {
        key: key.to_owned(),
        id: String::new(),
    }
}

fn capture(amount: Option<i64>, is_last: bool) -> Request {
    Request::Capture {
        account: alice(),
        hold: name("hold"),
        amount,
        payee: None,
        is_last,
    }
}

fn requests() -> Vec<(&'static str, Request)> {
    let account = alice();
    vec![
        (
            "in",
            Request::Deposit {
                account: account.clone(),
                amount: 100,
            },
        ),
        (
            "hold",
            Request::Hold {
                account: account.clone(),
                amount: 60,
                life_ms: 1_000,
            },
        ),
        (
            "out",
            Request::Withdraw {
                account: account.clone(),
                amount: 50,
            },
        ),
        ("part", capture(Some(20), false)),
        ("beyond", capture(Some(41), false)),
        ("all", capture(None, false)),
        ("other", capture(Some(1), true)),
        (
            "theirs",
            Request::Release {
                account,
                hold: name("nobody's"),
            },
        ),
        (
            "end",
            Request::Close {
                account: alice(),
                sweep: None,
            },
        ),
    ]
}

fn done(key: &str, balance: i64) -> What {
    let key = key.to_owned();
    let verdict = Verdict::Done(balance);
    What::Decided { key, verdict }
}

fn refused(key: &str, code: &str) -> What {
    let key = key.to_owned();
    let verdict = Verdict::Refused(code.to_owned());
    What::Decided { key, verdict }
}

fn expired() -> What {
    let key = "hold".to_owned();
    What::Expired { key }
}

/// What follows on an account with 100, of which 60 are held at time 1. Each happens at its time.
fn after_the_hold(happened: Happened) -> Result<i64, Violation> {
    let opened = What::Opened { account: alice() };
    let first = vec![(1, opened), (1, done("in", 100)), (1, done("hold", 100))];
    let steps: Vec<_> = first
        .into_iter()
        .chain(happened)
        .map(|(nanos, what)| Step {
            shard: 1,
            index: nanos,
            time: (nanos, 0),
            day: 0,
            what,
        })
        .collect();
    let homes = [(alice(), 1)].into();
    let requests = requests().into_iter();
    let requests = requests.map(|(key, request)| (key.to_owned(), request));
    let timeline = follow(&homes, &requests.collect(), &steps)?;
    Ok(timeline.aside_at_place("alice", u64::MAX).held)
}

#[test]
fn what_must_become_of_a_hold_as_a_table() {
    let table: Vec<(Happened, Option<i64>)> = vec![
        (vec![], Some(60)),
        (vec![(2, refused("out", "INSUFFICIENT_FUNDS"))], Some(60)),
        (vec![(2, done("out", 50))], None),
        (vec![(2, done("part", 80))], Some(40)),
        (vec![(2, done("part", 100))], None),
        (
            vec![
                (2, done("part", 80)),
                (3, refused("beyond", "HOLD_EXCEEDED")),
            ],
            Some(40),
        ),
        (
            vec![(2, done("all", 40)), (3, refused("other", "HOLD_ENDED"))],
            Some(0),
        ),
        (vec![(2, done("all", 40)), (3, done("other", 39))], None),
        (vec![(2, refused("end", "HOLDS_OPEN"))], Some(60)),
        (vec![(2, refused("theirs", "HOLD_NOT_FOUND"))], Some(60)),
        (vec![(2, done("theirs", 100))], None),
    ];
    for (happened, held) in table {
        let told = format!("{happened:?}");
        assert_eq!(after_the_hold(happened).ok(), held, "{told}");
    }
}

#[test]
fn a_hold_is_over_at_its_time_and_neither_before_nor_after_nor_twice() {
    let end = 1 + LIFE;
    let late = || refused("part", "HOLD_EXPIRED");
    let table: Vec<(Happened, bool)> = vec![
        (vec![(end, expired()), (end, late())], true),
        (vec![(end + 5, expired()), (end + 5, late())], true),
        (vec![(end - 1, What::Passed)], true),
        (vec![(end, What::Passed)], false),
        (vec![(end, done("part", 80))], false),
        (vec![(end, late()), (end, expired())], false),
        (vec![(end - 1, expired())], false),
        (vec![(end, expired()), (end + 1, expired())], false),
        (vec![(2, done("all", 40)), (end, expired())], false),
        (vec![(end, expired()), (end, done("part", 80))], false),
    ];
    for (happened, is_right) in table {
        let told = format!("{happened:?}");
        assert_eq!(after_the_hold(happened).is_ok(), is_right, "{told}");
    }
}
