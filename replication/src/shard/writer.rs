use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use ledger_domain::{
    Book, Circumstances, Date, Entry, Format, GuardedClock, Hash, HybridTime, InFlight, KeyDigest,
    OutOfBounds, Outcome, Overlay, Position, ShardId, TransactionId, conclude,
    day::business_date,
    decide, decide_together,
    event::CommandRecord,
    expire, forget, hear,
    planted::{Bug, planted},
    receive, reserve, resolve,
    state::{KeyRecord, State as _},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    Answer, SubmitError,
    applier::Applier,
    counts::WriterCounts,
    idle::Idle,
    inbox::{Cause, Heard, Inbox, Incoming, JournalWork, Resolution},
    repeat,
    submission::{Reply, Submission},
};
use crate::{
    log::LogHub,
    raft::{Applied, Group, Proposed, Reign},
    world::Clock,
};

/// The rules a writer decides under.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// The shard.
    pub shard: ShardId,
    /// The first reign of the shard's home: what its log says goes before.
    pub epoch: u64,
    /// The home region's time zone: what day it is there.
    pub time_zone: TimeZone,
    /// How far ahead of this node's clock a time may be that a caller has seen.
    pub clock_bound: Duration,
    /// How many items may be under way to one other shard.
    pub channel_bound: u64,
    /// How much money may be under way to one other shard, in minor units of each currency. The
    /// default, ten to the fifteenth, is beyond any bank's day, and a thousand channels that are
    /// full of it still have room in 64 bits.
    pub channel_money_bound: i64,
    /// How entries are written.
    pub format: Format,
    /// How many commands may wait.
    pub queue: usize,
    /// How many commands share one entry at most, each leg of a journal counted as one.
    pub batch: usize,
    /// How many entries may be in flight.
    pub in_flight: usize,
    /// An idle shard closes time with an empty entry after this long, and then after twice as
    /// long each time, up to [`Self::idle_max`].
    pub idle_min: Duration,
    /// The longest an idle shard leaves time open.
    pub idle_max: Duration,
    /// For how long after somebody has asked for freshness an idle shard closes time as often as
    /// it may.
    pub interest: Duration,
}

impl WriterOptions {
    /// The defaults for a shard in a time zone.
    pub fn new(shard: ShardId, epoch: u64, time_zone: TimeZone) -> Self {
        Self {
            shard,
            epoch,
            time_zone,
            clock_bound: Duration::from_millis(500),
            channel_bound: 100_000,
            channel_money_bound: 1_000_000_000_000_000,
            format: Format::NEWEST,
            queue: 16_384,
            batch: 8_192,
            in_flight: 8,
            idle_min: Duration::from_millis(500),
            idle_max: Duration::from_secs(10),
            interest: Duration::from_secs(3),
        }
    }

    /// What holds for whatever is decided at a time, under a reign.
    pub(super) fn circumstances(&self, time: HybridTime, epoch: u64) -> Circumstances {
        Circumstances {
            shard: self.shard,
            epoch,
            time,
            calendar_date: Date::of(time, &self.time_zone),
            channel_bound: self.channel_bound,
            channel_money_bound: self.channel_money_bound,
        }
    }
}

/// Forgetting is bookkeeping: it rides on an entry, and makes one of its own only in bulk.
const FORGET_IN_BULK: u64 = 1_000;

/// How long a leader that Raft takes no entries from waits before it proposes again. It may have
/// lost touch with its quorum, and refusals come at once.
const REFUSED: Duration = Duration::from_millis(50);

type Waiting = (Submission, Reply);

/// An entry that was proposed and whose fate is not known yet.
struct Pending {
    entry: Entry,
    proposed: Instant,
    callers: Vec<(u32, Waiting)>,
}

