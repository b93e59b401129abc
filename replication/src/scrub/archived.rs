//! The archived part of logs: each object is opened now and then, and what is no longer what was sealed
//! is sealed again out of a peer's history.
//!
//! The peer's records must lead, by the audited chain, from the head before the segment to the head after
//! it, both of which are kept here. A peer that reads the same archive has the same damage; one that still has
//! the records in its log, or another archive, has not.

use std::io;
use std::sync::Arc;

use super::status::{Fault, Part};
use super::{Scrub, Scrubbed};
use crate::archive::mover;
use crate::archive::shelf::NotReached;
use crate::copy::Audit;
use crate::feed::{Failure, Pull};
use crate::log::{ArchivedSegment, ShardLog};
use crate::proto::FeedRequest;

/// Why a peer is of no help.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error(transparent)]
    Feed(#[from] Failure),
    #[error("index {index} does not follow from what is here: {cause}")]
    Unfit {
        index: u64,
        cause: crate::copy::Unfit,
    },
    #[error("its history arrives at another head after index {0}")]
    Apart(u64),
    #[error(transparent)]
    Storing(#[from] mover::Stays),
    #[error("the log: {0}")]
    Log(#[from] io::Error),
}

impl Scrub {
    /// Looks at some of a shard's archived segments: in `options.archive_interval` at all of them.
    pub(super) async fn look_at_archived(
        &self,
        scrubbed: &Scrubbed,
        log: &Arc<ShardLog>,
        pass: u64,
    ) {
        let segments = log.archived();
        let Ok(number) = u64::try_from(segments.len()) else {
            return;
        };
        if number == 0 {
            return;
        }
        let interval = self.options.interval.as_millis().max(1);
        let passes = self.options.archive_interval.as_millis() / interval;
        let passes = u64::try_from(passes).unwrap_or(u64::MAX).max(1);
        let some = number.div_ceil(passes);
        let begin = pass.wrapping_add(self.options.begin).wrapping_mul(some);
        for more in 0..some {
            let place = begin.wrapping_add(more) % number;
            let segment = usize::try_from(place).ok().and_then(|at| segments.get(at));
            if let Some(segment) = segment {
                self.look_at(scrubbed, log, segment).await;
            }
        }
    }

    async fn look_at(&self, scrubbed: &Scrubbed, log: &Arc<ShardLog>, archived: &ArchivedSegment) {
        let shard = scrubbed.shard;
        let (first, last) = (archived.segment.first, archived.segment.last);
        match self.hub.shelf().look(shard, archived).await {
            Ok(_) => {
                self.findings.read(last - first + 1, archived.segment.bytes);
                self.findings.sound(shard, first);
            }
            // It may be whole: nothing is known.
            Err(error) if NotReached::is_cause(&error) => {
                tracing::warn!(shard, first, %error, "the archive cannot be looked at");
            }
            Err(error) => {
                tracing::error!(shard, first, last, %error, "the archive has not what was sealed");
                let fault = Fault::new(shard, first, Part::Archive, error.to_string());
                self.refill(scrubbed, log, archived, fault).await;
            }
        }
        self.rest_after(archived.segment.bytes).await;
    }

    /// Has a damaged segment told by a peer, and sealed again.
    async fn refill(
        &self,
        scrubbed: &Scrubbed,
        log: &Arc<ShardLog>,
        archived: &ArchivedSegment,
        mut fault: Fault,
    ) {
        let (shard, first) = (scrubbed.shard, archived.segment.first);
        let mut tried = Vec::new();
        for source in &scrubbed.sources {
            match self.refill_from(*source, log, archived).await {
                Ok(()) => {
                    tracing::warn!(
                        shard,
                        first,
                        source,
                        "a segment is sealed again from a peer"
                    );
                    self.findings.mended(fault, *source);
                    return;
                }
                Err(left) => {
                    tracing::warn!(shard, first, source, %left, "a peer cannot tell a segment");
                    tried.push(format!("node {source}: {left}"));
                }
            }
        }
        fault.tried = tried.join("; ");
        self.findings.stands(fault);
    }

    async fn refill_from(
        &self,
        source: u64,
        log: &ShardLog,
        archived: &ArchivedSegment,
    ) -> Result<(), Left> {
        let (shard, indexes) = (log.shard(), archived.indexes());
        let request = FeedRequest {
            shard,
            from: indexes.start,
            heartbeat_millis: 0,
        };
        let (begin, silence) = (self.options.pull.begin, self.options.pull.silence);
        let mut pull = Pull::begin(&self.peers, source, request, begin, silence).await?;
        let mut audit = Audit::at(indexes.start, archived.before);
        let mut records = Vec::new();
        while audit.next() < indexes.end {
            for received in pull.next().await?.records {
                let index = audit.next();
                if index == indexes.end {
                    break;
                }
                let admitted = audit.admit(received);
                let admitted = admitted.map_err(|cause| Left::Unfit { index, cause })?;
                records.push(admitted.record);
            }
        }
        if audit.head() != archived.segment.after {
            return Err(Left::Apart(indexes.end - 1));
        }
        drop(pull);
        let heads = (archived.before, archived.segment.after);
        let (segment, opened) = mover::store(&self.hub, shard, heads, records).await?;
        let again = ArchivedSegment::of(segment, &opened);
        Ok(self.hub.archive_again(shard, again).await?)
    }
}
