//! The end of a node: leaders hand over, and the data directory is free when it is over.

use std::{io, ops::ControlFlow, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future;
use replication::world::{Batch, Disk, Durability, Engine, Room, SortedRow, Store, WriterHost};
use tokio::sync::watch;

use super::Server;

/// How long a stopping node tries to have others lead its shards.
const HAND_OVER: Duration = Duration::from_secs(3);

impl Server {
    /// Leads no shard any longer that another voter can lead: writes pause for one election
    /// that is asked for, instead of for a silence and then an election.
    pub(super) async fn hand_over(&self) {
        let shards = self.shards.all();
        let groups = shards.values().map(|shard| shard.group());
        let handing_over = groups.map(|group| async move {
            let over = group.hand_over(HAND_OVER).await;
            tracing::info!(shard = group.shard(), over, "asked to lead no longer");
        });
        future::join_all(handing_over).await;
    }
}

/// A disk that knows when all that was opened on it is closed again.
pub(super) struct ClosableDisk {
    disk: Arc<dyn Disk>,
    open: watch::Sender<()>,
}

impl ClosableDisk {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        let open = watch::Sender::new(());
        Self { disk, open }
    }

    /// Resolves when nobody holds any of the stores.
    pub(super) async fn closed(&self) {
        self.open.closed().await;
    }
}

impl Disk for ClosableDisk {
    fn open(&self, store: Store) -> io::Result<Arc<dyn Engine>> {
        Ok(Arc::new(Opened {
            engine: self.disk.open(store)?,
            _open: self.open.subscribe(),
        }))
    }

    fn wipe(&self, store: Store) -> io::Result<()> {
        self.disk.wipe(store)
    }

    fn has(&self, store: Store) -> bool {
        self.disk.has(store)
    }

    fn room(&self) -> Option<Room> {
        self.disk.room()
    }
}

struct Opened {
    // Dropped first: who hears of the close may open the store again at once.
    engine: Arc<dyn Engine>,
    _open: watch::Receiver<()>,
}

impl Engine for Opened {
    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()> {
        self.engine.write(batch, durability)
    }

    fn ingest(&self, rows: Vec<SortedRow>) -> io::Result<()> {
        self.engine.ingest(rows)
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        self.engine.get(key)
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.engine.scan(range, visit)
    }

    fn scan_back(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.engine.scan_back(range, visit)
    }

    fn writer_host(&self) -> WriterHost {
        self.engine.writer_host()
    }

    fn sync_time(&self) -> Duration {
        self.engine.sync_time()
    }
}
