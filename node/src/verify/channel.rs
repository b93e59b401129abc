//! The two ends of every channel that a shard has, and what their items are.

use std::collections::BTreeMap;

use bytes::Bytes;
use ledger_domain::{AccountId, Currency, Date};

use super::chains::Time;
use super::stored::{self, Hash, Read, ledger};

/// A place in a shard's log: index and outcome.
pub(super) type Place = (u64, u32);

/// An item as its source sent it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// BLAKE3 of its stored bytes.
    pub(super) hash: Hash,
    pub(super) epoch: u64,
    pub(super) payer: AccountId,
    pub(super) payee: AccountId,
    pub(super) money: (Currency, i64),
    /// From which date it counts.
    pub(super) date: Date,
    pub(super) place: Place,
    pub(super) time: Time,
    pub(super) closed: Option<Closed>,
}

/// How an item ended at its source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    /// Settled, or returned.
    pub(super) taken: bool,
    pub(super) index: u64,
    pub(super) time: Time,
}

/// What a destination recorded about an item.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) hash: Hash,
    pub(super) epoch: u64,
    pub(super) index: u64,
    pub(super) time: Time,
    /// What it took; `None` where it refused.
    pub(super) taken: Option<Taken>,
}

/// What a destination says it took.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) payer: AccountId,
    pub(super) payee: AccountId,
    pub(super) money: (Currency, i64),
    pub(super) date: Date,
    /// Of the paying transaction.
    pub(super) place: Place,
    /// Whether it was kept from its payee.
    pub(super) kept: bool,
}

/// The channels of one shard: by peer, items by number. Numbers run from 1 without a gap.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) out: BTreeMap<u32, BTreeMap<u64, Item>>,
    pub(super) into: BTreeMap<u32, BTreeMap<u64, Recorded>>,
    pub(super) forgotten: BTreeMap<u32, u64>,
}

/// Where and when an event happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) shard: u32,
    pub(super) epoch: u64,
    pub(super) place: Place,
    pub(super) time: Time,
}

/// The highest number so far.
pub(super) fn last<T>(items: &BTreeMap<u64, T>) -> u64 {
    items.last_key_value().map_or(0, |(number, _)| *number)
}

impl Ends {
    /// An item that was sent.
    pub(super) fn item(&self, destination: u32, number: u64) -> Option<&Item> {
        self.out.get(&destination)?.get(&number)
    }

    /// Takes in an item that is sent, in its stored bytes, out of what is `by`'s; answers its payer.
    pub(super) fn send(&mut self, bytes: &Bytes, by: AccountId, at: At) -> Read<AccountId> {
        let sent: ledger::ChannelItem = stored::message(bytes.clone())?;
        let payer = stored::account(&sent.payer)?;
        let item = Item {
            hash: *blake3::hash(bytes).as_bytes(),
            epoch: sent.source_epoch,
            payer,
            payee: stored::account(&sent.payee)?,
            money: (
                stored::currency(&sent.currency)?,
                stored::amount(sent.amount)?,
            ),
            date: stored::date(sent.effective_date)?,
            place: at.place,
            time: at.time,
            closed: None,
        };
        let items = self.out.entry(sent.destination).or_default();
        let due = last(items).saturating_add(1);
        items.insert(sent.number, item);
        let name = format!("item {} to shard {}", sent.number, sent.destination);
        if sent.number != due {
            return Err(format!("{name} comes where number {due} is due"));
        }
        if (sent.source, sent.source_epoch) != (at.shard, at.epoch) || sent.destination == at.shard
        {
            return Err(format!(
                "{name} says that it goes from shard {}, epoch {}",
                sent.source, sent.source_epoch
            ));
        }
        if by != payer {
            return Err(format!("{name} is paid by another account than it says"));
        }
        Ok(payer)
    }

    /// Takes in what was recorded about an item of a peer.
    pub(super) fn record(
        &mut self,
        item: &Option<ledger::ItemRef>,
        taken: Option<Taken>,
        at: At,
    ) -> Read<()> {
        let item = item.as_ref().ok_or("an item is missing")?;
        let recorded = Recorded {
            hash: stored::hash(&item.hash)?,
            epoch: item.source_epoch,
            index: at.place.0,
            time: at.time,
            taken,
        };
        let items = self.into.entry(item.source).or_default();
        let due = last(items).saturating_add(1);
        items.insert(item.number, recorded);
        if item.number != due || item.source == at.shard {
            let (number, source) = (item.number, item.source);
            return Err(format!(
                "item {number} of shard {source} is recorded where number {due} is due"
            ));
        }
        Ok(())
    }

    /// Closes an item under way; answers its payer.
    pub(super) fn close(
        &mut self,
        destination: u32,
        number: u64,
        taken: bool,
        by: At,
    ) -> Read<AccountId> {
        let items = self.out.entry(destination).or_default();
        let name = format!("item {number} to shard {destination}");
        let item = items.get_mut(&number);
        let item = item.ok_or_else(|| format!("{name} is closed and was never sent"))?;
        if item.closed.is_some() {
            return Err(format!("{name} is closed a second time"));
        }
        item.closed = Some(Closed {
            taken,
            index: by.place.0,
            time: by.time,
        });
        Ok(item.payer)
    }

    /// Records of a peer's items through a number are forgotten.
    pub(super) fn forget(&mut self, source: u32, through: u64) -> Read<()> {
        let recorded = self.into.get(&source).map_or(0, last);
        let forgotten = self.forgotten.entry(source).or_default();
        if through > recorded || through < *forgotten {
            let done = *forgotten;
            return Err(format!(
                "items of shard {source} are forgotten through {through}, where {recorded} are \
                 recorded and {done} forgotten"
            ));
        }
        *forgotten = through;
        Ok(())
    }
}
