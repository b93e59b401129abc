use super::super::{Step, Verdict, Violation, What, follow};
use super::{Did, Left};
use crate::history::{Freeze, Leg, Name, Request};

/// Alice and bob live in shard 1, carol in shard 2, dave in shard 3.
const HOMES: [(&str, u32); 4] = [("alice", 1), ("bob", 1), ("carol", 2), ("dave", 3)];

fn journal(legs: &[(&str, i64)]) -> Request {
    let leg = |(account, units): &(&str, i64)| Leg {
        account: (*account).to_owned(),
        house: None,
        units: *units,
    };
    Request::Journal {
        legs: legs.iter().map(leg).collect(),
        rate: None,
        waits: true,
    }
}

/// 20 of what alice has paid to carol.
fn back() -> Request {
    let legs = journal(&[("alice", 20), ("carol", -20)]).legs().to_vec();
    Request::Reverse {
        account: "alice".to_owned(),
        original: Name {
            key: "paid".to_owned(),
            id: String::new(),
        },
        from: Some("carol".to_owned()),
        to: Some("alice".to_owned()),
        amount: Some(20),
        legs,
    }
}

fn requests() -> Vec<(&'static str, Request)> {
    let account = || "alice".to_owned();
    let amount = 100;
    let carol = || "carol".to_owned();
    let freeze = Freeze {
        debits: false,
        credits: true,
        keeps: false,
        until_ms: None,
    };
    vec![
        (
            "in",
            Request::Deposit {
                account: account(),
                amount,
            },
        ),
        (
            "out",
            Request::Withdraw {
                account: account(),
                amount: 50,
            },
        ),
        ("here", journal(&[("alice", -40), ("bob", 40)])),
        (
            "far",
            journal(&[("alice", -60), ("carol", 50), ("dave", 10)]),
        ),
        (
            "near",
            journal(&[("alice", -60), ("bob", 20), ("carol", 40)]),
        ),
        ("too much", journal(&[("bob", 30), ("carol", -30)])),
        (
            "paid",
            Request::Transfer {
                payer: account(),
                payee: carol(),
                amount: 30,
            },
        ),
        ("back", back()),
        ("more", back()),
        (
            "spent",
            Request::Withdraw {
                account: carol(),
                amount: 30,
            },
        ),
        (
            "end",
            Request::Close {
                account: carol(),
                sweep: None,
            },
        ),
        (
            "freeze",
            Request::Freeze {
                account: carol(),
                freeze,
            },
        ),
    ]
}

fn done(key: &str, balance: i64) -> What {
    let (key, verdict) = (key.to_owned(), Verdict::Done(balance));
    What::Decided { key, verdict }
}

fn refused(key: &str, code: &str) -> What {
    let (key, verdict) = (key.to_owned(), Verdict::Refused(code.to_owned()));
    What::Decided { key, verdict }
}

fn did(key: &str, did: Did) -> What {
    let key = key.to_owned();
    What::Journal { key, did }
}

fn left(all: &[(&str, i64, i64)]) -> Vec<Left> {
    let left = |(account, balance, held): &(&str, i64, i64)| Left {
        account: (*account).to_owned(),
        balance: *balance,
        held: *held,
    };
    all.iter().map(left).collect()
}

fn aside(key: &str, all: &[(&str, i64, i64)]) -> What {
    did(key, Did::SetAside { left: left(all) })
}

fn posted(key: &str, all: &[(&str, i64, i64)]) -> What {
    did(key, Did::Posted { left: left(all) })
}

fn cancelled(key: &str, by: u32, code: &str, all: &[(&str, i64, i64)]) -> What {
    let (code, left) = (code.to_owned(), left(all));
    did(key, Did::Cancelled { by, code, left })
}

fn will_not(key: &str, leg: u32, code: &str) -> What {
    let code = code.to_owned();
    did(key, Did::Refused { leg, code })
}

