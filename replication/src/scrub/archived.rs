//! The archived part of logs: each object is opened now and then, and what is no longer what was sealed
//! is sealed again out of a peer's history.
//!
//! The peer's records must lead, by the audited chain, from the head before the segment to the head after
//! it, both of which are kept here. A peer that reads the same archive has the same damage; one that still has
//! the records in its log, or another archive, has not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::status::{Fault, Part};
use super::{Scrub, Scrubbed};
use crate::archive::mover;
use crate::copy::Audit;
use crate::feed::{Failure, Pull};
use crate::log::{ArchivedSegment, Damaged, ShardLog};
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
    #[error("it has not come to index {0}")]
    Behind(u64),
    #[error("it took too long")]
    Late,
    #[error("its history arrives at another head after index {0}")]
    Apart(u64),
    #[error(transparent)]
    Storing(#[from] mover::Stays),
    #[error("the log: {0}")]
    Log(#[from] io::Error),
}

/// How long a peer may take to tell a segment.
const REFILL: Duration = Duration::from_secs(300);

/// Those whose turn it is: each once in so many turns, however many there come to be meanwhile.
fn in_turn<T>(all: &[T], turn: u64, turns: u64) -> impl Iterator<Item = &T> {
    let numbered = (0u64..).zip(all);
    numbered.filter_map(move |(place, one)| (place % turns == turn).then_some(one))
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
        let interval = self.options.interval.as_millis().max(1);
        let passes = self.options.archive_interval.as_millis() / interval;
        let passes = u64::try_from(passes).unwrap_or(u64::MAX).max(1);
        let turn = (pass % passes).wrapping_add(self.options.begin) % passes;
        for segment in in_turn(&segments, turn, passes) {
            self.look_at(scrubbed, log, segment).await;
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
            Err(error) if !error.get_ref().is_some_and(|cause| cause.is::<Damaged>()) => {
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
            let refilled = timeout(REFILL, self.refill_from(*source, log, archived));
            let refilled = refilled.await.unwrap_or(Err(Left::Late));
            match refilled {
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
            let batch = pull.next().await?;
            if batch.records.is_empty() && batch.applied < audit.next() {
                return Err(Left::Behind(audit.next()));
            }
            for received in batch.records {
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

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn each_has_its_turn_once_whatever_comes_beside_it() {
        for turns in [1, 3, 7, 100] {
            let mut seen = [0; 10];
            for turn in 0..turns {
                // One more comes with every turn.
                let more = 10 + usize::try_from(turn).unwrap();
                let places: Vec<_> = (0..more).collect();
                let mine = in_turn(&places, turn, turns).filter(|place| **place < 10);
                mine.for_each(|place: &usize| seen[*place] += 1);
            }
            assert_eq!(seen, [1; 10], "in {turns}");
        }
    }
}
