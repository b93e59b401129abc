//! Law: what an event is said to be about is what its stored form has.

use std::collections::BTreeSet;

use ledger_domain::{EventKind, codec::encode_event};
use proptest::prelude::*;

use crate::{
    anything::any_event,
    generate::{ACCOUNTS, account_id},
    tries,
};

/// The number of a message's first field.
fn first_field(mut message: &[u8]) -> Option<u32> {
    let key = prost::encoding::decode_varint(&mut message).ok()?;
    u32::try_from(key >> 3).ok()
}

proptest! {
    #![proptest_config(tries(2_000))]

    #[test]
    fn an_event_names_its_kind_and_the_accounts_that_are_stored_with_it(event in any_event()) {
        let stored = encode_event(&event);
        prop_assert_eq!(first_field(&stored), u32::try_from(event.kind() as i32).ok());
        let accounts = event.accounts();
        let named: BTreeSet<_> = accounts.iter().copied().collect();
        prop_assert_eq!(named.len(), accounts.len(), "each once");
        for account in (0..ACCOUNTS).map(account_id) {
            let body = account.body();
            let is_stored = stored.windows(body.len()).any(|bytes| bytes == body);
            prop_assert_eq!(named.contains(&account), is_stored, "{}", account);
        }
        for after in event.afters() {
            prop_assert!(named.contains(&after.account));
        }
        for figure in event.figures() {
            prop_assert!(figure.units > 0);
        }
    }
}

#[test]
fn a_kind_is_found_by_its_name() {
    let names: BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), EventKind::ALL.len());
    for kind in EventKind::ALL {
        assert_eq!(EventKind::from_name(kind.name()), Some(kind));
        assert_eq!(
            EventKind::from_name(&kind.name().to_lowercase()),
            Some(kind)
        );
    }
    assert_eq!(EventKind::from_name("Deposit"), None);
}
