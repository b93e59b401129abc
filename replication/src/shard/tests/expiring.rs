//! A hold that expires where nothing else happens.

use ledger_domain::{Account, Action, Amount, Command, Conditions, HoldAction, state::State as _};

use crate::rocks::RocksDisk;
use crate::scripted_home::{self as script, account};
use crate::shard::*;
use crate::world::SystemClock;

use super::closing::{found, shard_with};

const HOUR: Duration = Duration::from_secs(3_600);
const LIFE: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(20);

async fn ask(shard: &Shard, number: u64, action: Action) {
    let mut info = script::info(number, None);
    info.first_attempt_ms = SystemClock.wall_nanos() / 1_000_000;
    let submission = Submission {
        command: Command {
            info,
            conditions: Conditions::default(),
            action,
            forced: false,
        },
        rest: Vec::new(),
        after: None,
    };
    let answer = shard.submit(submission).await.unwrap();
    answer.outcome.result.unwrap();
}

fn payer(shard: &Shard) -> Account {
    shard.book().account(&account(1)).unwrap()
}

#[tokio::test]
async fn a_leader_without_anything_to_do_writes_that_a_hold_has_expired_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RocksDisk::new(dir.path().to_owned());
    let shard = shard_with(&disk, |writer| WriterOptions {
        idle_min: HOUR,
        idle_max: HOUR,
        ..writer
    })
    .await;
    found(&shard).await;
    let (open, _) = script::open(1, 100);
    ask(&shard, 1, open).await;
    let action = HoldAction::Place {
        currency: "EUR".parse().unwrap(),
        amount: Amount::new(70).unwrap(),
        life: Some(LIFE),
    };
    let hold = Action::Hold {
        account: account(1),
        action,
    };
    ask(&shard, 2, hold).await;
    let (placed, expires) = {
        let book = shard.book();
        (book.applied(), book.hold(1).unwrap().expires)
    };
    assert_eq!(payer(&shard).held, 70);

    let expired = async {
        while payer(&shard).held > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let expired = tokio::time::timeout(PATIENCE, expired).await;
    expired.expect("somebody looks at the clock");
    let time = shard.book().time().wall_nanos;
    let late = Duration::from_nanos(time - expires);
    assert!(late < HOUR, "{late:?}");
    tokio::time::sleep(2 * LIFE).await;
    assert_eq!(shard.book().applied(), placed + 1, "one entry, once");
    shard.group().shutdown().await;
}
