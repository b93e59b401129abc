//! What a journal is, as the event says that books or opens it; and its opposite.

use ledger_domain::Currency;

use super::{party, units};
use crate::verify::legs::Holder;
use crate::verify::stored::{self, Read, ledger};

/// A journal as it is asked for: its legs in their order, and its rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verify) struct Asked {
    pub(in crate::verify) legs: Vec<Placed>,
    rate: String,
}

/// A leg, its place and where it is: `None` in the book that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verify) struct Placed {
    place: u32,
    pub(in crate::verify) shard: Option<u32>,
    pub(in crate::verify) holder: Holder,
    pub(in crate::verify) currency: Currency,
    /// Minor units, positive for a credit.
    pub(in crate::verify) units: i64,
}

impl Asked {
    /// The journal that an event books or opens; `None` where it does neither.
    pub(in crate::verify) fn by(event: &ledger::event::Event) -> Read<Option<Self>> {
        use ledger::event::Event as E;
        let (lines, asks, rate) = match event {
            E::JournalBooked(e) => (&e.lines, &[][..], &e.rate),
            E::JournalOpened(e) => (&e.lines, &e.asks[..], &e.rate),
            _ => return Ok(None),
        };
        let own = lines.iter().filter_map(|line| line.leg.as_ref());
        let own = own.map(|leg| (None, leg));
        let asked = (asks.iter()).flat_map(|ask| ask.legs.iter().map(|leg| (Some(ask.shard), leg)));
        let read = |(shard, leg): (Option<u32>, &ledger::Leg)| {
            Ok(Placed {
                place: leg.place,
                shard,
                holder: party(leg)?,
                currency: stored::currency(&leg.currency)?,
                units: units(leg)?,
            })
        };
        let legs = own.chain(asked).map(read);
        let mut legs = legs.collect::<Read<Vec<_>>>()?;
        legs.sort_by_key(|leg| leg.place);
        let rate = rate.clone();
        Ok(Some(Self { legs, rate }))
    }

    /// The amount by which it is counted where it moves something back, or is moved back.
    pub(in crate::verify) fn counted(&self) -> Read<i64> {
        let first = self.legs.first().ok_or("a journal has no legs")?;
        Ok(first.units.abs())
    }

    /// Whether it moves back what another did: each leg in its place, on the other side.
    pub(in crate::verify) fn is_opposite(&self, other: &Self) -> bool {
        let back = other.legs.iter().map(|leg| Placed {
            units: -leg.units,
            ..leg.clone()
        });
        self.rate == other.rate && self.legs.iter().cloned().eq(back)
    }

    /// Whether it has the legs of another, but for their amounts.
    pub(in crate::verify) fn is_alike(&self, other: &Self) -> bool {
        let shape = |of: &Self| -> Vec<_> {
            let legs = of.legs.iter();
            let shape = legs.map(|it| (it.shard, it.holder.clone(), it.currency, it.units > 0));
            shape.collect()
        };
        shape(self) == shape(other)
    }
}
