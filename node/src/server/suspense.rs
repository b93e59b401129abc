//! What is in suspense, for whoever has to see to it.

use futures_util::{StreamExt as _, TryStreamExt as _};
use ledger_domain::{Book, HybridTime, Position, ShardId, Suspended, TransactionId};
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
        Cursor::parse(&body.page_token)?;
        match &body.of {
            Some(Of::Shard(shard)) => {
                let shard = ShardId(*shard);
                self.directory_has(shard)
                    .ok_or_else(|| refusal::unknown_shard(shard.0))?;
                self.suspended_of_shard(shard, body, metadata, deadline)
                    .await
            }
            Some(Of::Region(region)) => {
                let region = region.parse().map_err(refusal::invalid)?;
                let shards = self.shards_of(region, None)?;
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
        items.sort_by_cached_key(|item| Cursor::of(item).ok());
        let is_last = !more && items.len() <= page.limit;
        items.truncate(page.limit);
        Ok(Response::new(pb::ListSuspenseReply {
            next_page_token: items
                .last()
                .filter(|_| !is_last)
                .map(token_after)
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
                    let before = Cursor::parse(&body.page_token)?;
                    let found = |book: &Book| {
                        let is_after =
                            |put, item: &Suspended| Some(Cursor(item.since, put)) > before;
                        let all = book.in_suspense();
                        let after = all.filter(|(put, item)| is_after(**put, item));
                        let page = after.take(page.limit + 1);
                        page.map(|(put, item)| told(put, item)).collect::<Vec<_>>()
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
                            .map(token_after)
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor(HybridTime, TransactionId);

impl Cursor {
    fn of(item: &pb::SuspendedItem) -> Result<Self, Status> {
        let since = item.since.as_ref().map_or("", |since| since.hlc.as_str());
        let since = receipt::parse_time(since);
        let put = item.transaction_id.parse().ok();
        let both = since.zip(put).map(|(since, put)| Self(since, put));
        both.ok_or_else(|| refusal::damaged("an item in suspense without a place".to_owned()))
    }

    /// `None` of the empty token: before all.
    fn parse(token: &str) -> Result<Option<Self>, Status> {
        let read =
            |(since, put): (&str, &str)| Some(Self(receipt::parse_time(since)?, put.parse().ok()?));
        match (token, token.split_once('-').and_then(read)) {
            ("", _) => Ok(None),
            (_, None) => Err(refusal::invalid("not a page token")),
            (_, cursor) => Ok(cursor),
        }
    }
}

/// The token of the page after an item.
fn token_after(item: &pb::SuspendedItem) -> String {
    let since = item.since.as_ref().map_or("", |since| since.hlc.as_str());
    format!("{since}-{}", item.transaction_id)
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

#[cfg(test)]
mod tests {
    use ledger_domain::{AccountId, Code};

    use super::*;

    /// Also those of one entry, which are of one age, and many.
    #[test]
    fn a_token_stands_where_its_item_does() {
        let account = |name| AccountId::derive("home".parse().unwrap(), "t", name);
        let item = |wall_nanos, ordinal| {
            let position = Position {
                shard: ShardId(7),
                epoch: 1,
                index: 300,
            };
            let put = TransactionId { position, ordinal };
            let item = Suspended {
                owner: account("owner"),
                other: account("other"),
                currency: "EUR".parse().unwrap(),
                amount: ledger_domain::Amount::new(1).unwrap(),
                since: HybridTime {
                    wall_nanos,
                    count: 0,
                },
                why: Code::AccountFrozen.into(),
            };
            told(&put, &item)
        };
        let times = [1_000_000, 2_000_000];
        let items = times
            .into_iter()
            .flat_map(|at| (0..400).map(move |n| item(at, n)));
        let tokens = items.map(|item| Cursor::parse(&token_after(&item)).unwrap());
        let tokens: Vec<_> = tokens.collect();
        assert!(tokens.is_sorted() && tokens[0].is_some());
        assert_eq!(Cursor::parse("").unwrap(), None);
        for wrong in ["-", "x-tx-1", "tx-040g-1", "0"] {
            assert!(Cursor::parse(wrong).is_err(), "{wrong}");
        }
    }
}
