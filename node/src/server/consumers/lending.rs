//! Who has which share of a group: members come and go, and shares are spread evenly over them.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ledger_domain::{
    ConsumerId,
    consumer::{Consumer, Generation},
    state::State as _,
};
use replication::{raft::Reign, shard::Shard};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::{Instant, interval},
};
use tonic::{Status, Streaming};

use super::{
    Known, WAITING,
    share::{Loan, Over, Progress, Recall, Said},
    told::Told,
};
use crate::{
    api::{
        WATCH_HEARTBEAT,
        consumers::v1::{self as pb, consume_reply, consume_request},
    },
    server::{Server, refusal},
};

/// How often what is recorded is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long a share that cannot be read on is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a group is waited for whose first member does not come.
const FIRST: Duration = Duration::from_secs(10);
/// How long a share whose cursor was set is left alone.
const SET: Duration = Duration::from_millis(100);
/// How long shares may take to be given back when the node stops.
const LAST: Duration = Duration::from_secs(2);
/// For how long a leader that no majority hears goes on: its members look for another then.
const UNHEARD: Duration = Duration::from_secs(2);
/// How many events of a share may be under way where a member does not say.
const WINDOW: u32 = 64;

/// A member that joins.
pub(super) struct Joining {
    join: pb::Join,
    caller: String,
    is_open: bool,
    said: Streaming<pb::ConsumeRequest>,
    told: Told,
}

impl Joining {
    pub(super) fn new(
        join: pb::Join,
        caller: String,
        is_open: bool,
        said: Streaming<pb::ConsumeRequest>,
        told: Told,
    ) -> Self {
        Self {
            join,
            caller,
            is_open,
            said,
            told,
        }
    }
}

struct Member {
    name: String,
    caller: String,
    window: usize,
    retries: u32,
    is_open: bool,
    told: Told,
    /// How many messages it had read when it was first seen that too many wait, and when that was.
    full: Option<(u64, Instant)>,
}

impl Member {
    /// Whether so much waits that it is sent away: from one look to the next it has read nothing.
    fn reads_nothing(&mut self) -> bool {
        let read = self.told.full_after();
        match (self.full, read) {
            (Some((before, since)), Some(read)) if before == read => since.elapsed() >= LOOK,
            _ => {
                self.full = read.map(|read| (read, Instant::now()));
                self.told.is_overfull()
            }
        }
    }
}

/// What a member says, or that it has left.
enum Heard {
    Said(u64, pb::ConsumeRequest),
    Left(u64),
}

enum Slot {
    /// Nobody's, until a time at least.
    Free(Instant),
    Lent {
        member: u64,
        lease: String,
        said: mpsc::Sender<Said>,
        recall: watch::Sender<Recall>,
    },
}

/// One group's, for as long as this node leads its shard and somebody takes part.
pub(super) struct Lending {
    server: Arc<Server>,
    led: Shard,
    reign: Reign,
    id: ConsumerId,
    consumer: Consumer,
    known: Arc<Known>,
    members: BTreeMap<u64, Member>,
    slots: Vec<Slot>,
    loans: JoinSet<(u32, Over)>,
    ears: JoinSet<()>,
    heard: (mpsc::Sender<Heard>, mpsc::Receiver<Heard>),
    joined: u64,
    last_word: Instant,
    /// When a majority was last in hearing.
    last_heard: Instant,
}

impl Lending {
    pub(super) fn new(
        server: Arc<Server>,
        led: Shard,
        reign: Reign,
        id: ConsumerId,
        consumer: Consumer,
        known: Arc<Known>,
    ) -> Self {
        let shares = consumer.shares.len();
        known.told().shares = vec![Progress::default(); shares];
        let now = Instant::now();
        Self {
            server,
            led,
            reign,
            id,
            consumer,
            known,
            members: BTreeMap::new(),
            slots: (0..shares).map(|_| Slot::Free(now)).collect(),
            loans: JoinSet::new(),
            ears: JoinSet::new(),
            heard: mpsc::channel(WAITING),
            joined: 0,
            last_word: now,
            last_heard: now,
        }
    }

