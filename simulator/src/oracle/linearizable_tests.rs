use std::time::Duration;

use super::*;
use crate::history::Moment;

const EMPTY: Account = Account {
    balance: 0,
    overdraft_limit: Some(0),
};

/// `(invoked, completed, step)`; no completion means unknown.
type Timed = (u64, Option<u64>, Step);

fn deposit(amount: i64) -> Step {
    Step::Credit {
        amount,
        balance_after: None,
    }
}

fn withdraw(amount: i64) -> Step {
    Step::Debit {
        amount,
        balance_after: None,
    }
}

fn read(balance: i64) -> Step {
    Step::Read { balance }
}

fn history(operations: &[Timed]) -> Vec<Operation> {
    let numbered = operations.iter().enumerate();
    numbered
        .map(|(id, (invoked, completed, step))| Operation {
            id,
            invoked: *invoked,
            completed: *completed,
            step: *step,
        })
        .collect()
}

fn is_linearizable(operations: &[Timed]) -> bool {
    match check("alice", EMPTY, &history(operations)) {
        Ok(()) => true,
        Err(Violation::NotLinearizable { .. }) => false,
        Err(undecided @ Violation::Undecided { .. }) => panic!("{undecided}"),
    }
}

#[test]
fn histories_that_some_order_explains_pass() {
    let good: [(&str, &[Timed]); 9] = [
        ("nothing happened", &[]),
        (
            "one after the other",
            &[(0, Some(1), deposit(5)), (2, Some(3), read(5))],
        ),
        (
            "a read beside a write sees it",
            &[(0, Some(3), deposit(5)), (1, Some(2), read(5))],
        ),
        (
            "a read beside a write does not see it",
            &[(0, Some(3), deposit(5)), (1, Some(2), read(0))],
        ),
        (
            "the order of overlapping writes shows in what they return",
            &[
                (
                    0,
                    Some(4),
                    Step::Credit {
                        amount: 5,
                        balance_after: Some(12),
                    },
                ),
                (
                    1,
                    Some(3),
                    Step::Credit {
                        amount: 7,
                        balance_after: Some(7),
                    },
                ),
            ],
        ),
        (
            "an unknown deposit took effect between two reads",
            &[
                (0, None, deposit(5)),
                (1, Some(2), read(0)),
                (3, Some(4), read(5)),
            ],
        ),
        (
            "an unknown deposit never took effect",
            &[(0, None, deposit(5)), (1, Some(2), read(0))],
        ),
        (
            "a debit was covered by an overlapping credit",
            &[
                (0, Some(3), withdraw(5)),
                (1, Some(2), deposit(5)),
                (4, Some(5), read(0)),
            ],
        ),
        (
            "a debit was refused before the credit that would have covered it",
            &[
                (0, Some(3), Step::RefusedDebit { amount: 5 }),
                (1, Some(2), deposit(5)),
                (4, Some(5), read(5)),
            ],
        ),
    ];
    for (name, operations) in good {
        assert!(is_linearizable(operations), "{name}");
    }
}

#[test]
fn histories_that_no_order_explains_are_found() {
    let bad: [(&str, &[Timed]); 10] = [
        (
            "a stale read",
            &[(0, Some(1), deposit(5)), (2, Some(3), read(0))],
        ),
        (
            "two reads see a write come and go",
            &[
                (0, None, deposit(5)),
                (1, Some(2), read(5)),
                (3, Some(4), read(0)),
            ],
        ),
        (
            "a lost deposit",
            &[
                (0, Some(1), deposit(5)),
                (2, Some(3), deposit(1)),
                (4, Some(5), read(1)),
            ],
        ),
        (
            "a deposit applied twice",
            &[(0, Some(1), deposit(5)), (2, Some(3), read(10))],
        ),
        (
            "an unknown deposit applied twice",
            &[(0, None, deposit(5)), (2, Some(3), read(10))],
        ),
        (
            "a read from the future",
            &[(0, Some(1), read(5)), (2, Some(3), deposit(5))],
        ),
        (
            "a receipt that forgets an earlier deposit",
            &[
                (0, Some(1), deposit(5)),
                (
                    2,
                    Some(3),
                    Step::Credit {
                        amount: 7,
                        balance_after: Some(7),
                    },
                ),
            ],
        ),
        (
            "a debit of money that is not there",
            &[(0, Some(1), withdraw(5)), (2, Some(3), deposit(5))],
        ),
        (
            "a refusal that nothing explains",
            &[
                (0, Some(1), deposit(5)),
                (2, Some(3), Step::RefusedDebit { amount: 5 }),
            ],
        ),
        (
            "reads of two clients disagree on the order of two writes",
            &[
                (0, Some(9), deposit(1)),
                (1, Some(10), deposit(2)),
                (2, Some(3), read(1)),
                (4, Some(5), read(2)),
            ],
        ),
    ];
    for (name, operations) in bad {
        assert!(!is_linearizable(operations), "{name}");
    }
}

#[test]
fn a_violation_shows_how_far_an_explanation_goes() {
    let stale = history(&[
        (0, Some(1), deposit(5)),
        (2, Some(3), read(5)),
        (4, Some(5), withdraw(2)),
        (6, Some(7), read(5)),
    ]);
    assert_eq!(
        check("alice", EMPTY, &stale),
        Err(Violation::NotLinearizable {
            account: "alice".to_owned(),
            placed: vec![0, 1, 2],
            balance: 3,
            stuck: vec![3],
        })
    );
}

