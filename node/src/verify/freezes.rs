//! What is frozen, and that nothing moves in spite of it.

use std::collections::BTreeMap;

use ledger_domain::AccountId;

use super::book::Book;
use super::legs::{Holder, Leg};
use super::stored::{Read, ledger};

/// The freezes of each account that has any, by type.
pub(super) type Freezes = BTreeMap<AccountId, BTreeMap<i32, ledger::Freeze>>;

impl Book {
    pub(super) fn freeze(&mut self, event: &ledger::AccountFrozen) -> Read<()> {
        let id = self.touch(&event.after)?;
        let freeze = event.freeze.clone().ok_or("a freeze is missing")?;
        let freezes = self.freezes.entry(id).or_default();
        freezes.insert(freeze.r#type, freeze);
        Ok(())
    }

    pub(super) fn thaw(&mut self, event: &ledger::AccountThawed) -> Read<()> {
        let id = self.touch(&event.after)?;
        let freezes = self.freezes.get_mut(&id);
        let lifted = freezes.and_then(|freezes| freezes.remove(&event.r#type));
        self.freezes.retain(|_, freezes| !freezes.is_empty());
        match lifted {
            Some(_) => Ok(()),
            None => Err(format!("{id} is thawed and was not frozen")),
        }
    }

    /// That no freeze in force at a time, in nanoseconds, stops a leg.
    pub(super) fn is_not_frozen(&self, leg: &Leg, wall_nanos: u64) -> Read<()> {
        use ledger::FreezeBlocks::{All, Credits, Debits};
        let Holder::Customer(id) = &leg.holder else {
            return Ok(());
        };
        let (direction, word) = match leg.units < 0 {
            true => (Debits, "debited"),
            false => (Credits, "credited"),
        };
        let stops = |it: &&ledger::Freeze| {
            let until = it.until_ms.unwrap_or(u64::MAX);
            wall_nanos / 1_000_000 < until && [direction, All].contains(&it.blocks())
        };
        let freezes = self.freezes.get(id).map(BTreeMap::values);
        match freezes.into_iter().flatten().find(stops) {
            Some(freeze) => Err(format!(
                "{id} is {word} though it is frozen: {}",
                freeze.r#type().as_str_name()
            )),
            None => Ok(()),
        }
    }
}
