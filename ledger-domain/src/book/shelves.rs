use std::{collections::HashMap, hash::Hash, sync::Arc};

use crate::{AccountId, CustomerId, KeyDigest, ReferenceDigest, TransactionId};

/// How many shelves there are. A power of two.
const SHELVES: usize = 1_024;

/// What tells where a row is kept.
pub(super) trait Shelved: Copy + Ord + Hash {
    /// Two bytes that are spread evenly: rows of the lowest come first.
    fn place(&self) -> [u8; 2];
}

impl Shelved for AccountId {
    fn place(&self) -> [u8; 2] {
        [self.body()[0], self.body()[1]]
    }
}

impl Shelved for CustomerId {
    fn place(&self) -> [u8; 2] {
        [self.body()[0], self.body()[1]]
    }
}

impl Shelved for KeyDigest {
    fn place(&self) -> [u8; 2] {
        [self.0[0], self.0[1]]
    }
}

impl Shelved for ReferenceDigest {
    fn place(&self) -> [u8; 2] {
        [self.0[0], self.0[1]]
    }
}

impl Shelved for u64 {
    fn place(&self) -> [u8; 2] {
        counted(*self)
    }
}

impl Shelved for TransactionId {
    fn place(&self) -> [u8; 2] {
        counted(self.position.index)
    }
}

/// Numbers that follow each other share shelves, so that what is new is in few of them.
fn counted(number: u64) -> [u8; 2] {
    let bytes = number.to_be_bytes();
    [bytes[6], bytes[7]]
}

/// A map whose copy is a thousand pointers, whatever its size.
///
/// A copy shares its shelves with the original, until either changes one: then that shelf alone is
/// copied. So a snapshot can be written from a copy while the book goes on, and no shelf is ever
/// large enough for its growth to be felt.
#[derive(Debug, Clone)]
pub(super) struct Shelves<K, V> {
    shelves: Vec<Arc<HashMap<K, V>>>,
}

impl<K: Shelved, V: Clone> Shelves<K, V> {
    pub(super) fn new() -> Self {
        Self {
            shelves: vec![Arc::default(); SHELVES],
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.shelves[shelf(key)].get(key).cloned()
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        Arc::make_mut(&mut self.shelves[shelf(&key)]).insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        Arc::make_mut(&mut self.shelves[shelf(key)]).remove(key)
    }

    /// Every value, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.shelves.iter().flat_map(|shelf| shelf.values())
    }

    /// The rows of each shelf, sorted; shelves in a fixed order.
    pub(super) fn sorted(&self) -> impl Iterator<Item = Vec<(K, V)>> + use<'_, K, V> {
        self.shelves.iter().map(|shelf| {
            let mut rows: Vec<_> = shelf
                .iter()
                .map(|(key, value)| (*key, value.clone()))
                .collect();
            rows.sort_unstable_by_key(|(key, _)| *key);
            rows
        })
    }
}

fn shelf<K: Shelved>(key: &K) -> usize {
    usize::from(u16::from_be_bytes(key.place())) * SHELVES / (1 << u16::BITS)
}
