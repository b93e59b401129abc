use std::time::Duration;

use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::peer::{self, Peers};
use crate::proto::feed_client::FeedClient;
use crate::proto::{FeedBatch, FeedRequest};

/// Why a feed of another node does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Line(#[from] peer::Error),
    #[error("the feed ended: {0}")]
    Refused(#[from] Status),
    #[error("the feed ended without a word")]
    Ended,
    #[error("nothing was heard in time")]
    Silent,
}

impl Failure {
    /// Could another connection to the same node do better?
    fn blames_the_line(&self) -> bool {
        match self {
            Self::Silent | Self::Ended => true,
            Self::Line(_) => false,
            Self::Refused(status) => peer::blames_the_line(status),
        }
    }
}

/// A feed of another node, as its follower sees it.
pub(crate) struct Pull {
    peers: Peers,
    line: peer::Line,
    batches: Streaming<FeedBatch>,
    silence: Duration,
}

impl Pull {
    /// Asks a node for a shard's feed from an index on. It has `begin` to answer, and may then be
    /// silent for as long as `silence`.
    pub(crate) async fn begin(
        peers: &Peers,
        node: u64,
        request: FeedRequest,
        begin: Duration,
        silence: Duration,
    ) -> Result<Self, Failure> {
        let line = peers.line(node)?;
        let mut client = FeedClient::new(line.channel())
            .max_decoding_message_size(peers.options().message_limit);
        let answer = match timeout(begin, client.follow(request)).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::Silent),
        };
        let batches = answer.map_err(|failure| suspicious(peers, &line, failure))?;
        Ok(Self {
            peers: peers.clone(),
            line,
            batches: batches.into_inner(),
            silence,
        })
    }

    /// The next batch. After a failure there is none.
    pub(crate) async fn next(&mut self) -> Result<FeedBatch, Failure> {
        let batch = match timeout(self.silence, self.batches.message()).await {
            Ok(Ok(Some(batch))) => Ok(batch),
            Ok(Ok(None)) => Err(Failure::Ended),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(Failure::Silent),
        };
        batch.map_err(|failure| suspicious(&self.peers, &self.line, failure))
    }
}

/// A line that may be at fault is not used for the next feed.
fn suspicious(peers: &Peers, line: &peer::Line, failure: Failure) -> Failure {
    if failure.blames_the_line() {
        peers.suspect(line);
    }
    failure
}
