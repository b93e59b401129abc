//! What the logs say of consumer groups, in the words of their judge.

use std::{collections::BTreeMap, sync::Arc};

use ledger_domain::{
    EventKind, ShardId,
    consumer::{ConsumerChange, Cursor as Places, Generation, Group as Made, Order, Reads, bucket},
};
use node::api::events::v1::Filter;
use prost::Message as _;
use replication::topology::Directory as _;

use crate::{
    oracle::consumed::{Change, Cursor, Due, Group, Share, Step},
    scenario::{customer::Lobby, evidence::Evidence, subjects::Subject},
};

/// All groups that there were, each with the events that are due to its shares.
pub(in crate::scenario) fn logged(
    lobby: &Lobby,
    evidence: &Evidence,
) -> Result<Vec<Group>, String> {
    let mut groups: Vec<Group> = Vec::new();
    // The last of each name, and what it was made with.
    let mut known: BTreeMap<String, (usize, Arc<Made>)> = BTreeMap::new();
    for event in &evidence.consumers {
        let name = event.consumer.name().to_owned();
        if let ConsumerChange::Created { group, at } = &event.change {
            known.insert(name.clone(), (groups.len(), group.clone()));
            groups.push(made(lobby, evidence, name, group, at)?);
            continue;
        }
        let Some((place, group)) = known.get(&name) else {
            return Err(format!("nobody made the group {name}"));
        };
        let told = &mut groups[*place];
        let own = |number: u32, places: &Places| part(places, group.share(number).0);
        let step = |number, generation: &Generation, from, to| Step {
            lease: lease(generation),
            order: (generation.epoch, generation.term, generation.count),
            from: own(number, from),
            to: own(number, to),
        };
        let (number, change) = match &event.change {
            ConsumerChange::Created { .. } => continue,
            ConsumerChange::Removed => {
                told.is_removed = true;
                continue;
            }
            ConsumerChange::Moved { to } => {
                for (number, share) in (0..).zip(&mut told.shares) {
                    let mut cursor = at(share);
                    let moved = own(number, to);
                    if !moved.is_empty() {
                        cursor.extend(moved);
                        share.changes.push(Change::Set(cursor));
                    }
                }
                continue;
            }
            ConsumerChange::Advanced {
                share,
                generation,
                from,
                to,
            } => (*share, Change::Advanced(step(*share, generation, from, to))),
            ConsumerChange::Parked {
                share,
                generation,
                from,
                to,
                at,
            } => {
                let parked = Change::Parked {
                    step: step(*share, generation, from, to),
                    id: (at.event.to_string(), at.place),
                    reason: at.reason.clone(),
                    after: own(*share, &at.after),
                };
                (*share, parked)
            }
            ConsumerChange::Resumed { share, skip } => (*share, Change::Resumed { skip: *skip }),
        };
        let share = told.shares.get_mut(number as usize);
        let share = share.ok_or_else(|| format!("{name} has no share {number}"))?;
        share.changes.push(change);
    }
    Ok(groups)
}

/// Whether a share of a group went on under one leader and then under another.
pub(in crate::scenario) fn changed_leaders(evidence: &Evidence) -> bool {
    let mut terms: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    evidence.consumers.iter().any(|event| {
        let ConsumerChange::Advanced {
            share, generation, ..
        } = &event.change
        else {
            return false;
        };
        let term = (generation.epoch, generation.term);
        let before = terms.insert((event.consumer.clone(), *share), term);
        before.is_some_and(|before| before != term)
    })
}

/// How a lease is called.
fn lease(generation: &Generation) -> String {
    let Generation { epoch, term, count } = generation;
    format!("{epoch}-{term}-{count}")
}

/// The places of some shards.
fn part(places: &Places, shards: &[ShardId]) -> Cursor {
    let own = shards
        .iter()
        .filter_map(|shard| Some((shard, places.get(shard)?)));
    own.map(|(shard, place)| (shard.0, (place.next, place.told)))
        .collect()
}

/// Where a share is after what happened to it.
fn at(share: &Share) -> Cursor {
    let mut cursor = Cursor::new();
    let mut parked = Cursor::new();
    for change in &share.changes {
        match change {
            Change::Set(set) => cursor.clone_from(set),
            Change::Advanced(step) => cursor.clone_from(&step.to),
            Change::Parked { step, after, .. } => {
                cursor.clone_from(&step.to);
                parked.clone_from(after);
            }
            Change::Resumed { skip: true } => cursor.clone_from(&parked),
            Change::Resumed { skip: false } => {}
        }
    }
    cursor
}

fn made(
    lobby: &Lobby,
    evidence: &Evidence,
    name: String,
    group: &Made,
    at: &Places,
) -> Result<Group, String> {
    let filter = Filter::decode(group.filter.clone()).map_err(|how| how.to_string())?;
    let kinds = filter
        .kinds
        .iter()
        .filter_map(|it| EventKind::from_name(it));
    let kinds: Vec<_> = kinds.collect();
    let count = group.shares().ok_or("a group makes no sense")?;
    let mut shares = Vec::new();
    for number in (0..).take(count) {
        let (shards, of) = group.share(number);
        let mut due = BTreeMap::new();
        for shard in shards {
            let subjects = evidence.subjects.get(&shard.0).into_iter().flatten();
            let events = evidence.events.get(&shard.0).into_iter().flatten();
            let (mut last, mut own) = ((0, 0), Vec::new());
            for (event, subject) in events.zip(subjects) {
                last = match last {
                    (index, count) if index == event.index => (index, count + 1),
                    _ => (event.index, 1),
                };
                let is_due = (kinds.is_empty() || kinds.contains(&subject.kind))
                    && is_of(lobby, group, *shard, of, subject);
                if is_due {
                    own.push(Due {
                        shard: shard.0,
                        index: event.index,
                        count: last.1,
                        time: event.time,
                        id: (event.transaction.clone(), event.place),
                    });
                }
            }
            due.insert(shard.0, own);
        }
        shares.push(Share {
            due,
            changes: vec![Change::Set(part(at, shards))],
        });
    }
    Ok(Group {
        name,
        by_time: group.order == Order::Cut,
        shares,
        is_removed: false,
    })
}

/// Whether a share has an event: what groups do, none has; one of accounts has what names one of its
/// own, and the first what names no account of the shard.
fn is_of(lobby: &Lobby, group: &Made, shard: ShardId, of: u32, subject: &Subject) -> bool {
    if subject.kind.name().starts_with("Consumer") {
        return false;
    }
    if let Reads::Account(account) = group.reads
        && !subject.accounts.contains(&account)
    {
        return false;
    }
    if group.order != Order::Account || group.buckets == 1 {
        return true;
    }
    let home = |account: &_| lobby.bank.directory().home(account) == Some(shard);
    let mut own = subject.accounts.iter().filter(|it| home(it)).peekable();
    match own.peek() {
        None => of == 0,
        Some(_) => own.any(|account| bucket(account, group.buckets) == of),
    }
}
