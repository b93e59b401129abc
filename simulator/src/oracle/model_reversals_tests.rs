//! Journals that are moved back.

use super::super::{Did, Left, Step, Verdict, Violation, What, follow};
use crate::history::{Conditions, Leg, Name, Request};

/// Alice and bob live in shard 1, carol in shard 2.
const HOMES: [(&str, u32); 3] = [("alice", 1), ("bob", 1), ("carol", 2)];

fn legs(all: &[(&str, i64)]) -> Vec<Leg> {
    let leg = |(account, units): &(&str, i64)| Leg {
        account: (*account).to_owned(),
        house: None,
        units: *units,
    };
    all.iter().map(leg).collect()
}

fn journal(all: &[(&str, i64)]) -> Request {
    Request::Journal {
        legs: legs(all),
        rate: None,
        waits: true,
    }
}

fn back(original: &str, all: &[(&str, i64)]) -> Request {
    Request::Reverse {
        account: "alice".to_owned(),
        original: Name {
            key: original.to_owned(),
            id: String::new(),
        },
        from: None,
        to: None,
        amount: None,
        legs: legs(all),
    }
}

fn forced(request: Request) -> Request {
    Request::Forced {
        request: Box::new(request),
    }
}

/// Only if alice has at most so much after it.
fn at_most(maximum: i64, request: Request) -> Request {
    Request::Provided {
        conditions: Conditions {
            maximum: Some(maximum),
            ..Conditions::default()
        },
        request: Box::new(request),
    }
}

fn requests() -> Vec<(&'static str, Request)> {
    let here = back("here", &[("alice", 40), ("bob", -40)]);
    let far = back("far", &[("alice", 60), ("carol", -60)]);
    let pays = |account: &str, amount| Request::Withdraw {
        account: account.to_owned(),
        amount,
    };
    let alices = Request::Deposit {
        account: "alice".to_owned(),
        amount: 100,
    };
    vec![
        ("in", alices),
        ("here", journal(&[("alice", -40), ("bob", 40)])),
        ("here back", here.clone()),
        ("here again", here.clone()),
        ("here by force", forced(here.clone())),
        ("here if few", at_most(99, here)),
        ("bobs", pays("bob", 40)),
        ("far", journal(&[("alice", -60), ("carol", 60)])),
        ("far back", far.clone()),
        ("far again", far.clone()),
        ("far by force", forced(far)),
        ("carols", pays("carol", 60)),
        (
            "carols end",
            Request::Close {
                account: "carol".to_owned(),
                sweep: None,
            },
        ),
    ]
}

