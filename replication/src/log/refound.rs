//! A log taken up again by a new ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ledger_domain::frame;

use super::{CopyRecord, Head, LogHub, StoredRecord, keys, record};
use crate::copy::audited_head;
use crate::proto;
use crate::raft::RecordId;
use crate::raft::types::{Entry, EntryPayload, Member, Membership};
use crate::world::Op;

impl LogHub {
    /// Ends a log that was written here as a copy, with the head `before`, by a change of its voters
    /// under a new epoch. All of it counts as committed: it must be the same on every node. A node that
    /// votes has promised nothing yet but to follow nobody of an earlier epoch. The head after it.
    ///
    /// # Errors
    ///
    /// Where there is no log, its epoch is not an earlier one, or it cannot be written.
    pub async fn refound(
        &self,
        shard: u32,
        epoch: u64,
        voters: &BTreeMap<u64, String>,
        before: Head,
        votes: bool,
    ) -> io::Result<Head> {
        let last = self.last(shard)?.filter(|last| last.epoch < epoch);
        let wrong = || {
            let what = format!("the log of shard {shard} does not end in an epoch before {epoch}");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        };
        let last = last.ok_or_else(wrong)?;
        let members: BTreeMap<_, _> = voters
            .iter()
            .map(|(id, address)| (*id, Member::new(address)))
            .collect();
        let config = voters.keys().copied().collect::<BTreeSet<_>>();
        let membership = Membership::new(vec![config], members)
            .map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause.to_string()))?;
        // As in the founding of a shard: by nobody, before the first election of its epoch.
        let id = RecordId {
            epoch,
            term: 0,
            node: 0,
            index: last.index + 1,
        };
        let first = StoredRecord::of(&Entry {
            log_id: record::log_id(id),
            payload: EntryPayload::Membership(membership),
        });
        let head = audited_head(&before, &first);
        let record = first.record;
        self.append_copy(shard, vec![CopyRecord { record, head }])
            .await?;
        if votes {
            let nobody = proto::Ballot {
                epoch,
                term: 0,
                node: 0,
                committed: false,
            };
            let committed = frame::seal_message(&record::stored_id(id));
            self.write(vec![
                Op::Put(keys::vote(shard), frame::seal_message(&nobody)),
                Op::Put(keys::committed(shard), committed),
            ])
            .await?;
        }
        Ok(head)
    }
}
