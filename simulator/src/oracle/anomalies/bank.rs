//! Money neither comes nor goes while it is only moved about: at every time, what customers have and
//! what is on its way between them is what was paid in; and what they are told one by one as of that
//! time is what the books have.

use crate::history::{Books, Cut};

/// Money that came or went.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The books do not have what was paid in.
    #[error("{total} was paid in, and the books have {books:?} in {cut:?}")]
    Total {
        /// What was paid in.
        total: i64,
        /// What is in the books.
        books: Books,
        /// What was told.
        cut: Cut,
    },
    /// The accounts do not have what the books say that they have.
    #[error("the accounts have {sum}, and the books have {books:?} in {cut:?}")]
    Accounts {
        /// What the accounts have.
        sum: i64,
        /// What is in the books.
        books: Books,
        /// What was told.
        cut: Cut,
    },
}

/// Checks every cut that was compared with the books, of a bank with so many accounts into which so
/// much was paid before. Returns how many there were.
///
/// # Errors
///
/// The first in which money came or went.
pub fn money_stays(cuts: &[Cut], accounts: usize, total: i64) -> Result<usize, Violation> {
    let mut checked = 0;
    for cut in cuts {
        let Some(books) = cut.books else { continue };
        if books.customers.checked_add(books.elsewhere) != Some(total) {
            let cut = cut.clone();
            return Err(Violation::Total { total, books, cut });
        }
        let sum = cut.balances.values().sum();
        if cut.balances.len() == accounts && sum != books.customers {
            let cut = cut.clone();
            return Err(Violation::Accounts { sum, books, cut });
        }
        checked += 1;
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::cut, *};
    use crate::history::When;

    #[test]
    fn money_stays_as_a_table() {
        let told = |balances: &[(&str, i64)], customers, elsewhere| Cut {
            books: Some(Books {
                customers,
                elsewhere,
            }),
            ..cut(When::At(5), (1, 2), balances)
        };
        let table = [
            (told(&[("alice", 60), ("bob", 40)], 100, 0), true),
            // On its way.
            (told(&[("alice", 60), ("bob", 30)], 90, 10), true),
            // Not all were told.
            (told(&[("alice", 60)], 90, 10), true),
            // Gone, or twice.
            (told(&[("alice", 60), ("bob", 30)], 90, 0), false),
            (told(&[("alice", 60), ("bob", 40)], 100, 10), false),
            // Not of one time.
            (told(&[("alice", 60), ("bob", 40)], 90, 10), false),
        ];
        for (cut, is_so) in table {
            let judged = money_stays(std::slice::from_ref(&cut), 2, 100);
            assert_eq!(judged.is_ok(), is_so, "{cut:?}");
        }
    }
}
