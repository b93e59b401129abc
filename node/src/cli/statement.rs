//! Statements, for people, for programs and for spreadsheets.

use serde_json::{Value, json};

use super::amount;
use super::args::{StatementArguments, StatementBasisArgument};
use super::exit::Failure;
use super::output::{Output, money, money_json, position_json, time, time_json};
use super::read::{balance_json, balance_text, mode};
use crate::api::atm::v1::{GetStatementReply, GetStatementRequest, StatementBasis, StatementLine};
use crate::api::v1::{
    ReadMode,
    read_mode::{self, Mode, as_of::At},
};
use crate::client::Client;

/// The most lines of one page, as the API has it.
const PAGE: usize = 1_000;

/// All pages of a statement, up to a limit.
pub async fn statement(client: &Client, given: StatementArguments) -> Result<Output, Failure> {
    let mut lines = Vec::new();
    let mut page_token = String::new();
    let known = match (given.known_at, given.known_at_position) {
        (Some(time), _) => Some(At::Time(time)),
        (None, position) => position.map(At::Position),
    };
    let mode = match known {
        Some(at) => Some(ReadMode {
            mode: Some(Mode::AsOf(read_mode::AsOf {
                at: Some(at),
                tokens: Vec::new(),
            })),
        }),
        None => mode(given.freshness),
    };
    let basis = match given.by {
        StatementBasisArgument::Booked => StatementBasis::Booked,
        StatementBasisArgument::Effective => StatementBasis::Effective,
    };
    let last = loop {
        let page_size = (given.limit - lines.len()).clamp(1, PAGE);
        let request = GetStatementRequest {
            account_id: given.account.clone(),
            mode: mode.clone(),
            from_date: given.from.clone(),
            to_date: given.to.clone(),
            page_size: u32::try_from(page_size).unwrap_or(u32::MAX),
            page_token,
            basis: basis.into(),
            newest_first: given.newest_first,
        };
        let mut page = client.statement(request).await?;
        let room = given.limit - lines.len();
        lines.extend(std::mem::take(&mut page.lines).into_iter().take(room));
        page_token = page.next_page_token.clone();
        if page_token.is_empty() || lines.len() >= given.limit {
            break page;
        }
    };
    let balance = last.balance.clone().unwrap_or_default();
    let json = json!({
        "opening_balance": money_json(&last.opening_balance),
        "closing_balance": money_json(&last.closing_balance),
        "lines": lines.iter().map(line_json).collect::<Vec<_>>(),
        "complete": page_token.is_empty(),
        "balance": balance_json(&balance),
    });
    if given.csv {
        return Ok(Output::ok(csv(&lines), json));
    }
    let mut text = text(&lines, &last, given.newest_first);
    text.push('\n');
    text.push_str(&balance_text(&balance));
    if !page_token.is_empty() {
        text.push_str("There are more lines; raise --limit or narrow --from and --to.\n");
    }
    Ok(Output::ok(text, json))
}

fn text(lines: &[StatementLine], page: &GetStatementReply, newest_first: bool) -> String {
    let (opening, closing) = (
        ("opening balance", money(&page.opening_balance)),
        ("closing balance", money(&page.closing_balance)),
    );
    let (first, last) = match newest_first {
        true => (closing, opening),
        false => (opening, closing),
    };
    let rest = |(name, sum): &(&str, String)| format!("{:41} {sum:>18}  {name}\n", "");
    let mut text = format!(
        "{:10} {:10} {:>18}  {:>18}  {:12} {}\n",
        "BOOKED", "EFFECTIVE", "AMOUNT", "BALANCE", "KIND", "WITH"
    );
    text.push_str(&rest(&first));
    for line in lines {
        let with = if line.memo.is_empty() {
            &line.counterparty
        } else {
            &line.memo
        };
        text.push_str(&format!(
            "{:10} {:10} {:>18}  {:>18}  {:12} {with}{}\n",
            line.booked_on,
            line.effective_date,
            money(&line.amount),
            money(&line.balance_after),
            line.kind,
            if line.into_closed_day {
                " (into a closed day)"
            } else {
                ""
            },
        ));
    }
    text.push_str(&rest(&last));
    text
}

pub(super) fn line_json(line: &StatementLine) -> Value {
    json!({
        "transaction_id": line.transaction_id,
        "position": position_json(&line.position),
        "booked_at": time_json(&line.booked_at),
        "booked_on": line.booked_on,
        "effective_date": line.effective_date,
        "amount": money_json(&line.amount),
        "balance_after": money_json(&line.balance_after),
        "counterparty": line.counterparty,
        "memo": line.memo,
        "correlation_id": line.correlation_id,
        "external_reference": line.external_reference,
        "reason": line.reason,
        "kind": line.kind,
        "into_closed_day": line.into_closed_day,
    })
}

/// The columns of `--csv`, in their order.
const COLUMNS: [&str; 14] = [
    "transaction_id",
    "booked_on",
    "effective_date",
    "booked_at",
    "amount",
    "balance_after",
    "currency",
    "kind",
    "counterparty",
    "memo",
    "correlation_id",
    "external_reference",
    "reason",
    "into_closed_day",
];

fn csv(lines: &[StatementLine]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut row = |row: &[String]| {
        writer
            .write_record(row)
            .expect("memory takes whatever is written");
    };
    row(&COLUMNS.map(str::to_owned));
    for line in lines {
        let decimal = |money: &Option<_>| money.as_ref().map(amount::decimal).unwrap_or_default();
        let currency = line.amount.as_ref().map(|it| it.currency.clone());
        row(&[
            line.transaction_id.clone(),
            line.booked_on.clone(),
            line.effective_date.clone(),
            time(&line.booked_at),
            decimal(&line.amount),
            decimal(&line.balance_after),
            currency.unwrap_or_default(),
            line.kind.clone(),
            line.counterparty.clone(),
            line.memo.clone(),
            line.correlation_id.clone(),
            line.external_reference.clone(),
            line.reason.clone(),
            line.into_closed_day.to_string(),
        ]);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}
