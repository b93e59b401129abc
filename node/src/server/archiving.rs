//! Moving the old part of logs into the archive.

use std::{collections::BTreeMap, time::Duration};

use ledger_domain::ShardId;
use replication::{
    archive::{
        mover::{Moved, Mover, MoverRules},
        segment::Size,
    },
    topology::Directory as _,
};
use tokio::sync::watch;

use super::Server;
use crate::config::Archiving;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// So many times it is looked before the next node of a region seals what another has not.
const LOOKS: u32 = 10;

impl Server {
    /// Moves what is old of this node's logs into the archive, if it has one.
    pub(super) fn keep_archive(
        &self,
        applied: BTreeMap<ShardId, watch::Receiver<u64>>,
        archiving: &Archiving,
    ) {
        let topology = self.directory.topology();
        let mates = topology.nodes.iter();
        let before = mates.filter(|it| it.region == self.region && it.id < self.joining.node.id);
        let rank = u32::try_from(before.count()).unwrap_or(u32::MAX);
        let interval = Duration::from_secs(archiving.look_seconds.get().into());
        let moved = applied.into_iter().map(|(id, served)| Moved {
            shard: id.0,
            served,
            at_home: !self.copies.contains_key(&id),
        });
        let mover = Mover {
            shards: moved.collect(),
            hub: self.hub.clone(),
            clock: self.world.clock.clone(),
            rules: MoverRules {
                keep: DAY.saturating_mul(archiving.after_days),
                size: Size {
                    bytes: archiving.segment_bytes,
                    ..Size::default()
                },
                interval,
                turn: interval.saturating_mul(rank.saturating_mul(LOOKS)),
            },
        };
        self.spawn(mover.run());
    }
}
