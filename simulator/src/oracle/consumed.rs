//! Consumer groups are told everything at least once: a share's cursor goes on over an event only when
//! the member that had the share then has acknowledged it, in the order of the log, whoever came and
//! went. What cannot be processed parks its share, and nothing else does.

use std::collections::{BTreeMap, BTreeSet};

/// Up to where each shard is acknowledged: all before an index, and of the index itself so many events.
pub type Cursor = BTreeMap<u32, (u64, u32)>;

/// An event by its transaction and its place in that.
pub type Id = (String, u32);

/// An event that a share has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Whose log it is in.
    pub shard: u32,
    /// The entry.
    pub index: u64,
    /// Which of the entry's events, from 1.
    pub count: u32,
    /// The entry's time; greater is later.
    pub time: u128,
    /// Which event it is.
    pub id: Id,
}

/// What the log says of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The cursor was set.
    Set(Cursor),
    /// It went on.
    Advanced(Step),
    /// It went on, and stopped at an event for a reason.
    Parked {
        /// How it went on.
        step: Step,
        /// The event.
        id: Id,
        /// Why.
        reason: String,
        /// The cursor that covers it, too.
        after: Cursor,
    },
    /// It goes on, after the event that stopped it or with it.
    Resumed {
        /// After it.
        skip: bool,
    },
}

/// How a share goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The lease under which it did.
    pub lease: String,
    /// Later leases have greater ones.
    pub order: (u64, u64, u64),
    /// From where.
    pub from: Cursor,
    /// Up to where.
    pub to: Cursor,
}

/// A part of what a group reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// Its events, each shard's in the order of its log.
    pub due: BTreeMap<u32, Vec<Due>>,
    /// What happened to it, in the order of the log.
    pub changes: Vec<Change>,
}

/// A group, from when it was made until it was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name; one of before may have had the same.
    pub name: String,
    /// Whether it is told all its shards by time.
    pub by_time: bool,
    /// By number.
    pub shares: Vec<Share>,
    /// Whether it was removed.
    pub is_removed: bool,
}

/// What a member was told, and what it said of it, in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It was told an event.
    Told {
        /// The event's number within the lease.
        number: u64,
        /// Whether it is the one that was refused, and what was told after that is void.
        again: bool,
        /// Which event.
        id: Id,
    },
    /// It has processed all up to a number.
    Acknowledged(u64),
    /// It cannot process one.
    Refused(u64, String),
}

/// Under which lease something was said: the share and the lease.
pub type Lease = (u32, String);

/// What all members of a group know at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diary {
    /// The group's name.
    pub group: String,
    /// What was said under each lease, by member: a lease is one member's.
    pub words: BTreeMap<Lease, BTreeMap<u32, Vec<Word>>>,
    /// What operators were told of parked shares: share, event and reason.
    pub parked: Vec<(u32, Id, String)>,
    /// How often members have an event told again before they want its share parked.
    pub retries: u32,
    /// How the group was shown last, for whoever looks for what went wrong.
    pub last_shown: String,
}

/// What does not hold of a group.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{group}, share {share}: {what}")]
pub struct Violation {
    /// The group's name.
    pub group: String,
    /// The share's number.
    pub share: u32,
    /// What does not hold.
    pub what: String,
}

/// What was done under a lease.
#[derive(Debug, Default)]
struct Lending<'a> {
    told: Vec<(bool, &'a Id)>,
    processed: BTreeSet<&'a Id>,
    /// How often each event was refused, and why at last.
    refused: BTreeMap<&'a Id, (u32, &'a str)>,
}

impl<'a> Lending<'a> {
    fn of(words: &'a [Word]) -> Self {
        let mut it = Lending::default();
        let mut waiting: Vec<(u64, &Id)> = Vec::new();
        let place = |waiting: &[(u64, &Id)], number| waiting.iter().position(|it| it.0 == number);
        for word in words {
            match word {
                Word::Told { number, again, id } => {
                    if *again {
                        waiting.clear();
                    }
                    waiting.push((*number, id));
                    it.told.push((*again, id));
                }
                Word::Acknowledged(number) => {
                    if let Some(place) = place(&waiting, *number) {
                        it.processed
                            .extend(waiting.drain(..=place).map(|(_, id)| id));
                    }
                }
                Word::Refused(number, reason) => {
                    if let Some(place) = place(&waiting, *number) {
                        let refused = waiting[place].1;
                        it.processed
                            .extend(waiting.drain(..place).map(|(_, id)| id));
                        let known = it.refused.entry(refused).or_default();
                        *known = (known.0 + 1, reason);
                    }
                }
            }
        }
        it
    }

