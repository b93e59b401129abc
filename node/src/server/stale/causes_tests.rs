use std::collections::BTreeMap;

use ledger_domain::{HybridTime, Position};
use replication::view::Watermark;

use super::super::facts::{Here, StoppedChannel, There, UnderWay};
use super::*;
use crate::server::clocks::Doubt;

const A: ShardId = ShardId(1);
const B: ShardId = ShardId(2);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A shard of another region that is as it should be: all of 40 indexes are here.
fn well(shard: ShardId) -> About {
    About {
        home: "us-east".parse().unwrap(),
        here: Here {
            watermark: Some(Watermark {
                position: Position {
                    shard,
                    epoch: 1,
                    index: 40,
                },
                time: HybridTime::from_millis(9),
            }),
            age: Some(secs(1)),
            stopped: None,
            quiet: Duration::ZERO,
            held: 40,
            source: copy(Some(secs(1)), 40),
        },
        there: There {
            reachable: true,
            leader: Some("us-1".into()),
            applied: Some(40),
            voters: 3,
            answered: 3,
            ..There::default()
        },
    }
}

fn copy(heard: Option<Duration>, home_applied: u64) -> Source {
    Source::Copy {
        follows: Some("us-2".into()),
        heard,
        home_applied,
        halted: None,
    }
}

fn replica(in_quorum: bool, silent: Option<Duration>) -> Source {
    Source::Replica {
        in_quorum,
        silent,
        missing: None,
    }
}

fn facts(abouts: Vec<(ShardId, About)>) -> Facts {
    Facts {
        up: secs(1_000),
        shards: abouts.into_iter().collect(),
        ..Facts::default()
    }
}

/// The codes, and for how many seconds; negative where it may be longer.
fn told(facts: &Facts) -> Vec<(&'static str, i64)> {
    let causes = causes(facts).into_iter().map(|cause| {
        let for_ = i64::try_from(cause.for_.as_secs()).unwrap();
        let for_ = if cause.or_longer { -for_ } else { for_ };
        (cause.why.code().1, for_)
    });
    causes.collect()
}

#[test]
fn each_thing_in_the_way_is_named_with_its_beginning_as_a_table() {
    type Spoil = fn(&mut About);
    let table: &[(Spoil, &[(&str, i64)])] = &[
        (|_| {}, &[]),
        (|it| it.here.age = Some(secs(9)), &[("SHARD_IDLE", 9)]),
        // An idle shard would have closed its time.
        (|it| it.here.age = Some(secs(16)), &[("UNEXPLAINED", 16)]),
        // Who leads has not answered, and another hears of it.
        (
            |it| {
                it.here.age = Some(secs(9));
                (it.there.leader, it.there.applied) = (None, None);
                it.there.is_led = true;
            },
            &[("UNEXPLAINED", 9)],
        ),
        (
            |it| it.here.stopped = Some(("a bad record".into(), secs(7))),
            &[("VIEW_STOPPED", 7)],
        ),
        // Of a view that serves nothing, only what is known is said.
        (
            |it| {
                it.here.stopped = Some(("a bad record".into(), secs(7)));
                (it.here.watermark, it.here.age) = (None, None);
            },
            &[("VIEW_STOPPED", 7)],
        ),
        (
            |it| it.here.source = Source::Spoilt("no head".into()),
            &[("COPY_HALTED", 1_000)],
        ),
        (
            |it| it.here.source = Source::Mending("index 3 is gone".into()),
            &[("REPLICA_MENDING", -1_000)],
        ),
        (
            |it| {
                it.here.source = copy(Some(secs(41)), 40);
                it.here.age = Some(secs(42));
                it.there = There::default();
            },
            &[("REGION_UNREACHABLE", 41)],
        ),
        // It was never heard: that is known only since this node is up.
        (
            |it| {
                it.here.source = copy(None, 0);
                it.there = There::default();
            },
            &[("REGION_UNREACHABLE", -1_000)],
        ),
        (
            |it| it.here.source = copy(Some(secs(4)), 40),
            &[("COPY_SILENT", 4)],
        ),
        // A beat that is late is no silence.
        (|it| it.here.source = copy(Some(secs(3)), 40), &[]),
        (
            |it| {
                it.there.leader = None;
                it.there.applied = None;
                it.there.silent = Some(secs(12));
                (it.there.answered, it.there.unanswered) = (1, vec!["us-2".into(), "us-3".into()]);
                it.here.age = Some(secs(13));
            },
            &[("NO_LEADER", 12)],
        ),
        (
            |it| {
                it.there.leader = None;
                it.here.quiet = secs(14);
            },
            &[("NO_LEADER", 0)],
        ),
        (
            |it| it.here.source = replica(false, Some(secs(5))),
            &[("REPLICA_SILENT", 5)],
        ),
        (|it| it.here.source = replica(true, None), &[]),
        (
            |it| {
                it.here.source = copy(Some(secs(1)), 90);
                it.here.age = Some(secs(20));
            },
            &[("LOG_BEHIND", 20)],
        ),
        // What is on its way is not late yet.
        (|it| it.here.source = copy(Some(secs(1)), 90), &[]),
        (
            |it| {
                it.here.held = 80;
                it.here.age = Some(secs(30));
            },
            &[("VIEW_BEHIND", 30)],
        ),
        (
            |it| {
                it.here.age = Some(secs(30));
                (it.there.leader, it.there.applied) = (None, None);
                (it.there.reachable, it.there.answered) = (false, 0);
            },
            &[("UNEXPLAINED", 30)],
        ),
        (
            |it| {
                it.there.failed = vec![("us-3".into(), "a bad entry".into())];
                it.here.quiet = secs(2);
            },
            &[("BOOK_STOPPED", 0)],
        ),
    ];
    for (number, (spoil, expected)) in table.iter().enumerate() {
        let mut about = well(A);
        spoil(&mut about);
        assert_eq!(told(&facts(vec![(A, about)])), *expected, "line {number}");
    }
}

