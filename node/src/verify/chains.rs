//! The two hash chains of a shard, computed again.

use super::stored::{Hash, peer::LogId};

/// Nanoseconds since 1970 and a count: entries rise in it.
pub(super) type Time = (u64, u32);

/// The audited chain, over every index.
///
/// Two heads are carried on. One follows the records alone, from the beginning. The other is taken
/// up from the stored head wherever the two disagree, so that one altered record is one finding and
/// not as many as there are indexes after it.
pub(super) struct Audited {
    recomputed: Option<Hash>,
    taken_up: Option<Hash>,
}

impl Audited {
    pub(super) fn genesis(shard: u32) -> Self {
        let genesis = blake3::derive_key(
            "meridian audited chain genesis 2026-11",
            &shard.to_be_bytes(),
        );
        Self {
            recomputed: Some(genesis),
            taken_up: Some(genesis),
        }
    }

    /// The head after the last index, if it could be computed.
    pub(super) fn head(&self) -> Option<Hash> {
        self.recomputed
    }

    /// Moves past a record. Answers the head that was computed where the stored one is another.
    pub(super) fn follow(
        &mut self,
        id: &LogId,
        kind: u8,
        payload: &[u8],
        stored: Option<Hash>,
    ) -> Result<(), Hash> {
        let link = |head: &Hash| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(head);
            for number in [id.epoch, id.term, id.node, id.index] {
                hasher.update(&number.to_be_bytes());
            }
            hasher.update(&[kind]).update(payload);
            *hasher.finalize().as_bytes()
        };
        self.recomputed = self.recomputed.as_ref().map(link);
        self.taken_up = self.taken_up.as_ref().map(link);
        let Some(stored) = stored else {
            return Ok(());
        };
        let agrees = |head: Option<Hash>| head.is_none_or(|head| head == stored);
        let followed = agrees(self.recomputed) || agrees(self.taken_up);
        self.recomputed.get_or_insert(stored);
        let computed = self.taken_up.replace(stored);
        match computed.filter(|_| !followed) {
            Some(computed) => Err(computed),
            None => Ok(()),
        }
    }

    /// Moves past indexes that cannot be read, to after the last of them, whose head may be stored.
    pub(super) fn lose(&mut self, stored: Option<Hash>) {
        self.recomputed = stored;
        self.taken_up = stored;
    }
}

/// What is known of the entry before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// It is as it was written, as far as can be seen.
    Sound,
    /// Something is wrong with it, which was found.
    Suspect,
    /// It cannot be read, or is not there.
    Lost,
}

/// The writer's chain, over the entries that count.
pub(super) struct Writers {
    shard: u32,
    head: Hash,
    time: Time,
    before: Before,
}

/// What an entry says of itself, as far as the chain is concerned.
pub(super) struct Claim {
    pub(super) shard: u32,
    pub(super) epoch: u64,
    pub(super) time: Time,
    pub(super) prev_hash: Hash,
}

/// Whether an entry is part of the ledger.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is.
    Counts,
    /// It keeps its index and means nothing.
    Void,
    /// It is, as far as can be seen, but does not follow the one before.
    Unlinked {
        /// The link of the one before.
        expected: Hash,
    },
    /// It follows the one before and yet cannot be its writer's.
    Impossible(String),
}

impl Writers {
    pub(super) fn genesis(shard: u32) -> Self {
        Self {
            shard,
            head: blake3::derive_key(
                "meridian writer chain genesis 2026-11",
                &shard.to_be_bytes(),
            ),
            time: (0, 0),
            before: Before::Sound,
        }
    }

    /// The hash and the time of the last entry that counts; `None` where it is not known for sure.
    pub(super) fn last(&self) -> Option<(Hash, Time)> {
        (self.before != Before::Lost).then_some((self.head, self.time))
    }

    /// The last entry was found to be wrong: the next may name what it was before.
    pub(super) fn suspect(&mut self) {
        if self.before == Before::Sound {
            self.before = Before::Suspect;
        }
    }

    /// Entries that cannot be read are passed over: the next is believed.
    pub(super) fn lose(&mut self) {
        self.before = Before::Lost;
    }

    /// Does the entry count? Then the chain moves past it.
    ///
    /// `reign` is the one that its record was written under.
    pub(super) fn judge(&mut self, claim: &Claim, reign: u64, stored: &[u8]) -> Standing {
        let linked = claim.prev_hash == self.head;
        if !linked && self.before == Before::Sound {
            return Standing::Void;
        }
        if claim.shard != self.shard {
            return Standing::Impossible(format!("it says that it is of shard {}", claim.shard));
        }
        if claim.epoch != reign {
            return Standing::Void;
        }
        if claim.time <= self.time {
            let (was, is) = (self.time, claim.time);
            return Standing::Impossible(format!(
                "its time {}+{} is not above that of the entry before, {}+{}",
                is.0, is.1, was.0, was.1
            ));
        }
        let expected = std::mem::replace(&mut self.head, *blake3::hash(stored).as_bytes());
        let before = std::mem::replace(&mut self.before, Before::Sound);
        self.time = claim.time;
        if linked || before == Before::Lost {
            Standing::Counts
        } else {
            Standing::Unlinked { expected }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u64) -> LogId {
        LogId {
            epoch: 1,
            term: 1,
            node: 1,
            index,
        }
    }

    /// Heads of a log whose payloads are these.
    fn heads(payloads: &[&[u8]]) -> Vec<Hash> {
        let mut chain = Audited::genesis(1);
        let mut heads = Vec::new();
        for (index, payload) in (0..).zip(payloads) {
            chain.follow(&id(index), 2, payload, None).unwrap();
            heads.push(chain.head().unwrap());
        }
        heads
    }

    fn wrong(payloads: &[&[u8]], heads: &[Hash]) -> Vec<u64> {
        let mut chain = Audited::genesis(1);
        (0..)
            .zip(payloads.iter().zip(heads))
            .filter(|(index, (payload, head))| {
                chain.follow(&id(*index), 2, payload, Some(**head)).is_err()
            })
            .map(|(index, _)| index)
            .collect()
    }

    #[test]
    fn one_altered_record_or_head_is_one_finding() {
        let payloads: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
        let right = heads(&payloads);
        assert_eq!(wrong(&payloads, &right), [0; 0]);
        assert_eq!(wrong(&[b"a", b"x", b"c", b"d"], &right), [1]);
        let mut altered = right.clone();
        altered[2][7] ^= 1;
        assert_eq!(wrong(&payloads, &altered), [2]);
    }

    #[test]
    fn an_entry_counts_if_it_follows() {
        let mut chain = Writers::genesis(1);
        let claim = |prev_hash, wall| Claim {
            shard: 1,
            epoch: 1,
            time: (wall, 0),
            prev_hash,
        };
        let (genesis, first) = (chain.head, *blake3::hash(b"first").as_bytes());
        assert_eq!(
            chain.judge(&claim(genesis, 5), 1, b"first"),
            Standing::Counts
        );
        assert_eq!(chain.judge(&claim(genesis, 6), 1, b"late"), Standing::Void);
        assert!(matches!(
            chain.judge(&claim(first, 5), 1, b"second"),
            Standing::Impossible(_)
        ));
        chain.suspect();
        let expected = first;
        assert_eq!(
            chain.judge(&claim([9; 32], 6), 1, b"third"),
            Standing::Unlinked { expected }
        );
        chain.lose();
        assert_eq!(
            chain.judge(&claim([9; 32], 7), 1, b"fifth"),
            Standing::Counts
        );
    }
}
