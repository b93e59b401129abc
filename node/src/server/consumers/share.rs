//! A share that is lent: its events are told to one member, and what that acknowledges is recorded.

use std::{sync::Arc, time::Duration};

use ledger_domain::{
    ConsumerId,
    consumer::{ConsumerChange, Cursor, Generation, Group, Parked, Share},
    planted::{Bug, planted},
    state::State as _,
};
use replication::shard::Shard as Led;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval, sleep_until},
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::Status;

use super::{
    Known, ask,
    told::Told,
    window::{InFlight, Window},
};
use crate::{
    api::{
        consumers::v1::{self as pb, consume_reply::Message},
        events::v1::ReadReply,
        longest, rejection,
        v1::Time,
    },
    server::{Server, deadline::Deadline, events::cursor, refusal},
};

/// How often what was acknowledged is recorded at most, and how often while more comes: each is an entry
/// of the group's shard, whose key is remembered for days.
const RECORD: Duration = Duration::from_millis(500);
const RECORD_BUSY: Duration = Duration::from_secs(2);
/// So many entries without anything for a share are recorded as passed, so that they are not read again.
const PASSED: u64 = 4_096;
/// More than so many are, also where they are fewer, after a while.
const PASSED_LATE: u64 = 256;
/// And fewer, so often.
const RECORD_PASSED: Duration = Duration::from_secs(60);
/// How long a member may take to acknowledge what it was told of a share that is to be another's.
const GRACE: Duration = Duration::from_secs(5);
/// How long an event that was refused is kept before it is told again, and at most after more refusals.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// What is told of a group while its shares are lent here.
#[derive(Default)]
pub(in crate::server) struct Telling {
    /// Who takes part, by name.
    pub(super) members: Vec<String>,
    /// By number.
    pub(super) shares: Vec<Progress>,
}

/// How far a share is that is lent, or why it is not.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub(super) member: Option<String>,
    /// Up to where it is acknowledged, recorded or not.
    pub(super) acknowledged: Option<Cursor>,
    pub(super) unacknowledged: u32,
    /// The time of the first of these.
    pub(super) oldest: Option<Time>,
    pub(super) retrying: Option<pb::Refused>,
    pub(super) failing: String,
}

/// What a member says of a share.
pub(super) enum Said {
    Acknowledges(u64),
    Refuses(u64, String),
}

/// Whether a share is to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recall {
    No,
    /// Once what was told is acknowledged.
    Gently,
    /// At once.
    Now,
}

/// Why a share is lent no more.
pub(super) enum Over {
    /// It was given back.
    Returned,
    /// It is parked.
    Parked(String),
    /// Its cursor was set, or it is not what it was.
    Changed,
    /// It cannot be read on.
    Failed(Status),
    /// Nothing can be recorded here.
    Deposed(Status),
}

/// A share and who has it.
pub(super) struct Loan {
    pub(super) server: Arc<Server>,
    pub(super) led: Led,
    pub(super) known: Arc<Known>,
    pub(super) id: ConsumerId,
    pub(super) number: u32,
    pub(super) group: Arc<Group>,
    /// What is recorded.
    pub(super) recorded: Cursor,
    pub(super) generation: Generation,
    pub(super) lease: String,
    pub(super) member: String,
    pub(super) caller: String,
    pub(super) window: usize,
    pub(super) retries: u32,
    /// Whether the member may read what is of this region's residency domain.
    pub(super) is_open: bool,
    pub(super) told: Told,
    pub(super) said: mpsc::Receiver<Said>,
    pub(super) recall: watch::Receiver<Recall>,
}

/// A loan under way.
struct Serving {
    loan: Loan,
    window: Window,
    /// Since when there is something acknowledged that is not recorded, and when the last came.
    since: Option<(Instant, Instant)>,
    /// When something was recorded last, or it was lent.
    recorded_at: Instant,
    /// When what was refused is told again.
    again_at: Option<Instant>,
    refused: Option<pb::Refused>,
}

