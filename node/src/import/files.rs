use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use csv::{ReaderBuilder, StringRecord};
use jiff::civil::Date;
use ledger_domain::{Currency, RegionName};

/// A line that cannot be read, or a row that the ledger refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", file.display(), at(*line))]
pub struct Problem {
    /// Which file.
    pub file: PathBuf,
    /// Which line, from 1; the header is line 1. 0 where the file as a whole is meant.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

fn at(line: u64) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(":{line}")
    }
}

/// A row of `accounts.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its line in the file.
    pub line: u64,
    /// Its name in the books.
    pub name: String,
    /// Where it is to live.
    pub home: RegionName,
    /// What it is kept in.
    pub currency: Currency,
    /// Whether it may go below zero without a limit; otherwise not at all.
    pub unlimited: bool,
    /// From when it takes bookings.
    pub opened_on: Date,
}

/// A row of `transfers.csv`. Accounts are indexes into [`Books::accounts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Its line in the file.
    pub line: u64,
    /// Its number, for ever: the key derives from it.
    pub seq: u64,
    /// From when it counts.
    pub effective_date: Date,
    /// What the books call the transaction that it is a part of.
    pub transaction: String,
    /// Who was paid, and for what. Personal data.
    pub memo: String,
    /// The payer.
    pub from: usize,
    /// The payee.
    pub to: usize,
    /// In minor units of both accounts' currency, above zero.
    pub minor_units: i64,
}

/// A row of `balances.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Its line in the file.
    pub line: u64,
    /// The balance holds at the start of this day.
    pub as_of: Date,
    /// Index into [`Books::accounts`].
    pub account: usize,
    /// In minor units of the account's currency.
    pub minor_units: i64,
}

/// The three files, read and checked.
#[derive(Debug, Clone)]
pub struct Books {
    /// Where they are.
    pub folder: PathBuf,
    /// In the file's order.
    pub accounts: Vec<Account>,
    /// In the file's order, which is the order of booking.
    pub transfers: Vec<Transfer>,
    /// In the file's order.
    pub balances: Vec<Balance>,
}

/// The files' names.
pub(super) const ACCOUNTS: &str = "accounts.csv";
pub(super) const TRANSFERS: &str = "transfers.csv";
pub(super) const BALANCES: &str = "balances.csv";

impl Books {
    /// Reads the three files of a folder. The first thing wrong ends it.
    pub fn read(folder: &Path) -> Result<Self, Problem> {
        let mut books = Self {
            folder: folder.to_owned(),
            accounts: Vec::new(),
            transfers: Vec::new(),
            balances: Vec::new(),
        };
        let mut names = BTreeMap::new();
        let columns = [
            "account",
            "home_region",
            "currency",
            "may_go_negative",
            "opened_on",
        ];
        rows(&folder.join(ACCOUNTS), &columns, |row| {
            let account = Account {
                line: row.line,
                name: row.filled(0)?.to_owned(),
                home: row.parsed(1)?,
                currency: row.parsed(2)?,
                unlimited: row.parsed_as(3, "true or false")?,
                opened_on: row.date(4)?,
            };
            if names
                .insert(account.name.clone(), books.accounts.len())
                .is_some()
            {
                return Err(format!("account `{}` is there twice", account.name));
            }
            books.accounts.push(account);
            Ok(())
        })?;

        let known = |row: &Row<'_>, column| {
            let name = row.filled(column)?;
            let index = names.get(name).copied();
            index.ok_or_else(|| format!("account `{name}` is not in {ACCOUNTS}"))
        };
        let accounts = &books.accounts;
        let in_currency = |row: &Row<'_>, column, index: usize| {
            let currency: Currency = row.parsed(column)?;
            let account: &Account = &accounts[index];
            if currency == account.currency {
                return Ok(());
            }
            Err(format!(
                "`{}` is kept in {}, not {currency}",
                account.name, account.currency
            ))
        };

        let mut seqs = BTreeSet::new();
        let columns = [
            "seq",
            "effective_date",
            "transaction",
            "memo",
            "from_account",
            "to_account",
            "currency",
            "amount_minor",
        ];
        rows(&folder.join(TRANSFERS), &columns, |row| {
            let transfer = Transfer {
                line: row.line,
                seq: row.parsed_as(0, "a whole number")?,
                effective_date: row.date(1)?,
                transaction: row.text(2).to_owned(),
                memo: row.text(3).to_owned(),
                from: known(row, 4)?,
                to: known(row, 5)?,
                minor_units: row.parsed_as(7, "a whole number of minor units")?,
            };
            if !seqs.insert(transfer.seq) {
                return Err(format!("seq {} is there twice", transfer.seq));
            }
            if transfer.minor_units <= 0 {
                return Err(format!(
                    "amount_minor {} is not above zero",
                    transfer.minor_units
                ));
            }
            if transfer.from == transfer.to {
                return Err("payer and payee are the same account".to_owned());
            }
            for index in [transfer.from, transfer.to] {
                in_currency(row, 6, index)?;
                let account = &accounts[index];
                if transfer.effective_date < account.opened_on {
                    return Err(format!(
                        "{} lies before the opening of `{}` on {}",
                        transfer.effective_date, account.name, account.opened_on
                    ));
                }
            }
            books.transfers.push(transfer);
            Ok(())
        })?;

        let columns = ["as_of_date", "account", "currency", "amount_minor"];
        rows(&folder.join(BALANCES), &columns, |row| {
            let account = known(row, 1)?;
            in_currency(row, 2, account)?;
            books.balances.push(Balance {
                line: row.line,
                as_of: row.date(0)?,
                account,
                minor_units: row.parsed_as(3, "a whole number of minor units")?,
            });
            Ok(())
        })?;
        Ok(books)
    }

    /// Says what is wrong with a row.
    pub(super) fn problem(&self, file: &str, line: u64, message: impl ToString) -> Problem {
        Problem {
            file: self.folder.join(file),
            line,
            message: message.to_string(),
        }
    }
}

