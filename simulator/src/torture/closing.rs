//! The end: nothing is wrong any more, everything comes to rest, and is judged.

use std::time::Duration;

use node::{
    client::{Client, Options},
    verify,
};
use tokio::time::{Instant, sleep};

use super::{Failure, MOMENT, PATIENCE, People, disk, disk::Votes, processes::Processes};
use crate::{
    oracle::{
        bounded::{MEMORY_OF_A_NODE, memory_is_bounded},
        live::Recovery,
        quiet::{Call, Excuse},
        sealed,
    },
    plan::{Plan, Trouble, What, earned},
    scenario::{
        bank::Bank,
        customer::{Hours, Lobby},
        evidence::Evidence,
        judge::{self, Judged},
        rest::{self, Rest},
        tally,
        world::Excused,
    },
};

/// Between two looks at all disks.
const ARRIVAL: Duration = Duration::from_secs(5);

/// What the judges saw.
pub(super) struct Judgement {
    pub(super) counts: tally::Counts,
    pub(super) judged: Judged,
    pub(super) verified: u64,
    /// The most memory that a node has used, in bytes.
    pub(super) memory: u64,
}

/// A bank that closes.
pub(super) struct Closing<'a> {
    pub(super) plan: &'a Plan,
    pub(super) nodes: &'a mut Processes,
    pub(super) lobby: &'a Lobby,
    pub(super) votes: &'a mut Votes,
    pub(super) people: &'a mut People,
}

impl Closing<'_> {
    /// Waits until all is at rest, and calls every oracle.
    pub(super) async fn close(mut self) -> Result<Judgement, Failure> {
        let peace = Instant::now();
        let mut recovery = Recovery::default();
        let bank = self.lobby.bank.clone();

        self.lobby.hours.set(Hours::Closed);
        let lobby = self.lobby.clone();
        let has_left = |_: &People| lobby.inside.get() == 0;
        self.stage(&mut recovery, "all customers have left", has_left)
            .await?;

        let began = Instant::now();
        let evidence = self.all_has_arrived(&bank).await?;
        let settled = peace.elapsed();
        note(&mut recovery, "all transfers have arrived", began);

        let began = Instant::now();
        self.nodes.start_all()?;
        views_agree(self.nodes, &bank, &evidence).await?;
        note(&mut recovery, "every node has all of every history", began);

        let names = self.nodes.names().map(str::to_owned).collect();
        *self.lobby.audited.borrow_mut() = names;
        self.lobby.hours.set(Hours::Audit);
        let have_gone = |people: &People| people.0.is_empty();
        self.stage(&mut recovery, "every region serves", have_gone)
            .await?;

        self.nodes.kill_all().await?;
        self.votes.look(self.nodes, self.nodes.names())?;
        let evidence = gather(self.nodes, &bank)?;
        let verified = verify_all(self.nodes)?;
        let rest = Rest {
            settled,
            in_the_clear: in_the_clear(self.nodes)?,
            recovery,
            calls: calls(self.nodes)?,
        };
        let excused = Excused {
            calls: excuses(self.plan),
            clocks: Vec::new(),
        };
        let judged = rest::judge(self.lobby, &evidence, &rest, &excused, PATIENCE);
        let mut counts = tally::of(&self.lobby.history.records(), &evidence);
        for (what, count) in self.lobby.asides.borrow().iter() {
            counts.insert(what, *count);
        }
        let mut judged = judged.map_err(|e| Failure::Broken(e.to_string()))?;
        let used = self.nodes.memory();
        let bounded = memory_is_bounded(&used, MEMORY_OF_A_NODE);
        let bounded =
            bounded.map_err(|e| Failure::Broken(judge::broken("bounded", e.to_string())))?;
        judged.insert("bounded", bounded as u64);
        Ok(Judgement {
            counts,
            judged,
            verified,
            memory: used.into_values().max().unwrap_or(0),
        })
    }

    async fn stage(
        &mut self,
        recovery: &mut Recovery,
        what: &'static str,
        is_so: impl Fn(&People) -> bool,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        self.people.wait_until(what, is_so).await?;
        self.nodes.check_all()?;
        note(recovery, what, began);
        Ok(())
    }

    /// Kills everybody and reads the disks, as often as it takes for all transfers to have arrived.
    async fn all_has_arrived(&mut self, bank: &Bank) -> Result<Evidence, Failure> {
        let began = Instant::now();
        loop {
            sleep(ARRIVAL).await;
            self.nodes.kill_all().await?;
            self.votes.look(self.nodes, self.nodes.names())?;
            let stored = |node: &str, shard| disk::stored(&self.nodes.data(node), shard);
            let evidence = Evidence::of_majorities(bank, stored).map_err(Failure::Broken)?;
            if evidence.under_way() == 0 {
                return Ok(evidence);
            }
            if began.elapsed() > PATIENCE {
                return Err(Failure::NotSo("all transfers have arrived"));
            }
            self.nodes.start_all()?;
        }
    }
}

