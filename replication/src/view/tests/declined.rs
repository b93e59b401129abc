//! Refused commands, listed per account.

use super::*;
use crate::scripted_home::withdraw;
use crate::view::Declined;

/// Every refused command of an account, by pages of this size; the newest first.
fn listed(views: &Views, id: &AccountId, size: usize) -> (Vec<Declined>, u64) {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = views.declined(id, before, size).unwrap().unwrap();
        assert!(page.commands.len() <= size);
        all.extend(page.commands);
        before = page.next;
        if before.is_none() {
            return (all, page.all);
        }
    }
}

/// The same, read off the log: where, and why.
fn refused(home: &ScriptedHome, id: &AccountId) -> Vec<(TransactionId, ledger_domain::Rejection)> {
    let mut refused = Vec::new();
    for (index, entry) in home.entries() {
        for (ordinal, outcome) in (0..).zip(entry.outcomes) {
            let position = Position {
                shard: SHARD,
                epoch: EPOCH,
                index,
            };
            let here = TransactionId { position, ordinal };
            if let (Some(command), Err(why)) = (outcome.command, outcome.result)
                && command.account == *id
            {
                refused.insert(0, (here, why));
            }
        }
    }
    refused
}

pub(super) fn assert_equals_log(views: &Views, home: &ScriptedHome) {
    for (id, _) in home.book.accounts() {
        let expected = refused(home, &id);
        for size in [1, 2, 1_000] {
            let (listed, all) = listed(views, &id, size);
            assert_eq!(all, expected.len() as u64);
            let listed = listed.into_iter().map(|it| (it.transaction, it.rejection));
            assert_eq!(listed.collect::<Vec<_>>(), expected);
        }
    }
}

/// However many there were, the newest thousand are there, and how many there were is known.
#[tokio::test]
async fn of_refused_commands_the_newest_thousand_are_kept() {
    let mut home = ScriptedHome::new(SHARD.0);
    home.write(vec![script::open(1, 0), deposit(1, 5, "2026-11-02")]);
    // Many within one step of the fold, and steps that go on after them.
    home.write((0..1_100).map(|n| withdraw(1, 10 + n)).collect());
    home.write(vec![withdraw(1, 7), withdraw(1, 8)]);
    let node = Node::holding(&home).await;
    let views = node.folded(home.next() - 2).await;
    assert_eq!(listed(&views, &account(1), 300).1, 1_100);
    let last = home.next() - 1;
    node.fold(&views, last).await.unwrap();
    let expected = refused(&home, &account(1));
    assert_eq!(expected.len(), 1_102);
    let (kept, all) = listed(&views, &account(1), 300);
    assert_eq!((kept.len(), all), (1_000, 1_102));
    for (n, (kept, (transaction, rejection))) in kept.iter().zip(&expected).enumerate() {
        assert_eq!(kept.number, all - n as u64);
        assert_eq!(
            (&kept.transaction, &kept.rejection),
            (transaction, rejection)
        );
        assert_eq!(kept.time, time_of(transaction.position.index));
    }
    assert_eq!(kept[0].rejection.figures, [5, 8]);
    assert!(
        views
            .declined(&account(1), Some(1), 10)
            .unwrap()
            .unwrap()
            .commands
            .is_empty()
    );
    assert_eq!(views.declined(&account(2), None, 10), Ok(None));
}
