//! Every failure's face: code, gRPC status, sentence, and whether a retry can help.

use std::{collections::BTreeSet, time::Duration};

use ledger_domain::{
    AccountId, Code as Reason, Position, Rejection, ShardId, command::GroupPlace, rejection::Sort,
};
use replication::{
    raft::ReadError as RaftError,
    shard::{CannotRead, NoEntry, SubmitError},
    view::ReadError,
};
use tonic::{Code, Status};

mod consumers;
mod on_the_way;
mod personal;

pub(super) use consumers::{
    consumer_fenced, not_under_way, reads_nothing, unknown_consumer, unknown_share,
};
pub(super) use on_the_way::{account_open, leaves_open, not_opened, not_yet_done, on_the_way};
pub(super) use personal::{lost_key, no_key, other_domain};

use super::{deadline::Call, freshness::Unknown};
use crate::api::{
    MESSAGE_LIMIT,
    rejection::{self, to_status},
    v1::RejectionDetail,
};

/// Metadata of a NOT_LEADER status: the node to ask, if it is known.
pub(super) const LEADER: &str = "meridian-leader";

const OVERLOADED: &str = "OVERLOADED";
const UNKNOWN: &str = "OUTCOME_UNKNOWN";
const SLOW_DOWN: &str = "Nothing was changed. Slow down and try again.";

/// The codes that are not the ledger's own.
pub(super) const CODES: [&str; 41] = [
    "ACCOUNT_OPEN",
    rejection::AGE_UNKNOWN,
    "ARCHIVE_NOT_REACHED",
    "BOOK_STOPPED",
    "CLOCK_OUT_OF_BOUNDS",
    "CUT_NOT_CLOSED",
    "DAMAGED",
    "DEADLINE_EXCEEDED",
    "DISK_FULL",
    "ENTRY_OF_NEWER_PROGRAM",
    rejection::FIRST_ATTEMPT_TOO_OLD,
    "GROUP_ACROSS_SHARDS",
    "INVALID_ARGUMENT",
    "KEYS_UNAVAILABLE",
    rejection::KEY_CONFLICT,
    "LOG_UNREADABLE",
    "NODE_NOT_FOUND",
    "NOT_HERE_YET",
    "NOT_LEADER",
    "NOT_PRIVILEGED",
    "NO_QUORUM",
    rejection::OTHER_RESIDENCY_DOMAIN,
    UNKNOWN,
    OVERLOADED,
    "POSITION_LOST",
    "REBUILD_TOO_SOON",
    "REGION_NOT_FOUND",
    "REPLICA_BUSY",
    "REPLICA_LAST_VOTER",
    "REPLICA_NOT_HELD",
    "REPLICA_UNREACHABLE",
    "REPLICA_UNSAFE",
    "REQUEST_TOO_LARGE",
    "SHARD_MENDING",
    "SHARD_NOT_FOUND",
    "SUM_OVERFLOW",
    "TOO_STALE",
    rejection::TRANSACTION_NOT_FOUND,
    TRANSFER_UNDER_WAY,
    "UNAVAILABLE",
    "VIEW_NOT_SERVED",
];

pub(super) fn detail(
    code: &str,
    message: impl Into<String>,
    retryable: bool,
    help: &str,
) -> RejectionDetail {
    RejectionDetail {
        code: code.to_owned(),
        message: shortened(message.into()),
        retryable,
        help: help.to_owned(),
        idempotency_key: String::new(),
        recorded: false,
        group_item: 0,
    }
}

/// The longest sentence that a status carries: some repeat what the caller sent, and headers that
/// are too long reach nobody.
const MAX_SENTENCE: usize = 512;

fn shortened(mut sentence: String) -> String {
    if sentence.len() > MAX_SENTENCE {
        sentence.truncate(sentence.floor_char_boundary(MAX_SENTENCE));
        sentence.push('…');
    }
    sentence
}

pub(super) fn invalid(message: impl ToString) -> Status {
    let help = "Correct the request; nothing was changed.";
    to_status(
        Code::InvalidArgument,
        &detail("INVALID_ARGUMENT", message.to_string(), false, help),
    )
}

