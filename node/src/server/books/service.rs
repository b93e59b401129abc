//! What nodes ask each other for a cut: one shard's time closed, one shard's book.

use std::sync::Arc;

use ledger_domain::{HybridTime, ShardId};
use tonic::{Request, Response, Status};

use super::wire;
use crate::{
    api::internal::v1::{
        BookAtReply, BookAtRequest, CloseTimeReply, CloseTimeRequest, books_server::Books,
    },
    server::{Server, deadline::Deadline, receipt, refusal},
};

#[derive(Clone)]
pub(in crate::server) struct Service(pub(in crate::server) Arc<Server>);

#[tonic::async_trait]
impl Books for Service {
    async fn close_time(
        &self,
        request: Request<CloseTimeRequest>,
    ) -> Result<Response<CloseTimeReply>, Status> {
        let through = time(&request.get_ref().through_hlc)?;
        let shard = ShardId(request.get_ref().shard);
        let leader = self.0.shards.get(shard);
        let leader = leader.ok_or_else(|| refusal::not_leader(None))?;
        let closed = self.0.close_here(&leader, through).await?;
        Ok(Response::new(CloseTimeReply {
            closed_hlc: receipt::time(closed).hlc,
        }))
    }

    async fn book_at(
        &self,
        request: Request<BookAtRequest>,
    ) -> Result<Response<BookAtReply>, Status> {
        let at = time(&request.get_ref().at_hlc)?;
        let shard = ShardId(request.get_ref().shard);
        let deadline = Deadline::of(&request);
        let book = self.0.book_here(shard, at, deadline).await?;
        let reply = wire::to_wire(&book).map_err(|error| super::cut::too_large(&error))?;
        Ok(Response::new(reply))
    }
}

/// A time that a request names.
pub(super) fn time(hlc: &str) -> Result<HybridTime, Status> {
    receipt::parse_time(hlc)
        .ok_or_else(|| refusal::invalid("not a time: take the `hlc` of an earlier answer"))
}