#[test]
fn the_worst_comes_first_and_then_the_oldest() {
    let (mut stale, mut staler) = (well(A), well(B));
    stale.here.age = Some(secs(8));
    staler.here.age = Some(secs(9));
    let mut facts = facts(vec![(A, stale), (B, staler)]);
    facts.clock = Some(Doubt::Jumped);
    let expected = [("CLOCK_IN_DOUBT", 0), ("SHARD_IDLE", 9), ("SHARD_IDLE", 8)];
    assert_eq!(told(&facts), expected);
}

#[test]
fn a_transfer_that_waits_names_what_is_in_its_way() {
    let under_way = UnderWay {
        from: A,
        to: B,
        items: 3,
        oldest: 7,
        age: secs(60),
        taken: false,
    };
    let silent = About {
        here: Here {
            source: copy(Some(secs(61)), 40),
            ..well(B).here
        },
        there: There::default(),
        ..well(B)
    };
    let waits = |shards: Vec<(ShardId, About)>, stopped: bool, age| {
        let mut facts = facts(shards);
        facts.under_way = vec![UnderWay {
            age,
            ..under_way.clone()
        }];
        if stopped {
            facts.stopped = vec![StoppedChannel {
                from: A,
                to: B,
                node: "us-1".into(),
                cause: "another hash".into(),
            }];
        }
        let found = causes(&facts).into_iter();
        let mut found = found.filter_map(|cause| match cause.why {
            Why::TransferWaits { because, items, .. } => Some((because, items, cause.for_)),
            _ => None,
        });
        found.next()
    };
    let both = || vec![(A, well(A)), (B, well(B))];
    assert_eq!(waits(both(), false, secs(5)), None);
    assert_eq!(waits(both(), false, secs(60)), Some((None, 3, secs(60))));
    let cut_off = vec![(A, well(A)), (B, silent)];
    let expected = (Some("REGION_UNREACHABLE"), 3, secs(60));
    assert_eq!(waits(cut_off, false, secs(60)), Some(expected));
    let expected = (Some("CHANNEL_STOPPED"), 3, secs(60));
    assert_eq!(waits(both(), true, secs(60)), Some(expected));
}

#[test]
fn every_sentence_is_one_and_names_its_shard() {
    let all: BTreeMap<_, _> = [
        Why::NoLeader {
            shard: A,
            home: "eu".parse().unwrap(),
            voters: 3,
            answered: 1,
            unanswered: vec!["eu-2".into(), "eu-3".into()],
        },
        Why::TransferWaits {
            from: A,
            to: B,
            items: 1,
            oldest: 4,
            taken: true,
            because: Some("NO_LEADER"),
        },
        Why::ViewBehind {
            shard: A,
            folded: 30,
            held: 40,
        },
    ]
    .into_iter()
    .map(|why| (why.code().1, why.to_string()))
    .collect();
    let expected = [
        (
            "NO_LEADER",
            "Shard 1 (eu) has no leader: of its 3 voters 1 answered, and none of them leads with a majority; not heard from: eu-2, eu-3.",
        ),
        (
            "TRANSFER_WAITS",
            "1 of the transfers from shard 1 to shard 2 are under way; the oldest, number 4, is recorded by shard 2, and shard 1 has not ended it as far as is known here (see NO_LEADER).",
        ),
        (
            "VIEW_BEHIND",
            "The view of shard 1 is folded up to index 30 of 40 that are here (75 %).",
        ),
    ];
    let all: Vec<_> = all
        .iter()
        .map(|(code, what)| (*code, what.as_str()))
        .collect();
    assert_eq!(all, expected);
}
