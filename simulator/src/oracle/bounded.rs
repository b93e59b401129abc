//! Queues and memory are bounded: what a node shows of its queues, and what the system says of its
//! memory, is within the bounds that are stated here, whatever happens. At rest queues are empty.

use std::{collections::BTreeMap, time::Duration};

/// What a node showed of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Which node.
    pub node: String,
    /// Whether all was at rest: nobody asks for anything but this.
    pub at_rest: bool,
    /// The sizes of its queues, each the largest of its kind, by name.
    pub sizes: BTreeMap<String, u64>,
}

/// A queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Under which name a node shows its size.
    pub name: &'static str,
    /// How long it may ever be.
    pub most: u64,
    /// How long it may be at rest. A shard that is idle still closes its time now and then.
    pub at_rest: u64,
    /// Whether every world has it: a single shard has no channels.
    pub is_everywhere: bool,
}

/// All queues that nodes show, as the documentation of their configuration and metrics bounds them.
pub const QUEUES: &[Queue] = &[
    Queue {
        name: "meridian_requests_in_flight",
        most: 4_096,
        at_rest: 0,
        is_everywhere: true,
    },
    Queue {
        name: "meridian_writer_queue_length",
        // What waits to be handed over, and what was: a batch.
        most: 16_384 + 8_192,
        at_rest: 0,
        is_everywhere: true,
    },
    Queue {
        name: "meridian_writer_in_flight_entries",
        most: 8,
        at_rest: 1,
        is_everywhere: true,
    },
    Queue {
        name: "meridian_log_queue_length",
        most: 256,
        at_rest: 16,
        is_everywhere: true,
    },
    Queue {
        name: "meridian_channel_items",
        most: 100_000,
        at_rest: 0,
        is_everywhere: false,
    },
    Queue {
        name: BUILDING,
        // As long as the log.
        most: u32::MAX as u64,
        at_rest: 0,
        is_everywhere: true,
    },
];

/// What is left to fold of read models that are made again.
const BUILDING: &str = "meridian_views_building_left_entries";

/// Whether a node has no read models any more that are made beside those that serve.
#[must_use]
pub fn makes_no_read_models(shown: &Shown) -> bool {
    shown.sizes.get(BUILDING) == Some(&0)
}

/// The most memory of a node as a process whose `memory_mb` is 64, in bytes. What grows with the
/// history (accounts, keys of seven days) is small in minutes: nodes have used about 60 MiB.
pub const MEMORY_OF_A_NODE: u64 = 256 << 20;

/// The most memory of a process that plays a world for so long, in bytes: all nodes with their disks, all
/// clients, and what judges remember of each second. Worlds of 40 seconds have used 70 to 130
/// MiB, and one of 200 seconds 500.
#[must_use]
pub const fn memory_of_a_world(length: Duration) -> u64 {
    (256 << 20) + (4 << 20) * length.as_secs()
}

/// A queue that is longer than it may be, or one that nobody shows; or too much memory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Too long.
    #[error("{node} shows {size} of {queue:?}, at rest: {at_rest}")]
    TooLong {
        /// Where.
        node: String,
        /// Which.
        queue: Queue,
        /// How long it is.
        size: u64,
        /// Whether all was at rest.
        at_rest: bool,
    },
    /// Too large.
    #[error("{process} has used {used} bytes of memory, and may use {most}")]
    TooLarge {
        /// Which process.
        process: String,
        /// How much it has used.
        used: u64,
        /// How much it may use.
        most: u64,
    },
    /// The name may have changed.
    #[error("no node has ever shown {0}")]
    NotShown(&'static str),
}

/// Checks all that was shown. Returns how many sizes that was.
///
/// # Errors
///
/// The first queue that was too long.
pub fn queues_are_bounded(shown: &[Shown]) -> Result<usize, Violation> {
    let mut checked = 0;
    for queue in QUEUES {
        let of_queue = shown.iter().filter_map(|shown| {
            let size = shown.sizes.get(queue.name)?;
            Some((shown, *size))
        });
        let before = checked;
        for (shown, size) in of_queue {
            checked += 1;
            let most = if shown.at_rest {
                queue.at_rest
            } else {
                queue.most
            };
            if size > most {
                return Err(Violation::TooLong {
                    node: shown.node.clone(),
                    queue: *queue,
                    size,
                    at_rest: shown.at_rest,
                });
            }
        }
        if checked == before && queue.is_everywhere && !shown.is_empty() {
            return Err(Violation::NotShown(queue.name));
        }
    }
    Ok(checked)
}

/// Checks what processes have used at their peaks, in bytes, by their names. Returns how many that was.
///
/// # Errors
///
/// The first that has used more.
pub fn memory_is_bounded(used: &BTreeMap<String, u64>, most: u64) -> Result<usize, Violation> {
    match used.iter().find(|(_, used)| **used > most) {
        None => Ok(used.len()),
        Some((process, used)) => Err(Violation::TooLarge {
            process: process.clone(),
            used: *used,
            most,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(at_rest: bool, size: impl Fn(&Queue) -> u64) -> Shown {
        let sizes = QUEUES
            .iter()
            .map(|queue| (queue.name.to_owned(), size(queue)));
        Shown {
            node: "one".to_owned(),
            at_rest,
            sizes: sizes.collect(),
        }
    }

    #[test]
    fn each_queue_has_a_bound_in_trouble_and_one_at_rest() {
        let full = shown(false, |queue| queue.most);
        let idle = shown(true, |queue| queue.at_rest);
        let judged = queues_are_bounded(&[full.clone(), idle]);
        assert_eq!(judged, Ok(2 * QUEUES.len()));
        queues_are_bounded(&[Shown {
            at_rest: true,
            ..full
        }])
        .unwrap_err();
        queues_are_bounded(&[shown(false, |queue| queue.most + 1)]).unwrap_err();
    }

    #[test]
    fn a_queue_that_is_never_shown_is_missed() {
        let mut less = shown(false, |_| 0);
        less.sizes.remove("meridian_channel_items");
        queues_are_bounded(std::slice::from_ref(&less)).expect("a world of one shard");
        less.sizes.remove("meridian_log_queue_length");
        let judged = queues_are_bounded(&[less]);
        let missed = Violation::NotShown("meridian_log_queue_length");
        assert_eq!(judged, Err(missed));
        assert_eq!(queues_are_bounded(&[]), Ok(0));
    }

    #[test]
    fn the_first_process_that_has_used_too_much_is_named() {
        let used = |two| [("one".to_owned(), 5), ("two".to_owned(), two)].into();
        assert_eq!(memory_is_bounded(&used(7), 7), Ok(2));
        let judged = memory_is_bounded(&used(8), 7).unwrap_err();
        assert_eq!(
            judged.to_string(),
            "two has used 8 bytes of memory, and may use 7"
        );
    }
}
