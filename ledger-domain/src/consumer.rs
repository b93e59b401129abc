//! Consumer groups: who reads the events of an account, a shard or a region on, and up to where.
//!
//! A group has a name and a home region, and is kept in the shard of that region that the name hashes to.
//! What it reads is cut into shares, each with a cursor of its own that goes on as its events are
//! acknowledged. Who reads a share at the moment is no business of the log: it is lent by the node that
//! leads, and what the log has of it is a rising number that fences those off who had it before.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use bytes::Bytes;

use crate::{AccountId, RegionName, ShardId, TransactionId, evolve::Mismatch, state::State};

/// The most shares that a group can have.
pub const MOST_SHARES: usize = 256;
/// The most groups that a shard keeps.
pub const MOST_CONSUMERS: usize = 1_000;
/// The longest name, in bytes.
const LONGEST_NAME: usize = 64;

/// A consumer group: its home region and its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId {
    region: RegionName,
    name: Arc<str>,
}

/// A text that is not the name of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a consumer's name: 1 to 64 of a-z, 0-9, `-`, `_` and `.`, a letter first")]
pub struct InvalidConsumerName(pub String);

impl ConsumerId {
    /// From its parts; the name is checked.
    pub fn new(region: RegionName, name: &str) -> Result<Self, InvalidConsumerName> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        let is_good = (1..=LONGEST_NAME).contains(&name.len())
            && name.bytes().all(legal)
            && name.as_bytes()[0].is_ascii_lowercase();
        match is_good {
            true => Ok(Self {
                region,
                name: name.into(),
            }),
            false => Err(InvalidConsumerName(name.chars().take(80).collect())),
        }
    }

    /// Where the group is kept.
    pub const fn region(&self) -> RegionName {
        self.region
    }

    /// Its name within the region.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The place of the group, for commands about it and in the shard that keeps it: the one to which an
    /// account with this id would belong. No account has it.
    pub fn place(&self) -> AccountId {
        let hash = blake3::derive_key("meridian consumer place 2026-11", self.name.as_bytes());
        let mut body = [0; AccountId::BODY_LEN];
        body.copy_from_slice(&hash[..AccountId::BODY_LEN]);
        AccountId::new(self.region, body)
    }
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.region, self.name))
    }
}

impl fmt::Debug for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a group reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// The events of the account's shard that name it.
    Account(AccountId),
    /// All of a shard.
    Shard(ShardId),
    /// All of all shards of a region.
    Region(RegionName),
}

/// The order in which a group is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Order {
    /// Each account's events in their order: the accounts of each shard are spread over some shares.
    Account = 1,
    /// Each shard's events in their order: a share for each.
    Shard = 2,
    /// All events by time, up to when every shard is complete: one share.
    Cut = 3,
}

impl Order {
    /// The order with a stored number.
    pub fn from_number(number: i32) -> Option<Self> {
        let all = [Self::Account, Self::Shard, Self::Cut];
        all.into_iter().find(|order| *order as i32 == number)
    }
}

/// Up to where a shard is acknowledged. The index goes on rising over reigns: it alone says what is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The reign that wrote what comes before.
    pub epoch: u64,
    /// All before this index.
    pub next: u64,
    /// And of the index itself so many events, whether or not a filter lets them pass.
    pub told: u32,
}

impl Place {
    /// Whether it is before another.
    pub fn is_before(&self, other: &Self) -> bool {
        (self.next, self.told) < (other.next, other.told)
    }
}

/// A place in every shard of a share.
pub type Cursor = BTreeMap<ShardId, Place>;

/// What a group is made with, and keeps for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it reads.
    pub reads: Reads,
    /// In which order.
    pub order: Order,
    /// The shards that are read: one at least, in their order.
    pub shards: Vec<ShardId>,
    /// Over how many shares the accounts of a shard are spread; one in every other order.
    pub buckets: u32,
    /// What it is told of it, in the form of the API.
    pub filter: Bytes,
}

impl Group {
    /// How many shares there are; `None` where the group makes no sense.
    pub fn shares(&self) -> Option<usize> {
        let is_sorted = self.shards.windows(2).all(|pair| pair[0] < pair[1]);
        let spread = match self.order {
            Order::Account => usize::try_from(self.buckets).ok()?,
            Order::Shard | Order::Cut if self.buckets == 1 => 1,
            Order::Shard | Order::Cut => return None,
        };
        let count = match self.order {
            Order::Cut if self.shards.len() <= MOST_SHARES => 1.min(self.shards.len()),
            Order::Cut => return None,
            Order::Account | Order::Shard => self.shards.len().checked_mul(spread)?,
        };
        (is_sorted && (1..=MOST_SHARES).contains(&count)).then_some(count)
    }

