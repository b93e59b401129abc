use bytes::Bytes;
use ledger_domain::{HybridTime, ShardId, frame};
use tokio::sync::watch;

use super::{Decided, Error, Lane, Merge, Order};
use crate::log::LogHub;
use crate::rocks::RocksDisk;
use crate::scripted_home::{EPOCH, ScriptedHome, hub, open, with_payload};
use crate::view::Views;
use crate::world::{Disk, Durability, Op, Store};

const SHARD: ShardId = ShardId(4);

/// What a reader is to find from an index on.
fn decided(home: &ScriptedHome, from: u64) -> Vec<Decided> {
    let entries = home.entries();
    let decided = entries.filter(|(index, entry)| *index >= from && !entry.outcomes.is_empty());
    decided
        .map(|(index, entry)| Decided { index, entry })
        .collect()
}

async fn read_all(lane: &mut Lane, through: u64) -> Result<Vec<Decided>, (Vec<Decided>, Error)> {
    let mut all = Vec::new();
    loop {
        match lane.read(through).await {
            Ok(Some(some)) => all.extend(some),
            Ok(None) => return Ok(all),
            Err(error) => return Err((all, error)),
        }
    }
}

async fn viewed(hub: &LogHub, last: u64) -> (tempfile::TempDir, Views) {
    let dir = tempfile::tempdir().unwrap();
    let disk = RocksDisk::new(dir.path().to_owned());
    let views = Views::open(disk.open(Store::Views).unwrap()).unwrap();
    let (_, served) = watch::channel(last);
    let folding = views.clone().follow(SHARD, EPOCH, hub.clone(), served);
    folding.await.unwrap();
    (dir, views)
}

#[tokio::test]
async fn a_lane_begun_anywhere_reads_what_counts_from_there() {
    let home = ScriptedHome::eventful(SHARD.0);
    let last = home.next() - 1;
    let (_dir, hub) = hub();
    home.store(&hub, 0..last + 1).await;
    let (_views_dir, views) = viewed(&hub, last).await;
    let all = decided(&home, 0);
    assert!(all.len() > 100, "{}", all.len());
    let mut lane = Lane::from_beginning(hub.clone(), SHARD, EPOCH);
    assert_eq!(read_all(&mut lane, last).await.unwrap(), all);
    assert_eq!(lane.next(), last + 1);
    assert!(lane.read(last).await.unwrap().is_none());
    for from in 0..=last + 1 {
        let lane = Lane::from_index(hub.clone(), &views, SHARD, EPOCH, from);
        let found = read_all(&mut lane.await.unwrap(), last).await.unwrap();
        assert_eq!(found, decided(&home, from), "from {from}");
    }
    for Decided { index, entry } in &all {
        let HybridTime { wall_nanos, .. } = entry.time;
        let before = HybridTime {
            wall_nanos: wall_nanos - 1,
            count: 0,
        };
        for (time, from) in [(before, *index), (entry.time, index + 1)] {
            let lane = Lane::after(hub.clone(), &views, SHARD, EPOCH, time, last);
            let found = read_all(&mut lane.await.unwrap(), last).await.unwrap();
            assert_eq!(found, decided(&home, from), "after {time}");
        }
    }
}

#[tokio::test]
async fn every_entry_and_every_place_is_of_the_reign_that_wrote_it() {
    let mut home = ScriptedHome::new(SHARD.0);
    home.write(vec![open(1, 0)]);
    home.refound();
    home.blank();
    home.write(vec![open(2, 0)]);
    let last = home.next() - 1;
    let epochs = [1, 1, 1, 2, 2, 2];
    assert_eq!(home.next(), epochs.len() as u64);
    let (_dir, hub) = hub();
    home.store(&hub, 0..last + 1).await;
    let (_views_dir, views) = viewed(&hub, last).await;

    let mut lane = Lane::from_beginning(hub.clone(), SHARD, EPOCH);
    let decided = lane.read(last).await.unwrap().unwrap();
    let found: Vec<_> = decided
        .iter()
        .map(|it| (it.index, it.entry.epoch))
        .collect();
    assert_eq!(found, [(2, 1), (5, 2)], "of one chunk");

    for (through, epoch) in (0..).zip(epochs) {
        let mut lane = Lane::from_beginning(hub.clone(), SHARD, EPOCH);
        read_all(&mut lane, through).await.unwrap();
        assert_eq!(lane.epoch(), epoch, "read through {through}");
        let lane = Lane::from_index(hub.clone(), &views, SHARD, EPOCH, through + 1);
        assert_eq!(lane.await.unwrap().epoch(), epoch, "begun after {through}");
    }
}

#[tokio::test]
async fn no_further_is_read_than_may_be() {
    let home = ScriptedHome::eventful(SHARD.0);
    let (_dir, hub) = hub();
    home.store(&hub, 0..home.next()).await;
    for through in [0, 1, 7, 30] {
        let mut lane = Lane::from_beginning(hub.clone(), SHARD, EPOCH);
        let found = read_all(&mut lane, through).await.unwrap();
        assert!(found.iter().all(|it| it.index <= through));
        assert_eq!(lane.next(), through + 1);
    }
}

