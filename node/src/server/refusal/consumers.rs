//! Refusals of what members of consumer groups say.

use ledger_domain::{Code as Reason, Rejection};
use tonic::{Code, Status};

use super::{OVERLOADED, detail, recorded, unrecorded};
use crate::api::{rejection::to_status, v1::RejectionDetail};

pub(in crate::server) fn unknown_consumer() -> Status {
    let help = "Check the region and the name for a slip.";
    unrecorded(Reason::ConsumerNotFound, help)
}

/// What a member said of a share that is not lent to it, or not any more.
pub(in crate::server) fn consumer_fenced() -> RejectionDetail {
    RejectionDetail {
        recorded: false,
        help: "Nothing was changed. What was not acknowledged in time is told again.".to_owned(),
        ..recorded(&Rejection::from(Reason::ConsumerFenced))
    }
}

/// A member that does not read what it is told.
pub(in crate::server) fn reads_nothing() -> Status {
    let message = "this member has not read what it was told, and too much waits for it";
    let help = "Read on, and join again. What was not acknowledged is told again.";
    to_status(
        Code::ResourceExhausted,
        &detail(OVERLOADED, message, true, help),
    )
}

/// What a member refuses and was not told, or not lately: it is void or acknowledged.
pub(in crate::server) fn not_under_way() -> RejectionDetail {
    let message = "no event of this number is told and not acknowledged under this lease";
    detail(
        "INVALID_ARGUMENT",
        message,
        false,
        "Nothing was changed. Go on with what is told.",
    )
}

/// What a member said of a share that there is not.
pub(in crate::server) fn unknown_share() -> RejectionDetail {
    RejectionDetail {
        recorded: false,
        help: "Nothing was changed.".to_owned(),
        ..recorded(&Rejection::from(Reason::ConsumerShareNotFound))
    }
}
