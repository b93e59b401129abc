//! Lays the books of all shards side by side. A pure function of them.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{AccountId, Currency, HouseCode, HybridTime, Position, ShardId};

use super::shard_book::{ChannelIn, ChannelOut, Kind, OpenItem, ShardBook, Sum};

/// All books at one time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TrialBalance {
    /// In the order of shard, currency and kind.
    pub(super) rows: Vec<Row>,
    /// In the order of shard and currency.
    pub(super) totals: Vec<Total>,
    /// In the order of source, destination and currency.
    pub(super) channels: Vec<Channel>,
    /// Whether every total is zero and every channel matches.
    pub(super) balanced: bool,
    /// Open accounts without a limit, sorted.
    pub(super) unlimited: Vec<AccountId>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) shard: ShardId,
    pub(super) currency: Currency,
    pub(super) kind: Kind,
    pub(super) sum: Sum,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) position: Position,
    pub(super) currency: Currency,
    pub(super) sum: Sum,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) from: ShardId,
    pub(super) to: ShardId,
    /// None where the channel's ends agree on no currency at all, because one of them is wrong.
    pub(super) currency: Option<Currency>,
    /// Sent, and not yet taken or refused.
    pub(super) under_way: u64,
    pub(super) under_way_units: i128,
    /// When the oldest of those was sent.
    pub(super) oldest: Option<HybridTime>,
    pub(super) sent: u64,
    pub(super) taken: u64,
    pub(super) differences: Vec<Difference>,
}

/// How the two ends of a channel can disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Difference {
    #[error("{recorded} items are recorded, and only {sent} were sent")]
    NeverSent { recorded: u64, sent: u64 },
    #[error("item {0} is held open and has a number that was never given")]
    Unnumbered(u64),
    #[error("item {0} is closed at its source and was neither taken nor refused")]
    Lost(u64),
    #[error("item {0} was recorded as another than was sent")]
    Another(u64),
    #[error("item {0} is held open, and the record of it is gone")]
    RecordGone(u64),
    #[error("{house} holds {balance}, and the items held open are {items}")]
    InTransit {
        house: HouseCode,
        balance: i128,
        items: i128,
    },
    #[error(
        "the source owes {owed} for what was taken, and {house} at the destination holds {balance}"
    )]
    Due {
        house: HouseCode,
        owed: i128,
        balance: i128,
    },
}

impl Difference {
    /// Its stable name.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NeverSent { .. } => "NEVER_SENT",
            Self::Unnumbered(_) => "UNNUMBERED",
            Self::Lost(_) => "LOST",
            Self::Another(_) => "ANOTHER",
            Self::RecordGone(_) => "RECORD_GONE",
            Self::InTransit { .. } => "IN_TRANSIT",
            Self::Due { .. } => "DUE",
        }
    }
}

impl TrialBalance {
    /// Only the books of some shards, and the channels that have an end there.
    pub(super) fn within(
        mut self,
        shards: &BTreeSet<ShardId>,
        home: impl Fn(&AccountId) -> Option<ShardId>,
    ) -> Self {
        self.rows.retain(|row| shards.contains(&row.shard));
        self.totals
            .retain(|total| shards.contains(&total.position.shard));
        self.channels
            .retain(|channel| shards.contains(&channel.from) || shards.contains(&channel.to));
        self.unlimited
            .retain(|account| home(account).is_some_and(|shard| shards.contains(&shard)));
        self.balanced = balances(&self.totals, &self.channels);
        self
    }
}

/// Whether every total is zero and every channel matches.
fn balances(totals: &[Total], channels: &[Channel]) -> bool {
    let mut channels = channels.iter();
    totals.iter().all(|total| total.sum.net() == 0)
        && channels.all(|channel| channel.differences.is_empty())
}

/// Sums every book and matches every channel.
pub(super) fn side_by_side(books: &BTreeMap<ShardId, ShardBook>) -> TrialBalance {
    let mut rows = Vec::new();
    let mut totals = Vec::new();
    for (shard, book) in books {
        let mut sums: BTreeMap<Currency, Sum> = BTreeMap::new();
        for ((currency, kind), sum) in &book.sums {
            rows.push(Row {
                shard: *shard,
                currency: *currency,
                kind: kind.clone(),
                sum: *sum,
            });
            sums.entry(*currency).or_default().add(*sum);
        }
        totals.extend(sums.into_iter().map(|(currency, sum)| Total {
            position: book.position,
            currency,
            sum,
        }));
    }
    let channels: Vec<_> = pairs(books)
        .into_iter()
        .flat_map(|(from, to)| Ends::of(books, from, to).matched())
        .collect();
    let mut unlimited: Vec<_> = books.values().flat_map(|b| b.unlimited.clone()).collect();
    unlimited.sort_unstable();
    TrialBalance {
        balanced: balances(&totals, &channels),
        rows,
        totals,
        channels,
        unlimited,
    }
}

/// Every direction between two shards that either of them knows of.
fn pairs(books: &BTreeMap<ShardId, ShardBook>) -> BTreeSet<(ShardId, ShardId)> {
    let mut pairs = BTreeSet::new();
    for (shard, book) in books {
        pairs.extend(book.out.keys().map(|to| (*shard, *to)));
        pairs.extend(book.into.keys().map(|from| (*from, *shard)));
        for (_, kind) in book.sums.keys() {
            match kind {
                Kind::House(HouseCode::InTransit(to) | HouseCode::DueTo(to)) => {
                    pairs.insert((*shard, *to));
                }
                Kind::House(HouseCode::DueFrom(from)) => {
                    pairs.insert((*from, *shard));
                }
                _ => {}
            }
        }
    }
    pairs
}

