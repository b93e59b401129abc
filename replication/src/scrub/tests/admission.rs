//! A replica's log is mended before the replica takes part.

use std::ops::Range;

use super::*;
use crate::scrub::{Admission, Waits};

/// A replica that was stopped over a home's history, and what has become of its disk. It had applied
/// nothing from `applied` on: heads are stored as far as that.
async fn replica(home: &ScriptedHome, applied: u64, damaged: &[u64], peers: &[&str]) -> Replica {
    let (dir, engine) = stored(home).await;
    (applied..home.next()).for_each(|index| delete(&*engine, key(HEAD, index)));
    for index in damaged {
        flip(&*engine, key(RECORD, *index));
    }
    let (peers, sources) = at(peers);
    let admission = Admission {
        shard: SHARD,
        sources,
        hub: LogHub::open(engine).unwrap(),
        peers,
        options: CopyOptions::default(),
        findings: Findings::default(),
    };
    Replica {
        admission,
        _dir: dir,
    }
}

struct Replica {
    admission: Admission,
    _dir: TempDir,
}

impl std::ops::Deref for Replica {
    type Target = Admission;

    fn deref(&self) -> &Admission {
        &self.admission
    }
}

/// Whether the disk holds just these records in a range.
fn holds(replica: &Replica, records: &[CopyRecord], indexes: Range<u64>) -> bool {
    let rows = replica.hub.rows(SHARD, indexes.clone(), u64::MAX).unwrap();
    let expected = &records[indexes.start as usize..indexes.end as usize];
    let stored = rows.iter().map(|row| row.record.as_ref());
    stored.eq(expected.iter().map(|record| Some(&record.record)))
}

fn why(waits: Result<(), Waits>) -> String {
    waits.expect_err("it waits").to_string()
}

#[tokio::test]
async fn what_others_have_committed_is_put_back() {
    let home = ScriptedHome::eventful(SHARD);
    let last = home.next() - 1;
    let (address, _dir, serving) = peer_with(&home.records).await;
    for (applied, damaged) in [
        (last + 1, vec![40]),
        (40, vec![40]),
        (30, vec![40, 41, 55]),
        (30, vec![last]),
        (0, vec![0, 12, last]),
    ] {
        let replica = replica(&home, applied, &damaged, &[&address]).await;
        assert!(replica.look().is_err(), "{damaged:?}");
        replica.mend().await.unwrap();
        replica.look().unwrap();
        assert!(holds(&replica, &home.records, 0..last + 1), "{damaged:?}");
        let status = replica.findings.status();
        let number = damaged.len() as u64;
        assert_eq!((status.found, status.mended), (number, number));
        assert!(status.standing.is_empty());
        replica.hub.shard(SHARD).unwrap();
    }
    serving.abort();
}

#[tokio::test]
async fn what_nobody_has_committed_is_waited_for_and_never_cut_off() {
    let home = ScriptedHome::eventful(SHARD);
    let last = home.next() - 1;
    let behind = &home.records[..last as usize];
    let (address, _dir, serving) = peer_with(behind).await;
    let replica = replica(&home, 30, &[40, last], &[&address]).await;
    let waits = why(replica.mend().await);
    assert!(
        waits.contains("not committed as far as it knows"),
        "{waits}"
    );
    assert_eq!(replica.hub.last(SHARD).unwrap().unwrap().index, last);
    assert!(holds(&replica, &home.records, 41..last));
    assert!(replica.hub.shard(SHARD).is_err(), "it does not take part");
    assert!(
        replica
            .findings
            .status()
            .standing
            .contains_key(&(SHARD, 40))
    );
    serving.abort();
}

#[tokio::test]
async fn another_history_mends_nothing() {
    let home = ScriptedHome::eventful(SHARD);
    let last = home.next() - 1;
    let (address, _dir, serving) = peer_with(&another_history(&home, 50)).await;
    // The head that is stored here is not the one that comes with the record.
    let by_its_head = replica(&home, last + 1, &[50], &[&address]).await;
    // What is known to be committed here is not what the other has committed.
    let by_a_record = replica(&home, 45, &[52], &[&address]).await;
    let log = by_a_record.hub.shard_log(SHARD).unwrap();
    let id = crate::log::StoredRecord::parse(home.records[51].record.clone());
    log.set_committed(Some(id.unwrap().id));
    for replica in [by_its_head, by_a_record] {
        let waits = why(replica.mend().await);
        assert!(waits.contains("does not lead back"), "{waits}");
        assert!(holds(&replica, &home.records, 53..last + 1));
        assert!(replica.look().is_err());
    }
    serving.abort();
}

#[tokio::test]
async fn what_was_overruled_ends_where_the_committed_history_leaves_it() {
    let home = ScriptedHome::eventful(SHARD);
    let theirs = another_history(&home, 50);
    let (address, _dir, serving) = peer_with(&theirs).await;
    // Nothing from `applied` on was ever known to be committed here.
    for (applied, damaged) in [(45, &[47, 55][..]), (50, &[55])] {
        let replica = replica(&home, applied, damaged, &[&address]).await;
        replica.mend().await.unwrap();
        replica.look().unwrap();
        assert_eq!(replica.hub.last(SHARD).unwrap().unwrap().index, 49);
        assert!(holds(&replica, &theirs, 0..50));
        let rest = replica.hub.rows(SHARD, 50..home.next(), u64::MAX).unwrap();
        assert!(rest.iter().all(|row| row.record.is_none()));
    }
    serving.abort();
}
