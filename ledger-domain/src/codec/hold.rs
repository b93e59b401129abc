//! Events about holds.

use super::{
    Read, amount,
    event::{after_from_proto, after_to_proto},
    field,
    said::{Said, Saying},
};
use crate::{
    Amount, Event, HoldChange, HoldEvent,
    proto::{self, event::Event as E},
};

pub(super) fn hold_to_proto(event: &HoldEvent, saying: &mut Saying) -> E {
    let hold = Some(proto::HoldAfter {
        number: event.number,
        after: after_to_proto(&event.after, saying),
    });
    let units = |a: Amount| a.minor_units().unsigned_abs();
    match event.change {
        HoldChange::Placed { amount, expires } => E::HoldPlaced(proto::HoldPlaced {
            hold,
            amount: units(amount),
            expires,
        }),
        HoldChange::Raised { by } => E::HoldRaised(proto::HoldRaised {
            hold,
            by: units(by),
        }),
        HoldChange::Captured { amount, released } => E::HoldCaptured(proto::HoldCaptured {
            hold,
            amount: units(amount),
            released,
        }),
        HoldChange::Released { released } => E::HoldReleased(proto::HoldReleased {
            hold,
            released: units(released),
        }),
        HoldChange::Expired { released } => E::HoldExpired(proto::HoldExpired {
            hold,
            released: units(released),
        }),
        HoldChange::Late { amount } => E::HoldLate(proto::HoldLate {
            hold,
            amount: units(amount),
        }),
    }
}

pub(super) fn hold_from_proto(
    hold: Option<proto::HoldAfter>,
    change: Read<HoldChange>,
    said: &Said,
) -> Read<Event> {
    let hold = field(hold, "hold")?;
    Ok(Event::Hold(HoldEvent {
        number: hold.number,
        after: after_from_proto(hold.after, said)?,
        change: change?,
    }))
}

pub(super) fn placed(e: &proto::HoldPlaced) -> Read<HoldChange> {
    Ok(HoldChange::Placed {
        amount: amount(e.amount)?,
        expires: e.expires,
    })
}

pub(super) fn captured(e: &proto::HoldCaptured) -> Read<HoldChange> {
    Ok(HoldChange::Captured {
        amount: amount(e.amount)?,
        released: e.released,
    })
}
