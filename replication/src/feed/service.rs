use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::Feeds;
use super::sources::Source;
use crate::archive::shelf::NotReached;
use crate::log::{Damaged, LogHub, NotHeld, StoredRecord};
use crate::peer::PeerOptions;
use crate::proto::feed_server::{Feed, FeedServer};
use crate::proto::{FeedBatch, FeedRecord, FeedRequest};

/// Where a batch is cut. One record is sent even if it is longer.
const BATCH_BYTES: usize = 1 << 20;
/// Longest silence on a feed: then an empty batch says that it is alive.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
/// Nobody is told more often than this.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(50);

/// Serves the feeds of all shards of a node.
pub struct FeedService {
    hub: LogHub,
    feeds: Feeds,
}

impl FeedService {
    pub(super) fn new(hub: LogHub, feeds: Feeds) -> Self {
        Self { hub, feeds }
    }

    /// The service, with the peers' limit of a message.
    pub fn server(hub: LogHub, feeds: Feeds, options: &PeerOptions) -> FeedServer<Self> {
        FeedServer::new(Self::new(hub, feeds)).max_encoding_message_size(options.message_limit)
    }
}

#[tonic::async_trait]
impl Feed for FeedService {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FeedBatch, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<FeedRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let FeedRequest {
            shard,
            from,
            heartbeat_millis,
        } = request.into_inner();
        let source = self.feeds.source(shard).ok_or_else(|| {
            Status::not_found(format!("shard {shard} is neither at home nor copied here"))
        })?;
        let reader = Reader {
            hub: self.hub.clone(),
            shard,
            next: from,
            source,
            heartbeat: match heartbeat_millis {
                0 => HEARTBEAT,
                millis => Duration::from_millis(millis.into()).clamp(SHORTEST_HEARTBEAT, HEARTBEAT),
            },
            has_greeted: false,
        };
        let begin = (reader, self.feeds.closed().boxed());
        let batches = stream::try_unfold(begin, |(mut reader, mut closed)| async move {
            let batch = tokio::select! {
                biased;
                () = &mut closed => return Err(Status::unavailable("this node stops")),
                batch = reader.next_batch() => batch?,
            };
            Ok(Some((batch, (reader, closed))))
        });
        Ok(Response::new(batches.boxed()))
    }
}

/// One follower's place in a shard's log.
struct Reader {
    hub: LogHub,
    shard: u32,
    next: u64,
    source: Source,
    heartbeat: Duration,
    has_greeted: bool,
}

impl Reader {
    /// The next records, or an empty batch after a silence. The first batch is given at once: it
    /// tells the follower whether this is the node it wants.
    async fn next_batch(&mut self) -> Result<FeedBatch, Status> {
        loop {
            let applied = *self.source.served.borrow_and_update();
            // What is fetched from the archive goes on being fetched meanwhile.
            let reading = timeout(self.heartbeat, self.read(applied));
            let Ok(records) = reading.await else {
                self.has_greeted = true;
                return Ok(self.batch(Vec::new(), applied));
            };
            let records = records?;
            if !records.is_empty() || !self.has_greeted {
                self.has_greeted = true;
                return Ok(self.batch(records, applied));
            }
            match timeout(self.heartbeat, self.source.served.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    let shard = self.shard;
                    return Err(Status::unavailable(format!(
                        "shard {shard} has stopped here"
                    )));
                }
                Err(_) => return Ok(self.batch(Vec::new(), applied)),
            }
        }
    }

    fn batch(&self, records: Vec<FeedRecord>, applied: u64) -> FeedBatch {
        let relayed = self.source.origin.as_ref().map(|origin| origin());
        FeedBatch {
            records,
            applied,
            relayed,
        }
    }

    async fn read(&mut self, applied: u64) -> Result<Vec<FeedRecord>, Status> {
        if self.next > applied {
            return Ok(Vec::new());
        }
        let indexes = self.next..applied.saturating_add(1);
        // An index is served with its head or not at all: the follower could not check it.
        let audited = self.hub.read_audited(self.shard, indexes, BATCH_BYTES);
        let audited = audited.await.map_err(|error| self.unreadable(&error))?;
        let audited = audited.into_iter();
        let audited: Vec<_> = audited
            .map(|(StoredRecord { record, .. }, head)| FeedRecord {
                record,
                head: head.to_vec().into(),
            })
            .collect();
        // Index 0 counts as served before it is applied; no other index does.
        if audited.is_empty() && applied > 0 {
            let (shard, index) = (self.shard, self.next);
            // Heads are written with what comes next, and after a failed write nothing does.
            if let Some(stopped) = self.hub.write_failure() {
                tracing::warn!(shard, index, %stopped, "a feed ends where the log does");
                return Err(Status::unavailable(format!(
                    "index {index} of shard {shard} has no audited head here: {stopped}"
                )));
            }
            tracing::error!(
                shard,
                index,
                "a feed cannot go on: the index or its head is missing"
            );
            return Err(Status::data_loss(format!(
                "index {index} of shard {shard}, or its audited head, is missing here"
            )));
        }
        self.next += audited.len() as u64;
        Ok(audited)
    }

    fn unreadable(&self, error: &io::Error) -> Status {
        let cause = error.get_ref();
        if let Some(missing) = cause.and_then(|cause| cause.downcast_ref::<NotHeld>()) {
            let from = missing.next.map_or_else(
                || "nothing after it is held on disk".to_owned(),
                |next| format!("the next held here is {next}"),
            );
            return Status::out_of_range(format!("{missing}; {from}"));
        }
        let (shard, index) = (self.shard, self.next);
        if NotReached::is_cause(error) {
            tracing::warn!(shard, index, %error, "a feed waits for the archive");
            return Status::unavailable(error.to_string());
        }
        tracing::error!(shard, index, %error, "a feed cannot go on: the log cannot be read");
        let place = format!("shard {shard} cannot be read from index {index} on: {error}");
        if cause.is_some_and(|cause| cause.is::<Damaged>()) {
            Status::data_loss(place)
        } else {
            Status::internal(place)
        }
    }
}
