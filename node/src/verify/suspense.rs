//! What is in suspense: each item was put there once, and is cleared once, as a whole.

use std::collections::BTreeMap;

use ledger_domain::{AccountId, Currency};

use super::chains::Time;
use super::channel::{At, Place};
use super::stored::{self, Read, ledger};

/// An item, as the log says it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Suspended {
    pub(super) owner: AccountId,
    pub(super) other: AccountId,
    pub(super) money: (Currency, i64),
    pub(super) since: Time,
    pub(super) why: ledger::Rejection,
}

/// All of a shard, by reign and place.
#[derive(Default)]
pub(super) struct Suspense {
    pub(super) items: BTreeMap<(u64, Place), Suspended>,
}

impl Suspense {
    pub(super) fn put(&mut self, item: Suspended, at: At) {
        self.items.insert((at.epoch, at.place), item);
    }

    pub(super) fn clear(&mut self, event: &ledger::SuspenseCleared, at: At) -> Read<()> {
        let put = event.put.as_ref().ok_or("what is cleared is missing")?;
        let place = (put.index, event.put_ordinal);
        let found = self.items.remove(&(put.epoch, place));
        let item = found.filter(|_| put.shard == at.shard).ok_or_else(|| {
            let (index, ordinal) = place;
            format!("nothing is in suspense by outcome {ordinal} of index {index}")
        })?;
        let (owner, money) = (
            stored::account(&event.owner)?,
            (
                stored::currency(&event.currency)?,
                stored::amount(event.amount)?,
            ),
        );
        if (owner, money) != (item.owner, item.money) {
            let (currency, units) = item.money;
            return Err(format!(
                "{units} {currency} of {} is in suspense; something else is cleared",
                item.owner
            ));
        }
        Ok(())
    }
}

/// Reads the items of a stored book.
pub(super) fn stored(part: &ledger::BookSuspense) -> Read<Vec<((u64, Place), Suspended)>> {
    let items = part.items.iter().map(|row| {
        let put = row
            .put
            .as_ref()
            .ok_or("what put an item there is missing")?;
        let since = row.since.ok_or("a time is missing")?;
        let item = Suspended {
            owner: stored::account(&row.owner)?,
            other: stored::account(&row.other)?,
            money: (
                stored::currency(&row.currency)?,
                stored::amount(row.amount)?,
            ),
            since: (since.wall_nanos, since.count),
            why: row.why.clone().unwrap_or_default(),
        };
        Ok(((put.epoch, (put.index, row.put_ordinal)), item))
    });
    items.collect()
}