fn note(recovery: &mut Recovery, what: &str, began: Instant) {
    recovery.stages.push((what.to_owned(), began.elapsed()));
}

fn gather(nodes: &Processes, bank: &Bank) -> Result<Evidence, Failure> {
    Evidence::gather(bank, |node, shard| disk::stored(&nodes.data(node), shard))
        .map_err(Failure::Broken)
}

/// Where memos are that can be read: in all stores of all nodes, and in all their logs.
fn in_the_clear(nodes: &Processes) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for name in nodes.names() {
        let broken = |e: std::io::Error| Failure::Broken(format!("{name}: {e}"));
        let stores = disk::stores_with(&nodes.data(name), sealed::is_in).map_err(broken)?;
        found.extend(
            stores
                .iter()
                .map(|store| format!("the {store:?} of {name}")),
        );
        let log = nodes.log(name).map_err(broken)?;
        let mut lines = log.lines();
        let line = lines.find(|line| sealed::is_in(line.as_bytes()));
        found.extend(line.map(|line| format!("the log of {name}: {line}")));
    }
    Ok(found)
}

/// What a node says whose disk has no power, or no room, in the words of the system.
const DISK_GONE: [&str; 2] = ["Input/output error", "No space left on device"];

/// What nodes may call for help about. A disk whose power is gone fails, for the moment that its node
/// goes on without it.
fn excuses(plan: &Plan) -> Vec<Excuse> {
    let mut plan = plan.clone();
    let mut excuses = Vec::new();
    for trouble in plan.troubles.clone() {
        let failed = match trouble.what {
            What::PowerCut { node } | What::FailWrites { node, .. } => vec![node],
            What::PowerCutRegion { nodes, .. } => nodes,
            _ => continue,
        };
        for node in failed {
            excuses.extend(DISK_GONE.map(|says| Excuse {
                node: node.clone(),
                says,
            }));
            plan.troubles.push(Trouble {
                at_ms: trouble.at_ms,
                lasts_ms: trouble.lasts_ms,
                what: What::FailWrites { node, count: 1 },
            });
        }
    }
    excuses.extend(earned::excuses(&plan));
    excuses
}

/// What nodes have called for help about.
fn calls(nodes: &Processes) -> Result<Vec<Call>, Failure> {
    let mut calls = Vec::new();
    for name in nodes.names() {
        let log = nodes.log(name);
        let log = log.map_err(|e| Failure::Broken(format!("{name}: {e}")))?;
        let loud = log.lines().filter(|line| {
            // Whatever has no level is a panic's, or not the node's own.
            let level = line.split_whitespace().nth(1);
            level == Some("ERROR") || line.contains("panicked at")
        });
        calls.extend(loud.map(|line| Call {
            node: name.to_owned(),
            said: line.to_owned(),
        }));
    }
    Ok(calls)
}

/// Every node's read models, local as they are, come to say what the logs do.
async fn views_agree(nodes: &Processes, bank: &Bank, evidence: &Evidence) -> Result<(), Failure> {
    let began = Instant::now();
    for (name, address) in nodes.addresses() {
        let options = Options::new("auditor");
        let client = Client::new(vec![address.to_owned()], options)
            .map_err(|e| Failure::Broken(e.to_string()))?;
        for account in bank.accounts() {
            let wanted = evidence.balances().get(&account.id).copied().unwrap_or(0);
            loop {
                let said = local_balance(&client, &account.id).await;
                if said == Ok(wanted) {
                    break;
                }
                if began.elapsed() > PATIENCE {
                    let id = &account.id;
                    return Err(Failure::Broken(format!(
                        "{name} answers {said:?} for {id}, the logs come to {wanted}"
                    )));
                }
                sleep(MOMENT).await;
            }
        }
    }
    Ok(())
}

async fn local_balance(client: &Client, account: &str) -> Result<i64, String> {
    use node::api::{
        atm::v1::GetBalanceRequest,
        v1::{
            ReadMode,
            read_mode::{Local, Mode},
        },
    };
    let request = GetBalanceRequest {
        account_id: account.to_owned(),
        mode: Some(ReadMode {
            mode: Some(Mode::Local(Local {})),
        }),
    };
    let reply = client.balance(request).await.map_err(|e| e.to_string())?;
    let posted = reply.balance.and_then(|balance| balance.posted);
    posted
        .map(|money| money.minor_units)
        .ok_or_else(|| "no balance".to_owned())
}

/// The offline verifier finds nothing in any directory.
fn verify_all(nodes: &Processes) -> Result<u64, Failure> {
    let mut indexes = 0;
    for name in nodes.names() {
        let report = verify::verify(&nodes.data(name), verify::Options::default(), &|_| ());
        let report = report.map_err(|e| Failure::Broken(format!("{name}: {e}")))?;
        if let Some(finding) = report.findings.first() {
            return Err(Failure::Broken(format!("{name}: {finding}")));
        }
        indexes += report.shards.iter().map(|shard| shard.indexes).sum::<u64>();
    }
    Ok(indexes)
}