/// Decides: the one task that does so for its shard on this node.
pub(super) struct Writer {
    options: WriterOptions,
    clock: Arc<dyn Clock>,
    hub: LogHub,
    group: Group,
    applier: Arc<Applier>,
    inbox: Inbox,
    /// The time that somebody wants to be over: an entry after it is written, an empty one if need
    /// be.
    closing: watch::Receiver<HybridTime>,
    /// When somebody last asked for freshness.
    wanted: watch::Receiver<Option<Instant>>,
    /// Commands to decide next: new ones, and those whose entry was void or never appended.
    queue: VecDeque<Waiting>,
    /// For a planted bug alone: keys that are not looked for in the book.
    unseen: BTreeSet<KeyDigest>,
    counts: Arc<WriterCounts>,
}

/// One reign of this node, from its blank entry on, or from the last failure within it.
struct Session {
    reign: Reign,
    clock: GuardedClock,
    /// Of the newest entry, applied or in flight.
    time: HybridTime,
    head: Hash,
    in_flight: InFlight,
    pending: BTreeMap<u64, Pending>,
    fates: mpsc::UnboundedSender<(u64, Proposed)>,
    /// Repeats of commands that are in flight: they wait for the original.
    parked: Vec<Waiting>,
    idle: Idle,
}

/// Why a session ended.
enum End {
    /// This node leads no longer.
    Deposed,
    /// The fate of an entry is unknown, or it was void: start again from the book.
    Restart,
    /// Raft takes no entries for now: start again from the book, after a pause.
    Refused,
    /// The shard stops.
    Stopped,
}

