//! One shard on a node of its home region: who decides, and who follows.
//!
//! ```text
//!  submit ──▶ queue ──▶ writer (one task; decides only while this node leads)
//!                          │ decide a batch against the book + what is in flight
//!  inbox ─────────────────▶│ (other shards' items, out of their logs)
//!                          ▼
//!                        entry ──▶ Group::propose ──▶ … committed … ──▶ applier ──▶ book
//!                                                                          │
//!  answers ◀───────────────────────────────────────────────────────────────┘
//! ```
//!
//! The **applier** runs on every replica: it takes committed indexes in order, checks each entry
//! again (its reign and the writer's chain), evolves the [`Book`] and extends
//! the audited chain. The **writer** runs on every replica too but opens only under this node's own
//! reign, after the reign's blank entry has been applied here. It never waits for an entry before
//! deciding the next. After any failed proposal or void entry it drops what was in flight and
//! starts again from the book. The **inbox** collects what other shards' logs ask of this one; what
//! of it is still to be done follows from the book alone, so a new leader needs to be told nothing.
//! Who waits for a transfer to another shard to end is told by the applier (**under way**).

mod answer;
mod applier;
mod counts;
mod dry_run;
mod entries;
mod follow;
mod idle;
mod inbox;
mod repeat;
mod snapshots;
mod stored;
mod submission;
#[cfg(test)]
mod tests;
mod under_way;
mod writer;

use std::{
    sync::{Arc, RwLockReadGuard},
    time::Duration,
};

use ledger_domain::{Book, GuardedClock, HybridTime, Position};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

pub use answer::Answer;
pub use applier::Failure;
pub use dry_run::DryRun;
pub use entries::{NoEntry, entry_at, entry_here};
pub use inbox::Inbox;
pub use snapshots::SnapshotRules;
pub(crate) use stored::read as read_snapshot;
pub use submission::{Submission, SubmitError};
pub use under_way::Deposed;
pub use writer::WriterOptions;

use crate::{
    log::LogHub,
    raft::{Group, GroupError, GroupOptions, LogStore, ReadError, Transport},
    world::Clock,
};
use applier::Applier;
use counts::WriterCounts;
use under_way::UnderWay;

/// Who wants freshness so soon after another adds nothing.
const LATELY: Duration = Duration::from_millis(250);

/// A shard's replica on this node. Cheap to clone.
#[derive(Clone)]
pub struct Shard {
    group: Group,
    applier: Arc<Applier>,
    queue: mpsc::Sender<(Submission, submission::Reply)>,
    inbox: Inbox,
    clock: Arc<dyn Clock>,
    clock_bound: Duration,
    rules: Arc<WriterOptions>,
    closing: Arc<watch::Sender<HybridTime>>,
    wanted: Arc<watch::Sender<Option<Instant>>>,
    under_way: Arc<UnderWay>,
    counts: Arc<WriterCounts>,
}