    /// Compares what was told with what was due, in its order. Returns the first that was told of each
    /// shard, by its place among what is due there.
    fn in_order(&self, share: &Share, by_time: bool) -> Result<BTreeMap<u32, usize>, String> {
        let places: BTreeMap<&Id, (u32, usize)> = share
            .due
            .iter()
            .flat_map(|(shard, due)| {
                due.iter()
                    .enumerate()
                    .map(|(n, due)| (&due.id, (*shard, n)))
            })
            .collect();
        let mut firsts = BTreeMap::new();
        let mut told: Vec<(u32, usize)> = Vec::new();
        for (again, id) in &self.told {
            let place = *places
                .get(id)
                .ok_or_else(|| format!("{id:?} was told, and is not the share's"))?;
            if *again {
                let before = told.iter().rposition(|it| *it == place);
                told.truncate(
                    before.ok_or_else(|| format!("{id:?} was told again, and was not before"))?,
                );
            }
            let (shard, number) = place;
            match told.iter().rev().find(|it| it.0 == shard) {
                Some((_, before)) if before + 1 != number => {
                    let before = &share.due[&shard][*before];
                    return Err(format!("{id:?} was told after {:?}", before.id));
                }
                Some(_) => {}
                None => {
                    let first = *firsts.entry(shard).or_insert(number);
                    if first != number {
                        return Err(format!("{id:?} was told first, and was not before"));
                    }
                }
            }
            let time = |(shard, number): (u32, usize)| share.due[&shard][number].time;
            if by_time && told.last().is_some_and(|last| time(*last) > time(place)) {
                return Err(format!("{id:?} was told after a later one"));
            }
            told.push(place);
        }
        Ok(firsts)
    }
}

impl Share {
    /// How many events of a shard a cursor covers.
    fn covered(&self, cursor: &Cursor, shard: u32) -> usize {
        let due = self.due.get(&shard).map_or(&[][..], Vec::as_slice);
        let (next, told) = cursor.get(&shard).copied().unwrap_or_default();
        due.partition_point(|it| it.index < next || it.index == next && it.count <= told)
    }

    /// The events that one cursor covers and another does not.
    fn between(&self, from: &Cursor, to: &Cursor) -> impl Iterator<Item = &Due> {
        self.due.iter().flat_map(|(shard, due)| {
            let (from, to) = (self.covered(from, *shard), self.covered(to, *shard));
            &due[from.min(to)..to]
        })
    }

    fn cursors(&self) -> impl Iterator<Item = &Cursor> {
        self.changes
            .iter()
            .flat_map(|change| match change {
                Change::Set(cursor) => [Some(cursor), None],
                Change::Advanced(step) => [Some(&step.to), None],
                Change::Parked { step, after, .. } => [Some(&step.to), Some(after)],
                Change::Resumed { .. } => [None, None],
            })
            .flatten()
    }

    /// A lease begins with the first event after where the share was.
    fn begins(&self, lease: &str, firsts: &BTreeMap<u32, usize>) -> Result<(), String> {
        let starts = |cursor: &Cursor| {
            let at = |(shard, first): (&u32, &usize)| self.covered(cursor, *shard) == *first;
            firsts.iter().all(at)
        };
        let known = self.changes.iter().find_map(|change| match change {
            Change::Advanced(step) | Change::Parked { step, .. } if step.lease == lease => {
                Some(&step.from)
            }
            _ => None,
        });
        let is_so = match known {
            Some(from) => starts(from),
            None => self.cursors().any(starts),
        };
        match is_so {
            true => Ok(()),
            false => Err(format!(
                "the lease {lease} did not begin where the share was"
            )),
        }
    }
}

/// Where a share is when its changes are followed.
#[derive(Debug, Default)]
struct Following<'a> {
    cursor: Cursor,
    order: (u64, u64, u64),
    parked: Option<&'a Cursor>,
    /// At which events it was parked, and why.
    parkings: BTreeSet<(&'a Id, &'a String)>,
    passed: usize,
}

impl<'a> Following<'a> {
    fn of(share: &'a Share, lendings: Option<&Lendings<'_>>, retries: u32) -> Result<Self, String> {
        let mut at = Self::default();
        for change in &share.changes {
            match change {
                Change::Set(cursor) => (at.cursor, at.parked) = (cursor.clone(), None),
                Change::Advanced(step) => at.goes_on(share, step, lendings)?,
                Change::Parked {
                    step,
                    id,
                    reason,
                    after,
                } => {
                    at.goes_on(share, step, lendings)?;
                    let lending = lendings.and_then(|it| it.get(&step.lease[..]));
                    let refused = lending.and_then(|it| it.refused.get(id)).copied();
                    let due: Vec<_> = share.between(&step.to, after).map(|it| &it.id).collect();
                    let is_earned =
                        refused.is_some_and(|(times, why)| times > retries && why == reason);
                    if !is_earned || due != [id] {
                        return Err(format!(
                            "it is parked at {id:?} (`{reason}`) for {due:?}, and the member said \
                             {refused:?}"
                        ));
                    }
                    at.parked = Some(after);
                    at.parkings.insert((id, reason));
                }
                Change::Resumed { skip } => {
                    let after = at
                        .parked
                        .take()
                        .ok_or("it is resumed, and was not parked")?;
                    if *skip {
                        at.cursor = after.clone();
                    }
                }
            }
        }
        Ok(at)
    }

