use std::time::Duration;

use super::Mishap;

/// A source of random bytes, good enough for keys, and of bad luck.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `buf` with random bytes.
    fn fill(&self, buf: &mut [u8]);

    /// A random number, for jitter and identifiers.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// For how long the machine has no time to apply what comes next. It always has, where a source
    /// does not say otherwise.
    fn hold_up(&self) -> Duration {
        Duration::ZERO
    }

    /// What unlikely thing befalls the next proposal to a shard's log. Nothing is made to happen
    /// where a source does not say so.
    fn mishap(&self, _shard: u32) -> Option<Mishap> {
        None
    }
}

/// The operating system's entropy.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the entropy's seam")]
    fn fill(&self, buf: &mut [u8]) {
        getrandom::fill(buf).expect("the operating system gives no random bytes");
    }
}
