//! References: within a region each stands for one account at a time, whichever shard that lives in. An
//! account that is opened with references has them until they are given back; an opening that is refused
//! leaves none claimed for an account that is not there.

use std::collections::{BTreeMap, BTreeSet};

/// That a reference stands for an account from now on, or no longer, as a log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Of which region.
    pub region: String,
    /// In whose log it stands; each log's in its order.
    pub shard: u32,
    /// The reference, as the log has it.
    pub digest: String,
    /// Which account.
    pub account: String,
    /// Whether it is given back.
    pub is_released: bool,
}

/// An opening with references, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Where.
    pub region: String,
    /// The account that was opened; empty where it was refused.
    pub account: String,
    /// Why it was refused.
    pub code: String,
    /// By what it is to be known.
    pub references: Vec<String>,
}

/// For whom a reference stands at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// In which region.
    pub region: String,
    /// Which.
    pub reference: String,
    /// The account; empty for nobody.
    pub account: String,
}

/// What those know who open accounts with references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Openings {
    /// In the order in which they were told.
    pub openings: Vec<Opening>,
    /// Of how many requests nobody was ever told what became of them.
    pub unknown: u64,
    /// For whom references stand at the end.
    pub found: Vec<Asked>,
    /// Regions in which it was found for whom each reference stands.
    pub looked: BTreeSet<String>,
}

/// What does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Two accounts have it, or two shards decide on it.
    #[error("{second:?}, and before {first:?}")]
    Twice {
        /// What was there.
        first: Claim,
        /// What came.
        second: Claim,
    },
    /// It is given back by whom it does not stand for.
    #[error("{0:?}, and it did not stand for it")]
    NotTheirs(Claim),
    /// The account is not there, and everybody was told what became of the openings.
    #[error("{0:?}, and there is no such account")]
    ForNobody(Claim),
    /// Somebody is found for whom the logs have no claim, or two answers contradict each other.
    #[error("{0:?}, and the logs do not have it so")]
    Otherwise(Asked),
    /// Accounts have other references than are found.
    #[error("in {region} references are found of {found:?}, and the logs have them of {held:?}")]
    NotFound {
        /// Where.
        region: String,
        /// Of whom references are found, an account once for each.
        found: Vec<String>,
        /// Of whom the logs have them.
        held: Vec<String>,
    },
    /// It is opened without what it was to be known by.
    #[error("{opening:?}, and {claims} references were ever claimed for the account")]
    Without {
        /// The opening.
        opening: Opening,
        /// How many of any kind.
        claims: usize,
    },
}