    pub(super) async fn run(mut self, mut joining: mpsc::Receiver<Joining>) {
        let status = self.lend(&mut joining).await;
        // Who comes after this finds another.
        joining.close();
        while let Ok(late) = joining.try_recv() {
            let status = status.clone().unwrap_or_else(|| refusal::not_leader(None));
            late.told.say(Err(status));
        }
        for member in self.members.values() {
            let status = status.clone().unwrap_or_else(refusal::stops);
            member.told.say(Err(status));
        }
        self.ears.shutdown().await;
        self.loans.shutdown().await;
        let mut lent = self.server.lent.lock();
        let is_this = |it: &Arc<Known>| Arc::ptr_eq(it, &self.known);
        if lent.get(&self.id).is_some_and(is_this) {
            lent.remove(&self.id);
        }
    }

    /// Lends until nobody takes part any more, or something ends it.
    async fn lend(&mut self, joining: &mut mpsc::Receiver<Joining>) -> Option<Status> {
        let mut stopping = self.server.stopping.subscribe();
        let mut leadership = self.led.group().leadership();
        let (mut tick, begun) = (interval(LOOK), Instant::now());
        loop {
            let leads = *leadership.borrow_and_update();
            if leads.reign != Some(self.reign) {
                return Some(refusal::not_leader(leads.leader));
            }
            self.spread();
            tokio::select! {
                biased;
                // That the node is gone is no less.
                () = async { drop(stopping.wait_for(|stops| *stops).await) } => {
                    self.take_back().await;
                    return Some(refusal::stops());
                }
                changed = leadership.changed() => {
                    if changed.is_err() {
                        return Some(refusal::stops());
                    }
                }
                Some(over) = self.loans.join_next(), if !self.loans.is_empty() => {
                    if let Some(status) = self.over(over) {
                        return Some(status);
                    }
                }
                Some(heard) = self.heard.1.recv() => match heard {
                    Heard::Said(member, said) => self.pass_on(member, said),
                    Heard::Left(member) => self.leave(member),
                },
                join = joining.recv() => match join {
                    Some(join) => self.join(join),
                    None => return None,
                },
                _ = tick.tick() => {
                    if let Some(status) = self.look() {
                        return Some(status);
                    }
                }
            }
            // Those who wait to join are in the queue; whoever this was begun for may never come.
            let is_begun = self.joined > 0 || begun.elapsed() > FIRST;
            let is_left = self.members.is_empty() && self.loans.is_empty();
            if is_begun && is_left && joining.is_empty() {
                return None;
            }
        }
    }

    fn join(&mut self, joining: Joining) {
        let Joining {
            join,
            caller,
            is_open,
            mut said,
            told,
        } = joining;
        self.joined += 1;
        let number = self.joined;
        let name = match join.member.as_str() {
            "" => format!("{caller}-{number}"),
            name => name.to_owned(),
        };
        let window = match join.window {
            0 => WINDOW,
            window => window,
        };
        let (heard, ending) = (self.heard.0.clone(), told.clone());
        self.ears.spawn(async move {
            loop {
                // What was said before the end counts.
                let message = tokio::select! {
                    biased;
                    message = said.message() => message,
                    () = ending.closed() => break,
                };
                let Ok(Some(message)) = message else {
                    break;
                };
                if heard.send(Heard::Said(number, message)).await.is_err() {
                    return;
                }
            }
            // It may all be over.
            let _ = heard.send(Heard::Left(number)).await;
        });
        tracing::info!(consumer = %self.id, member = name, "a member joins");
        let member = Member {
            name,
            caller,
            window: window as usize,
            retries: join.retries,
            is_open,
            told,
            full: None,
        };
        self.members.insert(number, member);
        self.name_members();
    }

    fn leave(&mut self, number: u64) {
        let Some(member) = self.members.remove(&number) else {
            return;
        };
        tracing::info!(consumer = %self.id, member = member.name, "a member leaves");
        for slot in &self.slots {
            if let Slot::Lent { member, recall, .. } = slot
                && *member == number
            {
                recall.send_replace(Recall::Now);
            }
        }
        while self.ears.try_join_next().is_some() {}
        self.name_members();
    }

