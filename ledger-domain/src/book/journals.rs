//! The open journals of a book.

use std::{collections::BTreeMap, iter, sync::Arc};

use super::{Book, stored::weighed_runs};
use crate::{
    Currency, Damage, ShardId, TransactionId, codec,
    journal::{JournalCount, JournalHead, JournalRef, OpenJournal},
    proto::{self, book_chunk::Part},
    state::State,
};

/// Journals between shards, as one of them knows them.
#[derive(Debug, Clone, Default)]
pub(super) struct Journals {
    pub(super) count: JournalCount,
    pub(super) heads: BTreeMap<ShardId, JournalHead>,
    /// Shared with copies.
    pub(super) open: Arc<BTreeMap<JournalRef, OpenJournal>>,
    pub(super) room: BTreeMap<Currency, i128>,
}

impl Journals {
    pub(super) fn set(&mut self, id: JournalRef, journal: Option<OpenJournal>) {
        let open = Arc::make_mut(&mut self.open);
        match journal {
            Some(journal) => open.insert(id, journal),
            None => open.remove(&id),
        };
    }

    pub(super) fn set_room(&mut self, currency: Currency, units: i128) {
        match units {
            0 => self.room.remove(&currency),
            _ => self.room.insert(currency, units),
        };
    }

    /// A journal has the id of the transaction that opened it.
    pub(super) fn name(&mut self, coordinator: ShardId, number: u64, opened: TransactionId) {
        let id = JournalRef {
            coordinator,
            number,
        };
        if let Some(journal) = Arc::make_mut(&mut self.open).get_mut(&id) {
            journal.opened = Some(opened);
        }
    }
}

impl Book {
    /// Every journal between shards that is not decided here, by coordinator and number.
    pub fn open_journals(&self) -> impl Iterator<Item = (&JournalRef, &OpenJournal)> {
        self.journals.open.iter()
    }

    /// Every shard with which journals were exchanged.
    pub fn journal_heads(&self) -> impl Iterator<Item = (ShardId, JournalHead)> {
        self.journals
            .heads
            .iter()
            .map(|(peer, head)| (*peer, *head))
    }

    pub(super) fn stored_journals(&self) -> impl Iterator<Item = Part> + use<'_> {
        let JournalCount { last, open } = self.journals.count;
        let heads = self
            .journal_heads()
            .map(|(peer, head)| proto::BookJournalHead {
                peer: peer.0,
                asked: head.asked,
                heard: head.heard,
            });
        let first = proto::BookJournals {
            last,
            undecided: open,
            heads: heads.collect(),
            open: Vec::new(),
        };
        let first = Some(first).filter(|it| it.last > 0 || !it.heads.is_empty());
        let open = self.open_journals();
        let open = weighed_runs(open, |(_, journal)| journal.size());
        let open = open.map(|run| {
            let rows = run.into_iter();
            rows.map(|(id, journal)| codec::journal_to_proto(*id, journal))
                .collect()
        });
        let open = open.map(|open| proto::BookJournals {
            open,
            ..Default::default()
        });
        iter::empty().chain(first).chain(open).map(Part::Journals)
    }

    pub(super) fn fill_journals(&mut self, part: proto::BookJournals) -> Result<(), Damage> {
        if part.last > 0 || part.undecided > 0 {
            self.journals.count = JournalCount {
                last: part.last,
                open: part.undecided,
            };
        }
        for row in part.heads {
            let (asked, heard) = (row.asked, row.heard);
            let head = self.journal_head(ShardId(row.peer));
            let head = JournalHead {
                asked,
                heard,
                ..head
            };
            self.set_journal_head(ShardId(row.peer), head);
        }
        for row in part.open {
            let (id, journal) = codec::journal_from_proto(row)?;
            for (currency, units) in journal.room() {
                let room = self.journal_room(currency).checked_add(units);
                self.set_journal_room(currency, room.ok_or(Damage::Field("amount"))?);
            }
            for ask in &journal.asks {
                let head = self.journal_head(ask.shard);
                let legs = head.legs.checked_add(journal.size());
                let legs = legs.ok_or(Damage::Field("legs"))?;
                self.set_journal_head(ask.shard, JournalHead { legs, ..head });
            }
            self.set_journal(id, Some(journal));
        }
        Ok(())
    }
}
