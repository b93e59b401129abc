use std::collections::BTreeMap;

use super::super::{Step, Verdict, Violation, What, follow};
use crate::history::{Person, Request};

fn attach(detaches: bool) -> Request {
    Request::Attach {
        customer: "c".to_owned(),
        account: "a".to_owned(),
        detaches,
    }
}

fn person(asks: Person) -> Request {
    Request::Person {
        customer: "c".to_owned(),
        asks,
    }
}

/// What customers asked, and what the log of one shard says.
fn judged(happened: Vec<(Request, Result<i64, &str>)>) -> Result<usize, Violation> {
    let (mut requests, mut steps) = (BTreeMap::new(), Vec::new());
    for (index, (request, verdict)) in (1..).zip(happened) {
        let verdict = match verdict {
            Ok(balance) => Verdict::Done(balance),
            Err(code) => Verdict::Refused(code.to_owned()),
        };
        let key = index.to_string();
        requests.insert(key.clone(), request);
        steps.push(Step {
            shard: 1,
            index,
            time: (index, 0),
            day: 100,
            what: What::Decided { key, verdict },
        });
    }
    follow(&BTreeMap::new(), &requests, &steps).map(|timeline| timeline.steps)
}

#[test]
fn what_must_become_of_customers_as_a_table() {
    let register = || Request::Register {
        customer: "c".to_owned(),
    };
    let done = |request: Request| (request, Ok(0));
    let table = [
        (
            vec![(person(Person::Profile), Err("CUSTOMER_NOT_FOUND"))],
            true,
        ),
        (vec![done(person(Person::Profile))], false),
        (vec![done(register()), done(register())], false),
        (
            vec![
                done(register()),
                done(person(Person::Profile)),
                done(attach(false)),
                (person(Person::Erase), Err("ACCOUNTS_ATTACHED")),
                done(attach(true)),
                done(person(Person::Hold)),
                (person(Person::Erase), Err("LEGAL_HOLD")),
                done(person(Person::Lift)),
                (person(Person::Lift), Err("NO_LEGAL_HOLD")),
                done(person(Person::Erase)),
                (person(Person::Profile), Err("CUSTOMER_ERASED")),
                (attach(false), Err("CUSTOMER_ERASED")),
                (register(), Err("CUSTOMER_EXISTS")),
            ],
            true,
        ),
        (
            vec![
                done(register()),
                done(attach(false)),
                done(person(Person::Erase)),
            ],
            false,
        ),
        (
            vec![
                done(register()),
                done(person(Person::Hold)),
                done(person(Person::Erase)),
            ],
            false,
        ),
        (
            vec![
                done(register()),
                done(person(Person::Erase)),
                done(person(Person::Profile)),
            ],
            false,
        ),
        (
            vec![done(register()), (person(Person::Erase), Err("LEGAL_HOLD"))],
            false,
        ),
    ];
    for (happened, is_right) in table {
        let what = format!("{happened:?}");
        assert_eq!(judged(happened).is_ok(), is_right, "{what}");
    }
}
