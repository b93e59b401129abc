//! `meridian why-stale`: what holds a node's views, the cut and transfers back, and since when.

use clap::Args;
use serde_json::json;

use super::exit::Failure;
use super::output::{Output, position_json, served_by, served_by_json, time, time_json};
use super::status::age;
use crate::api::admin::v1::{
    StaleCause, StaleShard, WhyStaleReply, WhyStaleRequest, why_stale_request::Scope,
};
use crate::client::Client;

/// Which shards are meant. Default: all of the ledger.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct WhyStaleArguments {
    /// This shard, by its number.
    #[arg(long, value_name = "NUMBER")]
    shard: Option<u32>,
    /// The shards whose home is this region.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The shard in which this account lives.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
}

impl WhyStaleArguments {
    fn scope(self) -> Option<Scope> {
        let shard = self.shard.map(Scope::Shard);
        let region = || self.region.map(Scope::Region);
        shard
            .or_else(region)
            .or_else(|| self.account.map(Scope::AccountId))
    }
}

pub async fn why_stale(client: &Client, what: WhyStaleArguments) -> Result<Output, Failure> {
    let scope = what.scope();
    let reply = client.why_stale(WhyStaleRequest { scope }).await?;
    Ok(Output::ok(text(&reply), json(&reply)))
}

fn text(reply: &WhyStaleReply) -> String {
    let cut = reply.cut.clone().unwrap_or_default();
    let numbers: Vec<_> = cut.held_back_by.iter().map(u32::to_string).collect();
    let mut text = match &cut.through {
        Some(_) => format!(
            "Complete up to {} ({}); held back by shard {}.\n\n",
            time(&cut.through),
            age(true, cut.staleness_bound_ms),
            numbers.join(", ")
        ),
        None => format!(
            "Complete up to no time; held back by shard {}.\n\n",
            numbers.join(", ")
        ),
    };
    text.push_str(&format!(
        "{:5} {:17} {:17} {:>13} {:>11} {:>11}\n",
        "SHARD", "HOME", "LEADER", "BEHIND", "HERE", "APPLIED"
    ));
    for shard in &reply.shards {
        let leader = match shard.leader.as_str() {
            "" => "none known !",
            name => name,
        };
        text.push_str(&format!(
            "{:<5} {:17} {leader:17} {:>13} {:>11} {:>11}\n",
            shard.shard,
            shard.region,
            age(true, shard.staleness_bound_ms),
            shard.held_index,
            shard.applied_index
        ));
    }
    if reply.causes.is_empty() {
        text.push_str("\nNothing is in the way.\n");
    }
    for cause in &reply.causes {
        let since = match cause.since_or_before {
            true => "since before",
            false => "since",
        };
        text.push_str(&format!(
            "\n{} {since} {}\n  {}\n  {}\n",
            cause.code,
            time(&cause.since),
            cause.what,
            cause.help
        ));
    }
    if !reply.unanswered.is_empty() {
        text.push_str(&format!(
            "\nDid not answer in time: {}.\n",
            reply.unanswered.join(", ")
        ));
    }
    text.push_str(&format!(
        "\nSeen by {} at {}.\n",
        served_by(&reply.served_by),
        time(&reply.time)
    ));
    text
}

fn json(reply: &WhyStaleReply) -> serde_json::Value {
    let cut = reply.cut.clone().unwrap_or_default();
    let shard = |shard: &StaleShard| {
        json!({
            "shard": shard.shard,
            "region": shard.region,
            "position": position_json(&shard.position),
            "watermark": time_json(&shard.watermark),
            "staleness_bound_ms": shard.staleness_bound_ms,
            "leader": (!shard.leader.is_empty()).then_some(&shard.leader),
            "applied_index": shard.applied_index,
            "held_index": shard.held_index,
        })
    };
    let cause = |cause: &StaleCause| {
        json!({
            "code": cause.code,
            "shard": cause.shard,
            "to_shard": cause.to_shard,
            "since": time_json(&cause.since),
            "since_or_before": cause.since_or_before,
            "what": cause.what,
            "help": cause.help,
        })
    };
    json!({
        "served_by": served_by_json(&reply.served_by),
        "time": time_json(&reply.time),
        "cut": {
            "through": time_json(&cut.through),
            "staleness_bound_ms": cut.staleness_bound_ms,
            "held_back_by": cut.held_back_by,
        },
        "shards": reply.shards.iter().map(shard).collect::<Vec<_>>(),
        "causes": reply.causes.iter().map(cause).collect::<Vec<_>>(),
        "unanswered": reply.unanswered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::admin::v1::Cut;
    use crate::api::v1::{ServedBy, Time};

    #[test]
    fn the_answer_reads_at_a_glance() {
        let at = |seconds: i64| {
            Some(Time {
                unix_nanos: seconds * 1_000_000_000,
                ..Time::default()
            })
        };
        let shard = |shard, leader: &str, staleness_bound_ms| StaleShard {
            shard,
            region: "us-east".into(),
            leader: leader.into(),
            staleness_bound_ms,
            held_index: 40,
            applied_index: 42,
            ..StaleShard::default()
        };
        let reply = WhyStaleReply {
            served_by: Some(ServedBy {
                region: "eu-west".into(),
                node: "eu-1".into(),
            }),
            time: at(60),
            cut: Some(Cut {
                through: at(19),
                staleness_bound_ms: Some(41_500),
                held_back_by: vec![2],
                ..Cut::default()
            }),
            shards: vec![shard(1, "us-1", Some(900)), shard(2, "", None)],
            causes: vec![StaleCause {
                code: "REGION_UNREACHABLE".into(),
                shard: Some(2),
                since: at(20),
                since_or_before: true,
                what: "Nothing comes.".into(),
                help: "See to the link.".into(),
                ..StaleCause::default()
            }],
            unanswered: vec!["us-1".into(), "us-2".into()],
        };
        let expected = "\
Complete up to 1970-01-01T00:00:19.000Z (41 s); held back by shard 2.

SHARD HOME              LEADER                   BEHIND        HERE     APPLIED
1     us-east           us-1                     900 ms          40          42
2     us-east           none known !          unknown !          40          42

REGION_UNREACHABLE since before 1970-01-01T00:00:20.000Z
  Nothing comes.
  See to the link.

Did not answer in time: us-1, us-2.

Seen by eu-1 (eu-west) at 1970-01-01T00:01:00.000Z.
";
        assert_eq!(text(&reply), expected);
        let nothing = text(&WhyStaleReply::default());
        assert!(nothing.contains("Nothing is in the way."), "{nothing}");
    }
}
