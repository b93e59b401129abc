//! A refusal as it travels: details and metadata of a gRPC status.

use bytes::Bytes;
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use super::CODE;
use super::v1::RejectionDetail;

/// A command's first attempt lies before the key window, so its key may be forgotten.
pub const FIRST_ATTEMPT_TOO_OLD: &str = "FIRST_ATTEMPT_TOO_OLD";

/// A key stands for another body already.
pub const KEY_CONFLICT: &str = "KEY_CONFLICT";

/// No transaction has this id or stands under this key.
pub const TRANSACTION_NOT_FOUND: &str = "TRANSACTION_NOT_FOUND";

/// A read that was to be bounded would be staler than that.
pub const TOO_STALE: &str = "TOO_STALE";

/// It cannot be told how old an answer is: a clock is wrong, or nobody has confirmed it.
pub const AGE_UNKNOWN: &str = "AGE_UNKNOWN";

/// A position or a time that is not yet known where it was asked for.
pub const NOT_HERE_YET: &str = "NOT_HERE_YET";

/// Personal data was brought to a node of another residency domain, which keeps and passes on nothing of it.
pub const OTHER_RESIDENCY_DOMAIN: &str = "OTHER_RESIDENCY_DOMAIN";

/// Puts a refusal into a status.
pub fn to_status(grpc: Code, detail: &RejectionDetail) -> Status {
    let mut metadata = MetadataMap::new();
    if let Ok(code) = MetadataValue::try_from(detail.code.as_str()) {
        metadata.insert(CODE, code);
    }
    let details = Bytes::from(detail.encode_to_vec());
    Status::with_details_and_metadata(grpc, detail.message.clone(), details, metadata)
}

/// The refusal in a status, if a node put one there. Statuses that the transport makes, or a proxy
/// between, have none.
pub fn from_status(status: &Status) -> Option<RejectionDetail> {
    if status.details().is_empty() {
        return None;
    }
    let detail = RejectionDetail::decode(status.details()).ok()?;
    (!detail.code.is_empty()).then_some(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_survives_the_trip() {
        let detail = RejectionDetail {
            code: "INSUFFICIENT_FUNDS".into(),
            message: "the account has 1.00 USD available".into(),
            retryable: false,
            help: String::new(),
            idempotency_key: "k".into(),
            recorded: true,
            group_item: 0,
        };
        let status = to_status(Code::FailedPrecondition, &detail);
        assert_eq!(from_status(&status), Some(detail));
        assert_eq!(status.metadata().get(CODE).unwrap(), "INSUFFICIENT_FUNDS");
    }

    #[test]
    fn a_status_of_somebody_else_holds_no_rejection() {
        assert_eq!(from_status(&Status::unavailable("no route")), None);
        let noise = Status::with_details(Code::Internal, "?", Bytes::from_static(b"\xff\xff"));
        assert_eq!(from_status(&noise), None);
    }
}
