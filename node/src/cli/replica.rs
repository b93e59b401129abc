//! `meridian replica`: who votes in a shard, and changing it while it runs.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::args::ReplicaCommand;
use super::exit::Failure;
use super::output::{Output, served_by, served_by_json};
use crate::api::admin::v1::{
    ChangeVotersRequest, Replica, ReplicaRole, ReplicasReply, ReplicasRequest,
};
use crate::client::Client;

/// How soon a change that goes on is asked for again.
const AGAIN: Duration = Duration::from_millis(200);

pub async fn replica(client: &Client, command: ReplicaCommand) -> Result<Output, Failure> {
    let (shard, add, remove) = match command {
        ReplicaCommand::List { shard } => {
            let reply = client.replicas(ReplicasRequest { shard }).await?;
            return Ok(Output::ok(table(&reply), json(&reply)));
        }
        ReplicaCommand::Add(it) => (it.shard, it.name, String::new()),
        ReplicaCommand::Remove(it) => (it.shard, String::new(), it.name),
        ReplicaCommand::Replace { shard, old, new } => (shard, new, old),
    };
    let request = ChangeVotersRequest { shard, add, remove };
    change(client, request).await
}

/// Asks until it is done. Stopped in between, it is done another time.
async fn change(client: &Client, request: ChangeVotersRequest) -> Result<Output, Failure> {
    let bar = Bar::new();
    let made = loop {
        let reply = match client.change_voters(request.clone()).await {
            Ok(reply) if reply.done => break Ok(reply),
            Ok(reply) => reply,
            Err(error) => break Err(error),
        };
        bar.show(reply.matched_index, reply.last_index);
        tokio::time::sleep(AGAIN).await;
    };
    bar.0.finish_and_clear();
    made?;
    let shard = Some(request.shard);
    let reply = client.replicas(ReplicasRequest { shard }).await?;
    Ok(Output::ok(table(&reply), json(&reply)))
}

/// How far the new replica is.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        // Standard error that is no terminal gets no bar, and nobody's log fills up.
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style =
            ProgressStyle::with_template("giving it the log {wide_bar} {pos}/{len} {elapsed}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    fn show(&self, matched: Option<u64>, last: u64) {
        self.0.set_length(last);
        self.0.set_position(matched.unwrap_or_default());
    }
}

fn role(replica: &Replica) -> &'static str {
    match replica.role() {
        ReplicaRole::Unspecified => "unknown",
        ReplicaRole::Waiting => "waiting",
        ReplicaRole::Learner => "learner",
        ReplicaRole::Voter if replica.leads => "leader",
        ReplicaRole::Voter => "voter",
        ReplicaRole::Removed => "removed",
    }
}

fn table(reply: &ReplicasReply) -> String {
    let mut text = format!(
        "{:5} {:20} {:8} {:>12} {:>8} {:>10}\n",
        "SHARD", "NODE", "ROLE", "MATCHED", "LAG", "TO FETCH"
    );
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    for replica in &reply.replicas {
        text.push_str(&format!(
            "{:<5} {:20} {:8} {:>12} {:>8} {:>10}{}\n",
            replica.shard,
            replica.node,
            role(replica),
            number(replica.matched_index),
            number(replica.lag),
            replica.missing,
            if replica.reachable {
                ""
            } else {
                "  unreachable !"
            },
        ));
    }
    text.push_str(&format!("\nSeen by {}.\n", served_by(&reply.served_by)));
    text
}

/// One replica, as `status` shows it too.
pub(super) fn replica_json(replica: &Replica) -> Value {
    json!({
        "shard": replica.shard,
        "node": replica.node,
        "role": role(replica),
        "reachable": replica.reachable,
        "matched_index": replica.matched_index,
        "lag": replica.lag,
        "to_fetch": replica.missing,
    })
}

/// Replicas that are not what most are: one line each, for `status`.
pub(super) fn unusual(replicas: &[Replica]) -> String {
    let votes = |replica: &&Replica| replica.role() != ReplicaRole::Voter;
    let lines = replicas.iter().filter(votes).map(|replica| {
        let (shard, node, role) = (replica.shard, &replica.node, role(replica));
        format!("Shard {shard}: {node} is no voter ({role}).\n")
    });
    lines.collect()
}

fn json(reply: &ReplicasReply) -> Value {
    json!({
        "served_by": served_by_json(&reply.served_by),
        "replicas": reply.replicas.iter().map(replica_json).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(node: &str, role: ReplicaRole, matched: Option<u64>) -> Replica {
        Replica {
            shard: 1,
            node: node.to_owned(),
            role: role.into(),
            reachable: matched.is_some(),
            matched_index: matched,
            lag: matched.map(|matched| 900 - matched),
            ..Replica::default()
        }
    }

    #[test]
    fn the_table_says_who_votes_and_how_far_each_is() {
        let mut leads = replica("eu-1", ReplicaRole::Voter, Some(900));
        leads.leads = true;
        let reply = ReplicasReply {
            served_by: None,
            replicas: vec![
                leads,
                replica("eu-3", ReplicaRole::Removed, None),
                replica("eu-4", ReplicaRole::Learner, Some(400)),
            ],
        };
        let text = table(&reply);
        let expected = "\
SHARD NODE                 ROLE          MATCHED      LAG   TO FETCH
1     eu-1                 leader            900        0          0
1     eu-3                 removed             -        -          0  unreachable !
1     eu-4                 learner           400      500          0
";
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(
            unusual(&reply.replicas),
            "Shard 1: eu-3 is no voter (removed).\nShard 1: eu-4 is no voter (learner).\n"
        );
    }
}
