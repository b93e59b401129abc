//! One round: some nodes are killed, looked at, and started again.

use std::{ops::AddAssign, time::Duration};

use rand::{
    Rng,
    rngs::SmallRng,
    seq::{IndexedRandom, IteratorRandom},
};
use tokio::time::sleep;

use super::{Failure, disk::Votes, machine, processes::Processes, wal::Synced};
use crate::scenario::customer::Lobby;

/// How many nodes were killed, by what they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Kills {
    /// Leaders of at least one shard.
    pub leaders: u64,
    /// Voters that led no shard.
    pub followers: u64,
    /// Nodes with nothing but copies.
    pub copies: u64,
    /// Rounds in which several were killed at once.
    pub together: u64,
    /// Nodes that lost some of what they had not synced.
    pub cut: u64,
}

impl AddAssign for Kills {
    fn add_assign(&mut self, more: Self) {
        self.leaders += more.leaders;
        self.followers += more.followers;
        self.copies += more.copies;
        self.together += more.together;
        self.cut += more.cut;
    }
}

/// Lets the nodes work for a while, then kills some and starts them again.
pub(super) async fn play(
    nodes: &mut Processes,
    lobby: &Lobby,
    votes: &mut Votes,
    rng: &mut SmallRng,
) -> Result<Kills, Failure> {
    sleep(Duration::from_millis(rng.random_range(50..2_500))).await;
    let victims = victims(nodes, lobby, rng);
    let mut kills = Kills {
        together: u64::from(victims.len() > 1),
        ..Kills::default()
    };
    // Where the first has synced to, so that it can lose what comes after.
    let first = &victims[0];
    let loses = rng.random_bool(0.5);
    let synced = match loses {
        true => Synced::look(&nodes.data(first), nodes.metrics(first)).await,
        false => None,
    };
    sleep(Duration::from_millis(rng.random_range(0..50))).await;
    for victim in &victims {
        let leads = lobby.signed_by.borrow().values().any(|node| node == victim);
        let votes_in_none = !lobby
            .bank
            .shards()
            .any(|(_, voters)| voters.contains(victim));
        match (leads, votes_in_none) {
            (true, _) => kills.leaders += 1,
            (_, true) => kills.copies += 1,
            _ => kills.followers += 1,
        }
        nodes.kill(victim).await?;
    }
    if let Some(synced) = synced {
        let part = rng.random_range(0..=1000);
        let cut = synced.cut(&nodes.data(first), part);
        kills.cut += u64::from(cut.map_err(machine(format!("cut the log of {first}")))? > 0);
    }
    votes.look(nodes, victims.iter().map(String::as_str))?;
    // Some come back at once, some when the others have long gone on.
    if rng.random_bool(0.5) {
        sleep(Duration::from_millis(rng.random_range(0..4_000))).await;
    }
    for victim in &victims {
        nodes.start(victim)?;
    }
    Ok(kills)
}

/// A leader often, else anybody; now and then two of a region, a whole region, or all.
fn victims(nodes: &Processes, lobby: &Lobby, rng: &mut SmallRng) -> Vec<String> {
    let anybody = |rng: &mut SmallRng| {
        let one = nodes.names().choose(rng);
        one.expect("there are nodes").to_owned()
    };
    let leaders: Vec<String> = lobby.signed_by.borrow().values().cloned().collect();
    match rng.random_range(0..100) {
        0..40 => vec![leaders.choose(rng).cloned().unwrap_or_else(|| anybody(rng))],
        40..80 => vec![anybody(rng)],
        80..90 => {
            let region = nodes.region(&anybody(rng)).to_owned();
            let two = nodes.in_region(&region).map(str::to_owned);
            two.choose_multiple(rng, 2)
        }
        90..97 => {
            let region = nodes.region(&anybody(rng)).to_owned();
            nodes.in_region(&region).map(str::to_owned).collect()
        }
        _ => nodes.names().map(str::to_owned).collect(),
    }
}