    /// The shards of a share, and which of so many buckets it has of their accounts.
    pub fn share(&self, share: u32) -> (&[ShardId], u32) {
        match self.order {
            Order::Cut => (&self.shards, 0),
            Order::Account | Order::Shard => {
                let buckets = self.buckets.max(1);
                let at = (share / buckets) as usize;
                (
                    self.shards.get(at..=at).unwrap_or_default(),
                    share % buckets,
                )
            }
        }
    }

    /// Whether a cursor has a place in each of the shards of a share, and in no other.
    pub fn fits(&self, share: u32, cursor: &Cursor) -> bool {
        cursor.keys().eq(self.share(share).0)
    }
}

/// The bucket of an account, of so many.
pub fn bucket(account: &AccountId, buckets: u32) -> u32 {
    let mut hasher = blake3::Hasher::new_derive_key("meridian consumer bucket 2026-11");
    hasher.update(account.region().as_str().as_bytes());
    hasher.update(account.body());
    let mut number = [0; 8];
    number.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    (u64::from_be_bytes(number) % u64::from(buckets.max(1))) as u32
}

/// Which lending of a share it is: a term of the group's shard, and a count within it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation {
    /// The reign of the shard's home.
    pub epoch: u64,
    /// The term.
    pub term: u64,
    /// How many shares that leader had lent.
    pub count: u64,
}

/// An event that could not be processed: nothing after it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Its transaction.
    pub event: TransactionId,
    /// Its place among the events of the transaction, from 1.
    pub place: u32,
    /// Why, as the member said.
    pub reason: String,
    /// Since when, ms since 1970.
    pub since_ms: u64,
    /// The cursor that covers it, too.
    pub after: Cursor,
}

/// A part of what a group reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Up to where it is acknowledged.
    pub cursor: Cursor,
    /// The lending under which it last went on.
    pub generation: Generation,
    /// What keeps it from going on.
    pub parked: Option<Parked>,
}

/// What a book keeps of a group. A clone is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// What it was made with.
    pub group: Arc<Group>,
    /// By number, from 0.
    pub shares: Arc<Vec<Share>>,
}

/// Something happened to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerEvent {
    /// To which.
    pub consumer: ConsumerId,
    /// What.
    pub change: ConsumerChange,
}

/// What is asked about a group, and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerChange {
    /// It is there from now on.
    Created {
        /// What it is.
        group: Arc<Group>,
        /// Where it begins, in every shard.
        at: Cursor,
    },
    /// A share's events were acknowledged.
    Advanced {
        /// Which share.
        share: u32,
        /// The lending.
        generation: Generation,
        /// From where.
        from: Cursor,
        /// Up to where.
        to: Cursor,
    },
    /// A share is stopped at an event.
    Parked {
        /// Which share.
        share: u32,
        /// The lending.
        generation: Generation,
        /// From where it went on.
        from: Cursor,
        /// Up to where, which is before the event.
        to: Cursor,
        /// The event, and why.
        at: Parked,
    },
    /// A share goes on.
    Resumed {
        /// Which.
        share: u32,
        /// Whether after the event that stopped it, or with it.
        skip: bool,
    },
    /// The cursors were set, in some shards or all; shares that read them go on from there, parked or not.
    Moved {
        /// Where to.
        to: Cursor,
    },
    /// It is there no longer.
    Removed,
}

impl Consumer {
    /// A group as it is made; `None` where it makes no sense.
    fn created(group: &Arc<Group>, at: &Cursor) -> Option<Self> {
        if !at.keys().eq(&group.shards) {
            return None;
        }
        let share = |number| Share {
            cursor: part(at, group.share(number).0),
            generation: Generation::default(),
            parked: None,
        };
        let shares = (0..).take(group.shares()?).map(share).collect();
        Some(Self {
            group: group.clone(),
            shares: Arc::new(shares),
        })
    }

    /// The group after something happened to it that does not end it; `None` where that does not follow.
    fn after(mut self, change: &ConsumerChange) -> Option<Self> {
        let group = self.group.clone();
        let shares = Arc::make_mut(&mut self.shares);
        match change {
            ConsumerChange::Created { .. } | ConsumerChange::Removed => return None,
            ConsumerChange::Advanced {
                share,
                generation,
                from,
                to,
            } => {
                let found = shares.get_mut(*share as usize)?;
                found.goes_on(&group, *share, *generation, from, to)?;
            }
            ConsumerChange::Parked {
                share,
                generation,
                from,
                to,
                at,
            } => {
                let found = shares.get_mut(*share as usize)?;
                found.goes_on(&group, *share, *generation, from, to)?;
                let follows = group.fits(*share, &at.after) && !goes_back(to, &at.after);
                if !follows || *to == at.after {
                    return None;
                }
                found.parked = Some(at.clone());
            }
            ConsumerChange::Resumed { share, skip } => {
                let found = shares.get_mut(*share as usize)?;
                let parked = found.parked.take()?;
                if *skip {
                    found.cursor = parked.after;
                }
            }
            ConsumerChange::Moved { to } => {
                let known: BTreeSet<_> = group.shards.iter().collect();
                if to.is_empty() || !to.keys().all(|shard| known.contains(shard)) {
                    return None;
                }
                for share in shares {
                    for (shard, place) in &mut share.cursor {
                        if let Some(to) = to.get(shard) {
                            *place = *to;
                            share.parked = None;
                        }
                    }
                }
            }
        }
        Some(self)
    }
}