    fn name_members(&self) {
        let members = self.members.values().map(|it| it.name.clone());
        self.known.told().members = members.collect();
    }

    /// Gives what a member says to the share that it is about, if that is lent to it.
    fn pass_on(&mut self, from: u64, said: pb::ConsumeRequest) {
        use consume_request::Message as M;
        let (share, by, number, what) = match said.message {
            Some(M::Acknowledge(it)) => {
                (it.share, it.lease, it.number, Said::Acknowledges(it.number))
            }
            Some(M::Refuse(it)) => {
                let what = Said::Refuses(it.number, it.reason);
                (it.share, it.lease, it.number, what)
            }
            Some(M::Join(_)) | None => {
                let what = "a member joins once, and then acknowledges or refuses events";
                return self.send_away(from, refusal::invalid(what));
            }
        };
        match self.slots.get(share as usize) {
            Some(Slot::Lent {
                member,
                lease,
                said,
                ..
            }) if *member == from && *lease == by => {
                if said.try_send(what).is_err() && !said.is_closed() {
                    self.send_away(from, refusal::overloaded());
                }
            }
            known => {
                let rejection = match known {
                    Some(_) => {
                        tracing::trace!(target: "situation", "what a member said came too late");
                        refusal::consumer_fenced()
                    }
                    None => refusal::unknown_share(),
                };
                let rejected = pb::Rejected {
                    share,
                    lease: by,
                    rejection: Some(rejection),
                    number,
                };
                self.say(from, consume_reply::Message::Rejected(rejected));
            }
        }
    }

    fn send_away(&mut self, member: u64, why: Status) {
        if let Some(it) = self.members.get(&member) {
            it.told.say(Err(why));
        }
        self.leave(member);
    }

    fn say(&self, member: u64, message: consume_reply::Message) {
        if let Some(it) = self.members.get(&member) {
            it.told.say(Ok(pb::ConsumeReply {
                message: Some(message),
                served_by: Some(self.server.served_by()),
            }));
        }
    }

    /// A share was given back, or taken.
    fn over(&mut self, over: Result<(u32, Over), JoinError>) -> Option<Status> {
        let (share, over) = match over {
            Ok(over) => over,
            Err(error) => return Some(Status::internal(format!("a share's task: {error}"))),
        };
        let mut from = Instant::now();
        match over {
            Over::Returned | Over::Parked(_) => {}
            Over::Changed => from += SET,
            Over::Failed(status) => {
                let error = status.message();
                tracing::warn!(consumer = %self.id, share, error, "a share cannot be read on");
                from += PAUSE;
            }
            Over::Deposed(status) => {
                let error = status.message();
                tracing::warn!(consumer = %self.id, share, error, "nothing can be recorded here");
                // Members join again, wherever the shard is led.
                return Some(refusal::not_leader(None));
            }
        }
        if let Some(slot) = self.slots.get_mut(share as usize) {
            *slot = Slot::Free(from);
        }
        self.look()
    }

    /// Takes note of what is recorded now, and says that it is still there.
    fn look(&mut self) -> Option<Status> {
        // One that is cut off does not know who leads now, and can record nothing.
        if self.led.group().in_quorum() {
            self.last_heard = Instant::now();
        } else if self.last_heard.elapsed() >= UNHEARD {
            return Some(refusal::not_leader(None));
        }
        let known = self.led.book().consumer(&self.id);
        // One that was removed and made anew is another.
        let same = known.filter(|it| it.group == self.consumer.group);
        let Some(consumer) = same else {
            return Some(refusal::unknown_consumer());
        };
        self.consumer = consumer;
        if self.last_word.elapsed() >= WATCH_HEARTBEAT {
            self.last_word = Instant::now();
            for (number, member) in &self.members {
                // One that reads nothing needs no more of them.
                if member.told.is_heard() {
                    self.say(*number, consume_reply::Message::Heartbeat(pb::Heartbeat {}));
                }
            }
        }
        let full = self.members.iter_mut();
        let full = full.filter_map(|(number, it)| it.reads_nothing().then_some(*number));
        for number in full.collect::<Vec<_>>() {
            self.send_away(number, refusal::reads_nothing());
        }
        None
    }

