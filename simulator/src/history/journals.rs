//! Journals: what is asked, and what is told of how they ended.

use std::collections::BTreeMap;

use super::{Moment, Request};

/// One debit or credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Whose account; of the bank's own, its code.
    pub account: String,
    /// Where it is, if it is the bank's own.
    pub house: Option<House>,
    /// What the account gains; negative for a debit.
    pub units: i64,
}

/// In which book an account of the bank's own is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct House {
    /// The shard.
    pub shard: u32,
    /// The region whose first shard that is; empty for the shard of the first customer's account.
    pub region: String,
}

impl Leg {
    /// The shard of its account, by the shards of customers' accounts.
    #[must_use]
    pub fn shard(&self, homes: &BTreeMap<String, u32>) -> Option<u32> {
        match &self.house {
            Some(house) => Some(house.shard),
            None => homes.get(&self.account).copied(),
        }
    }
}

/// What somebody was told of a journal's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The key of the command.
    pub key: String,
    /// When that was.
    pub told: Moment,
    /// Why it was cancelled, as a stable code; none where it was posted.
    pub refused: Option<String>,
    /// Balances with it, of the accounts that were told.
    pub balances: BTreeMap<String, i64>,
}

impl Request {
    /// The legs of a journal, in their order, and of a reversal between shards; none of anything else.
    #[must_use]
    pub fn legs(&self) -> &[Leg] {
        match self.bare() {
            Request::Journal { legs, .. } | Request::Reverse { legs, .. } => legs,
            _ => &[],
        }
    }

    /// Whether it moves a journal back. Nobody in particular has paid that, or was paid.
    #[must_use]
    pub fn reverses_a_journal(&self) -> bool {
        matches!(
            self.bare(),
            Request::Reverse {
                from: None,
                to: None,
                ..
            }
        )
    }

    /// What a journal adds to each customer's account.
    #[must_use]
    pub fn effects(&self) -> BTreeMap<&str, i64> {
        let mut effects = BTreeMap::new();
        for leg in self.legs().iter().filter(|leg| leg.house.is_none()) {
            *effects.entry(leg.account.as_str()).or_default() += leg.units;
        }
        effects
    }
}
