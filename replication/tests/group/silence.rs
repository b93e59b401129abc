//! A network in which nodes can fall silent: nothing of theirs arrives and nothing reaches them,
//! but no connection is closed. New connections are refused, which must not be taken for an end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use replication::world::{Connecting, Connection, Listening, Network, TcpNetwork};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

/// Who is silent. Shared by the networks of all nodes.
#[derive(Clone, Default)]
pub struct Silence(Arc<watch::Sender<BTreeSet<u64>>>);

impl Silence {
    pub fn begin(&self, node: u64) {
        self.0.send_modify(|silent| assert!(silent.insert(node)));
    }

    pub fn end(&self, node: u64) {
        self.0.send_modify(|silent| assert!(silent.remove(&node)));
    }

    /// The network of a node.
    pub fn network(&self, node: u64, addresses: &BTreeMap<u64, String>) -> Hushed {
        Hushed {
            silent: self.0.subscribe(),
            node,
            addresses: addresses.clone(),
        }
    }
}

/// One node's network. Who dials holds back both directions.
pub struct Hushed {
    silent: watch::Receiver<BTreeSet<u64>>,
    node: u64,
    addresses: BTreeMap<u64, String>,
}

impl Network for Hushed {
    fn listen(&self, address: &str) -> Listening {
        TcpNetwork.listen(address)
    }

    fn connect(&self, address: &str) -> Connecting {
        let called = self.addresses.iter().find(|(_, known)| *known == address);
        let way = Way {
            silent: self.silent.clone(),
            ends: [self.node, *called.expect("a replica's address").0],
        };
        let connecting = TcpNetwork.connect(address);
        Box::pin(async move {
            if !way.is_open(&way.silent.borrow()) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (near, inner) = tokio::io::duplex(1 << 16);
            let (near_reads, near_writes) = tokio::io::split(inner);
            let (far_reads, far_writes) = tokio::io::split(connecting.await?);
            tokio::spawn(carry(near_reads, far_writes, way.clone()));
            tokio::spawn(carry(far_reads, near_writes, way));
            Ok(Box::new(near) as Box<dyn Connection>)
        })
    }
}

#[derive(Clone)]
struct Way {
    silent: watch::Receiver<BTreeSet<u64>>,
    ends: [u64; 2],
}

impl Way {
    fn is_open(&self, silent: &BTreeSet<u64>) -> bool {
        !self.ends.iter().any(|end| silent.contains(end))
    }

    async fn open(&self) {
        let mut silent = self.silent.clone();
        if silent
            .wait_for(|silent| self.is_open(silent))
            .await
            .is_err()
        {
            std::future::pending().await
        }
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, way: Way) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        way.open().await;
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
    way.open().await;
    // The other end may be gone already.
    let _ = to.shutdown().await;
}
