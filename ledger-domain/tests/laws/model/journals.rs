//! Journals: what is set aside, what speaks against a leg, and what becomes of all of them.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{
    AccountId, Code, Currency, Date, HouseCode, ShardId, TransactionId,
    journal::{Leg, Legs, Party, Side},
};

use super::{Bounds, Model, beyond};

/// A journal between shards.
#[derive(Debug, Clone)]
pub struct Journal {
    coordinator: ShardId,
    date: Date,
    legs: Vec<(ShardId, Leg)>,
    /// Of those that are asked.
    parts: BTreeMap<ShardId, Part>,
    /// Who has answered, as the coordinator knows.
    heard: BTreeSet<ShardId>,
    /// How it was decided.
    pub posted: Option<bool>,
    /// What its coordinator pays back with it.
    reverses: Option<(TransactionId, i128)>,
    /// Whether it debits whatever the balance.
    forced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Asked,
    Aside,
    Refused,
    Over,
}

fn first(reasons: &BTreeSet<Code>) -> Option<Code> {
    crate::shards::first(reasons)
}

fn units(leg: &Leg) -> i128 {
    let units = i128::from(leg.amount.minor_units());
    match leg.side {
        Side::Debit => -units,
        Side::Credit => units,
    }
}

impl Journal {
    fn is_aside(&self, shard: ShardId) -> bool {
        match shard == self.coordinator {
            true => self.posted.is_none(),
            false => self.parts.get(&shard) == Some(&Part::Aside),
        }
    }

    fn of(&self, shard: ShardId) -> Vec<Leg> {
        let legs = self.legs.iter().filter(|(where_, _)| *where_ == shard);
        legs.map(|(_, leg)| leg.clone()).collect()
    }

    /// Everything is decided and known everywhere.
    pub fn is_over(&self) -> bool {
        self.posted.is_some()
            && !self
                .parts
                .values()
                .any(|it| matches!(it, Part::Asked | Part::Aside))
    }
}

impl Model {
    /// What journals have set aside of an account, and accepted for it.
    pub fn aside(&self, id: &AccountId) -> (i128, i128) {
        let party = Party::Account(*id);
        let (mut reserved, mut accepted) = (0, 0);
        for journal in &self.journals {
            for (shard, leg) in &journal.legs {
                if leg.party == party && journal.is_aside(*shard) {
                    match leg.side {
                        Side::Debit => reserved -= units(leg),
                        Side::Credit => accepted += units(leg),
                    }
                }
            }
        }
        (reserved, accepted)
    }

    /// How far open journals may move any house account of a shard.
    pub fn journal_room(&self, shard: ShardId, currency: Currency) -> i128 {
        let mut room = 0;
        for journal in self.journals.iter().filter(|it| it.is_aside(shard)) {
            for (there, leg) in &journal.legs {
                let counts = shard == journal.coordinator || *there == shard;
                if counts && leg.currency == currency {
                    room += units(leg).abs();
                }
            }
        }
        room
    }

    /// Whether a house account that callers may name cannot take so much beside open journals.
    pub fn is_crowded(
        &self,
        shard: ShardId,
        (house, currency): (&HouseCode, Currency),
        change: i128,
    ) -> bool {
        let room = self.journal_room(shard, currency);
        let balance = self.house(shard, house, currency) + change;
        *house != HouseCode::Suspense && (beyond(balance + room) || beyond(balance - room))
    }

