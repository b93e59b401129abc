//! Reversals of journals in a directory that somebody has been at.

use std::{path::Path, sync::OnceLock, time::Duration};

use ledger_domain::{Amount, Event, JournalEvent, Outcome, TransactionReversed, command::Kind};
use node::{
    api::{
        teller::v1::ReverseRequest,
        v1::{CommandContext, Receipt, TransactionStatus},
    },
    verify::{Options, verify},
};

use super::journals::{
    Tamper, all_decided, alter, cancelled, find, missed, of_home, opened, posted, submit,
};
use crate::{
    cluster::{Cluster, Node, THREE_REGIONS},
    stopped::{self, HOME, Store},
};

/// Between three shards, and posted.
const ORIGINAL: u64 = 1;
/// Refused by the other shard.
const CANCELLED: u64 = 2;
/// Moves the first back.
const REVERSAL: u64 = 3;
/// Moves another back, and is refused.
const REFUSED: u64 = 5;

/// A directory in which journals were reversed. Never changed.
fn pristine() -> &'static Path {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(live())
    };
    DIRECTORY.get_or_init(made).path()
}

async fn live() -> tempfile::TempDir {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    {
        let node = cluster.at("eu-west");
        let mut accounts = Vec::new();
        for region in THREE_REGIONS {
            let account = node.open(region.name, "a").await;
            node.deposit("in", &account, 1_000).await.unwrap();
            accounts.push(account);
        }
        let [near, home, other] = &accounts[..] else {
            panic!("three regions");
        };
        let beside = &node.open("eu-west", "beside").await;
        let first = [
            (home.as_str(), -90),
            (other.as_str(), 60),
            (near.as_str(), 30),
        ];
        let first = submit(node, "j1", &first).await;
        let none = submit(node, "j2", &[(home, 9_999), (other, -9_999)]).await;
        assert_eq!(none.status(), TransactionStatus::Returned);
        let within = submit(node, "j3", &[(home, -50), (beside, 50)]).await;
        for (key, original) in [("r1", &first), ("r2", &within)] {
            let status = reverse(node, key, home, original).await;
            assert_eq!(status, TransactionStatus::Settled, "{key}");
        }
        let spent = submit(node, "j4", &[(home, -40), (other, 40)]).await;
        let there = cluster.at("us-east");
        there.settles_at(other, 1_040).await;
        there.withdraw("out", other, 1_020).await.unwrap();
        let status = reverse(node, "r3", home, &spent).await;
        assert_eq!(status, TransactionStatus::Returned);
        while !all_decided(node).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What is recorded of these comes after the journals in both logs.
        node.transfer("there", home, other, 1).await.unwrap();
        node.transfer("back", other, home, 1).await.unwrap();
    }
    stopped::keep(cluster, "eu-west").await
}

async fn reverse(node: &Node, key: &str, account: &str, original: &Receipt) -> TransactionStatus {
    let request = ReverseRequest {
        context: Some(CommandContext {
            idempotency_key: key.to_owned(),
            ..CommandContext::default()
        }),
        account_id: account.to_owned(),
        transaction_id: original.transaction_id.clone(),
        ..ReverseRequest::default()
    };
    let reply = node.teller().reverse(request).await.unwrap();
    reply.into_inner().receipt.unwrap().status()
}

/// Changes a journal where it is opened; answers the index.
fn opening(store: &Store, number: u64, change: &dyn Fn(&mut JournalEvent)) -> u64 {
    alter(store, HOME, &|event| {
        let is_it = opened(number)(event);
        if is_it {
            change(event);
        }
        is_it
    })
}

/// Changes what a reversal between shards says that it moves back.
fn says(store: &Store, number: u64, change: &dyn Fn(&mut TransactionReversed)) -> u64 {
    opening(store, number, &|event| match event {
        JournalEvent::Opened {
            reverses: Some(reversed),
            ..
        } => change(reversed),
        _ => unreachable!("it is a reversal"),
    })
}

/// The entry of the reversal within the shard, and what is changed in that outcome.
fn within(store: &Store, change: &dyn Fn(&mut Outcome)) -> u64 {
    let index = store.find(HOME, &|event| matches!(event, Event::Reversed(_)));
    store.rewrite(HOME, index, |entry| {
        let mut all = entry.outcomes.iter_mut();
        let is_reversal = |it: &&mut Outcome| {
            it.command
                .as_ref()
                .is_some_and(|it| it.kind == Kind::Reverse)
        };
        change(all.find(is_reversal).expect("it was found"));
    });
    index
}

/// The first journal that is booked at once, and what is changed in its outcome.
fn booked(store: &Store, change: &dyn Fn(&mut Outcome)) -> u64 {
    let is_booked = |event: &Event| matches!(event, Event::Journal(JournalEvent::Booked { .. }));
    let index = store.find(HOME, &is_booked);
    store.rewrite(HOME, index, |entry| {
        let mut all = entry.outcomes.iter_mut();
        let outcome = all.find(|it| it.result.iter().flatten().any(is_booked));
        change(outcome.expect("it was found"));
    });
    index
}

fn force(outcome: &mut Outcome) {
    for event in outcome.result.iter_mut().flatten() {
        if let Event::Journal(JournalEvent::Booked { forced, .. }) = event {
            *forced = true;
        }
    }
}