/// Accounts are opened, alice gets 100, and then this happens. What is open at the end.
fn judged(happened: &[(u32, What)]) -> Result<Vec<String>, Violation> {
    let opened = HOMES.map(|(account, shard)| {
        let account = account.to_owned();
        (shard, What::Opened { account })
    });
    let first = opened.into_iter().chain([(1, done("in", 100))]);
    let all = first.chain(happened.iter().cloned());
    let step = |(index, (shard, what))| Step {
        shard,
        index,
        time: (index, 0),
        day: 0,
        what,
    };
    let steps: Vec<_> = (1..).zip(all).map(step).collect();
    let homes = HOMES.map(|(account, shard)| (account.to_owned(), shard));
    let requests = requests().into_iter();
    let requests = requests.map(|(key, request)| (key.to_owned(), request));
    let timeline = follow(&homes.into(), &requests.collect(), &steps)?;
    Ok(timeline.open_journals)
}

fn heard(key: &str, shard: u32) -> What {
    did(key, Did::Heard { shard })
}

/// All three shards set aside, and post.
fn whole() -> Vec<(u32, What)> {
    vec![
        (1, done("far", 100)),
        (2, aside("far", &[("carol", 0, 0)])),
        (3, aside("far", &[("dave", 0, 0)])),
        (1, heard("far", 3)),
        (1, posted("far", &[("alice", 40, 0)])),
        (2, posted("far", &[("carol", 50, 0)])),
        (3, posted("far", &[("dave", 10, 0)])),
    ]
}

#[test]
fn legs_of_one_shard_are_booked_at_once() {
    let open: Vec<String> = Vec::new();
    assert_eq!(
        judged(&[(1, done("here", 60)), (1, done("out", 10))]),
        Ok(open)
    );
    assert!(judged(&[(1, done("here", 100))]).is_err());
    assert!(judged(&[(1, refused("here", "INSUFFICIENT_FUNDS"))]).is_err());
}

#[test]
fn a_journal_between_shards_is_posted_everywhere_once_all_have_set_aside() {
    assert_eq!(judged(&whole()), Ok(Vec::new()));
    // Until the last has, it is open.
    for until in 1..whole().len() {
        let open = judged(&whole()[..until]);
        assert_eq!(open, Ok(vec!["far".to_owned()]), "{until}");
    }
}

#[test]
fn no_step_of_a_journal_can_be_left_out_doubled_or_told_otherwise() {
    for place in [0, 1, 2, 4] {
        let mut steps = whole();
        steps.remove(place);
        assert!(judged(&steps).is_err(), "without {place}");
    }
    for place in 0..whole().len() {
        let mut steps = whole();
        steps.insert(place, steps[place].clone());
        assert!(judged(&steps).is_err(), "{place} twice");
    }
    let lies = [
        (1, (2, aside("far", &[("carol", 0, 50)]))),
        (1, (2, aside("far", &[("carol", 50, 0)]))),
        (1, (2, will_not("far", 2, "ACCOUNT_FROZEN"))),
        (4, (1, posted("far", &[("alice", 40, 60)]))),
        (
            4,
            (
                1,
                cancelled("far", 2, "ACCOUNT_FROZEN", &[("alice", 100, 0)]),
            ),
        ),
        (
            5,
            (2, cancelled("far", 3, "ACCOUNT_FROZEN", &[("carol", 0, 0)])),
        ),
        (6, (2, posted("far", &[("carol", 100, 0)]))),
    ];
    for (place, lie) in lies {
        let mut steps = whole();
        steps[place] = lie.clone();
        assert!(judged(&steps).is_err(), "{lie:?}");
    }
}

#[test]
fn what_is_set_aside_is_held_and_keeps_accounts_open() {
    let open = (1, done("far", 100));
    let asked = (2, aside("far", &[("carol", 0, 0)]));
    let with = |more: Vec<(u32, What)>| judged(&[vec![open.clone(), asked.clone()], more].concat());
    for right in [
        (1, refused("out", "INSUFFICIENT_FUNDS")),
        // What is left covers it.
        (1, done("here", 60)),
        (2, refused("end", "JOURNALS_OPEN")),
        (2, refused("freeze", "JOURNALS_OPEN")),
    ] {
        with(vec![right]).unwrap();
    }
    for wrong in [
        (1, done("out", 50)),
        (2, done("end", 0)),
        (2, done("freeze", 0)),
    ] {
        assert!(with(vec![wrong.clone()]).is_err(), "{wrong:?}");
    }
}