#[test]
fn an_overdraft_limit_and_an_opening_balance_are_respected() {
    let spend = history(&[
        (0, Some(1), withdraw(8)),
        (2, Some(3), Step::RefusedDebit { amount: 1 }),
    ]);
    let account = Account {
        balance: 5,
        overdraft_limit: Some(3),
    };
    check("bob", account, &spend).unwrap();
    check(
        "bob",
        Account {
            overdraft_limit: None,
            ..account
        },
        &spend,
    )
    .unwrap_err();
}

/// A thousand requests of four clients, each waiting for its answer, as in a run of a minute.
#[test]
fn a_run_of_ordinary_length_is_decided() {
    let mut operations = Vec::new();
    let mut balance = 0;
    for round in 0..250 {
        for client in 0..4 {
            let start = round * 8 + client;
            balance += 1;
            let step = Step::Credit {
                amount: 1,
                balance_after: Some(balance),
            };
            operations.push((start, Some(start + 4), step));
        }
    }
    operations.push((9_000, Some(9_001), read(balance)));
    assert!(is_linearizable(&operations));
    operations.push((9_002, Some(9_003), read(balance - 1)));
    assert!(!is_linearizable(&operations));
}

#[test]
fn an_undecidable_history_is_not_called_good() {
    // Which of forty unknown deposits, of as many amounts, add up to this?
    let mut operations: Vec<_> = (0..40).map(|n| (n, None, deposit(1 << n))).collect();
    operations.push((100, Some(101), read(-1)));
    let verdict = check("alice", EMPTY, &history(&operations));
    assert!(matches!(verdict, Err(Violation::Undecided { .. })));
}

#[test]
fn a_transfer_is_a_debit_here_and_a_credit_there() {
    let at = |order| Moment {
        order,
        at: Duration::ZERO,
    };
    let record = |balances: &[(&str, i64)]| Record {
        id: 0,
        client: "teller".to_owned(),
        key: "k".to_owned(),
        request: Request::Transfer {
            payer: "alice".to_owned(),
            payee: "bob".to_owned(),
            amount: 5,
        },
        invoked: at(0),
        completed: Some(at(1)),
        outcome: Outcome::Accepted {
            position: "1/1/5".to_owned(),
            balances: balances
                .iter()
                .map(|(account, balance)| ((*account).to_owned(), *balance))
                .collect(),
        },
        told_again: Vec::new(),
    };

    let far = by_account(
        &[record(&[("alice", 1)])],
        "INSUFFICIENT_FUNDS",
        &BTreeMap::new(),
    );
    assert_eq!(far["alice"][0].completed, Some(1));
    assert_eq!(
        far["alice"][0].step,
        Step::Debit {
            amount: 5,
            balance_after: Some(1)
        }
    );
    assert_eq!(far["bob"][0].completed, None, "it may still be under way");

    let near = by_account(
        &[record(&[("alice", 1), ("bob", 9)])],
        "INSUFFICIENT_FUNDS",
        &BTreeMap::new(),
    );
    assert_eq!(near["bob"][0].completed, Some(1));
    assert_eq!(
        near["bob"][0].step,
        Step::Credit {
            amount: 5,
            balance_after: Some(9)
        }
    );

    let refused = Outcome::Rejected {
        position: None,
        code: "INSUFFICIENT_FUNDS".to_owned(),
    };
    let refused = Record {
        outcome: refused,
        ..record(&[])
    };
    let accounts = by_account(
        std::slice::from_ref(&refused),
        "INSUFFICIENT_FUNDS",
        &BTreeMap::new(),
    );
    assert_eq!(accounts["alice"][0].step, Step::RefusedDebit { amount: 5 });
    assert!(!accounts.contains_key("bob"));
    assert!(by_account(&[refused], "ANOTHER_CODE", &BTreeMap::new()).is_empty());
}

#[test]
fn a_capture_is_a_debit_of_what_it_paid_and_holds_leave_refusals_unexplained() {
    let moment = |order| Moment {
        order,
        at: std::time::Duration::ZERO,
    };
    let record = |id, key: &str, request, outcome| Record {
        id,
        client: "teller".to_owned(),
        key: key.to_owned(),
        request,
        invoked: moment(0),
        completed: Some(moment(9)),
        outcome,
        told_again: Vec::new(),
    };
    let account = || "alice".to_owned();
    let hold = Request::Hold {
        account: account(),
        amount: 5,
        life_ms: 0,
    };
    let capture = Request::Capture {
        account: account(),
        hold: crate::history::Name {
            key: "h".to_owned(),
            id: String::new(),
        },
        amount: None,
        payee: Some("bob".to_owned()),
        is_last: false,
    };
    let withdraw = Request::Withdraw {
        account: account(),
        amount: 7,
    };
    let refused = Outcome::Rejected {
        position: None,
        code: "INSUFFICIENT_FUNDS".to_owned(),
    };
    let records = [
        record(0, "h", hold, Outcome::Unknown),
        record(1, "c", capture, Outcome::Unknown),
        record(2, "w", withdraw, refused),
    ];
    let captured = BTreeMap::from([("c".to_owned(), 5)]);
    let accounts = by_account(&records, "INSUFFICIENT_FUNDS", &captured);
    // What is captured was set aside before, whatever is left by then.
    let debit = Step::Forced {
        amount: 5,
        balance_after: None,
    };
    let credit = Step::Credit {
        amount: 5,
        balance_after: None,
    };
    let steps = |name: &str| -> Vec<Step> { accounts[name].iter().map(|it| it.step).collect() };
    assert_eq!((steps("alice"), steps("bob")), (vec![debit], vec![credit]));
}
