//! One writer per epoch and reign. Who leads a shard writes its log alone for as long as the reign
//! lasts, begins it with an entry of no meaning, and ties every entry that counts to the one
//! before: no two entries that count follow the same one, and none follows nothing. It decides
//! nothing before it knows all that was written before its reign, so that nothing of it is void
//! without need.
//!
//! Which entries count is worked out here from the stored bytes alone, and must be what the ledger
//! takes to count.

use std::collections::BTreeMap;

/// A link of the chain that the writers of a shard make.
pub type Link = [u8; 32];

/// One index of a shard's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its place.
    pub index: u64,
    /// Which reign of the shard's home.
    pub epoch: u64,
    /// Which reign of a leader in it.
    pub term: u64,
    /// The leader.
    pub node: u64,
    /// What it carries, if it carries what a writer has decided.
    pub entry: Option<Entry>,
}

/// What a writer has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The reign that it was decided in.
    pub epoch: u64,
    /// Its time: nanoseconds, and a count within one.
    pub time: (u64, u32),
    /// The link that it follows.
    pub follows: Link,
    /// The link that it makes.
    pub link: Link,
    /// Whether the ledger takes it to count.
    pub counts: bool,
}

/// Two writers, or one that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Two nodes have written in one reign.
    #[error("{0:?} was not written by the reign's leader, node {1}")]
    TwoLeaders(Written, u64),
    /// A reign that had ended went on.
    #[error("{0:?} comes after a later reign")]
    ReignReturned(Written),
    /// A writer that did not wait until its reign had begun.
    #[error("{0:?} is the first of its reign")]
    WroteBeforeItsReign(Written),
    /// A writer that decided before it knew how the log stood when its reign began: the index, of
    /// before, follows the same entry.
    #[error("{0:?} was decided without index {1}, of an earlier reign")]
    DecidedBeforeItsReign(Written, u64),
    /// The ledger takes something to count that does not, or the reverse.
    #[error("{0:?} must count: {1}")]
    CountsOtherwise(Written, bool),
    /// Two entries that count follow the same one.
    #[error("{0:?} and what stands at index {1} follow the same entry")]
    Forked(Written, u64),
}

/// Checks the log of one shard, whose chain begins at `genesis` and whose reign is `epoch`.
/// Returns how many entries count.
///
/// # Errors
///
/// The first index that one writer would not have written.
pub fn one_writer(log: &[Written], genesis: Link, epoch: u64) -> Result<usize, Violation> {
    let mut leaders: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut reign = (0, 0);
    let mut began = 0;
    let (mut head, mut time) = (genesis, (0, 0));
    let mut followed: BTreeMap<Link, u64> = BTreeMap::new();
    for written in log {
        let own = (written.epoch, written.term);
        if own < reign {
            return Err(Violation::ReignReturned(written.clone()));
        }
        let is_first = own > reign;
        if is_first {
            (reign, began) = (own, written.index);
        }
        let leader = *leaders.entry(own).or_insert(written.node);
        if leader != written.node {
            return Err(Violation::TwoLeaders(written.clone(), leader));
        }
        let Some(entry) = &written.entry else {
            continue;
        };
        if is_first {
            return Err(Violation::WroteBeforeItsReign(written.clone()));
        }
        if let Some(other) = followed.get(&entry.follows).filter(|at| **at < began) {
            return Err(Violation::DecidedBeforeItsReign(written.clone(), *other));
        }
        let counts = entry.epoch == epoch && entry.follows == head && entry.time > time;
        if counts != entry.counts {
            return Err(Violation::CountsOtherwise(written.clone(), counts));
        }
        if !counts {
            continue;
        }
        if let Some(other) = followed.insert(entry.follows, written.index) {
            return Err(Violation::Forked(written.clone(), other));
        }
        (head, time) = (entry.link, entry.time);
    }
    Ok(followed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u8) -> Link {
        [number; 32]
    }

    fn blank(index: u64, term: u64, node: u64) -> Written {
        Written {
            index,
            epoch: 1,
            term,
            node,
            entry: None,
        }
    }

    /// An entry that makes the link of its index.
    fn entry(index: u64, term: u64, node: u64, follows: u8) -> Written {
        let own = u8::try_from(index).unwrap();
        Written {
            entry: Some(Entry {
                epoch: 1,
                time: (index, 0),
                follows: link(follows),
                link: link(own),
                counts: true,
            }),
            ..blank(index, term, node)
        }
    }

    fn with(mut written: Written, change: impl FnOnce(&mut Entry)) -> Written {
        change(written.entry.as_mut().unwrap());
        written
    }

    fn good() -> Vec<Written> {
        vec![
            blank(1, 1, 7),
            entry(2, 1, 7, 0),
            entry(3, 1, 7, 2),
            blank(4, 3, 8),
            // Follows what was refused.
            with(entry(5, 3, 8, 99), |entry| entry.counts = false),
            entry(6, 3, 8, 3),
        ]
    }

    #[test]
    fn reigns_that_follow_each_other_pass() {
        assert_eq!(one_writer(&good(), link(0), 1), Ok(3));
        assert_eq!(one_writer(&[], link(0), 1), Ok(0));
    }

    #[test]
    fn a_second_writer_is_found_as_a_table() {
        let late = with(entry(6, 3, 8, 3), |entry| entry.time = (3, 0));
        let abroad = with(entry(6, 3, 8, 3), |entry| entry.epoch = 2);
        let table = [
            ("another node in the same reign", 2, entry(3, 1, 9, 2)),
            ("a reign that returns", 5, entry(6, 1, 7, 3)),
            ("an entry before the reign's blank", 3, entry(4, 3, 8, 3)),
            ("an entry that follows another", 5, entry(6, 3, 8, 2)),
            ("an entry that follows nothing", 5, entry(6, 3, 8, 99)),
            ("a time that does not rise", 5, late),
            ("another epoch's", 5, abroad),
        ];
        for (what, place, lie) in table {
            let mut log = good();
            log[place] = lie;
            assert!(one_writer(&log, link(0), 1).is_err(), "{what}");
        }
        let mut log = good();
        log[4] = entry(5, 3, 8, 99);
        let violation = one_writer(&log, link(0), 1);
        assert!(matches!(
            violation,
            Err(Violation::CountsOtherwise(_, false))
        ));
    }

    #[test]
    fn a_writer_that_did_not_wait_for_its_reign_is_found_though_it_did_no_harm() {
        let mut log = good();
        log[4] = with(entry(5, 3, 8, 2), |entry| entry.counts = false);
        let violation = one_writer(&log, link(0), 1);
        let early = Violation::DecidedBeforeItsReign(log[4].clone(), 3);
        assert_eq!(violation, Err(early));
    }

    #[test]
    fn a_chain_that_bites_its_tail_is_a_fork() {
        let mut log = good();
        log[5] = with(entry(6, 3, 8, 3), |entry| entry.link = link(3));
        log.push(entry(7, 3, 8, 3));
        let violation = one_writer(&log, link(0), 1);
        assert!(matches!(violation, Err(Violation::Forked(_, 6))));
    }
}