impl Loan {
    /// Tells the share's events until it is given back, or something is wrong.
    pub(super) async fn serve(self) -> (u32, Over) {
        let number = self.number;
        let mut serving = Serving {
            window: Window::new(self.recorded.clone()),
            loan: self,
            since: None,
            recorded_at: Instant::now(),
            again_at: None,
            refused: None,
        };
        let mut recall = serving.loan.recall.clone();
        let begun = tokio::select! {
            biased;
            // That nobody lends it any more is no less.
            () = async { drop(recall.wait_for(|it| *it != Recall::No).await) } => None,
            begun = serving.begin() => Some(begun),
        };
        let over = match begun {
            None => Over::Returned,
            Some(Ok(events)) => serving.tell(events).await,
            Some(Err(status)) => Over::Failed(status),
        };
        serving.ended(&over);
        (number, over)
    }
}

impl Serving {
    async fn begin(&self) -> Result<ReceiverStream<Result<ReadReply, Status>>, Status> {
        let Loan {
            server,
            group,
            number,
            recorded,
            ..
        } = &self.loan;
        let place = server.shared.enter()?;
        let asked = ask::of_share(server, group, *number, recorded)?;
        let told = server.tell_events(asked, Deadline::of_one(), place).await?;
        let text = cursor::write(recorded.iter().map(|(shard, place)| (*shard, *place)));
        self.say(Message::Lent(pb::Lent {
            share: *number,
            lease: self.loan.lease.clone(),
            cursor: text,
        }));
        Ok(told)
    }

    async fn tell(&mut self, mut events: ReceiverStream<Result<ReadReply, Status>>) -> Over {
        let mut tick = interval(RECORD);
        let mut recall = self.loan.recall.clone();
        let mut grace: Option<Instant> = None;
        let over = loop {
            self.show();
            let recalled = *recall.borrow_and_update();
            let is_over = match recalled {
                Recall::No => false,
                Recall::Now => true,
                Recall::Gently => {
                    let end = *grace.get_or_insert_with(|| Instant::now() + GRACE);
                    self.window.events.is_empty() || Instant::now() >= end
                }
            };
            if is_over {
                break Over::Returned;
            }
            let may_read = recalled == Recall::No
                && self.again_at.is_none()
                && self.window.events.len() < self.loan.window;
            let waits = may_read || self.again_at.is_some();
            let has_room = self.loan.told.has_room();
            let again_at = self.again_at.unwrap_or_else(Instant::now);
            let happened = tokio::select! {
                biased;
                changed = recall.changed() => match changed {
                    Ok(()) => Ok(()),
                    Err(_) => Err(Over::Returned),
                },
                said = self.loan.said.recv() => match said {
                    Some(Said::Acknowledges(number)) => {
                        self.acknowledge(number);
                        Ok(())
                    }
                    Some(Said::Refuses(number, reason)) => self.refuse(number, reason).await,
                    None => Err(Over::Returned),
                },
                _ = tick.tick() => self.look().await,
                () = sleep_until(again_at), if self.again_at.is_some() && has_room => {
                    // Other shares of the member may have been told again meanwhile.
                    if self.loan.told.has_room() {
                        self.tell_again();
                    }
                    Ok(())
                }
                () = self.loan.told.room(), if waits && !has_room => Ok(()),
                reply = events.next(), if may_read && has_room => match reply {
                    Some(Ok(reply)) => self.hear(reply),
                    Some(Err(status)) => Err(Over::Failed(status)),
                    None => Err(Over::Failed(refusal::stops())),
                },
            };
            if let Err(over) = happened {
                break over;
            }
        };
        // What the member said before it left.
        let mut over = over;
        while matches!(over, Over::Returned)
            && let Ok(said) = self.loan.said.try_recv()
        {
            let heard = match said {
                Said::Acknowledges(number) => {
                    self.acknowledge(number);
                    Ok(())
                }
                Said::Refuses(number, reason) => self.refuse(number, reason).await,
            };
            if let Err(parked) = heard {
                over = parked;
            }
        }
        if planted(Bug::ConsumerTellsOnce) {
            self.pass(self.window.events.len());
        }
        // What is acknowledged is not told again because of who gives the share back, or why.
        // Nor is what has nothing for the share read again.
        let is_due = self.window.acknowledged != self.loan.recorded;
        match over {
            Over::Returned | Over::Failed(_) if is_due => match self.record().await {
                Ok(()) => over,
                Err(over) => over,
            },
            over => over,
        }
    }

