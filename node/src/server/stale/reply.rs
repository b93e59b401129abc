use std::time::Duration;

use ledger_domain::{HybridTime, ShardId};
use replication::topology::Directory as _;

use super::{causes::Cause, facts::Facts, facts::Source};
use crate::{
    api::{UNKNOWN_AGE_MS, admin::v1 as pb},
    server::{Server, receipt, status::All},
};

/// The answer as a caller gets it.
pub(super) fn reply(
    server: &Server,
    now: HybridTime,
    facts: &Facts,
    causes: Vec<Cause>,
    told: &All,
) -> pb::WhyStaleReply {
    let ids: Vec<ShardId> = facts.shards.keys().copied().collect();
    let cut = server.cut(&ids);
    let known = |ms: u64| (ms != UNKNOWN_AGE_MS).then_some(ms);
    let staleness = |at| known(server.cut_staleness_ms(&ids, at));
    let shards = facts.shards.iter().map(|(shard, about)| {
        let (here, there) = (&about.here, &about.there);
        let heard = match &here.source {
            Source::Copy { home_applied, .. } => *home_applied,
            _ => 0,
        };
        pb::StaleShard {
            shard: shard.0,
            region: about.home.to_string(),
            position: here
                .watermark
                .map(|found| receipt::position(found.position)),
            watermark: here.watermark.map(|found| receipt::time(found.time)),
            staleness_bound_ms: here.age.and_then(|age| u64::try_from(age.as_millis()).ok()),
            leader: there.leader.clone().unwrap_or_default(),
            applied_index: there.applied.unwrap_or_default().max(heard).max(here.held),
            held_index: here.held,
        }
    });
    let topology = server.directory.topology();
    let silent = topology
        .nodes
        .iter()
        .filter(|node| !told.contains_key(&node.id));
    let mut unanswered: Vec<_> = silent.map(|node| node.name.clone()).collect();
    unanswered.sort_unstable();
    pb::WhyStaleReply {
        served_by: Some(server.served_by()),
        time: Some(receipt::time(now)),
        cut: Some(pb::Cut {
            region: server.region.to_string(),
            node: server.name.clone(),
            through: cut.through.map(receipt::time),
            staleness_bound_ms: cut.through.and_then(staleness),
            held_back_by: cut.held_back_by.iter().map(|shard| shard.0).collect(),
            reachable: true,
        }),
        shards: shards.collect(),
        causes: causes.iter().map(|cause| said(now, cause)).collect(),
        unanswered,
    }
}

fn said(now: HybridTime, cause: &Cause) -> pb::StaleCause {
    let (_, code) = cause.why.code();
    let (shard, to_shard) = cause.why.shards();
    pb::StaleCause {
        code: code.to_owned(),
        shard: shard.map(|shard| shard.0),
        to_shard: to_shard.map(|shard| shard.0),
        since: Some(receipt::time(before(now, cause.for_))),
        since_or_before: cause.or_longer,
        what: cause.why.to_string(),
        help: cause.why.help().to_owned(),
    }
}

fn before(now: HybridTime, ago: Duration) -> HybridTime {
    let nanos = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
    HybridTime {
        wall_nanos: now.wall_nanos.saturating_sub(nanos),
        count: 0,
    }
}
