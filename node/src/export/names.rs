//! How accounts are called in a journal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ledger_domain::{AccountId, RegionName};

use super::journal::Format;

/// Under which the names lie that are made here.
const OWN: &str = "Equity:Meridian";

/// Why names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidNames {
    /// The file cannot be read.
    #[error("{file}: {cause}")]
    File {
        /// Which.
        file: PathBuf,
        /// Why not.
        cause: csv::Error,
    },
    /// A row names no account, or one that is named before.
    #[error("{file}:{line}: {why}")]
    Row {
        /// Which file.
        file: PathBuf,
        /// Its line.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// Two accounts would become one.
    #[error("two accounts are called `{0}`")]
    Twice(String),
}

/// Names that a caller gives to accounts.
#[derive(Debug, Clone, Default)]
pub struct Names(BTreeMap<AccountId, String>);

#[derive(serde::Deserialize)]
struct Row {
    id: String,
    name: String,
}

impl Names {
    /// Reads a CSV file with the columns `id` and `name`; others are passed over.
    pub fn read(path: &Path) -> Result<Self, InvalidNames> {
        let file = || path.to_owned();
        let failed = |cause| InvalidNames::File {
            file: file(),
            cause,
        };
        let mut reader = csv::Reader::from_path(path).map_err(failed)?;
        let headers = reader.headers().map_err(failed)?.clone();
        let mut names = BTreeMap::new();
        for record in reader.records() {
            let record = record.map_err(failed)?;
            let line = record.position().map_or(0, csv::Position::line);
            let row: Row = record.deserialize(Some(&headers)).map_err(failed)?;
            let wrong = |why: String| InvalidNames::Row {
                file: file(),
                line,
                why,
            };
            let id: AccountId = row.id.parse().map_err(|error| wrong(format!("{error}")))?;
            if names.insert(id, row.name).is_some() {
                return Err(wrong(format!("{id} has a name already")));
            }
        }
        Ok(Self(names))
    }

    /// From pairs of account and name.
    pub fn new(names: impl IntoIterator<Item = (AccountId, String)>) -> Self {
        Self(names.into_iter().collect())
    }

    pub(super) fn calling(&self, format: Format) -> Calling<'_> {
        Calling {
            names: self,
            format,
            called: BTreeMap::new(),
        }
    }
}

/// Calls accounts, each by a name of its own.
pub(super) struct Calling<'a> {
    names: &'a Names,
    format: Format,
    called: BTreeMap<String, AccountId>,
}

impl Calling<'_> {
    /// What a customer's account is called.
    pub(super) fn customer(&mut self, id: AccountId) -> Result<String, InvalidNames> {
        let given = self.names.0.get(&id);
        let name = given.filter(|name| is_legal(name, self.format)).cloned();
        let name = name.unwrap_or_else(|| {
            let text = id.to_string();
            let (region, body) = text.split_once('.').unwrap_or(("", &text));
            // Case does not matter when an id is read, but a name's parts begin in upper case.
            format!("{OWN}:{}:{}", capital(region), body.to_uppercase())
        });
        match self.called.insert(name.clone(), id) {
            Some(other) if other != id => Err(InvalidNames::Twice(name)),
            _ => Ok(name),
        }
    }

    /// What one of the bank's own accounts is called.
    pub(super) fn house(&self, region: Option<&RegionName>, code: &str) -> String {
        let region = region.map_or("Unknown", RegionName::as_str);
        let (code, peer) = code.split_once(':').unwrap_or((code, ""));
        let words: Vec<_> = code
            .split('-')
            .map(capital)
            .chain([peer.to_owned()])
            .collect();
        let code = words.join("-");
        format!(
            "{OWN}:{}:House:{}",
            capital(region),
            code.trim_end_matches('-')
        )
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Can a journal of this format have an account of this name? What this program calls by itself is
/// nobody else's.
fn is_legal(name: &str, format: Format) -> bool {
    let mut parts = name.split(':');
    let own = name == OWN || name.starts_with("Equity:Meridian:");
    let legal = match format {
        Format::Beancount => {
            let root = matches!(
                parts.next(),
                Some("Assets" | "Liabilities" | "Equity" | "Income" | "Expenses")
            );
            root && name.contains(':') && parts.all(is_beancount_part)
        }
        Format::Hledger => parts.all(is_hledger_part),
    };
    legal && !own
}

/// Beancount: an upper-case letter or a digit, then letters, digits and hyphens.
fn is_beancount_part(part: &str) -> bool {
    let mut letters = part.chars();
    let first = letters.next();
    first.is_some_and(|c| c.is_uppercase() || c.is_ascii_digit())
        && letters.all(|c| c.is_alphanumeric() || c == '-')
}

/// hledger: nearly anything, but two spaces end a name, and some signs mean something. Fewer are
/// taken than hledger would.
fn is_hledger_part(part: &str) -> bool {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | ',' | '\'' | '&');
    part.starts_with(char::is_alphanumeric)
        && part.chars().all(plain)
        && !part.ends_with(' ')
        && !part.contains("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> AccountId {
        AccountId::derive("eu-west".parse().unwrap(), "test", name)
    }

    #[test]
    fn a_legal_name_is_kept_and_another_is_replaced() {
        for (name, beancount, hledger) in [
            ("Assets:US:Checking", true, true),
            ("Equity:Opening-Balances", true, true),
            ("Assets:2026-Fund", true, true),
            ("assets:cash", false, true),
            ("Assets", false, true),
            ("Assets:petty cash", false, true),
            ("Assets:Two  Spaces", false, false),
            ("Assets:", false, false),
            ("Assets:(virtual)", false, false),
            ("Assets:Line\nbreak", false, false),
            ("", false, false),
            ("Equity:Meridian:Eu-west:House:Cash", false, false),
        ] {
            assert_eq!(is_legal(name, Format::Beancount), beancount, "{name}");
            assert_eq!(is_legal(name, Format::Hledger), hledger, "{name}");
            let names = Names::new([(id("a"), name.to_owned())]);
            let called = names.calling(Format::Beancount).customer(id("a")).unwrap();
            assert_eq!(called == name, beancount, "{name} is called {called}");
            assert!(called == name || called.starts_with("Equity:Meridian:Eu-west:"));
            assert!(called == name || called.split(':').skip(1).all(is_beancount_part));
        }
    }

    #[test]
    fn the_banks_own_accounts_are_called_by_their_codes() {
        let names = Names::default();
        let calling = names.calling(Format::Beancount);
        let region = "eu-west".parse().unwrap();
        for (code, name) in [
            ("cash", "Equity:Meridian:Eu-west:House:Cash"),
            ("in-transit:7", "Equity:Meridian:Eu-west:House:In-Transit-7"),
        ] {
            assert_eq!(calling.house(Some(&region), code), name);
        }
    }

    #[test]
    fn two_accounts_do_not_become_one() {
        let both = ["a", "b"].map(|name| (id(name), "Assets:Cash".to_owned()));
        let names = Names::new(both);
        let mut calling = names.calling(Format::Hledger);
        calling.customer(id("a")).unwrap();
        calling.customer(id("a")).unwrap();
        assert!(matches!(
            calling.customer(id("b")),
            Err(InvalidNames::Twice(_))
        ));
    }
}
