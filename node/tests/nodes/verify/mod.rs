//! What `meridian verify` says of a real node's directory, and of what becomes of it when somebody
//! has been at it.

mod entries;
mod journal_reversals;
mod journals;
mod snapshots;
mod tampering;
mod told;
mod values;

use entries::raise_deposit;
use ledger_domain::Event;
use node::verify::{Error, Expected, Options, Part, Report, verify};
use replication::proto::LogRecord;

use crate::stopped::{self, HEAD, HOME, OTHER, RECORD, SNAPSHOT, Store};

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
fn one_altered_entry_is_not_a_thousand_findings() {
    let dir = stopped::copy();
    let index = Store::open(dir.path()).alter(HOME, &raise_deposit);
    let report = verify(dir.path(), Options::default(), &|_| {}).unwrap();
    // Its head, its balance after, the entry after it, the snapshot (both chains, a house account),
    // the sum of the book.
    assert_eq!(report.found, 6, "{:#?}", report.findings);
    assert!(report.findings.iter().any(|it| it.index == Some(index)));

    let options = Options {
        limit: 1,
        ..Options::default()
    };
    let report = verify(dir.path(), options, &|_| {}).unwrap();
    assert_eq!((report.findings.len(), report.found), (1, 6));
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
    store.delete(store.marker(SNAPSHOT, HOME));
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
