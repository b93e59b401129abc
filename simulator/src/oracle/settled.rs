//! A transfer settles or returns within a bound once nothing goes wrong any more, and then no
//! money is under way: what a shard calls in transit is nothing, and what one owes another is what
//! the other takes to be owed.

use std::time::Duration;

/// The bound, from when the last fault ends. Whoever has been away catches up first, and whoever
/// was asked to wait by a peer that was away asks again seconds later.
pub const WITHIN: Duration = Duration::from_secs(60);

/// What two shards' books say about transfers from one to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Who pays.
    pub source: u32,
    /// Who is paid.
    pub destination: u32,
    /// What the source calls in transit to the destination.
    pub in_transit: i128,
    /// What the source calls due to the destination.
    pub due_to: i128,
    /// What the destination calls due from the source: less than nothing, as it was paid out.
    pub due_from: i128,
    /// How many transfers were sent.
    pub sent: u64,
    /// How many of them the source knows to have arrived, or has given back.
    pub ended: u64,
}

/// Money that stays under way.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Later than promised.
    #[error("the last transfer ended {took:?} after the last fault, later than {bound:?}")]
    Late {
        /// How long it took.
        took: Duration,
        /// How long it may take.
        bound: Duration,
    },
    /// Transfers that have not ended.
    #[error("{0:?} has transfers that never ended")]
    UnderWay(Channel),
    /// Money that is nobody's.
    #[error("{0:?} keeps money that should be under way no longer")]
    Kept(Channel),
}

/// Checks a world at rest, all of whose transfers ended `took` after the last fault. Returns how
/// many there were.
///
/// # Errors
///
/// The first channel that is not at rest.
pub fn nothing_is_under_way(
    channels: &[Channel],
    took: Duration,
    bound: Duration,
) -> Result<u64, Violation> {
    for channel in channels {
        if channel.sent != channel.ended {
            return Err(Violation::UnderWay(channel.clone()));
        }
        if channel.in_transit != 0 || channel.due_to + channel.due_from != 0 {
            return Err(Violation::Kept(channel.clone()));
        }
    }
    if took > bound {
        return Err(Violation::Late { took, bound });
    }
    Ok(channels.iter().map(|channel| channel.sent).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    /// Two transfers of 50 arrived, one came back.
    fn at_rest() -> Channel {
        Channel {
            source: 1,
            destination: 2,
            in_transit: 0,
            due_to: 100,
            due_from: -100,
            sent: 3,
            ended: 3,
        }
    }

    #[test]
    fn a_world_at_rest_passes() {
        assert_eq!(nothing_is_under_way(&[at_rest()], BOUND, BOUND), Ok(3));
        assert_eq!(nothing_is_under_way(&[], BOUND, BOUND), Ok(0));
    }

    #[test]
    fn whatever_stays_under_way_is_found() {
        let broken: [fn(&mut Channel); 4] = [
            |channel| channel.ended = 2,
            |channel| channel.in_transit = 50,
            |channel| channel.due_to = 150,
            |channel| channel.due_from = -50,
        ];
        for change in broken {
            let mut channel = at_rest();
            change(&mut channel);
            let channels = [at_rest(), channel];
            nothing_is_under_way(&channels, BOUND, BOUND).unwrap_err();
        }
    }

    #[test]
    fn late_is_as_bad_as_never() {
        let took = BOUND + Duration::from_millis(1);
        let late = nothing_is_under_way(&[at_rest()], took, BOUND);
        assert!(matches!(late, Err(Violation::Late { .. })));
    }
}