/// A shard that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotRead {
    /// No strong read here and now.
    #[error(transparent)]
    Raft(#[from] ReadError),
    /// The book stopped at a damaged entry.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Shard {
    /// Starts the replica: everything committed is applied before this returns.
    pub async fn start(
        options: GroupOptions,
        writer: WriterOptions,
        clock: Arc<dyn Clock>,
        hub: LogHub,
        log: LogStore,
        transport: Transport,
    ) -> Result<Self, GroupError> {
        let under_way = Arc::new(UnderWay::default());
        let waiting = under_way.clone();
        let inbox = Inbox::default();
        let (id, epoch) = (writer.shard, writer.epoch);
        let applier = Applier::new(id, epoch, hub.clone(), waiting, inbox.clone());
        let applier = Arc::new(applier);
        let group = Group::start(options, log, applier.clone(), transport).await?;
        let (queue, submissions) = mpsc::channel(writer.queue);
        let clock_bound = writer.clock_bound;
        let rules = Arc::new(writer.clone());
        let (closing, to_close) = watch::channel(HybridTime::ZERO);
        let (wanted, interest) = watch::channel(None);
        let task = writer::Writer::new(
            writer,
            clock.clone(),
            hub,
            group.clone(),
            applier.clone(),
            inbox.clone(),
            to_close,
            interest,
        );
        let counts = task.counts();
        tokio::spawn(task.run(submissions));
        Ok(Self {
            group,
            applier,
            queue,
            inbox,
            clock,
            clock_bound,
            rules,
            closing: Arc::new(closing),
            wanted: Arc::new(wanted),
            under_way,
            counts,
        })
    }

    /// Consensus, as far as others need it.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// What the writer has decided on this node.
    pub(crate) fn counts(&self) -> &WriterCounts {
        &self.counts
    }

    /// How many commands wait to be decided.
    pub(crate) fn waiting(&self) -> u64 {
        let submitted = self.queue.max_capacity() - self.queue.capacity();
        self.counts.waiting() + submitted as u64
    }

    /// Where other shards' items for this one are put.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Asks for a decision. Refused at once where the queue is full.
    ///
    /// Dropping the future does not undo the command.
    pub async fn submit(&self, submission: Submission) -> Result<Answer, SubmitError> {
        if let Some(failure) = self.applier.failure() {
            return Err(SubmitError::Failed(failure));
        }
        let leadership = *self.group.leadership().borrow();
        if leadership.reign.is_none() {
            return Err(SubmitError::NotLeader {
                leader: leadership.leader,
            });
        }
        let (reply, answer) = oneshot::channel();
        self.queue
            .try_send((submission, reply))
            .map_err(|e| match e {
                mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
                mpsc::error::TrySendError::Closed(_) => SubmitError::NotLeader {
                    leader: leadership.leader,
                },
            })?;
        let gone = || SubmitError::Unknown("the shard stopped before it answered".to_owned());
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Makes a time be over in this shard: when this returns, the book has an entry at or after it,
    /// an empty one where nothing else was to be decided. Only the leader can; where it loses its
    /// leadership meanwhile, the call fails.
    pub async fn close_time(&self, through: HybridTime) -> Result<(), SubmitError> {
        if let Some(failure) = self.applier.failure() {
            return Err(SubmitError::Failed(failure));
        }
        GuardedClock::new(HybridTime::ZERO, self.clock_bound)
            .observe(through, self.clock.wall_nanos())?;
        let mut leadership = self.group.leadership();
        let mut applied = self.group.applied_watch();
        self.closing.send_if_modified(|wanted| {
            let later = through > *wanted;
            *wanted = (*wanted).max(through);
            later
        });
        while self.book().time() < through {
            let leads = *leadership.borrow_and_update();
            if leads.reign.is_none() {
                return Err(SubmitError::NotLeader {
                    leader: leads.leader,
                });
            }
            let changed = tokio::select! {
                changed = leadership.changed() => changed,
                changed = applied.changed() => changed,
            };
            changed.map_err(|_| SubmitError::NotLeader { leader: None })?;
        }
        Ok(())
    }

    /// Somebody wants answers that are not stale: for some seconds from now an idle shard closes
    /// its time as often as it may. Only the leader can; nobody waits for anything.
    pub fn want_freshness(&self) -> Result<(), SubmitError> {
        let leadership = *self.group.leadership().borrow();
        if leadership.reign.is_none() {
            return Err(SubmitError::NotLeader {
                leader: leadership.leader,
            });
        }
        let now = Instant::now();
        // The writer is woken for the first of many only.
        self.wanted.send_if_modified(|wanted| {
            let lately = wanted.is_some_and(|at| now < at + LATELY);
            if !lately {
                *wanted = Some(now);
            }
            !lately
        });
        Ok(())
    }

    /// Waits until this leader's book holds everything acknowledged before the call, and reads it.
    /// Linearizable; trusts no clock.
    pub async fn strong<T>(
        &self,
        read: impl FnOnce(&Book) -> T,
    ) -> Result<(T, Position), CannotRead> {
        self.group.read_index().await?;
        if let Some(failure) = self.applier.failure() {
            return Err(failure.into());
        }
        let book = self.book();
        let position = Position {
            shard: book.shard(),
            epoch: book.epoch(),
            index: book.applied(),
        };
        Ok((read(&book), position))
    }

    /// The book as applied here: not necessarily the latest.
    pub fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.applier.book()
    }

    /// Why the book has stopped, if it has.
    pub fn failure(&self) -> Option<Failure> {
        self.applier.failure()
    }
}
