//! Law: what is stored comes back as it was, or is known to be damaged.

use ledger_domain::{Book, Entry, Format, ShardId, book, frame};
use proptest::prelude::*;

use crate::{anything::any_entry, tries};

fn any_format() -> impl Strategy<Value = Format> {
    prop::sample::select(&Format::ALL[..])
}

proptest! {
    #![proptest_config(tries(200))]

    #[test]
    fn an_entry_comes_back_as_it_was(entry in any_entry(), format in any_format()) {
        let stored = entry.encode(format);
        let read = Entry::decode(&stored);
        prop_assert_eq!(read.as_ref(), Ok(&entry));
        prop_assert_eq!(entry.encode(format), stored);
    }

    #[test]
    fn every_changed_byte_is_found(
        entry in any_entry(),
        format in any_format(),
        mask in 1..=u8::MAX,
    ) {
        let stored = entry.encode(format);
        for at in 0..stored.len() {
            let mut changed = stored.to_vec();
            changed[at] ^= mask;
            prop_assert!(Entry::decode(&changed.into()).is_err(), "byte {at}");
        }
        for len in 0..stored.len() {
            prop_assert!(Entry::decode(&stored.slice(..len)).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn damage_changes_nothing(entry in any_entry(), at in any::<prop::sample::Index>()) {
        let mut changed = entry.encode(Format::NEWEST).to_vec();
        let at = at.index(changed.len());
        changed[at] ^= 0x40;
        let mut book = Book::new(ShardId(1), 1);
        let refused = matches!(book.apply(1, &changed.into()), Err(book::Error::Damage { .. }));
        prop_assert!(refused);
        prop_assert_eq!(book.applied(), 0);
    }

    #[test]
    fn a_sound_frame_around_anything_never_panics(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        format in any_format(),
    ) {
        let stored = frame::seal_as(format.number(), payload.len(), |out| {
            out.extend_from_slice(&payload);
        });
        if let Ok(entry) = Entry::decode(&stored) {
            // What can be read can be written and read again.
            prop_assert_eq!(Entry::decode(&entry.encode(format)), Ok(entry));
        }
    }
}
