use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::PeerOptions;
use super::attendance::Attendance;
use super::identity::Identity;
use crate::world::Network;

/// Where a node listens for its peers, `host:port`, if that is known.
pub type Addresses = Arc<dyn Fn(u64) -> Option<String> + Send + Sync>;

/// Why there is no way to a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The directory does not know the node.
    #[error("node {0} has no known address")]
    NoAddress(u64),
    /// The directory's address is not one.
    #[error("node {node} has the unusable address {address:?}")]
    BadAddress {
        /// The peer.
        node: u64,
        /// What stands for its address.
        address: String,
    },
}

/// The connections of a node to its peers, one each. Cheap to clone.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    network: Arc<dyn Network>,
    addresses: Addresses,
    options: PeerOptions,
    lines: Mutex<Lines>,
    attendance: Attendance,
    identity: OnceLock<Identity>,
}

#[derive(Default)]
struct Lines {
    open: BTreeMap<u64, Line>,
    dialed: u64,
}

/// A connection to a peer as it was when it was asked for. It connects on the first call.
#[derive(Clone)]
pub struct Line {
    node: u64,
    address: String,
    channel: Channel,
    number: u64,
    since: Instant,
}

impl Line {
    /// The peer.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// The channel to make calls on.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// Whether the connection may be at fault: the peer's own refusals arrive by a working one.
pub(crate) fn blames_the_line(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::DeadlineExceeded
    )
}

impl Peers {
    /// No connection is opened before the first call.
    pub fn new(network: Arc<dyn Network>, addresses: Addresses, options: PeerOptions) -> Self {
        Self(Arc::new(Inner {
            network,
            addresses,
            options,
            lines: Mutex::default(),
            attendance: Attendance::default(),
            identity: OnceLock::new(),
        }))
    }

    /// Says who this node is, once. Nobody makes or answers Raft's calls before.
    pub fn identify(&self, identity: Identity) {
        // A node has one disk: who says so again says the same.
        let _ = self.0.identity.set(identity);
    }

    /// Who this node is, if that was said.
    pub fn identity(&self) -> Option<&Identity> {
        self.0.identity.get()
    }

    /// How connections are kept.
    pub fn options(&self) -> &PeerOptions {
        &self.0.options
    }

    /// The present connection to a node whose address the directory knows.
    pub fn line(&self, node: u64) -> Result<Line, Error> {
        let address = (self.0.addresses)(node).ok_or(Error::NoAddress(node))?;
        self.line_at(node, address)
    }

    /// The present connection to a node; where the directory knows no address, `fallback` is
    /// dialed.
    pub fn line_or(&self, node: u64, fallback: &str) -> Result<Line, Error> {
        let address = (self.0.addresses)(node).unwrap_or_else(|| fallback.to_owned());
        self.line_at(node, address)
    }

    /// Tells that a call on this line failed in a way that may be the connection's fault. Who
    /// asks next gets a new one; calls under way on the old one are left to end by themselves.
    ///
    /// A line that is younger than the connect timeout is kept: when a peer is down every call
    /// fails, and dialing on each of them would exhaust ports.
    pub fn suspect(&self, line: &Line) {
        if line.since.elapsed() < self.0.options.connect_timeout {
            return;
        }
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines
            .open
            .get(&line.node)
            .is_some_and(|open| open.number == line.number)
        {
            lines.open.remove(&line.node);
        }
    }

    pub(super) fn attendance(&self) -> &Attendance {
        &self.0.attendance
    }

    fn line_at(&self, node: u64, address: String) -> Result<Line, Error> {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.open.get(&node)
            && line.address == address
        {
            return Ok(line.clone());
        }
        let channel = self.dial(node, &address)?;
        lines.dialed += 1;
        let line = Line {
            node,
            address,
            channel,
            number: lines.dialed,
            since: Instant::now(),
        };
        lines.open.insert(node, line.clone());
        Ok(line)
    }

    fn dial(&self, node: u64, address: &str) -> Result<Channel, Error> {
        let options = &self.0.options;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| Error::BadAddress {
                node,
                address: address.to_owned(),
            })?
            .connect_timeout(options.connect_timeout)
            .http2_keep_alive_interval(options.ping_interval)
            .keep_alive_timeout(options.ping_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(options.stream_window)
            .initial_connection_window_size(options.connection_window);
        let network = self.0.network.clone();
        let address = address.to_owned();
        let witness = self.0.attendance.witness(node);
        Ok(
            endpoint.connect_with_connector_lazy(tower::service_fn(move |_: http::Uri| {
                let connecting = network.connect(&address);
                let witness = witness.clone();
                async move { witness.dialed(connecting.await).map(TokioIo::new) }
            })),
        )
    }
}
