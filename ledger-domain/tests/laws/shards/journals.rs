//! What shards' logs say to each other about journals.

use ledger_domain::{
    Asked, Entry, Event, JournalEvent, Position, ShardId, TransactionId,
    journal::{JournalRef, Refusal},
};

use super::Shards;
use crate::writer::{Answer, Work};

/// Something that one shard's log says to another.
#[derive(Debug, Clone)]
pub enum Message {
    Ask(Asked),
    Answer(u64, Option<Refusal>),
    Decision(JournalRef, Option<(ShardId, Refusal)>),
}

impl Message {
    /// In which order they are heard.
    fn rank(&self) -> (u8, u64) {
        match self {
            Self::Ask(asked) => (0, asked.journal.number),
            Self::Answer(number, _) => (1, *number),
            Self::Decision(journal, _) => (2, journal.number),
        }
    }

    /// As something to be done by the shard that hears it from another.
    pub fn work(&self, from: ShardId) -> Work {
        match self.clone() {
            Self::Ask(asked) => Work::Reserve(asked),
            Self::Answer(number, refused) => Work::Hear {
                number,
                shard: from,
                refused,
            },
            Self::Decision(id, cancelled) => Work::Conclude { id, cancelled },
        }
    }
}

/// What an entry at an index says about journals, and to whom.
pub fn messages(entry: &Entry, index: u64) -> Vec<(ShardId, Message)> {
    let here = entry.shard;
    let mut said = Vec::new();
    for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
        for event in outcome.result.iter().flatten() {
            let Event::Journal(event) = event else {
                continue;
            };
            let position = Position {
                shard: here,
                epoch: entry.epoch,
                index,
            };
            let opened = TransactionId { position, ordinal };
            match event {
                JournalEvent::Opened {
                    number,
                    date,
                    asks,
                    forced,
                    ..
                } => said.extend(asks.iter().map(|ask| {
                    let journal = JournalRef {
                        coordinator: here,
                        number: *number,
                    };
                    let asked = Asked {
                        journal,
                        previous: ask.previous,
                        opened,
                        date: *date,
                        legs: ask.legs.clone(),
                        forced: *forced,
                    };
                    (ask.shard, Message::Ask(asked))
                })),
                JournalEvent::Reserved { journal, .. } => {
                    said.push((journal.coordinator, Message::Answer(journal.number, None)));
                }
                JournalEvent::Refused {
                    journal, refusal, ..
                } => {
                    let refused = Some(refusal.clone());
                    said.push((
                        journal.coordinator,
                        Message::Answer(journal.number, refused),
                    ));
                }
                JournalEvent::Posted { journal, .. } if journal.coordinator == here => {
                    said.push((here, Message::Decision(*journal, None)));
                }
                JournalEvent::Cancelled {
                    journal,
                    by,
                    refusal,
                    ..
                } if journal.coordinator == here => {
                    let cancelled = Some((*by, refusal.clone()));
                    said.push((here, Message::Decision(*journal, cancelled)));
                }
                _ => {}
            }
        }
    }
    said
}

impl Shards {
    /// Everything that a shard's log has said to another, all over again.
    pub fn said(&self, source: ShardId, here: ShardId) -> Vec<Work> {
        let all = self.said.get(&source).map_or(&[][..], |all| all);
        // A decision is for everybody who waits for it.
        let mine = all.iter().filter(|(to, message)| match message {
            Message::Decision(..) => here != source,
            _ => *to == here,
        });
        let mut mine: Vec<_> = mine.map(|(_, message)| message).collect();
        mine.sort_by_key(|message| message.rank());
        mine.into_iter()
            .map(|message| message.work(source))
            .collect()
    }

    /// A shard hears all that another has applied; and so does the model.
    pub fn exchange(&mut self, source: ShardId, here: ShardId) {
        while !self.writer(source).is_idle() {
            self.apply(source);
        }
        if source == here {
            return;
        }
        let work = self.said(source, here);
        let answers = self.writer(here).propose(work);
        self.model.now_ms = self.writers[&here].now_ms();
        let now = self.writers[&here].circumstances().time.wall_nanos;
        self.model.expire(here, now);
        let told: Vec<_> = answers.iter().filter_map(asked).collect();
        assert_eq!(told, self.model.exchange(source, here));
    }

    /// Every journal comes to its end.
    pub fn settle_journals(&mut self) {
        let ids: Vec<_> = self.writers.keys().copied().collect();
        for _ in 0..3 {
            for source in &ids {
                for here in &ids {
                    self.exchange(*source, *here);
                }
            }
        }
        for shard in ids {
            while !self.writer(shard).is_idle() {
                self.apply(shard);
            }
        }
        assert!(self.model.journals.iter().all(|journal| journal.is_over()));
        for (shard, writer) in &self.writers {
            assert_eq!(writer.book.open_journals().count(), 0, "{shard}");
            for (code, currency, balance) in writer.book.houses() {
                if let ledger_domain::HouseCode::Clearing(peer) = code {
                    let there = &self.writers[peer].book;
                    let mirror = ledger_domain::HouseCode::Clearing(*shard);
                    let mirrored = ledger_domain::state::State::house(there, &mirror, currency);
                    assert_eq!(mirrored, Some(-balance), "{shard} and {peer}");
                }
            }
        }
    }
}

/// What was made of a journal that was asked about; `None` where the answer is about something else.
pub fn asked(answer: &Answer) -> Option<Option<ledger_domain::Code>> {
    let Answer::Decided(outcome) = answer else {
        return None;
    };
    match outcome.result.iter().flatten().last()? {
        Event::Journal(JournalEvent::Reserved { .. }) => Some(None),
        Event::Journal(JournalEvent::Refused { refusal, .. }) => Some(Some(refusal.rejection.code)),
        _ => None,
    }
}
