//! Journals in a directory that somebody has been at: each finding has its name, and its place.

use std::{path::Path, sync::OnceLock, time::Duration};

use ledger_domain::{
    Code, Event, HouseCode, JournalEvent, JournalRef, ShardId,
    journal::{Clearing, Line, Party, Refusal},
};
use node::{
    api::{
        teller::v1::{
            JournalLeg, JournalSide, ListJournalsRequest, SubmitJournalRequest, journal_leg,
            list_journals_request::Of,
        },
        v1::{CommandContext, Receipt, TransactionStatus},
    },
    verify::{Options, verify},
};

use crate::{
    cluster::{Cluster, Node, THREE_REGIONS, usd},
    stopped::{self, HOME, OTHER, Store},
};

/// A region near by, which is asked as well.
pub const NEAR: u32 = 1;

/// Posted in three shards.
const POSTED: JournalRef = of_home(1);
/// Refused by the other shard.
const REFUSED: JournalRef = of_home(2);
/// Set aside in the other shard, and refused by the one near by.
const CANCELLED: JournalRef = of_home(3);

pub const fn of_home(number: u64) -> JournalRef {
    JournalRef {
        coordinator: ShardId(HOME),
        number,
    }
}

/// A directory in which journals were posted and cancelled. Never changed.
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
        let settled = TransactionStatus::Settled;
        let returned = TransactionStatus::Returned;
        let legs: [(&[(&str, i64)], _); 4] = [
            (&[(home, -90), (other, 60), (near, 30)], settled),
            (&[(home, 9_999), (other, -9_999)], returned),
            (&[(other, -20), (home, 20)], settled),
            (&[(home, -5), (near, -9_000), (other, 9_005)], returned),
        ];
        for (number, (legs, expected)) in legs.into_iter().enumerate() {
            let receipt = submit(node, &format!("j{number}"), legs).await;
            assert_eq!(receipt.status(), expected, "{number}");
        }
        while !all_decided(node).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What is recorded of these comes after the journals in both logs.
        node.transfer("there", home, other, 1).await.unwrap();
        node.transfer("back", other, home, 1).await.unwrap();
    }
    stopped::keep(cluster, "eu-west").await
}

pub async fn submit(node: &Node, key: &str, legs: &[(&str, i64)]) -> Receipt {
    let leg = |(account, units): &(&str, i64)| JournalLeg {
        party: Some(journal_leg::Party::AccountId((*account).to_owned())),
        side: match *units < 0 {
            true => JournalSide::Debit,
            false => JournalSide::Credit,
        }
        .into(),
        amount: usd(units.abs()),
        ..JournalLeg::default()
    };
    let request = SubmitJournalRequest {
        context: Some(CommandContext {
            idempotency_key: key.to_owned(),
            ..CommandContext::default()
        }),
        legs: legs.iter().map(leg).collect(),
        ..SubmitJournalRequest::default()
    };
    let reply = node.teller().submit_journal(request).await.unwrap();
    reply.into_inner().receipt.unwrap()
}

pub async fn all_decided(node: &Node) -> bool {
    for region in THREE_REGIONS {
        let request = ListJournalsRequest {
            of: Some(Of::Region(region.name.to_owned())),
            ..ListJournalsRequest::default()
        };
        let reply = node.teller().list_journals(request).await.unwrap();
        if !reply.into_inner().journals.is_empty() {
            return false;
        }
    }
    true
}

/// Somebody at the store, who says what should be found: shard, index, and a part of what is said.
pub type Tamper = fn(&Store) -> (u32, Option<u64>, &'static str);

pub fn missed(pristine: &Path, (name, tamper): &(&str, Tamper)) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    stopped::copy_all(pristine, dir.path());
    let store = Store::open(dir.path());
    let (shard, index, what) = tamper(&store);
    // An entry that does not follow the one before is void, and nothing in it would be looked at.
    for shard in [NEAR, HOME, OTHER] {
        store.chain_anew(shard);
    }
    drop(store);
    let report = verify(dir.path(), Options::default(), &|_| {}).unwrap();
    let found = &report.findings;
    let is_named = found
        .iter()
        .any(|it| it.shard == Some(shard) && it.index == index && it.what.contains(what));
    (!is_named).then(|| {
        format!("{name}: `{what}` at index {index:?} of shard {shard} is not in {found:#?}")
    })
}

