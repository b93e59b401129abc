//! The answer to a key that was used before, out of the log.

use super::{
    Answer, Submission, SubmitError,
    entries::{NoEntry, entry_at, entry_here},
    submission::Reply,
};
use crate::log::LogHub;
use ledger_domain::{
    Entry, Position, ShardId, TransactionId,
    planted::{Bug, planted},
    state::KeyRecord,
};

/// Answers a command whose key was used before: at once, or, where the entry has to be fetched from the
/// archive first, as soon as that is done; nobody else waits for it.
pub(super) fn answer(
    hub: &LogHub,
    (shard, epoch): (ShardId, u64),
    record: KeyRecord,
    submission: Submission,
    mut reply: Reply,
) {
    let place = Position {
        shard,
        epoch,
        index: record.index,
    };
    let answer = move |entry: Result<Option<Entry>, NoEntry>, submission: &Submission| {
        let entry = entry.map_err(|error| SubmitError::Unknown(error.to_string()))?;
        let none = || SubmitError::Unknown(format!("{place} holds no entry here"));
        let entry = entry.ok_or_else(none)?;
        answer_of(place, &entry, record, submission)
    };
    match entry_here(hub, place) {
        Err(NoEntry::InArchive) => {
            let hub = hub.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = reply.closed() => {}
                    entry = entry_at(&hub, place) => {
                        // The caller may have gone.
                        let _ = reply.send(answer(entry, &submission));
                    }
                }
            });
        }
        entry => {
            // The caller may have gone.
            let _ = reply.send(answer(entry, &submission));
        }
    }
}

fn answer_of(
    mut place: Position,
    entry: &Entry,
    record: KeyRecord,
    submission: &Submission,
) -> Result<Answer, SubmitError> {
    place.epoch = entry.epoch;
    let mut outcomes = entry.together(record.ordinal).iter().cloned();
    let outcome = outcomes.next();
    let command = outcome.as_ref().and_then(|o| o.command.as_ref());
    let (Some(outcome), Some(command)) = (&outcome, command) else {
        let what = format!("entry {place} has no command {}", record.ordinal);
        return Err(SubmitError::Unknown(what));
    };
    let ours = &submission.command.info.fingerprint;
    if ours.whole() != record.fingerprint && !planted(Bug::KeyWithoutBody) {
        let field = ours.first_difference(&command.info.fingerprint);
        return Err(SubmitError::KeyConflict { field });
    }
    Ok(Answer {
        transaction: TransactionId {
            position: place,
            ordinal: record.ordinal,
        },
        time: entry.time,
        outcome: outcome.clone(),
        others: outcomes.collect(),
        repeated: true,
    })
}
