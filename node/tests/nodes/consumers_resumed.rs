//! A consumer group over leaders that are killed.

use std::{collections::BTreeSet, time::Duration};

use node::{
    api::{
        consumers::v1::{CreateConsumerRequest, Order, create_consumer_request::Of},
        events::v1::Filter,
        teller::v1::{DepositRequest, OpenAccountRequest},
    },
    client::Client,
};

use crate::{
    cluster::{PATIENCE, eventually, usd},
    consumers::{client, join, next},
    events::{Said, said},
    processes::{HOME, Processes},
};

async fn pay_in(client: &Client, account: &str, count: usize) {
    for _ in 0..count {
        let deposit = DepositRequest {
            account_id: account.to_owned(),
            amount: usd(3),
            ..DepositRequest::default()
        };
        client.deposit(deposit).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_killed_leaders_nothing_is_missing_and_only_what_was_not_recorded_comes_twice() {
    let mut processes = Processes::start().await;
    let teller = processes.client();
    let open = OpenAccountRequest {
        home_region: HOME.name.to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    let account = teller.open_account(open).await.unwrap().account_id;
    let addresses = processes.members.iter().map(|it| it.address.clone());
    let client = client(addresses.collect());
    let create = CreateConsumerRequest {
        region: HOME.name.to_owned(),
        name: "over".to_owned(),
        of: Some(Of::OfRegion(HOME.name.to_owned())),
        order: Order::Account.into(),
        spread: 1,
        filter: Some(Filter {
            kinds: vec!["FundsDeposited".to_owned()],
            ..Filter::default()
        }),
        ..CreateConsumerRequest::default()
    };
    client.create_consumer(create).await.unwrap();
    let mut consumer = client.consume(join(HOME.name, "over"));
    let mut seen: BTreeSet<Said> = BTreeSet::new();
    let mut order: Vec<Said> = Vec::new();
    for round in 1..=3 {
        pay_in(&teller, &account, 40).await;
        while seen.len() < round * 40 {
            let delivery = next(&mut consumer, 2 * PATIENCE).await;
            let delivery = delivery.expect("another event");
            let event = said(delivery.event.as_ref().unwrap());
            consumer.acknowledge(&delivery);
            if seen.insert(event.clone()) {
                order.push(event);
            }
        }
        assert!(order.is_sorted());
        // All of it is recorded, or what is not comes again.
        eventually("it is recorded", async || {
            let shown = client.consumer(HOME.name, "over").await;
            let share = &shown.unwrap().consumer.unwrap().shares[0];
            share.entries_behind <= 2 && share.unacknowledged == 0
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let leader = processes.leader().await;
        processes.members[leader].kill();
        processes.leader().await;
        processes.members[leader].start();
        let again = next(&mut consumer, Duration::from_secs(4)).await;
        assert_eq!(again, None, "what was acknowledged and recorded");
    }
    assert_eq!(order.len(), 120);
}