#[tokio::test]
async fn a_damaged_entry_is_named_after_all_before_it() {
    const BAD: u64 = 40;
    let home = ScriptedHome::eventful(SHARD.0);
    let dir = tempfile::tempdir().unwrap();
    let disk = RocksDisk::new(dir.path().to_owned());
    let hub = LogHub::open(disk.open(Store::Log).unwrap()).unwrap();
    home.store(&hub, 0..home.next()).await;
    drop(hub);
    let engine = disk.open(Store::Log).unwrap();
    let key = [&[0x10, 0, 0, 0, 4][..], &BAD.to_be_bytes()].concat();
    let mut stored = engine.get(&key).unwrap().unwrap().to_vec();
    *stored.last_mut().unwrap() ^= 1;
    let put = vec![Op::Put(key, stored.into())];
    engine.write(put, Durability::Synced).unwrap();
    let hub = LogHub::open(engine).unwrap();
    let mut lane = Lane::from_beginning(hub, SHARD, EPOCH);
    let (found, error) = read_all(&mut lane, home.next() - 1).await.unwrap_err();
    let before: Vec<_> = decided(&home, 0)
        .into_iter()
        .filter(|it| it.index < BAD)
        .collect();
    assert_eq!(found, before);
    assert!(
        matches!(error, Error::Damaged { shard, index, .. } if (shard, index) == (SHARD, BAD)),
        "{error}"
    );
    assert_eq!(lane.next(), BAD);
}

#[tokio::test]
async fn an_entry_of_a_newer_program_is_no_damage() {
    let mut home = ScriptedHome::new(SHARD.0);
    home.write(vec![open(1, 0)]);
    home.write(vec![open(2, 0)]);
    let newer: Bytes = frame::seal_as(200, 3, |out| out.extend_from_slice(b"abc"));
    home.records[3] = with_payload(&home.records[3], newer);
    let (_dir, hub) = hub();
    home.store(&hub, 0..4).await;
    let mut lane = Lane::from_beginning(hub, SHARD, EPOCH);
    let (found, error) = read_all(&mut lane, 3).await.unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(matches!(error, Error::Newer { index: 3, .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("index 3 of shard 4 is from a newer program"),
        "{text}"
    );
}

fn at(millis: u64) -> HybridTime {
    HybridTime::from_millis(millis)
}

/// What comes out of a merge whose shards are read in a random order, whenever something is due.
fn merged(order: Order, seed: u64) -> Vec<(u64, u32)> {
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let shards = [1, 2, 3].map(ShardId);
    let mut merge = Merge::new(order, shards.map(|shard| (shard, HybridTime::ZERO)));
    let mut times = [0; 3];
    let (mut given, mut out) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let n = usize::try_from(random(3)).unwrap();
        let shard = shards[n];
        times[n] += 1 + random(4);
        if random(2) == 0 {
            merge.push(shard, at(times[n]), (times[n], shard.0));
            given.push((times[n], shard.0));
        }
        merge.complete(shard, at(times[n]));
        while let Some((from, item)) = merge.pop() {
            assert_eq!(from.0, item.1);
            let complete = *times.iter().min().unwrap();
            assert!(order == Order::Shard || item.0 <= complete, "told too soon");
            out.push(item);
        }
        // Who has nothing that waits, or is behind, can be read on: it never stands still.
        for shard in merge.behind() {
            assert!(merge.first(shard).is_none());
        }
    }
    for shard in shards {
        merge.complete(shard, at(u64::MAX / 1_000_000));
    }
    out.extend(std::iter::from_fn(|| merge.pop()).map(|(_, item)| item));
    let sorted = |mut all: Vec<_>| {
        all.sort_unstable();
        all
    };
    assert_eq!(sorted(out.clone()), sorted(given));
    out
}

#[test]
fn a_cut_is_told_by_time_and_nothing_before_its_time() {
    for seed in 0..200 {
        let told = merged(Order::Cut, seed);
        assert!(told.is_sorted(), "{told:?}");
    }
}

#[test]
fn shards_are_told_as_they_come_and_each_in_order() {
    let mut parted = 0;
    for seed in 0..50 {
        let told = merged(Order::Shard, seed);
        for shard in 1..=3 {
            let own = told.iter().filter(|(_, of)| *of == shard);
            assert!(own.is_sorted());
        }
        parted += u32::from(!told.is_sorted());
    }
    assert!(parted > 0, "it is another order than the cut's");
}

#[test]
fn what_waits_names_those_that_are_behind() {
    let [a, b] = [ShardId(1), ShardId(2)];
    let mut merge = Merge::new(Order::Cut, [(a, at(0)), (b, at(0))]);
    assert!(merge.behind().is_empty());
    merge.push(a, at(5), "a");
    merge.complete(a, at(9));
    assert_eq!((merge.behind(), merge.pop()), (vec![b], None));
    merge.complete(b, at(5));
    assert_eq!((merge.behind(), merge.pop()), (vec![], Some((a, "a"))));
}
