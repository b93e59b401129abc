//! The nodes that a client knows: those it was given, or all there are.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use replication::world::{Entropy, Network};
use tokio::time::Instant;

use super::{
    Error, Options,
    choice::{self, Candidate},
    discovery::Seed,
    node::Node,
    outliers::Outliers,
    survey::Surveyed,
};

/// Nodes, and which of them is asked next.
pub(super) struct Nodes {
    pub(super) network: Arc<dyn Network>,
    entropy: Arc<dyn Entropy>,
    pub(super) connect: Duration,
    known: Mutex<Known>,
    outliers: Mutex<Outliers>,
    /// Where all nodes are found; `None` where those that were given are all that are asked.
    pub(super) search: Option<Search>,
}

pub(super) struct Search {
    pub(super) seeds: Vec<Seed>,
    /// Where the caller is.
    region: Option<String>,
    /// How often to look for nodes, and measure how near they are.
    pub(super) every: Duration,
    pub(super) surveyed: Mutex<Surveyed>,
    /// Held by the one who looks first.
    pub(super) first: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    nodes: Arc<[Arc<Node>]>,
    /// Where writes go, and whatever is asked of nodes that were given in an order.
    favourite: Option<Arc<Node>>,
}

/// A guard that a panic elsewhere does not take away: what it guards is only what was seen.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Nodes {
    /// These nodes and no others, the first one first.
    pub(super) fn given(addresses: Vec<String>, options: &Options) -> Result<Self, Error> {
        let nodes = Self::of(options, None);
        let given = addresses
            .into_iter()
            .map(|address| Node::new(address, None));
        let given = given
            .map(|node| node.map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(first) = given.first().cloned() else {
            return Err(Error::Options("name at least one node".to_owned()));
        };
        nodes.set(given);
        lock(&nodes.known).favourite = Some(first);
        Ok(nodes)
    }

    /// All nodes that the seeds' nodes know.
    pub(super) fn found_by(seeds: Vec<Seed>, options: &Options) -> Result<Self, Error> {
        if seeds.is_empty() {
            return Err(Error::Options("name at least one node".to_owned()));
        }
        seeds.iter().try_for_each(Seed::check)?;
        let search = Search {
            seeds,
            region: options.region.clone(),
            every: options.rediscover,
            surveyed: Mutex::new(Surveyed::Never),
            first: tokio::sync::Mutex::default(),
        };
        Ok(Self::of(options, Some(search)))
    }

    fn of(options: &Options, search: Option<Search>) -> Self {
        Self {
            network: options.network.clone(),
            entropy: options.entropy.clone(),
            connect: options.connect,
            known: Mutex::default(),
            outliers: Mutex::new(Outliers::new(options.outliers, Instant::now())),
            search,
        }
    }

    /// These are all nodes from now on.
    pub(super) fn set(&self, nodes: Vec<Arc<Node>>) {
        let addresses = nodes.iter().map(|node| node.address.as_str());
        lock(&self.outliers).set_nodes(addresses);
        let mut known = lock(&self.known);
        known.nodes = nodes.into();
        let favourite = known.favourite.take();
        let stays = |node: &Arc<Node>| known.nodes.iter().any(|other| Arc::ptr_eq(node, other));
        known.favourite = favourite.filter(stays);
    }

    pub(super) fn all(&self) -> Arc<[Arc<Node>]> {
        lock(&self.known).nodes.clone()
    }

    /// The node for the next attempt of a call, rather none that has been `tried` for it.
    pub(super) async fn next(
        self: &Arc<Self>,
        writes: bool,
        tried: &[Arc<Node>],
    ) -> Result<Arc<Node>, String> {
        let Some(search) = &self.search else {
            let favourite = lock(&self.known).favourite.clone();
            return favourite.ok_or_else(|| "no node is known".to_owned());
        };
        self.survey_if_due(search).await?;
        self.try_outliers();
        let favourite = lock(&self.known).favourite.clone();
        if let Some(node) = favourite.filter(|node| writes && self.is_fit(node, tried)) {
            return Ok(node);
        }
        let all = self.all();
        let fit: Vec<_> = all.iter().filter(|node| self.is_fit(node, tried)).collect();
        let serving = || all.iter().filter(|node| self.serves(node)).collect();
        let some = if fit.is_empty() { serving() } else { fit };
        let candidates: Vec<_> = some.iter().map(|node| search.candidate(node)).collect();
        let chosen = choice::choose(&candidates, self.entropy.next_u64());
        let node = some[chosen.ok_or_else(|| "no node is known".to_owned())?].clone();
        if writes {
            lock(&self.known).favourite = Some(node.clone());
        }
        Ok(node)
    }

    fn serves(&self, node: &Node) -> bool {
        lock(&self.outliers).serves(&node.address)
    }

    fn is_fit(&self, node: &Arc<Node>, tried: &[Arc<Node>]) -> bool {
        self.serves(node) && !tried.iter().any(|other| Arc::ptr_eq(node, other))
    }

    /// Sends the next attempts elsewhere, unless another call has already seen to that.
    pub(super) fn leave(&self, node: &Arc<Node>) {
        let mut known = lock(&self.known);
        if !known
            .favourite
            .as_ref()
            .is_some_and(|other| Arc::ptr_eq(node, other))
        {
            return;
        }
        let place = known
            .nodes
            .iter()
            .position(|other| Arc::ptr_eq(node, other));
        known.favourite = match place {
            Some(place) if self.search.is_none() => {
                let next = (place + 1) % known.nodes.len();
                Some(known.nodes[next].clone())
            }
            _ => None,
        };
    }

    /// Notes how a node has dealt with a call.
    pub(super) fn note(&self, node: &Node, succeeded: bool) {
        let ejected = lock(&self.outliers).note(Instant::now(), &node.address, succeeded);
        if ejected {
            tracing::warn!(
                node = node.address,
                "a node fails and is not asked for a while"
            );
        }
    }

    /// Tries nodes that have been out for long enough, each once and beside the calls.
    fn try_outliers(self: &Arc<Self>) {
        let due = lock(&self.outliers).due(Instant::now());
        for address in due {
            let all = self.all();
            let Some(node) = all.iter().find(|node| node.address == address).cloned() else {
                continue;
            };
            let nodes = self.clone();
            tokio::spawn(async move {
                let answers = nodes.ask(&node).await.is_ok();
                lock(&nodes.outliers).tried(Instant::now(), &node.address, answers);
            });
        }
    }
}

impl Search {
    fn candidate(&self, node: &Node) -> Candidate {
        Candidate {
            same_region: self.region.is_some() && self.region == node.region,
            round_trip: node.round_trip(),
            in_flight: node.in_flight(),
        }
    }
}