    /// Takes what was read: an event, or word that there is none up to a place.
    fn hear(&mut self, reply: ReadReply) -> Result<(), Over> {
        let Some(after) = cursor::read(&reply.cursor) else {
            let what = "the cursor of a reply cannot be read";
            return Err(Over::Failed(Status::internal(what)));
        };
        let mut watermarks = reply.watermarks.iter();
        let time = |time: &Option<Time>| time.as_ref().map_or(0, |it| it.unix_nanos);
        let first = watermarks.by_ref().min_by_key(|it| time(&it.true_at));
        let true_at = first.and_then(|it| it.true_at.clone());
        let staleness_bound_ms = first.map_or(u64::MAX, |it| it.staleness_bound_ms);
        let Some(mut event) = reply.events.into_iter().next() else {
            self.window.nothing_until(after);
            return Ok(());
        };
        if !self.loan.is_open {
            event.memo.clear();
            if let Some(command) = &mut event.command {
                command.memo.clear();
                command.external_reference.clear();
            }
        }
        self.window.events.push_back(InFlight {
            event,
            after,
            text: reply.cursor,
            true_at,
            staleness_bound_ms,
            ..InFlight::default()
        });
        self.deliver(self.window.events.len() - 1, false);
        Ok(())
    }

    fn deliver(&mut self, place: usize, again: bool) {
        let Some(it) = self.window.tell(place) else {
            return;
        };
        let delivery = pb::Delivery {
            share: self.loan.number,
            lease: self.loan.lease.clone(),
            number: it.number,
            attempt: it.attempts,
            again,
            event: Some(it.event.clone()),
            cursor: it.text.clone(),
            true_at: it.true_at.clone(),
            staleness_bound_ms: it.staleness_bound_ms,
        };
        self.say(Message::Delivery(delivery));
    }

    fn tell_again(&mut self) {
        self.again_at = None;
        for place in 0..self.window.events.len() {
            self.deliver(place, place == 0);
        }
    }

    /// All up to a number is processed. A number that is not known was told before something was
    /// refused, or is acknowledged already.
    fn acknowledge(&mut self, number: u64) {
        if let Some(place) = self.window.place(number) {
            self.pass(place + 1);
        }
    }

    fn pass(&mut self, count: usize) {
        self.window.pass(count);
        if count > 0 {
            let now = Instant::now();
            self.since = Some((self.since.map_or(now, |(first, _)| first), now));
            self.refused = None;
        }
    }

    async fn refuse(&mut self, number: u64, reason: String) -> Result<(), Over> {
        let Some(place) = self.window.place(number) else {
            // The member waits for it to come again, which it does not.
            self.say(Message::Rejected(pb::Rejected {
                share: self.loan.number,
                lease: self.loan.lease.clone(),
                rejection: Some(refusal::not_under_way()),
                number,
            }));
            return Ok(());
        };
        self.pass(place);
        let refusals = self.window.refuse();
        let Some(first) = self.window.events.front() else {
            return Ok(());
        };
        let attempts = first.attempts;
        let reason: String = match reason.trim() {
            "" => "no reason was given".to_owned(),
            reason => shortened(reason),
        };
        tracing::warn!(
            consumer = %self.loan.id,
            share = self.loan.number,
            event = first.event.transaction_id,
            attempts,
            refusals,
            reason,
            "an event was refused"
        );
        if refusals > self.loan.retries {
            return self.park(reason).await;
        }
        self.refused = Some(pb::Refused {
            transaction_id: first.event.transaction_id.clone(),
            place: first.event.place,
            reason,
            attempts,
        });
        let pause = AGAIN.saturating_mul(1 << refusals.min(16)).min(AGAIN_MAX);
        self.again_at = Some(Instant::now() + pause);
        Ok(())
    }

    /// Stops the share at its first event.
    async fn park(&mut self, reason: String) -> Result<(), Over> {
        let Some(first) = self.window.events.front() else {
            return Ok(());
        };
        let event = first.event.transaction_id.parse();
        let event = event.map_err(|_| Over::Failed(Status::internal("an event has no id")))?;
        let change = ConsumerChange::Parked {
            share: self.loan.number,
            generation: self.loan.generation,
            from: self.loan.recorded.clone(),
            to: self.window.acknowledged.clone(),
            at: Parked {
                event,
                place: first.event.place,
                reason: reason.clone(),
                since_ms: self.loan.server.world.clock.wall_nanos() / 1_000_000,
                after: first.after.clone(),
            },
        };
        self.changed(change).await?;
        self.since = None;
        tracing::error!(
            consumer = %self.loan.id,
            share = self.loan.number,
            event = %event,
            reason,
            "a consumer's share is parked"
        );
        Err(Over::Parked(reason))
    }

