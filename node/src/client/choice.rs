//! Which node a read goes to: pure decisions.
//!
//! Near beats idle: a node across an ocean is never asked because it has less to do. Among the near
//! ones two are drawn and the one with fewer calls of this client under way is taken. That spreads
//! load almost as well as looking at all of them, and clients that see the same do not all run to
//! the same node ("The Power of Two Choices in Randomized Load Balancing", Mitzenmacher 2001).

use std::time::Duration;

/// Round trips that differ by less than this do not tell near from far: on one machine, or in one
/// building, they are noise.
const NOISE: Duration = Duration::from_millis(2);

/// What is known of a node that could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// It is in the region that the caller says it is in.
    pub same_region: bool,
    /// How long a question and its answer travel, if that was measured.
    pub round_trip: Option<Duration>,
    /// How many calls of this client it has not answered yet.
    pub in_flight: u32,
}

/// Chooses among candidates, by their place. A random number breaks ties and draws the pair.
pub fn choose(candidates: &[Candidate], random: u64) -> Option<usize> {
    let near = near(candidates);
    let count = u64::try_from(near.len()).ok().filter(|count| *count > 0)?;
    let place = |number: u64| near[usize::try_from(number).expect("it is below a length")];
    let first = random % count;
    if count == 1 {
        return Some(place(first));
    }
    // The upper half of the bits is independent of the lower one.
    let second = (first + 1 + (random >> 32) % (count - 1)) % count;
    let (first, second) = (place(first), place(second));
    let is_idler = candidates[second].in_flight < candidates[first].in_flight;
    Some(if is_idler { second } else { first })
}

/// The candidates in the caller's region; where it is not said, or nobody is there, those that are
/// about as near as the nearest. One that was not measured is near only if none was.
fn near(candidates: &[Candidate]) -> Vec<usize> {
    let places = |wanted: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        let candidates = candidates.iter().enumerate();
        let wanted = candidates.filter(|(_, candidate)| wanted(candidate));
        wanted.map(|(place, _)| place).collect()
    };
    let here = places(&|candidate| candidate.same_region);
    if !here.is_empty() {
        return here;
    }
    let nearest = candidates.iter().filter_map(|c| c.round_trip).min();
    let bound = nearest.map(|nearest| nearest * 2 + NOISE);
    places(&|candidate| match bound {
        Some(bound) => candidate.round_trip.is_some_and(|trip| trip <= bound),
        None => true,
    })
}

/// Takes a new measurement of a round trip in: a quarter of the way, so that one slow answer does
/// not make a node far.
pub fn smoothed(known: Option<Duration>, measured: Duration) -> Duration {
    known.map_or(measured, |known| (known * 3 + measured) / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(same_region: bool, millis: Option<u64>, in_flight: u32) -> Candidate {
        Candidate {
            same_region,
            round_trip: millis.map(Duration::from_millis),
            in_flight,
        }
    }

    #[test]
    fn near_ones_as_a_table() {
        let (here, there) = (true, false);
        let cases: [(&[Candidate], &[usize]); 7] = [
            (&[], &[]),
            // The caller's region counts more than what was measured.
            (&[node(here, Some(40), 9), node(there, Some(1), 0)], &[0]),
            (&[node(there, Some(1), 0), node(there, Some(80), 0)], &[0]),
            (&[node(there, Some(1), 0), node(there, Some(4), 0)], &[0, 1]),
            (&[node(there, Some(9), 0), node(there, Some(4), 0)], &[0, 1]),
            (&[node(there, None, 0), node(there, Some(300), 0)], &[1]),
            (&[node(there, None, 0), node(there, None, 0)], &[0, 1]),
        ];
        for (candidates, expected) in cases {
            assert_eq!(near(candidates), expected, "{candidates:?}");
        }
    }

    #[test]
    fn the_idler_of_two_is_taken_and_the_busiest_never() {
        let nodes = [
            node(true, None, 3),
            node(true, None, 7),
            node(true, None, 0),
        ];
        let mut taken = [0_u32; 3];
        for first in 0..3_u64 {
            for second in 0..2_u64 {
                taken[choose(&nodes, first | second << 32).unwrap()] += 1;
            }
        }
        // Each ordered pair came once: the idlest is in four of six, the busiest wins none.
        assert_eq!(taken, [2, 0, 4]);
    }

    #[test]
    fn all_bits_of_a_draw_give_a_candidate() {
        for count in 0..9 {
            let nodes = vec![node(false, None, 1); count];
            for random in [0, 1, u64::MAX, u64::MAX - 7, 1 << 32, u64::MAX >> 32] {
                let chosen = choose(&nodes, random);
                assert_eq!(chosen.is_some_and(|place| place < count), count > 0);
            }
        }
    }

    #[test]
    fn idle_equals_are_all_used() {
        let nodes = [node(true, None, 0); 3];
        let mut seen = [false; 3];
        (0..3).for_each(|random| seen[choose(&nodes, random).unwrap()] = true);
        assert_eq!(seen, [true; 3]);
    }

    #[test]
    fn one_slow_answer_moves_a_round_trip_by_a_quarter() {
        let ms = Duration::from_millis;
        assert_eq!(smoothed(None, ms(8)), ms(8));
        assert_eq!(smoothed(Some(ms(8)), ms(80)), ms(26));
    }
}
