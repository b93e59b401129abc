//! Snapshots: their chunks, what they say, and the history they stand in for.

use bytes::Bytes;
use ledger_domain::{ShardId, book::Restored, frame, state::State as _};
use node::verify::{Options, Part, verify};
use replication::proto::{Follows, LogId};

use super::tampering::{Tamper, at, check};
use crate::stopped::{self, HEAD, HOME, MISSING, OTHER, SNAPSHOT, Store};

/// Changes what the snapshot says, in right frames and under right hashes.
fn altered(store: &Store, change: impl FnOnce(&mut Restored)) -> (Option<u32>, Option<u64>, Part) {
    store.snapshot_anew(HOME, change);
    at_snapshot(store, Part::Snapshot)
}

fn at_snapshot(store: &Store, part: Part) -> (Option<u32>, Option<u64>, Part) {
    let last = store.snapshot(HOME).last.unwrap();
    at(HOME, last.index, part)
}

#[test]
fn every_kind_of_change_to_a_snapshots_bytes_is_found_and_named() {
    let cases: &[(&str, Tamper)] = &[
        ("a frame's version", |store| {
            store.flip(store.chunks(HOME).remove(0), 0);
            at_snapshot(store, Part::Snapshot)
        }),
        ("a byte of a chunk", |store| {
            store.flip(store.chunks(HOME).remove(1), 8 * 40);
            at_snapshot(store, Part::Snapshot)
        }),
        ("a byte of the last chunk", |store| {
            store.flip(store.chunks(HOME).pop().unwrap(), 8 * 9);
            at_snapshot(store, Part::Snapshot)
        }),
        ("a chunk deleted", |store| {
            store.delete(store.chunks(HOME).remove(1));
            at_snapshot(store, Part::Snapshot)
        }),
        ("a chunk left out, the others as they are", |store| {
            let mut keys = store.chunks(HOME);
            keys.remove(1);
            let chunks: Vec<_> = keys.iter().map(|key| store.get(key)).collect();
            store.set_chunks(HOME, &chunks);
            at_snapshot(store, Part::Snapshot)
        }),
        ("two chunks in another order", |store| {
            let keys = store.chunks(HOME);
            let mut chunks: Vec<_> = keys.iter().map(|key| store.get(key)).collect();
            chunks.swap(1, 2);
            store.set_chunks(HOME, &chunks);
            at_snapshot(store, Part::Snapshot)
        }),
        ("a chunk too much", |store| {
            let keys = store.chunks(HOME);
            let mut chunks: Vec<_> = keys.iter().map(|key| store.get(key)).collect();
            chunks.push(chunks[0].clone());
            store.set_chunks(HOME, &chunks);
            at_snapshot(store, Part::Snapshot)
        }),
        ("a length", |store| {
            let mut snapshot = store.snapshot(HOME);
            snapshot.chunks[0].length += 1;
            store.set_snapshot(HOME, &snapshot);
            at_snapshot(store, Part::Snapshot)
        }),
        ("a chunk that is left over and has another hash", |store| {
            let mut key = store.chunks(HOME).remove(0);
            key[20] ^= 1;
            store.put(key, Bytes::from_static(b"left over"));
            (Some(HOME), None, Part::Snapshot)
        }),
        ("a chunk's key that is cut", |store| {
            let mut key = store.chunks(HOME).remove(0);
            key.pop();
            store.put(key, Bytes::from_static(b"left over"));
            (Some(HOME), None, Part::Store)
        }),
        ("the marker's bytes", |store| {
            store.flip(store.marker(SNAPSHOT, HOME), 8 * 7);
            (Some(HOME), None, Part::Marker("snapshot"))
        }),
        ("the marker's place", |store| {
            let mut snapshot = store.snapshot(HOME);
            let last = snapshot.last.unwrap();
            let term = last.term + 1;
            snapshot.last = Some(LogId { term, ..last });
            store.set_snapshot(HOME, &snapshot);
            at_snapshot(store, Part::Marker("snapshot"))
        }),
        ("the marker's index", |store| {
            let mut snapshot = store.snapshot(HOME);
            snapshot.last.as_mut().unwrap().index -= 1;
            store.set_snapshot(HOME, &snapshot);
            at_snapshot(store, Part::Snapshot)
        }),
        ("a marker beyond the end", |store| {
            let mut snapshot = store.snapshot(HOME);
            snapshot.last.as_mut().unwrap().index += 1_000;
            store.set_snapshot(HOME, &snapshot);
            at_snapshot(store, Part::Marker("snapshot"))
        }),
        ("the marker in another shard", |store| {
            let marker = store.get(&store.marker(SNAPSHOT, HOME));
            store.put(store.marker(SNAPSHOT, OTHER), marker);
            let last = store.snapshot(HOME).last.unwrap();
            at(OTHER, last.index, Part::Snapshot)
        }),
    ];
    check(cases);
}

