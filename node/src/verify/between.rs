//! What one shard sent another, against what that one says it got.
//!
//! Both logs may end anywhere: a copy is behind its home. What only one of them has yet is under
//! way, unless the other's log goes beyond the place where it must be.

use std::collections::BTreeMap;

use ledger_domain::Currency;

use super::channel::{Ends, Item, Recorded, last};
use super::finding::{Findings, Part};
use super::journals::Journals;
use super::reversals::Reversals;

static NONE_SENT: BTreeMap<u64, Item> = BTreeMap::new();
static NONE_RECORDED: BTreeMap<u64, Recorded> = BTreeMap::new();

/// How far one channel agrees between two logs of this directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Who owes the items.
    pub source: u32,
    /// Who is owed.
    pub destination: u32,
    /// Items that the source's log has sent.
    pub sent: u64,
    /// Items that the destination's log has taken or refused.
    pub recorded: u64,
    /// Items that the source's log has settled or returned.
    pub closed: u64,
}

/// One end of a pair: a shard, its channels, and how far its log is known to be settled.
pub(super) struct End<'a> {
    pub(super) shard: u32,
    pub(super) ends: &'a Ends,
    pub(super) journals: &'a Journals,
    pub(super) reversals: &'a Reversals,
    /// The balances of the bank's own accounts, minor units.
    pub(super) houses: &'a BTreeMap<(String, Currency), i64>,
    pub(super) settled: Option<u64>,
}

/// Compares a channel item by item. `None` where nothing ever went that way.
pub(super) fn compare(from: &End<'_>, to: &End<'_>, findings: &mut Findings) -> Option<Channel> {
    let sent = from.ends.out.get(&to.shard);
    let recorded = to.ends.into.get(&from.shard);
    if sent.is_none() && recorded.is_none() {
        return None;
    }
    let (sent, recorded) = (
        sent.unwrap_or(&NONE_SENT),
        recorded.unwrap_or(&NONE_RECORDED),
    );
    for (number, record) in recorded {
        let Some(item) = sent.get(number) else {
            let place = record.taken.as_ref().map(|taken| taken.place.0);
            if *number <= last(sent) || (place.is_some() && from.settled >= place) {
                let what = format!("shard {} never sent its item {number}", from.shard);
                findings.add(to.shard, record.index, Part::Channel, what);
            }
            continue;
        };
        if let Some(what) = difference(item, record) {
            let (source, place) = (from.shard, item.place.0);
            let what =
                format!("item {number} of shard {source}, sent at its index {place}: {what}");
            findings.add(to.shard, record.index, Part::Channel, what);
        }
        let is_kept = record.taken.as_ref().is_some_and(|taken| taken.kept);
        if let Some(index) = from
            .reversals
            .of(item.epoch, item.place)
            .filter(|_| is_kept)
        {
            let shard = to.shard;
            let what = format!("it reverses item {number} to shard {shard}, kept from its payee");
            findings.add(from.shard, index, Part::Entry, what);
        }
        if let Some(closed) = item.closed
            && (closed.taken != record.taken.is_some() || closed.time <= record.time)
        {
            let (destination, index) = (to.shard, record.index);
            let what = format!(
                "item {number} is closed otherwise, or earlier, than shard {destination} recorded \
                 it at its index {index}"
            );
            findings.add(from.shard, closed.index, Part::Channel, what);
        }
    }
    Some(Channel {
        source: from.shard,
        destination: to.shard,
        sent: last(sent),
        recorded: last(recorded),
        closed: sent.values().filter(|item| item.closed.is_some()).count() as u64,
    })
}

fn difference(item: &Item, record: &Recorded) -> Option<&'static str> {
    if item.hash != record.hash || item.epoch != record.epoch {
        return Some("its hash or epoch is another than what was recorded");
    }
    if record.time <= item.time {
        return Some("it was recorded before it was sent");
    }
    let taken = record.taken.as_ref()?;
    if taken.place != item.place {
        return Some("it was taken from another place");
    }
    if (taken.payer, taken.payee, taken.money) != (item.payer, item.payee, item.money) {
        return Some("other parties or another amount were taken");
    }
    // Where it is tomorrow already, or today is closed, money may count from the day its account was
    // opened.
    if !(0..=2).contains(&(taken.date.days() - item.date.days())) {
        return Some("it was taken for another date");
    }
    None
}