    /// What speaks against legs of a shard.
    fn against_legs(
        &self,
        shard: ShardId,
        coordinator: ShardId,
        all: &[(ShardId, Leg)],
        date: Date,
        forced: bool,
    ) -> BTreeSet<Code> {
        let mut reasons = BTreeSet::new();
        let mine = all.iter().filter(|(there, _)| *there == shard);
        let is_own = shard == coordinator;
        let is_between = all.iter().any(|(there, _)| *there != coordinator);
        let mut moved: Vec<(HouseCode, Currency)> = Vec::new();
        for (_, leg) in mine {
            match &leg.party {
                Party::House(code) => moved.push((code.clone(), leg.currency)),
                Party::Account(id) => {
                    let mut against = self.moving(id, leg.currency, units(leg), date);
                    if forced && leg.side == Side::Debit {
                        against.remove(&Code::AccountInExcess);
                        against.remove(&Code::InsufficientFunds);
                    }
                    reasons.extend(against);
                    if leg.side == Side::Credit && beyond(self.aside(id).1 + units(leg)) {
                        reasons.insert(Code::BalanceOverflow);
                    }
                    let holding = self.accounts.get(id);
                    let held = self.held(id) - units(leg);
                    let crowded = |balance: i128| beyond(held) || beyond(balance - held);
                    if leg.side == Side::Debit && holding.is_some_and(|it| crowded(it.balance)) {
                        reasons.insert(Code::BalanceOverflow);
                    }
                }
            }
        }
        for (currency, peer, net) in clearing(shard, coordinator, all) {
            if is_between && beyond(net) {
                reasons.insert(Code::BalanceOverflow);
            }
            moved.push((HouseCode::Clearing(peer), currency));
        }
        for (code, currency) in moved {
            let counts = all.iter().filter(|(there, _)| is_own || *there == shard);
            let more = counts.filter(|(_, leg)| leg.currency == currency);
            let more: i128 = more.map(|(_, leg)| units(leg).abs()).sum();
            let most = self.journal_room(shard, currency) + more;
            let balance = self.house(shard, &code, currency);
            if beyond(balance + most) || beyond(balance - most) {
                reasons.insert(Code::BalanceOverflow);
            }
        }
        reasons
    }

    /// What speaks against a journal where it is asked for.
    pub fn against_journal(
        &self,
        shard: ShardId,
        bounds: Bounds,
        legs: &Legs,
        date: Date,
    ) -> BTreeSet<Code> {
        let mut reasons = self.against_legs(shard, shard, legs.all(), date, false);
        let names = |code: &HouseCode| {
            let mut parties = legs.all().iter().map(|(_, leg)| &leg.party);
            parties.any(|it| *it == Party::House(code.clone()))
        };
        if names(&HouseCode::Suspense) {
            reasons.insert(Code::HouseAccountReserved);
        }
        let full = |peer: ShardId| {
            let open = self.journals.iter().filter(|it| it.coordinator == shard);
            let open = open.filter(|it| it.posted.is_none() && it.parts.contains_key(&peer));
            open.map(|it| it.legs.len()).sum::<usize>() >= bounds.items
        };
        if legs.all().iter().any(|(it, _)| *it != shard && full(*it)) {
            reasons.insert(Code::JournalsFull);
        }
        reasons
    }

    /// Books or opens a journal that nothing speaks against.
    pub fn open_journal(
        &mut self,
        shard: ShardId,
        legs: &Legs,
        date: Date,
        reverses: Option<(TransactionId, i128)>,
        forced: bool,
    ) {
        let others = legs.all().iter().map(|(there, _)| *there);
        let parts: BTreeMap<ShardId, Part> = others
            .filter(|there| *there != shard)
            .map(|there| (there, Part::Asked))
            .collect();
        let journal = Journal {
            coordinator: shard,
            date,
            legs: legs.all().to_vec(),
            heard: BTreeSet::new(),
            posted: parts.is_empty().then_some(true),
            parts,
            reverses,
            forced,
        };
        if journal.parts.is_empty() {
            return self.post(shard, &journal);
        }
        self.touch(&journal.of(shard));
        self.journals.push(journal);
    }

    fn touch(&mut self, legs: &[Leg]) {
        for leg in legs {
            if let Party::Account(id) = &leg.party {
                self.holding(id).version += 1;
            }
        }
    }

