//! What is read, and from where on.

use std::{collections::BTreeMap, sync::Arc};

use ledger_domain::{AccountId, HybridTime, Position, ShardId};
use replication::{
    events::{Lane, Order},
    topology::Directory as _,
    view::{Moment, ReadError},
};
use tonic::Status;

use super::{
    cursor::{self, Place},
    filter::Filter,
    reader::{PAGE, Reading},
    unreadable,
};
use crate::{
    api::events::v1::{
        self as pb,
        read_request::{Of, Start as Given},
    },
    server::{Server, deadline::Deadline, prepare, refusal},
};

/// A stream that was asked for.
pub(in crate::server) struct Asked {
    pub(in crate::server) shards: Vec<ShardId>,
    pub(super) order: Order,
    pub(in crate::server) start: Start,
    pub(super) until_now: bool,
    pub(in crate::server) filter: Filter,
    pub(super) with_stored: bool,
    /// The most events of a reply.
    pub(in crate::server) most: usize,
}

/// Where it begins.
pub(in crate::server) enum Start {
    /// With the first event; or where these say, for their shards.
    At(BTreeMap<ShardId, Place>),
    /// After all that is known.
    End,
    /// After a time.
    After(HybridTime),
}

impl Server {
    /// Reads a request; nothing is waited for.
    pub(in crate::server) fn asked(&self, body: pb::ReadRequest) -> Result<Asked, Status> {
        let mut about = None;
        let shards = match &body.of {
            Some(Of::AccountId(id)) => {
                let id = prepare::account(id)?;
                about = Some(id);
                vec![self.home(&id)?]
            }
            Some(Of::Shard(shard)) => {
                let shard = ShardId(*shard);
                self.directory_has(shard)
                    .ok_or_else(|| refusal::unknown_shard(shard.0))?;
                vec![shard]
            }
            Some(Of::Region(region)) => {
                self.shards_of(region.parse().map_err(refusal::invalid)?, None)?
            }
            None => return Err(refusal::invalid("name an account, a shard or a region")),
        };
        let order = match pb::Order::try_from(body.order) {
            Ok(pb::Order::Shard) => Order::Shard,
            Ok(pb::Order::Cut) => Order::Cut,
            Err(_) => return Err(refusal::invalid("there is no such order")),
        };
        let start = match &body.start {
            None => Start::At(BTreeMap::new()),
            Some(Given::End(pb::End {})) => Start::End,
            Some(Given::Time(time)) => match self.moment(time)? {
                Moment::Time(time) => Start::After(time),
                Moment::Place(_) => return Err(refusal::invalid("not a time")),
            },
            Some(Given::Cursor(text)) => {
                let places = cursor::read(text).ok_or_else(|| {
                    refusal::invalid("not a cursor of events: send it as it was received")
                })?;
                Start::At(places)
            }
            Some(Given::Positions(given)) => Start::At(places(&given.positions)?),
        };
        if let Start::At(places) = &start {
            for (shard, place) in places {
                if !shards.contains(shard) {
                    let what = format!("shard {shard} is not among what is read");
                    return Err(refusal::invalid(what));
                }
                if self
                    .directory
                    .epoch(*shard)
                    .is_some_and(|known| place.epoch < known)
                {
                    let what = format!("shard {shard} has no positions of epoch {}", place.epoch);
                    return Err(refusal::invalid(what));
                }
            }
        }
        Ok(Asked {
            shards,
            order,
            start,
            until_now: body.until_now,
            filter: Filter::of(body.filter.unwrap_or_default(), about)?,
            with_stored: body.with_stored,
            most: PAGE,
        })
    }

    /// A shard's log at the place where it is read on, once it has come that far here.
    pub(super) async fn begun(
        self: &Arc<Self>,
        shard: ShardId,
        asked: &Asked,
        deadline: Deadline,
    ) -> Result<Reading, Status> {
        let served = self.served.get(&shard).cloned();
        let served = served.ok_or_else(|| refusal::unreadable(ReadError::NoView(shard)))?;
        let (hub, views) = (self.hub.clone(), &self.views());
        let epoch = self.directory.epoch(shard).unwrap_or(1);
        let from = async |next| {
            let lane = Lane::from_index(hub.clone(), views, shard, epoch, next);
            lane.await.map_err(unreadable)
        };
        let mut told = 0;
        let lane = match &asked.start {
            Start::End => {
                let known = views.watermark(shard).map_err(refusal::unreadable)?;
                from(known.map_or(0, |known| known.position.index + 1)).await?
            }
            Start::After(time) => {
                let known = views.watermark(shard).map_err(refusal::unreadable)?;
                if known.is_none_or(|known| known.time < *time) {
                    self.show_interest(shard);
                }
                let known = views.wait_for_time(shard, *time, deadline.patience()).await;
                let known = known.map_err(refusal::unreadable)?;
                let last = known.position.index;
                let lane = Lane::after(hub.clone(), views, shard, epoch, *time, last);
                lane.await.map_err(unreadable)?
            }
            Start::At(places) => match places.get(&shard) {
                Some(place) => {
                    told = place.told;
                    let before = if told > 0 {
                        Some(place.next)
                    } else {
                        place.next.checked_sub(1)
                    };
                    if let Some(index) = before {
                        let epoch = place.epoch;
                        let position = Position {
                            shard,
                            epoch,
                            index,
                        };
                        self.viewed(position, deadline).await?;
                    }
                    from(place.next).await?
                }
                None => match asked.filter.about {
                    Some(account) => from(self.opened_at(&account)?).await?,
                    None => Lane::from_beginning(hub.clone(), shard, epoch),
                },
            },
        };
        let goal = asked.until_now.then(|| *served.borrow());
        Ok(Reading::new(lane, served, goal, told))
    }

    /// The index at which an account was opened that is known here.
    fn opened_at(&self, account: &AccountId) -> Result<u64, Status> {
        let opening = self.views().opening(account).map_err(refusal::unreadable)?;
        Ok(opening.map_or(0, |it| it.transaction.position.index))
    }
}

fn places(positions: &[crate::api::v1::Position]) -> Result<BTreeMap<ShardId, Place>, Status> {
    let mut places = BTreeMap::new();
    for position in positions {
        let shard = ShardId(position.shard);
        let place = Place {
            epoch: position.epoch,
            next: position.index.saturating_add(1),
            told: 0,
        };
        if places.insert(shard, place).is_some() {
            let what = format!("shard {shard} has two positions to go on from");
            return Err(refusal::invalid(what));
        }
    }
    Ok(places)
}
