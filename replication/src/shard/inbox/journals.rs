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

/// How a shard has answered a journal of this one.
#[derive(Debug, Clone)]
struct Answer {
    /// The transaction that opened it there, where its log says so.
    opened: Option<TransactionId>,
    refused: Option<Refusal>,
}

impl Answer {
    fn is_about(&self, opened: TransactionId) -> bool {
        self.opened.is_none_or(|it| it == opened)
    }
}

/// What was heard and is not done.
#[derive(Debug, Default)]
pub(super) struct Journals {
    asked: BTreeMap<JournalRef, Heard<Asked>>,
    answers: BTreeMap<(u64, ShardId), Heard<Answer>>,
    decisions: BTreeMap<JournalRef, Heard<Cancelled>>,
}

impl Journals {
    /// Takes note of an event of another shard's log. Is it something to be done? An error says why
    /// nothing more is to be heard from that shard.
    pub(super) fn collect(
        &mut self,
        event: &JournalEvent,
        ordinal: u32,
        cause: Cause,
        book: &Book,
    ) -> Result<bool, String> {
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
                    return Ok(false);
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
                what.check().map_err(|why| {
                    format!("what journal {number} asks for is no part of one: {why}")
                })?;
                self.asked.insert(journal, Heard { what, cause });
                Ok(true)
            }
            JournalEvent::Reserved {
                journal, opened, ..
            } if journal.coordinator == mine => {
                let what = Answer {
                    opened: Some(*opened),
                    refused: None,
                };
                self.answer(*journal, what, cause, book)
            }
            JournalEvent::Refused {
                journal,
                opened,
                refusal,
            } if journal.coordinator == mine => {
                let what = Answer {
                    opened: *opened,
                    refused: Some(refusal.clone()),
                };
                self.answer(*journal, what, cause, book)
            }
            JournalEvent::Posted {
                journal, opened, ..
            } if journal.coordinator == peer => {
                let set_aside = book.journal_opened(journal);
                if opened.is_some() && set_aside.is_some_and(|it| Some(it) != *opened) {
                    let number = journal.number;
                    return Err(format!(
                        "journal {number} is not the one that was set aside"
                    ));
                }
                Ok(self.decide(*journal, None, cause, book))
            }
            JournalEvent::Cancelled {
                journal,
                by,
                refusal,
                ..
            } if journal.coordinator == peer => {
                let cancelled = Some((*by, refusal.clone()));
                Ok(self.decide(*journal, cancelled, cause, book))
            }
            _ => Ok(false),
        }
    }

    fn answer(
        &mut self,
        journal: JournalRef,
        what: Answer,
        cause: Cause,
        book: &Book,
    ) -> Result<bool, String> {
        let key = (journal.number, cause.position.shard);
        if is_heard(book, key) {
            return Ok(false);
        }
        let opened = book.journal_opened(&journal);
        if opened.is_some_and(|opened| !what.is_about(opened)) {
            let number = journal.number;
            return Err(format!("journal {number} is not the one that was answered"));
        }
        self.answers.insert(key, Heard { what, cause });
        Ok(true)
    }

    fn decide(&mut self, journal: JournalRef, what: Cancelled, cause: Cause, book: &Book) -> bool {
        // Of a journal that this shard was never asked about it never hears but this. What it was
        // asked about is in the same log before, so it is known here, or in the book.
        let is_asked = self.asked.contains_key(&journal);
        let is_news = is_asked || book.journal_legs(&journal).is_some();
        if is_news {
            self.decisions.insert(journal, Heard { what, cause });
        }
        is_news
    }

    /// What can be done now, as the clock can follow its causes: of each kind only so many that what
    /// they write has about as many legs as an entry has commands.
    pub(super) fn next(
        &self,
        state: &impl State,
        batch: usize,
        follow: &mut impl FnMut(&Cause) -> bool,
    ) -> JournalWork {
        let mut work = JournalWork::default();
        let mut heard: BTreeMap<ShardId, u64> = BTreeMap::new();
        let mut to_set_aside = BTreeMap::new();
        let mut left = Left(batch);
        for (journal, asked) in &self.asked {
            if left.is_nothing() {
                break;
            }
            let peer = journal.coordinator;
            let before = heard
                .entry(peer)
                .or_insert_with(|| state.journal_head(peer).heard);
            let is_next = asked.what.previous == *before && journal.number > *before;
            if is_next && follow(&asked.cause) {
                *before = journal.number;
                let legs = asked.what.legs.len();
                left.take(legs);
                to_set_aside.insert(*journal, legs);
                work.asked.push(asked.clone());
            }
        }
        let mut left = Left(batch);
        for ((number, shard), answer) in &self.answers {
            if left.is_nothing() {
                break;
            }
            let id = JournalRef {
                coordinator: state.shard(),
                number: *number,
            };
            // An opening that is in flight cannot be compared: the answer waits until it is applied.
            let opened = state.journal_opened(&id);
            let is_due = opened.is_some_and(|opened| answer.what.is_about(opened))
                && state.journal_waits(&id, *shard);
            if is_due && follow(&answer.cause) {
                left.take(state.journal_legs(&id).unwrap_or_default());
                let (what, cause) = (answer.what.refused.clone(), answer.cause);
                work.answers.push((*number, *shard, Heard { what, cause }));
            }
        }
        let mut left = Left(batch);
        for (journal, decision) in &self.decisions {
            if left.is_nothing() {
                break;
            }
            let legs = to_set_aside.get(journal).copied();
            let Some(legs) = legs.or_else(|| state.journal_legs(journal)) else {
                continue;
            };
            if follow(&decision.cause) {
                left.take(legs);
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
        self.decisions.retain(|journal, _| {
            asked.contains_key(journal) || book.journal_legs(journal).is_some()
        });
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
    number <= book.journal_count().last && !book.journal_waits(&id, shard)
}

/// How many legs an entry still has room for, at least one for whatever is first.
struct Left(usize);

impl Left {
    fn is_nothing(&self) -> bool {
        self.0 == 0
    }

    /// What has no legs takes room, too.
    fn take(&mut self, legs: usize) {
        self.0 = self.0.saturating_sub(legs.max(1));
    }
}

#[cfg(test)]
mod tests;
