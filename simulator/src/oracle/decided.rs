//! A journal is posted by all shards that have legs of it, or by none, and in the end it is one or the
//! other, as was told. Then what goes through the accounts between two books is the same in both, the
//! other way round.

use std::collections::BTreeMap;

use crate::history::End;

/// What the logs say of a journal between shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// The key of the command.
    pub key: String,
    /// The shard that opened it.
    pub opener: u32,
    /// Those that were asked.
    pub asked: Vec<u32>,
    /// How those have answered: whether they have set their legs aside.
    pub answers: BTreeMap<u32, bool>,
    /// How it ended in each shard: why it was cancelled, or none where it was posted.
    pub ends: BTreeMap<u32, Option<String>>,
}

impl Journal {
    /// The shards that have something left to do about it.
    #[must_use]
    pub fn open_in(&self) -> Vec<u32> {
        let refused = |shard: &u32| self.answers.get(shard) == Some(&false);
        let is_open = |shard: &u32| !self.ends.contains_key(shard) && !refused(shard);
        let all = std::iter::once(&self.opener).chain(&self.asked);
        all.copied().filter(is_open).collect()
    }
}

/// What two shards' books say of the account between them, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Between {
    /// The two.
    pub shards: (u32, u32),
    /// The currency.
    pub currency: String,
    /// What each has in its account with the other.
    pub balances: (i128, i128),
}

/// A journal that is not whole.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Some shard has it open, with nothing left that could end it.
    #[error("{0:?} never ended")]
    Open(Journal),
    /// It did not end in the same way everywhere.
    #[error("{0:?} ended in more than one way")]
    InPart(Journal),
    /// It was posted though a shard refused, or cancelled though none did.
    #[error("{0:?} did not end as the shards have answered")]
    AgainstAnswers(Journal),
    /// Somebody was told of an end that no log has.
    #[error("{told:?} was told, and the logs say {journal:?}")]
    ToldOtherwise {
        /// What was told.
        told: End,
        /// What is so.
        journal: Option<Journal>,
    },
    /// A home lists what is over.
    #[error("homes list open journals when all have ended: {0:?}")]
    Listed(Vec<String>),
    /// What one book has in the account between two, the other has not, the other way round.
    #[error("{0:?}: each must be the other's opposite")]
    Between(Between),
}

/// Checks a world at rest: what its logs say of journals between shards, what clients were told of
/// their ends, and the ids of those that homes list as open. Returns how many there were.
///
/// # Errors
///
/// The first that is not whole, or not as was told.
pub fn journals_are_whole(
    journals: &[Journal],
    told: &[End],
    listed: &[String],
) -> Result<usize, Violation> {
    for journal in journals {
        if !journal.open_in().is_empty() {
            return Err(Violation::Open(journal.clone()));
        }
        let end = journal.ends.get(&journal.opener);
        if journal.ends.values().any(|other| Some(other) != end) {
            return Err(Violation::InPart(journal.clone()));
        }
        let is_posted = end == Some(&None);
        let all_set_aside = journal
            .asked
            .iter()
            .all(|it| journal.answers.get(it) == Some(&true));
        if is_posted != all_set_aside {
            return Err(Violation::AgainstAnswers(journal.clone()));
        }
    }
    let known: BTreeMap<&str, &Journal> = journals.iter().map(|it| (&it.key[..], it)).collect();
    for told in told {
        let journal = known.get(told.key.as_str()).copied();
        let end = journal.and_then(|it| it.ends.get(&it.opener));
        if end != Some(&told.refused) {
            return Err(Violation::ToldOtherwise {
                told: told.clone(),
                journal: journal.cloned(),
            });
        }
    }
    match listed.is_empty() {
        true => Ok(journals.len()),
        false => Err(Violation::Listed(listed.to_vec())),
    }
}

/// Checks the accounts between books of a world at rest. Returns how many pairs there are.
///
/// # Errors
///
/// The first pair that is not each other's opposite.
pub fn books_clear(between: &[Between]) -> Result<usize, Violation> {
    let wrong = between.iter().find(|it| it.balances.0 + it.balances.1 != 0);
    match wrong {
        None => Ok(between.len()),
        Some(wrong) => Err(Violation::Between(wrong.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::Moment;

    /// Shard 1 opened it and asked 2 and 3, which have set aside; all have posted.
    fn posted() -> Journal {
        Journal {
            key: "payroll".to_owned(),
            opener: 1,
            asked: vec![2, 3],
            answers: [(2, true), (3, true)].into(),
            ends: [(1, None), (2, None), (3, None)].into(),
        }
    }

    /// The same, but shard 3 refused.
    fn cancelled() -> Journal {
        let why = Some("ACCOUNT_CLOSED".to_owned());
        Journal {
            answers: [(2, true), (3, false)].into(),
            ends: [(1, why.clone()), (2, why)].into(),
            ..posted()
        }
    }

    fn told(refused: Option<&str>) -> End {
        End {
            key: "payroll".to_owned(),
            told: Moment {
                order: 0,
                at: Duration::ZERO,
            },
            refused: refused.map(str::to_owned),
            balances: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_whole_and_as_was_told_passes() {
        let all = |journal, told: End| journals_are_whole(&[journal], &[told], &[]);
        assert_eq!(all(posted(), told(None)), Ok(1));
        assert_eq!(all(cancelled(), told(Some("ACCOUNT_CLOSED"))), Ok(1));
    }

    #[test]
    fn a_journal_that_is_open_or_ended_in_part_is_found() {
        let broken: [fn(&mut Journal); 5] = [
            |it| drop(it.ends.remove(&2)),
            |it| drop(it.ends.remove(&1)),
            |it| drop(it.ends.insert(2, Some("ACCOUNT_CLOSED".to_owned()))),
            |it| drop(it.ends.insert(3, None)),
            |it| it.answers.clear(),
        ];
        for journal in [posted(), cancelled()] {
            let mut found = 0;
            for change in broken {
                let mut journal = journal.clone();
                change(&mut journal);
                found += u32::from(journals_are_whole(&[journal], &[], &[]).is_err());
            }
            assert!(found >= 3, "{journal:?}");
        }
        let mut refused = posted();
        refused.answers.insert(3, false);
        let judged = journals_are_whole(&[refused], &[], &[]);
        assert!(matches!(judged, Err(Violation::AgainstAnswers(_))));
    }

    #[test]
    fn an_end_that_was_told_otherwise_is_found() {
        let all = |journal, told: End| journals_are_whole(&[journal], &[told], &[]);
        all(posted(), told(Some("ACCOUNT_CLOSED"))).unwrap_err();
        all(cancelled(), told(None)).unwrap_err();
        all(cancelled(), told(Some("INSUFFICIENT_FUNDS"))).unwrap_err();
        journals_are_whole(&[], &[told(None)], &[]).unwrap_err();
        journals_are_whole(&[posted()], &[], &["tx".to_owned()]).unwrap_err();
    }

    #[test]
    fn two_books_have_the_opposite_of_each_other() {
        let between = |balances| Between {
            shards: (1, 2),
            currency: "EUR".to_owned(),
            balances,
        };
        assert_eq!(books_clear(&[between((5, -5)), between((0, 0))]), Ok(2));
        books_clear(&[between((5, -5)), between((5, 0))]).unwrap_err();
        books_clear(&[between((5, 5))]).unwrap_err();
    }
}
