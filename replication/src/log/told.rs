//! Heads that a shard's home has told, kept beside the log they are compared with.

use std::io;

use ledger_domain::frame;

use super::damage::{Damage, Place};
use super::{LogHub, keys, record};
use crate::proto;
use crate::world::{Batch, Op};

impl LogHub {
    /// What was kept of the heads that a shard's home has told.
    pub(crate) fn told_heads(&self, shard: u32) -> io::Result<Vec<proto::SignedHead>> {
        let Some(stored) = self.engine().get(&keys::told(shard))? else {
            return Ok(Vec::new());
        };
        let told = record::message::<proto::ToldHeads>(&stored).map_err(|cause| {
            let name = "told";
            Damage::from(cause).at(Place::Marker { shard, name })
        })?;
        Ok(told.heads)
    }

    /// Keeps heads of some shards, durably, in place of what was kept of them.
    pub(crate) async fn keep_told_heads(
        &self,
        told: Vec<(u32, Vec<proto::SignedHead>)>,
    ) -> io::Result<()> {
        let puts = told.into_iter().map(|(shard, heads)| {
            let stored = frame::seal_message(&proto::ToldHeads { heads });
            Op::Put(keys::told(shard), stored)
        });
        let batch: Batch = puts.collect();
        if batch.is_empty() {
            return Ok(());
        }
        self.write(batch).await
    }
}
