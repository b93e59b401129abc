//! Strong means linearizable, by version order: the log has put all that happened in a shard into
//! one order, and that order is also one that real time allows. What was over before something
//! else began stands before it.
//!
//! That every answer is what it must be in this order is the [`model`](super::model)'s to say, and
//! [`views`](super::views)' for strong reads. Together they decide histories of any length, since
//! the order is known and nothing is searched for; [`linearizable`](super::linearizable) looks for
//! any order at all, knowing nothing of the log, and so cannot be misled by it.

use std::collections::BTreeMap;

/// Something that a client asked of a shard, and where the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Names it in reports.
    pub id: usize,
    /// In which shard.
    pub shard: u32,
    /// At which index it stands; of a read, the last that it saw.
    pub index: u64,
    /// Whether it only looked.
    pub is_read: bool,
    /// When it began, on a scale that all share.
    pub invoked: u64,
    /// When its client knew the outcome. None if it never did.
    pub completed: Option<u64>,
}

impl Placed {
    /// Reads come after the entry that they saw, and before the next.
    fn place(&self) -> (u64, bool) {
        (self.index, self.is_read)
    }
}

/// What was over stands after what had not begun.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{later:?} began when {earlier:?} was over, and does not come after it in the log")]
pub struct Violation {
    /// What was over.
    pub earlier: Placed,
    /// What began then.
    pub later: Placed,
}

/// Checks every two requests of a shard.
///
/// # Errors
///
/// The first request that stands before one that was over when it began.
pub fn log_keeps_real_time(requests: &[Placed]) -> Result<(), Violation> {
    let begun = requests.iter().map(|request| (request.invoked, request));
    let ended = requests
        .iter()
        .filter_map(|request| Some((request.completed?, request)));
    let mut moments: Vec<(u64, bool, &Placed)> = begun
        .map(|(at, request)| (at, false, request))
        .chain(ended.map(|(at, request)| (at, true, request)))
        .collect();
    moments.sort_by_key(|(at, is_end, request)| (*at, *is_end, request.id));
    // Of all that is over, the one that stands last: whoever comes after it comes after all.
    let mut over: BTreeMap<u32, &Placed> = BTreeMap::new();
    for (_, is_end, request) in moments {
        let last = over.get(&request.shard).copied();
        if is_end {
            if last.is_none_or(|last| last.place() < request.place()) {
                over.insert(request.shard, request);
            }
            continue;
        }
        let Some(last) = last else { continue };
        // Two reads may see the same; two writes never share a place when one was over.
        let is_after = match last.is_read && request.is_read {
            true => last.place() <= request.place(),
            false => last.place() < request.place(),
        };
        if !is_after {
            return Err(Violation {
                earlier: *last,
                later: *request,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(index: u64, is_read: bool, time: (u64, Option<u64>)) -> Placed {
        Placed {
            id: 0,
            shard: 1,
            index,
            is_read,
            invoked: time.0,
            completed: time.1,
        }
    }

    #[test]
    fn the_order_of_the_log_is_one_that_real_time_allows_as_a_table() {
        let (write, read) = (false, true);
        // What was over at 2, what began then or before, and whether that may be.
        let table = [
            ((5, write), (6, write, 3), true),
            ((5, write), (5, write, 3), false),
            ((5, write), (4, write, 3), false),
            ((5, write), (4, write, 1), true),
            ((5, write), (5, read, 3), true),
            ((5, write), (4, read, 3), false),
            ((5, read), (5, read, 3), true),
            ((5, read), (4, read, 3), false),
            ((5, read), (6, write, 3), true),
            ((5, read), (5, write, 3), false),
        ];
        for ((index, is_read), (other, looks, invoked), may_be) in table {
            let first = placed(index, is_read, (0, Some(2)));
            // Whether it was answered itself is nothing to it.
            for completed in [None, Some(9)] {
                let second = placed(other, looks, (invoked, completed));
                let judged = log_keeps_real_time(&[second, first]);
                assert_eq!(judged.is_ok(), may_be, "{first:?} {second:?}");
            }
        }
    }

    #[test]
    fn shards_have_no_order_among_them() {
        let first = placed(5, false, (0, Some(2)));
        let elsewhere = Placed {
            shard: 2,
            ..placed(4, false, (3, None))
        };
        log_keeps_real_time(&[first, elsewhere]).unwrap();
    }

    #[test]
    fn what_was_never_answered_binds_nobody() {
        let open = placed(9, false, (0, None));
        log_keeps_real_time(&[open, placed(4, false, (3, None))]).unwrap();
    }
}
