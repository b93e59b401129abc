use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::{Mutex, Once, PoisonError},
    thread,
};

use super::{
    Seed,
    interpose::{SimulatedThread, is_simulated},
};

/// Tokio shards the tasks of a runtime by `id % 4`, and drops them shard by shard.
const TASK_SHARDS: u64 = 4;

/// Futures of whole nodes are deep.
const STACK_BYTES: usize = 16 << 20;

/// A run that panicked outside of any host.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}: {message}")]
pub struct Panicked {
    /// The seed to replay it with.
    pub seed: Seed,
    /// Where, and what it said.
    pub message: String,
}

/// Runs `body` on a fresh thread whose entropy and time come from `seed`, as if it were the
/// first run of the process.
///
/// # Errors
///
/// When `body` panics.
pub fn run<T: Send>(seed: Seed, body: impl FnOnce() -> T + Send) -> Result<T, Panicked> {
    // Task ids are counted per process: a run beside this one would draw from the same counter.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    remember_panics();

    thread::scope(|scope| {
        thread::Builder::new()
            .name(format!("seed-{seed}"))
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                let _simulated = SimulatedThread::enter(seed);
                align_task_ids();
                panic::catch_unwind(AssertUnwindSafe(body)).map_err(|_| Panicked {
                    seed,
                    message: take_panic(),
                })
            })
            .expect("start the thread of a run")
            .join()
            .expect("a run catches its panics")
    })
}

/// Spawns empty tasks until the next id falls into the first shard.
fn align_task_ids() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("build a runtime without drivers");
    loop {
        let id = runtime.spawn(async {}).id().to_string();
        let id: u64 = id.parse().expect("tokio shows a task id as a number");
        if id % TASK_SHARDS == TASK_SHARDS - 1 {
            break;
        }
    }
}

thread_local! {
    static FIRST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The first panic of this thread since the last call. The payload that surfaces from a runtime
/// says only that some task panicked; the first message says which.
pub(crate) fn take_panic() -> String {
    FIRST_PANIC
        .take()
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

fn remember_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if is_simulated() {
                let text = info.payload_as_str().unwrap_or("a panic without a message");
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                FIRST_PANIC.with_borrow_mut(|first| {
                    first.get_or_insert_with(|| format!("panicked at {place}: {text}"));
                });
            }
            previous(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::{
        collections::hash_map::RandomState,
        hash::BuildHasher,
        time::{Instant, SystemTime, UNIX_EPOCH},
    };

    use super::*;
    use crate::determinism::EPOCH;

    /// What a body can learn from the operating system.
    #[expect(clippy::disallowed_methods, reason = "the test is about these calls")]
    fn look_around() -> (u64, u64, u64) {
        let hashed = RandomState::new().hash_one("account");
        let mut bytes = [0; 8];
        replication::world::Entropy::fill(&replication::world::SystemEntropy, &mut bytes);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        (hashed, u64::from_le_bytes(bytes), since.as_secs())
    }

    #[test]
    fn entropy_and_hash_keys_are_functions_of_the_seed() {
        let first = run(Seed(7), look_around).unwrap();
        let again = run(Seed(7), look_around).unwrap();
        let other = run(Seed(8), look_around).unwrap();
        assert_eq!(first, again);
        assert_ne!(first.0, other.0);
        assert_ne!(first.1, other.1);
        assert_eq!(first.2, EPOCH.as_secs());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test is about these calls")]
    fn threads_outside_of_a_run_keep_the_real_world() {
        run(Seed(7), || ()).unwrap();
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(real > EPOCH);
        let before = Instant::now();
        while before.elapsed().is_zero() {}
        assert_ne!(look_around().1, look_around().1);
    }

    #[test]
    fn the_next_task_falls_into_the_first_shard() {
        let next = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let id = runtime.spawn(async {}).id().to_string();
            id.parse::<u64>().unwrap() % TASK_SHARDS
        };
        for _ in 0..3 {
            assert_eq!(run(Seed(1), next).unwrap(), 0);
        }
    }

    #[test]
    fn a_panic_names_the_seed_and_the_place() {
        let panicked = run(Seed(3), || panic!("the books do not balance")).unwrap_err();
        assert_eq!(panicked.seed, Seed(3));
        assert!(panicked.message.contains("run.rs"), "{panicked}");
        assert!(
            panicked.message.contains("the books do not balance"),
            "{panicked}"
        );
    }
}
