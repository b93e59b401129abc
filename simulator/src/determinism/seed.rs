use std::{fmt, num::ParseIntError, str::FromStr};

use rand::{SeedableRng, rngs::SmallRng};

/// The number a run is a function of.
///
/// Every consumer of chance draws from a seed of its own, [derived](Seed::derive) from the run's
/// by a label: a new consumer does not shift what the others draw.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed of one consumer.
    #[must_use]
    pub fn derive(self, label: &str) -> Seed {
        let labelled = fnv1a(FNV_OFFSET ^ self.0, label.as_bytes());
        Seed(split_mix(&mut { labelled }))
    }

    /// A generator that starts from this seed.
    #[must_use]
    pub fn rng(self) -> SmallRng {
        SmallRng::seed_from_u64(self.0)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Seed {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Seed)
    }
}

/// The start value of [`fnv1a`].
pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, 64 bits: tells texts apart, and is no defence against anyone.
pub(crate) fn fnv1a(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One step of SplitMix64 (Steele, Lea and Flood, 2014). It needs no allocation and no
/// initialisation, so it can run inside a libc function.
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::Seed;

    #[test]
    fn seeds_of_different_labels_and_runs_differ() {
        let derived = [
            Seed(1).derive("disk"),
            Seed(1).derive("clock"),
            Seed(2).derive("disk"),
            Seed(2).derive("clock"),
        ];
        for (i, a) in derived.iter().enumerate() {
            assert!(derived[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(Seed(1).derive("disk"), Seed(1).derive("disk"));
    }
}
