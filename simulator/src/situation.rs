//! What a sweep should have come across, or it has shown little: a sweep that never reached one of
//! these says so.
//!
//! Some are told by what nodes log anyway; some by events that the nodes give at the lowest level,
//! under the target `situation`, which nobody but the simulator listens to; some are seen by whoever
//! drives the run.

/// Every situation, with a part of the line of the trace that tells it, if any does.
pub const ALL: &[(&str, Option<&str>)] = &[
    ("a leader came to lead", Some("this node leads the shard")),
    (
        "a replica stood at once for a leader whose process ended",
        Some("the leader's process has ended"),
    ),
    (
        "a leader was asked to lead no longer",
        Some("asked to lead no longer"),
    ),
    (
        "a leader handed over because its disk was slow",
        Some("this leader's disk is much slower"),
    ),
    ("a snapshot was fetched", Some("a snapshot is fetched")),
    ("history was fetched", Some("history is fetched")),
    (
        "a source of history was left",
        Some("left a source of history"),
    ),
    ("a feed was left", Some("left a feed")),
    (
        "the log failed a write",
        Some("a write to the log failed: this node writes no more"),
    ),
    (
        "a scrub found damage",
        Some("what is stored is not what was written"),
    ),
    (
        "damage was mended from a peer",
        Some("it is mended from a peer"),
    ),
    (
        "a replica waited for what its log had lost",
        Some("a replica waits until its log is mended"),
    ),
    (
        "a replica joined when its log was mended",
        Some("a replica joins: its log is whole again"),
    ),
    (
        "a node stopped because its number was another's",
        Some("this node stops: its number is another's"),
    ),
    (
        "a node changed its readiness",
        Some("readiness has changed"),
    ),
    (
        "read models were made again",
        Some("the read models are made again from the log"),
    ),
    (
        "read models made beside others took their place",
        Some("other read models serve now"),
    ),
    (
        "records stayed in the log while the archive was away",
        Some("old records stay in the log"),
    ),
    ("old records were moved into the archive", None),
    ("archived records were fetched", None),
    (
        "a consumer's share was parked",
        Some("a consumer's share is parked"),
    ),
    ("what a member said came too late", None),
    ("a consumer group went on under another leader", None),
    ("an entry was void", None),
    ("a command was decided again", None),
    ("a duplicate waited for its original", None),
    ("an item was delivered twice", None),
    ("a strong read was asked of a leader in vain", None),
    ("a snapshot was installed", None),
    ("a leader died with requests under way", None),
    ("a cut in the middle of a transfer", None),
    ("a cut in the middle of a journal", None),
    ("a node lost power in the middle of an operation", None),
    ("a power cut took unsynced writes", None),
    ("the bank was founded in trouble", None),
    ("a transfer was returned", None),
    ("a journal was posted between shards", None),
    ("a journal was cancelled", None),
    ("a hold was captured", None),
    ("a hold expired", None),
    ("a hold was captured too late", None),
    ("a request was told again", None),
    ("a request was never told", None),
    ("a rejection was recorded", None),
];

/// The situation that a line of the trace tells of.
#[must_use]
pub fn told_by(line: &str) -> Option<&'static str> {
    let told = |part: &Option<&str>| part.is_some_and(|part| line.contains(part));
    ALL.iter()
        .find(|(_, part)| told(part))
        .map(|(situation, _)| *situation)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_is_there_once_and_known_by_its_line() {
        let names: BTreeSet<_> = ALL.iter().map(|(situation, _)| situation).collect();
        assert_eq!(names.len(), ALL.len());
        let line = "INFO replication::backfill history is fetched shard=1";
        assert_eq!(told_by(line), Some("history was fetched"));
        assert_eq!(told_by("INFO node listening"), None);
    }
}
