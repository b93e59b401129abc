//! The path that a transaction took: every book that it went through, when, and what it booked there.

use ledger_domain::{
    Amount, Currency, Entry, Event, JournalEvent, Outcome, Party, ShardId, TransactionId,
    event::ChannelItem,
    posting::{self, postings},
};
use replication::topology::Directory as _;
use tonic::Status;

use super::{Server, journals, receipt, refusal, settlement};
use crate::api::teller::v1::{self as pb, TransactionStage as Stage};

impl Server {
    /// From where it was decided to where it has ended, as far as the logs that are here tell.
    pub(super) async fn path(
        &self,
        id: TransactionId,
        (entry, outcome): (&Entry, &Outcome),
    ) -> Result<Vec<pb::TransactionStep>, Status> {
        let first = match &outcome.result {
            Ok(_) => Stage::Decided,
            Err(_) => Stage::Refused,
        };
        let item = settlement::sent(outcome);
        let mut path = vec![self.step(first, id, entry, outcome, item)];
        let home = id.position.shard;
        let mut later = Vec::new();
        if let Some(item) = item {
            let (to, number) = (item.destination, item.number);
            // That a copy of another shard's log cannot be read does not change what is known here.
            if let Ok(Some(at)) = self.views().recorded(to, home, number)
                && let Ok((entry, outcome)) = self.entry_of(at).await
            {
                path.push(self.step(stage(&outcome), at, &entry, &outcome, Some(item)));
            }
            let ended = self.views().ended(home, to, number);
            later.extend(ended.map_err(refusal::unreadable)?.map(|it| it.closed));
        } else if let Some(number) = journals::opened(outcome) {
            let decided = self.views().journal_decided(home, number);
            later.extend(decided.map_err(refusal::unreadable)?);
        }
        for at in later {
            let (entry, outcome) = self.entry_of(at).await?;
            let stage = stage(&outcome);
            path.push(self.step(stage, at, &entry, &outcome, item));
        }
        Ok(path)
    }

    fn step(
        &self,
        stage: Stage,
        at: TransactionId,
        entry: &Entry,
        outcome: &Outcome,
        item: Option<&ChannelItem>,
    ) -> pb::TransactionStep {
        let shard = self.directory.topology().shard(at.position.shard);
        let sent = |to, number| sent(item, to, number);
        let booked = outcome.result.iter().flatten();
        let booked = booked.flat_map(|event| postings(event, sent));
        pb::TransactionStep {
            stage: stage.into(),
            region: shard.map_or_else(String::new, |shard| shard.region.to_string()),
            transaction_id: at.to_string(),
            position: Some(receipt::position(at.position)),
            decided_at: Some(receipt::time(entry.time)),
            postings: booked.map(posting).collect(),
        }
    }
}

fn sent(item: Option<&ChannelItem>, to: ShardId, number: u64) -> Option<(Currency, Amount)> {
    let item = item.filter(|item| (item.destination, item.number) == (to, number));
    item.map(|item| (item.currency, item.amount))
}

/// What a later outcome means for the transaction that it belongs to.
fn stage(outcome: &Outcome) -> Stage {
    let events = outcome.result.iter().flatten();
    let mut stages = events.filter_map(|event| match event {
        Event::TransferReceived { .. } => Some(Stage::Credited),
        Event::TransferSuspended { .. } => Some(Stage::Kept),
        Event::TransferRefused { .. } => Some(Stage::Refused),
        Event::TransferSettled { .. } => Some(Stage::Settled),
        Event::TransferReturned { .. } => Some(Stage::Returned),
        Event::Journal(JournalEvent::Posted { .. }) => Some(Stage::Posted),
        Event::Journal(JournalEvent::Cancelled { .. }) => Some(Stage::Cancelled),
        _ => None,
    });
    stages.next().unwrap_or(Stage::Unspecified)
}

fn posting(found: posting::Posting) -> pb::Posting {
    let money = |units| receipt::money(units, found.currency);
    pb::Posting {
        account: match &found.party {
            Party::Account(id) => id.to_string(),
            Party::House(code) => code.to_string(),
        },
        amount: Some(money(found.units)),
        balance_after: found.posted.map(money),
    }
}
