//! Events about what is in suspense.

use super::{
    Read, amount, currency, decode_item,
    event::{after_from_proto, after_to_proto},
    field, house, position_from_proto, position_to_proto,
    said::{Said, Saying},
};
use crate::{
    SuspenseCleared, TransactionId,
    proto::{self, event::Event as E, suspense_cleared::To},
    suspense::Cleared,
};

pub(super) fn to_proto(event: &SuspenseCleared, saying: &mut Saying) -> E {
    let to = match &event.to {
        Cleared::Account(after) => after_to_proto(after, saying).map(To::Account),
        Cleared::House(house) => Some(To::House(house.to_string())),
        Cleared::Sent { stored, .. } => Some(To::Item(stored.clone())),
    };
    E::SuspenseCleared(proto::SuspenseCleared {
        put: Some(position_to_proto(event.put.position)),
        put_ordinal: event.put.ordinal,
        owner: saying.account(event.owner),
        currency: event.currency.to_string(),
        amount: event.amount.minor_units().unsigned_abs(),
        to,
    })
}

pub(super) fn from_proto(e: proto::SuspenseCleared, said: &Said) -> Read<SuspenseCleared> {
    let to = match field(e.to, "to")? {
        To::Account(after) => Cleared::Account(after_from_proto(Some(after), said)?),
        To::House(code) => Cleared::House(house(&code)?),
        To::Item(stored) => Cleared::Sent {
            item: decode_item(&stored)?,
            stored,
        },
    };
    Ok(SuspenseCleared {
        put: TransactionId {
            position: position_from_proto(field(e.put, "put")?),
            ordinal: e.put_ordinal,
        },
        owner: said.account(e.owner)?,
        currency: currency(&e.currency)?,
        amount: amount(e.amount)?,
        to,
    })
}
