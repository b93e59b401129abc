//! Answers, as text for people and as JSON for programs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{amount, exit, spending};
use crate::api::v1::{
    Money, Position, Receipt, RejectionDetail, ServedBy, Time, TransactionStatus,
};

/// An answer for standard output.
pub struct Output {
    /// For people; ends with a line break.
    pub text: String,
    /// For programs. Null where everything was printed as it came.
    pub json: Value,
    /// The program's exit code.
    pub exit_code: u8,
}

impl Output {
    /// An answer that is as it should be.
    pub fn ok(text: String, json: Value) -> Self {
        Self {
            text,
            json,
            exit_code: exit::OK,
        }
    }
}

/// Lines of name and value, the values in one column. What is empty is left out.
pub fn fields(fields: &[(&str, String)]) -> String {
    let shown = || fields.iter().filter(|(_, value)| !value.is_empty());
    let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

/// Money as JSON: exact for programs, and as people read it.
pub fn money_json(money: &Option<Money>) -> Value {
    money.as_ref().map_or(Value::Null, |money| {
        json!({
            "minor_units": money.minor_units,
            "currency": money.currency,
            "text": amount::render(money),
        })
    })
}

/// Money as text.
pub fn money(money: &Option<Money>) -> String {
    money.as_ref().map(amount::render).unwrap_or_default()
}

/// A position as JSON.
pub fn position_json(position: &Option<Position>) -> Value {
    position.as_ref().map_or(
        Value::Null,
        |at| json!({ "shard": at.shard, "epoch": at.epoch, "index": at.index }),
    )
}

/// A position as text: shard, epoch and index.
pub fn position(position: &Option<Position>) -> String {
    let text = |at: &Position| format!("{}:{}:{}", at.shard, at.epoch, at.index);
    position.as_ref().map(text).unwrap_or_default()
}

/// A time as JSON.
pub fn time_json(time: &Option<Time>) -> Value {
    time.as_ref().map_or(
        Value::Null,
        |at| json!({ "unix_nanos": at.unix_nanos, "hlc": at.hlc, "text": instant(at.unix_nanos) }),
    )
}

/// A time as text, to the millisecond.
pub fn time(time: &Option<Time>) -> String {
    time.as_ref()
        .map(|at| instant(at.unix_nanos))
        .unwrap_or_default()
}

fn instant(unix_nanos: i64) -> String {
    Timestamp::from_nanosecond(i128::from(unix_nanos)).map_or_else(
        |_| unix_nanos.to_string(),
        |at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}

/// Who answered, as JSON.
pub fn served_by_json(by: &Option<ServedBy>) -> Value {
    by.as_ref().map_or(
        Value::Null,
        |by| json!({ "region": by.region, "node": by.node }),
    )
}

/// Who answered, as text.
pub fn served_by(by: &Option<ServedBy>) -> String {
    by.as_ref()
        .map(|by| format!("{} ({})", by.node, by.region))
        .unwrap_or_default()
}

/// A refusal as JSON.
pub fn rejection_json(rejection: &Option<RejectionDetail>) -> Value {
    rejection.as_ref().map_or(Value::Null, |why| {
        json!({
            "code": why.code,
            "message": why.message,
            "retryable": why.retryable,
            "recorded": why.recorded,
            "help": why.help,
        })
    })
}

/// A status as a word.
pub fn status(status: TransactionStatus) -> &'static str {
    match status {
        TransactionStatus::Unspecified => "unspecified",
        TransactionStatus::Accepted => "accepted",
        TransactionStatus::Settled => "settled",
        TransactionStatus::Returned => "returned",
        TransactionStatus::Rejected => "rejected",
        TransactionStatus::Unknown => "unknown",
    }
}

/// A receipt, with what a command adds to it. A returned transfer is an answer, and a refusal.
pub fn receipt(receipt: &Option<Receipt>, more: &[(&str, String)]) -> Output {
    let receipt = receipt.clone().unwrap_or_default();
    let why = receipt
        .rejection
        .as_ref()
        .map(|why| format!("{}: {}", why.code, why.message));
    let mut lines = more.to_vec();
    let would_be = if receipt.dry_run { "would be " } else { "" };
    lines.extend([
        ("transaction", receipt.transaction_id.clone()),
        ("status", format!("{would_be}{}", status(receipt.status()))),
        ("because", why.unwrap_or_default()),
        ("time", time(&receipt.time)),
        ("position", position(&receipt.position)),
    ]);
    for after in &receipt.balances_after {
        let available = match money(&after.available) {
            none if none.is_empty() => "without a limit".to_owned(),
            amount => format!("available {amount}"),
        };
        let available = match &after.held {
            Some(held) if held.minor_units != 0 => {
                format!("held {}, {available}", money(&after.held))
            }
            _ => available,
        };
        let balance = format!(
            "{}  posted {}, {available}, version {}",
            after.account_id,
            money(&after.posted),
            after.version,
        );
        lines.push(("balance after", balance));
    }
    if let Some(spending) = &receipt.spending {
        lines.push(("spending", spending::text(spending)));
    }
    if receipt.into_closed_day {
        lines.push(("counts from", "a day that is closed".to_owned()));
    }
    lines.extend([
        ("key", receipt.idempotency_key.clone()),
        ("served by", served_by(&receipt.served_by)),
        ("token", receipt.token.clone()),
    ]);
    let mut json = receipt_json(&receipt);
    for (name, value) in more {
        json[name.replace(' ', "_")] = json!(value);
    }
    let refused = matches!(
        receipt.status(),
        TransactionStatus::Returned | TransactionStatus::Rejected
    );
    let exit_code = if refused { exit::REJECTED } else { exit::OK };
    Output {
        text: fields(&lines),
        json,
        exit_code,
    }
}

/// A receipt as JSON.
pub fn receipt_json(receipt: &Receipt) -> Value {
    let after = receipt.balances_after.iter().map(|after| {
        json!({
            "account_id": after.account_id,
            "posted": money_json(&after.posted),
            "held": money_json(&after.held),
            "available": money_json(&after.available),
            "version": after.version,
            "position": position_json(&after.position),
        })
    });
    json!({
        "transaction_id": receipt.transaction_id,
        "status": status(receipt.status()),
        "rejection": rejection_json(&receipt.rejection),
        "position": position_json(&receipt.position),
        "time": time_json(&receipt.time),
        "balances_after": after.collect::<Vec<_>>(),
        "key": receipt.idempotency_key,
        "duplicate": receipt.duplicate,
        "dry_run": receipt.dry_run,
        "into_closed_day": receipt.into_closed_day,
        "spending": receipt.spending.as_ref().map(spending::json),
        "served_by": served_by_json(&receipt.served_by),
        "token": receipt.token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_transfer_says_why_and_is_a_refusal() {
        let returned = Receipt {
            transaction_id: "tx-1".into(),
            status: TransactionStatus::Returned.into(),
            time: Some(Time {
                unix_nanos: 1_500_000_000,
                hlc: "h".into(),
            }),
            rejection: Some(RejectionDetail {
                code: "ACCOUNT_CLOSED".into(),
                message: "the account is closed".into(),
                ..RejectionDetail::default()
            }),
            ..Receipt::default()
        };
        let output = receipt(&Some(returned), &[]);
        assert_eq!(output.exit_code, exit::REJECTED);
        assert_eq!(
            output.text,
            "transaction  tx-1\n\
             status       returned\n\
             because      ACCOUNT_CLOSED: the account is closed\n\
             time         1970-01-01T00:00:01.500Z\n"
        );
        assert_eq!(output.json["rejection"]["code"], "ACCOUNT_CLOSED");
    }
}
