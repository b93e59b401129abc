//! Promise 1: money is conserved. Every book sums to zero per currency at every position; and
//! what one book has sent another, minus what the other has taken, is exactly the items under
//! way, one by one.

use std::collections::{BTreeMap, BTreeSet};

/// One change of one account's balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The account; house accounts are accounts.
    pub account: String,
    /// The currency of the account.
    pub currency: String,
    /// The change; positive is a credit.
    pub delta: i64,
}

/// What happened to a book at one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The position, for the report.
    pub position: String,
    /// All postings of the entry.
    pub postings: Vec<Posting>,
}

/// An item of a channel from one book to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Its number in the channel.
    pub number: u64,
    /// The currency.
    pub currency: String,
    /// How much.
    pub amount: i64,
}

/// How money was made or lost.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A book does not sum to zero after an entry.
    #[error("after {position} the book holds {sum} {currency} that came from nowhere")]
    BookOutOfBalance {
        /// Where.
        position: String,
        /// In which currency.
        currency: String,
        /// By how much.
        sum: i128,
    },
    /// An account's balance is not the sum of its postings.
    #[error("the balance of {account} is {balance}, its postings sum to {sum}")]
    BalanceWithoutPostings {
        /// Whose.
        account: String,
        /// As stored.
        balance: i64,
        /// As computed.
        sum: i128,
    },
    /// An item was sent twice, or taken twice.
    #[error("item {number} is in the channel's {list} list twice")]
    ItemTwice {
        /// Which.
        number: u64,
        /// Where.
        list: &'static str,
    },
    /// An item was taken that was never sent, or not so.
    #[error("item {0:?} was taken but never sent so")]
    TakenNotSent(Item),
    /// An item was sent, is not taken and not under way.
    #[error("item {0:?} was sent, not taken, and is not under way: lost")]
    Lost(Item),
    /// An item is under way that was taken already, or never sent.
    #[error("item {0:?} is under way, but was taken already or never sent: made up")]
    MadeUp(Item),
}

/// Checks that one book, in the order of its entries, sums to zero in each currency after each.
///
/// # Errors
///
/// The first entry after which it does not.
pub fn book_sums_to_zero(entries: &[Entry]) -> Result<(), Violation> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for entry in entries {
        for posting in &entry.postings {
            *sums.entry(&posting.currency).or_default() += i128::from(posting.delta);
        }
        if let Some((currency, sum)) = sums.iter().find(|(_, sum)| **sum != 0) {
            return Err(Violation::BookOutOfBalance {
                position: entry.position.clone(),
                currency: (*currency).to_owned(),
                sum: *sum,
            });
        }
    }
    Ok(())
}

/// Checks that the final balances of one book are the sums of its postings, no account more and
/// none less.
///
/// # Errors
///
/// The first account, by name, of which this is not so.
pub fn balances_follow_from_postings(
    entries: &[Entry],
    balances: &BTreeMap<String, i64>,
) -> Result<(), Violation> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for posting in entries.iter().flat_map(|entry| &entry.postings) {
        *sums.entry(&posting.account).or_default() += i128::from(posting.delta);
    }
    let accounts: BTreeSet<&str> = sums
        .keys()
        .copied()
        .chain(balances.keys().map(String::as_str))
        .collect();
    for account in accounts {
        let sum = sums.get(account).copied().unwrap_or_default();
        let balance = balances.get(account).copied().unwrap_or_default();
        if i128::from(balance) != sum {
            return Err(Violation::BalanceWithoutPostings {
                account: account.to_owned(),
                balance,
                sum,
            });
        }
    }
    Ok(())
}

/// Checks one channel at a consistent cut: what the source has sent, minus what the destination
/// has taken, is what the source says is under way.
///
/// # Errors
///
/// The first item of which this is not so.
pub fn channel_matches(sent: &[Item], taken: &[Item], under_way: &[Item]) -> Result<(), Violation> {
    let sent = numbered(sent, "sent")?;
    let taken = numbered(taken, "taken")?;
    let under_way = numbered(under_way, "under way")?;
    for (number, item) in &taken {
        if sent.get(number) != Some(item) {
            return Err(Violation::TakenNotSent((*item).clone()));
        }
    }
    for (number, item) in &sent {
        if !taken.contains_key(number) && under_way.get(number) != Some(item) {
            return Err(Violation::Lost((*item).clone()));
        }
    }
    for (number, item) in &under_way {
        if taken.contains_key(number) || sent.get(number) != Some(item) {
            return Err(Violation::MadeUp((*item).clone()));
        }
    }
    Ok(())
}

