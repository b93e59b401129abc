//! What goes bad in the archive is sealed again.

use super::*;
use crate::archive::in_memory::InMemory;
use crate::archive::mover::{Moved, Mover, MoverRules};
use crate::archive::segment::Size;
use crate::log::StoredRecord;
use crate::world::SystemClock;

const RECORDS: u64 = 4;

/// A node whose log is in the archive but for its end, and which scrubs.
async fn node(home: &ScriptedHome, archive: &InMemory, peers: &[&str]) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let disk = RocksDisk::new(dir.path().to_owned());
    let engine = disk.open(Store::Log).unwrap();
    let hub = LogHub::open_with(engine.clone(), Some(Arc::new(archive.clone()))).unwrap();
    home.store(&hub, 0..home.next()).await;
    let (_, served) = watch::channel(home.next() - 1);
    let mover = Mover {
        shards: vec![Moved {
            shard: SHARD,
            served: served.clone(),
            at_home: false,
        }],
        hub: hub.clone(),
        clock: Arc::new(SystemClock),
        rules: MoverRules {
            keep: Duration::ZERO,
            size: Size {
                records: RECORDS,
                ..Size::default()
            },
            interval: Duration::from_millis(2),
            turn: Duration::ZERO,
        },
    };
    let moving = tokio::spawn(mover.run());
    let whole = (home.next() - 1) / RECORDS;
    let moved = async {
        while (hub.archived(SHARD).unwrap().len() as u64) < whole {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, moved).await.expect("it is moved");
    moving.abort();
    let (peers, sources) = at(peers);
    let scrub = Scrub {
        shards: vec![Scrubbed {
            shard: SHARD,
            served,
            sources,
        }],
        hub: hub.clone(),
        peers,
        options: ScrubOptions {
            bytes_per_second: 1 << 30,
            interval: Duration::from_millis(10),
            archive_interval: Duration::ZERO,
            begin: 7,
            pull: CopyOptions::default(),
        },
        findings: Findings::default(),
    };
    let findings = scrub.findings.clone();
    let scrubbing = tokio::spawn(scrub.run());
    Node {
        hub,
        engine,
        findings,
        scrubbing,
        _dir: dir,
    }
}

/// Spoils an object of the archive, and deletes another.
fn spoil(archive: &InMemory) {
    archive.with(|kept| {
        let names: Vec<_> = kept.objects.keys().cloned().collect();
        kept.objects.remove(&names[1]);
        let object = kept.objects.get_mut(&names[3]).unwrap();
        let mut bytes = object.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        *object = bytes.into();
    });
}

#[tokio::test]
async fn an_archived_segment_that_went_bad_is_sealed_again_from_a_peer() {
    let home = ScriptedHome::eventful(SHARD);
    let (peer, _dir, serving) = peer_with(&home.records).await;
    let archive = InMemory::default();
    let node = node(&home, &archive, &[&peer]).await;
    node.passes(2).await;
    assert_eq!(node.findings.status().found, 0, "moving is no damage");
    let before = archive.with(|kept| kept.objects.clone());
    spoil(&archive);
    node.passes(3).await;
    let status = node.findings.status();
    assert_eq!((status.found, status.mended), (2, 2), "{status:?}");
    assert!(
        status
            .lately_mended
            .iter()
            .all(|(it, _)| it.part == Part::Archive)
    );
    assert_eq!(archive.with(|kept| kept.objects.clone()), before);
    for expected in &home.records {
        let expected = StoredRecord::parse(expected.record.clone()).unwrap();
        let index = expected.id.index;
        let read = node.hub.read_through(SHARD, index..index + 1, 1).await;
        assert_eq!(read.unwrap(), [expected]);
    }
    serving.abort();
}

#[tokio::test]
async fn a_peer_with_another_history_seals_nothing() {
    let home = ScriptedHome::eventful(SHARD);
    let mut records = home.records.clone();
    let place = 5;
    records[place] = tampered(&records[place]);
    let (peer, _dir, serving) = peer_with(&records).await;
    let archive = InMemory::default();
    let node = node(&home, &archive, &[&peer]).await;
    spoil(&archive);
    let after = archive.with(|kept| kept.objects.clone());
    node.passes(3).await;
    let status = node.findings.status();
    let standing: Vec<_> = status.standing.keys().map(|(_, index)| *index).collect();
    // What the peer tells of the other segment leads on from what is kept here.
    assert_eq!((status.mended, standing), (1, vec![RECORDS]));
    assert_eq!(archive.with(|kept| kept.objects.len()), after.len());
    serving.abort();
}
