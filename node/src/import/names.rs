//! What derives from names: ids of accounts and keys of commands.
//!
//! Nothing here may ever change: a second run of an import made years ago must arrive at the same
//! ids and keys.

use ledger_domain::{AccountId, RegionName};

/// The most characters of an import's name.
const LONGEST: usize = 40;

/// The scope of the accounts that mark imports.
const MARKERS: &str = "meridian.import";

/// The name of an import: 1 to 40 of `a-z`, `0-9`, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportName(String);

/// A text that names no import.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no import: 1 to {LONGEST} of a-z, 0-9, hyphen, underscore and dot")]
pub struct InvalidName(String);

impl std::str::FromStr for ImportName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let legal =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        if (1..=LONGEST).contains(&text.len()) && text.bytes().all(legal) && text != MARKERS {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.chars().take(LONGEST + 1).collect()))
        }
    }
}

impl std::fmt::Display for ImportName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl ImportName {
    /// The id of an account of the books.
    pub fn account(&self, home: RegionName, account: &str) -> String {
        AccountId::derive(home, &self.0, account).to_string()
    }

    /// The id of the account that marks the import's start, if that is in this region.
    pub fn marker(&self, region: RegionName) -> String {
        AccountId::derive(region, MARKERS, &self.0).to_string()
    }

    /// The key of the marker's opening.
    pub fn start_key(&self) -> String {
        format!("import/{}/start", self.0)
    }

    /// The key of an account's opening. Scoped to the account, so it need not name it.
    pub fn opening_key(&self) -> String {
        format!("import/{}/open", self.0)
    }

    /// The key of a transfer.
    pub fn transfer_key(&self, seq: u64) -> String {
        format!("import/{}/transfer/{seq}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["household-7", "a", "2026.q1_b"] {
            assert!(good.parse::<ImportName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "a b",
            "a/b",
            "é",
            "meridian.import",
            &"x".repeat(41),
        ] {
            assert!(bad.parse::<ImportName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_derives_differs_by_name_and_never_changes() {
        let name: ImportName = "household-7".parse().unwrap();
        let other: ImportName = "household-8".parse().unwrap();
        let home: RegionName = "eu-west".parse().unwrap();
        assert_ne!(name.account(home, "a"), other.account(home, "a"));
        assert_ne!(name.account(home, "household-7"), name.marker(home));
        assert_eq!(name.transfer_key(7), "import/household-7/transfer/7");
        assert_eq!(name.opening_key(), "import/household-7/open");
        assert_eq!(name.start_key(), "import/household-7/start");
    }
}