fn numbered<'a>(
    items: &'a [Item],
    list: &'static str,
) -> Result<BTreeMap<u64, &'a Item>, Violation> {
    let mut by_number = BTreeMap::new();
    for item in items {
        if by_number.insert(item.number, item).is_some() {
            return Err(Violation::ItemTwice {
                number: item.number,
                list,
            });
        }
    }
    Ok(by_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(position: &str, postings: &[(&str, &str, i64)]) -> Entry {
        let postings = postings
            .iter()
            .map(|(account, currency, delta)| Posting {
                account: (*account).to_owned(),
                currency: (*currency).to_owned(),
                delta: *delta,
            })
            .collect();
        Entry {
            position: position.to_owned(),
            postings,
        }
    }

    fn item(number: u64, amount: i64) -> Item {
        Item {
            number,
            currency: "EUR".to_owned(),
            amount,
        }
    }

    fn good_book() -> Vec<Entry> {
        vec![
            entry("1", &[("cash", "EUR", -50), ("alice", "EUR", 50)]),
            entry("2", &[("alice", "EUR", -20), ("bob", "EUR", 20)]),
        ]
    }

    #[test]
    fn a_balanced_book_passes() {
        book_sums_to_zero(&good_book()).unwrap();
        let balances = [("cash", -50), ("alice", 30), ("bob", 20)]
            .map(|(account, balance)| (account.to_owned(), balance))
            .into();
        balances_follow_from_postings(&good_book(), &balances).unwrap();
    }

    #[test]
    fn money_from_nowhere_is_found_where_it_appears() {
        let mut book = good_book();
        book.push(entry("3", &[("alice", "EUR", 1)]));
        book.push(entry("4", &[("alice", "EUR", -1)]));
        let violation = book_sums_to_zero(&book).unwrap_err();
        assert!(
            matches!(violation, Violation::BookOutOfBalance { position, sum: 1, .. } if position == "3")
        );
    }

    #[test]
    fn currencies_do_not_make_up_for_each_other() {
        let book = [entry("1", &[("cash", "EUR", -5), ("alice", "USD", 5)])];
        book_sums_to_zero(&book).unwrap_err();
    }

    #[test]
    fn a_balance_without_postings_is_found() {
        let mut balances: BTreeMap<String, i64> = [
            ("cash".to_owned(), -50),
            ("alice".to_owned(), 30),
            ("bob".to_owned(), 20),
        ]
        .into();
        balances.insert("mallory".to_owned(), 1);
        let violation = balances_follow_from_postings(&good_book(), &balances).unwrap_err();
        assert!(
            matches!(violation, Violation::BalanceWithoutPostings { account, .. } if account == "mallory")
        );

        balances.remove("mallory");
        balances.remove("bob");
        balances_follow_from_postings(&good_book(), &balances).unwrap_err();
    }

    /// What was taken, what is under way, and the verdict.
    type Case<'a> = (&'a [Item], &'a [Item], Result<(), Violation>);

    #[test]
    fn channels_are_matched_item_by_item() {
        let sent = [item(1, 10), item(2, 20), item(3, 30)];
        let cases: [Case; 7] = [
            (&[item(1, 10)], &[item(2, 20), item(3, 30)], Ok(())),
            (&sent, &[], Ok(())),
            (
                &[item(1, 10)],
                &[item(2, 20)],
                Err(Violation::Lost(item(3, 30))),
            ),
            (
                &[item(1, 11)],
                &[item(2, 20), item(3, 30)],
                Err(Violation::TakenNotSent(item(1, 11))),
            ),
            (&sent, &[item(3, 30)], Err(Violation::MadeUp(item(3, 30)))),
            (&sent, &[item(4, 1)], Err(Violation::MadeUp(item(4, 1)))),
            (
                &[item(1, 10), item(1, 10)],
                &[item(2, 20), item(3, 30)],
                Err(Violation::ItemTwice {
                    number: 1,
                    list: "taken",
                }),
            ),
        ];
        for (taken, under_way, expected) in cases {
            assert_eq!(channel_matches(&sent, taken, under_way), expected);
        }
    }
}