impl Writer {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by the shard that has them all"
    )]
    pub(super) fn new(
        options: WriterOptions,
        clock: Arc<dyn Clock>,
        hub: LogHub,
        group: Group,
        applier: Arc<Applier>,
        inbox: Inbox,
        closing: watch::Receiver<HybridTime>,
        wanted: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self {
            options,
            clock,
            hub,
            group,
            applier,
            inbox,
            closing,
            wanted,
            queue: VecDeque::new(),
            unseen: BTreeSet::new(),
            counts: Arc::default(),
        }
    }

    pub(super) fn counts(&self) -> Arc<WriterCounts> {
        self.counts.clone()
    }

    pub(super) async fn run(mut self, mut submissions: mpsc::Receiver<Waiting>) {
        let mut leadership = self.group.leadership();
        let mut begun = self.applier.begun();
        loop {
            let reign = leadership.borrow_and_update().reign;
            let open = reign.filter(|reign| {
                *begun.borrow_and_update() == Some(*reign) || planted(Bug::WriterOpensEarly)
            });
            let end = match open {
                Some(reign) => self.reign(reign, &mut submissions).await,
                None => {
                    if reign.is_none() {
                        let leader = leadership.borrow().leader;
                        self.turn_away(leader);
                    }
                    tokio::select! {
                        biased;
                        changed = leadership.changed() => {
                            if changed.is_err() { End::Stopped } else { End::Deposed }
                        }
                        _ = begun.changed() => End::Deposed,
                        next = submissions.recv() => match next {
                            Some(waiting) => {
                                self.queue.push_back(waiting);
                                End::Deposed
                            }
                            None => End::Stopped,
                        },
                    }
                }
            };
            if matches!(end, End::Restart | End::Refused) {
                self.counts.restarts.increment();
            }
            match end {
                End::Stopped => {
                    self.turn_away(None);
                    return;
                }
                End::Refused => {
                    // An error here shows again at the top of the loop.
                    let _ = tokio::time::timeout(REFUSED, leadership.changed()).await;
                }
                End::Deposed | End::Restart => {}
            }
        }
    }

    fn turn_away(&mut self, leader: Option<u64>) {
        self.refuse(|| SubmitError::NotLeader { leader });
        self.counts.hands(0, 0);
    }

    /// Refuses all that waits.
    fn refuse(&mut self, why: impl Fn() -> SubmitError) {
        for (_, reply) in self.queue.drain(..) {
            // The caller may have gone.
            let _ = reply.send(Err(why()));
        }
    }

    /// Decides for as long as this node reigns and nothing fails.
    async fn reign(&mut self, reign: Reign, submissions: &mut mpsc::Receiver<Waiting>) -> End {
        let (fates, mut fate) = mpsc::unbounded_channel();
        let mut session = self.open(reign, fates);
        let mut leadership = self.group.leadership();
        let mut room = self.group.space().changes();
        let end = loop {
            if self.applier.failure().is_some() {
                break End::Stopped;
            }
            if leadership.borrow().reign != Some(reign) {
                break End::Deposed;
            }
            while self.queue.len() < self.options.batch {
                match submissions.try_recv() {
                    Ok(waiting) => self.queue.push_back(waiting),
                    Err(_) => break,
                }
            }
            let has_room = *room.borrow_and_update();
            if !has_room {
                self.refuse(|| SubmitError::NoRoom);
            } else if session.pending.len() < self.options.in_flight
                && self.step(&mut session).await
            {
                continue;
            }
            self.counts.hands(
                session.pending.len(),
                self.queue.len() + session.parked.len(),
            );
            let full = session.pending.len() >= self.options.in_flight || !has_room;
            let idle_at = session.idle.due(self.is_wanted());
            let wake_at = self
                .next_expiry(&mut session)
                .map_or(idle_at, |at| at.min(idle_at));
            tokio::select! {
                biased;
                Some((number, proposed)) = fate.recv() => {
                    if let Some(end) = self.settle(&mut session, number, proposed) {
                        break end;
                    }
                }
                changed = leadership.changed() => {
                    if changed.is_err() {
                        break End::Stopped;
                    }
                }
                Ok(()) = room.changed() => {}
                next = submissions.recv(), if !full || !has_room => match next {
                    Some(waiting) => self.queue.push_back(waiting),
                    None => break End::Stopped,
                },
                () = self.inbox.arrival(), if !full => {}
                Ok(()) = self.closing.changed(), if !full => {}
                Ok(()) = self.wanted.changed(), if !full => {}
                () = tokio::time::sleep_until(wake_at), if !full => {}
            }
        };
        self.close(session, &mut fate).await;
        end
    }

    fn open(&self, reign: Reign, fates: mpsc::UnboundedSender<(u64, Proposed)>) -> Session {
        let book = self.applier.book();
        Session {
            reign,
            clock: GuardedClock::new(book.time(), self.options.clock_bound),
            time: book.time(),
            head: book.head(),
            in_flight: InFlight::default(),
            pending: BTreeMap::new(),
            fates,
            parked: Vec::new(),
            idle: Idle::new(
                self.options.idle_min,
                self.options.idle_max,
                Instant::now(),
                self.clock.wall_nanos(),
            ),
        }
    }

    /// When the next hold expires, by this node's clock as it goes now.
    fn next_expiry(&self, session: &mut Session) -> Option<Instant> {
        let book = self.applier.book();
        let state = session.in_flight.above(&book);
        let number = *state.due(u64::MAX, 1).first()?;
        let expires = state.hold(number)?.expires;
        let wait = Duration::from_nanos(expires.saturating_sub(self.clock.wall_nanos()));
        Instant::now().checked_add(wait)
    }

    /// Has somebody lately asked for freshness?
    fn is_wanted(&self) -> bool {
        let wanted = *self.wanted.borrow();
        wanted.is_some_and(|at| at.elapsed() < self.options.interest)
    }

    /// Learns the fates of what is still in flight, so that the next session starts from a book
    /// that holds all of it. An entry whose fate stays unknown does no harm: it either is applied
    /// before anything decided later, which is then void, or comes to nothing.
    async fn close(
        &mut self,
        mut session: Session,
        fate: &mut mpsc::UnboundedReceiver<(u64, Proposed)>,
    ) {
        const PATIENCE: Duration = Duration::from_secs(5);
        let deadline = Instant::now() + PATIENCE;
        while !session.pending.is_empty() {
            match tokio::time::timeout_at(deadline, fate.recv()).await {
                Ok(Some((number, proposed))) => {
                    self.settle(&mut session, number, proposed);
                }
                Ok(None) | Err(_) => break,
            }
        }
        for (_, pending) in std::mem::take(&mut session.pending) {
            unknown(pending, "the leadership ended before it was decided");
        }
        self.queue.extend(session.parked);
        self.counts.hands(0, self.queue.len());
    }

    /// Learns the fate of an entry.
    fn settle(&mut self, session: &mut Session, number: u64, proposed: Proposed) -> Option<End> {
        let pending = session.pending.remove(&number)?;
        match proposed {
            Proposed::Applied(index, Applied::Accepted) => {
                self.counts.counted(&pending.entry, pending.proposed);
                session.in_flight.applied(number);
                {
                    // The book before the inbox, always: whoever fills the inbox does the same.
                    let book = self.applier.book();
                    self.inbox.lock().prune(&book);
                }
                answer(pending, index);
                self.queue.extend(session.parked.drain(..));
                None
            }
            Proposed::Applied(_, Applied::Void) => {
                self.decide_again(pending);
                Some(End::Restart)
            }
            Proposed::NeverAppended { .. } => {
                self.decide_again(pending);
                Some(End::Refused)
            }
            Proposed::Unknown(why) => {
                match planted(Bug::UnknownDecidedAgain) {
                    true => self.decide_again_unseen(pending),
                    false => unknown(pending, &why),
                }
                Some(End::Restart)
            }
        }
    }

    fn decide_again(&mut self, pending: Pending) {
        tracing::trace!(target: "situation", "a command was decided again");
        for (_, waiting) in pending.callers.into_iter().rev() {
            self.queue.push_front(waiting);
        }
    }

    /// For a planted bug alone: what was decided is taken for never decided, whatever the book says.
    fn decide_again_unseen(&mut self, pending: Pending) {
        let callers = pending.callers.iter();
        self.unseen
            .extend(callers.map(|(_, (submission, _))| submission.command.info.key));
        self.decide_again(pending);
    }

    /// Decides one entry of what waits and proposes it. `false` where there is nothing to decide.
    async fn step(&mut self, session: &mut Session) -> bool {
        let Some((number, mut pending)) = self.decide_entry(session) else {
            return false;
        };
        if planted(Bug::ReplyBeforeApply) || planted(Bug::RejectionBeforeApply) {
            self.answer_early(session, &mut pending);
        }
        let stored = pending.entry.encode(self.options.format);
        session.head = Entry::link(&stored);
        session.pending.insert(number, pending);
        let fates = session.fates.clone();
        let done = move |proposed| {
            // A closed session has given this entry up.
            let _ = fates.send((number, proposed));
        };
        self.group.propose(session.reign, stored, done).await;
        true
    }

    /// For planted bugs alone: answers as if the entry were applied where it will most likely be.
    fn answer_early(&self, session: &Session, pending: &mut Pending) {
        let is_early = |ordinal: &u32| {
            let result = &pending.entry.outcomes[*ordinal as usize].result;
            planted(Bug::ReplyBeforeApply) || result.is_err()
        };
        let callers = std::mem::take(&mut pending.callers).into_iter();
        let (early, callers) = callers.partition(|(ordinal, _)| is_early(ordinal));
        pending.callers = callers;
        let index = self.applier.book().applied() + session.pending.len() as u64 + 1;
        let (entry, proposed) = (pending.entry.clone(), pending.proposed);
        let early = Pending {
            entry,
            proposed,
            callers: early,
        };
        answer(early, index);
    }

    fn decide_entry(&mut self, session: &mut Session) -> Option<(u64, Pending)> {
        let applier = self.applier.clone();
        let book = applier.book();
        let wall = self.clock.wall_nanos();
        let fresh = self.sort_out(session, &book, wall);
        let wanted = self.is_wanted();
        let idle = Instant::now() >= session.idle.due(wanted);
        let inbox = self.inbox.clone();
        let work = inbox.lock();
        let (incoming, resolutions, closed, journals) = {
            let state = session.in_flight.above(&book);
            // What acts on another shard's entry gets a later time than it.
            let clock = &mut session.clock;
            let mut follow = |cause: &Cause| clock.observe(cause.time, wall).is_ok();
            let batch = self.options.batch;
            (
                work.next_incoming(&state, batch, &mut follow),
                work.next_resolutions(&state, batch, &mut follow),
                work.next_closed(&state, &mut follow),
                work.next_journals(&state, batch, &mut follow),
            )
        };
        let closing = *self.closing.borrow_and_update();
        // A time too far ahead was refused when it was asked for; if this clock has been set back
        // since, the time is over when the clock gets there.
        let closes = closing > session.time && session.clock.observe(closing, wall).is_ok();
        // Holds that expire are reason enough for an entry.
        let now = session.time.wall_nanos.max(wall);
        let due = !session.in_flight.above(&book).due(now, 1).is_empty();
        let forgetful = idle
            || closes
            || due
            || !journals.is_empty()
            || !(incoming.is_empty() && resolutions.is_empty() && fresh.is_empty());
        let closed: Vec<_> = closed
            .into_iter()
            .filter(|(_, due, _)| *due >= FORGET_IN_BULK || (*due > 0 && forgetful))
            .collect();
        if !forgetful && closed.is_empty() {
            return None;
        }
        let time = session.clock.now(wall);
        let at = self.options.circumstances(time, session.reign.term.epoch);
        let mut causes = BTreeSet::new();
        let number = session.in_flight.begin();
        let mut state = session.in_flight.above(&book);
        let closed_through = state.closed_through();
        let now = match planted(Bug::ExpiryByLocalClock) {
            true => wall,
            false => time.wall_nanos,
        };
        let (mut outcomes, more) = expire(&mut state, now, self.options.batch);
        let (mut fresh, mut incoming, mut resolutions) = (fresh, incoming, resolutions);
        let (mut closed, mut journals) = (closed, journals);
        if more {
            // Nothing is decided before what has expired: it waits for the next entry.
            fresh
                .drain(..)
                .rev()
                .for_each(|it| self.queue.push_front(it));
            incoming.clear();
            resolutions.clear();
            closed.clear();
            journals = JournalWork::default();
        }
        let mut callers = Vec::with_capacity(fresh.len());
        for (submission, reply) in fresh {
            let ordinal = outcomes.len() as u32;
            let Submission { command, rest, .. } = &submission;
            match rest.is_empty() {
                true => outcomes.push(decide(&mut state, &at, command)),
                false => outcomes.extend(decide_together(&mut state, &at, command, rest)),
            }
            for (ordinal, outcome) in (0_u32..).zip(&outcomes).skip(ordinal as usize) {
                let Some(CommandRecord { info, .. }) = &outcome.command else {
                    continue;
                };
                let record = KeyRecord {
                    fingerprint: info.fingerprint.whole(),
                    index: 0,
                    ordinal,
                };
                state.set_key(info.key, record);
            }
            callers.push((ordinal, (submission, reply)));
        }
        for Incoming {
            item,
            reference,
            ordinal,
            cause,
        } in incoming
        {
            outcomes.push(receive(
                &mut state,
                &at,
                item,
                *reference,
                cause.position.index,
                *ordinal,
            ));
            causes.insert(cause.position);
        }
        for (destination, number, Resolution { refused, cause, .. }) in resolutions {
            if let Some(outcome) = resolve(&mut state, &at, destination, number, refused.clone()) {
                outcomes.push(outcome);
                causes.insert(cause.position);
            }
        }
        for outcome in carry_on(&mut state, &at, journals, &mut causes) {
            outcomes.push(outcome);
        }
        for (source, _, (through, cause)) in closed {
            if let Some(outcome) = forget(&mut state, source, through) {
                outcomes.push(outcome);
                causes.insert(cause.position);
            }
        }
        let now = Instant::now();
        match outcomes.is_empty() {
            true if closes => session.idle.decided(now, wall),
            true => session.idle.closed(now, wall, wanted),
            false => session.idle.busy(now, wall),
        }
        session.time = time;
        let entry = Entry {
            shard: at.shard,
            epoch: at.epoch,
            time,
            business_date: business_date(at.calendar_date, closed_through),
            closed_through,
            prev_hash: session.head,
            causes: causes.into_iter().collect(),
            outcomes,
        };
        let proposed = Instant::now();
        let pending = Pending {
            entry,
            proposed,
            callers,
        };
        Some((number, pending))
    }

    /// Answers what needs no decision and returns what does, in the order it came.
    fn sort_out(&mut self, session: &mut Session, book: &Book, wall: u64) -> Vec<Waiting> {
        let mut fresh: Vec<Waiting> = Vec::new();
        let mut taken: BTreeSet<KeyDigest> = BTreeSet::new();
        let now = HybridTime {
            wall_nanos: wall,
            count: 0,
        }
        .max(book.time());
        let mut weight = 0;
        while weight < self.options.batch {
            let Some((submission, reply)) = self.queue.pop_front() else {
                break;
            };
            if reply.is_closed() {
                // Nobody waits any more, and nothing has been decided.
                continue;
            }
            let info = &submission.command.info;
            let known = session.in_flight.above(book).key(&info.key);
            let known = known
                .filter(|_| !(planted(Bug::UnknownDecidedAgain) && self.unseen.remove(&info.key)));
            if taken.contains(&info.key) || known.is_some_and(|record| record.index == 0) {
                tracing::trace!(target: "situation", "a duplicate waited for its original");
                session.parked.push((submission, reply));
                continue;
            }
            if let Some(record) = known {
                let (shard, epoch) = (self.options.shard, self.options.epoch);
                repeat::answer(&self.hub, (shard, epoch), record, submission, reply);
                continue;
            }
            let refused = match remembers(now, info.first_attempt_ms) {
                false => Some(SubmitError::TooOld),
                true => beyond(now, info.first_attempt_ms)
                    .or_else(|| session.clock.observe(submission.after?, wall).err())
                    .map(SubmitError::from),
            };
            match refused {
                Some(error) => {
                    // The caller may have gone.
                    let _ = reply.send(Err(error));
                }
                None => {
                    taken.insert(info.key);
                    weight += submission.weight();
                    fresh.push((submission, reply));
                }
            }
        }
        fresh
    }
}

