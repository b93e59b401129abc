//! How far consumer groups are, and who has their shares.

use std::sync::Arc;

use ledger_domain::{
    ConsumerId, Position, RegionName, ShardId,
    consumer::{Consumer, Cursor, Order, Place, Reads},
    state::State as _,
};
use replication::{shard::entry_here, topology::Directory as _};
use tonic::{Request, Response, Status};

use super::{ask, share::Progress};
use crate::{
    api::consumers::v1::{self as pb, consumer::Of, consumers_client::ConsumersClient},
    server::{Server, deadline::Deadline, events::cursor, receipt, refusal},
};

/// Of so many groups figures are told at most.
const FIGURES: usize = 200;
/// So many entries are looked at for the first of them that has a time.
const LOOKED_AT: u64 = 64;

impl Server {
    pub(super) async fn shown_consumer(
        self: &Arc<Self>,
        mut request: Request<pb::GetConsumerRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::GetConsumerReply>, Status> {
        let body = request.get_mut();
        let id = &self.consumer_id(&mut body.region, &body.name)?;
        self.at_leader(
            self.home(&id.place())?,
            request,
            deadline,
            |shard, _| async move {
                let read = shard.strong(|book| book.consumer(id)).await;
                let (known, position) = read.map_err(|error| refusal::read(&error))?;
                let known = known.ok_or_else(refusal::unknown_consumer)?;
                Ok(pb::GetConsumerReply {
                    consumer: Some(self.consumer_shown(position.shard, id, &known)?),
                    position: Some(receipt::position(position)),
                    served_by: Some(self.served_by()),
                })
            },
            |channel, request| async move { ConsumersClient::new(channel).get(request).await },
        )
        .await
    }

    pub(super) async fn listed_consumers(
        self: &Arc<Self>,
        request: Request<pb::ListConsumersRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::ListConsumersReply>, Status> {
        let (metadata, extensions, body) = request.into_parts();
        let region: RegionName = match body.region.as_str() {
            "" => self.region,
            name => name.parse().map_err(refusal::invalid)?,
        };
        let only = body.shard.map(ShardId);
        let shards = self.shards_of(region, None)?;
        if let Some(shard) = only.filter(|only| !shards.contains(only)) {
            return Err(refusal::unknown_shard(shard.0));
        }
        let mut consumers = Vec::new();
        for shard in shards
            .into_iter()
            .filter(|it| only.is_none_or(|only| only == *it))
        {
            let asked = pb::ListConsumersRequest {
                region: region.to_string(),
                shard: Some(shard.0),
            };
            let asked = Request::from_parts(metadata.clone(), extensions.clone(), asked);
            let listed = self.at_leader(
                shard,
                asked,
                deadline,
                |led, _| async move {
                    let read = led.strong(|book| {
                        let all = book.consumers();
                        all.map(|(id, it)| (id.clone(), it.clone()))
                            .collect::<Vec<_>>()
                    });
                    let (all, _) = read.await.map_err(|error| refusal::read(&error))?;
                    let shown = all
                        .iter()
                        .map(|(id, it)| self.consumer_shown(shard, id, it));
                    Ok(pb::ListConsumersReply {
                        consumers: shown.collect::<Result<_, _>>()?,
                        served_by: None,
                    })
                },
                |channel, request| async move { ConsumersClient::new(channel).list(request).await },
            );
            consumers.extend(listed.await?.into_inner().consumers);
        }
        Ok(Response::new(pb::ListConsumersReply {
            consumers,
            served_by: Some(self.served_by()),
        }))
    }

    fn consumer_shown(
        &self,
        kept_by: ShardId,
        id: &ConsumerId,
        it: &Consumer,
    ) -> Result<pb::Consumer, Status> {
        let group = &it.group;
        let of = match group.reads {
            Reads::Account(account) => Of::AccountId(account.to_string()),
            Reads::Shard(shard) => Of::Shard(shard.0),
            Reads::Region(region) => Of::OfRegion(region.to_string()),
        };
        let order = match group.order {
            Order::Account => pb::Order::Account,
            Order::Shard => pb::Order::Shard,
            Order::Cut => pb::Order::Cut,
        };
        let known = self.lent.known(id);
        let (members, progress) = known.map_or_else(Default::default, |known| {
            let told = known.told();
            (told.members.clone(), told.shares.clone())
        });
        let mut shares = Vec::with_capacity(it.shares.len());
        for (number, share) in (0..).zip(it.shares.iter()) {
            let mut now = progress.get(number as usize).cloned().unwrap_or_default();
            if let Some(lost) = self.lost_of(&share.cursor) {
                now.failing = refusal::position_lost(lost).message().to_owned();
            }
            let (entries_behind, behind_ms) = self.lag(&share.cursor, &now)?;
            let parked = share.parked.as_ref().map(|parked| pb::Parked {
                transaction_id: parked.event.to_string(),
                place: parked.place,
                reason: parked.reason.clone(),
                since_unix_ms: parked.since_ms,
            });
            let places = share.cursor.iter().map(|(shard, place)| (*shard, *place));
            shares.push(pb::Share {
                number,
                shards: group.share(number).0.iter().map(|shard| shard.0).collect(),
                cursor: cursor::write(places),
                entries_behind,
                behind_ms,
                member: now.member.unwrap_or_default(),
                unacknowledged: now.unacknowledged,
                parked,
                retrying: now.retrying,
                failing: now.failing,
            });
        }
        Ok(pb::Consumer {
            region: id.region().to_string(),
            name: id.name().to_owned(),
            of: Some(of),
            order: order.into(),
            spread: group.buckets,
            filter: Some(ask::filter(group)?),
            shares,
            kept_by: kept_by.0,
            members,
        })
    }

    /// A place of a share that its log does not have any more.
    fn lost_of(&self, recorded: &Cursor) -> Option<Position> {
        let mut places = recorded.iter().map(|(shard, place)| before(*shard, place));
        places.find(|it| self.is_lost(*it))
    }

    /// How many entries come after what is acknowledged of a share, and the age of the first of them.
    pub(super) fn lag(&self, recorded: &Cursor, now: &Progress) -> Result<(u64, u64), Status> {
        let acknowledged = now.acknowledged.as_ref().unwrap_or(recorded);
        let (mut behind, mut oldest) = (0_u64, None);
        for (shard, place) in acknowledged {
            let known = self.views().watermark(*shard);
            let known = known.map_err(refusal::unreadable)?;
            let end = known.map_or(0, |it| it.position.index + 1);
            behind += end.saturating_sub(place.next);
            if self.is_lost(before(*shard, place)) {
                // What it would read on with is not known: some, at least.
                behind = behind.max(1);
            }
            let mut first = None;
            for index in (place.next..end).take(LOOKED_AT as usize) {
                let position = Position {
                    shard: *shard,
                    epoch: place.epoch,
                    index,
                };
                if let Ok(Some(entry)) = entry_here(&self.hub, position) {
                    first = Some(entry.time.wall_nanos);
                    break;
                }
            }
            oldest = [oldest, first].into_iter().flatten().min();
        }
        let told = now
            .oldest
            .as_ref()
            .and_then(|it| u64::try_from(it.unix_nanos).ok());
        let since = told.or(oldest);
        let age = since.map_or(0, |then| self.world.clock.wall_nanos().saturating_sub(then));
        Ok((behind, age / 1_000_000))
    }

    /// Whether a region may read what this one may.
    pub(super) fn is_of_same_domain(&self, asker: crate::server::route::Asker) -> bool {
        let topology = self.directory.topology();
        let domain = |region: &RegionName| topology.region(region).map(|it| &it.domain);
        domain(&asker.0) == domain(&self.region)
    }
}

/// The last position that a place covers something of.
fn before(shard: ShardId, place: &Place) -> Position {
    let index = match place.told {
        0 => place.next.saturating_sub(1),
        _ => place.next,
    };
    let epoch = place.epoch;
    Position {
        shard,
        epoch,
        index,
    }
}

/// How far a group is, as metrics tell it.
pub(in crate::server) struct Figures {
    pub(in crate::server) behind_ms: u64,
    entries: u64,
    parked: u64,
    members: u64,
}

impl Figures {
    pub(in crate::server) fn entries(&self) -> u64 {
        self.entries
    }

    pub(in crate::server) fn parked(&self) -> u64 {
        self.parked
    }

    pub(in crate::server) fn members(&self) -> u64 {
        self.members
    }
}

impl Server {
    /// How far the groups are whose shards this node leads, the first of them.
    pub(in crate::server) fn consumer_figures(&self) -> Vec<(ConsumerId, Figures)> {
        let mut all = Vec::new();
        for led in self.shards.all().values() {
            if led.group().leadership().borrow().reign.is_none() {
                continue;
            }
            let kept: Vec<_> = {
                let book = led.book();
                let kept = book.consumers().take(FIGURES);
                kept.map(|(id, it)| (id.clone(), it.clone())).collect()
            };
            all.extend(kept);
        }
        all.truncate(FIGURES);
        let figures = |(id, it): (ConsumerId, Consumer)| {
            let known = self.lent.known(&id);
            let (members, progress) = known.map_or_else(Default::default, |known| {
                let told = known.told();
                (told.members.len() as u64, told.shares.clone())
            });
            let (mut entries, mut behind_ms) = (0, 0);
            for (number, share) in it.shares.iter().enumerate() {
                let now = progress.get(number).cloned().unwrap_or_default();
                // What cannot be read is told by the metrics of views.
                let (behind, age) = self.lag(&share.cursor, &now).unwrap_or_default();
                entries += behind;
                behind_ms = age.max(behind_ms);
            }
            let parked = it.shares.iter().filter(|it| it.parked.is_some());
            let figures = Figures {
                behind_ms,
                entries,
                parked: parked.count() as u64,
                members,
            };
            (id, figures)
        };
        all.into_iter().map(figures).collect()
    }
}
