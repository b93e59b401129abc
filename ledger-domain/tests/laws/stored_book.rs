//! Law: a book that is stored and read back is the same book, and goes on as it would have.

use bytes::Bytes;
use ledger_domain::{
    Book, ShardId,
    book::{Reader, Unreadable},
    chain,
};
use proptest::prelude::*;

use crate::{
    channels::history, generate::ordinary, shards::Shards, tries, view::View, writer::Writer,
};

const AUDITED: chain::Hash = [7; 32];

fn read(chunks: &[Bytes]) -> Result<Book, Unreadable> {
    let mut reader = Reader::default();
    for chunk in chunks {
        reader.take(chunk)?;
    }
    let restored = reader.finish()?;
    assert_eq!(restored.audited, AUDITED);
    Ok(restored.book)
}

/// What is read back from a writer's book, after comparing the two.
pub fn same(writer: &Writer) -> Book {
    let chunks: Vec<_> = writer.book.chunks(AUDITED).collect();
    let restored = read(&chunks).unwrap();
    assert_eq!(View::of_book(&restored, &writer.keys), writer.book_view());
    assert_eq!(restored.head(), writer.book.head());
    assert_eq!(restored.time(), writer.book.time());
    assert_eq!(restored.applied(), writer.book.applied());
    let again: Vec<_> = restored.chunks(AUDITED).collect();
    assert_eq!(again, chunks, "equal books have equal bytes");
    restored
}

proptest! {
    #![proptest_config(tries(200))]

    #[test]
    fn a_stored_book_is_the_same_book(
        (shards, history) in (1..=3u32).prop_flat_map(|n| (Just(n), history(n, ordinary()))),
        at in any::<prop::sample::Index>(),
    ) {
        let mut shards = Shards::new(shards);
        let at = at.index(history.len());
        for (number, step) in history.into_iter().enumerate() {
            shards.step(step);
            for writer in shards.writers.values_mut() {
                let restored = same(writer);
                // From somewhere on the writers stand on what was read back.
                if number == at {
                    writer.book = restored;
                }
            }
        }
        shards.settle();
        shards.check_against_model();
        shards.writers.values().for_each(|writer| drop(same(writer)));
    }

    #[test]
    fn a_chunk_that_is_changed_missing_or_out_of_place_is_found(
        history in history(2, ordinary()),
        place in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut shards = Shards::new(2);
        history.into_iter().for_each(|step| shards.step(step));
        let book = &shards.writer(ShardId(1)).book;
        let chunks: Vec<_> = book.chunks(AUDITED).collect();
        let place = place.index(chunks.len());

        let mut changed = chunks.clone();
        let mut bytes = changed[place].to_vec();
        let byte = byte.index(bytes.len());
        bytes[byte] ^= flip;
        changed[place] = bytes.into();
        prop_assert!(read(&changed).is_err());

        let mut missing = chunks.clone();
        missing.remove(place);
        prop_assert!(read(&missing).is_err());

        let mut twice = chunks.clone();
        twice.insert(place, chunks[place].clone());
        prop_assert!(read(&twice).is_err());
    }
}
