//! `meridian reverse`.

use clap::Args;

use super::amount;
use super::args::ContextArguments;
use super::exit::Failure;
use super::output::{Output, receipt};
use super::write::{context, currency_of};
use crate::api::teller::v1::{
    GetTransactionRequest, ReverseRequest, TransactionKind as Kind, Wait,
    get_transaction_request::By,
};
use crate::client::Client;

/// Arguments of `reverse`.
#[derive(Debug, Args)]
pub struct ReverseArguments {
    /// The id of the transaction: a deposit, a withdrawal, a transfer, what a capture or a sweep paid,
    /// a journal or an exchange.
    pub transaction: String,
    /// How much of it, for example 12.50. Default: all that is not reversed yet. Not of a journal, which
    /// is reversed whole.
    #[arg(long)]
    pub amount: Option<String>,
    /// The account that paid or was paid, or of a journal one at home where it was decided, whose
    /// conditions these are. Default: the one that the
    /// transaction's own command named.
    #[arg(long)]
    pub account: Option<String>,
    /// Answer once it is safe, though another shard may still refuse what is to come back from it.
    #[arg(long)]
    pub accepted: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

pub async fn reverse(client: &Client, given: ReverseArguments) -> Result<Output, Failure> {
    let by = Some(By::TransactionId(given.transaction.clone()));
    let original = client.transaction(GetTransactionRequest { by }).await?;
    let kind = original.kind();
    let receipt_of = original.receipt.unwrap_or_default();
    let account = given.account.unwrap_or(original.account_id);
    let currency = match (original.amount, kind) {
        (Some(moved), _) => moved.currency,
        // It moved what its legs say, maybe in several currencies.
        (None, Kind::Journal | Kind::Exchange | Kind::Reverse) => {
            if given.amount.is_some() {
                let what = "a journal is reversed whole, all of its legs: leave --amount out";
                return Err(Failure::Usage(what.to_owned()));
            }
            currency_of(client, &account, &given.context.conditions).await?
        }
        (None, _) => {
            let what = "this transaction moved nothing: there is nothing to reverse";
            return Err(Failure::Usage(what.to_owned()));
        }
    };
    let amount = given.amount.as_deref();
    let amount = amount.map(|amount| amount::in_currency(amount, &currency));
    let request = ReverseRequest {
        context: Some(context(given.context, &currency)?),
        account_id: account,
        // Of a transfer that arrived here it is the payer's.
        transaction_id: receipt_of.transaction_id,
        amount: amount.transpose()?,
        wait: match given.accepted {
            true => Wait::Accepted,
            false => Wait::Settled,
        }
        .into(),
    };
    Ok(receipt(&client.reverse(request).await?.receipt, &[]))
}
