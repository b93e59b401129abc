use ledger_domain::HybridTime;

use super::super::overview::tests::{told, topology};
use super::*;

fn hlc(millis: u64) -> String {
    receipt::time(HybridTime::from_millis(millis)).hlc
}

#[test]
fn a_region_is_as_far_as_its_best_node_and_never_as_a_mix_of_two() {
    let topology = topology();
    let (at_2, at_5, at_9) = (hlc(2_000), hlc(5_000), hlc(9_000));
    let all = All::from([
        // Each is ahead of the other with one shard.
        (2, told(None, &[(1, &at_9, 100), (2, &at_2, 7_100)])),
        (3, told(None, &[(1, &at_5, 4_100), (2, &at_5, 4_200)])),
        // This one does not tell of shard 2 at all.
        (4, told(None, &[(1, &at_9, 100)])),
    ]);
    let found = cuts(&topology, &all);
    let [eu, us] = &found[..] else {
        panic!("two regions: {found:?}");
    };
    assert_eq!((eu.region.as_str(), eu.node.as_str()), ("eu", "eu-1"));
    assert_eq!(eu.through.as_ref().map(|time| &time.hlc), Some(&at_5));
    assert_eq!(eu.staleness_bound_ms, Some(4_200));
    assert_eq!(eu.held_back_by, [1, 2]);
    assert!(eu.reachable);
    let unheard = pb::Cut {
        region: "us".into(),
        ..pb::Cut::default()
    };
    assert_eq!(*us, unheard);
}

#[test]
fn a_cut_without_a_time_or_an_age_says_so() {
    let topology = topology();
    let at_9 = hlc(9_000);
    let all = All::from([
        (
            1,
            told(None, &[(1, &at_9, UNKNOWN_AGE_MS), (2, &at_9, 600)]),
        ),
        (4, told(None, &[(1, &at_9, 100)])),
    ]);
    let found = cuts(&topology, &all);
    let eu = pb::Cut {
        region: "eu".into(),
        node: "eu-3".into(),
        held_back_by: vec![2],
        reachable: true,
        ..pb::Cut::default()
    };
    assert_eq!(found[0], eu);
    assert_eq!(found[1].through.as_ref().map(|time| &time.hlc), Some(&at_9));
    assert_eq!(found[1].staleness_bound_ms, None);
}
