//! From what is asked about a consumer group to a change that can be decided.

use std::{collections::BTreeMap, sync::Arc};

use ledger_domain::{
    Action, ConsumerId, Field, ShardId,
    consumer::{ConsumerChange, Cursor, Group, MOST_SHARES, Order, Reads},
    state::State as _,
};
use prost::Message as _;
use replication::shard::Shard;
use tonic::Status;

use crate::{
    api::{
        consumers::v1::{
            self as pb, create_consumer_request as create, move_consumer_request as r#move,
        },
        events::v1::{self as events, read_request as read},
        v1,
    },
    server::{
        Server,
        deadline::Deadline,
        events::{Asked, Bucket, Start, cursor},
        prepare::{self, Prepared},
        refusal,
    },
};

/// Over how many shares the accounts of a shard are spread where nothing is said.
const SPREAD: u32 = 4;
/// And at most.
const MOST_SPREAD: u32 = 64;
/// The most bytes of a filter.
const LONGEST_FILTER: usize = 64 << 10;

/// A change, as a command. `asked` is the request without its context: by it a repeat is known.
pub(super) fn prepared(
    id: &ConsumerId,
    change: ConsumerChange,
    context: v1::CommandContext,
    asked: Vec<u8>,
) -> Result<Prepared, Status> {
    prepare::is_plain(&context, "what is done about a consumer")?;
    let fields = vec![
        (Field::Consumer, id.to_string().into_bytes()),
        (Field::ConsumerChange, asked),
    ];
    let action = Action::Consumer {
        place: id.place(),
        consumer: id.clone(),
        change,
    };
    prepare::prepare(action, context, fields)
}

/// What a new group is, and where it begins.
pub(super) async fn created(
    server: &Arc<Server>,
    _: &Shard,
    _: &ConsumerId,
    body: pb::CreateConsumerRequest,
    deadline: Deadline,
) -> Result<ConsumerChange, Status> {
    let order = match body.order() {
        pb::Order::Account => Order::Account,
        pb::Order::Shard => Order::Shard,
        pb::Order::Cut => Order::Cut,
        pb::Order::Unspecified => {
            return Err(refusal::invalid(
                "say in which order: of each account, of each shard, or of the cut",
            ));
        }
    };
    let filter = body.filter.unwrap_or_default();
    let filter_bytes = filter.encode_to_vec();
    if filter_bytes.len() > LONGEST_FILTER {
        let what = format!("a group's filter has at most {LONGEST_FILTER} bytes");
        return Err(refusal::invalid(what));
    }
    if filter.kinds.iter().any(|kind| kind.starts_with("Consumer")) {
        return Err(refusal::invalid("what groups do is not told to groups"));
    }
    let (of, reads) = match body.of {
        None => return Err(refusal::invalid("name an account, a shard or a region")),
        Some(create::Of::AccountId(text)) => {
            let reads = Reads::Account(prepare::account(&text)?);
            (read::Of::AccountId(text), reads)
        }
        Some(create::Of::Shard(shard)) => (read::Of::Shard(shard), Reads::Shard(ShardId(shard))),
        Some(create::Of::OfRegion(name)) => {
            let reads = Reads::Region(name.parse().map_err(refusal::invalid)?);
            (read::Of::Region(name), reads)
        }
    };
    let start = body.start.map(|start| match start {
        create::Start::Cursor(text) => read::Start::Cursor(text),
        create::Start::End(end) => read::Start::End(end),
        create::Start::Time(time) => read::Start::Time(time),
        create::Start::Positions(positions) => read::Start::Positions(positions),
    });
    let asked = server.asked(events::ReadRequest {
        of: Some(of),
        start,
        filter: Some(filter),
        ..events::ReadRequest::default()
    })?;
    let buckets = match (order, body.spread, reads) {
        // It has the one account alone.
        (Order::Account, 0, Reads::Account(_)) => 1,
        (Order::Account, 0, _) => SPREAD,
        (Order::Account, 1, Reads::Account(_)) => 1,
        (Order::Account, 1..=MOST_SPREAD, Reads::Shard(_) | Reads::Region(_)) => body.spread,
        (Order::Account, ..) => {
            let what = format!(
                "accounts are spread over 1 to {MOST_SPREAD} shares, and one alone over one"
            );
            return Err(refusal::invalid(what));
        }
        (Order::Shard | Order::Cut, 0 | 1, _) => 1,
        (Order::Shard | Order::Cut, ..) => {
            return Err(refusal::invalid(
                "only in the order of accounts are those spread",
            ));
        }
    };
    let mut shards = asked.shards.clone();
    shards.sort_unstable();
    let group = Arc::new(Group {
        reads,
        order,
        shards,
        buckets,
        filter: filter_bytes.into(),
    });
    if group.shares().is_none() {
        return Err(refusal::invalid(format!(
            "a group has at most {MOST_SHARES} shares: spread accounts over fewer"
        )));
    }
    let at = server.places(&asked, deadline).await?;
    Ok(ConsumerChange::Created { group, at })
}