#[test]
fn an_untouched_directory_of_reversed_journals_holds() {
    let report = verify(pristine(), Options::default(), &|_| {}).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn what_is_no_reversal_of_its_journal_is_found_by_name() {
    const OPPOSITE: &str = "a journal of which it is not the opposite";
    let cases: &[(&str, Tamper)] = &[
        ("the same sides", |store| {
            let index = opening(store, REVERSAL, &|event| {
                if let JournalEvent::Opened { lines, asks, .. } = event {
                    let asked = asks.iter_mut().flat_map(|ask| &mut ask.legs);
                    let own = lines.iter_mut().map(|line| &mut line.leg);
                    own.chain(asked).for_each(|leg| leg.side = leg.side.other());
                }
            });
            (HOME, Some(index), OPPOSITE)
        }),
        ("another amount in another shard", |store| {
            let index = opening(store, REVERSAL, &|event| {
                if let JournalEvent::Opened { asks, .. } = event {
                    asks[0].legs[0].amount = Amount::new(29).unwrap();
                    asks[1].legs[0].amount = Amount::new(61).unwrap();
                }
            });
            (HOME, Some(index), OPPOSITE)
        }),
        ("legs of each other's shards", |store| {
            let index = opening(store, REVERSAL, &|event| {
                if let JournalEvent::Opened { asks, .. } = event {
                    let [one, two] = &mut asks[..] else {
                        panic!("two are asked");
                    };
                    std::mem::swap(&mut one.legs, &mut two.legs);
                }
            });
            (HOME, Some(index), OPPOSITE)
        }),
        ("another rate", |store| {
            let index = opening(store, REVERSAL, &|event| {
                if let JournalEvent::Opened { rate, .. } = event {
                    *rate = "1.5".parse().ok();
                }
            });
            (HOME, Some(index), OPPOSITE)
        }),
        ("another amount, of one that was refused", |store| {
            let index = opening(store, REFUSED, &|event| {
                if let JournalEvent::Opened { asks, .. } = event {
                    asks[0].legs[0].amount = Amount::new(39).unwrap();
                }
            });
            (HOME, Some(index), OPPOSITE)
        }),
        ("more than its first leg", |store| {
            let index = says(store, REVERSAL, &|reversed| {
                reversed.amount = Amount::new(91).unwrap();
                reversed.total = reversed.amount;
            });
            (HOME, Some(index), "90 are moved back; it says 91")
        }),
        ("one that was cancelled", |store| {
            let index = names(store, REVERSAL, CANCELLED);
            (HOME, Some(index), "or was cancelled")
        }),
        ("one that is not decided", |store| {
            let index = find(store, HOME, &posted(of_home(ORIGINAL)));
            store.rewrite(HOME, index, |entry| {
                entry.outcomes.retain(|outcome| {
                    let mut events = outcome.result.iter().flatten();
                    !events.any(|event| {
                        matches!(event, Event::Journal(it) if posted(of_home(ORIGINAL))(it))
                    })
                });
            });
            let index = find(store, HOME, &opened(REVERSAL));
            (
                HOME,
                Some(index),
                "it reverses a journal that is not decided",
            )
        }),
        ("one that is reversed already", |store| {
            let index = names(store, REFUSED, ORIGINAL);
            (HOME, Some(index), "90 were reversed before, and 40 now")
        }),
        ("a part that was not to be", |store| {
            let index = alter(store, HOME, &|event| match event {
                JournalEvent::Cancelled {
                    reverses: Some(part),
                    ..
                } => {
                    part.amount = Amount::new(39).unwrap();
                    true
                }
                _ => false,
            });
            assert_eq!(index, find(store, HOME, &cancelled(of_home(REFUSED))));
            (HOME, Some(index), "another part is not moved back")
        }),
        ("no transaction, within a shard", |store| {
            let index = within(store, &|outcome| {
                let events = outcome.result.as_mut().unwrap();
                events.retain(|event| !matches!(event, Event::Reversed(_)));
            });
            (HOME, Some(index), "a reversal names no transaction")
        }),
        ("another amount, within a shard", |store| {
            let index = within(store, &|outcome| {
                for event in outcome.result.iter_mut().flatten() {
                    if let Event::Journal(JournalEvent::Booked { lines, .. }) = event {
                        lines[1].leg.amount = Amount::new(49).unwrap();
                    }
                }
            });
            (HOME, Some(index), OPPOSITE)
        }),
        ("by force, without a privilege", |store| {
            let index = within(store, &force);
            (HOME, Some(index), "forced without a privilege")
        }),
        ("by force, and no reversal", |store| {
            let index = booked(store, &|outcome| {
                force(outcome);
                outcome.command.as_mut().unwrap().info.privileged = true;
            });
            (HOME, Some(index), "forced that moves nothing back")
        }),
    ];
    let missed = cases.iter();
    let missed: Vec<_> = missed
        .filter_map(|case| self::missed(pristine(), case))
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

/// Lets a reversal name another journal.
fn names(store: &Store, reversal: u64, original: u64) -> u64 {
    let (index, ordinal) = place(store, original);
    says(store, reversal, &|reversed| {
        reversed.original.position.index = index;
        reversed.original.ordinal = ordinal;
    })
}

/// The index and the ordinal of a journal's opening.
fn place(store: &Store, number: u64) -> (u64, u32) {
    let index = find(store, HOME, &opened(number));
    let entry = store.entry(HOME, index);
    let is_it = |event: &Event| matches!(event, Event::Journal(event) if opened(number)(event));
    let mut all = (0..).zip(&entry.outcomes);
    let found = all.find(|(_, outcome)| outcome.result.iter().flatten().any(is_it));
    let (ordinal, _) = found.expect("it was found");
    (index, ordinal)
}
