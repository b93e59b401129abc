//! A network that can be cut between regions, without anybody being told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use replication::{
    topology::Topology,
    world::{Connecting, Connection, Listening, Network},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
};

const CHUNK: usize = 64 << 10;

/// Which regions, and which nodes by their addresses, are cut off from other regions. Shared by the networks of all nodes.
#[derive(Clone)]
pub struct Gate {
    region_of: Arc<BTreeMap<String, String>>,
    cut: Arc<watch::Sender<BTreeSet<String>>>,
    tape: Tape,
}

/// What went each way over each connection between regions since somebody began to record.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Option<Vec<Vec<u8>>>>>);

impl Tape {
    /// Takes down what goes one way, under the number that it has, or gets now.
    fn take_down(&self, bytes: &[u8], number: &mut Option<usize>) {
        if let Some(ways) = self.0.lock().unwrap().as_mut() {
            let number = *number.get_or_insert_with(|| {
                ways.push(Vec::new());
                ways.len() - 1
            });
            ways[number].extend_from_slice(bytes);
        }
    }
}

impl Gate {
    pub fn new(topology: &Topology) -> Self {
        let nodes = topology.nodes.iter();
        let region_of = nodes.map(|node| (node.address.clone(), node.region.to_string()));
        Self {
            region_of: Arc::new(region_of.collect()),
            cut: Arc::default(),
            tape: Tape::default(),
        }
    }

    pub fn record(&self) {
        *self.tape.0.lock().unwrap() = Some(Vec::new());
    }

    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.tape.0.lock().unwrap().take().expect("it was recorded")
    }

    pub fn cut(&self, end: &str) {
        self.cut
            .send_modify(|cut| assert!(cut.insert(end.to_owned()), "it is cut already"));
    }

    pub fn heal(&self, end: &str) {
        self.cut
            .send_modify(|cut| assert!(cut.remove(end), "it was not cut"));
    }
}

/// One node's network behind a gate. Who dials holds back both directions.
pub struct Gated<N> {
    network: N,
    gate: Gate,
    region: String,
    address: String,
}

impl<N> Gated<N> {
    pub fn new(network: N, gate: &Gate, region: &str, address: &str) -> Self {
        Self {
            network,
            gate: gate.clone(),
            region: region.to_owned(),
            address: address.to_owned(),
        }
    }
}

impl<N: Network> Network for Gated<N> {
    fn listen(&self, address: &str) -> Listening {
        self.network.listen(address)
    }

    fn connect(&self, address: &str) -> Connecting {
        let connecting = self.network.connect(address);
        match self.gate.region_of.get(address) {
            Some(region) if *region != self.region => {
                let way = Way {
                    cut: self.gate.cut.subscribe(),
                    tape: self.gate.tape.clone(),
                    ends: [&self.region[..], region, &self.address, address]
                        .map(|end| end.to_owned()),
                };
                Box::pin(async move {
                    way.clone().open().await;
                    Ok(Box::new(held(connecting.await?, &way)) as Box<dyn Connection>)
                })
            }
            _ => connecting,
        }
    }
}

/// The way between two nodes of two regions.
#[derive(Clone)]
struct Way {
    cut: watch::Receiver<BTreeSet<String>>,
    tape: Tape,
    ends: [String; 4],
}

impl Way {
    /// Waits until nothing is cut. Where the cluster is gone that is never.
    async fn open(&mut self) {
        let ends = &self.ends;
        let passable = |cut: &BTreeSet<String>| !ends.iter().any(|end| cut.contains(end));
        if self.cut.wait_for(passable).await.is_err() {
            std::future::pending().await
        }
    }
}

/// The near end of a connection whose bytes wait while the way is cut.
fn held(far: Box<dyn Connection>, way: &Way) -> impl Connection {
    let (near, inner) = tokio::io::duplex(CHUNK);
    let (from_near, to_near) = tokio::io::split(inner);
    let (from_far, to_far) = tokio::io::split(far);
    tokio::spawn(carry(from_near, to_far, way.clone()));
    tokio::spawn(carry(from_far, to_near, way.clone()));
    near
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut way: Way) {
    let (mut buffer, mut number) = (vec![0; CHUNK], None);
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        way.open().await;
        way.tape.take_down(&buffer[..n], &mut number);
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
    way.open().await;
    // The other end may be gone already.
    let _ = to.shutdown().await;
}