fn check(cases: &[(&str, Tamper)]) {
    let missed = cases.iter();
    let missed: Vec<_> = missed
        .filter_map(|case| self::missed(pristine(), case))
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

fn of_journal(event: &Event, wanted: &dyn Fn(&JournalEvent) -> bool) -> bool {
    matches!(event, Event::Journal(event) if wanted(event))
}

pub fn find(store: &Store, shard: u32, wanted: &dyn Fn(&JournalEvent) -> bool) -> u64 {
    store.find(shard, &|event| of_journal(event, wanted))
}

pub fn alter(store: &Store, shard: u32, change: &dyn Fn(&mut JournalEvent) -> bool) -> u64 {
    store.alter(shard, &|event| match event {
        Event::Journal(event) => change(event),
        _ => false,
    })
}

/// Takes the outcome with such an event out of its entry; answers the entry's index.
fn take_out(store: &Store, shard: u32, wanted: &dyn Fn(&JournalEvent) -> bool) -> u64 {
    let index = find(store, shard, wanted);
    store.rewrite(shard, index, |entry| {
        entry.outcomes.retain(|outcome| {
            let mut events = outcome.result.iter().flatten();
            !events.any(|event| of_journal(event, wanted))
        });
    });
    index
}

pub fn opened(number: u64) -> impl Fn(&JournalEvent) -> bool {
    move |event| matches!(event, JournalEvent::Opened { number: it, .. } if *it == number)
}

pub fn reserved(id: JournalRef) -> impl Fn(&JournalEvent) -> bool {
    move |event| matches!(event, JournalEvent::Reserved { journal, .. } if *journal == id)
}

fn refused(id: JournalRef) -> impl Fn(&JournalEvent) -> bool {
    move |event| matches!(event, JournalEvent::Refused { journal, .. } if *journal == id)
}

pub fn posted(id: JournalRef) -> impl Fn(&JournalEvent) -> bool {
    move |event| matches!(event, JournalEvent::Posted { journal, .. } if *journal == id)
}

pub fn cancelled(id: JournalRef) -> impl Fn(&JournalEvent) -> bool {
    move |event| matches!(event, JournalEvent::Cancelled { journal, .. } if *journal == id)
}

/// Changes the lines of a journal's posting in a shard.
fn lines(store: &Store, shard: u32, change: &dyn Fn(&mut Vec<Line>)) -> u64 {
    alter(store, shard, &|event| match event {
        JournalEvent::Posted { journal, lines, .. } if *journal == POSTED => {
            change(lines);
            true
        }
        _ => false,
    })
}

/// Changes what a journal's posting leaves between books.
fn between(store: &Store, shard: u32, id: JournalRef, change: &dyn Fn(&mut Clearing)) -> u64 {
    alter(store, shard, &|event| match event {
        JournalEvent::Posted {
            journal, clearing, ..
        } if *journal == id => {
            change(&mut clearing[0]);
            true
        }
        _ => false,
    })
}

/// Changes what the other shard has set aside.
fn set_aside(store: &Store, change: &dyn Fn(&mut JournalEvent)) -> u64 {
    alter(store, OTHER, &|event| {
        let is_it = reserved(POSTED)(event);
        if is_it {
            change(event);
        }
        is_it
    })
}

fn some_refusal() -> Refusal {
    Refusal {
        leg: 2,
        rejection: Code::AccountNotFound.into(),
    }
}

/// The home entry that acts on the other shard's answer to the journal that is posted.
fn acts_on_other(store: &Store) -> u64 {
    find(store, HOME, &|event| match event {
        JournalEvent::Answered { number, shard } => (*number, shard.0) == (1, OTHER),
        // Who is waited for last is not in an event of its own.
        _ => posted(POSTED)(event),
    })
}

#[test]
fn an_untouched_directory_of_journals_holds() {
    let report = verify(pristine(), Options::default(), &|_| {}).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.shards.len(), 3);
}