/// Does what other shards' logs ask for about journals; `causes` learns where they do.
fn carry_on(
    state: &mut Overlay<'_>,
    at: &Circumstances,
    work: JournalWork,
    causes: &mut BTreeSet<Position>,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut did = |outcome: Option<Outcome>, cause: Cause| {
        if let Some(outcome) = outcome {
            outcomes.push(outcome);
            causes.insert(cause.position);
        }
    };
    for Heard { what, cause } in work.asked {
        did(reserve(state, at, &what), cause);
    }
    for (number, shard, Heard { what, cause }) in work.answers {
        did(hear(state, at, number, shard, what), cause);
    }
    for (journal, Heard { what, cause }) in work.decisions {
        did(conclude(state, at, journal, what), cause);
    }
    outcomes
}

/// Would a key whose first attempt was then still be known, had it been used?
fn remembers(now: HybridTime, first_attempt_ms: u64) -> bool {
    let window = u64::try_from(ledger_domain::book::KEY_WINDOW.as_millis()).unwrap_or(u64::MAX);
    now.millis() < first_attempt_ms.saturating_add(window)
}

/// Is a first attempt further ahead than a caller's clock may be? Its key would be forgotten
/// before its window ends, so that a late repeat would be decided again.
fn beyond(now: HybridTime, first_attempt_ms: u64) -> Option<OutOfBounds> {
    let bound = ledger_domain::book::KEY_LEAD;
    let ahead = Duration::from_millis(first_attempt_ms.saturating_sub(now.millis()));
    (ahead > bound).then_some(OutOfBounds::Ahead { ahead, bound })
}

fn answer(pending: Pending, index: u64) {
    let Pending { entry, callers, .. } = pending;
    let position = Position {
        shard: entry.shard,
        epoch: entry.epoch,
        index,
    };
    for (ordinal, (_, reply)) in callers {
        let answer = Answer {
            transaction: TransactionId { position, ordinal },
            time: entry.time,
            outcome: entry.outcomes[ordinal as usize].clone(),
            others: entry.together(ordinal)[1..].to_vec(),
            repeated: false,
        };
        // The caller may have gone.
        let _ = reply.send(Ok(answer));
    }
}

fn unknown(pending: Pending, why: &str) {
    for (_, (_, reply)) in pending.callers {
        // The caller may have gone.
        let _ = reply.send(Err(SubmitError::Unknown(why.to_owned())));
    }
}
