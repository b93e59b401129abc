use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use ledger_domain::{
    AccountId, Amount, Code, Command, Conditions, Event, HybridTime, JournalEvent, JournalRef,
    Position, ShardId, chain,
    event::{ChannelItem, ItemRef, Outcome},
    journal::Refusal,
    state::State as _,
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::shard::{Deposed, Shard, Submission, WriterOptions};
use crate::{
    log::LogHub,
    peer::{PeerOptions, Peers},
    raft::{GroupOptions, Timing, Transport},
    rocks::RocksDisk,
    scripted_home::{self as script, ABROAD, Ask, EPOCH, account},
    world::{Clock, Disk, Store, SystemClock, TcpNetwork},
};

const SHARD: ShardId = ShardId(4);
const PATIENCE: Duration = Duration::from_secs(30);

/// A shard of one node, with a payer who has something to send abroad.
struct Alone {
    shard: Shard,
    commands: u8,
    _dir: TempDir,
}

impl Alone {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = RocksDisk::new(dir.path().to_owned());
        let hub = LogHub::open(disk.open(Store::Log).unwrap()).unwrap();
        let nobody = Arc::new(|_| None);
        let peers = Peers::new(Arc::new(TcpNetwork), nobody, PeerOptions::brisk());
        let transport = Transport::new(SHARD.0, peers, Arc::new(|| [0; 16]), PATIENCE);
        let options = GroupOptions {
            shard: SHARD.0,
            node_id: 1,
            seed: 1,
            timing: Timing::default(),
            entries_before_snapshot: crate::raft::ENTRIES_BEFORE_SNAPSHOT,
        };
        let writer = WriterOptions::new(SHARD, EPOCH, TimeZone::UTC);
        let log = hub.shard(SHARD.0).unwrap();
        let clock = Arc::new(SystemClock);
        let shard = Shard::start(options, writer, clock, hub, log, transport).await;
        let shard = shard.unwrap();
        let members = BTreeMap::from([(1, "nowhere:1".to_owned())]);
        shard.group().initialize(members).await.unwrap();
        let mut leadership = shard.group().leadership();
        let leads = leadership.wait_for(|now| now.reign.is_some());
        timeout(PATIENCE, leads).await.unwrap().unwrap();
        let mut alone = Self {
            shard,
            commands: 0,
            _dir: dir,
        };
        alone.ask(script::open(1, 1_000)).await;
        alone
    }

    async fn ask(&mut self, (action, _): Ask) -> Outcome {
        self.commands += 1;
        let mut info = script::info(self.commands.into(), None);
        info.first_attempt_ms = SystemClock.wall_nanos() / 1_000_000;
        let command = Command {
            info,
            action,
            conditions: Conditions::default(),
            forced: false,
        };
        let submission = Submission {
            command,
            rest: Vec::new(),
            after: None,
        };
        let answer = timeout(PATIENCE, self.shard.submit(submission)).await;
        answer.unwrap().unwrap().outcome
    }

    async fn send_abroad(&mut self) -> (ChannelItem, ItemRef) {
        let ask = script::transfer(1, 7, ABROAD, 10, "2026-01-01");
        let events = self.ask(ask).await.result.unwrap();
        let sent = events.into_iter().find_map(|event| match event {
            Event::TransferSent { item, stored, .. } => Some((item, stored)),
            _ => None,
        });
        let (item, stored) = sent.unwrap();
        let reference = ItemRef {
            source: SHARD,
            source_epoch: EPOCH,
            number: item.number,
            hash: chain::writer_link(&stored),
        };
        (item, reference)
    }

    /// What a shard abroad has written has come here.
    fn observe(&self, index: u64, event: Event) {
        let position = Position {
            shard: ABROAD,
            epoch: EPOCH,
            index,
        };
        let outcome = Outcome {
            command: None,
            result: Ok(vec![event]),
        };
        let time = HybridTime::from_millis(1_700_000_000_000);
        let book = self.shard.book();
        self.shard
            .inbox()
            .observe(position, time, &[outcome], &book);
    }
}

