//! How transfers to other shards end, as the payer's home tells it.
//!
//! The payer's shard records that a transfer was settled or returned because it has seen what the
//! payee's shard recorded, in a log that is here. So both recordings can be read on this node: the
//! views say where they stand, the logs say what.

use ledger_domain::{
    Account, Event, Outcome, Position, Rejection,
    event::{After, ChannelItem},
};
use replication::shard::{Deposed, Shard};
use tokio::time::timeout_at;
use tonic::Status;

use super::{
    Server,
    deadline::Deadline,
    journals::{self, Decision},
    refusal,
};

/// How far an accepted command is.
#[derive(Debug)]
pub(super) enum Progress {
    /// As its own outcome says.
    Decided,
    /// It was a transfer to another shard, or a journal between shards, and that has ended.
    Ended(Ending),
    /// It is one whose end did not come in time.
    Open,
}

/// How a transfer to another shard, or a journal between shards, ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The payee has it.
    Settled {
        /// A position of the payee's shard that covers the credit.
        covers: Position,
        /// The credit itself, as far as it can be read here.
        credit: Option<Credit>,
    },
    /// It came back.
    Returned {
        /// Why.
        rejection: Rejection,
        /// Where the payer's shard recorded it.
        position: Position,
        /// The payer's balance with it; `None` where it went to suspense.
        payer: Option<After>,
    },
    /// The journal is posted or cancelled.
    Decided(Decision),
}

/// What the payee's shard recorded.
#[derive(Debug)]
pub(super) struct Credit {
    pub(super) position: Position,
    pub(super) payee: After,
    /// Currency and limit of the payee.
    pub(super) account: Account,
}

/// The item of a transfer to another shard, if the outcome sent one.
pub(super) fn sent(outcome: &Outcome) -> Option<&ChannelItem> {
    let events = outcome.result.as_deref().ok()?;
    let items = events.iter().find_map(Event::sends);
    items.map(|(item, _)| item)
}

/// Whether an outcome leaves something to another shard.
pub(super) fn is_open(outcome: &Outcome) -> bool {
    sent(outcome).is_some() || journals::opened(outcome).is_some()
}

impl Server {
    /// Waits until what an outcome has left to other shards has ended.
    pub(super) async fn wait(
        &self,
        shard: &Shard,
        outcome: &Outcome,
        deadline: Deadline,
    ) -> Progress {
        match (sent(outcome), journals::opened(outcome)) {
            (Some(item), _) => self.wait_for_end(shard, item, deadline).await,
            (None, Some(number)) => self.wait_for_decision(shard, number, deadline).await,
            (None, None) => Progress::Decided,
        }
    }

