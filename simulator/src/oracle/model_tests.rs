use super::*;

/// Two accounts in shard 1, one in shard 2, and one there that nobody opens.
fn homes() -> BTreeMap<String, u32> {
    [("alice", 1), ("bob", 1), ("carol", 2), ("nobody", 2)]
        .map(|(name, shard)| (name.to_owned(), shard))
        .into()
}

fn transfer(payee: &str) -> Request {
    Request::Transfer {
        payer: "alice".to_owned(),
        payee: payee.to_owned(),
        amount: 30,
    }
}

fn requests() -> BTreeMap<String, Request> {
    let account = || "alice".to_owned();
    [
        (
            "in",
            Request::Deposit {
                account: account(),
                amount: 100,
            },
        ),
        (
            "out",
            Request::Withdraw {
                account: account(),
                amount: 90,
            },
        ),
        ("near", transfer("bob")),
        ("far", transfer("carol")),
        ("lost", transfer("nobody")),
        (
            "end",
            Request::Close {
                sweep: None,
                account: "bob".to_owned(),
            },
        ),
        (
            "too soon",
            Request::Close {
                account: account(),
                sweep: None,
            },
        ),
    ]
    .map(|(key, request)| (key.to_owned(), request))
    .into()
}

fn step(shard: u32, index: u64, what: What) -> Step {
    let time = (index, 0);
    Step {
        shard,
        index,
        time,
        day: 0,
        what,
    }
}

fn opened(account: &str) -> What {
    What::Opened {
        account: account.to_owned(),
    }
}

fn done(key: &str, balance: i64) -> What {
    let (key, verdict) = (key.to_owned(), Verdict::Done(balance));
    What::Decided { key, verdict }
}

fn refused(key: &str, code: &str) -> What {
    let (key, verdict) = (key.to_owned(), Verdict::Refused(code.to_owned()));
    What::Decided { key, verdict }
}

fn arrived(key: &str, balance_after: i64) -> What {
    let key = key.to_owned();
    What::Arrived { key, balance_after }
}

fn given_back(key: &str, balance: i64) -> What {
    let (key, balance_after) = (key.to_owned(), Some(balance));
    let item = String::new();
    What::GivenBack {
        key,
        balance_after,
        item,
    }
}

fn good() -> Vec<Step> {
    let lost = "lost".to_owned();
    vec![
        step(1, 1, opened("alice")),
        step(1, 1, opened("bob")),
        step(1, 2, done("in", 100)),
        step(1, 3, done("near", 70)),
        step(1, 4, done("far", 40)),
        step(1, 4, done("lost", 10)),
        step(1, 5, refused("out", "INSUFFICIENT_FUNDS")),
        step(1, 9, given_back("lost", 40)),
        step(2, 1, opened("carol")),
        step(2, 6, arrived("far", 30)),
        step(2, 7, What::TurnedAway { key: lost }),
    ]
}

#[test]
fn a_day_at_the_bank() {
    let timeline = follow(&homes(), &requests(), &good()).unwrap();
    for (account, index, balance) in [
        ("alice", 1, 0),
        ("alice", 2, 100),
        ("alice", 4, 10),
        ("alice", 8, 10),
        ("alice", 9, 40),
        ("bob", 3, 30),
        ("carol", 5, 0),
        ("carol", 6, 30),
        ("nobody", 99, 0),
    ] {
        assert_eq!(timeline.at_place(account, index), balance, "{account}");
        assert_eq!(timeline.at_time(account, (index, 0)), balance, "{account}");
    }
    assert_eq!(timeline.steps, good().len());
}

#[test]
fn whatever_does_not_follow_is_found() {
    let lies = [
        // What was decided.
        (2, done("in", 101)),
        (3, refused("near", "INSUFFICIENT_FUNDS")),
        (6, done("out", -50)),
        (6, refused("out", "ACCOUNT_NOT_FOUND")),
        (4, done("unheard of", 40)),
        (5, done("far", 10)),
        (1, opened("alice")),
        // What became of what was under way.
        (7, given_back("lost", 10)),
        (9, arrived("far", 31)),
        (9, arrived("in", 130)),
        (9, given_back("out", 90)),
        (10, arrived("far", 60)),
        (
            9,
            What::TurnedAway {
                key: "far".to_owned(),
            },
        ),
    ];
    for (place, lie) in lies {
        let mut steps = good();
        steps[place].what = lie.clone();
        assert!(follow(&homes(), &requests(), &steps).is_err(), "{lie:?}");
    }
}

#[test]
fn a_closed_account_is_gone_and_only_an_empty_one_is_closed() {
    let day = |steps: Vec<What>| {
        let steps = steps.into_iter().enumerate();
        let steps = steps.map(|(index, what)| step(1, index as u64 + 1, what));
        follow(&homes(), &requests(), &steps.collect::<Vec<_>>())
    };
    let opened = || vec![opened("alice"), opened("bob"), done("in", 100)];
    let with = |more: Vec<What>| day([opened(), more].concat());
    with(vec![done("end", 0), refused("near", "ACCOUNT_CLOSED")]).unwrap();
    with(vec![refused("too soon", "BALANCE_NOT_ZERO")]).unwrap();
    // Whether what was sent away has ended is not in the steps.
    with(vec![
        done("far", 70),
        refused("too soon", "TRANSFERS_UNDER_WAY"),
    ])
    .unwrap();

    for lies in [
        vec![done("too soon", 0)],
        vec![refused("end", "BALANCE_NOT_ZERO")],
        vec![refused("end", "TRANSFERS_UNDER_WAY")],
        vec![refused("too soon", "TRANSFERS_UNDER_WAY")],
        vec![done("end", 0), done("near", 70)],
        vec![done("end", 0), refused("near", "ACCOUNT_NOT_FOUND")],
    ] {
        assert!(with(lies.clone()).is_err(), "{lies:?}");
    }
}

#[test]
fn an_effect_comes_after_its_cause() {
    let mut steps = good();
    steps[9].time = steps[4].time;
    let violation = follow(&homes(), &requests(), &steps).unwrap_err();
    assert_eq!(violation, Violation::WithoutCause(steps[9].clone()));
}
