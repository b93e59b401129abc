//! Lists of journals, page by page.

use ledger_domain::{JournalRef, ShardId};
use tonic::Status;

use crate::server::refusal;

/// A page has no further journal once its journals have so many legs: what it says of one takes some
/// hundred bytes a leg, and a reply has four megabytes at most.
pub(super) const PAGE_LEGS: usize = 8_192;

/// The first of a list: at most so many, and no more after [`PAGE_LEGS`]; and whether there are others.
pub(super) fn first_page<T>(
    all: impl Iterator<Item = T>,
    limit: usize,
    legs: impl Fn(&T) -> usize,
) -> (Vec<T>, bool) {
    let (mut page, mut taken) = (Vec::new(), 0);
    for journal in all {
        if page.len() >= limit || taken >= PAGE_LEGS {
            return (page, true);
        }
        taken += legs(&journal);
        page.push(journal);
    }
    (page, false)
}

/// Where a journal stands in a list of several shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    pub(super) shard: ShardId,
    pub(super) journal: JournalRef,
}

impl Cursor {
    /// Before the first journal of a shard: none has the number 0.
    pub(super) fn before(shard: ShardId) -> Self {
        let journal = JournalRef {
            coordinator: ShardId(0),
            number: 0,
        };
        Self { shard, journal }
    }

    /// `None` of the empty token: before all.
    pub(super) fn parse(token: &str) -> Result<Option<Self>, Status> {
        if token.is_empty() {
            return Ok(None);
        }
        let mut parts = token.split('-').map(str::parse::<u64>);
        let mut part = || parts.next().and_then(Result::ok);
        let read = (part(), part(), part(), part());
        let small = |number| u32::try_from(number).ok().map(ShardId);
        match read {
            (Some(shard), Some(coordinator), Some(number), None) => {
                let both = small(shard).zip(small(coordinator));
                both.map(|(shard, coordinator)| {
                    let journal = JournalRef {
                        coordinator,
                        number,
                    };
                    Some(Self { shard, journal })
                })
            }
            _ => None,
        }
        .ok_or_else(|| refusal::invalid("not a page token"))
    }

    pub(super) fn token(&self) -> String {
        let Self { shard, journal } = self;
        format!("{shard}-{}-{}", journal.coordinator, journal.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_full_of_journals_or_of_legs() {
        let all = |count: usize| std::iter::repeat_n(64, count);
        let page = |count, limit| {
            let (page, more) = first_page(all(count), limit, |legs| *legs);
            (page.len(), more)
        };
        assert_eq!(page(5, 5), (5, false));
        assert_eq!(page(6, 5), (5, true));
        assert_eq!(page(128, 1_000), (128, false));
        assert_eq!(page(129, 1_000), (128, true));
        assert_eq!(page(0, 1), (0, false));
    }
}
