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

    pub(super) fn stored_customers(&self) -> impl Iterator<Item = Part> + use<'_> {
        let row = |(id, customer): (CustomerId, Customer)| proto::BookCustomer {
            id: codec::customer_to_proto(id),
            accounts: customer
                .accounts
                .iter()
                .filter_map(|account| codec::account_to_proto(*account))
                .collect(),
        };
        // A customer may have many accounts: a chunk has so many rows, or fewer that weigh as much.
        let shelves = shelved(self.customers.sorted()).flat_map(move |rows| {
            let weight = |(_, customer): &(CustomerId, Customer)| customer.accounts.len() as u64;
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
            self.set_customer(id, Customer { accounts });
        }
        Ok(())
    }
}
