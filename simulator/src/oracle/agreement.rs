//! Everybody who holds a shard's history holds the same one: of two logs, at home or copied, one
//! is the beginning of the other. Promises 1 to 5 are about that one history.
//!
//! Only at rest: a leader that was cut off may hold a tail that the others have overruled, until
//! it is back and hears of it.

use bytes::Bytes;

/// What one node holds of a shard's history: its records as stored, from the first on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Which node.
    pub holder: String,
    /// The records.
    pub records: Vec<Bytes>,
}

/// Two nodes hold different histories.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{one} and {other} hold different records at index {index}")]
pub struct Violation {
    /// One node.
    pub one: String,
    /// Another.
    pub other: String,
    /// Where they part.
    pub index: usize,
}

/// Compares every holding with the longest.
///
/// # Errors
///
/// The first place where two holdings part.
pub fn one_history(holdings: &[Holding]) -> Result<(), Violation> {
    let Some(longest) = holdings.iter().max_by_key(|holding| holding.records.len()) else {
        return Ok(());
    };
    for holding in holdings {
        let mut pairs = holding.records.iter().zip(&longest.records);
        if let Some(index) = pairs.position(|(one, other)| one != other) {
            return Err(Violation {
                one: holding.holder.clone(),
                other: longest.holder.clone(),
                index,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(holder: &str, records: &[&'static str]) -> Holding {
        Holding {
            holder: holder.to_owned(),
            records: records.iter().map(|record| Bytes::from(*record)).collect(),
        }
    }

    #[test]
    fn whoever_is_behind_agrees_as_far_as_it_goes() {
        let holdings = [
            holding("a", &["0", "1"]),
            holding("b", &["0", "1", "2"]),
            holding("c", &[]),
        ];
        one_history(&holdings).unwrap();
        one_history(&[]).unwrap();
    }

    #[test]
    fn a_fork_is_named_where_it_begins() {
        let holdings = [
            holding("a", &["0", "1", "2"]),
            holding("b", &["0", "x"]),
            holding("c", &["0", "1"]),
        ];
        let violation = one_history(&holdings).unwrap_err();
        assert_eq!((violation.one.as_str(), violation.index), ("b", 1));
    }
}
