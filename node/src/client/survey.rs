//! Finding all nodes by asking one, and measuring how near each is.

use std::{sync::Arc, sync::PoisonError, time::Duration};

use futures_util::future::{join_all, select_ok};
use tokio::time::{Instant, sleep, timeout};
use tonic::Request;

use super::{
    discovery,
    node::Node,
    nodes::{Nodes, Search},
};
use crate::api::admin::v1::{Member, NodesRequest, admin_client::AdminClient};

/// How long a node may take to tell who is there.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so long without an answer the next one is asked too.
const HEAD_START: Duration = Duration::from_millis(50);
/// Where nothing answers, nodes are looked for no more often than this.
const BREATH: Duration = Duration::from_secs(1);

/// When nodes were looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surveyed {
    Never,
    At(Instant),
    /// Somebody is at it.
    Now,
}

impl Nodes {
    /// Looks for nodes if that was never done, and waits for it; if it was done long ago, has it
    /// done beside the calls.
    pub(super) async fn survey_if_due(self: &Arc<Self>, search: &Search) -> Result<(), String> {
        if self.all().is_empty() {
            let _first = search.first.lock().await;
            if self.all().is_empty() {
                self.survey().await?;
            }
            return Ok(());
        }
        let mut surveyed = search
            .surveyed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_due = matches!(*surveyed, Surveyed::At(at) if at.elapsed() >= search.every);
        if is_due {
            *surveyed = Surveyed::Now;
            drop(surveyed);
            let nodes = self.clone();
            tokio::spawn(async move {
                if let Err(error) = nodes.survey().await {
                    tracing::warn!(%error, "nodes cannot be looked for");
                }
            });
        }
        Ok(())
    }

    /// No node could be reached: who is there may have changed.
    pub(super) fn nothing_answers(&self) {
        let Some(search) = &self.search else { return };
        let mut surveyed = search
            .surveyed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Surveyed::At(at) = *surveyed
            && at.elapsed() >= BREATH
            && let Some(long_ago) = Instant::now().checked_sub(search.every)
        {
            *surveyed = Surveyed::At(long_ago);
        }
    }

    /// Asks the known nodes, and those of the seeds, who is there; the first answer counts.
    async fn survey(self: &Arc<Self>) -> Result<(), String> {
        let Some(search) = &self.search else {
            return Ok(());
        };
        let found = self.ask_anybody(search).await;
        let mut surveyed = search
            .surveyed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *surveyed = Surveyed::At(Instant::now());
        drop(surveyed);
        let (members, who) = found?;
        let known = self.all();
        let node = |member: Member| {
            let same = |node: &&Arc<Node>| {
                node.address == member.address && node.region.as_ref() == Some(&member.region)
            };
            match known.iter().find(same) {
                Some(node) => Ok(node.clone()),
                None => Node::new(member.address, Some(member.region)).map(|node| {
                    // Until all are measured, the one that has answered is the nearest.
                    let is_same = node.address == who.address;
                    if let Some(round_trip) = who.round_trip().filter(|_| is_same) {
                        node.measured(round_trip);
                    }
                    Arc::new(node)
                }),
            }
        };
        let nodes = members
            .into_iter()
            .map(node)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        if nodes.is_empty() {
            return Err("a node knows of no nodes".to_owned());
        }
        self.set(nodes);
        let nodes = self.clone();
        tokio::spawn(async move { nodes.measure().await });
        Ok(())
    }

    async fn ask_anybody(&self, search: &Search) -> Result<(Vec<Member>, Arc<Node>), String> {
        let known = self.all();
        let mut targets: Vec<Arc<Node>> = known.to_vec();
        match discovery::resolve(&search.seeds, &self.network).await {
            Ok(addresses) => {
                for address in addresses {
                    if !known.iter().any(|node| node.address == address) {
                        let node = Node::new(address, None).map_err(|error| error.to_string())?;
                        targets.push(Arc::new(node));
                    }
                }
            }
            // Names that cannot be looked up do no harm as long as nodes are known.
            Err(error) if targets.is_empty() => return Err(error),
            Err(error) => tracing::warn!(%error, "the seeds give no address"),
        }
        let asking = targets.iter().zip(0..).map(|(node, before)| {
            Box::pin(async move {
                sleep(HEAD_START * before).await;
                self.ask(node).await.map(|members| (members, node.clone()))
            })
        });
        match select_ok(asking).await {
            Ok((answer, _)) => Ok(answer),
            Err(why) => Err(why),
        }
    }

    /// Measures how near each node is.
    async fn measure(&self) {
        let all = self.all();
        join_all(all.iter().map(|node| async move {
            let answers = self.ask(node).await.is_ok();
            self.note(node, answers);
        }))
        .await;
    }

    /// Asks one node who is there, and measures how long the answer takes.
    pub(super) async fn ask(&self, node: &Node) -> Result<Vec<Member>, String> {
        let connected = node.connect(&self.network, self.connect).await?;
        let began = Instant::now();
        let mut client = AdminClient::new(connected.channel.clone());
        let mut request = Request::new(NodesRequest {});
        request.set_timeout(PATIENCE);
        match timeout(PATIENCE, client.nodes(request)).await {
            Ok(Ok(reply)) => {
                node.measured(began.elapsed());
                Ok(reply.into_inner().nodes)
            }
            Ok(Err(status)) => {
                node.drop_connection(&connected).await;
                Err(format!("{}: {}", node.address, status.message()))
            }
            Err(_) => {
                node.drop_connection(&connected).await;
                Err(format!("{}: no answer within {PATIENCE:?}", node.address))
            }
        }
    }
}
