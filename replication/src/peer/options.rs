use std::time::Duration;

/// How connections between nodes are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerOptions {
    /// Longest time to open a connection. Also the shortest life of one before a failed call has
    /// it replaced.
    pub connect_timeout: Duration,
    /// Time between HTTP/2 pings, idle or not.
    pub ping_interval: Duration,
    /// Time without an answer to a ping after which the connection is given up.
    pub ping_timeout: Duration,
    /// HTTP/2 window of one stream, in bytes: what one shard may have on its way to a peer.
    pub stream_window: u32,
    /// HTTP/2 window of a connection, in bytes: what all shards together may have on their way.
    pub connection_window: u32,
    /// Longest message sent or taken, in bytes.
    pub message_limit: usize,
    /// Calls and streams that one accepted connection may have open. Beyond it the caller's own
    /// side waits, a peer's heartbeats too: it must exceed what a node forwards at a time.
    pub streams: u32,
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            ping_interval: Duration::from_secs(2),
            ping_timeout: Duration::from_secs(2),
            stream_window: 8 << 20,
            connection_window: 16 << 20,
            message_limit: 64 << 20,
            streams: 8_192,
        }
    }
}

impl PeerOptions {
    /// Pings every half second: a cut that heals is noticed at once, at the price of traffic.
    /// For simulated worlds and tests, where a cut is the ordinary case.
    pub fn brisk() -> Self {
        let half_a_second = Duration::from_millis(500);
        Self {
            ping_interval: half_a_second,
            ping_timeout: half_a_second,
            ..Self::default()
        }
    }
}
