use super::super::{Step, Verdict, Violation, What, follow};
use crate::history::Request;

/// By the calendar.
const TODAY: i32 = 100;

fn deposit(day: Option<(i32, bool)>) -> Request {
    let request = Request::Deposit {
        account: "alice".to_owned(),
        amount: 10,
    };
    match day {
        None => request,
        Some((day, into_closed_day)) => Request::Dated {
            day,
            into_closed_day,
            request: Box::new(request),
        },
    }
}

fn close(day: i32) -> Request {
    Request::CloseDay {
        books: "books".to_owned(),
        shard: 1,
        day,
    }
}

/// What customers asked, each under its place as a key, and what the log says became of it.
fn judged(happened: Vec<(Request, Result<i64, &str>)>) -> Result<Vec<i32>, Violation> {
    let mut whats = vec![What::Opened {
        account: "alice".to_owned(),
    }];
    let mut requests = std::collections::BTreeMap::new();
    for (place, (request, verdict)) in happened.into_iter().enumerate() {
        let verdict = match verdict {
            Ok(balance) => Verdict::Done(balance),
            Err(code) => Verdict::Refused(code.to_owned()),
        };
        let key = place.to_string();
        requests.insert(key.clone(), request);
        whats.push(What::Decided { key, verdict });
    }
    let steps: Vec<_> = (1..)
        .zip(whats)
        .map(|(index, what)| Step {
            shard: 1,
            index,
            time: (index, 0),
            day: TODAY,
            what,
        })
        .collect();
    let timeline = follow(&[("alice".to_owned(), 1)].into(), &requests, &steps)?;
    let changes = timeline.changes("alice").iter();
    Ok(changes.map(|change| change.day).collect())
}

#[test]
fn what_must_become_of_days_as_a_table() {
    let table = vec![
        (vec![(deposit(None), Ok(10))], Some(vec![TODAY])),
        (
            vec![(close(TODAY), Ok(0)), (deposit(None), Ok(10))],
            Some(vec![TODAY + 1]),
        ),
        (
            vec![(close(TODAY + 1), Err("DATE_IN_FUTURE"))],
            Some(vec![]),
        ),
        (vec![(close(TODAY + 1), Ok(0))], None),
        (
            vec![
                (close(TODAY), Ok(0)),
                (close(TODAY - 1), Err("DAY_CLOSED")),
                (deposit(Some((TODAY, true))), Ok(10)),
                (deposit(Some((TODAY, false))), Err("DAY_CLOSED")),
                (deposit(Some((TODAY + 1, false))), Ok(20)),
                (deposit(Some((TODAY + 2, true))), Err("DATE_IN_FUTURE")),
            ],
            Some(vec![TODAY, TODAY + 1]),
        ),
        (vec![(close(TODAY), Ok(0)), (close(TODAY), Ok(0))], None),
        (
            vec![
                (close(TODAY), Ok(0)),
                (deposit(Some((TODAY, false))), Ok(10)),
            ],
            None,
        ),
        (
            vec![(deposit(Some((TODAY - 1, true))), Err("DATE_BEFORE_OPENING"))],
            Some(vec![]),
        ),
    ];
    for (happened, expected) in table {
        let found = judged(happened.clone());
        assert_eq!(found.ok(), expected, "{happened:?}");
    }
}
