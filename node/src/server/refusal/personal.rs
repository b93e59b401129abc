//! Refusals of what is asked about who a customer is.

use ledger_domain::CustomerId;
use tonic::{Code, Status};

use super::detail;
use crate::{
    api::rejection::{OTHER_RESIDENCY_DOMAIN, to_status},
    keys::KeyError,
};

/// Personal data that was brought to another residency domain.
pub(in crate::server) fn other_domain(domain: &str, regions: &[&str]) -> Status {
    let message = format!(
        "the customer's residency domain is {domain}, and who it is is said there alone, in {}",
        regions.join(" or ")
    );
    let help = "Nothing was changed or kept. Ask a node of that domain.";
    to_status(
        Code::FailedPrecondition,
        &detail(OTHER_RESIDENCY_DOMAIN, message, false, help),
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

/// A key that is not the one that the customer's profile is sealed under, or none where there has to be one.
pub(in crate::server) fn lost_key(customer: CustomerId, is_another: bool) -> Status {
    let message = match is_another {
        true => format!("the key of {customer} is not the one that its profile is sealed under"),
        false => format!("the key of {customer}, under which its profile is sealed, is not there"),
    };
    let help = "Nothing was changed, and no key was made. Restore the key from a copy of the region's keys.";
    to_status(
        Code::Unavailable,
        &detail("KEYS_UNAVAILABLE", message, true, help),
    )
}
