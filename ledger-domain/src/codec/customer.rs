//! Customers.

use bytes::Bytes;

use super::{
    Read, date, field,
    said::{Said, Saying},
};
use crate::{
    AccountId, CustomerId, Damage,
    customer::{CustomerChange, CustomerEvent},
    profile::SealedProfile,
    proto::{self, event::Event as E},
};

pub(crate) fn customer_to_proto(id: CustomerId) -> Option<proto::CustomerId> {
    Some(proto::CustomerId {
        region: id.region().to_string(),
        body: Bytes::copy_from_slice(id.body()),
    })
}

pub(crate) fn customer_from_proto(id: Option<proto::CustomerId>) -> Read<CustomerId> {
    let id = field(id, "customer")?;
    let region = id.region.parse().map_err(|_| Damage::Field("region"))?;
    let body: [u8; AccountId::BODY_LEN] = id.body[..]
        .try_into()
        .map_err(|_| Damage::Field("customer"))?;
    Ok(CustomerId::new(region, body))
}

pub(crate) fn profile_to_proto(profile: &SealedProfile) -> proto::SealedProfile {
    proto::SealedProfile {
        key_id: Bytes::copy_from_slice(&profile.key_id),
        scheme: profile.scheme,
        nonce: Bytes::copy_from_slice(&profile.nonce),
        ciphertext: profile.ciphertext.clone(),
    }
}

pub(crate) fn profile_from_proto(profile: proto::SealedProfile) -> Read<SealedProfile> {
    Ok(SealedProfile {
        key_id: profile.key_id[..]
            .try_into()
            .map_err(|_| Damage::Field("key_id"))?,
        scheme: profile.scheme,
        nonce: profile.nonce[..]
            .try_into()
            .map_err(|_| Damage::Field("nonce"))?,
        ciphertext: profile.ciphertext,
    })
}

pub(super) fn to_proto(event: &CustomerEvent, saying: &mut Saying) -> E {
    let customer = customer_to_proto(event.customer);
    match &event.change {
        CustomerChange::Registered => E::CustomerRegistered(proto::CustomerRegistered { customer }),
        CustomerChange::Attached(account) => E::AccountAttached(proto::AccountAttached {
            customer,
            account: saying.account(*account),
        }),
        CustomerChange::Detached { account, on } => E::AccountDetached(proto::AccountDetached {
            customer,
            account: saying.account(*account),
            date: on.map(|on| on.days()),
        }),
        CustomerChange::ProfileSet(profile) => E::ProfileSet(proto::ProfileSet {
            customer,
            profile: Some(profile_to_proto(profile)),
        }),
        CustomerChange::LegalHoldPlaced => E::LegalHoldPlaced(proto::LegalHoldPlaced { customer }),
        CustomerChange::LegalHoldLifted => E::LegalHoldLifted(proto::LegalHoldLifted { customer }),
        CustomerChange::Erased => E::CustomerErased(proto::CustomerErased { customer }),
    }
}

/// Reads one of the events above. Another is damage.
pub(super) fn from_proto(event: E, said: &Said) -> Read<CustomerEvent> {
    let (customer, change) = match event {
        E::CustomerRegistered(e) => (e.customer, CustomerChange::Registered),
        E::AccountAttached(e) => (
            e.customer,
            CustomerChange::Attached(said.account(e.account)?),
        ),
        E::AccountDetached(e) => {
            let account = said.account(e.account)?;
            let on = e.date.map(date).transpose()?;
            (e.customer, CustomerChange::Detached { account, on })
        }
        E::ProfileSet(e) => {
            let profile = profile_from_proto(field(e.profile, "profile")?)?;
            (e.customer, CustomerChange::ProfileSet(profile))
        }
        E::LegalHoldPlaced(e) => (e.customer, CustomerChange::LegalHoldPlaced),
        E::LegalHoldLifted(e) => (e.customer, CustomerChange::LegalHoldLifted),
        E::CustomerErased(e) => (e.customer, CustomerChange::Erased),
        _ => return Err(Damage::UnknownEvent),
    };
    Ok(CustomerEvent {
        customer: customer_from_proto(customer)?,
        change,
    })
}
