//! A network in which nodes can fall silent: nothing of theirs arrives and nothing reaches them,
//! but no connection is closed. New connections are refused, which must not be taken for an end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use replication::world::{Connecting, Connection, Listening, Network, TcpNetwork};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

/// What is wrong with the network.
#[derive(Default)]
struct Trouble {
    silent: BTreeSet<u64>,
    /// Who dials, and whom: these lines are closed, as if the process there had ended.
    closed: BTreeSet<(u64, u64)>,
}

/// Who is silent. Shared by the networks of all nodes.
#[derive(Clone, Default)]
pub struct Silence(Arc<watch::Sender<Trouble>>);

impl Silence {
    pub fn begin(&self, node: u64) {
        self.0
            .send_modify(|trouble| assert!(trouble.silent.insert(node)));
    }

    pub fn end(&self, node: u64) {
        self.0
            .send_modify(|trouble| assert!(trouble.silent.remove(&node)));
    }

    /// Closes the lines that one node dialed to another, and refuses new ones.
    pub fn close(&self, from: u64, to: u64) {
        self.0
            .send_modify(|trouble| assert!(trouble.closed.insert((from, to))));
    }

    /// The network of a node.
    pub fn network(&self, node: u64, addresses: &BTreeMap<u64, String>) -> Hushed {
        Hushed {
            trouble: self.0.subscribe(),
            node,
            addresses: addresses.clone(),
        }
    }
}

/// One node's network. Who dials holds back both directions.
pub struct Hushed {
    trouble: watch::Receiver<Trouble>,
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
            trouble: self.trouble.clone(),
            ends: [self.node, *called.expect("a replica's address").0],
        };
        let connecting = TcpNetwork.connect(address);
        Box::pin(async move {
            if !way.is_open(&way.trouble.borrow()) {
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
    trouble: watch::Receiver<Trouble>,
    /// Who dialed, and whom.
    ends: [u64; 2],
}

impl Way {
    fn is_open(&self, trouble: &Trouble) -> bool {
        !self.is_closed(trouble) && !self.ends.iter().any(|end| trouble.silent.contains(end))
    }

    fn is_closed(&self, trouble: &Trouble) -> bool {
        let [from, to] = self.ends;
        trouble.closed.contains(&(from, to))
    }

    async fn until(&self, condition: impl FnMut(&Trouble) -> bool) {
        if self.trouble.clone().wait_for(condition).await.is_err() {
            std::future::pending().await
        }
    }
}

async fn carry(from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin, way: Way) {
    tokio::select! {
        () = way.until(|trouble| way.is_closed(trouble)) => {}
        () = carry_while_open(from, to, &way) => {}
    }
}

async fn carry_while_open(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: &Way,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        way.until(|trouble| way.is_open(trouble)).await;
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
    way.until(|trouble| way.is_open(trouble)).await;
    // The other end may be gone already.
    let _ = to.shutdown().await;
}
