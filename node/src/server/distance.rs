//! Regions that are far apart on one machine: what crosses between them takes as long as the
//! topology's dev settings say, and the link to a region can be cut.
//!
//! Whoever dials delays both directions, because whoever is dialed does not know who calls. A cut
//! loses no byte, as with TCP: what was sent arrives after the link is mended, if the connection
//! lives that long.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ledger_domain::RegionName;
use replication::{
    topology::Topology,
    world::{Connecting, Connection, Listening, Network},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

/// What is read at a time.
const CHUNK: usize = 64 << 10;
/// How many chunks are on their way at most.
const ON_THE_WAY: usize = 1_024;

/// A network in which other regions are as far away as the topology says. Clones share its links.
#[derive(Clone)]
pub(super) struct Distances {
    network: Arc<dyn Network>,
    places: Arc<BTreeMap<String, (RegionName, Duration)>>,
    cut: Arc<watch::Sender<BTreeSet<RegionName>>>,
}

/// One direction's way to a region.
#[derive(Clone)]
struct Link {
    to: RegionName,
    one_way: Duration,
    cut: watch::Receiver<BTreeSet<RegionName>>,
}

impl Distances {
    /// Distances as seen from a region; `None` where the topology has none.
    pub(super) fn new(
        network: Arc<dyn Network>,
        topology: &Topology,
        region: &RegionName,
    ) -> Option<Self> {
        if topology.dev.round_trips.is_empty() {
            return None;
        }
        let places = topology
            .nodes
            .iter()
            .filter(|node| node.region != *region)
            .map(|node| {
                let millis = topology.round_trip_millis(region, &node.region);
                let place = (node.region, Duration::from_millis(millis) / 2);
                (node.address.clone(), place)
            })
            .collect();
        Some(Self {
            network,
            places: Arc::new(places),
            cut: Arc::new(watch::channel(BTreeSet::new()).0),
        })
    }

    /// Cuts the link to a region, or mends it.
    pub(super) fn set_cut(&self, region: RegionName, is_cut: bool) {
        self.cut.send_modify(|cut| {
            if is_cut {
                cut.insert(region);
            } else {
                cut.remove(&region);
            }
        });
    }
}

impl Network for Distances {
    fn listen(&self, address: &str) -> Listening {
        self.network.listen(address)
    }

    fn connect(&self, address: &str) -> Connecting {
        let Some((to, one_way)) = self.places.get(address).copied() else {
            return self.network.connect(address);
        };
        let (network, address) = (self.network.clone(), address.to_owned());
        let mut link = Link {
            to,
            one_way,
            cut: self.cut.subscribe(),
        };
        Box::pin(async move {
            sleep(link.one_way).await;
            link.mended().await;
            let far = network.connect(&address).await;
            sleep(link.one_way).await;
            Ok(Box::new(link.stretch(far?)) as Box<dyn Connection>)
        })
    }
}

impl Link {
    async fn mended(&mut self) {
        // The sender lives as long as the node.
        let _ = self.cut.wait_for(|cut| !cut.contains(&self.to)).await;
    }

    /// The near end of a connection whose bytes take this link in each direction.
    fn stretch(self, far: Box<dyn Connection>) -> impl Connection {
        let (near, inner) = tokio::io::duplex(CHUNK);
        let (from_near, to_near) = tokio::io::split(inner);
        let (from_far, to_far) = tokio::io::split(far);
        self.clone().carry(from_near, to_far);
        self.carry(from_far, to_near);
        near
    }

    /// Carries bytes from one end to the other. The end of the stream travels as long as its bytes
    /// do; an error ends the stream.
    fn carry(
        mut self,
        mut from: impl AsyncRead + Send + Unpin + 'static,
        mut to: impl AsyncWrite + Send + Unpin + 'static,
    ) {
        let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
        let one_way = self.one_way;
        tokio::spawn(async move {
            let mut buffer = vec![0; CHUNK];
            while let Ok(n @ 1..) = from.read(&mut buffer).await {
                let chunk = (Instant::now() + one_way, buffer[..n].to_vec());
                if send.send(chunk).await.is_err() {
                    break;
                }
            }
        });
        tokio::spawn(async move {
            while let Some((due, chunk)) = receive.recv().await {
                sleep_until(due).await;
                self.mended().await;
                if to.write_all(&chunk).await.is_err() {
                    return;
                }
            }
            // The other end may be gone already.
            let _ = to.shutdown().await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_WAY: Duration = Duration::from_millis(40);

    fn link() -> (Link, watch::Sender<BTreeSet<RegionName>>) {
        let (switch, cut) = watch::channel(BTreeSet::new());
        let link = Link {
            to: "far".parse().unwrap(),
            one_way: ONE_WAY,
            cut,
        };
        (link, switch)
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_take_their_time_and_keep_their_order() {
        let (far, mut peer) = tokio::io::duplex(CHUNK);
        let (link, _switch) = link();
        let mut near = link.stretch(Box::new(far));
        let start = Instant::now();
        near.write_all(b"one").await.unwrap();
        sleep(Duration::from_millis(10)).await;
        near.write_all(b"two").await.unwrap();
        let mut got = [0; 3];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!((&got, start.elapsed().as_millis()), (b"one", 40));
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!((&got, start.elapsed().as_millis()), (b"two", 50));
        peer.write_all(b"six").await.unwrap();
        drop(peer);
        near.read_exact(&mut got).await.unwrap();
        assert_eq!((&got, start.elapsed().as_millis()), (b"six", 90));
        assert_eq!(near.read(&mut got).await.unwrap(), 0, "the end comes too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_link_is_silent_until_it_is_mended() {
        let (far, mut peer) = tokio::io::duplex(CHUNK);
        let (link, switch) = link();
        let mut near = link.stretch(Box::new(far));
        switch.send_replace(["far".parse().unwrap()].into());
        near.write_all(b"one").await.unwrap();
        let mut got = [0; 3];
        let hour = Duration::from_secs(3600);
        assert!(
            tokio::time::timeout(hour, peer.read_exact(&mut got))
                .await
                .is_err()
        );
        switch.send_replace(BTreeSet::new());
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"one");
    }
}
