//! No key is decided twice while it is remembered.

use std::collections::{BTreeMap, VecDeque};

use super::stored::{Read, hex};

/// How long a key answers, counted in entry time.
const WINDOW_NANOS: u64 = 7 * 24 * 3600 * 1_000_000_000;

/// A key of a command.
pub(super) type Key = [u8; 16];

/// Where a command was decided, and the digest of its body.
pub(super) type Decided = ((u64, u32), [u8; 16]);

/// The keys of the last seven days.
#[derive(Default)]
pub(super) struct Once {
    decided: BTreeMap<Key, Decided>,
    in_order: VecDeque<(u64, Key)>,
}

impl Once {
    /// A key is decided at a place, at a time. `fingerprint` begins with the digest of the body.
    pub(super) fn decide(
        &mut self,
        key: &[u8],
        fingerprint: &[u8],
        place: (u64, u32),
        wall_nanos: u64,
    ) -> Read<()> {
        let body = fingerprint.first_chunk().copied();
        let body = body.ok_or_else(|| {
            let bytes = fingerprint.len();
            format!("a fingerprint of {bytes} bytes")
        })?;
        let key: Key = key
            .try_into()
            .map_err(|_| format!("a key of {} bytes instead of 16", key.len()))?;
        while let Some((then, old)) = self.in_order.front()
            && wall_nanos.saturating_sub(*then) > WINDOW_NANOS
        {
            self.decided.remove(old);
            self.in_order.pop_front();
        }
        match self.decided.insert(key, (place, body)) {
            None => {
                self.in_order.push_back((wall_nanos, key));
                Ok(())
            }
            Some(((index, ordinal), _)) => Err(format!(
                "{} was decided already at index {index}, outcome {ordinal}",
                hex(&key)
            )),
        }
    }

    /// The keys that must answer at a time.
    pub(super) fn remembered(&self, wall_nanos: u64) -> BTreeMap<Key, Decided> {
        let remembered = self
            .in_order
            .iter()
            .filter(|(then, _)| wall_nanos.saturating_sub(*then) <= WINDOW_NANOS);
        remembered
            .filter_map(|(_, key)| Some((*key, *self.decided.get(key)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_decided_once_in_seven_days() {
        let mut once = Once::default();
        let mut decide = |key, at| once.decide(&[key; 16], &[0; 16], (at, 0), at);
        decide(1, 1).unwrap();
        decide(2, 5).unwrap();
        assert!(decide(1, 1 + WINDOW_NANOS).is_err());
        decide(2, 6 + WINDOW_NANOS).unwrap();
        assert!(once.decide(b"short", &[0; 16], (9, 0), 9).is_err());
        assert!(once.decide(&[3; 16], b"short", (9, 0), 9).is_err());
    }
}