#[test]
fn a_journals_event_that_does_not_follow_from_its_log_is_found_by_name() {
    let cases: &[(&str, Tamper)] = &[
        ("a number left out", |store| {
            let index = alter(store, HOME, &|event| match event {
                JournalEvent::Opened { number, .. } => {
                    *number += 4;
                    true
                }
                _ => false,
            });
            (HOME, Some(index), "journal 5 follows journal 0")
        }),
        ("an order of asking", |store| {
            let index = alter(store, HOME, &|event| match event {
                JournalEvent::Opened { asks, .. } => {
                    asks[0].previous += 1;
                    true
                }
                _ => false,
            });
            (HOME, Some(index), "asks shard 1 out of order")
        }),
        ("legs that do not come to zero", |store| {
            let index = alter(store, HOME, &|event| match event {
                JournalEvent::Opened { asks, .. } => {
                    asks[0].legs.clear();
                    true
                }
                _ => false,
            });
            (
                HOME,
                Some(index),
                "USD come to -30 minor units, not to zero",
            )
        }),
        ("an answer twice", |store| {
            let index = alter(store, OTHER, &|event| match event {
                JournalEvent::Refused { journal, .. } if *journal == REFUSED => {
                    *journal = POSTED;
                    true
                }
                _ => false,
            });
            (OTHER, Some(index), "journal 1 of shard 2 is answered twice")
        }),
        ("an answer of somebody else", |store| {
            let index = alter(store, HOME, &|event| match event {
                JournalEvent::Answered { shard, .. } => {
                    shard.0 = 9;
                    true
                }
                _ => false,
            });
            (HOME, Some(index), "journal 1 waits for another")
        }),
        ("an end without a beginning", |store| {
            let index = alter(store, OTHER, &|event| match event {
                JournalEvent::Posted { journal, .. } if *journal == POSTED => {
                    journal.number = 99;
                    true
                }
                _ => false,
            });
            (OTHER, Some(index), "journal 99 of shard 2 is not open")
        }),
        ("another opening, posted", |store| {
            let index = alter(store, HOME, &|event| match event {
                JournalEvent::Posted { opened, .. } => {
                    opened.as_mut().unwrap().ordinal += 1;
                    true
                }
                _ => false,
            });
            (HOME, Some(index), "that another transaction opened")
        }),
        ("a posting too early", |store| {
            take_out(store, HOME, &|event| {
                matches!(event, JournalEvent::Answered { number: 1, .. })
            });
            let index = find(store, HOME, &posted(POSTED));
            (HOME, Some(index), "posted before all have answered")
        }),
        ("a cancelling by whom nobody waits for", |store| {
            let index = alter(store, HOME, &|event| match event {
                JournalEvent::Cancelled { by, .. } => {
                    by.0 = 9;
                    true
                }
                _ => false,
            });
            (HOME, Some(index), "cancelled by whom it does not wait for")
        }),
        ("other legs at the end", |store| {
            let index = lines(store, OTHER, &|lines| lines[0].leg.place += 1);
            (
                OTHER,
                Some(index),
                "ends with other legs than were set aside",
            )
        }),
        (
            "a leg of a house account that is not for journals",
            |store| {
                let index = lines(store, OTHER, &|lines| {
                    lines[0].leg.party = Party::House(HouseCode::Suspense);
                    lines[0].after = None;
                });
                (OTHER, Some(index), "no leg of house account suspense")
            },
        ),
        ("a balance after of a house account", |store| {
            let index = set_aside(store, &|event| match event {
                JournalEvent::Reserved { lines, .. } => {
                    lines[0].leg.party = Party::House(HouseCode::Fees);
                }
                _ => unreachable!("it was found"),
            });
            (OTHER, Some(index), "a house account has a balance after")
        }),
        ("a balance of another account", |store| {
            let index = set_aside(store, &|event| match event {
                JournalEvent::Reserved { lines, .. } => {
                    let other = lines[0].after.as_mut().unwrap();
                    other.account = ledger_domain::AccountId::derive(
                        other.account.region(),
                        "somebody",
                        "else",
                    );
                }
                _ => unreachable!("it was found"),
            });
            (OTHER, Some(index), " tells of ")
        }),
        ("more between the books than the legs say", |store| {
            let index = between(store, OTHER, POSTED, &|it| it.units += 1);
            (OTHER, Some(index), "is not what the legs say")
        }),
        ("nothing between the books, said", |store| {
            let index = between(store, HOME, POSTED, &|it| it.units = 0);
            (HOME, Some(index), "is said twice, or is nothing")
        }),
        ("a posting without its cause", |store| {
            let index = find(store, OTHER, &posted(POSTED));
            store.rewrite(OTHER, index, |entry| entry.causes.clear());
            (OTHER, Some(index), "name its cause in the log of shard 2")
        }),
        ("a decision without its cause", |store| {
            let index = find(store, HOME, &cancelled(REFUSED));
            store.rewrite(HOME, index, |entry| entry.causes.clear());
            (HOME, Some(index), "name its cause in the log of shard 3")
        }),
    ];
    check(cases);
}

