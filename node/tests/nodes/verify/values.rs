//! Values that are changed, and keys that come, go and move.

use bytes::Bytes;
use node::verify::Part;
use replication::proto::LogId;

use super::tampering::{Tamper, at, check};
use crate::stopped::{self, HEAD, HOME, LAST, OTHER, RECORD, VOTE};

#[test]
fn every_kind_of_changed_value_is_found_and_named() {
    let cases: &[(&str, Tamper)] = &[
        ("a frame's version", |store| {
            store.flip(store.key(RECORD, HOME, 4), 0);
            at(HOME, 4, Part::Record)
        }),
        ("a frame's checksum", |store| {
            store.flip(store.key(RECORD, HOME, 4), 8 + 3);
            at(HOME, 4, Part::Record)
        }),
        ("a payload", |store| {
            store.flip(store.key(RECORD, HOME, 4), 8 * 60);
            at(HOME, 4, Part::Record)
        }),
        ("a copy's payload", |store| {
            store.flip(store.key(RECORD, OTHER, 3), 8 * 60);
            at(OTHER, 3, Part::Record)
        }),
        ("the founding membership", |store| {
            store.flip(store.key(RECORD, HOME, 0), 8 * 20);
            at(HOME, 0, Part::Record)
        }),
        ("a cut record", |store| {
            let key = store.key(RECORD, HOME, 4);
            let record = store.get(&key);
            store.put(key, record.slice(..record.len() - 1));
            at(HOME, 4, Part::Record)
        }),
        ("a head", |store| {
            store.flip(store.key(HEAD, HOME, 5), 8 * 20);
            at(HOME, 5, Part::Head)
        }),
        ("a head in a right frame", |store| {
            store.put(store.key(HEAD, HOME, 5), stopped::framed(&[7; 32]));
            at(HOME, 5, Part::Head)
        }),
        ("a head of a copy in a right frame", |store| {
            store.put(store.key(HEAD, OTHER, 2), stopped::framed(&[7; 32]));
            at(OTHER, 2, Part::Head)
        }),
        ("a head of another length", |store| {
            store.put(store.key(HEAD, HOME, 5), stopped::framed(&[7; 31]));
            at(HOME, 5, Part::Head)
        }),
        ("a vote", |store| {
            store.flip(store.marker(VOTE, HOME), 8 * 6);
            (Some(HOME), None, Part::Marker("vote"))
        }),
        ("a marker's term in a right frame", |store| {
            let last = store.last(HOME);
            store.set_last(
                HOME,
                LogId {
                    term: last.term + 1,
                    ..last
                },
            );
            at(HOME, last.index, Part::Marker("last"))
        }),
        ("a marker's bytes", |store| {
            store.flip(store.marker(LAST, OTHER), 8 * 6);
            (Some(OTHER), None, Part::Marker("last"))
        }),
        ("a marker that names an earlier record", |store| {
            let last = store.last(HOME);
            let earlier = LogId {
                index: last.index - 1,
                ..last
            };
            store.set_last(HOME, earlier);
            at(HOME, earlier.index, Part::Marker("last"))
        }),
    ];
    check(cases);
}

#[test]
fn what_is_missing_moved_or_too_much_is_found_and_named() {
    let cases: &[(&str, Tamper)] = &[
        ("an index deleted at home", |store| {
            store.delete(store.key(RECORD, HOME, 5));
            at(HOME, 5, Part::Record)
        }),
        ("an index deleted in a copy, with its head", |store| {
            store.delete(store.key(RECORD, OTHER, 3));
            store.delete(store.key(HEAD, OTHER, 3));
            at(OTHER, 3, Part::Record)
        }),
        ("the first index deleted", |store| {
            store.delete(store.key(RECORD, HOME, 0));
            at(HOME, 0, Part::Record)
        }),
        ("a head deleted", |store| {
            store.delete(store.key(HEAD, HOME, 5));
            at(HOME, 5, Part::Head)
        }),
        ("the newest head of a copy deleted", |store| {
            let last = store.last(OTHER).index;
            store.delete(store.key(HEAD, OTHER, last));
            at(OTHER, last, Part::Head)
        }),
        ("the tail cut off", |store| {
            let last = store.last(HOME).index;
            for index in last - 2..=last {
                store.delete(store.key(RECORD, HOME, index));
                store.delete(store.key(HEAD, HOME, index));
            }
            at(HOME, last - 2, Part::Record)
        }),
        ("the marker of the end deleted", |store| {
            store.delete(store.marker(LAST, OTHER));
            (Some(OTHER), None, Part::Marker("last"))
        }),
        ("the vote deleted", |store| {
            store.delete(store.marker(VOTE, HOME));
            (Some(HOME), None, Part::Marker("vote"))
        }),
        ("a record under another key", |store| {
            let record = store.get(&store.key(RECORD, HOME, 5));
            store.put(store.key(RECORD, HOME, 4), record);
            at(HOME, 4, Part::Record)
        }),
        ("a record in another shard", |store| {
            let record = store.get(&store.key(RECORD, HOME, 4));
            store.put(store.key(RECORD, OTHER, 4), record);
            at(OTHER, 4, Part::Head)
        }),
        ("a record beyond the end", |store| {
            let last = store.last(HOME).index;
            let record = store.get(&store.key(RECORD, HOME, last));
            store.put(store.key(RECORD, HOME, last + 1), record);
            at(HOME, last, Part::Marker("last"))
        }),
        ("a head beyond the end", |store| {
            let last = store.last(OTHER).index;
            store.put(store.key(HEAD, OTHER, last + 9), stopped::framed(&[7; 32]));
            at(OTHER, last + 9, Part::Head)
        }),
        ("a key with a byte too much", |store| {
            let mut key = store.key(RECORD, HOME, 4);
            key.push(0);
            store.put(key, Bytes::from_static(b"x"));
            (Some(HOME), None, Part::Store)
        }),
        ("a key that means nothing", |store| {
            store.put(vec![0x77, 1], Bytes::from_static(b"x"));
            (None, None, Part::Store)
        }),
    ];
    check(cases);
}