/// The hashes are right in each of these: what is wrong is what they say.
#[test]
fn a_snapshot_that_says_something_else_than_the_log_is_found_and_named() {
    let cases: &[(&str, Tamper)] = &[
        ("the audited head", |store| {
            altered(store, |restored| restored.audited[3] ^= 1)
        }),
        ("a balance", |store| {
            altered(store, |restored| {
                let (id, mut account) = restored.book.accounts().remove(0);
                account.posted += 1;
                restored.book.set_account(id, account);
            })
        }),
        ("a version", |store| {
            altered(store, |restored| {
                let (id, mut account) = restored.book.accounts().remove(0);
                account.version += 1;
                restored.book.set_account(id, account);
            })
        }),
        ("a limit", |store| {
            altered(store, |restored| {
                let (id, mut account) = restored.book.accounts().remove(0);
                account.limit = ledger_domain::Limit::Unlimited;
                restored.book.set_account(id, account);
            })
        }),
        ("a transfer under way", |store| {
            altered(store, |restored| {
                let (id, mut account) = restored.book.accounts().remove(0);
                account.under_way += 1;
                restored.book.set_account(id, account);
            })
        }),
        ("a house account", |store| {
            altered(store, |restored| {
                let (code, currency, balance) = restored.book.houses().next().unwrap();
                let code = code.clone();
                restored.book.set_house(code, currency, balance + 1);
            })
        }),
        ("a channel out", |store| {
            altered(store, |restored| {
                let (to, mut head) = restored.book.channels_out().next().unwrap();
                head.sent += 1;
                restored.book.set_outbound(to, head);
            })
        }),
        ("a channel in", |store| {
            altered(store, |restored| {
                let (from, mut head) = restored.book.channels_in().next().unwrap();
                head.recorded += 1;
                restored.book.set_inbound(from, head);
            })
        }),
        ("a record of an item that never came", |store| {
            altered(store, |restored| {
                let recorded = ledger_domain::state::Recorded {
                    hash: [7; 32],
                    taken: true,
                };
                restored
                    .book
                    .set_recorded(ShardId(OTHER), 99, Some(recorded));
            })
        }),
        ("a key that nobody sent", |store| {
            altered(store, |restored| {
                let index = restored.book.applied();
                let record = ledger_domain::state::KeyRecord {
                    fingerprint: [7; 16],
                    index,
                    ordinal: 0,
                };
                restored
                    .book
                    .set_key(ledger_domain::KeyDigest([7; 16]), record);
            })
        }),
        ("a place where another log was read", |store| {
            let keys = store.chunks(HOME);
            let mut chunks: Vec<_> = keys.iter().map(|key| store.get(key)).collect();
            let mut follows: Follows = stopped::message(chunks.last().unwrap());
            let mut head = follows.follows[0].head.to_vec();
            head[3] ^= 1;
            follows.follows[0].head = head.into();
            *chunks.last_mut().unwrap() = frame::seal_message(&follows);
            store.set_chunks(HOME, &chunks);
            at_snapshot(store, Part::Snapshot)
        }),
    ];
    check(cases);
}

#[test]
fn history_that_a_snapshot_skipped_may_be_absent_if_the_marker_says_so() {
    let dir = stopped::copy();
    let store = Store::open(dir.path());
    let last = store.snapshot(HOME).last.unwrap().index;
    store.skip_to_snapshot(HOME, 6);
    drop(store);
    let report = verify(dir.path(), Options::default(), &|_| {}).unwrap();
    assert_eq!(report.findings, []);
    let home = report.shards.iter().find(|it| it.shard == HOME).unwrap();
    assert_eq!(home.not_held, [(6, last)]);
    assert_eq!(home.snapshot, Some(last));
    let cases: &[(&str, Tamper)] = &[
        ("more is absent than the marker says", |store| {
            store.skip_to_snapshot(HOME, 6);
            let last = store.snapshot(HOME).last.unwrap().index;
            store.set_missing(HOME, 8, last + 1);
            at(HOME, 6, Part::Record)
        }),
        ("the marker is deleted", |store| {
            store.skip_to_snapshot(HOME, 6);
            store.delete(store.marker(MISSING, HOME));
            at(HOME, 6, Part::Record)
        }),
        ("less is absent than the marker says", |store| {
            store.skip_to_snapshot(HOME, 6);
            let last = store.snapshot(HOME).last.unwrap().index;
            store.set_missing(HOME, 5, last + 1);
            at(HOME, 5, Part::Marker("missing"))
        }),
        ("more is missing than was purged", |store| {
            store.skip_to_snapshot(HOME, 6);
            let last = store.snapshot(HOME).last.unwrap().index;
            store.set_missing(HOME, 6, last + 2);
            at(HOME, 6, Part::Marker("missing"))
        }),
        ("the marker's bytes", |store| {
            store.skip_to_snapshot(HOME, 6);
            store.flip(store.marker(MISSING, HOME), 8 * 6);
            (Some(HOME), None, Part::Marker("missing"))
        }),
        ("the head that the snapshot came with", |store| {
            store.skip_to_snapshot(HOME, 6);
            let last = store.snapshot(HOME).last.unwrap().index;
            store.put(store.key(HEAD, HOME, last), stopped::framed(&[7; 32]));
            at(HOME, last, Part::Snapshot)
        }),
    ];
    check(cases);
}
