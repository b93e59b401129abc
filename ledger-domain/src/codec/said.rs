//! What the outcomes of one entry repeat. Since format 2 an entry says it once and its outcomes
//! refer to it by its place, counted from 1.

use std::collections::HashMap;

use super::{Read, account_from_proto, account_to_proto};
use crate::{AccountId, Damage, entry::Format, proto};

/// Collects what an entry that is being written says.
pub(super) struct Saying {
    format: Format,
    accounts: HashMap<AccountId, u32>,
    said_accounts: Vec<proto::AccountId>,
    actors: HashMap<String, u32>,
    said_actors: Vec<String>,
}

impl Saying {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            accounts: HashMap::new(),
            said_accounts: Vec::new(),
            actors: HashMap::new(),
            said_actors: Vec::new(),
        }
    }

    pub(super) fn account(&mut self, id: AccountId) -> Option<proto::AccountId> {
        if self.format < Format::SaidOnce {
            return account_to_proto(id);
        }
        let said = *self.accounts.entry(id).or_insert_with(|| {
            self.said_accounts.extend(account_to_proto(id));
            self.said_accounts.len() as u32
        });
        Some(proto::AccountId {
            said,
            ..Default::default()
        })
    }

    /// What goes into the field for its text, and into that for its place.
    pub(super) fn actor(&mut self, name: &str) -> (String, u32) {
        if self.format < Format::SaidOnce || name.is_empty() {
            return (name.to_owned(), 0);
        }
        let place = match self.actors.get(name) {
            Some(place) => *place,
            None => {
                self.said_actors.push(name.to_owned());
                let place = self.said_actors.len() as u32;
                self.actors.insert(name.to_owned(), place);
                place
            }
        };
        (String::new(), place)
    }

    /// Every account and every actor that was said.
    pub(super) fn all(self) -> (Vec<proto::AccountId>, Vec<String>) {
        (self.said_accounts, self.said_actors)
    }
}

/// What an entry that is being read says.
pub(super) struct Said {
    format: Format,
    accounts: Vec<AccountId>,
    actors: Vec<String>,
}

impl Said {
    pub(super) fn read(
        format: Format,
        accounts: Vec<proto::AccountId>,
        actors: Vec<String>,
    ) -> Read<Self> {
        if format < Format::SaidOnce && !(accounts.is_empty() && actors.is_empty()) {
            return Err(Damage::Field("accounts"));
        }
        let accounts = accounts.into_iter().map(|id| account_from_proto(Some(id)));
        Ok(Self {
            format,
            accounts: accounts.collect::<Read<_>>()?,
            actors,
        })
    }

    pub(super) fn account(&self, id: Option<proto::AccountId>) -> Read<AccountId> {
        if self.format < Format::SaidOnce {
            return account_from_proto(id);
        }
        let wrong = Damage::Field("account");
        match id {
            Some(id) if id.region.is_empty() && id.body.is_empty() => {
                at(&self.accounts, id.said).copied().ok_or(wrong)
            }
            _ => Err(wrong),
        }
    }

    pub(super) fn actor(&self, name: String, said: u32) -> Read<String> {
        let wrong = Damage::Field("actor");
        match said {
            0 => Ok(name),
            _ if self.format < Format::SaidOnce || !name.is_empty() => Err(wrong),
            place => at(&self.actors, place).cloned().ok_or(wrong),
        }
    }
}

/// The element at a place counted from 1.
fn at<T>(all: &[T], place: u32) -> Option<&T> {
    all.get(usize::try_from(place).ok()?.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountId {
        AccountId::derive("eu".parse().expect("a region"), "t", name)
    }

    #[test]
    fn what_is_repeated_is_said_once_and_found_again() {
        let mut saying = Saying::new(Format::SaidOnce);
        let ids = ["a", "b", "a"].map(|name| saying.account(account(name)));
        let actors = ["x", "", "y", "x"].map(|name| saying.actor(name));
        let (accounts, names) = saying.all();
        assert_eq!((accounts.len(), names.len()), (2, 2));
        let said = Said::read(Format::SaidOnce, accounts, names).unwrap();
        assert_eq!(
            ids.map(|id| said.account(id).unwrap()),
            ["a", "b", "a"].map(account)
        );
        let actors = actors.map(|(name, place)| said.actor(name, place).unwrap());
        assert_eq!(actors, ["x", "", "y", "x"]);
    }

    #[test]
    fn a_place_where_nothing_was_said_is_damage() {
        let said = Said::read(Format::SaidOnce, vec![], vec!["x".to_owned()]).unwrap();
        let at = |said| proto::AccountId {
            said,
            ..Default::default()
        };
        for place in [0, 1, u32::MAX] {
            assert!(said.account(Some(at(place))).is_err(), "account {place}");
        }
        assert!(said.account(account_to_proto(account("a"))).is_err());
        assert!(said.account(None).is_err());
        assert!(said.actor(String::new(), 2).is_err());
        assert!(said.actor("x".to_owned(), 1).is_err());
    }

    #[test]
    fn the_format_before_says_everything_in_full() {
        let accounts = vec![account_to_proto(account("a")).unwrap()];
        assert!(Said::read(Format::InFull, accounts, vec![]).is_err());
        let said = Said::read(Format::InFull, vec![], vec![]).unwrap();
        let full = Saying::new(Format::InFull).account(account("a"));
        assert_eq!(said.account(full.clone()), Ok(account("a")));
        let both = full.map(|id| proto::AccountId { said: 1, ..id });
        assert!(said.account(both).is_err());
        assert!(said.actor(String::new(), 1).is_err());
    }
}