/// A position of a reign that ended before it came to its index.
pub(super) fn position_lost(position: Position) -> Status {
    let message = format!(
        "shard {} has no position {position}: its log was restored and goes on from an earlier one",
        position.shard
    );
    let help = "What was acknowledged there is lost. Read again without the token or position, and see \
                what became of it.";
    to_status(
        Code::DataLoss,
        &detail("POSITION_LOST", message, false, help),
    )
}

pub(super) fn recorded(rejection: &Rejection) -> RejectionDetail {
    let help = if rejection.code.retry_can_help() {
        "The refusal is recorded under this key: try again later under a new one."
    } else {
        "The refusal is recorded under this key: correct the command and send it under a new one."
    };
    let retryable = rejection.code.retry_can_help();
    let detail = detail(
        rejection.code.name(),
        rejection.to_string(),
        retryable,
        help,
    );
    RejectionDetail {
        recorded: true,
        ..detail
    }
}

/// The gRPC status of what a dry run comes to where the command would be refused.
pub(super) fn would_be_rejected(
    rejection: &Rejection,
    key: &str,
    place: Option<GroupPlace>,
) -> Status {
    let detail = RejectionDetail {
        idempotency_key: key.to_owned(),
        recorded: false,
        help: "This was a dry run: nothing is recorded.".to_owned(),
        ..recorded(rejection)
    };
    in_group(to_status(grpc(rejection.code), &detail), place)
}

/// The gRPC status of a recorded rejection.
pub(super) fn rejected(rejection: &Rejection, key: &str) -> Status {
    let detail = RejectionDetail {
        idempotency_key: key.to_owned(),
        ..recorded(rejection)
    };
    to_status(grpc(rejection.code), &detail)
}

/// A refusal that is about one command of a group: it says which. All of the group is refused.
pub(super) fn in_group(status: Status, place: Option<GroupPlace>) -> Status {
    let refused = rejection::from_status(&status);
    let (Some(refused), Some(GroupPlace { item, of })) = (refused, place) else {
        return status;
    };
    let message = format!("command {item} of {of}: {}", refused.message);
    let detail = RejectionDetail {
        message: shortened(message),
        group_item: item,
        ..refused
    };
    to_status(status.code(), &detail)
}

/// A group on accounts of several shards.
pub(super) fn group_across_shards(shards: &BTreeSet<ShardId>) -> Status {
    let shards: Vec<_> = shards.iter().map(ToString::to_string).collect();
    let message = format!(
        "the accounts of the group are at home in the shards {}; those of a group share one",
        shards.join(", ")
    );
    let help = "Nothing was changed. Send a group for each shard, and transfers between them; \
        an account opened beside another one shares its shard.";
    to_status(
        Code::InvalidArgument,
        &detail("GROUP_ACROSS_SHARDS", message, false, help),
    )
}

/// The code of a reversal of a transfer, or of a journal, that has not ended.
pub(super) const TRANSFER_UNDER_WAY: &str = "TRANSFER_UNDER_WAY";

/// A reversal of a transfer, or of a journal between shards, that has not ended.
pub(super) fn under_way(what: &str) -> Status {
    let message = format!("{what} is still under way to another shard");
    let help = "Nothing was changed. Ask again under the same key once it has ended there.";
    to_status(
        Code::Unavailable,
        &detail(TRANSFER_UNDER_WAY, message, true, help),
    )
}

/// The gRPC status of a code of the ledger.
fn grpc(code: Reason) -> Code {
    match code.sort() {
        Sort::InvalidArgument => Code::InvalidArgument,
        Sort::NotFound => Code::NotFound,
        Sort::AlreadyExists => Code::AlreadyExists,
        Sort::ResourceExhausted => Code::ResourceExhausted,
        Sort::FailedPrecondition => Code::FailedPrecondition,
    }
}

/// A shard whose log is damaged here, so that this node does not take part in it yet.
pub(super) fn mending(shard: ShardId) -> Status {
    let sentence = format!("the log of shard {shard} is damaged on this node, and is mended first");
    let help = "Nothing was changed. Ask again, here or at another node.";
    to_status(
        Code::Unavailable,
        &detail("SHARD_MENDING", sentence, true, help),
    )
}

pub(super) fn not_leader(leader: Option<u64>) -> Status {
    let help = "Nothing was changed. Ask again, here or at another node.";
    let detail = detail(
        "NOT_LEADER",
        "this node does not lead the shard",
        true,
        help,
    );
    let mut status = to_status(Code::Unavailable, &detail);
    if let Some(leader) = leader {
        status.metadata_mut().insert(LEADER, leader.into());
    }
    status
}