    /// Sees whether the share is still what it was, and records what is due.
    async fn look(&mut self) -> Result<(), Over> {
        let recorded = self.share().filter(|it| it.parked.is_none());
        match recorded {
            Some(share) if share.cursor == self.loan.recorded => {}
            _ => return Err(Over::Changed),
        }
        let passed: u64 = self
            .window
            .acknowledged
            .iter()
            .filter_map(|(shard, place)| {
                Some(
                    place
                        .next
                        .saturating_sub(self.loan.recorded.get(shard)?.next),
                )
            })
            .sum();
        let now = Instant::now();
        let is_due = self
            .since
            .is_some_and(|(first, last)| now >= last + RECORD || now >= first + RECORD_BUSY);
        // What shares record of themselves is passed as well, and would be recorded again.
        let is_late = passed > PASSED_LATE && now >= self.recorded_at + RECORD_PASSED;
        match is_due || is_late || passed >= PASSED {
            true => self.record().await,
            false => Ok(()),
        }
    }

    /// The share as it is recorded.
    fn share(&self) -> Option<Share> {
        let known = self.loan.led.book().consumer(&self.loan.id)?;
        known.shares.get(self.loan.number as usize).cloned()
    }

    async fn record(&mut self) -> Result<(), Over> {
        let to = self.window.acknowledged.clone();
        let change = ConsumerChange::Advanced {
            share: self.loan.number,
            generation: self.loan.generation,
            from: self.loan.recorded.clone(),
            to: to.clone(),
        };
        self.changed(change).await?;
        (self.loan.recorded, self.since) = (to, None);
        self.recorded_at = Instant::now();
        Ok(())
    }

    async fn changed(&self, change: ConsumerChange) -> Result<(), Over> {
        let Loan {
            server,
            led,
            id,
            caller,
            ..
        } = &self.loan;
        let changed = server.change_consumer(led, id, change, caller).await;
        changed.map_err(|status| match rejection::from_status(&status) {
            Some(detail) if detail.code.starts_with("CONSUMER_") => Over::Changed,
            Some(detail) if detail.code == "OVERLOADED" || detail.code == "DISK_FULL" => {
                Over::Failed(status)
            }
            _ => Over::Deposed(status),
        })
    }

    fn say(&self, message: Message) {
        self.loan.told.say(Ok(pb::ConsumeReply {
            message: Some(message),
            served_by: Some(self.loan.server.served_by()),
        }));
    }

    fn ended(&self, over: &Over) {
        let (code, reason) = match over {
            Over::Returned => (String::new(), String::new()),
            Over::Parked(reason) => ("CONSUMER_PARKED".to_owned(), reason.clone()),
            Over::Changed => ("CONSUMER_CURSOR_MOVED".to_owned(), String::new()),
            Over::Failed(status) | Over::Deposed(status) => {
                let detail = rejection::from_status(status);
                let code = detail.map_or_else(|| "UNAVAILABLE".to_owned(), |it| it.code);
                (code, status.message().to_owned())
            }
        };
        self.say(Message::Ended(pb::Ended {
            share: self.loan.number,
            lease: self.loan.lease.clone(),
            code,
            reason,
        }));
        let mut told = self.loan.known.told();
        if let Some(progress) = told.shares.get_mut(self.loan.number as usize) {
            *progress = Progress {
                failing: match over {
                    Over::Failed(status) => status.message().to_owned(),
                    _ => String::new(),
                },
                ..Progress::default()
            };
        }
    }

    fn show(&self) {
        let mut told = self.loan.known.told();
        if let Some(progress) = told.shares.get_mut(self.loan.number as usize) {
            *progress = Progress {
                member: Some(self.loan.member.clone()),
                acknowledged: Some(self.window.acknowledged.clone()),
                unacknowledged: self.window.events.len() as u32,
                oldest: self
                    .window
                    .events
                    .front()
                    .and_then(|it| it.event.time.clone()),
                retrying: self.refused.clone(),
                failing: String::new(),
            };
        }
    }
}

/// A reason that fits into the log, in one line.
fn shortened(reason: &str) -> String {
    let mut short = String::new();
    for letter in reason.chars() {
        let letter = if letter.is_control() { ' ' } else { letter };
        if short.len() + letter.len_utf8() > longest::REASON {
            break;
        }
        short.push(letter);
    }
    short
}
