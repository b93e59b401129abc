//! The customers of a book.

use std::sync::Arc;

use super::{
    Book,
    stored::{shelved, weighed_runs},
};
use crate::{
    CustomerId, Damage, codec,
    customer::Customer,
    proto::{self, book_chunk::Part},
    state::State as _,
};

impl Book {
    /// Every customer that is kept in this shard, in the order of their ids. Sorts: not for the hot
    /// path.
    pub fn customers(&self) -> Vec<(CustomerId, Customer)> {
        let mut all: Vec<_> = self.customers.sorted().flatten().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Those of them that are erased, in no order.
    pub fn erased_customers(&self) -> impl Iterator<Item = CustomerId> {
        let all = self.customers.sorted().flatten();
        let erased = all.filter(|(_, customer)| customer.erased);
        erased.map(|(id, _)| id)
    }

    pub(super) fn stored_customers(&self) -> impl Iterator<Item = Part> + use<'_> {
        let row = |(id, customer): (CustomerId, Customer)| proto::BookCustomer {
            id: codec::customer_to_proto(id),
            accounts: customer
                .accounts
                .iter()
                .filter_map(|account| codec::account_to_proto(*account))
                .collect(),
            profile: customer.profile.as_ref().map(codec::profile_to_proto),
            legal_hold: customer.legal_hold,
            last_detached: customer.last_detached.map(|date| date.days()),
            erased: customer.erased,
        };
        // A customer may have many accounts: a chunk has so many rows, or fewer that weigh as much.
        let shelves = shelved(self.customers.sorted()).flat_map(move |rows| {
            // A profile weighs about as much as so many accounts.
            let weight = |(_, customer): &(CustomerId, Customer)| {
                let profile = customer.profile.as_ref();
                let bytes = profile.map_or(0, |it| it.ciphertext.len());
                (customer.accounts.len() + bytes / 32) as u64
            };
            weighed_runs(rows.into_iter(), weight).collect::<Vec<_>>()
        });
        shelves.map(move |rows| {
            let rows = rows.into_iter().map(row).collect();
            Part::Customers(proto::BookCustomers { rows })
        })
    }

    pub(super) fn fill_customers(&mut self, part: proto::BookCustomers) -> Result<(), Damage> {
        for row in part.rows {
            let id = codec::customer_from_proto(row.id)?;
            let accounts = row.accounts.into_iter();
            let accounts = accounts.map(|account| codec::account_from_proto(Some(account)));
            let accounts = Arc::new(accounts.collect::<Result<_, _>>()?);
            let customer = Customer {
                accounts,
                profile: row.profile.map(codec::profile_from_proto).transpose()?,
                legal_hold: row.legal_hold,
                last_detached: row.last_detached.map(codec::date).transpose()?,
                erased: row.erased,
            };
            self.set_customer(id, customer);
        }
        Ok(())
    }
}