/// Compares what the logs say of references with what openings came to. `opened` are the accounts that
/// are there. Returns how many claims and openings that was.
///
/// # Errors
///
/// The first that does not hold.
pub fn each_stands_for_one(
    claims: &[Claim],
    told: &Openings,
    opened: &BTreeSet<String>,
) -> Result<usize, Violation> {
    let mut holders: BTreeMap<(&str, &str), &Claim> = BTreeMap::new();
    let mut shards: BTreeMap<(&str, &str), &Claim> = BTreeMap::new();
    let mut ever: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for claim in claims {
        let place = (&claim.region[..], &claim.digest[..]);
        let first = *shards.entry(place).or_insert(claim);
        let holder = holders.get(&place).copied();
        let is_anothers = holder.is_some_and(|it| it.account != claim.account);
        let before = match is_anothers && !claim.is_released {
            true => holder,
            false => (first.shard != claim.shard).then_some(first),
        };
        if let Some(first) = before {
            return Err(Violation::Twice {
                first: first.clone(),
                second: claim.clone(),
            });
        }
        match claim.is_released {
            false => {
                holders.insert(place, claim);
                ever.entry(&claim.account)
                    .or_default()
                    .insert(&claim.digest);
            }
            true if holder.is_none() || is_anothers => {
                return Err(Violation::NotTheirs(claim.clone()));
            }
            true => drop(holders.remove(&place)),
        }
    }
    // One of which nobody knows what became of it may have left something behind.
    let mut for_nobody = holders.values().filter(|it| !opened.contains(&it.account));
    if let Some(claim) = for_nobody.next().filter(|_| told.unknown == 0) {
        return Err(Violation::ForNobody((*claim).clone()));
    }
    for opening in told.openings.iter().filter(|it| !it.account.is_empty()) {
        let claims = ever.get(&opening.account[..]).map_or(0, BTreeSet::len);
        if claims < opening.references.len() {
            return Err(Violation::Without {
                opening: opening.clone(),
                claims,
            });
        }
    }
    for asked in &told.found {
        let held = holders.values().any(|it| it.account == asked.account);
        if !asked.account.is_empty() && !held {
            return Err(Violation::Otherwise(asked.clone()));
        }
        let twice = |it: &&Asked| {
            it.region == asked.region
                && it.reference == asked.reference
                && it.account != asked.account
        };
        if told.found.iter().any(|it| twice(&it)) {
            return Err(Violation::Otherwise(asked.clone()));
        }
    }
    // What nobody knows the outcome of may have ended since.
    for region in told.looked.iter().filter(|_| told.unknown == 0) {
        // Others have references of their own for other accounts.
        let is_theirs = |account: &str| told.openings.iter().any(|it| it.account == account);
        let held = holders.values().filter(|it| it.region == *region);
        let held = held.filter(|it| is_theirs(&it.account));
        let mut held: Vec<_> = held.map(|it| it.account.clone()).collect();
        let found = told.found.iter().filter(|it| it.region == *region);
        let found: BTreeMap<_, _> = found.map(|it| (&it.reference, &it.account)).collect();
        let found = found.into_values().filter(|it| !it.is_empty());
        let mut found: Vec<_> = found.cloned().collect();
        held.sort_unstable();
        found.sort_unstable();
        if found != held {
            return Err(Violation::NotFound {
                region: region.clone(),
                found,
                held,
            });
        }
    }
    Ok(claims.len() + told.openings.len() + told.found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(shard: u32, account: &str, is_released: bool) -> Claim {
        Claim {
            region: "eu".to_owned(),
            shard,
            digest: "d".to_owned(),
            account: account.to_owned(),
            is_released,
        }
    }

    fn judged(claims: &[Claim], told: &Openings) -> Result<usize, Violation> {
        let opened = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        each_stands_for_one(claims, told, &opened)
    }

    fn told(account: &str, found: &str) -> Openings {
        Openings {
            openings: vec![Opening {
                region: "eu".to_owned(),
                account: account.to_owned(),
                code: String::new(),
                references: vec!["house".to_owned()],
            }],
            unknown: 0,
            looked: BTreeSet::from(["eu".to_owned()]),
            found: vec![Asked {
                region: "eu".to_owned(),
                reference: "house".to_owned(),
                account: found.to_owned(),
            }],
        }
    }

    #[test]
    fn one_after_the_other_may_have_it() {
        let (a, b) = (claim(1, "a", false), claim(1, "b", false));
        let given_back = claim(1, "a", true);
        let claims = [a.clone(), a, given_back, b];
        let mut both = told("a", "b");
        both.openings.extend(told("b", "b").openings);
        assert_eq!(judged(&claims, &both), Ok(7));
    }

    #[test]
    fn what_does_not_hold_is_found() {
        let none = &Openings::default();
        let a = claim(1, "a", false);
        for claims in [
            vec![a.clone(), claim(1, "b", false)],
            vec![a.clone(), claim(2, "a", false)],
            vec![a.clone(), claim(1, "b", true)],
            vec![claim(1, "a", true)],
            vec![claim(1, "nobody", false)],
        ] {
            assert!(judged(&claims, none).is_err(), "{claims:?}");
        }
        let lost = Openings {
            unknown: 1,
            ..Openings::default()
        };
        assert_eq!(judged(&[claim(1, "nobody", false)], &lost), Ok(1));
        assert!(judged(&[], &told("a", "")).is_err());
        assert!(judged(std::slice::from_ref(&a), &told("a", "b")).is_err());
        let hidden = told("a", "");
        let judged_hidden = judged(std::slice::from_ref(&a), &hidden);
        assert!(matches!(judged_hidden, Err(Violation::NotFound { .. })));
        let mut two = told("a", "a");
        two.found.extend(told("a", "").found);
        assert!(judged(&[a], &two).is_err());
    }
}
