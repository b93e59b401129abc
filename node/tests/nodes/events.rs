//! Events read on: each once and in order, from wherever it was begun, on any node.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ledger_domain::{Book, HybridTime, Position as Place, ShardId, TransactionId, Verdict};
use node::api::{
    events::v1::{
        End, Event, Filter, Order, Positions, ReadReply, ReadRequest,
        events_client::EventsClient,
        read_request::{Of, Start},
    },
    teller::v1::{
        BatchCommand, DepositRequest, PlaceHoldRequest, SubmitGroupRequest, batch_command::Command,
    },
    v1::{Channel, Position, Time},
};
use replication::{log, topology};
use tonic::{Status, Streaming};

use crate::{
    cluster::{Cluster, HOME_AND_ABROAD, Node, PATIENCE, THREE_REGIONS, code, eventually, usd},
    stopped::{RECORD, Store},
};

/// Home with two shards.
pub const TWO: &str = "eu-west";

pub async fn cluster() -> Cluster {
    let second = |topology: &mut topology::Topology| {
        let mut shards = topology.shards.iter();
        let first = shards.find(|it| it.region.as_str() == TWO);
        let second = topology::Shard {
            id: 4,
            ..first.expect("it has one").clone()
        };
        topology.shards.push(second);
    };
    Cluster::start_shaped(&THREE_REGIONS, 0, second).await
}

/// An event as it is compared: its time, shard, transaction, place and kind.
pub type Said = (HybridTime, u32, String, u32, String);

/// The events of a shard, read and judged by the book.
fn recorded(cluster: &Cluster, node: u64, shard: u32) -> Vec<Said> {
    let mut book = Book::without_keys(ShardId(shard), 1);
    let mut all = Vec::new();
    for record in log::read_stored(cluster.log_of(node), shard).unwrap() {
        let index = record.id.index;
        if record.kind != log::Kind::Entry {
            book.skip(index);
            continue;
        }
        let Verdict::Accepted(entry) = book.apply(index, &record.payload).unwrap() else {
            continue;
        };
        for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
            let position = Place {
                shard: entry.shard,
                epoch: entry.epoch,
                index,
            };
            let id = TransactionId { position, ordinal }.to_string();
            let events = outcome.result.iter().flatten();
            all.extend((1..).zip(events).map(|(place, event)| {
                let kind = event.kind().name().to_owned();
                (entry.time, shard, id.clone(), place, kind)
            }));
        }
    }
    all
}

fn time_of(time: &Option<Time>) -> HybridTime {
    let hlc = &time.as_ref().unwrap().hlc;
    let number = u128::from_str_radix(hlc, 16).unwrap();
    HybridTime::from_bytes(number.to_be_bytes()).unwrap()
}

pub fn said(event: &Event) -> Said {
    let shard = event.position.as_ref().unwrap().shard;
    let id = event.transaction_id.clone();
    (
        time_of(&event.time),
        shard,
        id,
        event.place,
        event.kind.clone(),
    )
}

pub fn all_said(events: &[Event]) -> Vec<Said> {
    events.iter().map(said).collect()
}

pub fn of(of: Of) -> ReadRequest {
    ReadRequest {
        of: Some(of),
        until_now: true,
        ..ReadRequest::default()
    }
}

async fn read(node: &Node, request: ReadRequest) -> Result<Streaming<ReadReply>, Status> {
    let mut events = EventsClient::new(node.channel());
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_secs(10));
    Ok(events.read(request).await?.into_inner())
}

