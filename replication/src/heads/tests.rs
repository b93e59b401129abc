use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use ledger_domain::{RegionName, ShardId, SignedHead};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Comparison, Exchange, HeadsService, Homes, Told};
use crate::log::LogHub;
use crate::peer::{self, PeerOptions, Peers};
use crate::scripted_home::{ScriptedHome, free_address, hub};
use crate::world::{Network, TcpNetwork};

const SHARD: ShardId = ShardId(4);
const PATIENCE: Duration = Duration::from_secs(30);

fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn homes() -> Homes {
    Homes {
        regions: BTreeMap::from([(SHARD, region("eu-west"))]),
        keys: BTreeMap::from([(region("eu-west"), key().verifying_key())]),
    }
}

/// A node that exchanges heads; the home is node 1, at this address.
fn exchange(hub: LogHub, home_at: &str, told: &Told) -> Exchange {
    let address = home_at.to_owned();
    let directory = Arc::new(move |node| (node == 1).then(|| address.clone()));
    Exchange {
        hub,
        peers: Peers::new(Arc::new(TcpNetwork), directory, PeerOptions::brisk()),
        region: region("us-east"),
        key: SigningKey::from_bytes(&[6; 32]),
        votes: BTreeMap::new(),
        homes: homes(),
        nodes: BTreeMap::from([(region("eu-west"), vec![1])]),
        interval: Duration::from_millis(20),
        told: told.clone(),
    }
}

/// Serves heads at an address until the test ends.
async fn serve(address: &str, told: &Told) {
    let options = PeerOptions::brisk();
    let router = peer::server(&options).add_service(HeadsService::server(told.clone()));
    let incoming = TcpNetwork.listen(address).await.unwrap();
    tokio::spawn(async move {
        let stopped = std::future::pending::<()>();
        peer::serve(router, incoming, stopped, PATIENCE)
            .await
            .unwrap();
    });
}

async fn until(told: &Told, done: impl Fn(&Told) -> bool) {
    let done = async {
        while !done(told) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, done).await.expect("it comes to be");
}

#[tokio::test]
async fn a_head_is_signed_at_home_and_compared_abroad_as_soon_as_its_index_is_there() {
    let home = ScriptedHome::eventful(SHARD.0);
    let last = home.next() - 1;
    let (_dir, at_home) = hub();
    home.store(&at_home, 0..home.next()).await;
    let (applied, receiver) = watch::channel(10);
    let (signed, address) = (Told::default(), free_address());
    serve(&address, &signed).await;
    let signing = Exchange {
        region: region("eu-west"),
        key: key(),
        votes: BTreeMap::from([(SHARD, receiver)]),
        nodes: BTreeMap::new(),
        ..exchange(at_home, &address, &signed)
    };
    let signing = tokio::spawn(signing.run());

    let (_dir, abroad) = hub();
    home.store(&abroad, 0..20).await;
    let told = Told::default();
    let asking = tokio::spawn(exchange(abroad.clone(), &address, &told).run());
    until(&told, |told| told.status().compared == 1).await;
    let (head, comparison) = told.told().remove(0);
    assert_eq!((head.index, comparison), (10, Comparison::Agrees));
    assert_eq!(head.head, home.records[10].head);

    applied.send_replace(last);
    until(&told, |told| told.told().len() == 2).await;
    assert_eq!(told.told()[1].1, Comparison::Waits);
    home.store(&abroad, 20..home.next()).await;
    until(&told, |told| told.status().compared == 2).await;
    assert_eq!((told.status().forks, told.status().refused), (vec![], 0));

    // Another start knows them too.
    asking.abort();
    signing.abort();
    let again = Told::default();
    let asking = tokio::spawn(exchange(abroad, "127.0.0.1:1", &again).run());
    until(&again, |told| told.status().compared == 2).await;
    asking.abort();
}

#[tokio::test]
async fn a_fork_is_named_and_its_proof_is_kept() {
    let home = ScriptedHome::eventful(SHARD.0);
    let (_dir, abroad) = hub();
    home.store(&abroad, 0..home.next()).await;
    let (says, address) = (Told::default(), free_address());
    serve(&address, &says).await;
    says.sign(SignedHead::sign(
        (SHARD, 7, [9; 32]),
        region("eu-west"),
        &key(),
    ));
    let told = Told::default();
    let asking = tokio::spawn(exchange(abroad.clone(), &address, &told).run());
    until(&told, |told| told.status().compared == 1).await;
    let fork = told.status().forks.remove(0);
    assert_eq!((fork.told.index, fork.here), (7, home.records[7].head));
    let named = fork.to_string();
    assert!(
        named.starts_with("shard 4 has two histories: at (7, 0909"),
        "{named}"
    );

    // Many good ones later it is still there.
    for index in 20..60 {
        let head = home.records[index].head;
        let place = (SHARD, index as u64, head);
        told.keep(SignedHead::sign(place, region("eu-west"), &key()));
    }
    until(&told, |told| {
        told.told().iter().all(|it| it.1 != Comparison::Waits)
    })
    .await;
    let kept = told.told();
    assert!(kept.len() <= 10, "{}", kept.len());
    assert_eq!((kept[0].0.index, kept[0].1), (7, Comparison::Differs));
    until(&told, |_| {
        abroad.told_heads(SHARD.0).unwrap().len() == kept.len()
    })
    .await;
    asking.abort();
}

#[tokio::test]
async fn what_the_home_has_not_signed_is_refused() {
    let home = ScriptedHome::eventful(SHARD.0);
    let (_dir, abroad) = hub();
    home.store(&abroad, 0..home.next()).await;
    let stranger = SigningKey::from_bytes(&[7; 32]);
    for (signer, name) in [
        (&stranger, "eu-west"),
        (&key(), "us-east"),
        (&stranger, "x"),
    ] {
        let (says, address) = (Told::default(), free_address());
        serve(&address, &says).await;
        says.sign(SignedHead::sign((SHARD, 7, [9; 32]), region(name), signer));
        let told = Told::default();
        let asking = tokio::spawn(exchange(abroad.clone(), &address, &told).run());
        until(&told, |told| told.status().refused > 0).await;
        assert_eq!((told.told(), told.status().forks), (vec![], vec![]));
        asking.abort();
    }
}
