//! Consumer groups.

use std::sync::Arc;

use super::{
    Read, account_from_proto, account_to_proto, field, transaction_from_proto, transaction_to_proto,
};
use crate::{
    Damage, ShardId,
    consumer::{
        Consumer, ConsumerChange, ConsumerEvent, ConsumerId, Cursor, Generation, Group, Order,
        Parked, Place, Reads, Share,
    },
    proto::{self, consumer_group::Reads as R, event::Event as E},
};

fn id_to_proto(id: &ConsumerId) -> Option<proto::ConsumerId> {
    Some(proto::ConsumerId {
        region: id.region().to_string(),
        name: id.name().to_owned(),
    })
}

fn id_from_proto(id: Option<proto::ConsumerId>) -> Read<ConsumerId> {
    let id = field(id, "consumer")?;
    let region = id.region.parse().map_err(|_| Damage::Field("region"))?;
    ConsumerId::new(region, &id.name).map_err(|_| Damage::Field("consumer"))
}

fn cursor_to_proto(cursor: &Cursor) -> Vec<proto::ConsumerPlace> {
    let place = |(shard, place): (&ShardId, &Place)| proto::ConsumerPlace {
        shard: shard.0,
        epoch: place.epoch,
        next: place.next,
        told: place.told,
    };
    cursor.iter().map(place).collect()
}

fn cursor_from_proto(places: Vec<proto::ConsumerPlace>) -> Read<Cursor> {
    let mut cursor = Cursor::new();
    for it in places {
        let place = Place {
            epoch: it.epoch,
            next: it.next,
            told: it.told,
        };
        // One form for each: in their order.
        let last = cursor.last_key_value().map(|(shard, _)| *shard);
        if last.is_some_and(|last| ShardId(it.shard) <= last) {
            return Err(Damage::Field("cursor"));
        }
        cursor.insert(ShardId(it.shard), place);
    }
    Ok(cursor)
}

fn generation_to_proto(it: Generation) -> Option<proto::ConsumerGeneration> {
    Some(proto::ConsumerGeneration {
        epoch: it.epoch,
        term: it.term,
        count: it.count,
    })
}

fn generation_from_proto(it: Option<proto::ConsumerGeneration>) -> Read<Generation> {
    let it = field(it, "generation")?;
    Ok(Generation {
        epoch: it.epoch,
        term: it.term,
        count: it.count,
    })
}

fn parked_to_proto(it: &Parked) -> Option<proto::ConsumerStopped> {
    let (event, ordinal) = transaction_to_proto(&it.event);
    Some(proto::ConsumerStopped {
        event,
        ordinal,
        place: it.place,
        reason: it.reason.clone(),
        since_ms: it.since_ms,
        after: cursor_to_proto(&it.after),
    })
}

fn parked_from_proto(it: proto::ConsumerStopped) -> Read<Parked> {
    Ok(Parked {
        event: transaction_from_proto((it.event, it.ordinal), "event")?,
        place: it.place,
        reason: it.reason,
        since_ms: it.since_ms,
        after: cursor_from_proto(it.after)?,
    })
}

fn group_to_proto(group: &Group) -> Option<proto::ConsumerGroup> {
    Some(proto::ConsumerGroup {
        reads: reads_to_proto(group.reads),
        order: group.order as i32,
        shards: group.shards.iter().map(|shard| shard.0).collect(),
        buckets: group.buckets,
        filter: group.filter.clone(),
    })
}

fn reads_to_proto(reads: Reads) -> Option<R> {
    Some(match reads {
        Reads::Account(id) => R::Account(account_to_proto(id)?),
        Reads::Shard(shard) => R::Shard(shard.0),
        Reads::Region(region) => R::Region(region.to_string()),
    })
}

fn group_from_proto(group: Option<proto::ConsumerGroup>) -> Read<Arc<Group>> {
    let group = field(group, "group")?;
    let reads = match field(group.reads, "reads")? {
        R::Account(id) => Reads::Account(account_from_proto(Some(id))?),
        R::Shard(shard) => Reads::Shard(ShardId(shard)),
        R::Region(name) => Reads::Region(name.parse().map_err(|_| Damage::Field("region"))?),
    };
    Ok(Arc::new(Group {
        reads,
        order: field(Order::from_number(group.order), "order")?,
        shards: group.shards.into_iter().map(ShardId).collect(),
        buckets: group.buckets,
        filter: group.filter,
    }))
}

