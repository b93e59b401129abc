//! How far a transaction is: looked up at its payer's home, by its id or its key.

use ledger_domain::{
    Book, Event, JournalEvent, Moved, Outcome, Position, TransactionId, command::Kind,
    state::State as _, suspense::Cleared,
};
use replication::{
    shard::{Answer, Shard},
    topology::Directory as _,
};
use tonic::{Request, Response, Status};

use super::{
    Server,
    deadline::Deadline,
    prepare, receipt, refusal,
    reversals::{Known, original},
    route::{self, Asker},
    settlement::{Ending, Progress, is_open},
};
use crate::api::{
    teller::v1::{self as pb, get_transaction_request::By, teller_client::TellerClient as Client},
    v1,
};

/// A transaction as the one who asks names it, and on whose behalf.
struct Question<'a> {
    shard: &'a Shard,
    caller: &'a str,
    asker: Asker,
    deadline: Deadline,
}

impl Server {
    /// Answers from the transaction's own home, wherever that is.
    pub(super) async fn find_transaction(
        &self,
        request: Request<pb::GetTransactionRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::GetTransactionReply>, Status> {
        let (caller, asker) = (&route::caller(request.metadata())?, self.asker(&request));
        let home = match &request.get_ref().by {
            Some(By::TransactionId(id)) => transaction_id(id)?.position.shard,
            Some(By::Key(key)) => self.home(&prepare::account(&key.account_id)?)?,
            None => return Err(refusal::invalid("name a transaction by its id or its key")),
        };
        if self.directory_has(home).is_none() {
            return Err(refusal::transaction_not_found());
        }
        self.at_leader(
            home,
            request,
            deadline,
            |shard, body| async move {
                let question = Question {
                    shard: &shard,
                    caller,
                    asker,
                    deadline,
                };
                self.transaction(question, body).await
            },
            |channel, request| async move { Client::new(channel).get_transaction(request).await },
        )
        .await
    }

    async fn transaction(
        &self,
        question: Question<'_>,
        body: pb::GetTransactionRequest,
    ) -> Result<pb::GetTransactionReply, Status> {
        let digests = self.secrets.digest_key();
        let (mut id, key, known) = match body.by {
            Some(By::TransactionId(id)) => (Some(transaction_id(&id)?), String::new(), None),
            Some(By::Key(key)) => {
                let account = prepare::account(&key.account_id)?;
                let known = digests.key(question.caller, &account, &key.idempotency_key);
                (None, key.idempotency_key, Some(known))
            }
            None => return Err(refusal::transaction_not_found()),
        };
        let read = |book: &Book| known.and_then(|key| book.key(&key));
        let (record, now) = question
            .shard
            .strong(read)
            .await
            .map_err(|e| refusal::read(&e))?;
        if let Some(record) = record {
            let position = Position {
                index: record.index,
                ..now
            };
            let ordinal = record.ordinal;
            id = Some(TransactionId { position, ordinal });
        }
        let id = id.ok_or_else(refusal::transaction_not_found)?;
        self.transaction_at(question, id, key, now).await
    }

    /// Describes the transaction that an id stands for, in a shard that was read up to `now`.
    async fn transaction_at(
        &self,
        question: Question<'_>,
        id: TransactionId,
        key: String,
        now: Position,
    ) -> Result<pb::GetTransactionReply, Status> {
        let at = id.position;
        let (entry, outcome) = self.outcome_at(id, now, question.deadline).await?;
        let (entry, outcome) = (&entry, &outcome);
        let Some(command) = &outcome.command else {
            return self.cause_of(question, at, outcome, now).await;
        };
        let progress = self
            .progress(question.shard, outcome, question.deadline)
            .await?;
        let settled_at = settled_at(outcome, &progress, at);
        let answer = Answer {
            transaction: id,
            time: entry.time,
            outcome: outcome.clone(),
            others: Vec::new(),
            repeated: true,
        };
        let receipt = match &outcome.result {
            Ok(_) => self.receipt(question.shard, &answer, &key, &progress)?,
            Err(rejection) => self.rejected_receipt(&answer, rejection, &key),
        };
        let (counterparty, amount) = moved(outcome).unzip();
        let known = Known::by(&question.shard.book(), &id);
        let reversed = Moved::by(outcome).filter(|_| known.units != 0);
        let reversed = reversed.map(|moved| (known.units, moved.counted().0));
        let reversals = self
            .reversals(id, outcome, &known, question.deadline)
            .await?;
        let path = self.path(id, (entry, outcome)).await?;
        let amount = amount.or_else(|| set_aside(outcome, &question.shard.book()));
        Ok(pb::GetTransactionReply {
            receipt: Some(receipt),
            kind: kind(command.kind).into(),
            account_id: command.account.to_string(),
            counterparty: counterparty.unwrap_or_default(),
            amount,
            effective_date: command.effective_date.to_string(),
            business_date: entry.business_date.to_string(),
            settled_at: settled_at.map(receipt::position),
            memo: self.memo_for(&question.asker, outcome),
            actor: command.info.actor.clone(),
            privileged: command.info.privileged,
            into_closed_day: command.info.into_closed_day,
            channel: command.info.channel as i32,
            group_item: command.info.group.map_or(0, |group| group.item),
            group_of: command.info.group.map_or(0, |group| group.of),
            reverses: original(outcome).map_or_else(String::new, |id| id.to_string()),
            reversed: reversed.map(|(units, currency)| receipt::money(units, currency)),
            reversals,
            path,
        })
    }

    /// Describes the transaction that an outcome without a command belongs to.
    async fn cause_of(
        &self,
        question: Question<'_>,
        at: Position,
        outcome: &Outcome,
        now: Position,
    ) -> Result<pb::GetTransactionReply, Status> {
        for event in outcome.result.iter().flatten() {
            match event {
                Event::TransferSettled {
                    destination,
                    number,
                }
                | Event::TransferReturned {
                    destination,
                    number,
                    ..
                } => {
                    let ended = self.views().ended(at.shard, *destination, *number);
                    let ended = ended.map_err(refusal::unreadable)?;
                    let sent = ended.ok_or_else(refusal::transaction_not_found)?.sent;
                    return Box::pin(self.transaction_at(question, sent, String::new(), now)).await;
                }
                Event::Journal(
                    JournalEvent::Posted {
                        opened: Some(opened),
                        ..
                    }
                    | JournalEvent::Reserved { opened, .. },
                ) => {
                    return match opened.position.shard == at.shard {
                        true => {
                            let key = String::new();
                            Box::pin(self.transaction_at(question, *opened, key, now)).await
                        }
                        false => self.paying_transaction(question, *opened, outcome).await,
                    };
                }
                Event::TransferReceived {
                    item,
                    source_index,
                    source_ordinal,
                    ..
                }
                | Event::TransferSuspended {
                    item,
                    source_index,
                    source_ordinal,
                    ..
                } => {
                    let position = Position {
                        shard: item.source,
                        epoch: item.source_epoch,
                        index: *source_index,
                    };
                    let ordinal = *source_ordinal;
                    let paying = TransactionId { position, ordinal };
                    return self.paying_transaction(question, paying, outcome).await;
                }
                _ => {}
            }
        }
        Err(refusal::transaction_not_found())
    }

    /// Asks the payer's home about a transfer that was received here.
    async fn paying_transaction(
        &self,
        question: Question<'_>,
        paying: TransactionId,
        received: &Outcome,
    ) -> Result<pb::GetTransactionReply, Status> {
        let Question {
            caller,
            asker,
            deadline,
            ..
        } = question;
        let by = Some(By::TransactionId(paying.to_string()));
        let mut request = Request::new(pb::GetTransactionRequest { by });
        route::set_caller(request.metadata_mut(), caller);
        request.extensions_mut().insert(asker);
        let reply = Box::pin(self.find_transaction(request, deadline)).await?;
        let mut reply = reply.into_inner();
        if reply.memo.is_empty() {
            reply.memo = self.memo_for(&asker, received);
        }
        Ok(reply)
    }

    /// Personal data leaves this node only for a region that could read it as well.
    fn memo_for(&self, asker: &Asker, outcome: &Outcome) -> String {
        let topology = self.directory.topology();
        let domain = |region| topology.region(region).map(|region| &region.domain);
        match domain(&asker.0) {
            Some(theirs) if domain(&self.region) == Some(theirs) => self.memo_in(outcome),
            _ => String::new(),
        }
    }
}

fn transaction_id(text: &str) -> Result<TransactionId, Status> {
    text.parse().map_err(refusal::invalid)
}

/// The other side, and how much.
fn moved(outcome: &Outcome) -> Option<(String, v1::Money)> {
    let events = outcome.result.as_deref().ok()?;
    let named = outcome.command.as_ref().map(|command| command.account);
    events.iter().find_map(|event| {
        let (counterparty, amount, currency) = match event {
            Event::FundsDeposited {
                house,
                currency,
                amount,
                ..
            }
            | Event::FundsWithdrawn {
                house,
                currency,
                amount,
                ..
            } => (house.to_string(), amount, currency),
            Event::FundsTransferred {
                payer,
                payee,
                currency,
                amount,
            } => {
                // A reversal may name the one who is paid back.
                let other = match named == Some(payee.account) {
                    true => payer,
                    false => payee,
                };
                (other.account.to_string(), amount, currency)
            }
            Event::TransferSent { item, .. } => {
                (item.payee.to_string(), &item.amount, &item.currency)
            }
            // A reversal of what went to another shard: who pays there. One of a journal of more legs
            // has no one other side.
            Event::Journal(JournalEvent::Opened {
                lines,
                asks,
                reverses: Some(reversed),
                ..
            }) => match (&lines[..], &asks[..]) {
                ([_], [ask]) if ask.legs.len() == 1 => {
                    let leg = ask.legs.first()?;
                    (leg.party.to_string(), &reversed.amount, &leg.currency)
                }
                _ => return None,
            },
            Event::SuspenseCleared(cleared) => {
                let to = match &cleared.to {
                    Cleared::Account(after) => after.account.to_string(),
                    Cleared::House(house) => house.to_string(),
                    Cleared::Sent { item, .. } => item.payee.to_string(),
                };
                (to, &cleared.amount, &cleared.currency)
            }
            _ => return None,
        };
        let amount = receipt::money(amount.minor_units(), *currency);
        Some((counterparty, amount))
    })
}

/// How much was placed under a hold, or given back.
fn set_aside(outcome: &Outcome, book: &Book) -> Option<v1::Money> {
    let events = outcome.result.as_deref().ok()?;
    events.iter().find_map(|event| match event {
        Event::Hold(event) => {
            let account = book.account(&event.after.account)?;
            let units = event.change.delta().unsigned_abs();
            let units = i64::try_from(units).ok()?;
            Some(receipt::money(units, account.currency))
        }
        _ => None,
    })
}

/// Where the payee's side is recorded: what touches one book only is at once.
fn settled_at(outcome: &Outcome, progress: &Progress, at: Position) -> Option<Position> {
    match progress {
        Progress::Ended(Ending::Settled { credit, .. }) => Some(credit.as_ref()?.position),
        Progress::Ended(Ending::Decided(journal)) => {
            journal.cancelled.is_none().then_some(journal.position)
        }
        Progress::Ended(Ending::Returned { .. }) | Progress::Open => None,
        Progress::Decided => (!is_open(outcome) && moved(outcome).is_some()).then_some(at),
    }
}

pub(super) fn kind(kind: Kind) -> pb::TransactionKind {
    match kind {
        Kind::Open => pb::TransactionKind::Open,
        Kind::Deposit => pb::TransactionKind::Deposit,
        Kind::Withdraw => pb::TransactionKind::Withdrawal,
        Kind::Transfer => pb::TransactionKind::Transfer,
        Kind::Close => pb::TransactionKind::Close,
        Kind::PlaceHold => pb::TransactionKind::PlaceHold,
        Kind::RaiseHold => pb::TransactionKind::RaiseHold,
        Kind::CaptureHold => pb::TransactionKind::CaptureHold,
        Kind::ReleaseHold => pb::TransactionKind::ReleaseHold,
        Kind::Freeze => pb::TransactionKind::Freeze,
        Kind::Unfreeze => pb::TransactionKind::Unfreeze,
        Kind::SetLimit => pb::TransactionKind::SetLimit,
        Kind::ClearSuspense => pb::TransactionKind::ClearSuspense,
        Kind::Reverse => pb::TransactionKind::Reverse,
        Kind::CloseDay => pb::TransactionKind::CloseDay,
        Kind::SetSpendingLimit => pb::TransactionKind::SetSpendingLimit,
        Kind::Journal => pb::TransactionKind::Journal,
        Kind::Exchange => pb::TransactionKind::Exchange,
        Kind::ClaimReference => pb::TransactionKind::ClaimReference,
        Kind::ReleaseReference => pb::TransactionKind::ReleaseReference,
        Kind::CreateConsumer => pb::TransactionKind::CreateConsumer,
        Kind::AdvanceConsumer => pb::TransactionKind::AdvanceConsumer,
        Kind::ParkConsumer => pb::TransactionKind::ParkConsumer,
        Kind::ResumeConsumer => pb::TransactionKind::ResumeConsumer,
        Kind::MoveConsumer => pb::TransactionKind::MoveConsumer,
        Kind::RemoveConsumer => pb::TransactionKind::RemoveConsumer,
        Kind::RegisterCustomer => pb::TransactionKind::RegisterCustomer,
        Kind::AttachAccount => pb::TransactionKind::AttachAccount,
        Kind::DetachAccount => pb::TransactionKind::DetachAccount,
        Kind::SetProfile => pb::TransactionKind::SetProfile,
        Kind::PlaceLegalHold => pb::TransactionKind::PlaceLegalHold,
        Kind::LiftLegalHold => pb::TransactionKind::LiftLegalHold,
        Kind::EraseCustomer => pb::TransactionKind::EraseCustomer,
    }
}
