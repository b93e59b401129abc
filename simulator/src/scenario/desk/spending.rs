//! What is spent by channels, and how much may be.

use rand::{Rng, rngs::SmallRng};

use crate::history::{Channel, Request};

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
            let at_once = rng.random_bool(0.5).then(|| rng.random_range(50..400));
            let a_day = rng.random_bool(0.7).then(|| rng.random_range(0..1_500));
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
