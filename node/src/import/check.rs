use std::collections::BTreeMap;

use ledger_domain::{Money, RegionName};

use crate::api::atm::v1::{GetBalanceReply, GetBalanceRequest};
use crate::api::v1::{
    ReadMode, Receipt,
    read_mode::{AsOf, Mode, as_of::At},
};
use crate::client::{Client, Error};

/// The receipts of one account that a later read must see.
///
/// A token is opaque, and positions of different shards have no order. But what one shard sends
/// another arrives in order, and a settled transfer's token covers both sides: so the last receipt
/// from each shard covers all that shard ever did to the account.
#[derive(Debug, Default)]
pub(super) struct LastReceipts(BTreeMap<u32, ((u64, u64), String)>);

impl LastReceipts {
    pub(super) fn note(&mut self, receipt: &Receipt) {
        let Some(position) = &receipt.position else {
            return;
        };
        if receipt.token.is_empty() {
            return;
        }
        let place = (position.epoch, position.index);
        let last = self.0.entry(position.shard).or_default();
        if place >= last.0 {
            *last = (place, receipt.token.clone());
        }
    }

    pub(super) fn tokens(&self) -> Vec<String> {
        self.0.values().map(|(_, token)| token.clone()).collect()
    }
}

/// A balance that is not what the books say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Its line in `balances.csv`.
    pub line: u64,
    /// The account's name in the books.
    pub account: String,
    /// The account's id.
    pub account_id: String,
    /// The close of this day was asked for, ISO 8601.
    pub effective_date: String,
    /// What the books say.
    pub expected: Money,
    /// What the ledger says, in minor units.
    pub found: i64,
}

/// A balance as the ledger has it, and who said so.
pub(super) struct Found {
    pub(super) minor_units: i64,
    pub(super) region: String,
}

/// Asks for the balance at the close of a day, not older than the tokens.
pub(super) async fn balance_as_of(
    client: &Client,
    account_id: String,
    effective_date: String,
    tokens: Vec<String>,
) -> Result<Found, Error> {
    let mode = ReadMode {
        mode: Some(Mode::AsOf(AsOf {
            at: Some(At::EffectiveDate(effective_date)),
            tokens,
        })),
    };
    let reply = client
        .balance(GetBalanceRequest {
            account_id,
            mode: Some(mode),
        })
        .await?;
    found(reply).ok_or_else(|| Error::Malformed("a balance without an amount".to_owned()))
}

fn found(reply: GetBalanceReply) -> Option<Found> {
    let balance = reply.balance?;
    let region = balance.served_by.map(|by| by.region).unwrap_or_default();
    Some(Found {
        minor_units: balance.posted?.minor_units,
        region,
    })
}

/// The region to ask about an account: not its home, where there is another; which one, varies.
pub(super) fn elsewhere(
    regions: &[RegionName],
    home: RegionName,
    turn: usize,
) -> Option<RegionName> {
    let others: Vec<_> = regions
        .iter()
        .copied()
        .filter(|region| *region != home)
        .collect();
    match others.len() {
        0 => regions.first().copied(),
        count => Some(others[turn % count]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1::Position;

    fn receipt(shard: u32, epoch: u64, index: u64, token: &str) -> Receipt {
        Receipt {
            position: Some(Position {
                shard,
                epoch,
                index,
            }),
            token: token.into(),
            ..Receipt::default()
        }
    }

    #[test]
    fn the_last_receipt_of_each_shard_is_kept() {
        let mut last = LastReceipts::default();
        for given in [
            receipt(2, 1, 9, "c"),
            receipt(1, 1, 5, "b"),
            receipt(1, 1, 4, "a"),
            receipt(1, 2, 3, "d"),
            receipt(1, 3, 3, ""),
        ] {
            last.note(&given);
        }
        assert_eq!(last.tokens(), ["d", "c"]);
    }

    #[test]
    fn an_account_is_asked_about_away_from_home() {
        let regions: Vec<RegionName> = ["a", "b", "c"].map(|r| r.parse().unwrap()).into();
        assert_eq!(elsewhere(&regions, regions[0], 0), Some(regions[1]));
        assert_eq!(elsewhere(&regions, regions[0], 3), Some(regions[2]));
        assert_eq!(elsewhere(&regions[..1], regions[0], 3), Some(regions[0]));
        assert_eq!(elsewhere(&[], regions[0], 0), None);
    }
}
