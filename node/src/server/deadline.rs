//! Until when a call is to be answered.
//!
//! A caller says so in `grpc-timeout`, for the whole of the call, the way there and back included.
//! A node therefore answers a little earlier; whoever waits for something stops waiting earlier
//! still, so that what is known by then can be told; and a request that is sent on carries what is
//! left.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout_at};
use tonic::{Request, Status, metadata::MetadataMap};

use super::refusal;
use crate::api::rejection;

/// The time of a call that names none.
const DEFAULT: Duration = Duration::from_secs(10);
/// Nobody is waited for longer, whatever the caller says.
const LONGEST: Duration = Duration::from_secs(600);
/// What is kept for the way back: this part of the time, within bounds. The upper one is a round
/// trip around the world.
const WAY_BACK: u32 = 8;
const WAY_BACK_MIN: Duration = Duration::from_millis(20);
const WAY_BACK_MAX: Duration = Duration::from_millis(400);

/// Until when a call is to be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    patience: Instant,
    answer: Instant,
}

/// What a call was for: what is said when it has no answer in time.
#[derive(Debug, Clone)]
pub(super) enum Call {
    /// Nothing was changed, however it ends.
    Read,
    /// It may have happened: the key tells.
    Write {
        /// The command's key.
        key: String,
    },
}

impl Deadline {
    /// Of a request that has just come. One that a service makes out of another request carries
    /// that one's deadline as an extension.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let given = request.extensions().get::<Self>().copied();
        given.unwrap_or_else(|| Self::after(asked_for(request.metadata()).unwrap_or(DEFAULT)))
    }

    /// Of one command of a stream, which has no end of its own.
    pub(super) fn of_one() -> Self {
        Self::after(DEFAULT)
    }

    fn after(time: Duration) -> Self {
        let time = time.min(LONGEST);
        let way_back = (time / WAY_BACK).clamp(WAY_BACK_MIN, WAY_BACK_MAX);
        let way_back = way_back.min(time / 2);
        let end = Instant::now() + time;
        Self {
            patience: end - way_back,
            answer: end - way_back / 2,
        }
    }

    /// Until when to wait for something without which there is an answer, too.
    pub(super) fn patience(&self) -> Instant {
        self.patience
    }

    /// What another node may take of it.
    pub(super) fn left(&self) -> Duration {
        self.answer.saturating_duration_since(Instant::now())
    }

    /// Does the work of a call, or says in time that it is not done.
    pub(super) async fn keep<T>(
        self,
        call: Call,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        if self.left().is_zero() {
            return Err(refusal::not_begun(&call));
        }
        match timeout_at(self.answer, work).await {
            Ok(Err(status)) if rejection::from_status(&status).is_none() => match call {
                Call::Read => Err(status),
                Call::Write { key } => Err(refusal::outcome_unknown(status.message(), &key)),
            },
            Ok(answer) => answer,
            Err(_) => Err(refusal::late(&call)),
        }
    }
}

fn asked_for(metadata: &MetadataMap) -> Option<Duration> {
    grpc_timeout(metadata.get("grpc-timeout")?.to_str().ok()?)
}

/// A duration as gRPC writes it: digits and a unit.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n.checked_mul(3600)?),
        "M" => Duration::from_secs(n.checked_mul(60)?),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(timeout: &str) -> Request<()> {
        let mut request = Request::new(());
        if !timeout.is_empty() {
            let value = timeout.parse().unwrap();
            request.metadata_mut().insert("grpc-timeout", value);
        }
        request
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_has_its_own_time_or_the_nodes_and_some_of_it_is_for_the_way_back() {
        let cases = [
            ("", 10_000, 400),
            ("no time", 10_000, 400),
            ("1S", 1_000, 125),
            ("80m", 80, 20),
            ("10m", 10, 5),
            ("99999999H", 600_000, 400),
        ];
        for (timeout, time, way_back) in cases {
            let (now, deadline) = (Instant::now(), Deadline::of(&request(timeout)));
            let waits = (deadline.patience() - now).as_micros();
            assert_eq!(waits, (time - way_back) * 1_000, "{timeout}");
            let left = deadline.left().as_micros();
            assert_eq!(left, time * 1_000 - way_back * 500, "{timeout}");
        }
        let mut child = request("1S");
        child.extensions_mut().insert(Deadline::of(&request("9S")));
        assert!(Deadline::of(&child).left() > Duration::from_secs(8));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_says_what_is_open() {
        let code = |status: Result<(), Status>| {
            let detail = rejection::from_status(&status.unwrap_err()).unwrap();
            (detail.code, detail.idempotency_key)
        };
        let write = || Call::Write { key: "k".into() };
        let never = std::future::pending::<Result<(), Status>>;
        let deadline = Deadline::of(&request("1S"));
        let lost = async { Err(Status::unavailable("the line is cut")) };
        let lost = code(deadline.keep(write(), lost).await);
        assert_eq!(lost, ("OUTCOME_UNKNOWN".into(), "k".into()));
        let late = code(deadline.keep(write(), never()).await);
        assert_eq!(late, ("OUTCOME_UNKNOWN".into(), "k".into()));
        let not_begun = code(deadline.keep(write(), never()).await);
        assert_eq!(not_begun, ("DEADLINE_EXCEEDED".into(), "k".into()));
        let deadline = Deadline::of(&request("1S"));
        let late = code(deadline.keep(Call::Read, never()).await);
        assert_eq!(late, ("DEADLINE_EXCEEDED".into(), String::new()));
    }
}
