//! A stream of events over nodes that are killed.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use node::{
    api::{
        events::v1::{
            Order, ReadReply, ReadRequest,
            read_request::{Of, Start},
        },
        teller::v1::DepositRequest,
    },
    client::{Client, Options},
};

use crate::{
    cluster::{PATIENCE, Region, eventually, usd},
    events::{all_said, of},
    processes::{HOME, Processes},
};

const ABROAD: Region = Region {
    name: "abroad",
    time_zone: "UTC",
    nodes: 1,
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
async fn a_stream_goes_on_over_killed_nodes_without_a_gap_and_tells_nothing_twice() {
    let mut processes = Processes::start_with(&[ABROAD], 20).await;
    let teller = processes.client();
    let open = node::api::teller::v1::OpenAccountRequest {
        home_region: HOME.name.to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    let account = teller.open_account(open).await.unwrap().account_id;
    let addresses: Vec<_> = processes
        .members
        .iter()
        .map(|it| it.address.clone())
        .collect();
    let client = |addresses: &[String]| {
        let mut options = Options::new("reader");
        options.deadline = PATIENCE;
        Client::new(addresses.to_vec(), options).unwrap()
    };
    let request = ReadRequest {
        until_now: false,
        order: Order::Cut.into(),
        ..of(Of::Region(HOME.name.to_owned()))
    };
    let mut stream = client(&addresses).read_events(request.clone());
    let (mut told, mut nodes) = (Vec::new(), BTreeSet::new());
    let mut kept = String::new();
    for round in 0..4 {
        pay_in(&teller, &account, 40).await;
        let hearing = async {
            while told.len() < (round + 1) * 40 {
                let reply: ReadReply = stream.next().await.unwrap().unwrap();
                told.extend(all_said(&reply.events));
                nodes.insert(reply.served_by.unwrap().node);
                kept = reply.cursor;
            }
        };
        let heard = tokio::time::timeout(2 * PATIENCE, hearing).await;
        heard.expect("every event is told in time");
        // Each node of the region is killed once, so the one that tells is.
        let member = round % 3;
        processes.members[member].kill();
        processes.leader().await;
        processes.members[member].start();
        processes.leader().await;
    }
    // In another region it goes on by the cursor.
    drop(stream);
    let start = Some(Start::Cursor(kept));
    let mut stream = client(&addresses[3..]).read_events(ReadRequest {
        start,
        ..request.clone()
    });
    pay_in(&teller, &account, 20).await;
    let hearing = async {
        while told.len() < 180 {
            let reply: ReadReply = stream.next().await.unwrap().unwrap();
            told.extend(all_said(&reply.events));
            nodes.insert(reply.served_by.unwrap().node);
        }
    };
    let heard = tokio::time::timeout(2 * PATIENCE, hearing).await;
    heard.expect("every event is told in time");
    assert!(nodes.len() > 1, "{nodes:?}");
    // Who was away reads less until it has caught up.
    let mut all = Vec::new();
    eventually("a node has all of it", async || {
        let mut whole = client(&addresses).read_events(ReadRequest {
            until_now: true,
            ..request.clone()
        });
        all.clear();
        while let Some(reply) = whole.next().await {
            all.extend(all_said(&reply.unwrap().events));
        }
        all.iter().filter(|it| it.4 == "FundsDeposited").count() == 180
    })
    .await;
    let len = told.len();
    assert_eq!(told[..], all[..len]);
}