/// All replies of a stream that ends.
async fn replies(node: &Node, request: ReadRequest) -> Vec<ReadReply> {
    let mut stream = read(node, request).await.unwrap();
    let mut all: Vec<ReadReply> = Vec::new();
    let reading = async {
        while let Some(reply) = stream.message().await.unwrap() {
            all.push(reply);
        }
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    ended.expect("it ends in time");
    let lasts: Vec<_> = all.iter().map(|it| it.is_last).collect();
    assert_eq!(lasts.iter().filter(|it| **it).count(), 1);
    assert_eq!(lasts.last(), Some(&true));
    all
}

async fn events(node: &Node, request: ReadRequest) -> Vec<Event> {
    let replies = replies(node, request).await;
    replies.into_iter().flat_map(|it| it.events).collect()
}

/// Waits until so many are read.
async fn read_all(node: &Node, request: ReadRequest, count: usize) -> Vec<Event> {
    let reading = async {
        loop {
            let found = events(node, request.clone()).await;
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.expect("all of it comes")
}

/// Much happens; gives the accounts of the region with two shards.
pub async fn eventful(cluster: &Cluster) -> Vec<String> {
    let node = cluster.at(TWO);
    let mut accounts = Vec::new();
    for n in 0..6 {
        let account = node.open(TWO, &format!("a{n}")).await;
        let paid_in = 10_000 + n;
        node.deposit(&format!("in{n}"), &account, paid_in)
            .await
            .unwrap();
        accounts.push(account);
    }
    for n in 0..30 {
        let (from, to) = (&accounts[n % 6], &accounts[(n * 5 + 1) % 6]);
        if from != to {
            let units = 1 + i64::try_from(n).unwrap();
            node.transfer(&format!("t{n}"), from, to, units)
                .await
                .unwrap();
        }
    }
    let refused = node.withdraw("too much", &accounts[0], 1_000_000).await;
    assert_eq!(code(refused), "INSUFFICIENT_FUNDS");
    let hold = PlaceHoldRequest {
        account_id: accounts[1].clone(),
        amount: usd(77),
        ..PlaceHoldRequest::default()
    };
    node.teller().place_hold(hold).await.unwrap();
    let far = cluster.at("us-east").open("us-east", "far").await;
    node.transfer("far", &accounts[2], &far, 900).await.unwrap();
    // Entries with more events than would make replies end between them.
    for n in 0..12 {
        let commands = (0..50).map(|_| {
            let deposit = DepositRequest {
                account_id: accounts[3].clone(),
                amount: usd(1),
                ..DepositRequest::default()
            };
            let command = Some(Command::Deposit(deposit));
            BatchCommand { command }
        });
        let group = SubmitGroupRequest {
            context: Some(node::api::v1::CommandContext {
                idempotency_key: format!("g{n}"),
                ..Default::default()
            }),
            commands: commands.collect(),
        };
        node.teller().submit_group(group).await.unwrap();
    }
    accounts
}

/// What both shards have, once nothing more happens.
pub async fn settled(cluster: &Cluster, node: u64) -> BTreeMap<u32, Vec<Said>> {
    let all = || [2, 4].map(|shard| (shard, recorded(cluster, node, shard)));
    let mut before = all();
    loop {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let now = all();
        if std::mem::replace(&mut before, now.clone()) == now {
            return before.into_iter().collect();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_from_each_start_tells_what_the_log_has() {
    let cluster = cluster().await;
    let accounts = eventful(&cluster).await;
    let home = cluster.at(TWO).id;
    let recorded = settled(&cluster, home).await;
    assert!(
        recorded.values().all(|it| it.len() > 30),
        "both shards have some"
    );
    for node in cluster.nodes() {
        for (shard, expected) in &recorded {
            let whole = read_all(node, of(Of::Shard(*shard)), expected.len()).await;
            assert_eq!(all_said(&whole), *expected, "{} {shard}", node.name);
        }
    }
    let far = cluster.at("ap-south");
    let region = of(Of::Region(TWO.to_owned()));
    let mut by_time: Vec<_> = recorded.values().flatten().cloned().collect();
    by_time.sort_by_key(|it| (it.0, it.1));
    let cut = ReadRequest {
        order: Order::Cut.into(),
        ..region.clone()
    };
    // What the other shard may still be before comes when it has closed its time.
    let whole = read_all(far, cut.clone(), by_time.len()).await;
    assert_eq!(all_said(&whole), by_time);
    let parted = all_said(&events(far, region.clone()).await);
    for (shard, expected) in &recorded {
        let own: Vec<_> = parted.iter().filter(|it| it.1 == *shard).cloned().collect();
        assert_eq!(own, *expected);
    }
    assert_eq!(parted.len(), by_time.len());

    // An account's are those of its shard that name it, from its opening on.
    for account in &accounts {
        let own = events(far, of(Of::AccountId(account.clone()))).await;
        assert_eq!(own[0].kind, "AccountOpened");
        let shard = own[0].position.as_ref().unwrap().shard;
        let names_it = |it: &&Event| it.account_ids.contains(account);
        let all = events(far, of(Of::Shard(shard))).await;
        let expected: Vec<_> = all.iter().filter(names_it).map(said).collect();
        assert_eq!(all_said(&own), expected);
        let versions: BTreeSet<_> = own
            .iter()
            .flat_map(|it| &it.after)
            .filter(|it| it.account_id == *account)
            .map(|it| it.version)
            .collect();
        // Nothing that changed it is missing.
        let last = *versions.last().unwrap();
        assert_eq!(versions.len() as u64, last - 1, "2 to {last}");
    }

    // From everywhere: every reply's cursor, positions, times, the end.
    let mut parts = 0;
    for (request, whole) in [(cut.clone(), &by_time), (of(Of::Shard(2)), &recorded[&2])] {
        let mut told = 0;
        for reply in replies(far, request.clone()).await {
            told += reply.events.len();
            parts += usize::from(reply.cursor.split('~').any(|it| it.split('_').count() == 4));
            let on = ReadRequest {
                start: Some(Start::Cursor(reply.cursor)),
                ..request.clone()
            };
            assert_eq!(all_said(&events(far, on).await), whole[told..]);
        }
    }
    assert!(parts > 0, "some reply ends within an entry");
    let whole = events(far, of(Of::Shard(4))).await;
    for event in whole.iter().step_by(7) {
        let from = |start| ReadRequest {
            start: Some(start),
            ..of(Of::Shard(4))
        };
        let time = time_of(&event.time);
        let later: Vec<_> = whole.iter().map(said).filter(|it| it.0 > time).collect();
        let positions = vec![event.position.unwrap()];
        let after_position = events(far, from(Start::Positions(Positions { positions }))).await;
        assert_eq!(all_said(&after_position), later);
        let after_time = events(far, from(Start::Time(event.time.clone().unwrap()))).await;
        assert_eq!(all_said(&after_time), later);
    }
    let end = ReadRequest {
        start: Some(Start::End(End {})),
        ..cut
    };
    assert_eq!(events(far, end).await, []);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_the_same_as_reading_all_and_leaving_out() {
    let cluster = cluster().await;
    let accounts = eventful(&cluster).await;
    let node = cluster.at(TWO);
    let count = settled(&cluster, node.id)
        .await
        .values()
        .map(Vec::len)
        .sum();
    let region = of(Of::Region(TWO.to_owned()));
    let whole = read_all(node, region.clone(), count).await;
    let some = [accounts[0].clone(), accounts[4].clone()];
    let kinds = ["FundsTransferred".to_owned(), "TransferSent".to_owned()];
    let all = Filter::default;
    let is_system = |it: &Event| it.command.is_none();
    type Passes<'a> = Box<dyn Fn(&Event) -> bool + 'a>;
    let cases: [(Filter, Passes<'_>); 7] = [
        (
            Filter {
                kinds: kinds.to_vec(),
                ..all()
            },
            Box::new(|it| kinds.contains(&it.kind)),
        ),
        (
            Filter {
                account_ids: some.to_vec(),
                ..all()
            },
            Box::new(|it| it.account_ids.iter().any(|id| some.contains(id))),
        ),
        (
            Filter {
                kinds: kinds.to_vec(),
                account_ids: some.to_vec(),
                ..all()
            },
            Box::new(|it| {
                kinds.contains(&it.kind) && it.account_ids.iter().any(|id| some.contains(id))
            }),
        ),
        (
            Filter {
                minimum_minor_units: 77,
                ..all()
            },
            Box::new(|it| it.amounts.iter().any(|it| it.minor_units >= 77)),
        ),
        (
            Filter {
                kinds: vec!["HoldPlaced".to_owned()],
                currency: "USD".to_owned(),
                ..all()
            },
            Box::new(|it| it.kind == "HoldPlaced"),
        ),
        (
            Filter {
                channels: vec![Channel::System.into()],
                ..all()
            },
            Box::new(is_system),
        ),
        (
            Filter {
                currency: "EUR".to_owned(),
                ..all()
            },
            Box::new(|_| false),
        ),
    ];
    for (filter, passes) in cases {
        let expected: BTreeSet<_> = whole.iter().filter(|it| passes(it)).map(said).collect();
        let nothing = filter.currency == "EUR";
        assert!(
            nothing == expected.is_empty() && expected.len() < whole.len(),
            "{filter:?}"
        );
        let request = ReadRequest {
            filter: Some(filter.clone()),
            ..region.clone()
        };
        let found = all_said(&events(node, request.clone()).await);
        assert_eq!(found.len(), expected.len(), "{filter:?}");
        assert_eq!(
            found.into_iter().collect::<BTreeSet<_>>(),
            expected,
            "{filter:?}"
        );
        // What is left out moves the cursor on.
        let last = replies(node, request.clone()).await.pop().unwrap();
        let on = ReadRequest {
            start: Some(Start::Cursor(last.cursor)),
            filter: None,
            ..request
        };
        assert_eq!(events(node, on).await, []);
    }
    // The stored form is there for who asks for it.
    let with_stored = ReadRequest {
        with_stored: true,
        ..region
    };
    assert!(
        events(node, with_stored)
            .await
            .iter()
            .all(|it| !it.stored.is_empty())
    );
    assert!(whole.iter().all(|it| it.stored.is_empty()));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_before_the_first_reply() {
    let mut cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let node = cluster.at("us-east");
    let nobody = ledger_domain::AccountId::derive("us-east".parse().unwrap(), "t", "x").to_string();
    let home = cluster.shard("eu-west");
    let shard = || of(Of::Shard(home));
    let from = |start| ReadRequest {
        start: Some(start),
        ..shard()
    };
    let at = |shard, epoch| Position {
        shard,
        epoch,
        index: 1,
    };
    let positions = |positions: &[Position]| {
        let positions = positions.to_vec();
        from(Start::Positions(Positions { positions }))
    };
    let tomorrow = Time {
        unix_nanos: i64::MAX,
        hlc: String::new(),
    };
    for (request, expected, says) in [
        (
            ReadRequest::default(),
            "INVALID_ARGUMENT",
            "name an account",
        ),
        (of(Of::Shard(99)), "SHARD_NOT_FOUND", "99"),
        (
            of(Of::Region("mars".to_owned())),
            "REGION_NOT_FOUND",
            "mars",
        ),
        (of(Of::AccountId(nobody)), "ACCOUNT_NOT_FOUND", "no account"),
        (
            from(Start::Cursor("here".to_owned())),
            "INVALID_ARGUMENT",
            "not a cursor",
        ),
        (
            from(Start::Cursor("99_1_1".to_owned())),
            "INVALID_ARGUMENT",
            "shard 99",
        ),
        (positions(&[at(home, 0)]), "INVALID_ARGUMENT", "epoch 0"),
        (
            positions(&[at(home, 1); 2]),
            "INVALID_ARGUMENT",
            "two positions",
        ),
        (
            from(Start::Time(tomorrow)),
            "INVALID_ARGUMENT",
            "yet to come",
        ),
        (
            ReadRequest {
                order: 7,
                ..shard()
            },
            "INVALID_ARGUMENT",
            "no such order",
        ),
    ] {
        let refused = read(node, request).await;
        let refused = refused.map(drop);
        let said = refused
            .as_ref()
            .err()
            .map(Status::message)
            .unwrap_or_default();
        assert!(said.contains(says), "{said}");
        assert_eq!(code(refused), expected);
    }
    // A place that is not here yet is waited for, and not for ever.
    let beyond = from(Start::Cursor(format!("{home}_1_999999")));
    assert_eq!(code(read(node, beyond).await), "NOT_HERE_YET");
    // So many read and no more.
    let mut readers = Vec::new();
    for _ in 0..64 {
        let live = ReadRequest {
            until_now: false,
            ..shard()
        };
        readers.push(read(node, live).await.unwrap());
    }
    assert_eq!(code(read(node, shard()).await), "OVERLOADED");
    readers.truncate(1);
    eventually("there is room", async || read(node, shard()).await.is_ok()).await;
    let (mut last, id) = (readers.pop().unwrap(), node.id);
    let (ended, ()) = tokio::join!(
        async {
            loop {
                match last.message().await {
                    Ok(Some(_)) => {}
                    ended => return ended,
                }
            }
        },
        cluster.stop(id)
    );
    assert_eq!(code(ended), "UNAVAILABLE");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry_ends_the_stream_after_all_before_it_and_is_named() {
    let mut cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let (home, abroad) = (cluster.shard("eu-west"), cluster.at("us-east").id);
    let node = cluster.at("eu-west");
    let account = node.open("eu-west", "a").await;
    for n in 0..20 {
        node.deposit(&format!("in{n}"), &account, 1_000 + n)
            .await
            .unwrap();
    }
    let whole = read_all(cluster.node(abroad), of(Of::Shard(home)), 22).await;
    let bad = whole[12].position.unwrap();
    {
        let store = Store::over(cluster.log_of(abroad));
        store.flip(store.key(RECORD, home, bad.index), 8 * 30);
    }
    // What was read lately is in memory; and nobody is in reach from whom it could be mended.
    cluster.cut("us-east");
    cluster.stop(abroad).await;
    cluster.begin(abroad);
    eventually("the node answers", async || {
        let stream = read(cluster.node(abroad), of(Of::Shard(home))).await;
        stream.is_ok()
    })
    .await;
    let mut stream = read(cluster.node(abroad), of(Of::Shard(home)))
        .await
        .unwrap();
    let mut told = Vec::new();
    let mut cursor = String::new();
    let ended = loop {
        match stream.message().await {
            Ok(Some(reply)) => {
                told.extend(reply.events);
                cursor = reply.cursor;
            }
            ended => break ended,
        }
    };
    assert_eq!(all_said(&told), all_said(&whole[..12]));
    let says = ended.as_ref().err().unwrap().message().to_owned();
    let place = format!("index {} of shard {home} is damaged", bad.index);
    assert!(says.contains(&place), "{says}");
    assert_eq!(code(ended), "DAMAGED");
    // Elsewhere it is gone on with.
    let on = ReadRequest {
        start: Some(Start::Cursor(cursor)),
        ..of(Of::Shard(home))
    };
    let rest = events(cluster.at("eu-west"), on).await;
    assert_eq!(all_said(&rest), all_said(&whole[12..]));
    cluster.shutdown().await;
}
