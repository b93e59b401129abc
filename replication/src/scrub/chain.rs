use super::status::{Fault, Part};
use crate::copy::{Audit, audited_head};
use crate::log::{Head, Row, ShardLog};

/// The audited chain along what is stored.
///
/// After an index that could not be mended there may be two heads that can be right, the one that
/// was computed and the one that is stored: what comes next decides. One fault is so one fault, and
/// not as many as there are indexes after it.
pub(super) struct Chain {
    next: u64,
    /// Those that the last index may have, the computed before the stored. None: any will do.
    heads: Vec<Head>,
}

/// How many heads are kept in mind where many indexes in a row are damaged.
const HEADS: usize = 4;

impl Chain {
    pub(super) fn from_genesis(shard: u32) -> Self {
        Self::after(Audit::from_genesis(shard))
    }

    pub(super) fn after(audit: Audit) -> Self {
        Self {
            next: audit.next(),
            heads: vec![audit.head()],
        }
    }

    /// The index that comes next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// What the next index must follow, if it is settled.
    pub(super) fn settled(&self) -> Option<Audit> {
        match self.heads[..] {
            [head] => Some(Audit::at(self.next, head)),
            _ => None,
        }
    }

    /// Goes on after indexes that are known not to be here, with the head that is kept of the last.
    pub(super) fn skip_to(&mut self, next: u64, head: Option<Head>) {
        self.next = next;
        self.heads = head.into_iter().collect();
    }

    /// Moves past a row that is as it should be; otherwise stays, and says what is wrong.
    pub(super) fn follow(&mut self, log: &ShardLog, row: &Row) -> Result<(), Fault> {
        let (shard, index) = (log.shard(), self.next);
        let fault = |part, what: String| Fault::new(shard, index, part, what);
        let record = row
            .record(log, index)
            .map_err(|error| fault(Part::Record, error.to_string()))?;
        let missing = || {
            fault(
                Part::Head,
                "its head is missing or cannot be read".to_owned(),
            )
        };
        let stored = row.head(shard, index).ok_or_else(missing)?;
        let computed = || self.heads.iter().map(|head| audited_head(head, &record));
        if !self.heads.is_empty() && !computed().any(|head| head == stored) {
            let what = "its record and its head do not follow from what comes before".to_owned();
            return Err(fault(Part::Chain, what));
        }
        self.heads = vec![stored];
        self.next += 1;
        Ok(())
    }

    /// Moves past a row that stays damaged.
    pub(super) fn pass_over(&mut self, log: &ShardLog, row: &Row) {
        let stored = row.head(log.shard(), self.next);
        let record = row.record(log, self.next).ok();
        let computed = record.iter().flat_map(|record| {
            let follow = |head| audited_head(head, record);
            self.heads.iter().map(follow).collect::<Vec<_>>()
        });
        self.heads = computed.chain(stored).take(HEADS).collect();
        self.next += 1;
    }
}