    fn goes_on(
        &mut self,
        share: &Share,
        step: &Step,
        lendings: Option<&Lendings<'_>>,
    ) -> Result<(), String> {
        let Step {
            lease,
            order,
            from,
            to,
        } = step;
        if self.parked.is_some() {
            return Err(format!("it goes on under {lease} while it is parked"));
        }
        if *order < self.order {
            return Err(format!("it goes on under {lease}, which was over"));
        }
        if *from != self.cursor {
            let at = &self.cursor;
            return Err(format!("it goes on from {from:?}, and was at {at:?}"));
        }
        if !to.keys().eq(from.keys()) || to.iter().any(|(shard, place)| *place < from[shard]) {
            return Err(format!("it goes back from {from:?} to {to:?}"));
        }
        let lending = lendings.and_then(|it| it.get(&lease[..]));
        for due in share.between(from, to) {
            if !lending.is_some_and(|it| it.processed.contains(&due.id)) {
                let id = &due.id;
                return Err(format!(
                    "{id:?} is passed under {lease}, and was not acknowledged under it"
                ));
            }
            self.passed += 1;
        }
        (self.cursor, self.order) = (to.clone(), *order);
        Ok(())
    }

    /// Whether it has come to the end.
    fn has_ended(&self, share: &Share, ends: &BTreeMap<u32, u64>) -> Result<(), String> {
        if self.parked.is_some() {
            return Err("it is parked at the end".to_owned());
        }
        for (shard, due) in &share.due {
            let next = due.get(share.covered(&self.cursor, *shard));
            let end = ends.get(shard).copied().unwrap_or_default();
            if let Some(next) = next.filter(|it| it.index <= end) {
                let at = &self.cursor;
                return Err(format!("it ends at {at:?}, and {next:?} comes next"));
            }
        }
        Ok(())
    }
}

/// Compares what the logs say of a group with what its members and operators know; there may have been
/// several of its name, one after the other. `ends` is up to which index everything was in each shard's
/// log when the world came to rest: a group that is there has it all by now. Returns how many events were
/// passed.
///
/// # Errors
///
/// The first that does not hold.
pub fn everything_at_least_once(
    groups: &[Group],
    diary: &Diary,
    ends: &BTreeMap<u32, u64>,
) -> Result<usize, Violation> {
    let groups: Vec<_> = groups.iter().filter(|it| it.name == diary.group).collect();
    let leases = lendings(&groups, diary)?;
    let mut passed = 0;
    let mut parked = BTreeSet::new();
    for group in &groups {
        for (number, share) in (0..).zip(&group.shares) {
            let followed = Following::of(share, leases.get(&number), diary.retries);
            let followed = followed.map_err(|what| diary.violation(number, what))?;
            if !group.is_removed {
                let ended = followed.has_ended(share, ends);
                let why = |what| diary.violation(number, format!("{what}: {}", diary.last_shown));
                ended.map_err(why)?;
            }
            passed += followed.passed;
            parked.extend(followed.parkings.into_iter().map(|it| (number, it)));
        }
    }
    for (share, id, reason) in &diary.parked {
        if !parked.contains(&(*share, (id, reason))) {
            let what = format!("it was told as parked at {id:?} (`{reason}`), and never was");
            return Err(diary.violation(*share, what));
        }
    }
    Ok(passed)
}

impl Diary {
    fn violation(&self, share: u32, what: String) -> Violation {
        Violation {
            group: self.group.clone(),
            share,
            what,
        }
    }
}

type Lendings<'a> = BTreeMap<&'a str, Lending<'a>>;

/// What was done under each lease, by share: each lease is one member's, begins where its share was, and
/// is told what comes then.
fn lendings<'a>(
    groups: &[&Group],
    diary: &'a Diary,
) -> Result<BTreeMap<u32, Lendings<'a>>, Violation> {
    let mut leases: BTreeMap<u32, Lendings<'_>> = BTreeMap::new();
    for ((share, lease), members) in &diary.words {
        if members.len() > 1 {
            let members: Vec<_> = members.keys().collect();
            let what = format!("the lease {lease} was {members:?}'s");
            return Err(diary.violation(*share, what));
        }
        let words = members.values().next().map_or(&[][..], Vec::as_slice);
        let lending = Lending::of(words);
        let mut fits = Err(format!("the lease {lease} is of no group that the log has"));
        let known = groups.iter();
        for (group, known) in known.filter_map(|it| Some((it, it.shares.get(*share as usize)?))) {
            let firsts = lending.in_order(known, group.by_time);
            fits = firsts.and_then(|firsts| known.begins(lease, &firsts));
            if fits.is_ok() {
                break;
            }
        }
        fits.map_err(|what| diary.violation(*share, what))?;
        leases.entry(*share).or_default().insert(lease, lending);
    }
    Ok(leases)
}

#[cfg(test)]
#[path = "consumed_tests.rs"]
mod tests;