pub(super) fn submit(error: &SubmitError, key: &str) -> Status {
    let message = error.to_string();
    let (grpc, code, retryable, help) = match error {
        SubmitError::NotLeader { leader } => return not_leader(*leader),
        SubmitError::Busy => (Code::ResourceExhausted, OVERLOADED, true, SLOW_DOWN),
        SubmitError::NoRoom => (
            Code::ResourceExhausted,
            "DISK_FULL",
            true,
            "Nothing was changed. Make room on the node's disk; nobody needs to restart it.",
        ),
        SubmitError::TooOld => (
            Code::FailedPrecondition,
            rejection::FIRST_ATTEMPT_TOO_OLD,
            false,
            "Nothing was changed. Look the transaction up before sending it under a new key.",
        ),
        SubmitError::KeyConflict { .. } => (
            Code::AlreadyExists,
            rejection::KEY_CONFLICT,
            false,
            "Nothing was changed. Use a new key for a new command.",
        ),
        SubmitError::Clock(_) => (
            Code::FailedPrecondition,
            "CLOCK_OUT_OF_BOUNDS",
            true,
            "Nothing was changed. A clock is wrong: tell an operator.",
        ),
        SubmitError::Unknown(_) => return outcome_unknown(&message, key),
        SubmitError::Failed(_) => (
            Code::DataLoss,
            "BOOK_STOPPED",
            false,
            "This node serves nothing until an operator has seen to its disk. Ask another node.",
        ),
    };
    let detail = RejectionDetail {
        idempotency_key: key.to_owned(),
        ..detail(code, message, retryable, help)
    };
    to_status(grpc, &detail)
}

/// A privileged command of somebody who is not on the list.
pub(super) fn not_privileged(caller: &str) -> Status {
    let message = format!("`{caller}` is not on the list of who may do this");
    let help = "Nothing was changed. The list is `privileged` in the configuration of the nodes.";
    to_status(
        Code::PermissionDenied,
        &detail("NOT_PRIVILEGED", message, false, help),
    )
}

/// A write whose answer is lost, or did not come in time.
pub(super) fn outcome_unknown(message: &str, key: &str) -> Status {
    let help = "It may have happened. Ask again under the same key.";
    let detail = RejectionDetail {
        idempotency_key: key.to_owned(),
        ..detail(UNKNOWN, message, true, help)
    };
    to_status(Code::DeadlineExceeded, &detail)
}

/// A call that did not end in time.
pub(super) fn late(call: &Call) -> Status {
    match call {
        Call::Write { key } => outcome_unknown("the deadline came before the answer", key),
        Call::Read => deadline_exceeded("the deadline came before the answer", ""),
    }
}

/// A call whose time was over before it began.
pub(super) fn not_begun(call: &Call) -> Status {
    let key = match call {
        Call::Read => "",
        Call::Write { key } => key,
    };
    deadline_exceeded("the deadline had come before this was begun", key)
}

fn deadline_exceeded(message: &str, key: &str) -> Status {
    let help = "Nothing was changed. Ask again, with more time.";
    let detail = RejectionDetail {
        idempotency_key: key.to_owned(),
        ..detail("DEADLINE_EXCEEDED", message, true, help)
    };
    to_status(Code::DeadlineExceeded, &detail)
}

/// A read model that cannot answer, or not yet.
pub(super) fn unreadable(error: ReadError) -> Status {
    let message = error.to_string();
    if let ReadError::Late { .. } | ReadError::Open { .. } = error {
        let help = "The answer here is not that fresh yet: ask again, or ask STRONG.";
        let detail = detail(rejection::NOT_HERE_YET, message, true, help);
        return to_status(Code::DeadlineExceeded, &detail);
    }
    let help = "Ask another node, or ask STRONG.";
    let detail = detail("VIEW_NOT_SERVED", message, true, help);
    to_status(Code::Unavailable, &detail)
}

