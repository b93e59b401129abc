//! Consumer groups: everything is told once or more and in order, whoever comes and goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use node::{
    api::{
        consumers::v1::{
            Acknowledge, ConsumeRequest, Consumer as Shown, CreateConsumerRequest, Delivery, Join,
            MoveConsumerRequest, Order, RemoveConsumerRequest, ResumeConsumerRequest,
            consume_reply::Message as Told, consume_request::Message,
            consumers_client::ConsumersClient, create_consumer_request::Of,
            move_consumer_request::To,
        },
        events::v1::{End, Filter},
        rejection,
        teller::v1::DepositRequest,
    },
    client::{Client, Consumer, Options},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;

use crate::{
    cluster::{Cluster, Node, PATIENCE, eventually, usd},
    events::{Said, TWO, cluster, eventful, said, settled},
};

pub fn client(addresses: Vec<String>) -> Client {
    let mut options = Options::new("consumer");
    options.deadline = PATIENCE;
    Client::new(addresses, options).unwrap()
}

fn at(node: &Node) -> Client {
    client(vec![node.address.clone()])
}

fn group(name: &str, order: Order) -> CreateConsumerRequest {
    CreateConsumerRequest {
        region: TWO.to_owned(),
        name: name.to_owned(),
        of: Some(Of::OfRegion(TWO.to_owned())),
        order: order.into(),
        ..CreateConsumerRequest::default()
    }
}

pub fn join(region: &str, name: &str) -> Join {
    Join {
        region: region.to_owned(),
        name: name.to_owned(),
        ..Join::default()
    }
}

fn event(delivery: &Delivery) -> Said {
    said(delivery.event.as_ref().unwrap())
}

/// The next event, unless none comes for so long.
pub async fn next(consumer: &mut Consumer, patience: Duration) -> Option<Delivery> {
    let next = timeout(patience, consumer.next()).await.ok()?;
    Some(next.unwrap().unwrap())
}

/// So many events, each acknowledged.
async fn take(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        let delivery = next(consumer, PATIENCE).await.expect("another event");
        consumer.acknowledge(&delivery);
        all.push(delivery);
    }
    all
}

async fn shown(client: &Client, name: &str) -> Shown {
    let reply = client.consumer(TWO, name).await.unwrap();
    reply.consumer.unwrap()
}

async fn goes_to_zero(client: &Client, name: &str) {
    eventually("the lag goes to zero", async || {
        let shown = shown(client, name).await;
        let mut shares = shown.shares.iter();
        shares.all(|it| it.entries_behind == 0 && it.behind_ms == 0 && it.unacknowledged == 0)
    })
    .await;
}

/// What the log has of each shard, without what groups do.
async fn recorded(cluster: &Cluster) -> BTreeMap<u32, Vec<Said>> {
    let mut recorded = settled(cluster, cluster.at(TWO).id).await;
    for all in recorded.values_mut() {
        all.retain(|it| !it.4.starts_with("Consumer"));
    }
    recorded
}

