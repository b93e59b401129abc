use std::collections::BTreeMap;

use serde_json::json;

use super::exit::Failure;
use super::output::{Output, position_json, served_by, served_by_json, time, time_json};
use super::replica;
use crate::api::admin::v1::{Crossing, Cut, Fault, Integrity, StatusReply};
use crate::client::Client;

/// Columns of regions in one block of the table; a terminal has 80 columns.
const REGIONS_ABREAST: usize = 4;

pub async fn status(client: &Client) -> Result<Output, Failure> {
    let reply = client.status().await?;
    Ok(Output::ok(table(&reply), json(&reply)))
}

/// Five tables, none wider than 80 columns: regions, shards, how far readers are behind, up to when
/// all is complete, and what crosses between regions.
fn table(status: &StatusReply) -> String {
    let mut text = format!(
        "{:17} {:22} {:14} {}\n",
        "REGION", "TIME ZONE", "BUSINESS DATE", "NODES UP"
    );
    for region in &status.regions {
        let nodes = || {
            status
                .nodes
                .iter()
                .filter(|node| node.region == region.name)
        };
        let up = nodes().filter(|node| node.reachable).count();
        text.push_str(&format!(
            "{} {} {} {up} of {}{}\n",
            cell(&region.name, 17),
            cell(&region.time_zone, 22),
            cell(&region.business_date, 14),
            nodes().count(),
            if up < nodes().count() { "  !" } else { "" }
        ));
    }
    text.push_str(&format!(
        "\n{:5} {:17} {:17} {:>6} {:>6} {:>11}  {}\n",
        "SHARD", "HOME", "LEADER", "EPOCH", "TERM", "APPLIED", "VOTERS"
    ));
    for shard in &status.shards {
        let leader = if shard.leader.is_empty() {
            "none !"
        } else {
            &shard.leader
        };
        let missing = u64::from(shard.voters_reachable) < shard.voters.len() as u64;
        text.push_str(&format!(
            "{:<5} {} {} {:>6} {:>6} {:>11}  {} of {}{}\n",
            shard.number,
            cell(&shard.region, 17),
            cell(leader, 17),
            shard.epoch,
            shard.term,
            shard.applied_index,
            shard.voters_reachable,
            shard.voters.len(),
            if missing { " !" } else { "" }
        ));
    }
    for shard in &status.shards {
        text.push_str(&replica::unusual(&shard.replicas));
    }
    text.push_str("\nHow old a local answer may be, by shard and the region that is asked:\n");
    let lags: BTreeMap<_, _> = status
        .lags
        .iter()
        .map(|lag| ((lag.shard, lag.region.as_str()), lag))
        .collect();
    for regions in status.regions.chunks(REGIONS_ABREAST) {
        text.push_str("SHARD");
        for region in regions {
            text.push_str(&format!(" {:>17}", cell(&region.name, 17).trim_end()));
        }
        text.push('\n');
        for shard in &status.shards {
            text.push_str(&format!("{:<5}", shard.number));
            for region in regions {
                let lag = lags.get(&(shard.number, region.name.as_str()));
                text.push_str(&format!(
                    " {:>17}",
                    lag.map_or("-".to_owned(), |lag| {
                        age(lag.reachable, lag.staleness_bound_ms)
                    })
                ));
            }
            text.push('\n');
        }
    }
    text.push_str(&cuts(&status.cuts));
    text.push_str(&crossings(&status.crossings));
    for node in status.nodes.iter().filter(|it| !it.privileged.is_empty()) {
        let names = node.privileged.join(", ");
        text.push_str(&format!("\nPrivileged at {}: {names}\n", node.name));
    }
    text.push_str(&trouble(status));
    text.push_str(&format!(
        "\nSeen by {} at {}.\n",
        served_by(&status.served_by),
        time(&status.time)
    ));
    text
}

/// Up to when each region has everything.
fn cuts(cuts: &[Cut]) -> String {
    let mut text = format!(
        "\nUp to when every shard is complete, by the region that is asked:\n{:17} {:>13}  {:13} {}\n",
        "REGION", "BEHIND", "AT NODE", "HELD BACK BY SHARD"
    );
    for cut in cuts {
        let shards: Vec<_> = cut.held_back_by.iter().map(u32::to_string).collect();
        text.push_str(&format!(
            "{} {:>13}  {} {}\n",
            cell(&cut.region, 17),
            age(cut.reachable, cut.staleness_bound_ms),
            cell(&cut.node, 13),
            cell(&shards.join(" "), 33).trim_end(),
        ));
    }
    text
}

