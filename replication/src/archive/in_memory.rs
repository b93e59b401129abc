use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::world::{Archive, Getting, Putting};

/// An archive in memory, in reach.
#[derive(Clone, Default)]
pub(crate) struct InMemory(Arc<Mutex<Kept>>);

#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) objects: BTreeMap<String, Bytes>,
    pub(crate) puts: usize,
    pub(crate) gets: usize,
    pub(crate) is_away: bool,
}

impl InMemory {
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

impl Archive for InMemory {
    fn put(&self, object: &str, content: Bytes) -> Putting {
        let put = self.with(|kept| {
            kept.puts += 1;
            kept.objects.insert(object.to_owned(), content);
            away(kept)
        });
        Box::pin(async move { put })
    }

    fn get(&self, object: &str) -> Getting {
        let got = self.with(|kept| {
            kept.gets += 1;
            away(kept).map(|()| kept.objects.get(object).cloned())
        });
        Box::pin(async move { got })
    }
}

fn away(kept: &Kept) -> io::Result<()> {
    match kept.is_away {
        true => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
        false => Ok(()),
    }
}
