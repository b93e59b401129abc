//! One shard's book as it travels between nodes.

use ledger_domain::{Hash, Position, ShardId, state::Recorded};

use super::shard_book::{ChannelIn, ChannelOut, Kind, OpenItem, ShardBook, Sum};
use crate::{api::internal::v1 as pb, server::receipt};

/// A book that cannot be sent, or was not sent as one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the sum of all {0} accounts leaves 64 bits")]
    TooLarge(String),
    #[error("the book that was sent has an unreadable {0}")]
    Field(&'static str),
}

/// A sum in the bits that a caller is given.
pub(super) fn units(sum: i128, whose: impl ToString) -> Result<i64, Malformed> {
    i64::try_from(sum).map_err(|_| Malformed::TooLarge(whose.to_string()))
}

pub(super) fn to_wire(book: &ShardBook) -> Result<pb::BookAtReply, Malformed> {
    let sums = book.sums.iter().map(|((currency, kind), sum)| {
        Ok(pb::Sum {
            currency: currency.to_string(),
            house: match kind {
                Kind::Customers => String::new(),
                Kind::House(code) => code.to_string(),
            },
            debit_minor_units: units(sum.debit, currency)?,
            credit_minor_units: units(sum.credit, currency)?,
            accounts: sum.accounts,
        })
    });
    let channels_out = book.out.iter().map(|(to, channel)| pb::ChannelOut {
        to_shard: to.0,
        sent: channel.sent,
        open: channel
            .open
            .iter()
            .map(|(number, item)| pb::OpenItem {
                number: *number,
                currency: item.currency.to_string(),
                minor_units: item.units,
                hash: item.hash.to_vec(),
                sent_hlc: item
                    .sent
                    .map_or_else(String::new, |at| receipt::time(at).hlc),
            })
            .collect(),
    });
    let channels_in = book.into.iter().map(|(from, channel)| pb::ChannelIn {
        from_shard: from.0,
        recorded: channel.recorded,
        forgotten: channel.forgotten,
        records: channel
            .records
            .iter()
            .map(|(number, record)| pb::Record {
                number: *number,
                hash: record.hash.to_vec(),
                taken: record.taken,
            })
            .collect(),
    });
    Ok(pb::BookAtReply {
        position: Some(receipt::position(book.position)),
        sums: sums.collect::<Result<_, _>>()?,
        channels_out: channels_out.collect(),
        channels_in: channels_in.collect(),
        unlimited_account_ids: book.unlimited.iter().map(ToString::to_string).collect(),
    })
}

pub(super) fn from_wire(sent: pb::BookAtReply) -> Result<ShardBook, Malformed> {
    let position = sent.position.ok_or(Malformed::Field("position"))?;
    let sums = sent.sums.into_iter().map(|sum| {
        let kind = match sum.house.as_str() {
            "" => Kind::Customers,
            code => Kind::House(parse(code, "house account")?),
        };
        let key = (parse(&sum.currency, "currency")?, kind);
        let sum = Sum {
            debit: sum.debit_minor_units.into(),
            credit: sum.credit_minor_units.into(),
            accounts: sum.accounts,
        };
        Ok((key, sum))
    });
    let out = sent.channels_out.into_iter().map(|channel| {
        let open = channel.open.into_iter().map(|item| {
            let read = OpenItem {
                currency: parse(&item.currency, "currency")?,
                units: item.minor_units,
                hash: hash(&item.hash)?,
                sent: match item.sent_hlc.as_str() {
                    "" => None,
                    hlc => Some(receipt::parse_time(hlc).ok_or(Malformed::Field("time"))?),
                },
            };
            Ok((item.number, read))
        });
        let read = ChannelOut {
            sent: channel.sent,
            open: open.collect::<Result<_, Malformed>>()?,
        };
        Ok((ShardId(channel.to_shard), read))
    });
    let into = sent.channels_in.into_iter().map(|channel| {
        let records = channel.records.into_iter().map(|record| {
            let read = Recorded {
                hash: hash(&record.hash)?,
                taken: record.taken,
            };
            Ok((record.number, read))
        });
        let read = ChannelIn {
            recorded: channel.recorded,
            forgotten: channel.forgotten,
            records: records.collect::<Result<_, Malformed>>()?,
        };
        Ok((ShardId(channel.from_shard), read))
    });
    let unlimited = sent.unlimited_account_ids.iter();
    Ok(ShardBook {
        position: Position {
            shard: ShardId(position.shard),
            epoch: position.epoch,
            index: position.index,
        },
        sums: sums.collect::<Result<_, Malformed>>()?,
        out: out.collect::<Result<_, Malformed>>()?,
        into: into.collect::<Result<_, Malformed>>()?,
        unlimited: unlimited
            .map(|id| parse(id, "account id"))
            .collect::<Result<_, _>>()?,
    })
}

fn parse<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, Malformed> {
    text.parse().map_err(|_| Malformed::Field(what))
}

fn hash(bytes: &[u8]) -> Result<Hash, Malformed> {
    bytes.try_into().map_err(|_| Malformed::Field("hash"))
}
