//! Freezes: what may not happen to an account, why, and for how long.

use std::fmt;

use crate::{Code, Rejection};

/// Why an account is frozen, in the words of the law. An account has at most one freeze of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum FreezeType {
    /// A court or another authority has ordered it.
    CourtOrder = 1,
    /// Fraud is suspected.
    Fraud = 2,
    /// The holder has died.
    Deceased = 3,
    /// Nothing has happened for years.
    Dormant = 4,
    /// The holder has asked for it.
    OwnRequest = 5,
}

impl FreezeType {
    /// Every type, by its number.
    pub const ALL: [Self; 5] = [
        Self::CourtOrder,
        Self::Fraud,
        Self::Deceased,
        Self::Dormant,
        Self::OwnRequest,
    ];

    /// The type with a stored number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it as i32 == number)
    }
}

impl fmt::Display for FreezeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CourtOrder => "court order",
            Self::Fraud => "fraud",
            Self::Deceased => "deceased",
            Self::Dormant => "dormant",
            Self::OwnRequest => "own request",
        })
    }
}

/// What a freeze stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Blocks {
    /// Nothing goes out.
    Debits = 1,
    /// Nothing comes in.
    Credits = 2,
    /// Neither.
    All = 3,
}

impl Blocks {
    /// The one with a stored number.
    pub fn from_number(number: i32) -> Option<Self> {
        let all = [Self::Debits, Self::Credits, Self::All];
        all.into_iter().find(|it| *it as i32 == number)
    }

    /// Does it stop this direction, one of [`Blocks::Debits`] and [`Blocks::Credits`]?
    const fn covers(self, direction: Self) -> bool {
        self as i32 & direction as i32 != 0
    }
}

/// What becomes of a credit from another shard that finds the account frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Arriving {
    /// It goes back to its payer.
    Returns = 1,
    /// It stays with the bank, in suspense.
    Suspense = 2,
}

impl Arriving {
    /// The one with a stored number.
    pub fn from_number(number: i32) -> Option<Self> {
        let all = [Self::Returns, Self::Suspense];
        all.into_iter().find(|it| *it as i32 == number)
    }
}

/// A freeze of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Why, in the words of the law.
    pub kind: FreezeType,
    /// What it stops.
    pub blocks: Blocks,
    /// What becomes of credits that are on their way already.
    pub arriving: Arriving,
    /// The log's time at which it is over by itself, in ms since 1970; `None` where it has to be
    /// lifted.
    pub until_ms: Option<u64>,
    /// Why, as whoever froze it says. Not for personal data.
    pub reason: String,
}

impl Freeze {
    /// Is it in force at a time of the log?
    pub fn is_in_force(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until| now_ms < until)
    }

    fn rejection(&self) -> Rejection {
        let until = i64::try_from(self.until_ms.unwrap_or(0)).unwrap_or(i64::MAX);
        Rejection::new(Code::AccountFrozen, [self.kind as i64, until])
    }
}

/// All freezes of an account, at most one of each type, by type. Some of them may be over: nobody
/// writes down that time has passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freezes(Vec<Freeze>);

impl Freezes {
    /// Those in force at a time of the log.
    pub fn in_force(&self, now_ms: u64) -> impl Iterator<Item = &Freeze> {
        self.0.iter().filter(move |it| it.is_in_force(now_ms))
    }

    /// All of them, also those that are over.
    pub fn iter(&self) -> impl Iterator<Item = &Freeze> {
        self.0.iter()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one, in place of another of its type.
    pub fn put(&mut self, freeze: Freeze) {
        match self.0.binary_search_by_key(&freeze.kind, |it| it.kind) {
            Ok(at) => self.0[at] = freeze,
            Err(at) => self.0.insert(at, freeze),
        }
    }

    /// Takes the one of a type away; `false` where there is none.
    pub fn lift(&mut self, kind: FreezeType) -> bool {
        let before = self.0.len();
        self.0.retain(|it| it.kind != kind);
        self.0.len() < before
    }

    /// Refuses a movement in a direction that one of them stops at a time.
    pub(crate) fn check(&self, direction: Blocks, now_ms: u64) -> Result<(), Rejection> {
        let stops = |it: &&Freeze| it.blocks.covers(direction);
        match self.in_force(now_ms).find(stops) {
            Some(freeze) => Err(freeze.rejection()),
            None => Ok(()),
        }
    }

    /// Whether what arrives goes to suspense: where one of those that stop credits says so. An order
    /// to keep the money outweighs one to send it back.
    pub(crate) fn keeps_what_arrives(&self, now_ms: u64) -> bool {
        let stops = |it: &&Freeze| it.blocks.covers(Blocks::Credits);
        let mut stopping = self.in_force(now_ms).filter(stops);
        stopping.any(|it| it.arriving == Arriving::Suspense)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(kind: FreezeType, blocks: Blocks, until_ms: Option<u64>) -> Freeze {
        Freeze {
            kind,
            blocks,
            arriving: Arriving::Returns,
            until_ms,
            reason: String::new(),
        }
    }

    #[test]
    fn a_freeze_stops_what_it_says_until_its_time() {
        let mut freezes = Freezes::default();
        freezes.put(freeze(FreezeType::Fraud, Blocks::Debits, Some(1_000)));
        assert!(freezes.check(Blocks::Credits, 0).is_ok());
        let refused = freezes.check(Blocks::Debits, 999).unwrap_err();
        assert_eq!(refused, Rejection::new(Code::AccountFrozen, [2, 1_000]));
        assert!(freezes.check(Blocks::Debits, 1_000).is_ok());

        freezes.put(freeze(FreezeType::CourtOrder, Blocks::All, None));
        let refused = freezes.check(Blocks::Debits, 999).unwrap_err();
        assert_eq!(refused, Rejection::new(Code::AccountFrozen, [1, 0]));
        assert!(freezes.lift(FreezeType::CourtOrder) && !freezes.lift(FreezeType::CourtOrder));
        assert!(freezes.check(Blocks::Debits, 1_000).is_ok());
    }

    #[test]
    fn a_freeze_takes_the_place_of_another_of_its_type() {
        let mut freezes = Freezes::default();
        for kind in [FreezeType::Dormant, FreezeType::Fraud] {
            for blocks in [Blocks::All, Blocks::Credits] {
                freezes.put(freeze(kind, blocks, None));
            }
        }
        let kinds: Vec<_> = freezes.iter().map(|it| (it.kind, it.blocks)).collect();
        let expected = [FreezeType::Fraud, FreezeType::Dormant].map(|it| (it, Blocks::Credits));
        assert_eq!(kinds, expected);
    }
}
