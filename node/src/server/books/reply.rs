use ledger_domain::{HybridTime, RegionName, ShardId};

use super::{
    matching::{Channel, TrialBalance},
    shard_book::Kind,
    wire::{Malformed, units},
};
use crate::{
    api::{teller::v1 as pb, v1},
    server::receipt,
};

/// The trial balance as a caller gets it.
pub(super) fn reply(
    at: HybridTime,
    balance: &TrialBalance,
    region: impl Fn(ShardId) -> RegionName,
    served_by: v1::ServedBy,
) -> Result<pb::TrialBalanceReply, Malformed> {
    let rows = balance.rows.iter().map(|row| {
        Ok(pb::TrialBalanceRow {
            region: region(row.shard).to_string(),
            shard: row.shard.0,
            currency: row.currency.to_string(),
            account: match &row.kind {
                Kind::Customers => "customers".to_owned(),
                Kind::House(code) => code.to_string(),
            },
            r#type: match &row.kind {
                Kind::Customers => "liability".to_owned(),
                Kind::House(code) => code.house_type().to_string(),
            },
            debit_minor_units: units(row.sum.debit, row.currency)?,
            credit_minor_units: units(row.sum.credit, row.currency)?,
        })
    });
    let totals = balance.totals.iter().map(|total| {
        Ok(pb::BookTotal {
            region: region(total.position.shard).to_string(),
            position: Some(receipt::position(total.position)),
            currency: total.currency.to_string(),
            debit_minor_units: units(total.sum.debit, total.currency)?,
            credit_minor_units: units(total.sum.credit, total.currency)?,
            accounts: total.sum.accounts,
        })
    });
    Ok(pb::TrialBalanceReply {
        at: Some(receipt::time(at)),
        rows: rows.collect::<Result<_, Malformed>>()?,
        totals: totals.collect::<Result<_, Malformed>>()?,
        channels: balance
            .channels
            .iter()
            .map(channel)
            .collect::<Result<_, _>>()?,
        balanced: balance.balanced,
        unlimited_account_ids: balance.unlimited.iter().map(ToString::to_string).collect(),
        served_by: Some(served_by),
        staleness_bound_ms: None,
        held_back_by: Vec::new(),
    })
}

fn channel(channel: &Channel) -> Result<pb::ChannelTotal, Malformed> {
    let currency = channel.currency.map(|c| c.to_string()).unwrap_or_default();
    let differences: Vec<_> = channel
        .differences
        .iter()
        .map(ToString::to_string)
        .collect();
    Ok(pb::ChannelTotal {
        from_shard: channel.from.0,
        to_shard: channel.to.0,
        items_under_way: channel.under_way,
        under_way_minor_units: units(channel.under_way_units, &currency)?,
        currency,
        items_sent: channel.sent,
        items_taken: channel.taken,
        matched: differences.is_empty(),
        difference: differences.join("; "),
        oldest_under_way: channel.oldest.map(receipt::time),
        differences: channel
            .differences
            .iter()
            .map(|difference| pb::ChannelDifference {
                code: difference.code().to_owned(),
                what: difference.to_string(),
            })
            .collect(),
    })
}
