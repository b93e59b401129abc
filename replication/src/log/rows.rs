//! The log as it lies on the disk: for whoever looks whether it is still what was written.
//!
//! The tail in memory hides what became of the newest records on the disk, so this reads past it.

use std::io;
use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use super::{CopyRecord, Head, LogHub, ShardLog, StoredRecord, hub, keys};
use crate::raft::RecordId;
use crate::world::{Batch, Op};

/// How many rows are read at a time, however short they are.
const PAGE: u64 = 4_096;

/// One index on the disk. What is absent is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) record: Option<Bytes>,
    pub(crate) head: Option<Bytes>,
}

impl Row {
    /// What it takes to read it, roughly.
    pub(crate) fn bytes(&self) -> u64 {
        let len = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len) as u64;
        len(&self.record) + len(&self.head)
    }

    /// The head, if it is here and whole.
    pub(crate) fn head(&self, shard: u32, index: u64) -> Option<Head> {
        hub::open(shard, index, self.head.as_ref()?).ok()
    }

    /// The record, or why it cannot be read.
    pub(crate) fn record(&self, log: &ShardLog, index: u64) -> io::Result<StoredRecord> {
        log.parse_row(index, self.record.clone())
    }
}

impl LogHub {
    /// When this returns, all that was accepted or computed before the call is on the disk.
    pub(crate) async fn settle(&self) -> io::Result<()> {
        self.write(Batch::new()).await
    }

    /// The rows of a range as they are on the disk, from its first index on; fewer than all where
    /// the records exceed `max_bytes`, but at least one.
    pub(crate) fn rows(
        &self,
        shard: u32,
        indexes: Range<u64>,
        max_bytes: u64,
    ) -> io::Result<Vec<Row>> {
        let first = indexes.start;
        let mut end = indexes.end.min(first.saturating_add(PAGE));
        let place = |index| usize::try_from(index - first).unwrap_or(usize::MAX);
        let mut rows = vec![Row::default(); end.checked_sub(first).map_or(0, |_| place(end))];
        let mut bytes = 0;
        let bounds = keys::records(shard, first..end);
        self.engine()
            .scan(&bounds.start..&bounds.end, &mut |key, value| {
                let index = keys::index_of(key);
                if bytes >= max_bytes {
                    end = index;
                    return ControlFlow::Break(());
                }
                bytes += value.len() as u64;
                rows[place(index)].record = Some(Bytes::copy_from_slice(value));
                ControlFlow::Continue(())
            })?;
        rows.truncate(place(end));
        let bounds = keys::heads(shard, first..end);
        self.engine()
            .scan(&bounds.start..&bounds.end, &mut |key, value| {
                rows[place(keys::index_of(key))].head = Some(Bytes::copy_from_slice(value));
                ControlFlow::Continue(())
            })?;
        Ok(rows)
    }

    /// Writes records and heads over what is stored in their places, durably and at once, and
    /// serves them again.
    pub(crate) async fn mend(&self, shard: u32, rows: Vec<CopyRecord>) -> io::Result<()> {
        self.mend_and_end(shard, rows, None).await
    }

    /// The same, and the log ends with `last` from now on, where one is given.
    pub(crate) async fn mend_and_end(
        &self,
        shard: u32,
        rows: Vec<CopyRecord>,
        last: Option<RecordId>,
    ) -> io::Result<()> {
        let log = self.shard_log(shard)?;
        let mut batch = Batch::with_capacity(2 * rows.len() + 2);
        let mut mended = Vec::with_capacity(rows.len());
        for row in rows {
            let (record, head) = row.parse(shard)?;
            let index = record.id.index;
            batch.push(Op::Put(keys::record(shard, index), record.record));
            batch.push(Op::Put(keys::head(shard, index), hub::seal(&head)));
            mended.push(index);
        }
        batch.extend(last.into_iter().flat_map(|last| log.end_with(last)));
        self.write(batch).await?;
        for index in mended {
            log.release(index);
        }
        Ok(())
    }
}
