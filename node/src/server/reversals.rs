//! What a reversal's original moved, out of the log; and what was reversed of a transaction.

use std::collections::BTreeSet;

use ledger_domain::{
    AccountId, Action, Book, Command, Event, Moved, Outcome, Position, TransactionId,
    journal::OpenJournal, state::State as _,
};
use replication::shard::Shard;
use tonic::Status;

use super::{Server, deadline::Deadline, receipt, refusal};
use crate::api::teller::v1 as pb;

/// How many reversals of a transaction are listed.
const MOST: usize = 1_000;

/// What a reversal asks for.
struct Asked<'a> {
    /// The account that it names.
    account: &'a AccountId,
    original: TransactionId,
    /// Whether it says how much.
    is_part: bool,
    in_group: bool,
}

impl Server {
    /// Says in every reversal among commands that are decided together what its original moved.
    /// Others need no looking up; nor do those whose key has its answer.
    pub(super) async fn look_up(
        &self,
        shard: &Shard,
        commands: &mut [Command],
        dry_run: bool,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let is_reversal = |it: &Command| matches!(it.action, Action::Reverse { .. });
        let Some(key) = commands.first().map(|first| first.info.key) else {
            return Ok(());
        };
        if !commands.iter().any(is_reversal) {
            return Ok(());
        }
        let known = shard.strong(|book| book.key(&key).is_some()).await;
        let (is_known, now) = known.map_err(|error| refusal::read(&error))?;
        if is_known && !dry_run {
            return Ok(());
        }
        for command in commands {
            let Action::Reverse {
                account,
                original,
                moved,
                money,
            } = &mut command.action
            else {
                continue;
            };
            let place = command.info.group;
            let asked = Asked {
                account,
                original: *original,
                is_part: money.is_some(),
                in_group: place.is_some(),
            };
            let found = self.moved(shard, asked, now, deadline).await;
            *moved = found.map_err(|status| refusal::in_group(status, place))?;
        }
        Ok(())
    }

    /// What a transaction of an account moved; `None` where that cannot be moved back. Waits for what
    /// is under way to another shard, and for a journal to be decided.
    async fn moved(
        &self,
        shard: &Shard,
        asked: Asked<'_>,
        now: Position,
        deadline: Deadline,
    ) -> Result<Option<Box<Moved>>, Status> {
        let (_, outcome) = self.outcome_at(asked.original, now, deadline).await?;
        let Some(found) = Moved::by(&outcome) else {
            return Ok(None);
        };
        if !found.concerns(asked.account) {
            return Err(refusal::reversal_of_others(asked.account));
        }
        if asked.is_part && matches!(found, Moved::Journal(_)) {
            return Err(refusal::part_of_journal());
        }
        let mut shards = found.others();
        if asked.in_group && !shards.is_empty() {
            shards.insert(asked.original.position.shard);
            return Err(refusal::group_across_shards(&shards));
        }
        let is_done = self.is_done(shard, &outcome, deadline).await?;
        Ok(is_done.then(|| Box::new(found)))
    }

    /// The first reversals of a transaction, as far as its book knew them at a time, or further.
    pub(super) async fn reversals(
        &self,
        id: TransactionId,
        outcome: &Outcome,
        known: &Known,
        deadline: Deadline,
    ) -> Result<Vec<pb::Reversal>, Status> {
        let moved = Moved::by(outcome).filter(|_| known.units != 0);
        let Some((currency, _)) = moved.map(|it| it.counted()) else {
            return Ok(Vec::new());
        };
        // What is cancelled by then has no row there any more.
        self.viewed(known.at, deadline).await?;
        let all = self.views().reversals(&id, MOST);
        let all = all.map_err(refusal::unreadable)?;
        let all = all.into_iter().map(|reversal| pb::Reversal {
            transaction_id: reversal.transaction.to_string(),
            amount: Some(receipt::money(reversal.amount, currency)),
            pending: reversal.journal.is_some_and(|it| known.is_open(it)),
        });
        Ok(all.collect())
    }
}

/// What a book knows of a transaction's reversals.
pub(super) struct Known {
    /// How much is reversed, minor units.
    pub(super) units: i64,
    at: Position,
    /// The last journal that it has opened.
    last: u64,
    /// Those that reverse the transaction and are not decided.
    open: BTreeSet<u64>,
}

impl Known {
    pub(super) fn by(book: &Book, id: &TransactionId) -> Self {
        let units = book.reversed(id);
        let is_of = |journal: &OpenJournal| journal.reverses.is_some_and(|it| it.original == *id);
        let open = book.open_journals().filter(|_| units != 0);
        let open = open.filter(|(_, journal)| is_of(journal));
        Self {
            units,
            at: Position {
                shard: book.shard(),
                epoch: book.epoch(),
                index: book.applied(),
            },
            last: book.journal_count().last,
            open: open.map(|(id, _)| id.number).collect(),
        }
    }

    fn is_open(&self, journal: u64) -> bool {
        journal > self.last || self.open.contains(&journal)
    }
}

/// The transaction that an outcome reverses.
pub(super) fn original(outcome: &Outcome) -> Option<TransactionId> {
    let events = outcome.result.as_deref().ok()?;
    let mut reversed = events.iter().filter_map(Event::reverses);
    reversed.next().map(|it| it.original)
}
