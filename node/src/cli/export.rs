use ledger_domain::{AccountId, Date};
use serde_json::json;

use super::args::{ExportArguments, JournalFormat};
use super::exit::Failure;
use super::output::Output;
use super::verify::{Bar, archive};
use crate::export::{Error, Format, Names, Selection, journal};

pub fn export(given: &ExportArguments) -> Result<Output, Failure> {
    let date = |text: &Option<String>| -> Result<Option<Date>, Failure> {
        let date = text.as_deref().map(str::parse).transpose();
        date.map_err(|error| Failure::Usage(format!("{error}")))
    };
    let accounts = given.accounts.iter().map(|id| id.parse::<AccountId>());
    let selection = Selection {
        from: date(&given.from_date)?,
        to: date(&given.to_date)?,
        accounts: accounts
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let names = match &given.names {
        Some(file) => Names::read(file).map_err(Error::from)?,
        None => Names::default(),
    };
    let format = match given.format {
        JournalFormat::Beancount => Format::Beancount,
        JournalFormat::Hledger => Format::Hledger,
    };
    let archive = given.archive.as_deref().map(archive).transpose()?;
    let bar = Bar::new();
    let show = |progress| bar.show(progress);
    let dir = &given.directory;
    let journal = journal(dir, archive, format, &selection, &names, &show);
    bar.0.finish_and_clear();
    let journal = journal?;
    let json = json!({
        "journal": journal.text,
        "transactions": journal.transactions,
        "accounts": journal.accounts,
    });
    Ok(Output::ok(journal.text, json))
}
