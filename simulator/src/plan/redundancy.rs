//! How much may be lost: of each shard's voters, never more than a minority may lose what they have
//! stored. Beyond that nobody promises anything, and a run would find fault with nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, What};

/// Which nodes lost, or may lose, what they have stored of a shard.
pub type Losers = BTreeMap<u32, BTreeSet<String>>;

/// More was lost than the ledger is built to lose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("of the {voters} voters of shard {shard}, {losers:?} lose what they have stored")]
pub struct Crossed {
    /// The shard.
    pub shard: u32,
    /// How many nodes vote in it.
    pub voters: usize,
    /// Those of them that lose what they have.
    pub losers: Vec<String>,
}

/// Checks that of no shard more than a minority of the voters lose what they have stored.
///
/// # Errors
///
/// The first shard of which more do.
pub fn covers(voters: &BTreeMap<u32, Vec<String>>, losers: &Losers) -> Result<(), Crossed> {
    for (shard, voters) in voters {
        let Some(all) = losers.get(shard) else {
            continue;
        };
        let lost: Vec<String> = voters
            .iter()
            .filter(|v| all.contains(*v))
            .cloned()
            .collect();
        if lost.len() > (voters.len() - 1) / 2 {
            return Err(Crossed {
                shard: *shard,
                voters: voters.len(),
                losers: lost,
            });
        }
    }
    Ok(())
}

/// Who will have lost something by the end of a plan, whatever the voters are. A flipped bit
/// counts: until it is mended, the record is not there.
#[must_use]
pub fn losers(plan: &Plan, shards: impl Iterator<Item = u32> + Clone) -> Losers {
    let mut losers = Losers::new();
    let mut lose = |shard, node: &String| {
        losers.entry(shard).or_default().insert(node.clone());
    };
    for trouble in &plan.troubles {
        match &trouble.what {
            What::LoseDisk { node, .. } => shards.clone().for_each(|shard| lose(shard, node)),
            What::FlipBit { node, shard } | What::Rot { node, shard } => lose(*shard, node),
            _ => {}
        }
    }
    losers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minority_may_lose_what_it_has_as_a_table() {
        let table: [(&[&str], &[&str], bool); 5] = [
            (&["a"], &[], true),
            (&["a"], &["a"], false),
            (&["a", "b", "c"], &["b"], true),
            (&["a", "b", "c"], &["b", "c"], false),
            (&["a", "b", "c"], &["b", "x", "y"], true),
        ];
        for (voters, lost, is_covered) in table {
            let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            let voters = BTreeMap::from([(1, names(voters))]);
            let lost: Vec<String> = names(lost);
            let losers = Losers::from([(1, lost.into_iter().collect())]);
            assert_eq!(covers(&voters, &losers).is_ok(), is_covered, "{losers:?}");
        }
    }
}
