use ledger_domain::{ShardId, TransactionId};

use super::{ReadError, Views, keys};

/// A transfer that has left its payer's shard and not ended there, as a view knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// The shard that it is sent to.
    pub destination: ShardId,
    /// Its number in the channel there.
    pub number: u64,
    /// The transaction that sent it.
    pub sent: TransactionId,
}

impl Views {
    /// Every transfer under way from a shard, as far as its view here is folded: by destination and
    /// number.
    pub fn under_way(&self, source: ShardId) -> Result<Vec<UnderWay>, ReadError> {
        self.watermark(source)?;
        let items = self.rows(source, &keys::items(source)).items(source);
        let items = items.map_err(|error| self.stop(source, &error))?;
        let mut under_way = Vec::with_capacity(items.len());
        for ((destination, number), item) in items {
            // The rows are of more than one state where the shard is folded meanwhile.
            if self.ended(source, destination, number)?.is_none() {
                under_way.push(UnderWay {
                    destination,
                    number,
                    sent: item.sent,
                });
            }
        }
        Ok(under_way)
    }
}