fn posted(shard: &Shard, id: AccountId) -> i64 {
    shard.book().account(&id).unwrap().posted
}

#[tokio::test]
async fn who_waits_for_a_transfer_is_told_when_it_has_ended_and_when_nobody_here_can_tell() {
    let mut alone = Alone::start().await;
    let (first, arrives) = alone.send_abroad().await;
    let (second, refused) = alone.send_abroad().await;
    let (third, _) = alone.send_abroad().await;
    let wait = |item: &ChannelItem| {
        let (shard, to, number) = (alone.shard.clone(), item.destination, item.number);
        tokio::spawn(async move { shard.ended(to, number).await })
    };
    // Two wait for the same, and one who gives up takes nothing from the other.
    let (impatient, settled, returned) = (wait(&first), wait(&first), wait(&second));
    let open = wait(&third);
    tokio::task::yield_now().await;
    assert!(!settled.is_finished() && !returned.is_finished());
    impatient.abort();

    let received = Event::TransferReceived {
        item: arrives,
        payee: ledger_domain::event::After {
            account: first.payee,
            posted: 10,
            version: 2,
            held: 0,
        },
        payer: first.payer,
        currency: first.currency,
        amount: Amount::new(10).unwrap(),
        effective_date: first.effective_date,
        memo: None,
        source_index: 0,
        source_ordinal: 0,
    };
    alone.observe(8, received);
    let end = timeout(PATIENCE, settled).await.unwrap().unwrap().unwrap();
    assert!(end.shard == SHARD && alone.shard.book().sent(ABROAD, 1).is_none());
    assert!(!returned.is_finished());
    assert_eq!(posted(&alone.shard, account(1)), -30);

    let rejection = Code::AccountNotFound.into();
    let item = refused;
    alone.observe(9, Event::TransferRefused { item, rejection });
    let back = timeout(PATIENCE, returned).await.unwrap().unwrap().unwrap();
    assert!(back.index > end.index);
    assert_eq!(posted(&alone.shard, account(1)), -20);
    // What has ended before is told at once; what was never sent has not ended.
    let again = timeout(PATIENCE, alone.shard.ended(ABROAD, 1)).await;
    assert!(again.unwrap().is_ok());
    assert_eq!(alone.shard.has_ended(ABROAD, 4), None);

    assert!(!open.is_finished());
    alone.shard.group().shutdown().await;
    let told = timeout(PATIENCE, open).await.unwrap().unwrap();
    assert_eq!(told, Err(Deposed));
}

#[tokio::test]
async fn who_waits_for_a_journal_is_told_when_it_is_decided_and_when_nobody_here_can_tell() {
    let mut alone = Alone::start().await;
    for _ in 0..2 {
        let ask = script::journal((1, SHARD), (7, ABROAD), 10);
        alone.ask(ask).await.result.unwrap();
    }
    let wait = |number| {
        let shard = alone.shard.clone();
        tokio::spawn(async move { shard.journal_decided(number).await })
    };
    let (impatient, cancelled, open) = (wait(1), wait(1), wait(2));
    tokio::task::yield_now().await;
    assert!(!cancelled.is_finished() && !open.is_finished());
    impatient.abort();
    let refused = JournalEvent::Refused {
        journal: JournalRef {
            coordinator: SHARD,
            number: 1,
        },
        opened: None,
        refusal: Refusal {
            leg: 2,
            rejection: Code::AccountNotFound.into(),
        },
    };
    alone.observe(8, Event::Journal(refused));
    let end = timeout(PATIENCE, cancelled)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(end.shard == SHARD && alone.shard.is_journal_decided(2).is_none());
    let again = timeout(PATIENCE, alone.shard.journal_decided(1)).await;
    assert!(again.unwrap().is_ok());
    assert_eq!(alone.shard.is_journal_decided(3), None);

    assert!(!open.is_finished());
    alone.shard.group().shutdown().await;
    let told = timeout(PATIENCE, open).await.unwrap().unwrap();
    assert_eq!(told, Err(Deposed));
}
