//! Queues are bounded, and empty when all is at rest: what a node shows of its queues is within the
//! bounds that are stated here, whatever happens.

use std::collections::BTreeMap;

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
];

/// A queue that is longer than it may be, or one that nobody shows.
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
}
