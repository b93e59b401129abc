//! What a reversal's original moved, out of the log; and what was reversed of a transaction.

use ledger_domain::{
    AccountId, Action, Book, Command, Event, JournalRef, Moved, Outcome, Position, TransactionId,
    state::State as _,
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
                ..
            } = &mut command.action
            else {
                continue;
            };
            let place = command.info.group;
            let asked = Asked {
                account,
                original: *original,
                in_group: place.is_some(),
            };
            let found = self.moved(shard, asked, now, deadline).await;
            *moved = found.map_err(|status| refusal::in_group(status, place))?;
        }
        Ok(())
    }

    /// What a transaction of an account moved; `None` where that cannot be moved back. Waits for what
    /// is under way to another shard.
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
        if let Some((to, _)) = found.elsewhere {
            if asked.in_group {
                let shards = [asked.original.position.shard, to];
                return Err(refusal::group_across_shards(&shards.into()));
            }
            if !self.is_given(shard, &outcome, deadline).await? {
                return Ok(None);
            }
        }
        Ok(Some(Box::new(found)))
    }

    /// The first reversals of a transaction, as far as a book knows them, or further.
    pub(super) async fn reversals(
        &self,
        book: &Book,
        id: TransactionId,
        outcome: &Outcome,
        deadline: Deadline,
    ) -> Result<Vec<pb::Reversal>, Status> {
        let Some(moved) = Moved::by(outcome) else {
            return Ok(Vec::new());
        };
        let now = Position {
            shard: book.shard(),
            epoch: book.epoch(),
            index: book.applied(),
        };
        self.viewed(now, deadline).await?;
        let is_pending = |number| {
            let coordinator = book.shard();
            let journal = JournalRef {
                coordinator,
                number,
            };
            // One that is newer than the book, or not decided there. One that is cancelled there has
            // no row any more.
            number > book.journal_count().last || book.journal_legs(&journal).is_some()
        };
        let all = self.views.reversals(&id, MOST);
        let all = all.map_err(refusal::unreadable)?;
        let all = all.into_iter().map(|reversal| pb::Reversal {
            transaction_id: reversal.transaction.to_string(),
            amount: Some(receipt::money(reversal.amount, moved.currency)),
            pending: reversal.journal.is_some_and(is_pending),
        });
        Ok(all.collect())
    }
}

/// The transaction that an outcome reverses.
pub(super) fn original(outcome: &Outcome) -> Option<TransactionId> {
    let events = outcome.result.as_deref().ok()?;
    let mut reversed = events.iter().filter_map(Event::reverses);
    reversed.next().map(|it| it.original)
}