/// A bound that the views here do not meet.
pub(super) fn too_stale(max: Duration, actual: Option<Duration>, waited: bool) -> Status {
    let actual = match actual {
        Some(actual) => format!("up to {} ms stale", actual.as_millis()),
        None => "empty".to_owned(),
    };
    let max = max.as_millis();
    let message = format!("the answer here is {actual}, and {max} ms are allowed");
    let help = "Ask again, allow more, or have it answered at home.";
    let detail = detail(rejection::TOO_STALE, message, true, help);
    // Who waited has used the time up; who did not is told at once, and asks again if it likes.
    let grpc = match waited {
        true => Code::DeadlineExceeded,
        false => Code::FailedPrecondition,
    };
    to_status(grpc, &detail)
}

/// A bound that no view anywhere can meet.
pub(super) fn bound_too_tight(max: Duration, clocks: Duration) -> Status {
    let (max, clocks) = (max.as_millis(), clocks.as_millis());
    let message = format!(
        "{max} ms are allowed, and clocks alone may differ by {clocks} ms: only home can tell"
    );
    let help = "Allow more, or have it answered at home.";
    to_status(
        Code::FailedPrecondition,
        &detail(rejection::TOO_STALE, message, false, help),
    )
}

/// A bound, where it cannot be told how old the answer is. Another node may be able to.
pub(super) fn age_unknown(why: &Unknown) -> Status {
    let message = format!("how old the answer here is cannot be told: {why}");
    let help = "Ask another node, or have it answered at home. If it lasts, a clock is wrong: tell \
                an operator.";
    let detail = detail(rejection::AGE_UNKNOWN, message, true, help);
    to_status(Code::Unavailable, &detail)
}

/// An entry of the log that cannot be read here.
pub(super) fn no_entry(error: NoEntry) -> Status {
    match error {
        NoEntry::Damaged(what) => damaged(what),
        NoEntry::InArchive => not_reached(error.to_string()),
        NoEntry::NotReached(what) => not_reached(what),
        NoEntry::NotHeld(what) => {
            let help = "The node that leads is still fetching it. Ask again later.";
            to_status(Code::Unavailable, &detail("UNAVAILABLE", what, true, help))
        }
    }
}

/// What was asked for is in the archive, and that does not answer.
pub(super) fn not_reached(what: String) -> Status {
    tracing::warn!(what, "the archive does not answer");
    let help = "Ask again, or another node; an operator has to see to the archive.";
    let detail = detail("ARCHIVE_NOT_REACHED", what, true, help);
    to_status(Code::Unavailable, &detail)
}

/// What is stored here cannot be read, or contradicts itself.
pub(super) fn damaged(what: String) -> Status {
    tracing::error!(what, "what is stored here is damaged");
    let help = "Ask another node, and tell an operator.";
    let detail = detail("DAMAGED", what, false, help);
    to_status(Code::DataLoss, &detail)
}

/// An entry that a newer program wrote.
pub(super) fn newer(what: String) -> Status {
    let help =
        "Nothing is left out: go on at a node with a newer program, or once this one has it.";
    let detail = detail("ENTRY_OF_NEWER_PROGRAM", what, false, help);
    to_status(Code::FailedPrecondition, &detail)
}

/// A part of the log that has not come to this node yet.
pub(super) fn not_held(what: String) -> Status {
    let help = "This node is still fetching it. Ask again, here or at another node.";
    to_status(Code::Unavailable, &detail("UNAVAILABLE", what, true, help))
}

/// Read models that are to be made again while those that served before are still read.
pub(super) fn rebuild_too_soon() -> Status {
    let message = "the read models that served before are not gone yet";
    let help = "Ask again in a minute: then there is room for others.";
    to_status(
        Code::FailedPrecondition,
        &detail("REBUILD_TOO_SOON", message, true, help),
    )
}

/// What cannot be begun at this moment.
pub(super) fn not_now(what: String) -> Status {
    let help = "Ask again in a moment.";
    to_status(Code::Unavailable, &detail("UNAVAILABLE", what, true, help))
}

/// A log that this node's disk does not give.
pub(super) fn log_unreadable(what: String) -> Status {
    tracing::error!(what, "a log cannot be read");
    let help = "Ask another node; an operator has to see to this one's disk.";
    to_status(
        Code::Unavailable,
        &detail("LOG_UNREADABLE", what, true, help),
    )
}

/// A stream that this node ends because it stops.
pub(super) fn stops() -> Status {
    let help = "Send what is not answered to another node, under the same keys.";
    to_status(
        Code::Unavailable,
        &detail("UNAVAILABLE", "this node stops", true, help),
    )
}

