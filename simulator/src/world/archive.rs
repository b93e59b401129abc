use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rand::{Rng, rngs::SmallRng};
use replication::world::{Archive, Getting, Putting};

use crate::Seed;

/// How long it takes for an object, in milliseconds.
const USUAL_MS: std::ops::RangeInclusive<u64> = 1..=80;
/// And now and then.
const SLOW_MS: std::ops::RangeInclusive<u64> = 500..=3_000;
/// One request in so many is slow.
const SLOW_ONE_IN: u32 = 20;
/// One in so many is refused.
const REFUSED_ONE_IN: u32 = 30;

/// The archive of a region: it is slow at times, refuses at times, and forgets nothing.
#[derive(Debug)]
pub struct SimArchive(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    rng: SmallRng,
    objects: BTreeMap<String, Bytes>,
    is_calm: bool,
}

impl SimArchive {
    /// An empty one. How it behaves is a function of the seed and of what is asked.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        SimArchive(Mutex::new(Inner {
            rng: seed.rng(),
            objects: BTreeMap::new(),
            is_calm: false,
        }))
    }

    /// An object, to look into.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Bytes> {
        self.inner().objects.get(name).cloned()
    }

    /// From now on it is neither slow nor away.
    pub fn calm(&self) {
        self.inner().is_calm = true;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a request takes, and whether it is refused then.
    fn draw(&self) -> (Duration, io::Result<()>) {
        let Inner { rng, is_calm, .. } = &mut *self.inner();
        if *is_calm {
            return (Duration::from_millis(rng.random_range(USUAL_MS)), Ok(()));
        }
        let millis = match rng.random_range(0..SLOW_ONE_IN) {
            0 => rng.random_range(SLOW_MS),
            _ => rng.random_range(USUAL_MS),
        };
        let outcome = match rng.random_range(0..REFUSED_ONE_IN) {
            0 => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => Ok(()),
        };
        (Duration::from_millis(millis), outcome)
    }
}

impl Archive for SimArchive {
    fn put(&self, object: &str, content: Bytes) -> Putting {
        let (time, outcome) = self.draw();
        // What is refused may be stored all the same.
        self.inner().objects.insert(object.to_owned(), content);
        Box::pin(async move {
            tokio::time::sleep(time).await;
            outcome
        })
    }

    fn get(&self, object: &str) -> Getting {
        let (time, outcome) = self.draw();
        let content = self.object(object);
        Box::pin(async move {
            tokio::time::sleep(time).await;
            outcome.map(|()| content)
        })
    }
}