    /// Lends what is free, and asks for what others have too much of.
    fn spread(&mut self) {
        let now = Instant::now();
        let mut has: BTreeMap<u64, Vec<usize>> = self
            .members
            .keys()
            .map(|member| (*member, Vec::new()))
            .collect();
        let (mut free, mut count) = (Vec::new(), 0_usize);
        for (number, slot) in self.slots.iter().enumerate() {
            match slot {
                Slot::Lent { member, recall, .. } => {
                    count += 1;
                    if *recall.borrow() == Recall::No
                        && let Some(has) = has.get_mut(member)
                    {
                        has.push(number);
                    }
                }
                Slot::Free(from) => {
                    let is_parked = self
                        .consumer
                        .shares
                        .get(number)
                        .is_none_or(|it| it.parked.is_some());
                    if !is_parked {
                        count += 1;
                    }
                    if !is_parked && *from <= now {
                        free.push(number);
                    }
                }
            }
        }
        if has.is_empty() {
            return;
        }
        let (each, more) = (count / has.len(), count % has.len());
        // Those who have most keep one more, so that as little as can be changes hands.
        let mut order: Vec<_> = has.keys().copied().collect();
        order.sort_by_key(|member| (std::cmp::Reverse(has[member].len()), *member));
        for (place, member) in order.into_iter().enumerate() {
            let due = each + usize::from(place < more);
            let mine = &has[&member];
            for number in mine.iter().skip(due) {
                if let Slot::Lent { recall, .. } = &self.slots[*number] {
                    recall.send_replace(Recall::Gently);
                }
            }
            for _ in mine.len()..due {
                let Some(number) = free.pop() else {
                    break;
                };
                self.lend_share(number, member);
            }
        }
    }

    fn lend_share(&mut self, number: usize, to: u64) {
        let (Some(member), Some(share)) = (self.members.get(&to), self.consumer.shares.get(number))
        else {
            return;
        };
        let count = self.server.lendings.fetch_add(1, Ordering::Relaxed);
        let mut generation = Generation {
            epoch: self.reign.term.epoch,
            term: self.reign.term.term,
            count,
        };
        if generation <= share.generation {
            // A process that leads on under its term counts anew.
            generation.count = share.generation.count + 1;
        }
        let Generation { epoch, term, count } = generation;
        let lease = format!("{epoch}-{term}-{count}");
        let (say, said) = mpsc::channel(WAITING + 1_024);
        let (recall, recalled) = watch::channel(Recall::No);
        let loan = Loan {
            server: self.server.clone(),
            led: self.led.clone(),
            known: self.known.clone(),
            id: self.id.clone(),
            number: number as u32,
            group: self.consumer.group.clone(),
            recorded: share.cursor.clone(),
            generation,
            lease: lease.clone(),
            member: member.name.clone(),
            caller: member.caller.clone(),
            window: member.window,
            retries: member.retries,
            is_open: member.is_open,
            told: member.told.clone(),
            said,
            recall: recalled,
        };
        self.loans.spawn(loan.serve());
        self.slots[number] = Slot::Lent {
            member: to,
            lease,
            said: say,
            recall,
        };
    }

    /// Has all shares given back while what is acknowledged can be recorded.
    async fn take_back(&mut self) {
        for _ in 0..WAITING {
            match self.heard.1.try_recv() {
                Ok(Heard::Said(member, said)) => self.pass_on(member, said),
                Ok(Heard::Left(member)) => self.leave(member),
                Err(_) => break,
            }
        }
        for slot in &self.slots {
            if let Slot::Lent { recall, .. } = slot {
                recall.send_replace(Recall::Now);
            }
        }
        let all = async { while self.loans.join_next().await.is_some() {} };
        // What is not recorded is told again.
        let _ = tokio::time::timeout(LAST, all).await;
    }
}
