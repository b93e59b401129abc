//! What happened in a run, in numbers: a run in which nothing happened breaks no promise.

use std::collections::BTreeMap;

use super::evidence::Evidence;
use crate::{
    history::{Outcome, Record, Request},
    oracle::model::{Step, What},
};

/// Counts, by what was counted.
pub type Counts = BTreeMap<&'static str, u64>;

/// Counts requests by their outcome, transfers by how far they went, and what became of holds.
#[must_use]
pub fn of(records: &[Record], evidence: &Evidence) -> Counts {
    let mut counts = Counts::new();
    let mut count = |what, more| *counts.entry(what).or_default() += more;
    for record in records {
        let is_read = matches!(record.request, Request::StrongRead { .. });
        match &record.outcome {
            Outcome::Accepted { .. } => count("accepted", 1),
            Outcome::Rejected { .. } => count("rejected", 1),
            Outcome::Balance(_) => count("read", 1),
            Outcome::Unknown if is_read => count("reads failed", 1),
            Outcome::Unknown => count("never told", 1),
        }
        count("told again", record.told_again.len() as u64);
    }
    for crossing in evidence.crossings.values() {
        count("arrived in another shard", crossing.taken.len() as u64);
        count("returned", crossing.returned.len() as u64);
    }
    for record in records {
        let done = matches!(record.outcome, Outcome::Accepted { .. });
        match &record.request {
            Request::Hold { .. } if done => count("holds placed", 1),
            Request::Raise { .. } if done => count("holds raised", 1),
            Request::Release { .. } if done => count("holds released", 1),
            _ if !done || record.request.legs().is_empty() => {}
            request if request.reverses_a_journal() => count("reversals of journals", 1),
            request if matches!(request.bare(), Request::Reverse { .. }) => {
                count("reversals between shards", 1);
            }
            Request::Journal { rate: Some(_), .. } => count("exchanges taken", 1),
            _ => count("journals taken", 1),
        }
    }
    for journal in evidence.journals.values() {
        let ends = journal.ends.get(&journal.opener);
        match ends {
            Some(None) => count("journals posted between shards", 1),
            Some(Some(_)) => count("journals cancelled", 1),
            None => {}
        }
    }
    count("captures", evidence.captured.len() as u64);
    let expired = |step: &&Step| matches!(step.what, What::Expired { .. });
    let expired = evidence.steps.iter().filter(expired).count();
    count("holds expired", expired as u64);
    counts
}
