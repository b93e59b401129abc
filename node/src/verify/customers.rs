//! Customers: each is registered once, and loses no account that it does not have.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::AccountId;

use super::stored::{self, Read, ledger};

/// The most accounts of one.
const MOST: usize = 1_000;

/// Which accounts each customer has, by its region and the bytes of its id.
pub(super) type Rows = BTreeMap<(String, Vec<u8>), BTreeSet<AccountId>>;

/// All of a shard.
#[derive(Default)]
pub(super) struct Customers {
    pub(super) known: Rows,
}

impl Customers {
    pub(super) fn register(&mut self, event: &ledger::CustomerRegistered) -> Read<()> {
        match self.known.insert(id(&event.customer)?, BTreeSet::new()) {
            None => Ok(()),
            Some(_) => Err("a customer is registered a second time".to_owned()),
        }
    }

    pub(super) fn attach(&mut self, event: &ledger::AccountAttached) -> Read<()> {
        let account = stored::account(&event.account)?;
        let accounts = self.accounts(&event.customer, account)?;
        accounts.insert(account);
        match accounts.len() <= MOST {
            true => Ok(()),
            false => Err(format!("a customer has {} accounts", accounts.len())),
        }
    }

    pub(super) fn detach(&mut self, event: &ledger::AccountDetached) -> Read<()> {
        let account = stored::account(&event.account)?;
        match self.accounts(&event.customer, account)?.remove(&account) {
            true => Ok(()),
            false => Err(format!("{account} is detached and was not attached")),
        }
    }

    fn accounts(
        &mut self,
        customer: &Option<ledger::CustomerId>,
        account: AccountId,
    ) -> Read<&mut BTreeSet<AccountId>> {
        let accounts = self.known.get_mut(&id(customer)?);
        accounts.ok_or_else(|| format!("the customer of {account} was never registered"))
    }
}

/// Reads the customers of a stored book.
pub(super) fn stored(part: &ledger::BookCustomers) -> Read<Rows> {
    let rows = part.rows.iter().map(|row| {
        let accounts = row.accounts.iter();
        let accounts = accounts.map(|account| stored::account(&Some(account.clone())));
        Ok((id(&row.id)?, accounts.collect::<Read<_>>()?))
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
