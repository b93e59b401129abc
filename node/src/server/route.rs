//! To whoever leads: this process, or another node with the same request.

use std::future::Future;

use http::HeaderMap;
use ledger_domain::{RegionName, ShardId};
use replication::{raft::Leadership, shard::Shard, topology::Directory as _};
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Channel};

use super::{Server, deadline::Deadline, refusal};
use crate::api::{CALLER, rejection};

/// Metadata of a request that was forwarded once: it is not forwarded again.
const FORWARDED: &str = "meridian-forwarded";
/// Metadata of a request that was forwarded: the region that was asked.
const ASKED: &str = "meridian-asked-region";
/// A caller that gives no name.
const NOBODY: &str = "anonymous";

/// Who asks. Until there are roles, a name that nobody vouches for.
pub(super) fn caller(metadata: &MetadataMap) -> Result<String, Status> {
    let name = match metadata.get(CALLER) {
        None => NOBODY,
        Some(name) => name
            .to_str()
            .map_err(|_| refusal::invalid("the caller's name is no text"))?,
    };
    if name.is_empty() || name.len() > 64 {
        return Err(refusal::invalid("a caller's name has 1 to 64 characters"));
    }
    Ok(name.to_owned())
}

/// Names the caller of a request that this node makes on somebody's behalf.
pub(super) fn set_caller(metadata: &mut MetadataMap, caller: &str) {
    if let Ok(name) = caller.parse() {
        metadata.insert(CALLER, name);
    }
}

/// Does a request come from another node, which has it from a caller?
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
}

/// The region that a request came to first: what it may not read is not sent there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker(pub(super) RegionName);

impl Server {
    /// The region that was asked, which is another where the request was forwarded.
    pub(super) fn asker<T>(&self, request: &Request<T>) -> Asker {
        if let Some(asker) = request.extensions().get::<Asker>() {
            return *asker;
        }
        let metadata = request.metadata();
        let forwarded = metadata.contains_key(FORWARDED);
        let named = metadata.get(ASKED).filter(|_| forwarded);
        let named = named.and_then(|name| name.to_str().ok()?.parse().ok());
        Asker(named.unwrap_or(self.region))
    }

    /// Serves a request at the shard's leader.
    pub(super) async fn at_leader<Q, P, L, R>(
        &self,
        shard: ShardId,
        request: Request<Q>,
        deadline: Deadline,
        here: impl Fn(Shard, Q) -> L,
        there: impl Fn(Channel, Request<Q>) -> R,
    ) -> Result<Response<P>, Status>
    where
        Q: Clone,
        L: Future<Output = Result<P, Status>>,
        R: Future<Output = Result<Response<P>, Status>>,
    {
        let Asker(asker) = self.asker(&request);
        let (metadata, _, body) = request.into_parts();
        let mut hint = None;
        if let Some(local) = self.shards.get(shard) {
            match here(local, body.clone()).await {
                Err(status) if is_not_leader(&status) => hint = Some(status),
                other => return other.map(Response::new),
            }
        }
        if metadata.contains_key(FORWARDED) {
            return Err(hint.unwrap_or_else(|| refusal::not_leader(None)));
        }
        let mut candidates = self.leaders.ordered(shard, self.holders(shard));
        let mut tried = Vec::new();
        let nobody = || match self.waiting.reasons().contains_key(&shard) {
            true => refusal::mending(shard),
            false => refusal::not_leader(None),
        };
        let mut last = hint.unwrap_or_else(nobody);
        // Whether somebody was asked and not waited for, who may have decided.
        let mut open = false;
        loop {
            // A node that knows the leader is believed, once.
            let named = last.metadata().get(refusal::LEADER);
            let named = named.and_then(|n| n.to_str().ok()?.parse().ok());
            let next = named
                .filter(|n| !tried.contains(n))
                .or_else(|| candidates.pop_front());
            let Some(node) = next else {
                return Err(told(last, open));
            };
            if tried.contains(&node) || self.is_me(node) {
                continue_without(&mut last);
                continue;
            }
            tried.push(node);
            let Ok(line) = self.peers.line(node) else {
                continue;
            };
            let mut forwarded = Request::new(body.clone());
            forwarded.set_timeout(deadline.left());
            if let Some(caller) = metadata.get(CALLER) {
                forwarded.metadata_mut().insert(CALLER, caller.clone());
            }
            if let Ok(asker) = asker.as_str().parse() {
                forwarded.metadata_mut().insert(ASKED, asker);
            }
            forwarded
                .metadata_mut()
                .insert(FORWARDED, tonic::metadata::MetadataValue::from_static("1"));
            let answering = there(line.channel(), forwarded);
            let attempt = self.leaders.attempt(shard, node);
            let answer = tokio::select! {
                biased;
                answer = self.elsewhere.admit(answering) => answer.map_err(|e| told(e, open))?,
                leader = self.overtaken(shard, node) => {
                    open = true;
                    if self.is_me(leader)
                        && let Some(local) = self.shards.get(shard)
                    {
                        let answer = here(local, body).await;
                        return answer.map(Response::new).map_err(|e| told(e, open));
                    }
                    last = refusal::not_leader(Some(leader));
                    continue;
                }
            };
            match answer {
                Err(status) if is_not_leader(&status) => last = status,
                Err(status) if rejection::from_status(&status).is_none() => {
                    // Not the node's own words: the connection may be at fault, and the request
                    // may have arrived. The client asks again under the same key.
                    self.peers.suspect(&line);
                    return Err(status);
                }
                other => {
                    attempt.was_answered();
                    return other.map_err(|e| told(e, open));
                }
            }
        }
    }

    /// Resolves with the next leader when this node's own replica, which follows `leader`, learns
    /// of it: a call to the old one may hang for as long as that one is stopped or cut off. The
    /// next is asked the same, which is safe: a read changes nothing, and a command has its key.
    async fn overtaken(&self, shard: ShardId, leader: u64) -> u64 {
        if let Some(local) = self.shards.get(shard) {
            let mut leadership = local.group().leadership();
            let follows = leadership.borrow().leader == Some(leader);
            let another = |now: &Leadership| now.leader.is_some_and(|now| now != leader);
            if follows
                && let Ok(now) = leadership.wait_for(another).await
                && let Some(next) = now.leader
            {
                return next;
            }
        }
        std::future::pending().await
    }

    fn is_me(&self, node: u64) -> bool {
        self.directory
            .topology()
            .node(node)
            .is_some_and(|n| n.name == self.name)
    }
}

/// What a caller is told of a refusal. Where an earlier leader may have decided, it is not that
/// nothing was done, unless the refusal is for good: a key that was accepted has its receipt.
fn told(refusal: Status, open: bool) -> Status {
    let detail = rejection::from_status(&refusal);
    match open && detail.is_some_and(|detail| detail.retryable && !detail.recorded) {
        true => Status::unavailable("the leader changed while it was asked: ask again"),
        false => refusal,
    }
}

/// Takes a hint out of a status, so that it is not followed twice.
fn continue_without(status: &mut Status) {
    status.metadata_mut().remove(refusal::LEADER);
}

fn is_not_leader(status: &Status) -> bool {
    rejection::from_status(status).is_some_and(|detail| detail.code == "NOT_LEADER")
}
