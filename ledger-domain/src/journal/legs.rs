//! The legs of a journal, as a caller may give them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use crate::{AccountId, Amount, Currency, HouseCode, ShardId};

/// The most legs a journal may have.
pub const MOST_LEGS: usize = 64;

/// Which side of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum Side {
    /// Lowers a customer's balance.
    Debit = 1,
    /// Raises it.
    Credit = 2,
}

impl Side {
    /// The side with a stored number.
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Debit, Self::Credit]
            .into_iter()
            .find(|side| *side as i32 == number)
    }

    /// The other side.
    pub const fn other(self) -> Self {
        match self {
            Self::Debit => Self::Credit,
            Self::Credit => Self::Debit,
        }
    }

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
        }
    }
}

/// Whose account a leg is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A customer's.
    Account(AccountId),
    /// The bank's own, in the book where the leg is.
    House(HouseCode),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "{id}"),
            Self::House(code) => write!(f, "{code}"),
        }
    }
}

/// One debit or credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Its place in the journal, from 1.
    pub place: u32,
    /// Whose account.
    pub party: Party,
    /// Which side.
    pub side: Side,
    /// In which currency.
    pub currency: Currency,
    /// How much.
    pub amount: Amount,
    /// The first leg on the other side in the same currency: what a statement names.
    pub against: Party,
}

impl Leg {
    /// Minor units, positive for a credit.
    pub const fn units(&self) -> i64 {
        match self.side {
            Side::Debit => -self.amount.minor_units(),
            Side::Credit => self.amount.minor_units(),
        }
    }
}

/// A leg as a caller gives it, and the shard of its account as the directory has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedLeg {
    /// Where.
    pub shard: ShardId,
    /// Whose account.
    pub party: Party,
    /// Which side.
    pub side: Side,
    /// In which currency.
    pub currency: Currency,
    /// How much.
    pub amount: Amount,
}

/// Legs that make a journal: they come to zero in every currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legs {
    account: AccountId,
    legs: Vec<(ShardId, Leg)>,
}

/// Why legs make no journal, whatever the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLegs {
    /// Too few or too many.
    #[error("a journal has 2 to {MOST_LEGS} legs; this one has {0}")]
    Count(usize),
    /// Debits and credits differ.
    #[error("debits and credits in {currency} differ by {units} minor units; they must be equal")]
    Unbalanced {
        /// In which currency.
        currency: Currency,
        /// Credits less debits.
        units: i128,
    },
    /// The same account twice.
    #[error("leg {0} repeats an account on the same side; give it one leg with the sum")]
    Twice(usize),
    /// Only house accounts.
    #[error("no leg names a customer's account; name one, whose home decides the journal")]
    NoAccount,
}

impl Legs {
    /// Legs in the order of the caller.
    ///
    /// # Errors
    ///
    /// When they are too few or too many, do not come to zero in each currency, name an account twice
    /// on one side, or name no customer's account.
    pub fn new(given: Vec<PlacedLeg>) -> Result<Self, InvalidLegs> {
        if !(2..=MOST_LEGS).contains(&given.len()) {
            return Err(InvalidLegs::Count(given.len()));
        }
        let account = given.iter().find_map(|leg| match leg.party {
            Party::Account(id) => Some(id),
            Party::House(_) => None,
        });
        let account = account.ok_or(InvalidLegs::NoAccount)?;
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut first: BTreeMap<(Currency, Side), Party> = BTreeMap::new();
        for (place, leg) in (1..).zip(&given) {
            // A house account is one in every book and currency.
            let house = matches!(leg.party, Party::House(_));
            let place_of = house.then_some((leg.shard, leg.currency));
            if !seen.insert((leg.party.clone(), leg.side, place_of)) {
                return Err(InvalidLegs::Twice(place));
            }
            let units = i128::from(leg.amount.minor_units());
            *sums.entry(leg.currency).or_default() += match leg.side {
                Side::Debit => -units,
                Side::Credit => units,
            };
            first
                .entry((leg.currency, leg.side))
                .or_insert_with(|| leg.party.clone());
        }
        if let Some((currency, units)) = sums.into_iter().find(|(_, units)| *units != 0) {
            return Err(InvalidLegs::Unbalanced { currency, units });
        }
        let legs = (1..).zip(given).map(|(place, given)| {
            let against = first.get(&(given.currency, given.side.other()));
            let leg = Leg {
                place,
                // What comes to zero has both sides.
                against: against.unwrap_or(&given.party).clone(),
                party: given.party,
                side: given.side,
                currency: given.currency,
                amount: given.amount,
            };
            (given.shard, leg)
        });
        Ok(Self {
            account,
            legs: legs.collect(),
        })
    }

