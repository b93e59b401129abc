//! What makes a run a pure function of its seed.
//!
//! Each source of chance is closed in its own way:
//!
//! | source | what closes it |
//! |---|---|
//! | the kernel's entropy (keys, ids, `HashMap` seeds) | `getrandom` and `getentropy` answer from the seed |
//! | the kernel's clocks (headers, log stamps) | `clock_gettime` answers simulated time |
//! | keys of `HashMap` cached per thread | each run has a fresh thread |
//! | tokio's choices (`select!`, order of wake-ups) | turmoil seeds each runtime, under `tokio_unstable` |
//! | tokio's task ids, counted per process, which order the tasks dropped at a crash | the counter is aligned before each run |
//! | the interleaving of threads | there is one thread; nothing spawns another |
//!
//! What stays open, and must therefore not be used by anything simulated: `spawn_blocking` and
//! threads, system calls made without libc (getrandom 0.2 makes one), and `futures::select!`,
//! which draws from a counter of the process.
//!
//! [`run`] applies all of it. Runs of one process take turns, for the sake of the task ids; to
//! use more cores, start more processes.

mod interpose;
mod run;
mod seed;

pub use interpose::{EPOCH, simulated_elapsed};
pub(crate) use run::take_panic;
pub use run::{Panicked, run};
pub use seed::Seed;
pub(crate) use seed::{FNV_OFFSET, fnv1a};
