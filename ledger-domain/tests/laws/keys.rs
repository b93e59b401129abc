//! Law: a command is applied once, however often it is asked, and always answered the same.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use ledger_domain::{
    Action, Command, Entry, KeyDigest, Limit, Outcome, ShardId, book::KEY_WINDOW, state::State,
};
use proptest::{collection::vec, prelude::*};

use crate::{
    generate::{
        LIVES_AT_MOST, a_command, account_id, beginning, command, currency, extreme, numbered,
    },
    stored_book::same,
    tries,
    writer::{Answer, Writer},
};

/// Batches as they are proposed, each followed by so many entries applied, and the earlier
/// commands that come again in it.
type Batch = (Vec<Command>, usize, Vec<usize>);

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let batch = (
        vec(a_command(2, extreme()), 0..4),
        0..3usize,
        vec(any::<usize>(), 0..4),
    );
    (beginning(), vec(batch, 1..20)).prop_map(|(first, mut batches)| {
        batches.insert(0, (first, 0, vec![0, 1, 2]));
        let mut commands = numbered(batches.iter().flat_map(|b| b.0.clone())).into_iter();
        for (batch, ..) in &mut batches {
            *batch = commands.by_ref().take(batch.len()).collect();
        }
        batches
    })
}

fn outcome(log: &[Bytes], index: u64, ordinal: u32) -> Outcome {
    let entry = Entry::decode(&log[index as usize - 1]).expect("an entry of the log");
    entry.outcomes[ordinal as usize].clone()
}

/// The log without retries, or with.
fn run(batches: &[Batch], retry: bool) -> Vec<Bytes> {
    let mut writer = Writer::new(ShardId(1));
    let mut first: BTreeMap<KeyDigest, Outcome> = BTreeMap::new();
    let mut asked: Vec<Command> = Vec::new();
    for (batch, applied, again) in batches {
        asked.extend(batch.iter().cloned());
        let mut commands = batch.clone();
        if retry && !asked.is_empty() {
            commands.extend(again.iter().map(|n| asked[n % asked.len()].clone()));
        }
        let answers = writer.command(commands.clone());
        for (command, answer) in commands.iter().zip(answers) {
            match answer {
                Answer::Decided(outcome) => {
                    assert!(first.insert(command.info.key, outcome).is_none());
                }
                Answer::Repeated(record) => {
                    assert_eq!(record.fingerprint, command.info.fingerprint.whole());
                    let answer = &first[&command.info.key];
                    // In flight, the repeat waits: the record says only that there is one.
                    if record.index > 0 {
                        let again = outcome(&writer.log, record.index, record.ordinal);
                        assert_eq!(again, *answer);
                    }
                }
                Answer::Nothing => panic!("a command is answered"),
            }
        }
        for _ in 0..*applied {
            writer.apply();
        }
    }
    writer.apply_all();
    for (key, answer) in &first {
        let record = writer.book.key(key).expect("every key is remembered");
        assert_eq!(outcome(&writer.log, record.index, record.ordinal), *answer);
    }
    // What expires does so before all is asked again, not with it.
    writer.wait(LIVES_AT_MOST);
    writer.command(Vec::new());
    writer.apply_all();
    let before = writer.book_view();
    let all = writer.command(asked);
    assert!(all.iter().all(|a| matches!(a, Answer::Repeated(_))));
    writer.apply_all();
    assert_eq!(writer.book_view(), before);
    writer.log
}

proptest! {
    #![proptest_config(tries(200))]

    #[test]
    fn retries_change_nothing_and_are_answered_the_same(batches in batches()) {
        prop_assert_eq!(run(&batches, true), run(&batches, false));
    }

    #[test]
    fn a_key_answers_for_the_whole_window(hours in vec(0..60u64, 1..40)) {
        let mut writer = Writer::new(ShardId(1));
        let mut used = Vec::new();
        let command = command(Action::Open {
            account: account_id(0),
            currency: currency("EUR"),
            limit: Limit::Unlimited,
            opened_on: None,
        });
        for (command, hours) in numbered(vec![command; hours.len()]).into_iter().zip(hours) {
            writer.wait(Duration::from_secs(hours * 3600));
            // A restart in between makes no difference.
            writer.book = same(&writer);
            let key = command.info.key;
            writer.command(vec![command]);
            writer.apply_all();
            let now = writer.book.time().wall_nanos;
            used.push((now, key));
            for (then, key) in &used {
                let age = Duration::from_nanos(now - then);
                let known = writer.book.key(key).is_some();
                prop_assert!(known || age > KEY_WINDOW, "forgotten after {age:?}");
                // Forgetting is the point of the window: three spans later nothing is left.
                let kept = KEY_WINDOW + Duration::from_secs(3 * 24 * 3600);
                prop_assert!(!known || age <= kept, "still known after {age:?}");
            }
        }
    }
}