    /// Waits until a transfer has ended in the payer's book, which is decided here.
    async fn wait_for_end(
        &self,
        shard: &Shard,
        item: &ChannelItem,
        deadline: Deadline,
    ) -> Progress {
        let mut stopping = self.stopping.subscribe();
        let end = async {
            let ended = shard.ended(item.destination, item.number).await;
            self.ending(item, ended.ok()?, deadline).await.ok()
        };
        let ending = tokio::select! {
            end = timeout_at(deadline.patience(), end) => end.ok().flatten(),
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        ending.map_or(Progress::Open, Progress::Ended)
    }

    /// How far an outcome is in its own book, now.
    pub(super) async fn progress(
        &self,
        shard: &Shard,
        outcome: &Outcome,
        deadline: Deadline,
    ) -> Result<Progress, Status> {
        if let Some(number) = journals::opened(outcome) {
            return self.journal_progress(shard, number, deadline).await;
        }
        let Some(item) = sent(outcome) else {
            return Ok(Progress::Decided);
        };
        match shard.has_ended(item.destination, item.number) {
            None => Ok(Progress::Decided),
            Some(by) => Ok(Progress::Ended(self.ending(item, by, deadline).await?)),
        }
    }

    /// How a transfer ended that had ended by a position of the payer's shard.
    async fn ending(
        &self,
        item: &ChannelItem,
        by: Position,
        deadline: Deadline,
    ) -> Result<Ending, Status> {
        self.viewed(by, deadline).await?;
        let (to, number) = (item.destination, item.number);
        let ended = self.views().ended(item.source, to, number);
        let closed = match ended.map_err(refusal::unreadable)? {
            Some(ended) => ended.closed,
            None => {
                let what = format!("the view of shard {} lacks item {number}", item.source);
                return Err(refusal::damaged(what));
            }
        };
        let (outcome, causes) = self.outcome(closed).await?;
        for event in outcome.result.into_iter().flatten() {
            match event {
                Event::TransferReturned {
                    rejection, payer, ..
                } => {
                    let position = closed.position;
                    return Ok(Ending::Returned {
                        rejection,
                        position,
                        payer,
                    });
                }
                Event::TransferSettled { .. } => {
                    let seen = causes.into_iter().filter(|cause| cause.shard == to).max();
                    let Some(covers) = seen else { break };
                    let credit = self.credit(item, covers, deadline).await;
                    return Ok(Ending::Settled { covers, credit });
                }
                _ => {}
            }
        }
        let what = format!("the outcome {closed} does not close item {number} to shard {to}");
        Err(refusal::damaged(what))
    }

    /// The credit of a settled transfer. That it cannot be read does not change that it is there.
    async fn credit(
        &self,
        item: &ChannelItem,
        covers: Position,
        deadline: Deadline,
    ) -> Option<Credit> {
        let given = self.given(item, covers, deadline).await;
        let (position, payee) = given.ok()?;
        let account = self.views().balance(&item.payee).ok()??.account;
        Some(Credit {
            position,
            payee: payee?,
            account,
        })
    }

    /// Where the payee's shard has recorded a transfer that is settled by a position there, and the
    /// payee after it: `None` where it was kept from its payee.
    async fn given(
        &self,
        item: &ChannelItem,
        covers: Position,
        deadline: Deadline,
    ) -> Result<(Position, Option<After>), Status> {
        self.viewed(covers, deadline).await?;
        let (to, number) = (item.destination, item.number);
        let recorded = self.views().recorded(to, item.source, number);
        let recorded = recorded.map_err(refusal::unreadable)?.ok_or_else(|| {
            refusal::damaged(format!("the view of shard {to} lacks item {number}"))
        })?;
        let (outcome, _) = self.outcome(recorded).await?;
        let payee = outcome
            .result
            .iter()
            .flatten()
            .find_map(|event| match event {
                Event::TransferReceived { payee, .. } => Some(*payee),
                _ => None,
            });
        Ok((recorded.position, payee))
    }

    /// Whether what an outcome moved has got where it should: not a transfer that came back or is in
    /// suspense, nor a journal that was cancelled. Waits while it is under way.
    pub(super) async fn is_done(
        &self,
        shard: &Shard,
        outcome: &Outcome,
        deadline: Deadline,
    ) -> Result<bool, Status> {
        if let Some(number) = journals::opened(outcome) {
            let decided = shard.journal_decided(number);
            let by = self.in_time("the journal", decided, deadline).await?;
            let decision = self.decision(number, by, deadline).await?;
            return Ok(decision.cancelled.is_none());
        }
        let Some(item) = sent(outcome) else {
            return Ok(true);
        };
        let ended = shard.ended(item.destination, item.number);
        let by = self.in_time("the transfer", ended, deadline).await?;
        match self.ending(item, by, deadline).await? {
            Ending::Settled { covers, .. } => {
                let (_, payee) = self.given(item, covers, deadline).await?;
                Ok(payee.is_some())
            }
            Ending::Returned { .. } | Ending::Decided(_) => Ok(false),
        }
    }

    /// Waits for the end of something as long as its caller does.
    async fn in_time(
        &self,
        what: &str,
        ended: impl Future<Output = Result<Position, Deposed>>,
        deadline: Deadline,
    ) -> Result<Position, Status> {
        let mut stopping = self.stopping.subscribe();
        let ended = tokio::select! {
            ended = timeout_at(deadline.patience(), ended) => ended,
            _ = stopping.wait_for(|stopping| *stopping) => return Err(refusal::stops()),
        };
        let ended = ended.map_err(|_| refusal::under_way(what))?;
        ended.map_err(|Deposed| refusal::not_leader(None))
    }
}
