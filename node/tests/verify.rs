//! What `meridian verify` says of a real node's directory, and of what becomes of it when somebody
//! has been at it.

mod cluster;
mod stopped;

use bytes::Bytes;
use ledger_domain::{Amount, Event, HybridTime, KeyDigest, frame};
use node::verify::{Error, Expected, Options, Part, Report, verify};
use replication::proto::{LogId, LogRecord};
use stopped::{HEAD, HOME, LAST, OTHER, RECORD, Store, VOTE};

/// Somebody at the store, who says what should be found: shard, index and part.
type Tamper = fn(&Store) -> (Option<u32>, Option<u64>, Part);

/// Plays each case on a copy of its own; every one must be named.
fn check(cases: &[(&str, Tamper)]) {
    let missed: Vec<_> = cases.iter().filter_map(missed).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

fn missed((name, tamper): &(&str, Tamper)) -> Option<String> {
    let dir = stopped::copy();
    let (shard, index, part) = tamper(&Store::open(dir.path()));
    let report = verify(dir.path(), Options::default(), &|_| {}).unwrap();
    let found = &report.findings;
    let named = found
        .iter()
        .any(|it| (it.shard, it.index, &it.part) == (shard, index, &part));
    (!named).then(|| {
        format!("{name}: {part:?} at index {index:?} of shard {shard:?} is not in {found:#?}")
    })
}

fn at(shard: u32, index: u64, part: Part) -> (Option<u32>, Option<u64>, Part) {
    (Some(shard), Some(index), part)
}

fn holds(report: &Report) -> bool {
    assert_eq!(report.found == 0, report.findings.is_empty());
    report.found == 0
}

#[test]
fn an_untouched_directory_holds_and_all_its_shards_agree() {
    let report = verify(stopped::pristine(), Options::default(), &|_| {}).unwrap();
    assert!(holds(&report), "{:#?}", report.findings);
    assert!(!report.torn_end);
    let places: Vec<_> = report
        .shards
        .iter()
        .map(|it| (it.shard, it.at_home))
        .collect();
    assert_eq!(places, [(1, false), (HOME, true), (OTHER, false)]);
    for shard in &report.shards {
        assert!(shard.entries > 3 && shard.accounts > 0, "{shard:?}");
        assert_eq!(shard.last.map(|last| last + 1), Some(shard.indexes));
        assert_eq!(
            shard.head_index, shard.last,
            "all of it is known to be committed"
        );
        let sums: Vec<_> = shard.sums.values().map(|sums| sums.book).collect();
        assert_eq!(sums, [0]);
    }
    assert!(report.channels.len() >= 4, "{:?}", report.channels);
    for channel in &report.channels {
        assert_eq!(
            (channel.sent, channel.sent),
            (channel.recorded, channel.closed)
        );
    }
}

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

/// The framed bytes are right in each of these: what is wrong is what they say.
#[test]
fn an_altered_entry_in_a_right_frame_is_found_and_named() {
    let cases: &[(&str, Tamper)] = &[
        ("an amount, by the chain", |store| {
            let index = store.alter(HOME, &raise_deposit);
            at(HOME, index, Part::Head)
        }),
        ("an amount, by the balance after it", |store| {
            let index = store.alter(HOME, &raise_deposit);
            at(HOME, index, Part::Book)
        }),
        ("an amount, by the entry after it", |store| {
            let index = store.alter(HOME, &raise_deposit);
            let next = store.next_entry(HOME, index);
            at(HOME, next, Part::Entry)
        }),
        ("an amount of a copy, its heads made anew", |store| {
            let index = store.alter(OTHER, &raise_deposit);
            store.chain_heads_anew(OTHER);
            at(OTHER, index, Part::Book)
        }),
        ("a house account's side", |store| {
            let index = store.alter(HOME, &|event| match event {
                Event::FundsDeposited { house, .. } => {
                    *house = ledger_domain::HouseCode::Fees;
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Book)
        }),
        ("an account's version", |store| {
            let index = store.alter(HOME, &|event| match event {
                Event::FundsWithdrawn { after, .. } => {
                    after.version += 1;
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Book)
        }),
        ("a limit", |store| {
            let lowered = |event: &mut Event| match event {
                Event::AccountOpened { limit, .. } => {
                    *limit = ledger_domain::Limit::Overdraft(-9_000);
                    true
                }
                _ => false,
            };
            store.alter(HOME, &lowered);
            let debit = store.find(HOME, &|event| {
                matches!(event, Event::FundsTransferred { .. })
            });
            at(HOME, debit, Part::Book)
        }),
        ("the hash of an item that was taken", |store| {
            let index = store.alter(HOME, &|event| match event {
                Event::TransferReceived { item, .. } => {
                    item.hash[5] ^= 1;
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Channel)
        }),
        ("the number of an item", |store| {
            let index = store.alter(HOME, &|event| match event {
                Event::TransferReceived { item, .. } => {
                    item.number += 1;
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Channel)
        }),
        ("a refusal in place of a settlement", |store| {
            let index = store.alter(OTHER, &|event| match event {
                Event::TransferSettled {
                    destination,
                    number,
                } => {
                    *event = Event::TransferReturned {
                        destination: *destination,
                        number: *number,
                        payer: None,
                        rejection: ledger_domain::Code::AccountClosed.into(),
                    };
                    true
                }
                _ => false,
            });
            at(OTHER, index, Part::Channel)
        }),
        ("a key that was used before", |store| {
            let first = store.find(HOME, &|event| matches!(event, Event::FundsDeposited { .. }));
            let used = store.entry(HOME, first).outcomes[0]
                .command
                .clone()
                .unwrap();
            let used: KeyDigest = used.info.key;
            let last = store.find(HOME, &|event| matches!(event, Event::FundsWithdrawn { .. }));
            store.rewrite(HOME, last, |entry| {
                entry.outcomes[0].command.as_mut().unwrap().info.key = used;
            });
            at(HOME, last, Part::Key)
        }),
        ("a time before the entry before", |store| {
            let index = store.find(HOME, &|event| matches!(event, Event::FundsWithdrawn { .. }));
            store.rewrite(HOME, index, |entry| entry.time = HybridTime::from_millis(1));
            at(HOME, index, Part::Entry)
        }),
        ("an entry of another shard", |store| {
            let index = store.find(HOME, &|event| matches!(event, Event::FundsWithdrawn { .. }));
            store.rewrite(HOME, index, |entry| entry.shard.0 = OTHER);
            at(HOME, index, Part::Entry)
        }),
        ("a cause left out", |store| {
            let index = store.find(HOME, &|event| {
                matches!(event, Event::TransferReceived { .. })
            });
            store.rewrite(HOME, index, |entry| entry.causes.clear());
            at(HOME, index, Part::Channel)
        }),
        ("a leader who comes back", |store| {
            let key = store.key(RECORD, HOME, 4);
            let mut record: LogRecord = stopped::message(&store.get(&key));
            record.id.as_mut().unwrap().term = 0;
            store.put(key, frame::seal_message(&record));
            at(HOME, 4, Part::Record)
        }),
    ];
    check(cases);
}

fn raise_deposit(event: &mut Event) -> bool {
    match event {
        Event::FundsDeposited { amount, .. } => {
            *amount = Amount::new(amount.minor_units() + 1).unwrap();
            true
        }
        _ => false,
    }
}

#[test]
fn one_altered_entry_is_not_a_thousand_findings() {
    let dir = stopped::copy();
    let index = Store::open(dir.path()).alter(HOME, &raise_deposit);
    let report = verify(dir.path(), Options::default(), &|_| {}).unwrap();
    // Its head, its balance after, the entry after it, the sum of the book.
    assert_eq!(report.found, 4, "{:#?}", report.findings);
    assert!(report.findings.iter().any(|it| it.index == Some(index)));

    let options = Options {
        limit: 1,
        ..Options::default()
    };
    let report = verify(dir.path(), options, &|_| {}).unwrap();
    assert_eq!((report.findings.len(), report.found), (1, 4));
}

#[test]
fn a_flipped_byte_anywhere_in_a_value_is_found() {
    let dir = stopped::copy();
    let last = Store::open(dir.path()).last(HOME).index;
    let values = [
        (RECORD, HOME, 0),
        (RECORD, HOME, last),
        (RECORD, OTHER, 4),
        (HEAD, HOME, 3),
        (HEAD, OTHER, 4),
    ];
    for (kind, shard, index) in values {
        let key = stopped::key(kind, shard, index);
        let len = Store::open(dir.path()).get(&key).len();
        for byte in (0..len).step_by((len / 24).max(1)) {
            let bit = 8 * byte + byte % 8;
            Store::open(dir.path()).flip(key.clone(), bit);
            let report = verify(dir.path(), Options::default(), &|_| {}).unwrap();
            let named = report
                .findings
                .iter()
                .any(|it| (it.shard, it.index) == (Some(shard), Some(index)));
            assert!(named, "bit {bit} of {key:?}: {:?}", report.findings);
            Store::open(dir.path()).flip(key.clone(), bit);
        }
    }
    let report = verify(dir.path(), Options::default(), &|_| {}).unwrap();
    assert!(holds(&report), "all was flipped back");
}

/// Below the store: the bytes of its files. A flipped one is found, or it was one that means
/// nothing; and the end of the newest file, where a loss of power looks the same, is told of.
#[test]
fn a_flipped_byte_of_the_stores_files_is_never_an_answer() {
    let pristine = verify(stopped::pristine(), Options::default(), &|_| {}).unwrap();
    let heads = |report: &Report| -> Vec<_> {
        report
            .shards
            .iter()
            .map(|it| (it.head_index, it.head))
            .collect()
    };
    let dir = stopped::copy();
    let mut found = 0;
    for entry in std::fs::read_dir(dir.path().join("log")).unwrap() {
        let path = entry.unwrap().path();
        let data = path
            .extension()
            .is_some_and(|it| it == "log" || it == "sst");
        let bytes = std::fs::read(&path).unwrap();
        if !data || bytes.is_empty() {
            continue;
        }
        for byte in (0..bytes.len()).step_by((bytes.len() / 40).max(1)) {
            let mut flipped = bytes.clone();
            flipped[byte] ^= 0x10;
            std::fs::write(&path, flipped).unwrap();
            match verify(dir.path(), Options::default(), &|_| {}) {
                Err(Error::Store { .. }) => found += 1,
                Err(other) => panic!("{other}"),
                Ok(report) if report.found > 0 => found += 1,
                Ok(report) => assert!(
                    report.torn_end || heads(&report) == heads(&pristine),
                    "byte {byte} of {} went unnoticed",
                    path.display()
                ),
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(found > 20, "{found} of the flipped bytes were found");
}

/// Whoever makes all of a history anew, from an altered entry on, leaves a directory in which
/// everything holds. A head that was told elsewhere before gives them away.
#[test]
fn a_history_made_anew_or_cut_is_found_by_a_head_from_elsewhere() {
    let told = verify(stopped::pristine(), Options::default(), &|_| {}).unwrap();
    let told: String = told
        .shards
        .iter()
        .filter_map(|it| Some((it.shard, it.head_index?, node::secrets::hex(&it.head?))))
        .map(|(shard, index, head)| format!("{shard} {index} {head}\n"))
        .collect();
    let expected = || Options {
        expected: Expected::parse(&told).unwrap(),
        ..Options::default()
    };
    let report = verify(stopped::pristine(), expected(), &|_| {}).unwrap();
    assert!(holds(&report), "{:#?}", report.findings);

    let anew = stopped::copy();
    let store = Store::open(anew.path());
    let first = store.find(HOME, &|event| matches!(event, Event::FundsDeposited { .. }));
    store.rewrite(HOME, first, |entry| {
        entry.outcomes[0].command.as_mut().unwrap().info.reason = "another".to_owned();
    });
    store.chain_anew(HOME);
    let last = store.last(HOME).index;
    drop(store);
    let report = verify(anew.path(), Options::default(), &|_| {}).unwrap();
    assert!(holds(&report), "{:#?}", report.findings);
    let report = verify(anew.path(), expected(), &|_| {}).unwrap();
    assert_eq!(report.findings[0].part, Part::Expected);
    assert_eq!(report.findings[0].index, Some(last));

    let cut = stopped::copy();
    let store = Store::open(cut.path());
    let last = store.last(OTHER);
    store.delete(store.key(RECORD, OTHER, last.index));
    store.delete(store.key(HEAD, OTHER, last.index));
    let before: LogRecord = stopped::message(&store.get(&store.key(RECORD, OTHER, last.index - 1)));
    store.set_last(OTHER, before.id.unwrap());
    drop(store);
    let report = verify(cut.path(), Options::default(), &|_| {}).unwrap();
    assert!(holds(&report), "{:#?}", report.findings);
    let report = verify(cut.path(), expected(), &|_| {}).unwrap();
    assert_eq!(report.findings[0].part, Part::Expected);
    assert_eq!(report.findings[0].index, Some(last.index));
}

#[test]
fn a_directory_that_is_none_is_said_to_be_none() {
    let empty = tempfile::tempdir().unwrap();
    for step in 0..2 {
        let refused = verify(empty.path(), Options::default(), &|_| {});
        assert!(
            matches!(refused, Err(Error::NotADirectory { .. })),
            "step {step}"
        );
        let marker = "format = 1\nledger = 'x'\nnode = 1\nregion = 'a'\nshards = []\n";
        std::fs::write(empty.path().join("node.toml"), marker).unwrap();
    }
}
