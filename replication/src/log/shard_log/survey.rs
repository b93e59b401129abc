use std::io;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{ShardLog, put_id};
use crate::log::keys;
use crate::log::tail::Tail;
use crate::raft::RecordId;
use crate::world::{Batch, Op};

impl ShardLog {
    /// Reads every record that Raft may still ask for, and names the indexes whose record cannot be
    /// read, with the reason. Where there is none the newest are in memory afterwards: what becomes
    /// of them on the disk is then no matter of Raft's.
    ///
    /// To be called before Raft writes the log: nothing may be on its way to the disk, or it would
    /// be missed.
    pub(crate) fn survey(&self) -> io::Result<Vec<(u64, io::Error)>> {
        let (first, end) = {
            let state = self.lock();
            // What is in the archive was looked at when it was moved.
            let first = state.first.max(state.archived.end());
            (first, state.last.map_or(0, |last| last.index + 1))
        };
        let mut damaged = Vec::new();
        let mut tail = Tail::default();
        let mut next = first;
        let bounds = keys::records(self.shard, first..end.max(first));
        self.engine
            .scan(&bounds.start..&bounds.end, &mut |key, value| {
                let index = keys::index_of(key);
                damaged.extend((next..index).map(|index| (index, self.is_missing(index))));
                match self.parse(index, Bytes::copy_from_slice(value)) {
                    Ok(record) if damaged.is_empty() => {
                        tail.push(0, record);
                        tail.trim(0);
                    }
                    Ok(_) => {}
                    Err(error) => damaged.push((index, error)),
                }
                next = index + 1;
                ControlFlow::Continue(())
            })?;
        damaged.extend((next..end).map(|index| (index, self.is_missing(index))));
        let mut state = self.lock();
        if state.appends == 0 && damaged.is_empty() {
            state.tail = tail;
        }
        Ok(damaged)
    }

    /// The log ends with this record from now on. What it had in its place and after it was
    /// overruled: something else is committed there.
    pub(crate) fn end_with(&self, last: RecordId) -> Batch {
        let mut state = self.lock();
        let end = state.last.map_or(0, |id| id.index + 1);
        state.tail.truncate_from(last.index);
        state.last = Some(last);
        let after = last.index + 1;
        vec![
            put_id(keys::last(self.shard), last),
            Op::DeleteRange(keys::records(self.shard, after..end.max(after))),
        ]
    }
}
