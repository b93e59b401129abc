//! What an account's lines say that it was, against a fold of the log up to then.

use ledger_domain::{Book, HybridTime};

use super::*;
use crate::view::Moment;

/// Every account's booked sum after each index, and the time of the last entry that counts.
fn folds(home: &ScriptedHome) -> Vec<(HybridTime, BTreeMap<AccountId, i64>)> {
    let mut book = Book::new(SHARD, EPOCH);
    let mut folds = Vec::new();
    for (index, record) in (0..).zip(&home.records) {
        let stored = StoredRecord::parse(record.record.clone()).unwrap();
        if stored.kind == Kind::Entry {
            book.apply(index, &stored.payload).unwrap();
        }
        let accounts = book
            .accounts()
            .into_iter()
            .map(|(id, account)| (id, account.posted));
        folds.push((book.time(), accounts.collect()));
    }
    folds
}

fn place(index: u64) -> Position {
    Position {
        shard: SHARD,
        epoch: EPOCH,
        index,
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_as_of_any_time_or_place_is_what_the_log_comes_to_there() {
    let mut home = ScriptedHome::eventful(SHARD.0);
    home.write(vec![script::open(4, 0)]);
    home.write(vec![deposit(4, 7, "2026-11-09")]);
    let folds = folds(&home);
    let last = home.next() - 1;
    let accounts = [1, 2, 3, 4, 99].map(account);
    // A node that has it all, one that folded it in two parts, and two that are behind.
    for (first, end) in [(last, last), (40, last), (3, 57), (9, 12)] {
        let node = Node::holding(&home).await;
        drop(node.folded(first).await);
        let views = node.folded(end).await;
        let known = folds[end as usize].0;
        for index in 0..=last {
            let (_, fold) = &folds[index as usize];
            for account in &accounts {
                let moment = Moment::Place(place(index));
                let past = views.recall(SHARD, account, moment, Instant::now()).await;
                if index > end {
                    let late = matches!(past, Err(ReadError::Late { .. }));
                    assert!(late, "{index} of {end}: {past:?}");
                    continue;
                }
                let past = past.unwrap();
                let past = past.map(|past| past.booked);
                let posted = past.map(|past| past.posted);
                assert_eq!(posted, fold.get(account).copied(), "{account} at {index}");
                assert!(past.is_none_or(|past| past.position.index <= index));
            }
        }
        for index in 0..=last {
            // Just before, at, and after an entry.
            let at = time_of(index).wall_nanos;
            for (wall_nanos, count) in [(at - 1, 9), (at, 0), (at, 1), (at + 500_000_000, 0)] {
                let time = HybridTime { wall_nanos, count };
                let fold = folds.iter().rev().find(|(known, _)| *known <= time);
                for account in &accounts {
                    let moment = Moment::Time(time);
                    let past = views.recall(SHARD, account, moment, Instant::now()).await;
                    if time > known {
                        let open = matches!(past, Err(ReadError::Open { .. }));
                        assert!(open, "{time}, known up to {known}: {past:?}");
                        continue;
                    }
                    let past = past.unwrap();
                    let past = past.map(|past| past.booked);
                    let posted = past.map(|past| past.posted);
                    let expected = fold.and_then(|(_, fold)| fold.get(account).copied());
                    assert_eq!(posted, expected, "{account} at {time}");
                    assert!(past.is_none_or(|past| past.time <= time));
                }
            }
        }
    }
}

#[tokio::test]
async fn what_an_account_was_is_waited_for() {
    let home = ScriptedHome::eventful(SHARD.0);
    let node = Node::holding(&home).await;
    let views = node.folded(5).await;
    let asked = time_of(60);
    let asking = {
        let views = views.clone();
        let deadline = Instant::now() + Duration::from_secs(30);
        tokio::spawn(async move {
            let moment = Moment::Time(asked);
            views.recall(SHARD, &account(1), moment, deadline).await
        })
    };
    tokio::task::yield_now().await;
    node.fold(&views, home.next() - 1).await.unwrap();
    let past = asking.await.unwrap().unwrap().unwrap();
    assert_eq!(
        Some(&past.booked.posted),
        folds(&home)[60].1.get(&account(1))
    );
}
