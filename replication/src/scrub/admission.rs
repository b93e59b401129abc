//! Before a replica takes part in Raft, its log is looked through, and mended where it is damaged.
//!
//! A record that cannot be read is not a torn tail. What was synced may have been promised: to cut
//! it off would take back a vote for what a client was told is done. And a replica that cannot say
//! what its log holds can promise nothing more. So it keeps out of elections and answers no leader
//! until others have told what the record was: protocol-aware recovery, as in R. Alagappan et al.,
//! "Protocol-Aware Recovery for Consensus-Based Storage", FAST '18, section 3.
//!
//! Others are asked by the feed, which serves nothing but what is committed, and their history must
//! lead on from the last good head here, index by index:
//!
//! 1. Where the record is damaged, what is committed at its index takes its place. The record that
//!    was there was the same one, or it was overruled and can never be committed: either way nothing
//!    is lost. A head that is stored here must be the one that comes with it.
//! 2. Where this node holds another record than the one that is committed, its own and all after it
//!    were overruled: there the log ends, as Raft would end it. That never happens to what is known
//!    here to be committed. If it seems to, there are two histories, and nothing is touched.
//! 3. What nobody has committed yet nobody can tell. The replica waits: a majority of the others
//!    decides without it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::Findings;
use super::repair::Left;
use super::status::{Fault, Part};
use crate::copy::{Audit, CopyOptions};
use crate::feed::Pull;
use crate::log::{CopyRecord, LogHub, ShardLog, StoredRecord};
use crate::peer::Peers;
use crate::proto::FeedRequest;
use crate::raft::RecordId;

/// Why a replica does not take part yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Waits {
    /// Records of its log are damaged, and nobody has told what they were.
    #[error("{0}")]
    Damaged(Fault),
    /// Its log cannot be read at all, or not be written.
    #[error("its log: {0}")]
    Log(String),
}

impl From<io::Error> for Waits {
    fn from(error: io::Error) -> Self {
        Self::Log(error.to_string())
    }
}

/// Looks through a replica's log before it takes part in Raft.
pub struct Admission {
    /// Of which shard.
    pub shard: u32,
    /// Other nodes that may hold it, the nearest first.
    pub sources: Vec<u64>,
    /// Where the log is.
    pub hub: LogHub,
    /// The way to the sources.
    pub peers: Peers,
    /// How long one of them may take.
    pub options: CopyOptions,
    /// Where it is told what is found.
    pub findings: Findings,
}

/// What is wrong with a log, by index.
type Faults = BTreeMap<u64, Fault>;

impl Admission {
    /// Whether all that Raft may ask for is there. Asks nobody.
    ///
    /// # Errors
    ///
    /// The first thing that is not.
    pub fn look(&self) -> Result<(), Waits> {
        let log = self.hub.shard_log(self.shard)?;
        let faults = self.survey(&log)?;
        faults
            .into_values()
            .next()
            .map_or(Ok(()), |fault| Err(Waits::Damaged(fault)))
    }

    /// Asks each source once for what is damaged, until one can tell all of it.
    ///
    /// # Errors
    ///
    /// What is damaged still, and why nobody could mend it.
    pub async fn mend(&self) -> Result<(), Waits> {
        let log = self.hub.shard_log(self.shard)?;
        let faults = self.survey(&log)?;
        let Some(mut first) = faults.values().next().cloned() else {
            return Ok(());
        };
        let Some(before) = self.good_head(&log, first.index)? else {
            first.tried = "nobody is asked: no good head comes before it".to_owned();
            return Err(self.waits(first));
        };
        let mut tried = Vec::new();
        for source in &self.sources {
            match self.fetch(*source, before, &log, &faults).await {
                Ok(Told { rows, end }) => {
                    self.hub.mend_and_end(self.shard, rows, end).await?;
                    for (index, fault) in faults {
                        let shard = self.shard;
                        tracing::warn!(shard, index, source, "it is mended from a peer");
                        self.findings.mended(fault, *source);
                    }
                    return self.look();
                }
                Err(left) => tried.push(format!("node {source}: {left}")),
            }
        }
        first.tried = tried.join("; ");
        Err(self.waits(first))
    }

    fn waits(&self, fault: Fault) -> Waits {
        self.findings.stands(fault.clone());
        Waits::Damaged(fault)
    }

    fn survey(&self, log: &ShardLog) -> io::Result<Faults> {
        let shard = self.shard;
        let faults = log.survey()?.into_iter().map(|(index, error)| {
            let fault = Fault::new(shard, index, Part::Record, error.to_string());
            if self.findings.stands(fault.clone()) {
                tracing::error!(shard, index, %fault, "what is stored is not what was written");
            }
            (index, fault)
        });
        Ok(faults.collect())
    }