/// Who hears which shard for its region; nothing where there is one region only.
fn crossings(crossings: &[Crossing]) -> String {
    if crossings.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\nWhat crosses to other regions, in bytes since their nodes' start:\n{:5} {:17} {:17} {:>17} {:>17}\n",
        "SHARD", "TO", "HEARD BY", "CROSSED", "PASSED ON"
    );
    for crossing in crossings {
        let heard_by = match &crossing.nodes[..] {
            _ if !crossing.reachable => "unreachable !".to_owned(),
            [] => "nobody !".to_owned(),
            nodes => nodes.join(" "),
        };
        text.push_str(&format!(
            "{:<5} {} {} {:>17} {:>17}\n",
            crossing.shard,
            cell(&crossing.region, 17),
            cell(&heard_by, 17),
            crossing.bytes_across,
            crossing.bytes_within,
        ));
    }
    text
}

/// What nodes have found that a person must look at; nothing, as a rule.
fn trouble(status: &StatusReply) -> String {
    let mut text = String::new();
    for node in &status.nodes {
        let Some(integrity) = &node.integrity else {
            continue;
        };
        for fork in &integrity.forks {
            text.push_str(&format!("\nFORK, at {}: {fork}\n", node.name));
        }
        for fault in &integrity.standing {
            let index = fault.index.map(|index| format!(", index {index}"));
            text.push_str(&format!(
                "\nDAMAGED, at {}: {} of shard {}{}: {} ({})\n",
                node.name,
                fault.part,
                fault.shard,
                index.unwrap_or_default(),
                fault.what,
                fault.mending
            ));
        }
    }
    text
}

fn fault(fault: &Fault) -> serde_json::Value {
    json!({
        "shard": fault.shard,
        "index": fault.index,
        "part": fault.part,
        "what": fault.what,
        "mending": fault.mending,
    })
}

fn integrity(integrity: &Integrity) -> serde_json::Value {
    json!({
        "passes": integrity.passes,
        "indexes": integrity.indexes,
        "bytes": integrity.bytes,
        "found": integrity.found,
        "mended": integrity.mended,
        "standing": integrity.standing.iter().map(fault).collect::<Vec<_>>(),
        "lately_mended": integrity.lately_mended.iter().map(fault).collect::<Vec<_>>(),
        "heads_signed": integrity.heads_signed,
        "heads_told": integrity.heads_told,
        "heads_refused": integrity.heads_refused,
        "heads_compared": integrity.heads_compared,
        "forks": integrity.forks,
    })
}

/// How stale what is read may be.
pub(super) fn age(reachable: bool, staleness_bound_ms: Option<u64>) -> String {
    match staleness_bound_ms {
        _ if !reachable => "unreachable !".to_owned(),
        None => "unknown !".to_owned(),
        Some(ms) if ms < 10_000 => format!("{ms} ms"),
        Some(ms) if ms < 10_000_000 => format!("{} s", ms / 1_000),
        Some(ms) => format!("{} min", ms / 60_000),
    }
}

/// A text in exactly so many columns. What does not fit ends in a dot.
fn cell(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let head: String = text.chars().take(width - 1).collect();
    format!("{head}.")
}