#[test]
fn what_one_shard_refuses_is_given_back_by_all() {
    let frozen = "ACCOUNT_FROZEN";
    let steps = vec![
        (2, done("freeze", 0)),
        (1, done("far", 100)),
        (2, will_not("far", 2, frozen)),
        (1, cancelled("far", 2, frozen, &[("alice", 100, 0)])),
        // Who is asked late sets aside, and gives back.
        (3, aside("far", &[("dave", 0, 0)])),
        (3, cancelled("far", 2, frozen, &[("dave", 0, 0)])),
        (1, done("out", 50)),
    ];
    assert_eq!(judged(&steps), Ok(Vec::new()));
    for (place, lie) in [
        (2, (2, aside("far", &[("carol", 0, 0)]))),
        (2, (2, will_not("far", 1, frozen))),
        (2, (2, will_not("far", 2, "ACCOUNT_CLOSED"))),
        (3, (1, posted("far", &[("alice", 40, 0)]))),
        (3, (1, cancelled("far", 3, frozen, &[("alice", 100, 0)]))),
        (3, (1, cancelled("far", 2, frozen, &[("alice", 100, 60)]))),
        (5, (3, posted("far", &[("dave", 10, 0)]))),
        (6, (1, refused("out", "INSUFFICIENT_FUNDS"))),
    ] {
        let mut steps = steps.clone();
        steps[place] = lie.clone();
        assert!(judged(&steps).is_err(), "{lie:?}");
    }
}

#[test]
fn the_shard_that_is_asked_first_refuses_what_it_cannot_cover() {
    // Carol has nothing to give: her shard says so, in her leg.
    let open = (1, done("too much", 0));
    let by_carol = (2, will_not("too much", 2, "INSUFFICIENT_FUNDS"));
    judged(&[open.clone(), by_carol]).unwrap();
    assert!(judged(&[open, (2, aside("too much", &[("carol", 0, 30)]))]).is_err());
    // And what speaks against a leg of the first shard refuses the command.
    judged(&[
        (1, done("near", 100)),
        (1, refused("out", "INSUFFICIENT_FUNDS")),
    ])
    .unwrap();
    let spent = (1, done("out", 50));
    judged(&[spent.clone(), (1, refused("near", "INSUFFICIENT_FUNDS"))]).unwrap();
    assert!(judged(&[spent, (1, done("near", 50))]).is_err());
}

/// Alice has paid carol, who has it.
fn paid() -> [(u32, What); 2] {
    let (key, balance_after) = ("paid".to_owned(), 30);
    let arrived = What::Arrived { key, balance_after };
    [(1, done("paid", 70)), (2, arrived)]
}

#[test]
fn what_went_to_another_shard_is_moved_back_once_it_is_there() {
    let [sent, arrived] = paid();
    let back = |more: &[(u32, What)]| {
        let first = [sent.clone(), arrived.clone(), (1, done("back", 70))];
        let all: Vec<_> = first.into_iter().chain(more.iter().cloned()).collect();
        judged(&all)
    };
    let whole = [
        (2, aside("back", &[("carol", 30, 20)])),
        (1, posted("back", &[("alice", 90, 0)])),
        (2, posted("back", &[("carol", 10, 0)])),
        (1, refused("more", "REVERSAL_EXCEEDED")),
    ];
    assert_eq!(back(&whole), Ok(Vec::new()));
    // Counted from when it is asked for.
    back(&[(1, refused("more", "REVERSAL_EXCEEDED"))]).unwrap();
    back(&[(1, done("more", 70))]).unwrap_err();
    back(&[(1, refused("more", "NOT_REVERSIBLE"))]).unwrap_err();
    // And no more once the payee's shard has refused.
    let short = |end| {
        let cancelled = [
            (2, done("spent", 0)),
            (2, will_not("back", 2, "INSUFFICIENT_FUNDS")),
            (
                1,
                cancelled("back", 2, "INSUFFICIENT_FUNDS", &[("alice", 70, 0)]),
            ),
            (1, end),
        ];
        back(&cancelled)
    };
    short(done("more", 70)).unwrap();
    short(refused("more", "REVERSAL_EXCEEDED")).unwrap_err();
    // Before it is there nothing is.
    judged(&[sent.clone(), (1, done("back", 70))]).unwrap_err();
    judged(&[sent.clone(), (1, refused("back", "NOT_REVERSIBLE"))]).unwrap();
    judged(&[sent, arrived, (1, refused("back", "NOT_REVERSIBLE"))]).unwrap_err();
}
