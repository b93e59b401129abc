//! What other shards' logs say about journals: what they ask of this shard, how they have answered
//! it, and what they have decided.

use std::collections::BTreeMap;

use ledger_domain::{
    Asked, Book, JournalEvent, JournalRef, ShardId, TransactionId, journal::Refusal, state::State,
};

use super::Cause;

/// Something that a log says about a journal, and where.
#[derive(Debug, Clone)]
pub(in crate::shard) struct Heard<T> {
    pub(in crate::shard) what: T,
    pub(in crate::shard) cause: Cause,
}

/// Who refused a journal and why; `None` where it is posted.
pub(in crate::shard) type Cancelled = Option<(ShardId, Refusal)>;

/// What is to be done about journals, in this order.
#[derive(Debug, Default)]
pub(in crate::shard) struct JournalWork {
    pub(in crate::shard) asked: Vec<Heard<Asked>>,
    /// By the journal's number here and the shard that answered: why it refuses, if it does.
    pub(in crate::shard) answers: Vec<(u64, ShardId, Heard<Option<Refusal>>)>,
    /// Who refused and why, of those that are cancelled.
    pub(in crate::shard) decisions: Vec<(JournalRef, Heard<Cancelled>)>,
}

impl JournalWork {
    /// Nothing is to be done.
    pub(in crate::shard) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.answers.is_empty() && self.decisions.is_empty()
    }
}

/// What was heard and is not done.
#[derive(Debug, Default)]
pub(super) struct Journals {
    asked: BTreeMap<JournalRef, Heard<Asked>>,
    answers: BTreeMap<(u64, ShardId), Heard<Option<Refusal>>>,
    decisions: BTreeMap<JournalRef, Heard<Cancelled>>,
}

impl Journals {
    /// Takes note of an event of another shard's log. Is it something to be done?
    pub(super) fn collect(
        &mut self,
        event: &JournalEvent,
        ordinal: u32,
        cause: Cause,
        book: &Book,
    ) -> bool {
        let (peer, mine) = (cause.position.shard, book.shard());
        match event {
            JournalEvent::Opened {
                number,
                date,
                asks,
                forced,
                ..
            } => {
                let journal = JournalRef {
                    coordinator: peer,
                    number: *number,
                };
                let ask = asks.iter().find(|ask| ask.shard == mine);
                let Some(ask) = ask.filter(|_| !is_answered(book, journal)) else {
                    return false;
                };
                let what = Asked {
                    journal,
                    previous: ask.previous,
                    opened: TransactionId {
                        position: cause.position,
                        ordinal,
                    },
                    date: *date,
                    legs: ask.legs.clone(),
                    forced: *forced,
                };
                self.asked.insert(journal, Heard { what, cause });
                true
            }
            JournalEvent::Reserved { journal, .. } if journal.coordinator == mine => {
                self.answer(*journal, None, cause, book)
            }
            JournalEvent::Refused { journal, refusal } if journal.coordinator == mine => {
                self.answer(*journal, Some(refusal.clone()), cause, book)
            }
            JournalEvent::Posted { journal, .. } if journal.coordinator == peer => {
                self.decide(*journal, None, cause, book)
            }
            JournalEvent::Cancelled {
                journal,
                by,
                refusal,
                ..
            } if journal.coordinator == peer => {
                let cancelled = Some((*by, refusal.clone()));
                self.decide(*journal, cancelled, cause, book)
            }
            _ => false,
        }
    }

    fn answer(
        &mut self,
        journal: JournalRef,
        what: Option<Refusal>,
        cause: Cause,
        book: &Book,
    ) -> bool {
        let key = (journal.number, cause.position.shard);
        let is_news = !is_heard(book, key);
        if is_news {
            self.answers.insert(key, Heard { what, cause });
        }
        is_news
    }

    fn decide(&mut self, journal: JournalRef, what: Cancelled, cause: Cause, book: &Book) -> bool {
        // Of a journal that this shard was never asked about it never hears but this. What it was
        // asked about is in the same log before, so it is known here, or in the book.
        let is_asked = self.asked.contains_key(&journal);
        let is_news = is_asked || book.journal(&journal).is_some();
        if is_news {
            self.decisions.insert(journal, Heard { what, cause });
        }
        is_news
    }

    /// What can be done now, as the clock can follow its causes.
    pub(super) fn next(
        &self,
        state: &impl State,
        batch: usize,
        follow: &mut impl FnMut(&Cause) -> bool,
    ) -> JournalWork {
        let mut work = JournalWork::default();
        let mut heard: BTreeMap<ShardId, u64> = BTreeMap::new();
        for (journal, asked) in &self.asked {
            let peer = journal.coordinator;
            let before = heard
                .entry(peer)
                .or_insert_with(|| state.journal_head(peer).heard);
            let is_next = asked.what.previous == *before && journal.number > *before;
            if work.asked.len() < batch && is_next && follow(&asked.cause) {
                *before = journal.number;
                work.asked.push(asked.clone());
            }
        }
        for ((number, shard), answer) in &self.answers {
            let id = JournalRef {
                coordinator: state.shard(),
                number: *number,
            };
            let waits = |it: ledger_domain::journal::OpenJournal| it.waiting.contains(shard);
            let is_due = state.journal(&id).is_some_and(waits);
            if work.answers.len() < batch && is_due && follow(&answer.cause) {
                work.answers.push((*number, *shard, answer.clone()));
            }
        }
        for (journal, decision) in &self.decisions {
            let set_aside = work
                .asked
                .iter()
                .any(|asked| asked.what.journal == *journal);
            let is_due = set_aside || state.journal(journal).is_some();
            if work.decisions.len() < batch && is_due && follow(&decision.cause) {
                work.decisions.push((*journal, decision.clone()));
            }
        }
        work
    }

    /// The first index of a log that says something that is still to be done.
    pub(super) fn first_due(&self, peer: ShardId) -> Option<u64> {
        let asked = self.asked.values().map(|it| it.cause);
        let answers = self.answers.values().map(|it| it.cause);
        let decisions = self.decisions.values().map(|it| it.cause);
        let causes = asked.chain(answers).chain(decisions);
        let causes = causes.filter(|cause| cause.position.shard == peer);
        causes.map(|cause| cause.position.index).min()
    }

    /// Drops what the applied book has done.
    pub(super) fn prune(&mut self, book: &Book) {
        self.asked.retain(|journal, _| !is_answered(book, *journal));
        self.answers.retain(|key, _| !is_heard(book, *key));
        let asked = &self.asked;
        self.decisions
            .retain(|journal, _| asked.contains_key(journal) || book.journal(journal).is_some());
    }
}

/// Whether this shard has answered what it was asked.
fn is_answered(book: &Book, journal: JournalRef) -> bool {
    journal.number <= book.journal_head(journal.coordinator).heard
}

/// Whether a coordinator waits no more for an answer. A journal that it does not know yet is to come.
fn is_heard(book: &Book, (number, shard): (u64, ShardId)) -> bool {
    let id = JournalRef {
        coordinator: book.shard(),
        number,
    };
    match book.journal(&id) {
        Some(journal) => !journal.waiting.contains(&shard),
        None => number <= book.journal_count().last,
    }
}

#[cfg(test)]
mod tests;
