//! What is spent by channels, and how much may be.

use rand::{Rng, rngs::SmallRng};

use crate::history::{Channel, Outcome, Request};

/// Asks for the same by a channel; or changes how much may be spent by it.
pub(in crate::scenario) fn by_a_channel(request: Request, rng: &mut SmallRng) -> Request {
    let channel = match rng.random_bool(0.7) {
        true => Channel::Card,
        false => Channel::Online,
    };
    match request {
        Request::StrongRead { .. } | Request::CloseDay { .. } => request,
        request if rng.random_bool(0.25) => {
            // Many a limit is below what was spent already.
            let at_once = rng.random_bool(0.5).then(|| rng.random_range(20..300));
            let a_day = rng.random_bool(0.7).then(|| rng.random_range(0..700));
            Request::LimitSpending {
                account: request.named_first().to_owned(),
                channel,
                at_once,
                a_day,
            }
        }
        request => Request::Through {
            channel,
            request: Box::new(request),
        },
    }
}

/// Money in, a limit to what goes out on one day, and then more than that, a part at a time: none of
/// them is beyond the limit by itself.
pub(in crate::scenario) fn beyond_a_limit(account: &str, rng: &mut SmallRng) -> Vec<Request> {
    let channel = Channel::Card;
    let a_day = rng.random_range(50..400);
    let account = || account.to_owned();
    let through = |request| Request::Through {
        channel,
        request: Box::new(request),
    };
    let mut all = vec![
        Request::Deposit {
            account: account(),
            amount: 2 * a_day,
        },
        Request::LimitSpending {
            account: account(),
            channel,
            at_once: None,
            a_day: Some(a_day),
        },
    ];
    for _ in 0..rng.random_range(2..=3) {
        all.push(through(Request::Withdraw {
            account: account(),
            amount: rng.random_range(a_day / 2..=a_day),
        }));
    }
    all
}

/// Whether something was refused by a limit of spending.
pub(super) fn is_beyond_a_limit(told: &Outcome) -> bool {
    let codes = ["TRANSACTION_LIMIT_EXCEEDED", "DAILY_LIMIT_EXCEEDED"];
    matches!(told, Outcome::Rejected { code, .. } if codes.contains(&code.as_str()))
}
