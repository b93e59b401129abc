use std::collections::BTreeMap;

use bytes::Bytes;
use ledger_domain::{Account, AccountId, Entry, Fence, Hold, Limit, ShardId, TransactionId};

use super::{Chunk, Restrictions, SNAPSHOT_EVERY, State};
use crate::view::fold::{Base, Misfit, Step};
use crate::view::keys;
use crate::view::rows::{Cursor, Item, Restated};

/// One account, folded once more from entries of its log, by what folds them all.
pub(crate) struct Refold {
    account: AccountId,
    shard: ShardId,
    known: Known,
    opened_with: Option<Limit>,
    restated: Option<Restated>,
}

/// What is known of the account alone.
#[derive(Default)]
struct Known {
    account: Option<(AccountId, ShardId, Account)>,
    restrictions: Restrictions,
    items: BTreeMap<(ShardId, u64), Item>,
}

impl Base for Known {
    fn account(&self, id: &AccountId) -> Option<(ShardId, Account)> {
        let (known, shard, account) = self.account?;
        (known == *id).then_some((shard, account))
    }

    fn restrictions(&self, _: &AccountId) -> Restrictions {
        self.restrictions.clone()
    }

    fn item(&self, destination: ShardId, number: u64) -> Option<Item> {
        self.items.get(&(destination, number)).copied()
    }

    fn hold(&self, _: &AccountId, _: u64) -> Result<Option<Hold>, Misfit> {
        Ok(None)
    }

    fn declined(&self, _: &AccountId) -> Result<u64, Misfit> {
        Ok(0)
    }

    fn reversal(&self, _: &TransactionId, _: u64) -> Result<Option<TransactionId>, Misfit> {
        Ok(None)
    }
}

impl Refold {
    /// From a state on in which nothing was on its way to other shards, with what was posted then; or
    /// from the opening on.
    pub(crate) fn from(account: AccountId, shard: ShardId, state: Option<&State>) -> Self {
        let known = state.map_or_else(Known::default, |state| Known {
            account: Some((account, shard, state.account)),
            restrictions: state.restrictions.clone(),
            items: BTreeMap::new(),
        });
        Self {
            account,
            shard,
            known,
            opened_with: None,
            restated: state.map(State::restated),
        }
    }

    /// How far below zero the account could go after the entry that opened it, if that was folded.
    pub(crate) fn opened_with(&self) -> Option<Limit> {
        self.opened_with
    }

    /// Folds the next entry that counts. Gives the state that begins with it, if one does.
    ///
    /// # Errors
    ///
    /// Where it does not follow.
    pub(crate) fn entry(&mut self, index: u64, entry: &Entry) -> Result<Option<State>, String> {
        let cursor = Cursor {
            next: index,
            audited_head: [0; 32],
            fence: Fence::new(self.shard, entry.epoch),
        };
        let mut step = Step::of_one(cursor, self.account);
        let folded = step.fold_entry(&self.known, index, entry);
        folded.map_err(|misfit| misfit.to_string())?;
        if let Some(account) = step.accounts.remove(&self.account) {
            if self.known.account.is_none() {
                self.opened_with = Some(account.limit);
            }
            self.known.account = Some((self.account, self.shard, account));
        }
        if let Some(restrictions) = step.restrictions.remove(&self.account) {
            self.known.restrictions = restrictions;
        }
        for (key, item) in step.items {
            match item {
                Some(item) => self.known.items.insert(key, item),
                None => self.known.items.remove(&key),
            };
        }
        Ok(step.states.pop().map(|(_, mut state)| {
            state.follow(self.restated);
            self.restated = Some(state.restated());
            state
        }))
    }
}

/// States that follow each other, as rows.
pub(in crate::view) fn rows(account: &AccountId, states: &[State]) -> Vec<(Vec<u8>, Bytes)> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for state in states {
        let last = chunks.last_mut();
        if !last.is_some_and(|chunk| chunk.add(state, SNAPSHOT_EVERY)) {
            chunks.push(Chunk::begin(state));
        }
    }
    let row = |chunk: Chunk| (keys::state(account, chunk.first()), chunk.seal());
    chunks.into_iter().map(row).collect()
}
