use ledger_domain::{
    Amount, Code, HouseCode, HybridTime, Position,
    journal::{Ask, JournalHead, Leg, OpenJournal, Party, Side},
};

use super::*;
use crate::scripted_home::{account, date};

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

/// What opened this shard's first journal.
fn opening(index: u64) -> TransactionId {
    let position = Position {
        shard: HOME,
        epoch: 1,
        index,
    };
    TransactionId {
        position,
        ordinal: 0,
    }
}

fn hear(heard: &mut Journals, event: &JournalEvent, ordinal: u32, at: Cause, book: &Book) -> bool {
    heard
        .collect(event, ordinal, at, book)
        .expect("nothing is wrong with it")
}

fn heard_of(heard: u64) -> JournalHead {
    JournalHead {
        heard,
        ..JournalHead::default()
    }
}

fn legs(count: u8) -> Vec<Leg> {
    let leg = |place: u8| Leg {
        place: place.into(),
        party: Party::Account(account(place)),
        side: Side::Debit,
        currency: "EUR".parse().unwrap(),
        amount: Amount::new(1).unwrap(),
        against: Party::House(HouseCode::Fees),
    };
    (1..=count).map(leg).collect()
}

fn opened(number: u64, previous: u64) -> JournalEvent {
    with_legs(number, previous, 1)
}

fn with_legs(number: u64, previous: u64, count: u8) -> JournalEvent {
    let ask = |shard| Ask {
        shard,
        previous,
        legs: legs(count),
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
        opened: Some(opening(1)),
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
    assert!(hear(&mut heard, &opened(4, 2), 0, cause(9), &book));
    assert!(heard.next(&book, 10, &mut |_| true).is_empty());
    assert!(hear(&mut heard, &opened(2, 0), 0, cause(5), &book));
    let work = heard.next(&book, 10, &mut |_| true);
    assert_eq!(numbers(&work), [2, 4]);
    assert_eq!(numbers(&heard.next(&book, 1, &mut |_| true)), [2]);
    assert!(heard.next(&book, 10, &mut |_| false).is_empty());
    assert_eq!(heard.first_due(PEER), Some(5));

    let head = heard_of(2);
    book.set_journal_head(PEER, head);
    heard.prune(&book);
    assert_eq!(heard.first_due(PEER), Some(9));
    assert_eq!(numbers(&heard.next(&book, 10, &mut |_| true)), [4]);
    assert!(!hear(&mut heard, &opened(2, 0), 0, cause(5), &book));
}

/// An entry takes journals until their legs are as many as commands that it takes.
#[test]
fn what_an_entry_takes_of_journals_is_counted_in_legs() {
    let mut book = Book::new(HOME, 1);
    let mut heard = Journals::default();
    for number in 1..=4 {
        hear(
            &mut heard,
            &with_legs(number, number - 1, 30),
            0,
            cause(number),
            &book,
        );
        hear(&mut heard, &cancelled(number), 0, cause(10 + number), &book);
    }
    let work = heard.next(&book, 61, &mut |_| true);
    assert_eq!((numbers(&work), work.decisions.len()), (vec![1, 2, 3], 3));
    let work = heard.next(&book, 60, &mut |_| true);
    assert_eq!((numbers(&work), work.decisions.len()), (vec![1, 2], 2));
    assert_eq!(numbers(&heard.next(&book, 1, &mut |_| true)), [1]);

    book.set_journal_head(PEER, heard_of(4));
    for number in 1..=4 {
        let journal = OpenJournal {
            legs: legs(30),
            ..open(Vec::new(), [])
        };
        book.set_journal(of_peer(number), Some(journal));
    }
    heard.prune(&book);
    let work = heard.next(&book, 60, &mut |_| true);
    assert_eq!((work.asked.len(), work.decisions.len()), (0, 2));
}

/// So are a coordinator's own legs, which the answer to a journal may end.
#[test]
fn what_an_entry_takes_of_answers_is_counted_in_legs() {
    let mut book = Book::new(HOME, 1);
    let mut heard = Journals::default();
    for number in 1..=3 {
        let journal = JournalRef {
            coordinator: HOME,
            number,
        };
        let own = OpenJournal {
            legs: legs(30),
            ..open(Vec::new(), [PEER])
        };
        book.set_journal(journal, Some(own));
        let refusal = Refusal {
            leg: 31,
            rejection: Code::AccountNotFound.into(),
        };
        let refused = JournalEvent::Refused {
            journal,
            opened: None,
            refusal,
        };
        hear(&mut heard, &refused, 0, cause(number), &book);
    }
    let taken = |batch| heard.next(&book, batch, &mut |_| true).answers.len();
    assert_eq!([1, 30, 31, 60, 61].map(taken), [1, 1, 2, 2, 3]);
}

#[test]
fn a_decision_waits_until_what_was_asked_is_set_aside() {
    let mut book = Book::new(HOME, 1);
    let mut heard = Journals::default();
    assert!(
        !hear(&mut heard, &cancelled(7), 0, cause(8), &book),
        "never asked"
    );
    hear(&mut heard, &opened(1, 0), 0, cause(3), &book);
    assert!(hear(&mut heard, &cancelled(1), 0, cause(4), &book));
    let both = heard.next(&book, 10, &mut |_| true);
    assert_eq!((both.asked.len(), both.decisions.len()), (1, 1));

    let head = heard_of(1);
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
    assert!(!hear(&mut heard, &opened(1, 0), 0, cause(3), &book));
    assert!(!hear(&mut heard, &cancelled(1), 0, cause(4), &book));
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
        opened: Some(opening(1)),
        refusal: Refusal {
            leg: 2,
            rejection: Code::InsufficientFunds.into(),
        },
    };
    assert!(hear(&mut heard, &answer, 0, cause(6), &book));
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
    assert!(!hear(&mut heard, &answer, 0, cause(6), &book));
}

