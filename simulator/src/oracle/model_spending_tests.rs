use super::super::{Step, Verdict, Violation, What, follow};
use crate::history::{Channel, Request};

fn account() -> String {
    "alice".to_owned()
}

fn by(channel: Channel, amount: i64) -> Request {
    let request = Request::Withdraw {
        account: account(),
        amount,
    };
    Request::Through {
        channel,
        request: Box::new(request),
    }
}

fn limit(at_once: Option<i64>, a_day: Option<i64>) -> Request {
    Request::LimitSpending {
        account: account(),
        channel: Channel::Card,
        at_once,
        a_day,
    }
}

/// What the log says became of what was asked, each on a day.
fn judged(happened: Vec<(i32, Request, Result<i64, &str>)>) -> Result<(), Violation> {
    let opened = What::Opened { account: account() };
    let deposit = Request::Deposit {
        account: account(),
        amount: 1_000,
    };
    let first = [(0, deposit, Ok(1_000))];
    let mut whats = vec![(0, opened)];
    let mut requests = std::collections::BTreeMap::new();
    for (place, (day, request, verdict)) in first.into_iter().chain(happened).enumerate() {
        let verdict = match verdict {
            Ok(balance) => Verdict::Done(balance),
            Err(code) => Verdict::Refused(code.to_owned()),
        };
        let key = place.to_string();
        requests.insert(key.clone(), request);
        whats.push((day, What::Decided { key, verdict }));
    }
    let step = |(index, (day, what))| Step {
        shard: 1,
        index,
        time: (index, 0),
        day,
        what,
    };
    let steps: Vec<_> = (1..).zip(whats).map(step).collect();
    follow(&[(account(), 1)].into(), &requests, &steps).map(drop)
}

const DAILY: Result<i64, &str> = Err("DAILY_LIMIT_EXCEEDED");
const AT_ONCE: Result<i64, &str> = Err("TRANSACTION_LIMIT_EXCEEDED");

#[test]
fn limits_bind_their_channel_on_their_day() {
    use Channel::{Card, Online};
    let day = vec![
        (0, by(Card, 80), Ok(920)),
        (0, limit(Some(50), Some(70)), Ok(920)),
        (0, by(Card, 1), DAILY),
        (0, by(Card, 51), AT_ONCE),
        (0, by(Online, 51), Ok(869)),
        (1, by(Card, 50), Ok(819)),
        (1, by(Card, 20), Ok(799)),
        (1, by(Card, 1), DAILY),
    ];
    assert_eq!(judged(day), Ok(()));
}

#[test]
fn what_a_limit_must_refuse_is_not_done_and_the_other_way_round() {
    use Channel::{Card, Online};
    let limited = (0, limit(Some(50), Some(70)), Ok(1_000));
    for wrong in [
        (0, by(Card, 51), Ok(949)),
        (0, by(Card, 50), DAILY),
        (0, by(Card, 50), AT_ONCE),
        (0, by(Online, 51), AT_ONCE),
    ] {
        let told = judged(vec![limited.clone(), wrong.clone()]);
        assert!(told.is_err(), "{wrong:?}");
    }
}
