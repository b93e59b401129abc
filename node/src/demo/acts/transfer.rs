//! Money crosses an ocean.

use super::{
    Cluster, Error, Screen, books::Household, call, dollars, holds, reading::ACCOUNT, receipt, row,
    usd,
};
use crate::api::{
    teller::v1::{TransferRequest, TrialBalanceReply, Wait},
    v1::{CommandContext, Receipt, TransactionStatus},
};

/// The payee, whose home is ap-south.
const PAYEE: &str = "Expenses:Home:Internet";
const AMOUNT: i64 = 25_000;

pub(super) async fn under_way(
    cluster: &Cluster,
    screen: &mut Screen,
    household: &Household,
) -> Result<(), Error> {
    let (payer, payee) = (household.account(ACCOUNT), household.account(PAYEE));
    screen.act(&format!(
        "4. {} cross an ocean: {} (eu-west) pays {} (ap-south)",
        dollars(AMOUNT),
        payer.name,
        payee.name
    ));
    let client = cluster.client_near("eu-west")?;
    let mut request = TransferRequest {
        context: Some(CommandContext {
            memo: "three months of internet".to_owned(),
            ..client.context()
        }),
        from_account_id: payer.id.clone(),
        to_account_id: payee.id.clone(),
        amount: Some(usd(AMOUNT)),
        wait: Wait::Accepted.into(),
    };
    let start = tokio::time::Instant::now();
    let accepted = receipt(call("transfer", client.transfer(request.clone()).await)?.receipt)?;
    let accepted_after = start.elapsed();
    // The same key: not a second transfer, but the first one's end.
    request.wait = Wait::Settled.into();
    let settled = receipt(call("transfer", client.transfer(request).await)?.receipt)?;
    let settled_after = start.elapsed();

    let at = accepted.time.clone().unwrap_or_default();
    let then = call("trial balance", client.trial_balance(&at.hlc).await)?;
    let shards = shards(&accepted, &settled)?;
    let (items, amount) = between(&then, shards);
    screen.table(&[
        row([
            "after",
            "status",
            "payer's side",
            "under way",
            "payee's side",
        ]),
        [
            format!("{} ms", accepted_after.as_millis()),
            "accepted".to_owned(),
            posted(&accepted, &payer.id),
            format!("{items} item, {}", dollars(amount)),
            "-".to_owned(),
        ],
        [
            format!("{} ms", settled_after.as_millis()),
            "settled".to_owned(),
            posted(&settled, &payer.id),
            "0 items".to_owned(),
            posted(&settled, &payee.id),
        ],
    ]);
    screen.say(&format!(
        "\n  Transaction {}, safe at home before it was answered. At its own time all books,\n\
         \x20 with what was under way between them, sum to zero.",
        accepted.transaction_id
    ));
    holds(accepted.status() == TransactionStatus::Accepted, || {
        format!(
            "the transfer is first accepted, not {:?}",
            accepted.status()
        )
    })?;
    holds(settled.status() == TransactionStatus::Settled, || {
        format!("and then settled, not {:?}", settled.status())
    })?;
    holds(
        settled.duplicate && settled.transaction_id == accepted.transaction_id,
        || "asked twice under one key, transferred once".to_owned(),
    )?;
    holds(items >= 1 && amount >= AMOUNT, || {
        format!("the money is under way in between: {items} items, {amount}")
    })?;
    holds(then.balanced, || {
        "the books balance with money under way".to_owned()
    })
}

/// The payer's and the payee's shard.
fn shards(accepted: &Receipt, settled: &Receipt) -> Result<(u32, u32), Error> {
    let payer = accepted.position.as_ref().map_or(0, |at| at.shard);
    let mut others = settled
        .balances_after
        .iter()
        .filter_map(|after| Some(after.position.as_ref()?.shard))
        .filter(|shard| *shard != payer);
    let payee = others.next();
    let payee = payee.ok_or_else(|| {
        Error::Broken("the receipt of a settled transfer tells of both sides".to_owned())
    })?;
    Ok((payer, payee))
}

fn between(books: &TrialBalanceReply, (from, to): (u32, u32)) -> (u64, i64) {
    let channel = books
        .channels
        .iter()
        .find(|c| (c.from_shard, c.to_shard) == (from, to));
    channel.map_or((0, 0), |c| (c.items_under_way, c.under_way_minor_units))
}

fn posted(receipt: &Receipt, account: &str) -> String {
    let mut balances = receipt.balances_after.iter();
    let after = balances.find(|after| after.account_id == account);
    super::money(after.and_then(|after| after.posted.as_ref()))
}