/// A group as a book has it.
pub(crate) fn consumer_to_proto(id: &ConsumerId, it: &Consumer) -> proto::BookConsumer {
    let share = |share: &Share| proto::BookShare {
        cursor: cursor_to_proto(&share.cursor),
        generation: generation_to_proto(share.generation),
        stopped: share.parked.as_ref().and_then(parked_to_proto),
    };
    proto::BookConsumer {
        consumer: id_to_proto(id),
        group: group_to_proto(&it.group),
        shares: it.shares.iter().map(share).collect(),
    }
}

/// A group out of a stored book.
pub(crate) fn consumer_from_proto(row: proto::BookConsumer) -> Read<(ConsumerId, Consumer)> {
    let id = id_from_proto(row.consumer)?;
    let group = group_from_proto(row.group)?;
    let share = |share: proto::BookShare| {
        Ok(Share {
            cursor: cursor_from_proto(share.cursor)?,
            generation: generation_from_proto(share.generation)?,
            parked: share.stopped.map(parked_from_proto).transpose()?,
        })
    };
    let shares = row.shares.into_iter().map(share);
    let shares = Arc::new(shares.collect::<Read<Vec<_>>>()?);
    if group.shares() != Some(shares.len()) {
        return Err(Damage::Field("shares"));
    }
    Ok((id, Consumer { group, shares }))
}

pub(super) fn to_proto(event: &ConsumerEvent) -> E {
    let consumer = id_to_proto(&event.consumer);
    match &event.change {
        ConsumerChange::Created { group, at } => E::ConsumerCreated(proto::ConsumerCreated {
            consumer,
            group: group_to_proto(group),
            at: cursor_to_proto(at),
        }),
        ConsumerChange::Advanced {
            share,
            generation,
            from,
            to,
        } => E::ConsumerAdvanced(proto::ConsumerAdvanced {
            consumer,
            share: *share,
            generation: generation_to_proto(*generation),
            from: cursor_to_proto(from),
            to: cursor_to_proto(to),
        }),
        ConsumerChange::Parked {
            share,
            generation,
            from,
            to,
            at,
        } => E::ConsumerParked(proto::ConsumerParked {
            consumer,
            share: *share,
            generation: generation_to_proto(*generation),
            from: cursor_to_proto(from),
            to: cursor_to_proto(to),
            at: parked_to_proto(at),
        }),
        ConsumerChange::Resumed { share, skip } => E::ConsumerResumed(proto::ConsumerResumed {
            consumer,
            share: *share,
            skip: *skip,
        }),
        ConsumerChange::Moved { to } => E::ConsumerMoved(proto::ConsumerMoved {
            consumer,
            to: cursor_to_proto(to),
        }),
        ConsumerChange::Removed => E::ConsumerRemoved(proto::ConsumerRemoved { consumer }),
    }
}

/// An event of a group, which it must be.
pub(super) fn from_proto(event: E) -> Read<ConsumerEvent> {
    let (consumer, change) = match event {
        E::ConsumerCreated(e) => {
            let group = group_from_proto(e.group)?;
            let at = cursor_from_proto(e.at)?;
            (e.consumer, ConsumerChange::Created { group, at })
        }
        E::ConsumerAdvanced(e) => {
            let change = ConsumerChange::Advanced {
                share: e.share,
                generation: generation_from_proto(e.generation)?,
                from: cursor_from_proto(e.from)?,
                to: cursor_from_proto(e.to)?,
            };
            (e.consumer, change)
        }
        E::ConsumerParked(e) => {
            let change = ConsumerChange::Parked {
                share: e.share,
                generation: generation_from_proto(e.generation)?,
                from: cursor_from_proto(e.from)?,
                to: cursor_from_proto(e.to)?,
                at: parked_from_proto(field(e.at, "at")?)?,
            };
            (e.consumer, change)
        }
        E::ConsumerResumed(e) => {
            let (share, skip) = (e.share, e.skip);
            (e.consumer, ConsumerChange::Resumed { share, skip })
        }
        E::ConsumerMoved(e) => {
            let to = cursor_from_proto(e.to)?;
            (e.consumer, ConsumerChange::Moved { to })
        }
        E::ConsumerRemoved(e) => (e.consumer, ConsumerChange::Removed),
        _ => return Err(Damage::Field("event")),
    };
    Ok(ConsumerEvent {
        consumer: id_from_proto(consumer)?,
        change,
    })
}
