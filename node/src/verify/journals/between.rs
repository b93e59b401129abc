//! What a coordinator's log says of its journals, against that of a shard that was asked. Either may
//! end anywhere.

use std::collections::BTreeSet;

use ledger_domain::Currency;

use super::{Id, Told};
use crate::verify::{
    between::End,
    finding::{Findings, Part},
};

/// Compares the journals that `from` coordinates with what `to` says about them.
pub(in crate::verify) fn compare(from: &End<'_>, to: &End<'_>, findings: &mut Findings) {
    let theirs = to.journals.told.iter();
    for (id, there) in theirs.filter(|(id, _)| id.0 == from.shard) {
        let mut wrong = |what: &str| {
            let what = format!("journal {} of shard {}: {what}", id.1, id.0);
            findings.add(to.shard, there.index, Part::Channel, what);
        };
        let Some(here) = from.journals.told.get(id) else {
            if from.journals.last >= id.1 {
                wrong("it was never opened between shards");
            }
            continue;
        };
        let asked = here.legs.get(&to.shard);
        let is_as_asked = there.refused.is_some() || there.legs.get(&to.shard) == asked;
        if asked.is_none() || !is_as_asked {
            wrong("other legs were asked for");
        }
        if there.refused.is_none() && there.forced != here.forced {
            wrong("its debits are forced in one log and not in the other");
        }
        if there.opened.is_some() && there.opened != here.opened {
            wrong("another transaction opened it");
        }
        match (&here.ended, &there.ended) {
            (Some(here), Some(there)) if here.posted != there.posted => {
                wrong("it is posted in one shard and cancelled in the other");
            }
            (Some(here), Some(there)) if (here.by, &here.refusal) != (there.by, &there.refusal) => {
                wrong("it is cancelled for another reason than its coordinator gives");
            }
            (None, Some(there)) if there.heard.is_some() && from.settled >= there.heard => {
                wrong("it ends, and its coordinator has not decided it");
            }
            _ => {}
        }
    }
    let own = from.journals.told.iter();
    for (id, here) in own.filter(|(id, _)| id.0 == from.shard) {
        let Some(heard) = here.answers.get(&to.shard) else {
            continue;
        };
        if let Some(what) = unanswered(*id, here, *heard, to) {
            let what = format!("journal {}: {what}", id.1);
            findings.add(from.shard, here.index, Part::Channel, what);
        }
    }
}

/// Why what a coordinator takes for the answer of a shard, up to an index of its log, is none.
fn unanswered(id: Id, here: &Told, heard: Option<u64>, to: &End<'_>) -> Option<String> {
    let shard = to.shard;
    let Some(there) = to.journals.told.get(&id) else {
        let is_there = heard.is_some() && to.settled >= heard;
        return is_there.then(|| format!("shard {shard} never gave the answer that it goes on by"));
    };
    if heard.is_some_and(|heard| there.index > heard) {
        return Some(format!("shard {shard} gave its answer after it was heard"));
    }
    let ended = here.ended.as_ref();
    let cancelled = ended.filter(|it| !it.posted && it.by == shard);
    match (cancelled, &there.refused) {
        (None, Some(_)) => Some(format!("shard {shard} refused, and is taken to agree")),
        (Some(_), None) => Some(format!("shard {shard} agreed, and is taken to refuse")),
        (Some(ended), refused) if ended.refusal != *refused => Some(format!(
            "shard {shard} refused for another reason than is told"
        )),
        _ => None,
    }
}

/// Once no journal is open between two shards, what each has booked against the other is the other's
/// opposite.
pub(in crate::verify) fn clearing_agrees(one: &End<'_>, other: &End<'_>, findings: &mut Findings) {
    if !(is_over(one, other) && is_over(other, one)) {
        return;
    }
    let between = |end: &End<'_>, peer: u32, currency: Currency| {
        let key = (format!("clearing:{peer}"), currency);
        i128::from(end.houses.get(&key).copied().unwrap_or_default())
    };
    let keys = one.houses.keys().chain(other.houses.keys());
    let currencies: BTreeSet<Currency> = keys.map(|(_, currency)| *currency).collect();
    for currency in currencies {
        let here = between(one, other.shard, currency);
        let there = between(other, one.shard, currency);
        if here + there != 0 {
            let what = format!(
                "clearing with shard {} comes to {here} minor units of {currency}, and there to \
                 {there}, though no journal is open between them",
                other.shard
            );
            findings.add(one.shard, None, Part::Book, what);
        }
    }
}

/// Whether all journals of one shard that ask another have come to their end in both, or been
/// refused.
fn is_over(from: &End<'_>, to: &End<'_>) -> bool {
    let (ours, theirs) = (&from.journals.told, &to.journals.told);
    let own = ours.iter().filter(|(id, _)| id.0 == from.shard);
    let mut asked = own.filter(|(_, here)| here.legs.contains_key(&to.shard));
    let is_known = |id: &Id| id.0 != from.shard || ours.contains_key(id);
    theirs.keys().all(is_known)
        && asked.all(|(id, here)| {
            let there = theirs.get(id);
            let there = there.is_some_and(|it| it.ended.is_some() || it.refused.is_some());
            here.ended.is_some() && there
        })
}