/// Whether the book knows its journal already, or learns of it after the answer.
#[test]
fn what_was_answered_about_another_journal_decides_nothing() {
    let journal = JournalRef {
        coordinator: HOME,
        number: 1,
    };
    let refused = |opened| JournalEvent::Refused {
        journal,
        opened,
        refusal: Refusal {
            leg: 2,
            rejection: Code::InsufficientFunds.into(),
        },
    };
    let empty = Book::new(HOME, 1);
    let mut book = empty.clone();
    let ask = Ask {
        shard: PEER,
        previous: 0,
        legs: legs(1),
    };
    book.set_journal(journal, Some(open(vec![ask], [PEER])));
    let count = ledger_domain::journal::JournalCount { last: 1, open: 1 };
    book.set_journal_count(count);

    let mut heard = Journals::default();
    let other = refused(Some(opening(9)));
    let stopped = heard.collect(&other, 0, cause(6), &book);
    assert!(
        stopped
            .unwrap_err()
            .contains("not the one that was answered")
    );
    for (opened, due) in [(None, 1), (Some(opening(1)), 1), (Some(opening(9)), 0)] {
        let mut heard = Journals::default();
        assert!(hear(&mut heard, &refused(opened), 0, cause(6), &empty));
        let work = heard.next(&book, 10, &mut |_| true);
        assert_eq!(work.answers.len(), due, "{opened:?}");
    }

    // An opening that is in flight has no id yet: the answer waits.
    let mut heard = Journals::default();
    assert!(hear(
        &mut heard,
        &refused(Some(opening(1))),
        0,
        cause(6),
        &empty
    ));
    let mut in_flight = ledger_domain::InFlight::default();
    in_flight.begin();
    let mut state = in_flight.above(&book);
    let nameless = OpenJournal {
        opened: None,
        ..state.journal(&journal).unwrap()
    };
    state.set_journal(journal, Some(nameless));
    assert!(heard.next(&state, 10, &mut |_| true).is_empty());
}

#[test]
fn what_no_coordinator_says_stops_its_channel() {
    let mut book = Book::new(HOME, 1);
    let mut heard = Journals::default();
    let why = heard.collect(&with_legs(1, 0, 0), 0, cause(3), &book);
    assert!(why.unwrap_err().contains("what journal 1 asks for"));
    assert!(heard.next(&book, 10, &mut |_| true).is_empty());

    book.set_journal(of_peer(1), Some(open(Vec::new(), [])));
    let posted = |opened| JournalEvent::Posted {
        journal: of_peer(1),
        opened,
        date: date("2026-11-20"),
        lines: Vec::new(),
        clearing: Vec::new(),
    };
    let why = heard.collect(&posted(Some(opening(9))), 0, cause(4), &book);
    assert!(why.unwrap_err().contains("not the one that was set aside"));
    for opened in [None, Some(opening(1))] {
        assert!(hear(&mut heard, &posted(opened), 0, cause(4), &book));
    }
}
