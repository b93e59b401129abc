//! The references of a book.

use bytes::Bytes;

use super::{Book, stored::shelved};
use crate::{
    AccountId, Damage, ReferenceDigest, codec,
    proto::{self, book_chunk::Part},
    state::State as _,
};

impl Book {
    /// Every reference that is kept in this shard, and the account that it stands for, in the order
    /// of their digests. Sorts: not for the hot path.
    pub fn references(&self) -> Vec<(ReferenceDigest, AccountId)> {
        let mut all: Vec<_> = self.references.sorted().flatten().collect();
        all.sort_unstable();
        all
    }

    pub(super) fn stored_references(&self) -> impl Iterator<Item = Part> + use<'_> {
        let row = |(digest, account): (ReferenceDigest, AccountId)| proto::BookReference {
            digest: Bytes::copy_from_slice(&digest.0),
            account: codec::account_to_proto(account),
        };
        shelved(self.references.sorted()).map(move |rows| {
            let rows = rows.into_iter().map(row).collect();
            Part::References(proto::BookReferences { rows })
        })
    }

    pub(super) fn fill_references(&mut self, part: proto::BookReferences) -> Result<(), Damage> {
        for row in part.rows {
            let digest = ReferenceDigest(codec::digest(&row.digest, "digest")?);
            let account = codec::account_from_proto(row.account)?;
            self.set_reference(digest, Some(account));
        }
        Ok(())
    }
}
