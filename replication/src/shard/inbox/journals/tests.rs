use ledger_domain::{
    Code, HybridTime, Position,
    journal::{Ask, JournalHead, OpenJournal},
};

use super::*;
use crate::scripted_home::date;

const HOME: ShardId = ShardId(1);
const PEER: ShardId = ShardId(2);

fn cause(index: u64) -> Cause {
    Cause {
        position: Position {
            shard: PEER,
            epoch: 1,
            index,
        },
        time: HybridTime::ZERO,
    }
}

fn of_peer(number: u64) -> JournalRef {
    JournalRef {
        coordinator: PEER,
        number,
    }
}

fn opened(number: u64, previous: u64) -> JournalEvent {
    let ask = |shard| Ask {
        shard,
        previous,
        legs: Vec::new(),
    };
    JournalEvent::Opened {
        number,
        date: date("2026-11-20"),
        lines: Vec::new(),
        asks: vec![ask(HOME)],
        rate: None,
        reverses: None,
        forced: false,
    }
}

fn cancelled(number: u64) -> JournalEvent {
    JournalEvent::Cancelled {
        journal: of_peer(number),
        lines: Vec::new(),
        by: ShardId(3),
        refusal: Refusal {
            leg: 1,
            rejection: Code::AccountNotFound.into(),
        },
        reverses: None,
    }
}

fn open(asks: Vec<Ask>, waiting: impl IntoIterator<Item = ShardId>) -> OpenJournal {
    OpenJournal {
        opened: None,
        date: date("2026-11-20"),
        legs: Vec::new(),
        asks,
        waiting: waiting.into_iter().collect(),
        rate: None,
        reverses: None,
    }
}

fn numbers(work: &JournalWork) -> Vec<u64> {
    let asked = work.asked.iter();
    asked.map(|it| it.what.journal.number).collect()
}

#[test]
fn journals_are_answered_in_the_order_in_which_they_were_asked_about() {
    let mut book = Book::new(HOME, 1);
    let mut heard = Journals::default();
    // The second alone waits for the first; of three the one in between is another shard's.
    assert!(heard.collect(&opened(4, 2), 0, cause(9), &book));
    assert!(heard.next(&book, 10, &mut |_| true).is_empty());
    assert!(heard.collect(&opened(2, 0), 0, cause(5), &book));
    let work = heard.next(&book, 10, &mut |_| true);
    assert_eq!(numbers(&work), [2, 4]);
    assert_eq!(numbers(&heard.next(&book, 1, &mut |_| true)), [2]);
    assert!(heard.next(&book, 10, &mut |_| false).is_empty());
    assert_eq!(heard.first_due(PEER), Some(5));

    let head = JournalHead { asked: 0, heard: 2 };
    book.set_journal_head(PEER, head);
    heard.prune(&book);
    assert_eq!(heard.first_due(PEER), Some(9));
    assert_eq!(numbers(&heard.next(&book, 10, &mut |_| true)), [4]);
    assert!(!heard.collect(&opened(2, 0), 0, cause(5), &book));
}

#[test]
fn a_decision_waits_until_what_was_asked_is_set_aside() {
    let mut book = Book::new(HOME, 1);
    let mut heard = Journals::default();
    assert!(
        !heard.collect(&cancelled(7), 0, cause(8), &book),
        "never asked"
    );
    heard.collect(&opened(1, 0), 0, cause(3), &book);
    assert!(heard.collect(&cancelled(1), 0, cause(4), &book));
    let both = heard.next(&book, 10, &mut |_| true);
    assert_eq!((both.asked.len(), both.decisions.len()), (1, 1));

    let head = JournalHead { asked: 0, heard: 1 };
    book.set_journal_head(PEER, head);
    book.set_journal(of_peer(1), Some(open(Vec::new(), [])));
    heard.prune(&book);
    let rest = heard.next(&book, 10, &mut |_| true);
    assert_eq!((rest.asked.len(), rest.decisions.len()), (0, 1));
    assert_eq!(heard.first_due(PEER), Some(4));

    book.set_journal(of_peer(1), None);
    heard.prune(&book);
    assert!(heard.next(&book, 10, &mut |_| true).is_empty());
    assert_eq!(heard.first_due(PEER), None);
    // Another reader of the same log finds nothing to do.
    assert!(!heard.collect(&opened(1, 0), 0, cause(3), &book));
    assert!(!heard.collect(&cancelled(1), 0, cause(4), &book));
}

#[test]
fn an_answer_is_kept_for_a_journal_that_the_book_does_not_know_yet() {
    let mut book = Book::new(HOME, 1);
    let mut heard = Journals::default();
    let journal = JournalRef {
        coordinator: HOME,
        number: 1,
    };
    let answer = JournalEvent::Refused {
        journal,
        refusal: Refusal {
            leg: 2,
            rejection: Code::InsufficientFunds.into(),
        },
    };
    assert!(heard.collect(&answer, 0, cause(6), &book));
    heard.prune(&book);
    assert!(heard.next(&book, 10, &mut |_| true).is_empty());
    assert_eq!(heard.first_due(PEER), Some(6));
    let ask = Ask {
        shard: PEER,
        previous: 0,
        legs: Vec::new(),
    };
    book.set_journal(journal, Some(open(vec![ask], [PEER])));
    let count = ledger_domain::journal::JournalCount { last: 1, open: 1 };
    book.set_journal_count(count);
    let work = heard.next(&book, 10, &mut |_| true);
    assert_eq!(work.answers.len(), 1);
    book.set_journal(journal, None);
    heard.prune(&book);
    assert_eq!(heard.first_due(PEER), None);
    assert!(!heard.collect(&answer, 0, cause(6), &book));
}