async fn pay_in(node: &Node, account: &str, count: usize) {
    for _ in 0..count {
        let deposit = DepositRequest {
            account_id: account.to_owned(),
            amount: usd(3),
            ..DepositRequest::default()
        };
        node.teller().deposit(deposit).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_told_in_their_order_from_where_it_was_acknowledged_also_after_a_restart() {
    let mut cluster = cluster().await;
    let accounts = eventful(&cluster).await;
    let far = at(cluster.at("us-east"));
    far.create_consumer(group("all", Order::Shard))
        .await
        .unwrap();
    let recorded = recorded(&cluster).await;
    let count = recorded.values().map(Vec::len).sum();
    let mut consumer = far.consume(join(TWO, "all"));
    let told = take(&mut consumer, count).await;
    for (shard, expected) in &recorded {
        let own = told.iter().map(event).filter(|it| it.1 == *shard);
        assert_eq!(own.collect::<Vec<_>>(), *expected);
    }
    let shares: BTreeSet<_> = told.iter().map(|it| it.share).collect();
    assert_eq!(shares.len(), 2);
    goes_to_zero(&far, "all").await;
    drop(consumer);

    let home = cluster.at(TWO).id;
    cluster.stop(home).await;
    cluster.restart(home).await;
    pay_in(cluster.at(TWO), &accounts[0], 5).await;
    let near = at(cluster.at(TWO));
    let mut consumer = near.consume(join(TWO, "all"));
    let told = take(&mut consumer, 5).await;
    assert!(told.iter().all(|it| event(it).4 == "FundsDeposited"));
    assert!(next(&mut consumer, Duration::from_secs(1)).await.is_none());

    // Back to the beginning, all is told again.
    let to_beginning = MoveConsumerRequest {
        region: TWO.to_owned(),
        name: "all".to_owned(),
        ..MoveConsumerRequest::default()
    };
    near.move_consumer(to_beginning.clone()).await.unwrap();
    let told = take(&mut consumer, count + 5).await;
    let all: BTreeSet<_> = told.iter().map(event).collect();
    assert_eq!(all.len(), count + 5);
    // And to the end, nothing.
    drop(consumer);
    near.move_consumer(to_beginning.clone()).await.unwrap();
    let to_end = MoveConsumerRequest {
        to: Some(To::End(End {})),
        ..to_beginning
    };
    near.move_consumer(to_end).await.unwrap();
    let mut consumer = near.consume(join(TWO, "all"));
    assert!(next(&mut consumer, Duration::from_secs(1)).await.is_none());

    let remove = RemoveConsumerRequest {
        region: TWO.to_owned(),
        name: "all".to_owned(),
        ..RemoveConsumerRequest::default()
    };
    near.remove_consumer(remove).await.unwrap();
    let ended = timeout(PATIENCE, consumer.next()).await.unwrap();
    let error = ended.unwrap().unwrap_err().to_string();
    assert!(error.contains("CONSUMER_NOT_FOUND"), "{error}");
    drop((consumer, far, near));
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_shards_are_told_by_time_in_the_order_of_the_cut() {
    let cluster = cluster().await;
    eventful(&cluster).await;
    let client = at(cluster.at("ap-south"));
    client
        .create_consumer(group("by-time", Order::Cut))
        .await
        .unwrap();
    let mut by_time: Vec<_> = recorded(&cluster).await.into_values().flatten().collect();
    by_time.sort_by_key(|it| (it.0, it.1));
    let mut consumer = client.consume(join(TWO, "by-time"));
    // Two come one after the other: only one has the share.
    let half = by_time.len() / 2;
    let mut told = take(&mut consumer, half).await;
    let mut second = client.consume(join(TWO, "by-time"));
    assert!(next(&mut second, Duration::from_secs(1)).await.is_none());
    drop(consumer);
    let rest = take(&mut second, by_time.len() - half).await;
    told.extend(rest);
    let told: Vec<_> = told.iter().map(event).collect();
    assert_eq!(told, by_time);
    goes_to_zero(&client, "by-time").await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_accounts_events_are_in_order_while_members_come_and_go() {
    let cluster = cluster().await;
    let accounts = eventful(&cluster).await;
    let node = cluster.at(TWO);
    let client = at(node);
    let create = CreateConsumerRequest {
        spread: 3,
        filter: Some(Filter {
            kinds: vec!["FundsDeposited".to_owned()],
            ..Filter::default()
        }),
        ..group("accounts", Order::Account)
    };
    client.create_consumer(create).await.unwrap();
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let member = |lives: Option<usize>| {
        let mut consumer = client.consume(join(TWO, "accounts"));
        let heard = heard.clone();
        tokio::spawn(async move {
            let mut left = lives;
            while left != Some(0) {
                let delivery = consumer.next().await.unwrap().unwrap();
                left = left.map(|left| left - 1);
                consumer.acknowledge(&delivery);
                if heard.send(delivery).is_err() {
                    return;
                }
            }
        })
    };
    let mut members = vec![member(None), member(Some(60)), member(Some(30))];
    for round in 0..3 {
        for account in &accounts {
            pay_in(node, account, 6).await;
        }
        members.push(member(Some(20 + round)));
    }
    let mut expected: BTreeMap<String, Vec<Said>> = BTreeMap::new();
    let mut count = 0;
    for all in recorded(&cluster).await.into_values() {
        count += all.iter().filter(|it| it.4 == "FundsDeposited").count();
    }
    // By account, each event where it was told first: their order is the log's.
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let delivery = timeout(PATIENCE, hearing.recv()).await;
        let delivery = delivery.expect("another event").unwrap();
        if seen.insert(event(&delivery)) {
            let account = delivery.event.as_ref().unwrap().account_ids[0].clone();
            expected.entry(account).or_default().push(event(&delivery));
        }
    }
    assert_eq!(expected.len(), accounts.len());
    for (account, told) in expected {
        assert!(told.is_sorted(), "{account}: {told:?}");
    }
    goes_to_zero(&client, "accounts").await;
    let shown = shown(&client, "accounts").await;
    assert_eq!(shown.shares.len(), 6);
    // Evenly over those who are there, and nobody else has any.
    let mut has: BTreeMap<&str, usize> = BTreeMap::new();
    for share in &shown.shares {
        assert!(shown.members.contains(&share.member), "{shown:?}");
        *has.entry(&share.member).or_default() += 1;
    }
    let least = match has.len() < shown.members.len() {
        true => 0,
        false => has.values().copied().min().unwrap(),
    };
    assert!(has.values().all(|it| *it <= least + 1), "{shown:?}");
    members.iter().for_each(tokio::task::JoinHandle::abort);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_processed_parks_its_share_and_others_go_on() {
    let cluster = cluster().await;
    eventful(&cluster).await;
    let client = at(cluster.at("us-east"));
    client
        .create_consumer(group("poisoned", Order::Shard))
        .await
        .unwrap();
    let recorded = recorded(&cluster).await;
    let poisoned = recorded[&2][5].clone();
    let tried = Join {
        retries: 2,
        ..join(TWO, "poisoned")
    };
    let mut consumer = client.consume(tried);
    let mut told = Vec::new();
    let mut attempts = Vec::new();
    // All of the other shard, and what comes before it of its own.
    while told.len() < recorded[&4].len() + 5 || attempts.len() < 3 {
        let delivery = next(&mut consumer, PATIENCE).await.expect("another event");
        if event(&delivery) == poisoned {
            attempts.push(delivery.attempt);
            consumer.refuse(&delivery, "no such\nproduct");
            continue;
        }
        consumer.acknowledge(&delivery);
        told.push(event(&delivery));
    }
    assert_eq!(attempts, [1, 2, 3]);
    let of = |told: &[Said], shard: u32| -> Vec<Said> {
        told.iter().filter(|it| it.1 == shard).cloned().collect()
    };
    assert_eq!(of(&told, 4), recorded[&4]);
    assert_eq!(of(&told, 2), recorded[&2][..5]);
    eventually("the share is parked", async || {
        shown(&client, "poisoned").await.shares[0].parked.is_some()
    })
    .await;
    let parked = shown(&client, "poisoned").await.shares[0].clone();
    let stopped = parked.parked.unwrap();
    assert_eq!(stopped.transaction_id, poisoned.2);
    assert_eq!(stopped.reason, "no such product");
    assert!(stopped.since_unix_ms > 0 && parked.entries_behind > 0 && parked.behind_ms > 0);
    assert_eq!(parked.member, "");
    assert!(next(&mut consumer, Duration::from_secs(1)).await.is_none());

    // With it, it is told again; after it, never.
    let resume = |skip| ResumeConsumerRequest {
        region: TWO.to_owned(),
        name: "poisoned".to_owned(),
        share: 0,
        skip,
        ..ResumeConsumerRequest::default()
    };
    client.resume_consumer(resume(false)).await.unwrap();
    for attempt in 1..=3 {
        let again = next(&mut consumer, PATIENCE).await.unwrap();
        assert_eq!((event(&again), again.attempt), (poisoned.clone(), attempt));
        consumer.refuse(&again, "still not");
    }
    eventually("the share is parked again", async || {
        let shares = shown(&client, "poisoned").await.shares;
        let parked = shares[0].parked.as_ref();
        parked.is_some_and(|it| it.reason == "still not")
    })
    .await;
    let error = client
        .resume_consumer(ResumeConsumerRequest {
            share: 1,
            ..resume(true)
        })
        .await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("CONSUMER_NOT_PARKED"), "{error}");
    client.resume_consumer(resume(true)).await.unwrap();
    let rest = take(&mut consumer, recorded[&2].len() - 6).await;
    let rest: Vec<_> = rest.iter().map(event).collect();
    assert_eq!(rest, recorded[&2][6..]);
    goes_to_zero(&client, "poisoned").await;
    drop((consumer, client));
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_says_after_its_share_is_anothers_does_not_count() {
    let cluster = cluster().await;
    eventful(&cluster).await;
    let node = cluster.at(TWO);
    let client = at(node);
    client
        .create_consumer(group("fenced", Order::Shard))
        .await
        .unwrap();
    let (say, said) = mpsc::unbounded_channel();
    let say = |message| say.send(ConsumeRequest { message }).unwrap();
    say(Some(Message::Join(Join {
        window: 3,
        ..join(TWO, "fenced")
    })));
    let mut stream = ConsumersClient::new(node.channel())
        .consume(UnboundedReceiverStream::new(said))
        .await
        .unwrap()
        .into_inner();
    // A window of each share and no more, as long as nothing is acknowledged.
    let mut first = Vec::new();
    while first.len() < 6 {
        if let Some(Told::Delivery(delivery)) = stream.message().await.unwrap().unwrap().message {
            first.push(delivery);
        }
    }
    let mut second = client.consume(join(TWO, "fenced"));
    let taken = next(&mut second, PATIENCE).await.expect("a share");
    second.acknowledge(&taken);
    let old = first.iter().find(|it| it.share == taken.share).unwrap();
    assert_eq!(event(old), event(&taken), "from what was acknowledged");
    say(Some(Message::Acknowledge(Acknowledge {
        share: old.share,
        lease: old.lease.clone(),
        number: old.number + 2,
    })));
    let refused = loop {
        match stream.message().await.unwrap().unwrap().message.unwrap() {
            Told::Rejected(rejected) => break rejected,
            Told::Delivery(more) => panic!("beyond the window: {more:?}"),
            _ => {}
        }
    };
    assert_eq!(refused.lease, old.lease);
    assert_eq!(refused.rejection.unwrap().code, "CONSUMER_FENCED");
    // The other's share is where it left it.
    let after = next(&mut second, PATIENCE).await.unwrap();
    assert_eq!((after.share, after.number), (taken.share, taken.number + 1));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_with_a_code() {
    let cluster = cluster().await;
    let node = cluster.at(TWO);
    let mut consumers = ConsumersClient::new(node.channel());
    let code = |status: Status| rejection::from_status(&status).unwrap().code;
    let good = group("good", Order::Shard);
    consumers.create(good.clone()).await.unwrap();
    let filter = |kind: &str| {
        Some(Filter {
            kinds: vec![kind.to_owned()],
            ..Filter::default()
        })
    };
    use node::api::consumers::v1::create_consumer_request::Start;
    for (wrong, expected) in [
        (good.clone(), "CONSUMER_EXISTS"),
        (group("Bad name", Order::Shard), "INVALID_ARGUMENT"),
        (group("x", Order::Unspecified), "INVALID_ARGUMENT"),
        (
            CreateConsumerRequest {
                of: None,
                ..group("x", Order::Cut)
            },
            "INVALID_ARGUMENT",
        ),
        (
            CreateConsumerRequest {
                spread: 2,
                ..group("x", Order::Cut)
            },
            "INVALID_ARGUMENT",
        ),
        (
            CreateConsumerRequest {
                spread: 65,
                ..group("x", Order::Account)
            },
            "INVALID_ARGUMENT",
        ),
        (
            CreateConsumerRequest {
                filter: filter("ConsumerAdvanced"),
                ..group("x", Order::Shard)
            },
            "INVALID_ARGUMENT",
        ),
        (
            CreateConsumerRequest {
                filter: filter("Nothing"),
                ..group("x", Order::Shard)
            },
            "INVALID_ARGUMENT",
        ),
        (
            CreateConsumerRequest {
                start: Some(Start::Cursor("1_1_7".to_owned())),
                ..group("x", Order::Shard)
            },
            "INVALID_ARGUMENT",
        ),
        (
            CreateConsumerRequest {
                region: "nowhere".to_owned(),
                ..group("x", Order::Shard)
            },
            "REGION_NOT_FOUND",
        ),
    ] {
        let refused = consumers.create(wrong.clone()).await.unwrap_err();
        assert_eq!(code(refused), expected, "{wrong:?}");
    }
    let missing = RemoveConsumerRequest {
        name: "missing".to_owned(),
        ..RemoveConsumerRequest::default()
    };
    let refused = consumers.remove(missing).await.unwrap_err();
    assert_eq!(code(refused), "CONSUMER_NOT_FOUND");
    let begun = |first: Option<Message>| {
        let mut consumers = consumers.clone();
        async move {
            let first = ConsumeRequest { message: first };
            let begun = consumers.consume(tokio_stream::iter([first])).await;
            code(begun.unwrap_err())
        }
    };
    let joined = |join| begun(Some(Message::Join(join)));
    assert_eq!(begun(None).await, "INVALID_ARGUMENT");
    assert_eq!(joined(join(TWO, "missing")).await, "CONSUMER_NOT_FOUND");
    let greedy = Join {
        window: 1_025,
        ..join(TWO, "good")
    };
    assert_eq!(joined(greedy).await, "INVALID_ARGUMENT");
    let (say, said) = mpsc::unbounded_channel();
    let say = |message| say.send(ConsumeRequest { message }).unwrap();
    say(Some(Message::Join(join(TWO, "good"))));
    say(Some(Message::Acknowledge(Acknowledge {
        share: 99,
        ..Acknowledge::default()
    })));
    let mut stream = consumers
        .consume(UnboundedReceiverStream::new(said))
        .await
        .unwrap()
        .into_inner();
    let refused = loop {
        if let Told::Rejected(it) = stream.message().await.unwrap().unwrap().message.unwrap() {
            break it.rejection.unwrap().code;
        }
    };
    assert_eq!(refused, "CONSUMER_SHARE_NOT_FOUND");
    say(Some(Message::Join(join(TWO, "good"))));
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ends without a word"),
            Err(status) => break code(status),
        }
    };
    assert_eq!(ended, "INVALID_ARGUMENT");
    let listed = consumers
        .list(tonic::Request::new(Default::default()))
        .await;
    let listed = listed.unwrap().into_inner().consumers;
    let names: Vec<_> = listed.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["good"]);
    cluster.shutdown().await;
}
