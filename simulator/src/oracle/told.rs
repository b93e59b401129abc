//! Who reads events is told each once, in the order of its shard's log, none left out: whatever became of
//! the nodes that told, and however often it went on elsewhere. By time, if it asks for that.

use std::collections::BTreeMap;

/// An event, as its place names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whose.
    pub shard: u32,
    /// The entry it stands in.
    pub index: u64,
    /// The entry's time; greater is later.
    pub time: u128,
    /// The transaction.
    pub transaction: String,
    /// Its place in the transaction.
    pub place: u32,
}

/// What somebody was told who read a region from the beginning, over all nodes that told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// Who.
    pub reader: String,
    /// Whether it asked for all shards by time.
    pub by_time: bool,
    /// The events, as they came.
    pub told: Vec<Told>,
    /// Up to which index each shard was told, as the last reply says.
    pub through: BTreeMap<u32, u64>,
}

/// A stream that is not what was recorded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Another event was due.
    #[error(
        "{reader} was told {told:?} as number {number} of its shard, where the log has {logged:?}"
    )]
    Other {
        /// Who.
        reader: String,
        /// From 0.
        number: usize,
        /// What it was told.
        told: Option<Told>,
        /// What was due.
        logged: Option<Told>,
    },
    /// An earlier event came later.
    #[error("{reader} was told {later:?} before {earlier:?}")]
    NotByTime {
        /// Who.
        reader: String,
        /// What came first.
        later: Told,
        /// What came next.
        earlier: Told,
    },
}

/// Compares every stream with the logs of its shards. Returns how many events were told.
///
/// # Errors
///
/// The first that was told too often, too late or not at all.
pub fn each_once_in_order(
    streams: &[Stream],
    logged: &BTreeMap<u32, Vec<Told>>,
) -> Result<usize, Violation> {
    let mut checked = 0;
    for stream in streams {
        for (shard, through) in &stream.through {
            let told = stream.told.iter().filter(|event| event.shard == *shard);
            let logged = logged.get(shard).into_iter().flatten();
            let mut logged = logged.filter(|event| event.index <= *through);
            let mut told = told.enumerate();
            loop {
                let (number, told) = told.next().unzip();
                let due = logged.next();
                if told != due {
                    return Err(Violation::Other {
                        reader: stream.reader.clone(),
                        number: number.unwrap_or_default(),
                        told: told.cloned(),
                        logged: due.cloned(),
                    });
                }
                if told.is_none() {
                    break;
                }
                checked += 1;
            }
        }
        let mut pairs = stream.told.windows(2).filter(|_| stream.by_time);
        if let Some([later, earlier]) = pairs.find(|pair| pair[0].time > pair[1].time) {
            return Err(Violation::NotByTime {
                reader: stream.reader.clone(),
                later: later.clone(),
                earlier: earlier.clone(),
            });
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(shard: u32, index: u64) -> Told {
        Told {
            shard,
            index,
            time: u128::from(index) * 10 + u128::from(shard),
            transaction: format!("{shard}-{index}"),
            place: 1,
        }
    }

    fn stream(told: &[(u32, u64)]) -> Stream {
        Stream {
            reader: "r".to_owned(),
            by_time: false,
            told: told
                .iter()
                .map(|(shard, index)| event(*shard, *index))
                .collect(),
            through: BTreeMap::from([(1, 6), (2, 6)]),
        }
    }

    fn judged(stream: Stream) -> Result<usize, Violation> {
        let of = |shard| [2, 4, 6, 8].map(|index| event(shard, index)).to_vec();
        let logged = BTreeMap::from([(1, of(1)), (2, of(2))]);
        each_once_in_order(&[stream], &logged)
    }

    #[test]
    fn each_shard_is_compared_and_only_who_asks_for_it_by_time() {
        let all = [(1, 2), (1, 4), (2, 2), (2, 4), (1, 6), (2, 6)];
        assert_eq!(judged(stream(&all)), Ok(6));
        let by_time = |told: &[(u32, u64)]| Stream {
            by_time: true,
            ..stream(told)
        };
        assert!(matches!(
            judged(by_time(&all)),
            Err(Violation::NotByTime { .. })
        ));
        let cut = [(1, 2), (2, 2), (1, 4), (2, 4), (1, 6), (2, 6)];
        assert_eq!(judged(by_time(&cut)), Ok(6));
    }

    #[test]
    fn what_is_missing_or_comes_twice_or_too_early_is_found() {
        for wrong in [
            &[(1, 2), (1, 4), (2, 2), (2, 4), (1, 6)][..],
            &[(1, 2), (1, 6), (2, 2), (2, 4), (2, 6)],
            &[(1, 2), (1, 2), (1, 4), (1, 6), (2, 2), (2, 4), (2, 6)],
            &[(1, 4), (1, 2), (1, 6), (2, 2), (2, 4), (2, 6)],
            &[(1, 2), (1, 4), (1, 6), (1, 8), (2, 2), (2, 4), (2, 6)],
        ] {
            assert!(
                matches!(judged(stream(wrong)), Err(Violation::Other { .. })),
                "{wrong:?}"
            );
        }
    }
}
