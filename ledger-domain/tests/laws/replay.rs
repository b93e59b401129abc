//! Law: the stored bytes are the state, and what is in flight above it is the state to come.

use ledger_domain::{Book, Command, Entry, HybridTime, ShardId};
use proptest::{collection::vec, prelude::*};

use crate::{
    generate::{a_command, beginning, extreme, numbered},
    tries,
    view::View,
    writer::{EPOCH, Writer, replayed},
};

/// What a lonely writer does next.
#[derive(Debug, Clone)]
enum Step {
    Ask(Vec<Command>),
    Apply,
    Lose,
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(a_command(2, extreme()), 0..4).prop_map(Step::Ask),
        5 => Just(Step::Apply),
        1 => Just(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(tries(400))]

    #[test]
    fn replaying_the_log_gives_the_book(first in beginning(), steps in vec(a_step(), 0..40)) {
        let shard = ShardId(1);
        let mut writer = Writer::new(shard);
        writer.command(numbered(first));
        let mut count = 1_000;
        for step in steps {
            match step {
                Step::Ask(commands) => {
                    // Keys differ from every key before, also where those were lost.
                    count += commands.len();
                    writer.command(numbered(commands).into_iter().map(|mut c| {
                        let account = c.action.account();
                        let secret = ledger_domain::DigestKey::new([3; 32]);
                        c.info.key = secret.key("caller", &account, &format!("{count} {:?}", c.info.key));
                        c
                    }).collect());
                }
                Step::Apply => {
                    let before = writer.view();
                    writer.apply();
                    prop_assert_eq!(writer.view(), before, "above the book nothing changes");
                }
                Step::Lose => {
                    writer.lose();
                    prop_assert_eq!(writer.view(), View::of(&writer.book, &writer.keys));
                }
            }
        }
        let coming = writer.view();
        writer.apply_all();
        prop_assert_eq!(&View::of(&writer.book, &writer.keys), &coming);
        prop_assert_eq!(writer.view(), coming);
        prop_assert!(writer.book.sums().values().all(|sum| *sum == 0));

        let replay = replayed(shard, &writer.log);
        prop_assert_eq!(View::of_book(&replay, &writer.keys), writer.book_view());
        prop_assert_eq!(replay.head(), writer.book.head());
        prop_assert_eq!(replay.time(), writer.book.time());
        prop_assert_eq!(replay.applied(), writer.book.applied());
        prop_assert_eq!(replay.accounts(), writer.book.accounts());
    }
}

/// The book at a time, made again from stored bytes.
fn replayed_through(last: HybridTime, shard: ShardId, log: &[bytes::Bytes]) -> Book {
    let mut book = Book::without_keys(shard, EPOCH);
    for (index, stored) in (1..).zip(log) {
        let verdict = book.apply_through(last, index, stored);
        if verdict.expect("an entry of the log").is_none() {
            break;
        }
    }
    book
}

proptest! {
    #![proptest_config(tries(100))]

    #[test]
    fn the_book_at_a_time_holds_every_entry_up_to_it(first in beginning()) {
        let shard = ShardId(1);
        let mut writer = Writer::new(shard);
        for command in numbered(first) {
            writer.command(vec![command]);
        }
        writer.apply_all();
        for (index, stored) in (1..).zip(&writer.log) {
            let time = Entry::decode(stored).expect("an entry of the log").time;
            let just_before = HybridTime { wall_nanos: time.wall_nanos - 1, ..time };
            for (last, applied) in [(time, index), (just_before, index - 1)] {
                let book = replayed_through(last, shard, &writer.log);
                prop_assert_eq!(book.applied(), applied);
                let whole = &writer.log[..usize::try_from(applied).expect("a short log")];
                let replay = replayed(shard, whole);
                prop_assert_eq!(book.accounts(), replay.accounts());
                prop_assert_eq!(book.head(), replay.head());
            }
        }
    }
}