    fn post(&mut self, shard: ShardId, journal: &Journal) {
        for leg in journal.of(shard) {
            match &leg.party {
                Party::Account(id) => self.book(id, units(&leg), true),
                Party::House(code) => {
                    let house = (shard, code.clone(), leg.currency);
                    *self.houses.entry(house).or_default() += units(&leg);
                }
            }
        }
        for (currency, peer, net) in clearing(shard, journal.coordinator, &journal.legs) {
            let house = (shard, HouseCode::Clearing(peer), currency);
            *self.houses.entry(house).or_default() += net;
        }
    }

    /// Everything that a shard's log has for another about journals, heard in this order: what is
    /// asked, what is answered, what is decided. Tells what becomes of what is asked.
    pub fn exchange(&mut self, source: ShardId, here: ShardId) -> Vec<Option<Code>> {
        let mut told = Vec::new();
        for at in 0..self.journals.len() {
            let journal = self.journals[at].clone();
            if journal.coordinator != source || journal.parts.get(&here) != Some(&Part::Asked) {
                continue;
            }
            // The calendars of two regions differ by a day at most, and one of them may be closed.
            let legs = journal.of(here).into_iter();
            let opened = legs.filter_map(|leg| match leg.party {
                Party::Account(id) => Some(self.accounts.get(&id)?.opened_on),
                Party::House(_) => None,
            });
            let tomorrow = opened.filter(|on| (1..3).contains(&(on.days() - journal.date.days())));
            let date = tomorrow.max().unwrap_or(journal.date);
            let reasons = self.against_legs(here, source, &journal.legs, date, journal.forced);
            let refused = first(&reasons);
            let part = refused.map_or(Part::Aside, |_| Part::Refused);
            self.journals[at].parts.insert(here, part);
            if refused.is_none() {
                self.touch(&journal.of(here));
            }
            told.push(refused);
        }
        for at in 0..self.journals.len() {
            let journal = &mut self.journals[at];
            let part = journal.parts.get(&source).copied();
            let answered = matches!(part, Some(Part::Aside | Part::Refused));
            let is_news = journal.coordinator == here && journal.posted.is_none();
            if !is_news || !answered || !journal.heard.insert(source) {
                continue;
            }
            let refused = part == Some(Part::Refused);
            if refused || journal.heard.len() == journal.parts.len() {
                journal.posted = Some(!refused);
                let journal = journal.clone();
                if let Some((original, units)) = journal.reverses.filter(|_| refused) {
                    self.not_reversed(here, original, units);
                }
                match refused {
                    true => self.touch(&journal.of(here)),
                    false => self.post(here, &journal),
                }
            }
        }
        for at in 0..self.journals.len() {
            let journal = &mut self.journals[at];
            let is_aside = journal.parts.get(&here) == Some(&Part::Aside);
            let (true, true, Some(posted)) =
                (journal.coordinator == source, is_aside, journal.posted)
            else {
                continue;
            };
            journal.parts.insert(here, Part::Over);
            let journal = journal.clone();
            match posted {
                true => self.post(here, &journal),
                false => self.touch(&journal.of(here)),
            }
        }
        told
    }
}

/// What posting a journal in a shard books between it and others, where that is anything.
fn clearing(
    shard: ShardId,
    coordinator: ShardId,
    all: &[(ShardId, Leg)],
) -> Vec<(Currency, ShardId, i128)> {
    let mut sums: BTreeMap<(ShardId, Currency), i128> = BTreeMap::new();
    for (there, leg) in all.iter().filter(|(there, _)| *there != coordinator) {
        *sums.entry((*there, leg.currency)).or_default() += units(leg);
    }
    let sums = sums.into_iter().filter(|(_, net)| *net != 0);
    let sums = sums.filter_map(|((there, currency), net)| match shard == coordinator {
        true => Some((currency, there, net)),
        false => (there == shard).then_some((currency, coordinator, -net)),
    });
    sums.collect()
}