/// A channel as its two ends have it. An end that knows nothing of it has nothing.
struct Ends<'a> {
    from: ShardId,
    to: ShardId,
    source: Option<&'a ShardBook>,
    destination: Option<&'a ShardBook>,
    out: ChannelOut,
    into: ChannelIn,
}

impl<'a> Ends<'a> {
    fn of(books: &'a BTreeMap<ShardId, ShardBook>, from: ShardId, to: ShardId) -> Self {
        let (source, destination) = (books.get(&from), books.get(&to));
        let out = source.and_then(|book| book.out.get(&to));
        let into = destination.and_then(|book| book.into.get(&from));
        Self {
            from,
            to,
            source,
            destination,
            out: out.cloned().unwrap_or_default(),
            into: into.cloned().unwrap_or_default(),
        }
    }

    /// One line for each currency that the channel ever carried.
    fn matched(&self) -> Vec<Channel> {
        let numbers = self.numbers();
        let currencies = self.currencies();
        if currencies.is_empty() {
            return match numbers.is_empty() {
                true => Vec::new(),
                false => vec![self.channel(None, numbers)],
            };
        }
        currencies
            .into_iter()
            .map(|currency| {
                let mut differences = numbers.clone();
                differences.extend(self.items(currency));
                differences.extend(self.houses(currency));
                self.channel(Some(currency), differences)
            })
            .collect()
    }

    fn channel(&self, currency: Option<Currency>, differences: Vec<Difference>) -> Channel {
        let under_way: Vec<_> = self
            .open(currency)
            .filter(|(number, _)| *number > self.into.recorded)
            .map(|(_, item)| item)
            .collect();
        Channel {
            from: self.from,
            to: self.to,
            currency,
            under_way: under_way.len() as u64,
            under_way_units: under_way.iter().map(|item| i128::from(item.units)).sum(),
            oldest: under_way.iter().filter_map(|item| item.sent).min(),
            sent: self.out.sent,
            taken: self.into.recorded,
            differences,
        }
    }

    fn open(&self, currency: Option<Currency>) -> impl Iterator<Item = (u64, &OpenItem)> {
        let all = self.out.open.iter();
        all.filter(move |(_, item)| Some(item.currency) == currency)
            .map(|(number, item)| (*number, item))
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        let mut found: BTreeSet<_> = self.out.open.values().map(|item| item.currency).collect();
        let mut kept = |book: Option<&ShardBook>, codes: &[HouseCode]| {
            let keys = book.into_iter().flat_map(|book| book.sums.keys());
            found.extend(keys.filter_map(|(currency, kind)| match kind {
                Kind::House(code) if codes.contains(code) => Some(*currency),
                _ => None,
            }));
        };
        let near = [HouseCode::InTransit(self.to), HouseCode::DueTo(self.to)];
        kept(self.source, &near);
        kept(self.destination, &[HouseCode::DueFrom(self.from)]);
        found
    }

    /// What does not fit whatever the currency.
    fn numbers(&self) -> Vec<Difference> {
        let (sent, recorded) = (self.out.sent, self.into.recorded);
        let mut found = Vec::new();
        if recorded > sent {
            found.push(Difference::NeverSent { recorded, sent });
        }
        if recorded < sent {
            // What is not recorded must be open, without a gap.
            let mut expected = recorded + 1;
            for number in self.out.open.range(expected..=sent).map(|(n, _)| *n) {
                if number != expected {
                    break;
                }
                expected += 1;
            }
            if expected <= sent {
                found.push(Difference::Lost(expected));
            }
        }
        let beyond = self.out.open.range(sent.saturating_add(1)..);
        found.extend(beyond.map(|(number, _)| Difference::Unnumbered(*number)));
        found
    }

    /// An item that is open here is not recorded there, or recorded as the same: one hash stands
    /// for all of it, the amount included.
    fn items(&self, currency: Currency) -> impl Iterator<Item = Difference> {
        self.open(Some(currency))
            .filter(|(number, _)| *number <= self.into.recorded)
            .filter_map(|(number, item)| match self.into.records.get(&number) {
                None => Some(Difference::RecordGone(number)),
                Some(record) if record.hash != item.hash => Some(Difference::Another(number)),
                Some(_) => None,
            })
    }

    fn houses(&self, currency: Currency) -> impl Iterator<Item = Difference> {
        let balance = |book: Option<&ShardBook>, code: &HouseCode| {
            book.map_or(0, |book| book.house(code.clone(), currency))
        };
        let sum = |counts: &dyn Fn(u64) -> bool| -> i128 {
            let open = self.open(Some(currency));
            open.filter(|(number, _)| counts(*number))
                .map(|(_, item)| i128::from(item.units))
                .sum()
        };
        let house = HouseCode::InTransit(self.to);
        let (in_transit, items) = (balance(self.source, &house), sum(&|_| true));
        let transit = (in_transit != items).then_some(Difference::InTransit {
            house,
            balance: in_transit,
            items,
        });
        // What the source knows to have been taken, and what it does not know yet.
        let taken = |number| self.into.records.get(&number).is_some_and(|r| r.taken);
        let owed = balance(self.source, &HouseCode::DueTo(self.to)) + sum(&taken);
        let house = HouseCode::DueFrom(self.from);
        let held = balance(self.destination, &house);
        let due = (owed + held != 0).then_some(Difference::Due {
            house,
            owed,
            balance: held,
        });
        transit.into_iter().chain(due)
    }
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
