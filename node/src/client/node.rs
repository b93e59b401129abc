use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use replication::world::Network;
use tokio::{sync::Mutex, time::Instant};
use tonic::transport::{Channel, Endpoint};

use super::{Error, choice};

/// A half-dead connection is noticed within two of these.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// One node: the connection to it, and what this client has seen of it.
pub(super) struct Node {
    pub(super) address: String,
    /// Not known of a node that was only named.
    pub(super) region: Option<String>,
    slot: Mutex<Slot>,
    in_flight: AtomicU32,
    /// In nanoseconds; zero until it is measured.
    round_trip: AtomicU64,
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
    pub(super) channel: Channel,
    generation: u64,
}

/// A call under way, for as long as this lives: also one whose caller does not wait for its end.
pub(super) struct UnderWay(Arc<Node>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    /// A node at an address of the form host:port.
    pub(super) fn new(address: String, region: Option<String>) -> Result<Self, Error> {
        endpoint(&address)?;
        Ok(Self {
            address,
            region,
            slot: Mutex::default(),
            in_flight: AtomicU32::new(0),
            round_trip: AtomicU64::new(0),
        })
    }

    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        let nanos = self.round_trip.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    pub(super) fn measured(&self, round_trip: Duration) {
        let smoothed = choice::smoothed(self.round_trip(), round_trip);
        let nanos = u64::try_from(smoothed.as_nanos()).unwrap_or(u64::MAX);
        self.round_trip.store(nanos.max(1), Ordering::Relaxed);
    }

    /// The open connection or a new one, or why there is none.
    pub(super) async fn connect(
        &self,
        network: &Arc<dyn Network>,
        patience: Duration,
    ) -> Result<Connected, String> {
        let asked = Instant::now();
        let mut slot = self.slot.lock().await;
        if slot.channel.is_none() {
            // Calls that queued up behind a failed connection share its failure, or each would
            // wait for a timeout of its own, one after the other.
            if let Some((_, message)) = slot.failed.as_ref().filter(|(at, _)| *at >= asked) {
                return Err(message.clone());
            }
            match open(&self.address, network, patience).await {
                Ok(channel) => {
                    slot.channel = Some(channel);
                    slot.generation += 1;
                }
                Err(message) => {
                    slot.failed = Some((Instant::now(), message.clone()));
                    return Err(message);
                }
            }
        }
        let channel = slot.channel.clone().expect("opened above");
        Ok(Connected {
            channel,
            generation: slot.generation,
        })
    }

    /// Forgets a connection on which an attempt was lost: a stream that lost packets to a cut may
    /// never recover, and a new one costs a round trip.
    pub(super) async fn drop_connection(&self, connected: &Connected) {
        let mut slot = self.slot.lock().await;
        if slot.generation == connected.generation {
            slot.channel = None;
        }
    }
}

async fn open(
    address: &str,
    network: &Arc<dyn Network>,
    patience: Duration,
) -> Result<Channel, String> {
    let endpoint = endpoint(address).map_err(|error| error.to_string())?;
    let (network, target) = (network.clone(), address.to_owned());
    let connector = tower::service_fn(move |_: http::Uri| {
        let connecting = network.connect(&target);
        async move { connecting.await.map(TokioIo::new) }
    });
    let opening = endpoint.connect_with_connector(connector);
    match tokio::time::timeout(patience, opening).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(format!("{address}: {}", innermost(&error))),
        Err(_) => Err(format!("{address}: no connection within {patience:?}")),
    }
}

pub(super) fn endpoint(address: &str) -> Result<Endpoint, Error> {
    let bad = || {
        Error::Options(format!(
            "`{address}` is not an address of the form host:port"
        ))
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
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
        for bad in [
            "http://host:1",
            "",
            "7400",
            "host",
            "host:",
            ":7400",
            "host:70000",
            "a b:1",
        ] {
            assert!(matches!(endpoint(bad), Err(Error::Options(_))), "{bad}");
        }
    }
}
