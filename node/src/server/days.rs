//! Business days: closing one in every shard of a region, and telling what was frozen.
//!
//! Each shard has a log of its own, and closes the day there, by a command of its own under the
//! caller's key. Which of them have closed it is told one by one: what a shard has closed stays
//! closed, and asked again it answers the same, under whatever key.

use futures_util::future::join_all;
use ledger_domain::{
    AccountId, Action, Book, Code, Date, Entry, Event, HybridTime, Position, RegionName, ShardId,
    TransactionId,
    day::{Closing, FrozenRow, business_date},
    event::CommandRecord,
    state::State as _,
};
use replication::{
    shard::{Shard, Submission, entry_at},
    topology::Directory as _,
};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    Server,
    deadline::{Call, Deadline},
    prepare::{self, Prepared},
    receipt, refusal, route,
};
use crate::api::{
    rejection,
    teller::v1::{self as pb, teller_client::TellerClient},
    v1,
};

/// What a close freezes for all customers is kept under no house account.
const CUSTOMERS: (&str, &str) = ("customers", "liability");

impl Server {
    /// Closes a day in every shard of a region, or in one.
    pub(super) async fn close_day(
        &self,
        mut request: Request<pb::CloseDayRequest>,
    ) -> Result<Response<pb::CloseDayReply>, Status> {
        let deadline = Deadline::of(&request);
        let caller = route::caller(request.metadata())?;
        prepare::complete(self, request.get_mut().context.get_or_insert_default())?;
        let body = request.get_ref().clone();
        let region = region(&body.region)?;
        let shards = self.shards_of(region, body.shard)?;
        for shard in &shards {
            self.prepared(&body, *shard)?;
        }
        let key = body.context.clone().unwrap_or_default().idempotency_key;
        let (caller, all) = (&caller, body.shard.is_none());
        let closing = shards.into_iter().map(|shard| {
            let one = pb::CloseDayRequest {
                shard: Some(shard.0),
                ..body.clone()
            };
            let request = with(request.metadata(), one);
            let answer =
                self.at_leader(
                    shard,
                    request,
                    deadline,
                    move |leader, body| async move {
                        let day = self.close_day_here(&leader, shard, &body, caller).await?;
                        Ok(self.closed(&body, vec![day]))
                    },
                    |channel, request| async move {
                        TellerClient::new(channel).close_day(request).await
                    },
                );
            let call = Call::Write { key: key.clone() };
            async move { (shard, deadline.keep(call, answer).await) }
        });
        let mut days = Vec::new();
        for (shard, answer) in join_all(closing).await {
            match answer {
                Ok(reply) => days.extend(reply.into_inner().shards),
                Err(status) if all => days.push(refused(shard, &status)),
                Err(status) => return Err(status),
            }
        }
        Ok(Response::new(self.closed(&body, days)))
    }

    fn closed(&self, asked: &pb::CloseDayRequest, shards: Vec<pb::ShardDay>) -> pb::CloseDayReply {
        let is_tried = asked
            .context
            .as_ref()
            .is_some_and(|context| context.dry_run);
        // What would be closed is not closed.
        let is_over =
            |day: &pb::ShardDay| day.rejection.is_none() && (!is_tried || day.closed_before);
        pb::CloseDayReply {
            region: asked.region.clone(),
            date: asked.date.clone(),
            closed: shards.iter().all(is_over),
            shards,
            idempotency_key: asked.context.clone().unwrap_or_default().idempotency_key,
            served_by: Some(self.served_by()),
        }
    }

    /// The command that closes a day in one shard.
    fn prepared(&self, body: &pb::CloseDayRequest, shard: ShardId) -> Result<Prepared, Status> {
        let date = prepare::date(&body.date)?;
        let date = date.ok_or_else(|| refusal::invalid("say which day: 2026-11-21"))?;
        let books = AccountId::of_books(region(&body.region)?, shard);
        let context = body.context.clone().unwrap_or_default();
        if context.conditions.is_some() || context.into_closed_day {
            return Err(refusal::invalid("a day is closed on no conditions"));
        }
        if !context.effective_date.is_empty() || !context.memo.is_empty() {
            let what = "a day is closed on its own date, and has no memo";
            return Err(refusal::invalid(what));
        }
        let context = v1::CommandContext {
            effective_date: date.to_string(),
            ..context
        };
        prepare::prepare(Action::CloseDay { books, date }, context, Vec::new())
    }

