//! Events as the log has them, for whoever reads them on.
//!
//! Nothing is kept for who reads slowly: the log is the queue, and is read as it is told. Who goes on
//! elsewhere brings a cursor, which says for each shard up to where it was told.

mod asked;
pub(super) mod cursor;
mod filter;
mod reader;
mod wire;

use std::{collections::BTreeMap, sync::Arc};

use ledger_domain::ShardId;
use replication::events::Error;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{
    Server,
    deadline::{Call, Deadline},
    refusal,
};
use crate::api::events::v1::{self as pb, events_server::Events};
pub(super) use asked::{Asked, Start};
pub(super) use filter::Bucket;
use reader::Reader;

/// How many streams are read at a time: each reads logs, and takes its part of a processor.
pub(super) const READERS: u32 = 64;

#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Server>);

#[tonic::async_trait]
impl Events for Service {
    type ReadStream = ReceiverStream<Result<pb::ReadReply, Status>>;

    async fn read(
        &self,
        request: Request<pb::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let deadline = Deadline::of(&request);
        let begun = self.0.read_events(request.into_inner(), deadline);
        deadline.keep(Call::Read, begun).await.map(Response::new)
    }
}

impl Server {
    /// Begins to tell, once the logs here are where the caller was.
    async fn read_events(
        self: &Arc<Self>,
        body: pb::ReadRequest,
        deadline: Deadline,
    ) -> Result<ReceiverStream<Result<pb::ReadReply, Status>>, Status> {
        let asked = self.asked(body)?;
        let place = self.readers.enter()?;
        if let Some(account) = &asked.filter.about
            && self.currency_of(account).is_none()
        {
            self.arrives(account, deadline).await?;
        }
        self.tell_events(asked, deadline, place).await
    }

    /// Begins to tell what was asked for, which an account of this node's is, if it is one's.
    pub(super) async fn tell_events(
        self: &Arc<Self>,
        asked: Asked,
        deadline: Deadline,
        place: OwnedSemaphorePermit,
    ) -> Result<ReceiverStream<Result<pb::ReadReply, Status>>, Status> {
        let mut readings = BTreeMap::new();
        for shard in &asked.shards {
            let begun = self.begun(*shard, &asked, deadline).await?;
            readings.insert(*shard, begun);
        }
        // No more than one: what waits here is not read from the log yet.
        let (replies, told) = mpsc::channel(1);
        let reader = Reader::new(self.clone(), asked, readings, replies, place);
        tokio::spawn(reader.serve());
        Ok(ReceiverStream::new(told))
    }
}

impl Server {
    /// Where each shard begins that was asked for.
    pub(super) async fn places(
        self: &Arc<Self>,
        asked: &Asked,
        deadline: Deadline,
    ) -> Result<BTreeMap<ShardId, cursor::Place>, Status> {
        let mut places = BTreeMap::new();
        for shard in &asked.shards {
            let begun = self.begun(*shard, asked, deadline).await?;
            let (epoch, next) = begun.next();
            let told = begun.told_of(next);
            places.insert(*shard, cursor::Place { epoch, next, told });
        }
        Ok(places)
    }
}

/// Why a log is not read on here.
pub(super) fn unreadable(error: Error) -> Status {
    let what = error.to_string();
    match error {
        Error::NotHeld(_) => refusal::not_held(what),
        Error::Damaged { .. } => refusal::damaged(what),
        Error::NotReached(_) => refusal::not_reached(what),
        Error::Newer { .. } => refusal::newer(what),
        Error::Unreadable { .. } => refusal::log_unreadable(what),
        Error::View(error) => refusal::unreadable(error),
    }
}