/// Too much is under way on this node.
pub(super) fn overloaded() -> Status {
    let message = "this node has as many requests under way as it takes";
    to_status(
        Code::ResourceExhausted,
        &detail(OVERLOADED, message, true, SLOW_DOWN),
    )
}

/// A message over the limit.
pub(super) fn too_large() -> Status {
    let message = format!("the request has more than the {MESSAGE_LIMIT} bytes of a message");
    let help = "Nothing was changed. Send less at a time.";
    to_status(
        Code::InvalidArgument,
        &detail("REQUEST_TOO_LARGE", message, false, help),
    )
}

pub(super) fn read(error: &CannotRead) -> Status {
    match error {
        CannotRead::Raft(RaftError::NotLeader { leader }) => not_leader(*leader),
        CannotRead::Raft(RaftError::Unavailable(why)) => to_status(
            Code::Unavailable,
            &detail(
                "NO_QUORUM",
                why.clone(),
                true,
                "Ask again, or ask for a local answer.",
            ),
        ),
        CannotRead::Failed(failure) => submit(&SubmitError::Failed(failure.clone()), ""),
    }
}

/// A refusal that the ledger knows, before it came to a decision: nothing is recorded.
fn unrecorded(reason: Reason, help: &str) -> Status {
    let detail = RejectionDetail {
        recorded: false,
        help: help.to_owned(),
        ..recorded(&Rejection::from(reason))
    };
    to_status(grpc(reason), &detail)
}

pub(super) fn unknown_account() -> Status {
    let help = "Check the id for a slip.";
    unrecorded(Reason::AccountNotFound, help)
}

pub(super) fn unknown_customer() -> Status {
    let help = "Check the id for a slip.";
    unrecorded(Reason::CustomerNotFound, help)
}

pub(super) fn same_account() -> Status {
    let help = "Correct the request; nothing was changed.";
    unrecorded(Reason::SameAccount, help)
}

pub(super) fn unknown_region(region: &str) -> Status {
    let message = format!("this ledger has no region `{region}`");
    to_status(
        Code::NotFound,
        &detail(
            "REGION_NOT_FOUND",
            message,
            false,
            "Ask `meridian status` for the regions.",
        ),
    )
}

pub(super) fn unknown_shard(shard: u32) -> Status {
    let message = format!("this ledger has no shard {shard}");
    let help = "Ask `meridian status` for the shards.";
    to_status(
        Code::NotFound,
        &detail("SHARD_NOT_FOUND", message, false, help),
    )
}

/// A reversal that names an account of another shard than its original.
pub(super) fn reversed_elsewhere(original: ShardId, account: ShardId) -> Status {
    invalid(format!(
        "the transaction was decided in shard {original}, the account lives in shard {account}: \
         name the account that the transaction's own command named"
    ))
}

/// A reversal that names an account which the original does not concern.
pub(super) fn reversal_of_others(account: &AccountId) -> Status {
    invalid(format!(
        "{account} neither paid nor was paid by this transaction"
    ))
}

/// A reversal of a part of a journal, which has no one meaning.
pub(super) fn part_of_journal() -> Status {
    invalid("a journal is reversed whole, all of its legs; leave the amount out")
}

pub(super) fn transaction_not_found() -> Status {
    let message = "no transaction has this id or stands under this key";
    let help = "Check the id or key, and that it is asked for by the same caller.";
    to_status(
        Code::NotFound,
        &detail(rejection::TRANSACTION_NOT_FOUND, message, false, help),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clocks::Doubt;

    #[test]
    fn the_page_of_codes_has_what_reads_are_refused_with() {
        let page = include_str!("../../../docs/error-codes.md");
        let ms = Duration::from_millis;
        for status in [
            too_stale(ms(2_000), Some(ms(4_210)), false),
            bound_too_tight(ms(200), ms(500)),
            age_unknown(&Doubt::Jumped.into()),
        ] {
            let told = rejection::from_status(&status).unwrap();
            let later = if told.retryable { "yes" } else { "no" };
            let row = format!("| `{}` | {later} | {} |", told.code, told.message);
            assert!(page.contains(&row), "{row}");
        }
        assert!(page.contains(rejection::NOT_HERE_YET));
    }
}
