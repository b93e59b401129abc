//! Law: an entry of another reign, history or time is void, and changes nothing but the index.

use bytes::Bytes;
use ledger_domain::{Book, Entry, HybridTime, ShardId, Verdict};
use proptest::{collection::vec, prelude::*};

use crate::{
    generate::{a_command, beginning, numbered, ordinary},
    tries,
    writer::{EPOCH, Writer},
};

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy)]
enum Flaw {
    Shard,
    Epoch(u64),
    PrevHash(usize),
    SameTime,
    EarlierTime(u64),
}

fn a_flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        Just(Flaw::Shard),
        any::<u64>()
            .prop_filter("another", |e| *e != EPOCH)
            .prop_map(Flaw::Epoch),
        (0..32usize).prop_map(Flaw::PrevHash),
        Just(Flaw::SameTime),
        (1..1_000_000_000u64).prop_map(Flaw::EarlierTime),
    ]
}

fn spoil(mut entry: Entry, flaw: Flaw, last: HybridTime) -> Bytes {
    match flaw {
        Flaw::Shard => entry.shard = ShardId(entry.shard.0 + 1),
        Flaw::Epoch(epoch) => entry.epoch = epoch,
        Flaw::PrevHash(byte) => entry.prev_hash[byte] ^= 1,
        Flaw::SameTime => entry.time = last,
        Flaw::EarlierTime(by) => entry.time.wall_nanos = last.wall_nanos - by,
    }
    entry.encode(ledger_domain::Format::NEWEST)
}

/// Everything the book is, except how far it has applied.
fn standing(book: &Book) -> impl PartialEq + std::fmt::Debug + use<> {
    let houses: Vec<_> = book.houses().map(|(c, e, b)| (c.clone(), e, b)).collect();
    let out: Vec<_> = book.channels_out().collect();
    let sent: Vec<_> = book.under_way().cloned().collect();
    (book.accounts(), houses, out, sent, book.head(), book.time())
}

proptest! {
    #![proptest_config(tries(200))]

    #[test]
    fn a_flawed_entry_is_void_and_changes_only_the_index(
        first in beginning(),
        commands in vec(a_command(2, ordinary()), 1..6),
        flaws in vec(a_flaw(), 1..4),
    ) {
        let mut writer = Writer::new(ShardId(1));
        let count = first.len();
        let mut all = numbered(first.into_iter().chain(commands));
        let commands = all.split_off(count);
        writer.command(all);
        writer.apply_all();
        // The same entry, right and wrong.
        writer.command(commands);
        let mut book = writer.book.clone();
        let (standing_before, keys) = (standing(&book), writer.keys.clone());
        let said = crate::view::View::of(&book, &keys);
        let entry = writer.apply().expect("one is in flight");
        for flaw in flaws {
            let index = book.applied() + 1;
            let stored = spoil(entry.clone(), flaw, book.time());
            prop_assert_eq!(book.apply(index, &stored), Ok(Verdict::Void), "{:?}", flaw);
            prop_assert_eq!(book.applied(), index);
            prop_assert_eq!(&standing(&book), &standing_before);
            prop_assert_eq!(&crate::view::View::of(&book, &keys), &said);
        }
        let index = book.applied() + 1;
        let stored = entry.encode(ledger_domain::Format::NEWEST);
        prop_assert_eq!(book.apply(index, &stored), Ok(Verdict::Accepted(entry)));
        prop_assert_eq!(standing(&book), standing(&writer.book));
        // A second time it no longer follows.
        prop_assert_eq!(book.apply(index + 1, &stored), Ok(Verdict::Void));
        prop_assert_eq!(standing(&book), standing(&writer.book));
    }
}