/// That a group is removed.
pub(super) async fn removed(
    _: &Arc<Server>,
    _: &Shard,
    _: &ConsumerId,
    _: pb::RemoveConsumerRequest,
    _: Deadline,
) -> Result<ConsumerChange, Status> {
    Ok(ConsumerChange::Removed)
}

/// That a share goes on.
pub(super) async fn resumed(
    _: &Arc<Server>,
    _: &Shard,
    _: &ConsumerId,
    body: pb::ResumeConsumerRequest,
    _: Deadline,
) -> Result<ConsumerChange, Status> {
    let (share, skip) = (body.share, body.skip);
    Ok(ConsumerChange::Resumed { share, skip })
}

/// Where cursors are moved to.
pub(super) async fn moved(
    server: &Arc<Server>,
    shard: &Shard,
    id: &ConsumerId,
    body: pb::MoveConsumerRequest,
    deadline: Deadline,
) -> Result<ConsumerChange, Status> {
    let read = shard.strong(|book| book.consumer(id)).await;
    let (known, _) = read.map_err(|error| refusal::read(&error))?;
    let group = known.ok_or_else(refusal::unknown_consumer)?.group;
    let mut only = None;
    let start = body.to.map(|to| match to {
        r#move::To::Cursor(text) => {
            only = cursor::read(&text).map(|places| places.into_keys().collect::<Vec<_>>());
            read::Start::Cursor(text)
        }
        r#move::To::End(end) => read::Start::End(end),
        r#move::To::Time(time) => read::Start::Time(time),
    });
    let mut asked = server.asked(events::ReadRequest {
        start,
        ..request(&group)?
    })?;
    asked.shards = only.unwrap_or_else(|| group.shards.clone());
    let to = server.places(&asked, deadline).await?;
    Ok(ConsumerChange::Moved { to })
}

/// What a group reads, as a request for events.
fn request(group: &Group) -> Result<events::ReadRequest, Status> {
    let of = match group.reads {
        Reads::Account(id) => read::Of::AccountId(id.to_string()),
        Reads::Shard(shard) => read::Of::Shard(shard.0),
        Reads::Region(region) => read::Of::Region(region.to_string()),
    };
    let order = match group.order {
        Order::Cut => events::Order::Cut,
        Order::Account | Order::Shard => events::Order::Shard,
    };
    Ok(events::ReadRequest {
        of: Some(of),
        order: order.into(),
        filter: Some(filter(group)?),
        ..events::ReadRequest::default()
    })
}

/// The filter of a group.
pub(super) fn filter(group: &Group) -> Result<events::Filter, Status> {
    let filter = events::Filter::decode(group.filter.clone());
    filter.map_err(|error| Status::internal(format!("the group's filter: {error}")))
}

/// What is read for a share from a cursor on, an event at a time.
pub(super) fn of_share(
    server: &Arc<Server>,
    group: &Group,
    number: u32,
    from: &Cursor,
) -> Result<Asked, Status> {
    let mut asked = server.asked(request(group)?)?;
    let (shards, bucket) = group.share(number);
    asked.shards = shards.to_vec();
    asked.start = Start::At(
        from.iter()
            .map(|(shard, place)| (*shard, *place))
            .collect::<BTreeMap<_, _>>(),
    );
    asked.filter.share = Some(Bucket {
        number: bucket,
        of: group.buckets,
    });
    asked.most = 1;
    Ok(asked)
}
