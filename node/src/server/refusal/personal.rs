//! Refusals of what is asked about who a customer is.

use tonic::{Code, Status};

use super::detail;
use crate::{api::rejection::to_status, keys::KeyError};

/// Personal data that was brought to another residency domain.
pub(in crate::server) fn other_domain(domain: &str, regions: &[&str]) -> Status {
    let message = format!(
        "the customer's residency domain is {domain}, and who it is is said there alone, in {}",
        regions.join(" or ")
    );
    let help = "Nothing was changed or kept. Ask a node of that domain.";
    to_status(
        Code::FailedPrecondition,
        &detail("OTHER_RESIDENCY_DOMAIN", message, false, help),
    )
}

/// Keys that cannot be had where they are needed.
pub(in crate::server) fn no_key(error: &KeyError) -> Status {
    let help = "Nothing was changed. Ask again once the node can reach its region's keys.";
    to_status(
        Code::Unavailable,
        &detail("KEYS_UNAVAILABLE", error.to_string(), true, help),
    )
}
