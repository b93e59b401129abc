//! The path of a transaction, for people and for programs.

use serde_json::{Value, json};

use super::output::{money, money_json, position_json, time, time_json};
use crate::api::teller::v1::{Posting, TransactionStage, TransactionStep};

fn stage(stage: TransactionStage) -> &'static str {
    match stage {
        TransactionStage::Unspecified => "unspecified",
        TransactionStage::Decided => "decided",
        TransactionStage::Refused => "refused",
        TransactionStage::Credited => "credited",
        TransactionStage::Kept => "kept",
        TransactionStage::Settled => "settled",
        TransactionStage::Returned => "returned",
        TransactionStage::Posted => "posted",
        TransactionStage::Cancelled => "cancelled",
    }
}

/// A line for each book that it went through, and one for each account that moved there.
pub(super) fn text(path: &[TransactionStep]) -> String {
    let mut text = String::new();
    for step in path {
        let (at, region) = (time(&step.decided_at), &step.region);
        text.push_str(&format!("{at}  {:9}  in {region}\n", stage(step.stage())));
        for posting in &step.postings {
            let after = match &posting.balance_after {
                Some(_) => format!("  has {}", money(&posting.balance_after)),
                None => String::new(),
            };
            let amount = money(&posting.amount);
            text.push_str(&format!("{:>44}  {}{after}\n", amount, posting.account));
        }
    }
    text
}

pub(super) fn json(step: &TransactionStep) -> Value {
    let posting = |it: &Posting| {
        json!({
            "account": it.account,
            "amount": money_json(&it.amount),
            "balance_after": money_json(&it.balance_after),
        })
    };
    json!({
        "stage": stage(step.stage()),
        "region": step.region,
        "transaction_id": step.transaction_id,
        "position": position_json(&step.position),
        "decided_at": time_json(&step.decided_at),
        "postings": step.postings.iter().map(posting).collect::<Vec<_>>(),
    })
}
