//! Regions that are far apart on one machine: what crosses between them takes as long as the
//! topology's dev settings say.
//!
//! Whoever dials delays both directions, because whoever is dialed does not know who calls.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use ledger_domain::RegionName;
use replication::{
    topology::Topology,
    world::{Connecting, Connection, Listening, Network},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

/// What is read at a time.
const CHUNK: usize = 64 << 10;
/// How many chunks are on their way at most.
const ON_THE_WAY: usize = 1_024;

/// A network in which other regions are as far as the topology says; the same one if they are not.
pub(super) fn apply(
    network: Arc<dyn Network>,
    topology: &Topology,
    region: &RegionName,
) -> Arc<dyn Network> {
    let one_way: BTreeMap<_, _> = topology
        .nodes
        .iter()
        .map(|node| {
            let millis = topology.round_trip_millis(region, &node.region);
            (node.address.clone(), Duration::from_millis(millis) / 2)
        })
        .filter(|(_, delay)| !delay.is_zero())
        .collect();
    if one_way.is_empty() {
        return network;
    }
    Arc::new(Distant { network, one_way })
}

struct Distant {
    network: Arc<dyn Network>,
    one_way: BTreeMap<String, Duration>,
}

impl Network for Distant {
    fn listen(&self, address: &str) -> Listening {
        self.network.listen(address)
    }

    fn connect(&self, address: &str) -> Connecting {
        let connecting = self.network.connect(address);
        let Some(one_way) = self.one_way.get(address).copied() else {
            return connecting;
        };
        Box::pin(async move {
            sleep(one_way).await;
            let far = connecting.await;
            sleep(one_way).await;
            Ok(Box::new(delayed(far?, one_way)) as Box<dyn Connection>)
        })
    }
}

/// The near end of a connection whose bytes take `one_way` in each direction.
fn delayed(far: Box<dyn Connection>, one_way: Duration) -> impl Connection {
    let (near, inner) = tokio::io::duplex(CHUNK);
    let (from_near, to_near) = tokio::io::split(inner);
    let (from_far, to_far) = tokio::io::split(far);
    carry(from_near, to_far, one_way);
    carry(from_far, to_near, one_way);
    near
}

/// Carries bytes from one end to the other, each `delay` after it came. The end of the stream
/// travels as long as its bytes do; an error ends the stream.
fn carry(
    mut from: impl AsyncRead + Send + Unpin + 'static,
    mut to: impl AsyncWrite + Send + Unpin + 'static,
    delay: Duration,
) {
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    tokio::spawn(async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let chunk = (Instant::now() + delay, buffer[..n].to_vec());
            if send.send(chunk).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, chunk)) = receive.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return Ok(());
            }
        }
        to.shutdown().await as io::Result<()>
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_take_their_time_and_keep_their_order() {
        let (far, mut peer) = tokio::io::duplex(CHUNK);
        let mut near = delayed(Box::new(far), Duration::from_millis(40));
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
}
