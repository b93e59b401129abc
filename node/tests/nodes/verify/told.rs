//! Heads that a node was told by the homes of its copies.

use node::verify::{Expected, InvalidHeads, Options, Part, Signers, verify};

use super::tampering::{Tamper, at, check};
use crate::stopped::{self, OTHER, Store, TOLD};

/// The topology that the directory's node ran in.
fn signers() -> Signers {
    Signers::parse(stopped::topology()).unwrap()
}

fn with_signers() -> Options {
    Options {
        signers: Some(signers()),
        ..Options::default()
    }
}

#[test]
fn what_a_home_has_told_is_compared_with_what_the_log_comes_to() {
    let report = verify(stopped::pristine(), with_signers(), &|_| {}).unwrap();
    assert_eq!(report.findings, []);
    let other = report.shards.iter().find(|it| it.shard == OTHER).unwrap();
    assert!(other.told_compared > 0, "{other:?}");

    let cases: &[(&str, Tamper)] = &[
        ("the marker's bytes", |store| {
            store.flip(store.marker(TOLD, OTHER), 8 * 7);
            (Some(OTHER), None, Part::Marker("told"))
        }),
        ("a head", |store| {
            let mut told = store.told(OTHER);
            let mut head = told.heads[0].head.to_vec();
            head[3] ^= 1;
            told.heads[0].head = head.into();
            store.set_told(OTHER, &told);
            at(OTHER, told.heads[0].index, Part::Told)
        }),
        ("a shard", |store| {
            let mut told = store.told(OTHER);
            told.heads[0].shard += 1;
            store.set_told(OTHER, &told);
            (Some(OTHER), None, Part::Marker("told"))
        }),
        // Whoever makes a copy's history anew would have to sign for its home.
        ("a history made anew", |store| {
            let told = store.told(OTHER).heads.pop().unwrap().index;
            let first = store.find(OTHER, &|event| {
                matches!(event, ledger_domain::Event::FundsDeposited { .. })
            });
            assert!(first < told);
            store.rewrite(OTHER, first, |entry| {
                entry.outcomes[0].command.as_mut().unwrap().info.reason = "another".to_owned();
            });
            store.chain_anew(OTHER);
            at(OTHER, told, Part::Told)
        }),
    ];
    check(cases);
}

#[test]
fn a_told_head_that_nobody_signed_is_found_where_the_keys_are_known() {
    let dir = stopped::copy();
    let store = Store::open(dir.path());
    let mut told = store.told(OTHER);
    let mut signature = told.heads[0].signature.to_vec();
    signature[9] ^= 1;
    told.heads[0].signature = signature.into();
    store.set_told(OTHER, &told);
    drop(store);
    let report = verify(dir.path(), Options::default(), &|_| {}).unwrap();
    assert_eq!(report.findings, []);
    let report = verify(dir.path(), with_signers(), &|_| {}).unwrap();
    let found = &report.findings[0];
    assert_eq!(
        (found.shard, found.index),
        (Some(OTHER), Some(told.heads[0].index))
    );
    assert_eq!((report.found, &found.part), (1, &Part::Told));
}

#[test]
fn heads_from_elsewhere_must_be_signed_where_the_keys_are_known() {
    let dir = stopped::copy();
    let told = Store::open(dir.path()).told(OTHER).heads.pop().unwrap();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|it| format!("{it:02x}"))
            .collect::<String>()
    };
    let line = |index: u64, signature: &str| {
        let head = hex(&told.head);
        format!("{OTHER} {index} {head} {} {signature}\n", told.region)
    };
    let (index, signature) = (told.index, hex(&told.signature));
    let good = line(index, &signature);
    let options = Options {
        expected: Expected::parse_signed(&good, &signers()).unwrap(),
        ..with_signers()
    };
    let report = verify(dir.path(), options, &|_| {}).unwrap();
    assert_eq!(report.findings, []);
    let refused = |text: &str| Expected::parse_signed(text, &signers()).unwrap_err();
    let unsigned = InvalidHeads::Signature(OTHER, index);
    assert_eq!(
        refused(&line(index, &signature.replace('0', "1"))),
        unsigned
    );
    assert_eq!(
        refused(&format!("{OTHER} {index} {}\n", hex(&told.head))),
        unsigned
    );
    let elsewhere = InvalidHeads::Signature(OTHER, index + 1);
    assert_eq!(refused(&line(index + 1, &signature)), elsewhere);
    assert_eq!(refused(&line(index, "00")), InvalidHeads::Line(1));
}
