use std::ops::ControlFlow;

use ledger_domain::{AccountId, Position, ShardId, TransactionId};

use super::{Ended, Error, Opening, Place, ReadError, Reversal, Views, keys, stored};

/// These answer for what the shard's view holds: to miss nothing up to a position, wait for it
/// first. What is found never changes.
impl Views {
    /// How a transfer ended in the log of the shard that sent it. `None` where it is under way, or
    /// unknown.
    pub fn ended(
        &self,
        source: ShardId,
        destination: ShardId,
        number: u64,
    ) -> Result<Option<Ended>, ReadError> {
        let place = Place::Item {
            shard: source,
            destination,
            number,
        };
        let key = keys::ended(source, destination, number);
        self.indexed(source, &key, place, |row| stored::open_ended(source, row))
    }

    /// The outcome that took or refused an item, in the log of the shard it was sent to.
    pub fn recorded(
        &self,
        destination: ShardId,
        source: ShardId,
        number: u64,
    ) -> Result<Option<TransactionId>, ReadError> {
        let place = Place::Item {
            shard: source,
            destination,
            number,
        };
        let key = keys::recorded(destination, source, number);
        self.indexed(destination, &key, place, |row| {
            stored::open_recorded(destination, row)
        })
    }

    /// How an account began. `None` where no shard viewed here has opened it yet.
    pub fn opening(&self, account: &AccountId) -> Result<Option<Opening>, ReadError> {
        let Some(balance) = self.balance(account)? else {
            return Ok(None);
        };
        let (shard, place) = (balance.shard, Place::Opening(*account));
        self.indexed(shard, &keys::opening(account), place, |row| {
            stored::open_opening(shard, row)
        })
    }

    /// What of a transaction has been reversed, by which transactions of its shard, the first first: at
    /// most so many.
    pub fn reversals(
        &self,
        original: &TransactionId,
        most: usize,
    ) -> Result<Vec<Reversal>, ReadError> {
        let shard = original.position.shard;
        self.watermark(shard)?;
        let mut found = Vec::new();
        let all = self.each_reversal(original, |reversal| {
            found.push(reversal);
            found.len() < most
        });
        all.map_err(|error| self.stop(shard, &error))?;
        Ok(found)
    }

    /// The outcome that decided a journal between shards, in the log of the shard that coordinates it.
    /// `None` where it is open, or unknown.
    pub fn journal_decided(
        &self,
        coordinator: ShardId,
        number: u64,
    ) -> Result<Option<TransactionId>, ReadError> {
        let shard = coordinator;
        let place = Place::Journal { shard, number };
        self.indexed(shard, &keys::journal(shard, number), place, |row| {
            stored::open_journal(shard, row)
        })
    }

    /// Does the entry at a position mean nothing?
    pub fn is_void(&self, at: Position) -> Result<bool, ReadError> {
        let Position { shard, index, .. } = at;
        let place = Place::Void { shard, index };
        let noted = self.indexed(shard, &keys::void(shard, index), place, stored::open_void)?;
        Ok(noted.is_some())
    }

    fn indexed<T>(
        &self,
        shard: ShardId,
        key: &[u8],
        place: Place,
        open: impl FnOnce(&bytes::Bytes) -> Result<T, stored::Malformed>,
    ) -> Result<Option<T>, ReadError> {
        self.watermark(shard)?;
        let row = self.row(shard, key, place, open);
        row.map_err(|error: Error| self.stop(shard, &error))
    }

    /// Shows the reversals of a transaction, the first first, as long as more are wanted.
    fn each_reversal(
        &self,
        original: &TransactionId,
        mut wants_more: impl FnMut(Reversal) -> bool,
    ) -> Result<(), Error> {
        let shard = original.position.shard;
        let range = keys::reversals(original);
        self.rows(shard, &range).scan(range.clone(), |_, value| {
            let reversal = stored::open_reversal(shard, value).map_err(|cause| {
                let place = Place::Reversal(*original);
                Error::Damaged { place, cause }
            })?;
            Ok(match wants_more(reversal) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })
    }

    /// The reversal of a transaction that a journal of its shard is.
    pub(super) fn reversal(
        &self,
        original: &TransactionId,
        journal: u64,
    ) -> Result<Option<TransactionId>, Error> {
        let mut found = None;
        self.each_reversal(original, |it| {
            let is_it = it.journal == Some(journal);
            found = is_it.then_some(it.transaction);
            !is_it
        })?;
        Ok(found)
    }
}