struct Row<'a> {
    line: u64,
    columns: &'a [&'a str],
    record: &'a StringRecord,
}

impl Row<'_> {
    fn text(&self, column: usize) -> &str {
        &self.record[column]
    }

    fn filled(&self, column: usize) -> Result<&str, String> {
        match self.text(column) {
            "" => Err(format!("{} is empty", self.columns[column])),
            text => Ok(text),
        }
    }

    fn parsed<T: std::str::FromStr<Err: ToString>>(&self, column: usize) -> Result<T, String> {
        let parsed = self.text(column).parse();
        parsed.map_err(|error: T::Err| format!("{}: {}", self.columns[column], error.to_string()))
    }

    fn parsed_as<T: std::str::FromStr>(&self, column: usize, what: &str) -> Result<T, String> {
        let text = self.text(column);
        text.parse()
            .map_err(|_| format!("{}: `{text}` is not {what}", self.columns[column]))
    }

    fn date(&self, column: usize) -> Result<Date, String> {
        let text = self.text(column);
        // The parser takes more than one form; the files have one.
        let date = text
            .parse::<Date>()
            .ok()
            .filter(|date| date.to_string() == text);
        date.ok_or_else(|| {
            format!(
                "{}: `{text}` is not a date like 2026-11-21",
                self.columns[column]
            )
        })
    }
}

fn rows(
    path: &Path,
    columns: &[&str],
    mut take: impl FnMut(&Row<'_>) -> Result<(), String>,
) -> Result<(), Problem> {
    let problem = |line, message| Problem {
        file: path.to_owned(),
        line,
        message,
    };
    let text = fs::read(path).map_err(|error| problem(0, error.to_string()))?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_slice());
    let mut record = StringRecord::new();
    let mut header = true;
    loop {
        let line = first_line(&text, reader.position());
        let more = reader.read_record(&mut record);
        if !more.map_err(|error| problem(line, error.to_string()))? {
            break;
        }
        if header {
            if record != *columns {
                return Err(problem(
                    line,
                    format!("the header is not {}", columns.join(",")),
                ));
            }
            header = false;
            continue;
        }
        if record.len() != columns.len() {
            let message = format!("{} fields instead of {}", record.len(), columns.len());
            return Err(problem(line, message));
        }
        let row = Row {
            line,
            columns,
            record: &record,
        };
        take(&row).map_err(|message| problem(line, message))?;
    }
    if header {
        Err(problem(1, "the file is empty".to_owned()))
    } else {
        Ok(())
    }
}

/// The line that the next record begins on. The reader skips blank lines without saying so.
pub(crate) fn first_line(text: &[u8], at: &csv::Position) -> u64 {
    let rest = usize::try_from(at.byte())
        .ok()
        .and_then(|byte| text.get(byte..));
    let blank = rest
        .unwrap_or_default()
        .iter()
        .take_while(|byte| matches!(byte, b'\n' | b'\r'));
    at.line() + blank.map(|byte| u64::from(*byte == b'\n')).sum::<u64>()
}

#[cfg(test)]
mod tests;
