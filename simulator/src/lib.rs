//! Whole nodes in a simulated world, replayable by a number.
//!
//! The nodes of three regions, their networks, clocks and disks run inside one thread of one
//! process. Nothing in there is left to chance: a run is a pure function of its [`Seed`] and of
//! the code, so a failure that was seen once can be seen again, with more tracing, until it is
//! understood. The code of the nodes is the code that ships; only the four seams of
//! [`replication::world`] are filled differently.
//!
//! The story of a run, in the order of the modules:
//!
//! 1. [`determinism`] closes every door through which the real world could leak in: entropy,
//!    clocks, task ids, hash keys. A run gets a fresh thread.
//! 2. [`topology`] says which regions and nodes there are, and how far apart.
//! 3. [`world`] gives each host a clock that can be wrong, entropy from the seed, a network of
//!    messages in memory, and a disk that forgets what was not synced when its power is cut.
//! 4. [`simulation`] starts the hosts, moves time in steps of a millisecond, and injects faults
//!    at simulated times. A panic anywhere ends the run as a [`simulation::Failure`] with the
//!    seed in it.
//! 5. [`plan`] says what will happen, as data that follows from the seed: who asks for what, and
//!    what goes wrong when.
//! 6. [`trace`] writes down what happened, in order. Two runs of one seed give the same lines.
//!    [`situation`] names what it should have come across.
//! 7. [`history`] records what the clients asked and what they were told.
//! 8. [`oracle`] judges the history, the logs and the balances against the promises. It shares no
//!    code with the product, so it cannot share its mistakes.
//! 9. [`scenario`] puts the pieces together: a world, a workload, faults, oracles.
//! 10. [`tool`] plays many runs: sweeps, comparisons, shrinking.
//!
//! [`torture`] is the same bank outside of the simulation: processes of the program that ships, real
//! disks and sockets, the same words for what goes wrong, and the same judges.

// rustdoc does not get the flags of the build, and does not run what it documents.
#[cfg(not(any(tokio_unstable, doc)))]
compile_error!(
    "the simulator needs `--cfg tokio_unstable` (see .cargo/config.toml): without it tokio's own \
     random choices cannot be seeded. Is RUSTFLAGS set in the environment? It overrides the file."
);
#[cfg(not(target_os = "linux"))]
compile_error!("the simulator replaces functions of Linux's libc");

pub mod determinism;
pub mod history;
pub mod oracle;
pub mod plan;
pub mod scenario;
pub mod simulation;
pub mod situation;
pub mod tool;
pub mod topology;
pub mod torture;
pub mod trace;
pub mod world;

pub use determinism::Seed;
