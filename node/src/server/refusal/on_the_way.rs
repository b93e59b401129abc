//! Refusals on the way to a command's decision: what comes before an opening, and what other shards say
//! who are asked first.

use ledger_domain::{AccountId, Code as Reason, Rejection};
use tonic::{Code, Status};

use super::{UNKNOWN, detail, grpc, outcome_unknown, recorded, shortened};
use crate::api::{
    rejection::{self, to_status},
    v1::RejectionDetail,
};

/// A refusal that is known before the command was decided: nothing is recorded under its key.
pub(in crate::server) fn not_yet_done(why: &Rejection, key: &str, help: &str) -> Status {
    let detail = RejectionDetail {
        recorded: false,
        help: help.to_owned(),
        idempotency_key: key.to_owned(),
        ..recorded(why)
    };
    to_status(grpc(why.code), &detail)
}

/// A refusal to open an account: it names the one that is not opened, whose id its caller may not know.
pub(in crate::server) fn not_opened(refusal: Status, account: &AccountId) -> Status {
    match rejection::from_status(&refusal) {
        Some(detail) if !leaves_open(&refusal) => {
            let message = format!("{account} is not opened: {}", detail.message);
            let detail = RejectionDetail {
                message: shortened(message),
                ..detail
            };
            to_status(refusal.code(), &detail)
        }
        _ => refusal,
    }
}

/// Whether what was asked may have happened all the same.
pub(in crate::server) fn leaves_open(refusal: &Status) -> bool {
    rejection::from_status(refusal).is_none_or(|detail| detail.code == UNKNOWN)
}

/// A refusal of another shard that a command asked on its way. Where that did not decide, and is to be asked
/// again, something may have been done by then, and who leads the other shard leads nothing here.
pub(in crate::server) fn on_the_way(refusal: Status, key: &str) -> Status {
    let is_decided = |detail: &RejectionDetail| {
        let mut codes = Reason::ALL.iter().map(|code| code.name());
        !detail.retryable || codes.any(|code| code == detail.code)
    };
    match rejection::from_status(&refusal) {
        Some(detail) if is_decided(&detail) => refusal,
        _ => outcome_unknown(refusal.message(), key),
    }
}

/// An account that its customer still has.
pub(in crate::server) fn account_open() -> Status {
    let message = "the account is open, and its customer has it as long as it is";
    let help = "Nothing was changed. Close the account first.";
    to_status(
        Code::FailedPrecondition,
        &detail("ACCOUNT_OPEN", message, false, help),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::{LEADER, not_leader, overloaded, rejected, unknown_customer, would_be_rejected},
        *,
    };

    #[test]
    fn another_shards_refusal_is_not_taken_for_ones_own() {
        let code = |status: &Status| {
            let told = rejection::from_status(status).unwrap();
            (told.code, told.idempotency_key)
        };
        for refused in [not_leader(Some(3)), overloaded(), Status::unavailable("?")] {
            let told = on_the_way(refused, "k");
            assert_eq!(code(&told), ("OUTCOME_UNKNOWN".into(), "k".into()));
            assert!(told.metadata().get(LEADER).is_none());
        }
        let full = Rejection::new(Reason::CustomerAccountsFull, [1, 1]);
        let later = rejected(&full, "other");
        let would_be = would_be_rejected(&full, "other", None);
        for refused in [unknown_customer(), later, would_be] {
            let before = code(&refused);
            assert_eq!(code(&on_the_way(refused, "k")), before);
        }
    }
}
