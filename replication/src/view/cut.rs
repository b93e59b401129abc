use ledger_domain::{HybridTime, ShardId};

/// The time up to which every shard of a scope is complete in one place, and who holds it back.
///
/// Whatever acts on another shard's entry has a later time than it, so what shards say as of a cut
/// never holds an effect without its cause. Two cuts are never neither before nor after each other:
/// a cut is one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Every time up to this one is over in every shard of the scope; `None` where nothing is known
    /// of one of them, or the scope has none.
    pub through: Option<HybridTime>,
    /// The shards that would have to go on for the cut to: those of which nothing is known, or else
    /// those that are complete up to this time and no later one. In their order.
    pub held_back_by: Vec<ShardId>,
}

impl Cut {
    /// The cut through shards that are complete up to these times, `None` of those of which nothing
    /// is known.
    pub fn through(shards: impl IntoIterator<Item = (ShardId, Option<HybridTime>)>) -> Self {
        let mut through = None;
        let mut held_back_by = Vec::new();
        for (shard, complete) in shards {
            if held_back_by.is_empty() || complete < through {
                (through, held_back_by) = (complete, vec![shard]);
            } else if complete == through {
                held_back_by.push(shard);
            }
        }
        held_back_by.sort_unstable();
        held_back_by.dedup();
        Self {
            through,
            held_back_by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_as_far_as_the_last_shard_and_names_it() {
        let at = |millis| Some(HybridTime::from_millis(millis));
        for (shards, through, held_back_by) in [
            (&[][..], None, &[][..]),
            (&[(7, at(5))], at(5), &[7]),
            (&[(1, at(5)), (2, at(3)), (3, at(9))], at(3), &[2]),
            (&[(3, at(3)), (2, at(5)), (1, at(3))], at(3), &[1, 3]),
            // A shard of which nothing is known comes before any that is only behind.
            (&[(1, at(3)), (2, None), (3, at(1))], None, &[2]),
            (&[(2, None), (1, None), (3, at(1))], None, &[1, 2]),
            (&[(1, at(0)), (2, None)], None, &[2]),
        ] {
            let given = shards.iter().map(|(id, time)| (ShardId(*id), *time));
            let expected = Cut {
                through,
                held_back_by: held_back_by.iter().map(|id| ShardId(*id)).collect(),
            };
            assert_eq!(Cut::through(given), expected, "{shards:?}");
        }
    }

    #[test]
    fn a_cut_never_goes_back_while_its_shards_go_on() {
        let mut complete = [4_u64, 2, 7, 2];
        let mut last = None;
        for step in 0..200_u64 {
            let place = usize::try_from(step * 7 % 4).unwrap();
            complete[place] += step % 3;
            let times = complete.map(HybridTime::from_millis).map(Some);
            let cut = Cut::through((0..).map(ShardId).zip(times));
            let least = complete.into_iter().min().map(HybridTime::from_millis);
            assert_eq!(cut.through, least);
            assert!(cut.through >= last, "{cut:?} after {last:?}");
            last = cut.through;
        }
    }
}