    /// Closes a day of a shard that is led here; or tells how it was closed before.
    async fn close_day_here(
        &self,
        leader: &Shard,
        shard: ShardId,
        body: &pb::CloseDayRequest,
        caller: &str,
    ) -> Result<pb::ShardDay, Status> {
        let prepared = self.prepared(body, shard)?;
        if !self.privileged.contains(caller) {
            return Err(refusal::not_privileged(caller));
        }
        let (key, dry_run) = (
            prepared.context.idempotency_key.clone(),
            prepared.context.dry_run,
        );
        let command = prepared.command(self, caller)?;
        let date = prepare::date(&body.date)?;
        if dry_run {
            let would = leader.dry_run(&command, &[], |outcomes, _| outcomes).await;
            let would = would.map_err(|error| refusal::read(&error))?;
            let outcome = would.answer.into_iter().next();
            let outcome = outcome.ok_or_else(|| refusal::damaged("no outcome".to_owned()))?;
            return match outcome.result {
                Ok(events) => Ok(pb::ShardDay {
                    shard: shard.0,
                    close: Some(pb::DayClose {
                        date: body.date.clone(),
                        rows: self.rows(shard, &events)?,
                        actor: caller.to_owned(),
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                Err(why) if why.code == Code::DayClosed => {
                    let day = self.day_here(leader, shard, date).await?;
                    Ok(pb::ShardDay {
                        closed_before: true,
                        ..day
                    })
                }
                Err(why) => Err(refusal::would_be_rejected(&why, &key, None)),
            };
        }
        let submission = Submission {
            command,
            rest: Vec::new(),
            after: None,
        };
        let answer = leader.submit(submission).await;
        let answer = answer.map_err(|error| refusal::submit(&error, &key))?;
        let closed_before = match &answer.outcome.result {
            Ok(_) => false,
            Err(why) if why.code == Code::DayClosed => true,
            Err(why) => return Err(refusal::rejected(why, &key)),
        };
        // It is decided, whatever keeps it from being read.
        let day = self.day_here(leader, shard, date).await;
        let day = day.map_err(|status| refusal::outcome_unknown(status.message(), &key))?;
        Ok(pb::ShardDay {
            closed_before,
            ..day
        })
    }

    /// Tells what day it is in a region, and what was frozen when one was closed.
    pub(super) async fn show_day(
        &self,
        request: Request<pb::ShowDayRequest>,
    ) -> Result<Response<pb::ShowDayReply>, Status> {
        let deadline = Deadline::of(&request);
        let body = request.get_ref().clone();
        let date = prepare::date(&body.date)?;
        let shards = self.shards_of(region(&body.region)?, body.shard)?;
        let all = body.shard.is_none();
        let asked = shards.into_iter().map(|shard| {
            let one = pb::ShowDayRequest {
                shard: Some(shard.0),
                ..body.clone()
            };
            let request = with(request.metadata(), one);
            let answer =
                    self.at_leader(
                        shard,
                        request,
                        deadline,
                        move |leader, body| async move {
                            let day = self.day_here(&leader, shard, date).await?;
                            Ok(self.shown(&body, vec![day]))
                        },
                        |channel, request| async move {
                            TellerClient::new(channel).show_day(request).await
                        },
                    );
            async move { (shard, deadline.keep(Call::Read, answer).await) }
        });
        let mut days = Vec::new();
        for (shard, answer) in join_all(asked).await {
            match answer {
                Ok(reply) => days.extend(reply.into_inner().shards),
                Err(status) if all => days.push(refused(shard, &status)),
                Err(status) => return Err(status),
            }
        }
        Ok(Response::new(self.shown(&body, days)))
    }

    fn shown(&self, asked: &pb::ShowDayRequest, shards: Vec<pb::ShardDay>) -> pb::ShowDayReply {
        // A day of a region is over when it is over in all its books.
        let complete = shards.iter().all(|day| day.rejection.is_none());
        let dates = shards.iter().map(|day| day.business_date.clone());
        pb::ShowDayReply {
            region: asked.region.clone(),
            business_date: dates.min().filter(|_| complete).unwrap_or_default(),
            shards,
            served_by: Some(self.served_by()),
        }
    }

    /// A day of a shard that is led here: the last one closed, where none is asked for.
    async fn day_here(
        &self,
        leader: &Shard,
        shard: ShardId,
        date: Option<Date>,
    ) -> Result<pb::ShardDay, Status> {
        let found = leader.strong(|book| {
            let closed_through = book.closed_through();
            let asked = date.or(closed_through);
            let closing = asked.and_then(|date| book.closing(date));
            (closed_through, closing, self.today(shard, book))
        });
        let ((closed_through, closing, today), position) =
            found.await.map_err(|error| refusal::read(&error))?;
        let close = match closing {
            Some((date, at)) => Some(self.closing(shard, position, date, at).await?),
            None => None,
        };
        Ok(pb::ShardDay {
            shard: shard.0,
            business_date: today.to_string(),
            closed_through: closed_through.map_or_else(String::new, |date| date.to_string()),
            close,
            ..Default::default()
        })
    }

    /// What the log says of a close.
    async fn closing(
        &self,
        shard: ShardId,
        now: Position,
        date: Date,
        at: Closing,
    ) -> Result<pb::DayClose, Status> {
        let position = Position {
            index: at.index,
            ..now
        };
        let transaction = TransactionId {
            position,
            ordinal: at.ordinal,
        };
        let entry = entry_at(&self.hub, position)
            .await
            .map_err(refusal::no_entry)?;
        let missing = || refusal::damaged(format!("the log has no close of a day at {position}"));
        let entry: Entry = entry.ok_or_else(missing)?;
        let ordinal = usize::try_from(at.ordinal).unwrap_or(usize::MAX);
        let outcome = entry.outcomes.get(ordinal).ok_or_else(missing)?;
        let events = outcome.result.as_deref().map_err(|_| missing())?;
        let actor = |command: &CommandRecord| command.info.actor.clone();
        Ok(pb::DayClose {
            date: date.to_string(),
            transaction_id: transaction.to_string(),
            position: Some(receipt::position(position)),
            time: Some(receipt::time(entry.time)),
            actor: outcome.command.as_ref().map(actor).unwrap_or_default(),
            rows: self.rows(shard, events)?,
        })
    }

    fn rows(&self, shard: ShardId, events: &[Event]) -> Result<Vec<pb::TrialBalanceRow>, Status> {
        let region = self.region_of(shard).to_string();
        let frozen = events.iter().find_map(|event| match event {
            Event::DayClosed { frozen, .. } => Some(frozen),
            _ => None,
        });
        let rows = frozen.into_iter().flatten();
        rows.map(|row| {
            let (account, kind) = match &row.house {
                None => (CUSTOMERS.0.to_owned(), CUSTOMERS.1.to_owned()),
                Some(code) => (code.to_string(), code.house_type().to_string()),
            };
            Ok(pb::TrialBalanceRow {
                region: region.clone(),
                shard: shard.0,
                currency: row.currency.to_string(),
                account,
                r#type: kind,
                debit_minor_units: units(row, row.debit)?,
                credit_minor_units: units(row, row.credit)?,
            })
        })
        .collect()
    }

    /// The shards whose home a region is, by number; or one of them.
    pub(super) fn shards_of(
        &self,
        region: RegionName,
        only: Option<u32>,
    ) -> Result<Vec<ShardId>, Status> {
        let shards = &self.directory.topology().shards;
        let ours = shards.iter().filter(|shard| shard.region == region);
        let ours = ours.filter(|shard| only.is_none_or(|only| only == shard.id));
        let mut ours: Vec<_> = ours.map(|shard| ShardId(shard.id)).collect();
        ours.sort_unstable();
        match (ours.is_empty(), only) {
            (false, _) => Ok(ours),
            (true, Some(shard)) => Err(refusal::unknown_shard(shard)),
            (true, None) => Err(refusal::unknown_region(region.as_str())),
        }
    }

    /// The business date of what a shard would decide now, as far as its book knows.
    pub(super) fn today(&self, shard: ShardId, book: &Book) -> Date {
        let now = HybridTime {
            wall_nanos: self.world.clock.wall_nanos(),
            count: 0,
        };
        let calendar = Date::of(book.time().max(now), &self.zone_of(shard));
        business_date(calendar, book.closed_through())
    }

    pub(super) fn zone_of(&self, shard: ShardId) -> jiff::tz::TimeZone {
        let region = self.directory.topology().region(&self.region_of(shard));
        let zone = region.and_then(|region| jiff::tz::TimeZone::get(&region.time_zone).ok());
        zone.unwrap_or(jiff::tz::TimeZone::UTC)
    }
}

fn region(name: &str) -> Result<RegionName, Status> {
    name.parse().map_err(refusal::invalid)
}

/// A request for one shard, made of a request for all.
fn with<T>(metadata: &MetadataMap, body: T) -> Request<T> {
    let mut request = Request::new(body);
    *request.metadata_mut() = metadata.clone();
    request
}

/// A shard that did not answer, or refused.
fn refused(shard: ShardId, status: &Status) -> pb::ShardDay {
    let detail = rejection::from_status(status).unwrap_or_else(|| {
        let help = "It may have happened. Ask again under the same key.";
        refusal::detail("OUTCOME_UNKNOWN", status.message(), true, help)
    });
    pb::ShardDay {
        shard: shard.0,
        rejection: Some(detail),
        ..Default::default()
    }
}

/// A sum in the bits that a caller is given.
fn units(row: &FrozenRow, sum: i128) -> Result<i64, Status> {
    let whose = row.currency;
    i64::try_from(sum).map_err(|_| super::books::sum_overflow(whose))
}