impl Share {
    fn goes_on(
        &mut self,
        group: &Group,
        number: u32,
        generation: Generation,
        from: &Cursor,
        to: &Cursor,
    ) -> Option<()> {
        let follows = self.parked.is_none()
            && generation >= self.generation
            && *from == self.cursor
            && group.fits(number, to)
            && !goes_back(from, to);
        follows.then_some(())?;
        self.cursor = to.clone();
        self.generation = generation;
        Some(())
    }
}

/// The places of some shards.
fn part(cursor: &Cursor, shards: &[ShardId]) -> Cursor {
    let places = shards.iter();
    let places = places.filter_map(|shard| Some((*shard, *cursor.get(shard)?)));
    places.collect()
}

/// Whether a cursor is before another in any of its shards.
pub(crate) fn goes_back(from: &Cursor, to: &Cursor) -> bool {
    let mut places = from.iter();
    places.any(|(shard, place)| to.get(shard).is_some_and(|to| to.is_before(place)))
}

/// Whether a group can be made like this.
pub(crate) fn makes_sense(group: &Arc<Group>, at: &Cursor) -> bool {
    Consumer::created(group, at).is_some()
}

/// Applies an event.
pub(crate) fn evolve<S: State>(state: &mut S, event: &ConsumerEvent) -> Result<(), Mismatch> {
    let id = &event.consumer;
    let before = state.consumer(id);
    let after = match (&event.change, before) {
        (ConsumerChange::Created { group, at }, None) => Consumer::created(group, at).map(Some),
        (ConsumerChange::Removed, Some(_)) => Some(None),
        (_, None) => None,
        (change, Some(before)) => before.after(change).map(Some),
    };
    let after = after.ok_or_else(|| Mismatch::Consumer(id.clone()))?;
    state.set_consumer(id, after);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(order: Order, shards: &[u32], buckets: u32) -> Group {
        Group {
            reads: Reads::Region("eu-west".parse().unwrap()),
            order,
            shards: shards.iter().copied().map(ShardId).collect(),
            buckets,
            filter: Bytes::new(),
        }
    }

    #[test]
    fn names_are_plain() {
        let region = "eu-west".parse().unwrap();
        let good = ConsumerId::new(region, "fraud_2.eu-west").unwrap();
        assert_eq!(good.to_string(), "eu-west/fraud_2.eu-west");
        assert_eq!(good.place(), good.clone().place());
        let long = "a".repeat(65);
        for wrong in ["", "Fraud", "1st", "-a", "a b", "a/b", "ä", &long] {
            assert!(ConsumerId::new(region, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_follow_from_the_order() {
        assert_eq!(group(Order::Shard, &[1, 4], 1).shares(), Some(2));
        assert_eq!(group(Order::Account, &[1, 4], 3).shares(), Some(6));
        assert_eq!(group(Order::Cut, &[1, 4], 1).shares(), Some(1));
        for wrong in [
            group(Order::Shard, &[], 1),
            group(Order::Cut, &[], 1),
            group(Order::Shard, &[4, 1], 1),
            group(Order::Shard, &[1, 1], 1),
            group(Order::Shard, &[1], 2),
            group(Order::Cut, &[1], 2),
            group(Order::Account, &[1], 0),
            group(Order::Account, &[1, 2], 129),
            group(Order::Account, &[1, 2], u32::MAX),
        ] {
            assert_eq!(wrong.shares(), None, "{wrong:?}");
        }
        let accounts = group(Order::Account, &[1, 4], 3);
        assert_eq!(accounts.share(4), (&[ShardId(4)][..], 1));
        assert_eq!(accounts.share(6), (&[][..], 0));
        assert_eq!(group(Order::Cut, &[1, 4], 1).share(0).0.len(), 2);
    }

    #[test]
    fn accounts_are_spread_over_all_buckets() {
        let region = "eu-west".parse().unwrap();
        let account = |number: u32| AccountId::derive(region, "t", &number.to_string());
        let mut found = [0; 4];
        (0..400).for_each(|number| found[bucket(&account(number), 4) as usize] += 1);
        assert!(found.iter().all(|count| *count > 60), "{found:?}");
    }
}
