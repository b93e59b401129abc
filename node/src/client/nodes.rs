use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use replication::world::Network;
use tokio::{sync::Mutex, time::Instant};
use tonic::transport::{Channel, Endpoint};

use super::Error;

/// A half-dead connection is noticed within two of these.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// The nodes a client knows, and its connections to them.
pub(super) struct Nodes {
    nodes: Vec<Node>,
    /// The node that new attempts go to.
    favourite: AtomicUsize,
    network: Arc<dyn Network>,
    connect: Duration,
}

struct Node {
    address: String,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    channel: Option<Channel>,
    /// Rises with each connection, so that a failure drops the one it met and no later one.
    generation: u64,
    failed: Option<(Instant, String)>,
}

/// A connection, and what is needed to drop it.
pub(super) struct Connected {
    pub(super) node: usize,
    pub(super) channel: Channel,
    generation: u64,
}

/// There is no connection.
pub(super) struct NotConnected {
    pub(super) node: usize,
    pub(super) message: String,
}

impl Nodes {
    pub(super) fn new(
        addresses: Vec<String>,
        network: Arc<dyn Network>,
        connect: Duration,
    ) -> Result<Self, Error> {
        if addresses.is_empty() {
            return Err(Error::Options("name at least one node".to_owned()));
        }
        for address in &addresses {
            endpoint(address)?;
        }
        let node = |address| Node {
            address,
            slot: Mutex::default(),
        };
        let nodes = addresses.into_iter().map(node).collect();
        Ok(Self {
            nodes,
            favourite: AtomicUsize::new(0),
            network,
            connect,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.address.as_str())
    }

    /// Sends the next attempts elsewhere, unless another call has already seen to that.
    pub(super) fn leave(&self, node: usize) {
        let next = (node + 1) % self.nodes.len();
        let _ = self
            .favourite
            .compare_exchange(node, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A connection to the favourite node, the open one or a new one.
    pub(super) async fn connect(&self) -> Result<Connected, NotConnected> {
        let asked = Instant::now();
        let index = self.favourite.load(Ordering::Relaxed);
        let node = &self.nodes[index];
        let mut slot = node.slot.lock().await;
        if slot.channel.is_none() {
            // Calls that queued up behind a failed connection share its failure, or each would
            // wait for a timeout of its own, one after the other.
            if let Some((_, message)) = slot.failed.as_ref().filter(|(at, _)| *at >= asked) {
                return Err(NotConnected {
                    node: index,
                    message: message.clone(),
                });
            }
            match self.open(&node.address).await {
                Ok(channel) => {
                    slot.channel = Some(channel);
                    slot.generation += 1;
                }
                Err(message) => {
                    slot.failed = Some((Instant::now(), message.clone()));
                    return Err(NotConnected {
                        node: index,
                        message,
                    });
                }
            }
        }
        let channel = slot.channel.clone().expect("opened above");
        Ok(Connected {
            node: index,
            channel,
            generation: slot.generation,
        })
    }

    /// Forgets a connection on which an attempt was lost: a stream that lost packets to a cut may
    /// never recover, and a new one costs a round trip.
    pub(super) async fn drop_connection(&self, connected: &Connected) {
        let mut slot = self.nodes[connected.node].slot.lock().await;
        if slot.generation == connected.generation {
            slot.channel = None;
        }
    }

    async fn open(&self, address: &str) -> Result<Channel, String> {
        let endpoint = endpoint(address).map_err(|error| error.to_string())?;
        let network = self.network.clone();
        let target = address.to_owned();
        let connector = tower::service_fn(move |_: http::Uri| {
            let connecting = network.connect(&target);
            async move { connecting.await.map(TokioIo::new) }
        });
        let opening = endpoint.connect_with_connector(connector);
        match tokio::time::timeout(self.connect, opening).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(format!("{address}: {}", innermost(&error))),
            Err(_) => Err(format!(
                "{address}: no connection within {:?}",
                self.connect
            )),
        }
    }
}

fn endpoint(address: &str) -> Result<Endpoint, Error> {
    let bad = || {
        Error::Options(format!(
            "`{address}` is not an address of the form host:port"
        ))
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(bad());
    }
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| bad())?;
    Ok(endpoint
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true))
}

/// The cause that tells a person something: transport errors wrap it in "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        for good in ["127.0.0.1:7400", "node-1.bank.example:1", "[::1]:7400"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["", "7400", "host", "host:", ":7400", "host:70000", "a b:1"] {
            assert!(matches!(endpoint(bad), Err(Error::Options(_))), "{bad}");
        }
    }
}
