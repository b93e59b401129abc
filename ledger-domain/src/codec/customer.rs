//! Customers.

use bytes::Bytes;

use super::{
    Read, field,
    said::{Said, Saying},
};
use crate::{
    AccountId, CustomerId, Damage,
    customer::{CustomerChange, CustomerEvent},
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

pub(super) fn to_proto(event: &CustomerEvent, saying: &mut Saying) -> E {
    let customer = customer_to_proto(event.customer);
    match event.change {
        CustomerChange::Registered => E::CustomerRegistered(proto::CustomerRegistered { customer }),
        CustomerChange::Attached(account) => E::AccountAttached(proto::AccountAttached {
            customer,
            account: saying.account(account),
        }),
        CustomerChange::Detached(account) => E::AccountDetached(proto::AccountDetached {
            customer,
            account: saying.account(account),
        }),
    }
}

pub(super) fn registered(e: proto::CustomerRegistered) -> Read<CustomerEvent> {
    Ok(CustomerEvent {
        customer: customer_from_proto(e.customer)?,
        change: CustomerChange::Registered,
    })
}

pub(super) fn attached(e: proto::AccountAttached, said: &Said) -> Read<CustomerEvent> {
    Ok(CustomerEvent {
        customer: customer_from_proto(e.customer)?,
        change: CustomerChange::Attached(said.account(e.account)?),
    })
}

pub(super) fn detached(e: proto::AccountDetached, said: &Said) -> Read<CustomerEvent> {
    Ok(CustomerEvent {
        customer: customer_from_proto(e.customer)?,
        change: CustomerChange::Detached(said.account(e.account)?),
    })
}