/// Accounts are opened, alice gets 100, and then this happens.
fn judged(happened: &[(u32, What)]) -> Result<(), Violation> {
    let opened = HOMES.map(|(account, shard)| {
        let account = account.to_owned();
        (shard, What::Opened { account })
    });
    let first = opened.into_iter().chain([(1, done("in", 100))]);
    let step = |(index, (shard, what))| Step {
        shard,
        index,
        time: (index, 0),
        day: 0,
        what,
    };
    let all = first.chain(happened.iter().cloned());
    let steps: Vec<_> = (1..).zip(all).map(step).collect();
    let homes = HOMES.map(|(account, shard)| (account.to_owned(), shard));
    let requests = requests().into_iter();
    let requests = requests.map(|(key, request)| (key.to_owned(), request));
    follow(&homes.into(), &requests.collect(), &steps).map(drop)
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

fn left(account: &str, balance: i64, held: i64) -> Vec<Left> {
    let account = account.to_owned();
    vec![Left {
        account,
        balance,
        held,
    }]
}

fn aside(key: &str, left: Vec<Left>) -> What {
    did(key, Did::SetAside { left })
}

fn posted(key: &str, left: Vec<Left>) -> What {
    did(key, Did::Posted { left })
}

/// Alice has given carol 60.
fn far() -> Vec<(u32, What)> {
    vec![
        (1, done("far", 100)),
        (2, aside("far", left("carol", 0, 0))),
        (1, posted("far", left("alice", 40, 0))),
        (2, posted("far", left("carol", 60, 0))),
    ]
}

fn after(first: &[(u32, What)], more: &[(u32, What)]) -> Result<(), Violation> {
    judged(&[first, more].concat())
}

#[test]
fn a_journal_of_one_shard_is_moved_back_at_once_and_once() {
    let first = [(1, done("here", 60))];
    let back = (1, done("here back", 100));
    let twice = |code| (1, refused("here again", code));
    after(&first, &[back.clone(), twice("REVERSAL_EXCEEDED")]).unwrap();
    after(&first, &[back.clone(), twice("NOT_REVERSIBLE")]).unwrap_err();
    after(&first, &[back.clone(), (1, done("here again", 140))]).unwrap_err();
    after(&first, &[(1, done("here back", 60))]).unwrap_err();
    after(&first, &[(1, refused("here back", "REVERSAL_EXCEEDED"))]).unwrap_err();
    after(&[], &[(1, refused("here back", "NOT_REVERSIBLE"))]).unwrap();
    after(&[], &[back]).unwrap_err();
}

#[test]
fn what_it_brought_must_be_there_unless_it_is_forced() {
    let first = [(1, done("here", 60)), (1, done("bobs", 0))];
    after(&first, &[(1, refused("here back", "INSUFFICIENT_FUNDS"))]).unwrap();
    after(&first, &[(1, done("here back", 100))]).unwrap_err();
    after(&first, &[(1, done("here by force", 100))]).unwrap();
    let first = [far(), vec![(2, done("carols", 0))]].concat();
    let asked = [
        (1, done("far by force", 40)),
        (2, aside("far by force", left("carol", 0, 60))),
    ];
    after(&first, &asked).unwrap();
}

#[test]
fn a_condition_is_about_the_account_that_the_reversal_names() {
    let first = [(1, done("here", 60))];
    let above = (1, refused("here if few", "BALANCE_ABOVE_MAXIMUM"));
    after(&first, std::slice::from_ref(&above)).unwrap();
    after(&first, &[(1, done("here if few", 100))]).unwrap_err();
    // Once it is moved back, nothing is to be added: 100 are too many all the same.
    after(&first, &[(1, done("here back", 100)), above]).unwrap();
}

#[test]
fn a_journal_between_shards_is_moved_back_once_it_is_posted() {
    let first = far();
    let open = &first[..2];
    after(open, &[(1, refused("far back", "NOT_REVERSIBLE"))]).unwrap();
    after(open, &[(1, done("far back", 100))]).unwrap_err();
    let exceeded = (1, refused("far again", "REVERSAL_EXCEEDED"));
    let whole = [
        (1, done("far back", 40)),
        // Counted from when it is asked for.
        exceeded.clone(),
        (2, aside("far back", left("carol", 60, 60))),
        (1, posted("far back", left("alice", 100, 0))),
        (2, posted("far back", left("carol", 0, 0))),
    ];
    after(&first, &whole).unwrap();
    after(
        &first,
        &[(1, done("far back", 40)), (1, done("far again", 40))],
    )
    .unwrap_err();
    let mut as_it_was = whole;
    as_it_was[4] = (2, posted("far back", left("carol", 60, 0)));
    after(&first, &as_it_was).unwrap_err();
}

#[test]
fn what_a_shard_refuses_to_move_back_may_be_asked_for_again() {
    let code = || "INSUFFICIENT_FUNDS".to_owned();
    let first = [far(), vec![(2, done("carols", 0))]].concat();
    let cancelled = Did::Cancelled {
        by: 2,
        code: code(),
        left: left("alice", 40, 0),
    };
    let refusal = [
        (1, done("far back", 40)),
        (
            2,
            did(
                "far back",
                Did::Refused {
                    leg: 2,
                    code: code(),
                },
            ),
        ),
        (1, did("far back", cancelled)),
    ];
    let first = [&first[..], &refusal].concat();
    after(&first, &[(1, done("far again", 40))]).unwrap();
    after(&first, &[(1, refused("far again", "REVERSAL_EXCEEDED"))]).unwrap_err();
}

#[test]
fn a_cancelled_journal_is_not_moved_back() {
    let code = || "ACCOUNT_CLOSED".to_owned();
    let refused_there = Did::Refused {
        leg: 2,
        code: code(),
    };
    let cancelled = Did::Cancelled {
        by: 2,
        code: code(),
        left: left("alice", 100, 0),
    };
    let first = [
        (2, done("carols end", 0)),
        (1, done("far", 100)),
        (2, did("far", refused_there)),
        (1, did("far", cancelled)),
    ];
    after(&first, &[(1, refused("far back", "NOT_REVERSIBLE"))]).unwrap();
    after(&first, &[(1, refused("far back", "REVERSAL_EXCEEDED"))]).unwrap_err();
    after(&first, &[(1, done("far back", 100))]).unwrap_err();
}