    /// The first leg's account: its home decides.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// All legs with their shards, in the caller's order.
    pub fn all(&self) -> &[(ShardId, Leg)] {
        &self.legs
    }

    /// The legs of each shard, in the order of shards.
    pub fn by_shard(&self) -> BTreeMap<ShardId, Vec<Leg>> {
        let mut by_shard: BTreeMap<ShardId, Vec<Leg>> = BTreeMap::new();
        for (shard, leg) in &self.legs {
            by_shard.entry(*shard).or_default().push(leg.clone());
        }
        by_shard
    }

    /// What they add to an account in all, minor units; `None` beyond 64 bits.
    pub fn effect_on(&self, id: &AccountId) -> Option<i64> {
        let party = Party::Account(*id);
        let legs = self.legs.iter().filter(|(_, leg)| leg.party == party);
        let sum: i128 = legs.map(|(_, leg)| i128::from(leg.units())).sum();
        i64::try_from(sum).ok()
    }
}

/// A rate of exchange as its caller wrote it. It is recorded; no amount is ever computed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate(String);

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rate: a decimal number above zero with up to 32 characters, such as 1.0842")]
pub struct InvalidRate(pub String);

impl Rate {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(s: &str) -> Result<Self, InvalidRate> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_decimal = match s.split_once('.') {
            None => digits(s),
            Some((whole, rest)) => digits(whole) && digits(rest),
        };
        match is_decimal && s.len() <= 32 && s.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
            true => Ok(Self(s.to_owned())),
            false => Err(InvalidRate(s.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(account: &str, side: Side, currency: &str, units: i64) -> PlacedLeg {
        let region = "eu-west".parse().expect("a region");
        PlacedLeg {
            shard: ShardId(1),
            party: Party::Account(AccountId::derive(region, "t", account)),
            side,
            currency: currency.parse().expect("a currency"),
            amount: Amount::new(units).expect("above zero"),
        }
    }

    #[test]
    fn what_does_not_come_to_zero_in_each_currency_is_no_journal() {
        use Side::{Credit, Debit};
        let pair = |side, currency, units| {
            Legs::new(vec![
                leg("a", Debit, "EUR", 5),
                leg("b", side, currency, units),
            ])
        };
        assert!(pair(Credit, "EUR", 5).is_ok());
        let off = |units| {
            let currency = "EUR".parse().expect("a currency");
            Err(InvalidLegs::Unbalanced { currency, units })
        };
        assert_eq!(pair(Credit, "EUR", 6), off(1));
        assert_eq!(pair(Debit, "EUR", 5), off(-10));
        assert_eq!(pair(Credit, "JPY", 5), off(-5));
        let alone = vec![leg("a", Debit, "EUR", 5)];
        assert_eq!(Legs::new(alone), Err(InvalidLegs::Count(1)));
        let twice = vec![
            leg("a", Debit, "EUR", 5),
            leg("a", Debit, "EUR", 1),
            leg("b", Credit, "EUR", 6),
        ];
        assert_eq!(Legs::new(twice), Err(InvalidLegs::Twice(2)));
    }

    #[test]
    fn a_rate_is_a_decimal_number_above_zero() {
        for rate in ["1", "1.0842", "0.00001"] {
            assert_eq!(rate.parse::<Rate>().expect("a rate").as_str(), rate);
        }
        for none in ["", "0", "0.0", ".5", "1.", "-1", "1e3", "1,5", "1.2.3"] {
            assert!(none.parse::<Rate>().is_err(), "{none}");
        }
    }
}
