use indicatif::ProgressBar;
use ledger_domain::Money;
use serde_json::json;

use super::args::ImportArguments;
use super::exit::{self, Failure};
use super::output::Output;
use super::progress;
use crate::client::Client;
use crate::import::{self, Books, ImportName, Progress, Stage, Summary};

pub async fn import(client: &Client, given: ImportArguments) -> Result<Output, Failure> {
    let name: ImportName = given
        .name
        .parse()
        .map_err(|error| Failure::Usage(format!("{error}")))?;
    let books = Books::read(&given.from).map_err(|problem| Failure::Usage(problem.to_string()))?;
    let bar = Bar::new(&books);
    let summary = import::run(client, &name, &books, given.concurrency, &|progress| {
        bar.show(progress)
    })
    .await;
    bar.0.finish_and_clear();
    Ok(output(&name, &books, summary?))
}

/// One bar for all stages: a row is a row.
struct Bar(ProgressBar);

impl Bar {
    fn new(books: &Books) -> Self {
        let rows = books.accounts.len() + books.transfers.len() + books.balances.len();
        Self(progress::bar(rows as u64))
    }

    fn show(&self, progress: Progress) {
        self.0.set_message(match progress.stage {
            Stage::Accounts => "opening accounts",
            Stage::Transfers => "moving money",
            Stage::Balances => "asserting balances",
        });
        self.0.inc(1);
    }
}

fn output(name: &ImportName, books: &Books, summary: Summary) -> Output {
    let held = summary.balances - summary.mismatches.len();
    let mut text = format!(
        "Import {name}: {} accounts, {} transfers; {} added, {} already there.\n\
         {held} of {} balances hold, {} of them asked outside the account's home region.\n",
        books.accounts.len(),
        books.transfers.len(),
        summary.added,
        summary.already_there,
        summary.balances,
        summary.asked_elsewhere,
    );
    if summary.too_old > 0 {
        text.push_str(&format!(
            "{} commands were left alone: the import began too long ago to repeat it safely.\n",
            summary.too_old
        ));
    }
    for wrong in &summary.mismatches {
        let found = Money {
            minor_units: wrong.found,
            currency: wrong.expected.currency,
        };
        text.push_str(&format!(
            "balances.csv:{}: {} at the close of {}: expected {}, found {found}\n",
            wrong.line, wrong.account, wrong.effective_date, wrong.expected
        ));
    }
    let mismatches = summary.mismatches.iter().map(|wrong| {
        json!({
            "line": wrong.line,
            "account": wrong.account,
            "account_id": wrong.account_id,
            "effective_date": wrong.effective_date,
            "currency": wrong.expected.currency.code(),
            "expected_minor_units": wrong.expected.minor_units,
            "found_minor_units": wrong.found,
        })
    });
    let ids = books.accounts.iter().map(|account| {
        let id = name.account(account.home, &account.name);
        json!({ "account": account.name, "account_id": id, "home_region": account.home.as_str() })
    });
    let json = json!({
        "name": name.to_string(),
        "started_unix_ms": summary.started_unix_ms,
        "accounts": ids.collect::<Vec<_>>(),
        "transfers": books.transfers.len(),
        "added": summary.added,
        "already_there": summary.already_there,
        "too_old": summary.too_old,
        "balances": summary.balances,
        "asked_elsewhere": summary.asked_elsewhere,
        "mismatches": mismatches.collect::<Vec<_>>(),
    });
    let exit_code = if summary.mismatches.is_empty() {
        exit::OK
    } else {
        exit::DIFFERS
    };
    Output {
        text,
        json,
        exit_code,
    }
}