    /// The newest head before an index: of something that was applied here, and so is committed.
    fn good_head(&self, log: &ShardLog, index: u64) -> io::Result<Option<Audit>> {
        let purged = log.purged().map_or(0, |purged| purged.index);
        for before in (purged..index).rev() {
            // One that cannot be read is as good as none.
            if let Ok(Some(head)) = self.hub.head(self.shard, before) {
                return Ok(Some(Audit::after(before, head)));
            }
        }
        Ok(log
            .purged()
            .is_none()
            .then(|| Audit::from_genesis(self.shard)))
    }

    /// What is stored before an index; `None` if nothing is.
    fn last_before(&self, log: &ShardLog, index: u64) -> io::Result<Option<RecordId>> {
        let Some(before) = index.checked_sub(1) else {
            return Ok(None);
        };
        if let Some(purged) = log.purged().filter(|purged| purged.index == before) {
            return Ok(Some(purged));
        }
        let rows = self.hub.rows(self.shard, before..index, u64::MAX)?;
        let row = rows.into_iter().next().unwrap_or_default();
        Ok(Some(row.record(log, before)?.id))
    }

    /// What a node has committed of what is damaged here.
    async fn fetch(
        &self,
        source: u64,
        before: Audit,
        log: &Arc<ShardLog>,
        faults: &Faults,
    ) -> Result<Told, Left> {
        let request = FeedRequest {
            shard: self.shard,
            from: before.next(),
            heartbeat_millis: 0,
        };
        let (begin, silence) = (self.options.begin, self.options.silence);
        let mut pull = Pull::begin(&self.peers, source, request, begin, silence).await?;
        let mut listening = Listening {
            hub: &self.hub,
            log,
            faults,
            previous: self.last_before(log, before.next())?,
            audit: before,
            rows: Vec::new(),
        };
        loop {
            let batch = pull.next().await?;
            let index = listening.audit.next();
            if batch.records.is_empty() && batch.applied < index {
                return Err(Left::Behind(index));
            }
            for received in batch.records {
                let index = listening.audit.next();
                let told = listening.audit.admit(received);
                let told = told.map_err(|cause| Left::Unfit { index, cause })?;
                if let Some(end) = listening.hear(index, told)? {
                    let rows = listening.rows;
                    return Ok(Told { rows, end });
                }
            }
        }
    }
}

/// What a node has told.
struct Told {
    rows: Vec<CopyRecord>,
    /// With what the log ends, if what comes after was overruled.
    end: Option<RecordId>,
}

/// What was heard so far from a node.
struct Listening<'a> {
    hub: &'a LogHub,
    log: &'a ShardLog,
    faults: &'a Faults,
    audit: Audit,
    /// What comes before the next index.
    previous: Option<RecordId>,
    rows: Vec<CopyRecord>,
}

impl Listening<'_> {
    /// Takes in what is committed at an index. When nothing more need be heard, answers whether
    /// something was overruled, and with what the log ends then.
    fn hear(&mut self, index: u64, told: CopyRecord) -> Result<Option<Option<RecordId>>, Left> {
        let apart = || Left::Apart(index);
        let committed = self.log.committed();
        let known = |at: u64| committed.is_some_and(|committed| committed.index >= at);
        let theirs = StoredRecord::parse(told.record.clone());
        let theirs = theirs.map_err(|cause| Left::Unfit {
            index,
            cause: cause.into(),
        })?;
        let shard = self.log.shard();
        let rows = self.hub.rows(shard, index..index + 1, u64::MAX)?;
        let row = rows.into_iter().next().unwrap_or_default();
        if row.head(shard, index).is_some_and(|head| head != told.head) {
            return Err(apart());
        }
        if !self.faults.contains_key(&index) {
            let ours = row.record(self.log, index)?;
            if ours.record == theirs.record {
                self.previous = Some(ours.id);
                return Ok(None);
            }
            let end = self.previous.filter(|previous| previous.index + 1 == index);
            return match known(index) {
                true => Err(apart()),
                false => Ok(Some(Some(end.ok_or_else(apart)?))),
            };
        }
        if committed.is_some_and(|it| it.index == index && it != theirs.id) {
            return Err(apart());
        }
        self.previous = Some(theirs.id);
        self.rows.push(told);
        if self.faults.keys().next_back() != Some(&index) {
            return Ok(None);
        }
        let overruled = match self.log.last() {
            Some(last) if last.index == index => last != theirs.id,
            _ => {
                let rows = self.hub.rows(shard, index + 1..index + 2, u64::MAX)?;
                let next = rows.into_iter().next().unwrap_or_default();
                let next = next.record(self.log, index + 1)?;
                // Terms rise along a log: what follows here followed something else.
                (next.id.epoch, next.id.term) < (theirs.id.epoch, theirs.id.term)
            }
        };
        match overruled {
            true if known(index + 1) => Err(apart()),
            true => Ok(Some(Some(theirs.id))),
            false => Ok(Some(None)),
        }
    }
}
