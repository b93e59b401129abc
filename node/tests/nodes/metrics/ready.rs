//! A node says that it is ready only when it is, and what it lacks when it is not.

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
};

use node::server;
use replication::{
    rocks::RocksDisk,
    world::{Disk, Engine, Store, World},
};
use tokio::sync::oneshot;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::scrape::{Scraped, get, until};
use crate::{
    cluster::{self, Cluster, Region},
    running::{config, free_address, world},
};

/// What a disk waits for. It is open at the end, however the test ends: a node that waits for ever
/// would keep the test's process.
#[derive(Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// A disk that opens nothing before it is let go.
struct SlowDisk {
    disk: RocksDisk,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Disk for SlowDisk {
    fn open(&self, store: Store) -> io::Result<Arc<dyn Engine>> {
        let (open, changed) = &*self.gate;
        let opened = open.lock().unwrap();
        drop(changed.wait_while(opened, |open| !*open).unwrap());
        self.disk.open(store)
    }

    fn wipe(&self, store: Store) -> io::Result<()> {
        self.disk.wipe(store)
    }

    fn has(&self, store: Store) -> bool {
        self.disk.has(store)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_recovers_lives_and_is_not_ready() {
    let data = tempfile::tempdir().unwrap();
    let listen = free_address();
    let mut config = config(data.path());
    config.metrics_listen = Some(listen.clone());
    let gate = Gate::default();
    let disk = SlowDisk {
        disk: RocksDisk::new(data.path().to_owned()),
        gate: gate.0.clone(),
    };
    let world = World {
        disk: Arc::new(disk),
        archive: None,
        ..world(data.path())
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server::run(config, world, async {
        let _ = stopped.await;
    }));
    let listening = async {
        while tokio::net::TcpStream::connect(&listen).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(cluster::PATIENCE, listening)
        .await
        .unwrap();
    let recovering = "not ready\nthe node is still recovering\n";
    assert_eq!(get(&listen, "/readyz").await, (503, recovering.to_owned()));
    assert_eq!(get(&listen, "/livez").await, (200, "live\n".to_owned()));
    let early = Scraped::of(&listen).await;
    assert_eq!(early.value("meridian_ready", "service=admin"), 0.0);
    assert!(early.get("meridian_log_syncs_total", "").is_none());

    gate.open();
    until(&listen, "/readyz", |status, body| {
        (status, body) == (200, "ready\n")
    })
    .await;
    let ready = Scraped::of(&listen).await;
    assert_eq!(ready.value("meridian_ready", "service=node"), 1.0);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

async fn health(channel: Channel) -> [bool; 4] {
    let mut health = HealthClient::new(channel);
    let mut told = [false; 4];
    let names = ["", "teller.v1.Teller", "atm.v1.Atm", "admin.v1.Admin"];
    for (told, name) in told.iter_mut().zip(names) {
        let service = match name {
            "" => String::new(),
            name => format!("meridian.{name}"),
        };
        let reply = health.check(HealthCheckRequest { service }).await.unwrap();
        *told = reply.into_inner().status() == ServingStatus::Serving;
    }
    told
}

/// Health over gRPC is told within a moment of `/readyz`.
async fn health_becomes(channel: Channel, wanted: [bool; 4]) {
    let waiting = async {
        while health(channel.clone()).await != wanted {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(cluster::PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{:?}", health(channel).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_a_node_reads_and_does_not_write() {
    let region = Region {
        name: "eu-west",
        time_zone: "Europe/Dublin",
        nodes: 3,
    };
    let mut cluster = Cluster::start(&[region]).await;
    for node in cluster.nodes() {
        until(&node.metrics, "/readyz", |status, _| status == 200).await;
        health_becomes(node.channel(), [true; 4]).await;
    }
    let mut leaders = Vec::new();
    for node in cluster.nodes() {
        let scraped = Scraped::of(&node.metrics).await;
        if scraped.value("meridian_raft_leader", "shard=1") == 1.0 {
            leaders.push(node.id);
        }
    }
    // The one that goes on calling itself the leader must notice that nobody hears it.
    let [alone] = leaders[..] else {
        panic!("{leaders:?} lead");
    };
    let others = [1, 2, 3].into_iter().filter(|id| *id != alone);
    for id in others.clone() {
        cluster.stop(id).await;
    }
    let left = cluster.node(alone);
    let says = "not ready\nshard 1 has no quorum here\n";
    until(&left.metrics, "/readyz", |status, body| {
        (status, body) == (503, says)
    })
    .await;
    health_becomes(left.channel(), [false, false, true, true]).await;
    let scraped = Scraped::of(&left.metrics).await;
    assert_eq!(scraped.value("meridian_raft_in_quorum", "shard=1"), 0.0);

    let back = others.clone().next().unwrap();
    cluster.restart(back).await;
    for id in [back, alone] {
        let node = cluster.node(id);
        until(&node.metrics, "/readyz", |status, _| status == 200).await;
        health_becomes(node.channel(), [true; 4]).await;
    }
    cluster.shutdown().await;
}
