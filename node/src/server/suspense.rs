//! What is in suspense, for whoever has to see to it.

use futures_util::{StreamExt as _, TryStreamExt as _};
use ledger_domain::{Book, Position, ShardId, Suspended, TransactionId};
use replication::topology::Directory as _;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{Server, deadline::Deadline, prepare, receipt, refusal};
use crate::api::teller::v1::{self as pb, list_suspense_request::Of, teller_client::TellerClient};

/// How many shards are asked at a time.
const AT_A_TIME: usize = 16;

impl Server {
    /// Answers for a shard from its leader, and for a region from those of all its shards.
    pub(super) async fn list_suspense(
        &self,
        request: Request<pb::ListSuspenseRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::ListSuspenseReply>, Status> {
        let (metadata, _, body) = request.into_parts();
        if !is_cursor(&body.page_token) {
            return Err(refusal::invalid("not a page token"));
        }
        match &body.of {
            Some(Of::Shard(shard)) => {
                let shard = ShardId(*shard);
                self.directory_has(shard)
                    .ok_or_else(|| refusal::unknown_shard(shard.0))?;
                self.suspended_of_shard(shard, body, metadata, deadline)
                    .await
            }
            Some(Of::Region(region)) => {
                let topology = self.directory.topology();
                let shards = topology.shards.iter();
                let shards: Vec<_> = shards
                    .filter(|shard| shard.region.as_str() == region)
                    .map(|shard| ShardId(shard.id))
                    .collect();
                if shards.is_empty() {
                    return Err(refusal::unknown_region(region));
                }
                self.suspended_of_all(shards, body, metadata, deadline)
                    .await
            }
            None => Err(refusal::invalid("name a region, or a shard")),
        }
    }

    /// One page of all shards together, the oldest first.
    async fn suspended_of_all(
        &self,
        shards: Vec<ShardId>,
        asked: pb::ListSuspenseRequest,
        metadata: MetadataMap,
        deadline: Deadline,
    ) -> Result<Response<pb::ListSuspenseReply>, Status> {
        let page = prepare::page(asked.page_size, "", "items")?;
        let parts = shards.into_iter().map(|shard| {
            let asked = pb::ListSuspenseRequest {
                of: Some(Of::Shard(shard.0)),
                ..asked.clone()
            };
            self.suspended_of_shard(shard, asked, metadata.clone(), deadline)
        });
        let parts: Vec<_> = futures_util::stream::iter(parts)
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        let parts: Vec<_> = parts.into_iter().map(Response::into_inner).collect();
        let more = parts.iter().any(|part| !part.next_page_token.is_empty());
        let positions = parts.iter().flat_map(|part| part.positions.clone());
        let positions = positions.collect();
        let mut items: Vec<_> = parts.into_iter().flat_map(|part| part.items).collect();
        items.sort_by_cached_key(cursor);
        let is_last = !more && items.len() <= page.limit;
        items.truncate(page.limit);
        Ok(Response::new(pb::ListSuspenseReply {
            next_page_token: items
                .last()
                .filter(|_| !is_last)
                .map(cursor)
                .unwrap_or_default(),
            items,
            served_by: Some(self.served_by()),
            positions,
        }))
    }

    async fn suspended_of_shard(
        &self,
        home: ShardId,
        asked: pb::ListSuspenseRequest,
        metadata: MetadataMap,
        deadline: Deadline,
    ) -> Result<Response<pb::ListSuspenseReply>, Status> {
        let mut request = Request::new(asked);
        *request.metadata_mut() = metadata;
        let answer =
            self.at_leader(
                home,
                request,
                deadline,
                |shard, body| async move {
                    let page = prepare::page(body.page_size, "", "items")?;
                    let found = |book: &Book| {
                        let all = book.in_suspense().map(|(put, item)| told(put, item));
                        let after = all.filter(|item| cursor(item) > body.page_token);
                        after.take(page.limit + 1).collect::<Vec<_>>()
                    };
                    let (mut items, position): (_, Position) = shard
                        .strong(found)
                        .await
                        .map_err(|error| refusal::read(&error))?;
                    let more = items.len() > page.limit;
                    items.truncate(page.limit);
                    Ok(pb::ListSuspenseReply {
                        next_page_token: items
                            .last()
                            .filter(|_| more)
                            .map(cursor)
                            .unwrap_or_default(),
                        items,
                        served_by: Some(self.served_by()),
                        positions: vec![receipt::position(position)],
                    })
                },
                |channel, request| async move {
                    TellerClient::new(channel).list_suspense(request).await
                },
            );
        answer.await
    }
}

/// Where an item stands in a list of several shards: by age, and then by what put it there.
fn cursor(item: &pb::SuspendedItem) -> String {
    let since = item.since.as_ref().map(|since| since.hlc.as_str());
    format!("{}-{}", since.unwrap_or_default(), item.transaction_id)
}

fn is_cursor(token: &str) -> bool {
    let parts = token.split_once('-');
    let read = |(since, put): (&str, &str)| {
        receipt::parse_time(since).is_some() && put.parse::<TransactionId>().is_ok()
    };
    token.is_empty() || parts.is_some_and(read)
}

fn told(put: &TransactionId, item: &Suspended) -> pb::SuspendedItem {
    pb::SuspendedItem {
        transaction_id: put.to_string(),
        account_id: item.owner.to_string(),
        other_account_id: item.other.to_string(),
        amount: Some(receipt::money(item.amount.minor_units(), item.currency)),
        since: Some(receipt::time(item.since)),
        because: Some(refusal::recorded(&item.why)),
    }
}
