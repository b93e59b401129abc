//! Customers: each is registered once, loses no account that it does not have, and is erased once, when it
//! has none and no legal hold stands. For how long it has to be remembered is not in the log.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::AccountId;

use super::stored::{self, Read, ledger};

/// The most accounts of one.
const MOST: usize = 1_000;

/// Each customer, by its region and the bytes of its id.
pub(super) type Rows = BTreeMap<(String, Vec<u8>), Known>;

/// What is known of one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Known {
    accounts: BTreeSet<AccountId>,
    profile: Option<ledger::SealedProfile>,
    legal_hold: bool,
    last_detached: Option<i32>,
    erased: bool,
}

/// All of a shard.
#[derive(Default)]
pub(super) struct Customers {
    pub(super) known: Rows,
}

impl Customers {
    pub(super) fn register(&mut self, event: &ledger::CustomerRegistered) -> Read<()> {
        match self.known.insert(id(&event.customer)?, Known::default()) {
            None => Ok(()),
            Some(_) => Err("a customer is registered a second time".to_owned()),
        }
    }

    pub(super) fn attach(&mut self, event: &ledger::AccountAttached) -> Read<()> {
        let account = stored::account(&event.account)?;
        let known = self.known(&event.customer)?;
        known.accounts.insert(account);
        match known.accounts.len() <= MOST {
            true => Ok(()),
            false => Err(format!("a customer has {} accounts", known.accounts.len())),
        }
    }

    pub(super) fn detach(&mut self, event: &ledger::AccountDetached, today: i32) -> Read<()> {
        let account = stored::account(&event.account)?;
        let known = self.known(&event.customer)?;
        if let Some(date) = event.date.filter(|date| *date != today) {
            return Err(format!(
                "{account} is detached on day {date}; it is day {today}"
            ));
        }
        known.last_detached = event.date.or(known.last_detached);
        match known.accounts.remove(&account) {
            true => Ok(()),
            false => Err(format!("{account} is detached and was not attached")),
        }
    }

    pub(super) fn set_profile(&mut self, event: &ledger::ProfileSet) -> Read<()> {
        let known = self.known(&event.customer)?;
        let profile = event.profile.clone().ok_or("a profile is missing")?;
        known.profile = Some(profile);
        Ok(())
    }

    pub(super) fn hold(&mut self, customer: &Option<ledger::CustomerId>, on: bool) -> Read<()> {
        let known = self.known(customer)?;
        if !on && !known.legal_hold {
            return Err("a legal hold is lifted that was not placed".to_owned());
        }
        known.legal_hold = on;
        Ok(())
    }

    pub(super) fn erase(&mut self, event: &ledger::CustomerErased) -> Read<()> {
        let known = self.known(&event.customer)?;
        if known.legal_hold || !known.accounts.is_empty() {
            return Err("a customer is erased who has accounts, or a legal hold".to_owned());
        }
        known.erased = true;
        known.profile = None;
        Ok(())
    }

    /// A customer to whom something can happen.
    fn known(&mut self, customer: &Option<ledger::CustomerId>) -> Read<&mut Known> {
        let known = self.known.get_mut(&id(customer)?);
        let known = known.ok_or("something happens to a customer that was never registered")?;
        match known.erased {
            true => Err("something happens to a customer that is erased".to_owned()),
            false => Ok(known),
        }
    }
}

/// Reads the customers of a stored book.
pub(super) fn stored(part: &ledger::BookCustomers) -> Read<Rows> {
    let rows = part.rows.iter().map(|row| {
        let accounts = row.accounts.iter();
        let accounts = accounts.map(|account| stored::account(&Some(account.clone())));
        let known = Known {
            accounts: accounts.collect::<Read<_>>()?,
            profile: row.profile.clone(),
            legal_hold: row.legal_hold,
            last_detached: row.last_detached,
            erased: row.erased,
        };
        Ok((id(&row.id)?, known))
    });
    rows.collect()
}

fn id(id: &Option<ledger::CustomerId>) -> Read<(String, Vec<u8>)> {
    let id = id.as_ref().ok_or("a customer is missing")?;
    match id.body.len() {
        AccountId::BODY_LEN => Ok((id.region.clone(), id.body.to_vec())),
        length => Err(format!("a customer's id has {length} bytes")),
    }
}