#[test]
fn what_two_logs_say_of_a_journal_differently_is_found_by_name() {
    let cases: &[(&str, Tamper)] = &[
        ("an answer to what was never asked", |store| {
            alter(store, HOME, &|event| match event {
                JournalEvent::Opened { number, .. } if *number == 2 => {
                    *number = 12;
                    true
                }
                _ => false,
            });
            let index = find(store, OTHER, &refused(REFUSED));
            (OTHER, Some(index), "it was never opened between shards")
        }),
        ("other legs set aside", |store| {
            let index = set_aside(store, &|event| match event {
                JournalEvent::Reserved { lines, .. } => lines[0].leg.place += 1,
                _ => unreachable!("it was found"),
            });
            (OTHER, Some(index), "other legs were asked for")
        }),
        ("another opening, set aside", |store| {
            let index = set_aside(store, &|event| match event {
                JournalEvent::Reserved { opened, .. } => opened.ordinal += 1,
                _ => unreachable!("it was found"),
            });
            (OTHER, Some(index), "another transaction opened it")
        }),
        ("another opening, refused", |store| {
            let index = alter(store, OTHER, &|event| match event {
                JournalEvent::Refused {
                    opened: Some(opened),
                    ..
                } => {
                    opened.ordinal += 1;
                    true
                }
                _ => false,
            });
            (OTHER, Some(index), "another transaction opened it")
        }),
        ("debits forced in one log", |store| {
            let index = set_aside(store, &|event| match event {
                JournalEvent::Reserved { forced, .. } => *forced = true,
                _ => unreachable!("it was found"),
            });
            (OTHER, Some(index), "forced in one log and not in the other")
        }),
        ("two ends", |store| {
            alter(store, OTHER, &|event| {
                if !posted(POSTED)(event) {
                    return false;
                }
                let JournalEvent::Posted { journal, lines, .. } = event else {
                    return false;
                };
                *event = JournalEvent::Cancelled {
                    journal: *journal,
                    lines: std::mem::take(lines),
                    by: ShardId(NEAR),
                    refusal: some_refusal(),
                    reverses: None,
                };
                true
            });
            let index = find(store, OTHER, &reserved(POSTED));
            (
                OTHER,
                Some(index),
                "posted in one shard and cancelled in the",
            )
        }),
        ("another reason at the end", |store| {
            alter(store, OTHER, &|event| match event {
                JournalEvent::Cancelled { refusal, .. } => {
                    refusal.leg += 1;
                    true
                }
                _ => false,
            });
            let index = find(store, OTHER, &reserved(CANCELLED));
            (
                OTHER,
                Some(index),
                "another reason than its coordinator gives",
            )
        }),
        ("an end without a decision", |store| {
            take_out(store, HOME, &posted(POSTED));
            let index = find(store, OTHER, &reserved(POSTED));
            (OTHER, Some(index), "its coordinator has not decided it")
        }),
        ("a decision without an answer", |store| {
            take_out(store, OTHER, &reserved(POSTED));
            let index = find(store, HOME, &opened(1));
            (HOME, Some(index), "shard 3 never gave the answer")
        }),
        ("a refusal that was never given", |store| {
            take_out(store, OTHER, &refused(REFUSED));
            let index = find(store, HOME, &opened(2));
            (HOME, Some(index), "shard 3 never gave the answer")
        }),
        ("an answer heard before it was given", |store| {
            let acting = acts_on_other(store);
            store.rewrite(HOME, acting, |entry| {
                let there = |cause: &&mut ledger_domain::Position| cause.shard.0 == OTHER;
                entry
                    .causes
                    .iter_mut()
                    .filter(there)
                    .for_each(|cause| cause.index = 1);
            });
            let index = find(store, HOME, &opened(1));
            (
                HOME,
                Some(index),
                "shard 3 gave its answer after it was heard",
            )
        }),
        ("a refusal taken for agreement", |store| {
            alter(store, HOME, &|event| {
                let JournalEvent::Cancelled { journal, lines, .. } = event else {
                    return false;
                };
                *event = JournalEvent::Posted {
                    journal: *journal,
                    opened: None,
                    date: "2026-11-20".parse().unwrap(),
                    lines: std::mem::take(lines),
                    clearing: Vec::new(),
                };
                true
            });
            let index = find(store, HOME, &opened(2));
            (HOME, Some(index), "shard 3 refused, and is taken to agree")
        }),
        ("agreement taken for a refusal", |store| {
            alter(store, OTHER, &|event| {
                let JournalEvent::Refused {
                    journal,
                    opened: Some(opened),
                    ..
                } = event
                else {
                    return false;
                };
                *event = JournalEvent::Reserved {
                    journal: *journal,
                    opened: *opened,
                    date: "2026-11-20".parse().unwrap(),
                    lines: Vec::new(),
                    forced: false,
                };
                true
            });
            let index = find(store, HOME, &opened(2));
            (HOME, Some(index), "shard 3 agreed, and is taken to refuse")
        }),
        ("another reason for a refusal", |store| {
            alter(store, HOME, &|event| match event {
                JournalEvent::Cancelled { refusal, .. } => {
                    refusal.rejection = Code::AccountClosed.into();
                    true
                }
                _ => false,
            });
            let index = find(store, HOME, &opened(2));
            (HOME, Some(index), "refused for another reason than is told")
        }),
        ("more in one clearing account than in the other", |store| {
            between(store, OTHER, POSTED, &|it| it.units += 7);
            (HOME, None, "clearing with shard 3 comes to")
        }),
    ];
    check(cases);
}