fn json(status: &StatusReply) -> serde_json::Value {
    json!({
        "time": time_json(&status.time),
        "served_by": served_by_json(&status.served_by),
        "regions": status.regions.iter().map(|region| json!({
            "name": region.name,
            "time_zone": region.time_zone,
            "business_date": region.business_date,
        })).collect::<Vec<_>>(),
        "nodes": status.nodes.iter().map(|node| json!({
            "name": node.name,
            "region": node.region,
            "address": node.address,
            "reachable": node.reachable,
            "version": node.version,
            "clock_offset_ms": node.clock_offset_ms,
            "integrity": node.integrity.as_ref().map(integrity),
            "privileged": node.privileged,
        })).collect::<Vec<_>>(),
        "shards": status.shards.iter().map(|shard| json!({
            "shard": shard.number,
            "region": shard.region,
            "epoch": shard.epoch,
            "term": shard.term,
            "leader": (!shard.leader.is_empty()).then_some(&shard.leader),
            "voters": shard.voters,
            "voters_reachable": shard.voters_reachable,
            "applied_index": shard.applied_index,
            "replicas": shard.replicas.iter().map(replica::replica_json).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "lags": status.lags.iter().map(|lag| json!({
            "shard": lag.shard,
            "region": lag.region,
            "position": position_json(&lag.position),
            "watermark": time_json(&lag.watermark),
            "staleness_bound_ms": lag.staleness_bound_ms,
            "reachable": lag.reachable,
        })).collect::<Vec<_>>(),
        "cuts": status.cuts.iter().map(|cut| json!({
            "region": cut.region,
            "node": cut.node,
            "through": time_json(&cut.through),
            "staleness_bound_ms": cut.staleness_bound_ms,
            "held_back_by": cut.held_back_by,
            "reachable": cut.reachable,
        })).collect::<Vec<_>>(),
        "crossings": status.crossings.iter().map(|crossing| json!({
            "shard": crossing.shard,
            "region": crossing.region,
            "nodes": crossing.nodes,
            "bytes_across": crossing.bytes_across,
            "bytes_within": crossing.bytes_within,
            "reachable": crossing.reachable,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::admin::v1::{Lag, Node, Region, Shard};
    use crate::api::v1::{ServedBy, Time};

    fn reply(regions: &[&str], zone: &str, big: u64) -> StatusReply {
        let region = |name: &&str| Region {
            name: (*name).into(),
            time_zone: zone.into(),
            business_date: "2026-11-21".into(),
        };
        let mut reply = StatusReply {
            regions: regions.iter().map(region).collect(),
            served_by: Some(ServedBy {
                region: regions[0].into(),
                node: "eu-1".into(),
            }),
            time: Some(Time::default()),
            ..StatusReply::default()
        };
        for (number, home) in (1..).zip(regions) {
            reply.nodes.push(Node {
                name: format!("{home}-1"),
                region: (*home).into(),
                reachable: number != 2,
                ..Node::default()
            });
            reply.shards.push(Shard {
                number,
                region: (*home).into(),
                epoch: big,
                term: big,
                leader: if number == 2 {
                    String::new()
                } else {
                    format!("{home}-1")
                },
                voters: vec![String::new(); 3],
                applied_index: big,
                voters_reachable: if number == 2 { 1 } else { 3 },
                replicas: Vec::new(),
            });
            for region in regions {
                reply.lags.push(Lag {
                    shard: number,
                    region: (*region).into(),
                    staleness_bound_ms: Some(big),
                    reachable: true,
                    ..Lag::default()
                });
            }
            reply.cuts.push(Cut {
                region: (*home).into(),
                node: format!("{home}-1"),
                staleness_bound_ms: (number == 1).then_some(big),
                held_back_by: (number..=2).collect(),
                reachable: true,
                ..Cut::default()
            });
            for region in regions.iter().filter(|region| *region != home) {
                reply.crossings.push(Crossing {
                    shard: number,
                    region: (*region).into(),
                    nodes: (1..=number).map(|n| format!("{region}-{n}")).collect(),
                    bytes_across: big,
                    bytes_within: 2 * big,
                    reachable: true,
                });
            }
        }
        reply
    }

    #[test]
    fn the_table_reads_at_a_glance() {
        let text = table(&reply(&["eu-west", "us-east"], "Europe/Dublin", 140));
        let expected = "\
REGION            TIME ZONE              BUSINESS DATE  NODES UP
eu-west           Europe/Dublin          2026-11-21     1 of 1
us-east           Europe/Dublin          2026-11-21     0 of 1  !

SHARD HOME              LEADER             EPOCH   TERM     APPLIED  VOTERS
1     eu-west           eu-west-1            140    140         140  3 of 3
2     us-east           none !               140    140         140  1 of 3 !

How old a local answer may be, by shard and the region that is asked:
SHARD           eu-west           us-east
1                140 ms            140 ms
2                140 ms            140 ms

Up to when every shard is complete, by the region that is asked:
REGION                   BEHIND  AT NODE       HELD BACK BY SHARD
eu-west                  140 ms  eu-west-1     1 2
us-east               unknown !  us-east-1     2

What crosses to other regions, in bytes since their nodes' start:
SHARD TO                HEARD BY                    CROSSED         PASSED ON
1     us-east           us-east-1                       140               280
2     eu-west           eu-west-1 eu-wes.               140               280

Seen by eu-1 (eu-west) at 1970-01-01T00:00:00.000Z.
";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let regions = [
            "a-long-name-of-1",
            "a-long-name-of-2",
            "c",
            "d",
            "e",
            "f",
            "g",
        ];
        let text = table(&reply(
            &regions,
            "America/Argentina/ComodRivadavia",
            999_999,
        ));
        for line in text.lines() {
            assert!(
                line.chars().count() <= 80,
                "{} columns: {line}",
                line.chars().count()
            );
        }
        for region in regions {
            assert!(text.contains(region));
        }
    }
}
