use super::*;

fn put(key: &str, value: &str) -> Op {
    Op::Put(key.into(), Bytes::copy_from_slice(value.as_bytes()))
}

fn keys(engine: &SimEngine, range: Range<&str>) -> Vec<String> {
    let mut keys = Vec::new();
    let range = range.start.as_bytes()..range.end.as_bytes();
    engine
        .scan(range, &mut |key, _| {
            keys.push(String::from_utf8(key.to_vec()).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    keys
}

#[test]
fn power_loss_keeps_what_was_synced_and_a_prefix_of_the_rest() {
    let mut survivors = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let engine = SimEngine::new(Seed(seed), Arc::default());
        engine
            .write(vec![put("a", "1")], Durability::Synced)
            .unwrap();
        for key in ["b", "c", "d"] {
            engine
                .write(vec![put(key, "2")], Durability::Later)
                .unwrap();
        }
        assert_eq!(engine.unsynced(), 3);
        let lost = engine.power_loss(&mut Seed(seed).rng());
        let kept = keys(&engine, "a".."z");
        assert_eq!(kept, ["a", "b", "c", "d"][..4 - lost]);
        survivors.insert(kept.len());
    }
    assert_eq!(
        survivors,
        [1, 2, 3, 4].into(),
        "some seed should show each case"
    );
}

#[test]
fn a_sync_makes_every_earlier_write_durable() {
    let engine = SimEngine::new(Seed(1), Arc::default());
    engine
        .write(vec![put("a", "1")], Durability::Later)
        .unwrap();
    engine
        .write(vec![put("b", "1")], Durability::Synced)
        .unwrap();
    assert_eq!(engine.power_loss(&mut Seed(1).rng()), 0);
    assert_eq!(keys(&engine, "a".."z"), ["a", "b"]);
}

#[test]
fn a_failed_write_is_unseen_and_may_or_may_not_be_stored() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let engine = SimEngine::new(Seed(seed), Arc::default());
        engine.fail_writes(1);
        engine
            .write(vec![put("a", "1")], Durability::Synced)
            .unwrap_err();
        assert_eq!(engine.get(b"a").unwrap(), None);
        engine.reopen();
        outcomes.insert(engine.get(b"a").unwrap().is_some());
        engine
            .write(vec![put("b", "1")], Durability::Synced)
            .unwrap();
    }
    assert_eq!(outcomes, [false, true].into());
}

#[test]
fn the_write_at_which_the_power_fails_is_lost_and_none_is_heard_of_after_it() {
    let power = Arc::new(Power::default());
    let engine = SimEngine::new(Seed(1), power.clone());
    power.fail_at_write(2);
    for key in ["a", "b", "c"] {
        let batch = vec![put(key, "1")];
        engine.write(batch, Durability::Synced).unwrap();
    }
    assert!(power.has_failed());
    assert_eq!(engine.power_loss(&mut Seed(1).rng()), 0);
    assert_eq!(keys(&engine, "a".."z"), ["a"]);
}

#[test]
fn a_full_store_stays_full_over_a_power_cut() {
    let engine = SimEngine::new(Seed(1), Arc::default());
    engine.set_full(true);
    engine.power_loss(&mut Seed(1).rng());
    let write = || engine.write(vec![put("a", "1")], Durability::Synced);
    assert_eq!(write().unwrap_err().kind(), io::ErrorKind::StorageFull);
    engine.set_full(false);
    write().unwrap();
}

#[test]
fn a_flipped_bit_is_damage_until_the_value_is_written_again() {
    let engine = SimEngine::new(Seed(1), Arc::default());
    let batch = || vec![put("a", "1"), put("b", "2")];
    engine.write(batch(), Durability::Synced).unwrap();
    assert!(engine.flip_a_bit(b"a".as_slice()..b"z".as_slice(), &mut Seed(1).rng()));
    assert!(engine.is_damaged());
    let stored = || [b"a", b"b"].map(|key| engine.get(key).unwrap().unwrap());
    assert_ne!(stored(), ["1", "2"]);
    engine.write(batch(), Durability::Synced).unwrap();
    assert!(!engine.is_damaged());
}

#[test]
fn a_lying_store_loses_what_it_called_synced() {
    let lost = (0..20).map(|seed| {
        let engine = SimEngine::new(Seed(seed), Arc::default());
        engine.set_lying(true);
        engine
            .write(vec![put("a", "1")], Durability::Synced)
            .unwrap();
        engine.power_loss(&mut Seed(seed).rng())
    });
    assert!(lost.sum::<usize>() > 0);
}

#[test]
fn ranges_are_half_open_and_can_be_read_from_either_end() {
    let engine = SimEngine::new(Seed(1), Arc::default());
    let batch = ["a", "b", "c", "d"].map(|key| put(key, key)).to_vec();
    engine.write(batch, Durability::Synced).unwrap();
    assert_eq!(keys(&engine, "b".."d"), ["b", "c"]);
    assert_eq!(keys(&engine, "d".."b"), Vec::<String>::new());

    let mut last = None;
    engine
        .scan_back(b"a".as_slice()..b"d".as_slice(), &mut |key, _| {
            last = Some(key.to_vec());
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(last, Some(b"c".to_vec()));

    let range = Op::DeleteRange(b"b".to_vec()..b"d".to_vec());
    engine
        .write(vec![range, put("c", "again")], Durability::Synced)
        .unwrap();
    assert_eq!(keys(&engine, "a".."z"), ["a", "c", "d"]);
}
