//! The consumer groups of a book.

use super::{Book, stored::weighed_runs};
use crate::{
    Damage, codec,
    consumer::{Consumer, ConsumerId},
    proto::{self, book_chunk::Part},
};

impl Book {
    /// Every consumer group that is kept in this shard, in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = (&ConsumerId, &Consumer)> {
        self.consumers.iter()
    }

    pub(super) fn stored_consumers(&self) -> impl Iterator<Item = Part> + use<'_> {
        // A cursor has a place in every shard.
        let weight = |(_, it): &(&ConsumerId, &Consumer)| {
            let places = it.shares.iter().map(|share| share.cursor.len() as u64);
            places.sum()
        };
        let row = |(id, it): (&ConsumerId, &Consumer)| codec::consumer_to_proto(id, it);
        weighed_runs(self.consumers(), weight).map(move |rows| {
            let rows = rows.into_iter().map(row).collect();
            Part::Consumers(proto::BookConsumers { rows })
        })
    }

    pub(super) fn fill_consumers(&mut self, part: proto::BookConsumers) -> Result<(), Damage> {
        for row in part.rows {
            let (id, consumer) = codec::consumer_from_proto(row)?;
            self.consumers.insert(id, consumer);
        }
        Ok(())
    }
}
