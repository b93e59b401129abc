//! What must come of a long history, as the [model](crate::model) has it.
//!
//! The model knows balances and rules. This adds when things are decided and applied, what is lost
//! with a leader, and which steps can be taken at all. What is lost is simple here: the history is
//! told again, without it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    ops::Range,
    time::Duration,
};

use ledger_domain::{
    AccountId, Action, Code, Command, HoldAction, Position, ShardId, TransactionId,
    command::GroupPlace, freeze::FreezeType,
};
use proptest::{collection::vec, prelude::*, sample::select, strategy::Union};
use proptest_state_machine::ReferenceStateMachine;

use crate::{
    generate::{
        SHARDS, a_command, a_payee, beginning, command, date, extreme, hold_of, home, numbered,
        ordinary, original_of, suspended_of,
    },
    model::{Bounds, Model},
    shards::first,
    writer::{BEGINNING_MS, CHANNEL_BOUND, CHANNEL_MONEY_BOUND, EPOCH},
};

/// So many accounts stay open: a history in which all are closed is a dull one.
const STAY_OPEN: usize = 5;
/// For so long is a command asked again.
const ASKED_AGAIN: Duration = Duration::from_secs(6 * DAY);
/// In a history no more time passes, so that no hold that has ended is forgotten.
const LONGEST: Duration = Duration::from_secs(50 * DAY);
const DAY: u64 = 24 * 3_600;

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// Callers ask; commands of one shard share an entry.
    Ask(Vec<Command>),
    /// A caller asks for all of these, or none; they are of one shard.
    Together(Vec<Command>),
    /// The `n`th command is asked again.
    Again(usize),
    /// It is tried out, of a shard in which nothing is in flight.
    DryRun(Command),
    /// A shard applies all that it has proposed so many times.
    Apply(ShardId, usize),
    /// A leader is deposed with all that it has in flight, and another one goes on.
    Lose(ShardId),
    /// The same, and the other one goes on from a snapshot.
    Restore(ShardId),
    /// A destination decides about so many of the items that the source's log has.
    Deliver(ShardId, ShardId, usize),
    /// A source learns what became of some items that the destination's log tells of.
    Resolve(ShardId, ShardId, Vec<usize>),
    /// A destination hears how far the source has closed.
    Forget(ShardId, ShardId),
    /// A shard hears all that another has said about journals.
    Exchange(ShardId, ShardId),
    /// Nothing happens for so long.
    Wait(ShardId, Duration),
}

/// What must be told of a command, or done with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Done,
    Refused(Code),
    /// None of a group was done, because of this one, counted from zero.
    RefusedIn(usize, Code),
    /// An item stays with the bank, and not with its payee.
    Kept,
    /// What it was told the first time: whether it was done, or why not; nothing yet while that is in
    /// flight.
    Again(Option<Result<(), Code>>),
}

/// Something that is put into an entry.
#[derive(Clone)]
enum Item {
    /// The `n`th command.
    Command(usize),
    /// These commands, all or none.
    Group(Range<usize>),
    Receive(ShardId),
    Resolve(ShardId, u64),
    Exchange(ShardId),
}

/// What became of a command.
#[derive(Clone, Copy)]
struct Decided {
    result: Result<(), Code>,
    at_ms: u64,
    is_applied: bool,
}

/// What is decided together, and when.
#[derive(Clone)]
struct Proposal {
    shard: ShardId,
    now_ms: u64,
    items: Vec<Item>,
}

#[derive(Clone)]
enum Happened {
    Proposed(Proposal),
    Applied(ShardId),
}

/// What a proposal leaves to be known once it is applied.
#[derive(Clone)]
struct InFlight {
    /// The holds it has placed, by number.
    holds: Range<u64>,
    /// What it has put in suspense, by number.
    suspended: Range<u64>,
    /// What it has paid within its shard, by number.
    paid: Range<u64>,
    decided: Vec<usize>,
    sent: BTreeMap<ShardId, usize>,
    received: BTreeMap<ShardId, usize>,
    at: usize,
}

/// What follows from all that has happened.
#[derive(Clone, Default)]
struct State {
    model: Model,
    in_flight: BTreeMap<ShardId, VecDeque<InFlight>>,
    /// Items that applied entries tell of, by source and destination; and their ends.
    issued: BTreeMap<(ShardId, ShardId), usize>,
    ended: BTreeMap<(ShardId, ShardId), usize>,
    /// By the command's number.
    decided: BTreeMap<usize, Decided>,
}

#[derive(Clone)]
pub struct Reference {
    pub shards: u32,
    pub money_bound: i64,
    is_extreme: bool,
    /// All commands, also those that were lost.
    pub asked: Vec<Command>,
    clocks: BTreeMap<ShardId, u64>,
    happened: Vec<Happened>,
    state: State,
    /// What must be told in the last step: by shard, then in the order of asking.
    pub told: Vec<Told>,
}

/// What a failing history began with; the rest follows from its steps.
impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.asked.iter().map(|command| &command.action);
        f.debug_struct("Reference")
            .field("shards", &self.shards)
            .field("is_extreme", &self.is_extreme)
            .field("asked", &asked.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A hold, or an item of suspense, by its place in its shard, which both sides know: its id is known to the ledger alone.
pub fn symbol(shard: ShardId, number: u64) -> TransactionId {
    let position = Position {
        shard,
        epoch: EPOCH,
        index: 0,
    };
    TransactionId {
        position,
        ordinal: u32::try_from(number).expect("few holds"),
    }
}

impl Reference {
    fn new(shards: u32, is_extreme: bool, beginning: &[Command]) -> Self {
        let ids = (1..=shards).map(ShardId);
        let mut reference = Self {
            shards,
            money_bound: if is_extreme {
                i64::MAX
            } else {
                CHANNEL_MONEY_BOUND
            },
            is_extreme,
            asked: Vec::new(),
            clocks: ids.clone().map(|id| (id, BEGINNING_MS)).collect(),
            happened: Vec::new(),
            state: State::default(),
            told: Vec::new(),
        };
        reference.ask(beginning.to_vec());
        ids.for_each(|id| reference.apply(id));
        reference
    }

    /// The commands with which it begins; only before anything else has happened.
    pub fn beginning(&self) -> Vec<Command> {
        self.asked.clone()
    }

    pub fn model(&self) -> Model {
        self.state.model.clone()
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            items: CHANNEL_BOUND as usize,
            money: self.money_bound,
        }
    }

    fn in_flight(&self, shard: ShardId) -> usize {
        self.state.in_flight.get(&shard).map_or(0, VecDeque::len)
    }

    fn propose(&mut self, shard: ShardId, items: Vec<Item>) {
        let clock = self.clocks.get_mut(&shard).expect("one of the shards");
        *clock += 1;
        let proposal = Proposal {
            shard,
            now_ms: *clock,
            items,
        };
        self.happened.push(Happened::Proposed(proposal.clone()));
        let told = self.decide(&proposal);
        self.told.extend(told);
    }

    fn decide(&mut self, proposal: &Proposal) -> Vec<Told> {
        let (bounds, here) = (self.bounds(), proposal.shard);
        let at = self.happened.len();
        let State { model, decided, .. } = &mut self.state;
        model.now_ms = proposal.now_ms;
        let now = proposal.now_ms * 1_000_000;
        model.expire(here, now);
        let holds = |model: &Model| model.holds.get(&here).map_or(0, Vec::len) as u64;
        let suspended = |model: &Model| model.suspense.get(&here).map_or(0, Vec::len) as u64;
        let paid = |model: &Model| model.paid.get(&here).map_or(0, Vec::len) as u64;
        let peers = || (1..=self.shards).map(ShardId);
        let sent = |model: &Model, to| model.channels.get(&(here, to)).map_or(0, Vec::len);
        let before = (
            holds(model),
            peers().map(|to| sent(model, to)).collect::<Vec<_>>(),
            suspended(model),
            paid(model),
        );
        let (mut received, mut numbers) = (BTreeMap::new(), Vec::new());
        let mut told = Vec::new();
        for item in &proposal.items {
            match item {
                Item::Command(number) => {
                    if let Some(first) = decided.get(number) {
                        told.push(Told::Again(first.is_applied.then_some(first.result)));
                        continue;
                    }
                    let command = &self.asked[*number];
                    let reasons = model.reasons(here, date(0), bounds, command);
                    let refused = first(&reasons);
                    if refused.is_none() {
                        model.carry_out(here, date(0), now, command);
                    }
                    let now = Decided {
                        result: refused.map_or(Ok(()), Err),
                        at_ms: proposal.now_ms,
                        is_applied: false,
                    };
                    decided.insert(*number, now);
                    numbers.push(*number);
                    told.push(refused.map_or(Told::Done, Told::Refused));
                }
                Item::Group(group) => {
                    let mut attempt = model.clone();
                    let mut refused = None;
                    for (number, command) in group.clone().zip(&self.asked[group.clone()]) {
                        let reasons = attempt.reasons(here, date(0), bounds, command);
                        if let Some(code) = first(&reasons) {
                            refused = Some((number - group.start, code));
                            break;
                        }
                        attempt.carry_out(here, date(0), now, command);
                    }
                    match refused {
                        Some((item, code)) => told.push(Told::RefusedIn(item, code)),
                        None => {
                            *model = attempt;
                            told.extend(group.clone().map(|_| Told::Done));
                        }
                    }
                }
                Item::Receive(source) => {
                    let (reasons, kept) = model.receive(*source, here);
                    *received.entry(*source).or_default() += 1;
                    told.push(match first(&reasons) {
                        _ if kept => Told::Kept,
                        None => Told::Done,
                        Some(code) => Told::Refused(code),
                    });
                }
                Item::Exchange(source) => {
                    let asked = model.exchange(*source, here).into_iter();
                    told.extend(asked.map(|refused| refused.map_or(Told::Done, Told::Refused)));
                }
                Item::Resolve(destination, number) => model.resolve(here, *destination, *number),
            }
        }
        let sent = peers()
            .zip(before.1)
            .map(|(to, n)| (to, sent(model, to) - n));
        let left = InFlight {
            holds: before.0 + 1..holds(model) + 1,
            suspended: before.2 + 1..suspended(model) + 1,
            paid: before.3 + 1..paid(model) + 1,
            decided: numbers,
            sent: sent.collect(),
            received,
            at: at - 1,
        };
        self.state
            .in_flight
            .entry(here)
            .or_default()
            .push_back(left);
        told
    }

    fn apply(&mut self, shard: ShardId) {
        self.happened.push(Happened::Applied(shard));
        self.applied(shard);
    }

    fn applied(&mut self, here: ShardId) {
        let state = &mut self.state;
        let in_flight = state.in_flight.get_mut(&here);
        let Some(left) = in_flight.and_then(VecDeque::pop_front) else {
            return;
        };
        for number in left.holds {
            state.model.name_hold(here, number, symbol(here, number));
        }
        for number in left.suspended {
            let id = symbol(here, number);
            state.model.name_suspended(here, number, id);
        }
        for number in left.paid {
            let id = symbol(here, number);
            state.model.name_paid(here, number, id);
        }
        for number in left.decided {
            let decided = state.decided.get_mut(&number);
            decided.expect("it was proposed").is_applied = true;
        }
        for (to, count) in left.sent {
            *state.issued.entry((here, to)).or_default() += count;
        }
        for (from, count) in left.received {
            *state.ended.entry((from, here)).or_default() += count;
        }
    }

    fn number(&mut self, commands: Vec<Command>) -> Range<usize> {
        let before = self.asked.len();
        self.asked.extend(commands);
        self.asked = numbered(std::mem::take(&mut self.asked));
        before..self.asked.len()
    }

    fn ask(&mut self, commands: Vec<Command>) {
        let before = self.number(commands).start;
        for shard in (1..=self.shards).map(ShardId) {
            let asked = self.asked.iter().enumerate().skip(before);
            let ours = asked.filter(|(_, c)| home(c.action.account(), self.shards) == shard);
            let items: Vec<_> = ours.map(|(number, _)| Item::Command(number)).collect();
            if !items.is_empty() {
                self.propose(shard, items);
            }
        }
    }

    /// What is in flight never was.
    fn lose(&mut self, shard: ShardId) {
        let lost = self.state.in_flight.remove(&shard).unwrap_or_default();
        let lost: Vec<usize> = lost.into_iter().map(|left| left.at).collect();
        let happened = std::mem::take(&mut self.happened);
        let kept = (0..).zip(happened).filter(|(at, _)| !lost.contains(at));
        self.state = State::default();
        for happened in kept.map(|(_, happened)| happened).collect::<Vec<_>>() {
            self.happened.push(happened.clone());
            match happened {
                Happened::Proposed(proposal) => drop(self.decide(&proposal)),
                Happened::Applied(shard) => self.applied(shard),
            }
        }
        self.propose(shard, Vec::new());
    }

    /// Those that a destination can decide about now.
    fn next_items(&self, source: ShardId, destination: ShardId, most: usize) -> usize {
        let channel = (source, destination);
        let issued = self.state.issued.get(&channel).copied().unwrap_or(0);
        let items = self.state.model.channels.get(&channel);
        let decided = items.map_or(0, |all| all.iter().filter(|i| i.taken.is_some()).count());
        issued.saturating_sub(decided).min(most)
    }

    /// The numbers of items whose ends the source can learn.
    pub fn ended(&self, source: ShardId, destination: ShardId, picks: &[usize]) -> Vec<u64> {
        let ended = self.state.ended.get(&(source, destination)).copied();
        match ended.unwrap_or(0) {
            0 => Vec::new(),
            ended => picks.iter().map(|pick| (pick % ended) as u64 + 1).collect(),
        }
    }

    fn reasons_now(&self, command: &Command) -> Option<Code> {
        let shard = home(command.action.account(), self.shards);
        let mut model = self.model();
        model.now_ms = self.clocks[&shard] + 1;
        model.expire(shard, model.now_ms * 1_000_000);
        first(&model.reasons(shard, date(0), self.bounds(), command))
    }

    /// The command that is asked again: one of those that the ledger must still remember.
    pub fn asked_again(&self, pick: usize) -> usize {
        pick % self.asked.len()
    }

    /// A group is asked again as a whole, and has a law of its own.
    fn is_remembered(&self, number: usize) -> bool {
        if self.asked[number].info.group.is_some() {
            return false;
        }
        let shard = home(self.asked[number].action.account(), self.shards);
        let decided = self.state.decided.get(&number);
        let since = decided.map_or(0, |it| self.clocks[&shard] - it.at_ms);
        u128::from(since) < ASKED_AGAIN.as_millis()
    }

    /// Commands as they are about what there is now: holds that exist, freezes that are not over.
    fn a_command(&self) -> BoxedStrategy<Command> {
        let amounts = match self.is_extreme {
            true => extreme(),
            false => ordinary(),
        };
        let model = &self.state.model;
        let mut holds: BTreeMap<AccountId, Vec<TransactionId>> = BTreeMap::new();
        for (shard, all) in &model.holds {
            for (number, hold) in (1..).zip(all) {
                let known = holds.entry(hold.account).or_default();
                known.push(symbol(*shard, number));
            }
        }
        let mut suspended: BTreeMap<AccountId, Vec<TransactionId>> = BTreeMap::new();
        for (shard, all) in &model.suspense {
            for (number, item) in (1..).zip(all) {
                let known = suspended.entry(item.owner).or_default();
                known.push(symbol(*shard, number));
            }
        }
        let last_put = suspended.iter().next_back();
        let last_put = last_put.and_then(|(owner, all)| Some((*owner, *all.last()?)));
        let mut paid: BTreeMap<AccountId, Vec<TransactionId>> = BTreeMap::new();
        for (shard, all) in &model.paid {
            for (number, payment) in (1..).zip(all) {
                for account in payment.accounts() {
                    let known = paid.entry(account).or_default();
                    known.push(symbol(*shard, number));
                }
            }
        }
        let now = self.clocks.values().max().copied().unwrap_or(BEGINNING_MS);
        let any = a_command(self.shards, amounts).prop_map(move |mut command| {
            let account = command.action.account();
            choose(hold_of(&mut command), holds.get(&account));
            choose(suspended_of(&mut command), suspended.get(&account));
            choose(original_of(&mut command), paid.get(&account));
            if let Action::Freeze { freeze, .. } = &mut command.action {
                let until = freeze.until_ms.map(|until| until - BEGINNING_MS + now);
                freeze.until_ms = until;
            }
            command
        });
        let frozen = model.accounts.iter().flat_map(|(account, holding)| {
            let kinds = model.frozen(holding).map(|freeze| freeze.kind);
            kinds.map(|kind| (*account, kind))
        });
        let frozen: Vec<(AccountId, FreezeType)> = frozen.collect();
        let mut all = vec![(15, any.boxed())];
        if !frozen.is_empty() {
            let thaw = |(account, kind)| command(Action::Unfreeze { account, kind });
            all.push((1, select(frozen).prop_map(thaw).boxed()));
        }
        // Little comes there: the last item more often than chance would have it.
        if let Some((owner, put)) = last_put {
            let clear = move |to| command(Action::ClearSuspense { owner, put, to });
            all.push((4, a_payee(self.shards).prop_map(clear).boxed()));
        }
        Union::new_weighted(all).boxed()
    }

    /// Commands of one shard.
    fn a_group(&self) -> BoxedStrategy<Vec<Command>> {
        let shards = self.shards;
        let of_one_shard = move |commands: Vec<Command>| {
            let shard = |command: &Command| home(command.action.account(), shards);
            let here = shard(&commands[0]);
            let ours = commands.into_iter().filter(|it| shard(it) == here);
            ours.collect()
        };
        vec(self.a_command(), 2..9).prop_map(of_one_shard).boxed()
    }

    fn open_accounts(&self) -> usize {
        let accounts = self.state.model.accounts.values();
        accounts.filter(|holding| holding.open).count()
    }
}

fn closes(command: &Command) -> bool {
    matches!(command.action, Action::Close { .. })
}

/// The histories, for proptest.
#[derive(Debug)]
pub struct Histories;

impl ReferenceStateMachine for Histories {
    type State = Reference;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Reference> {
        (1..=SHARDS, prop::bool::weighted(0.2), beginning())
            .prop_map(|(shards, is_extreme, beginning)| {
                Reference::new(shards, is_extreme, &beginning)
            })
            .boxed()
    }

    fn transitions(reference: &Reference) -> BoxedStrategy<Step> {
        let shard = || (1..=reference.shards).prop_map(ShardId);
        let ends = || (shard(), shard());
        let a_while = prop_oneof![
            9 => (1..50u64).prop_map(Duration::from_millis),
            1 => (1..9 * DAY).prop_map(Duration::from_secs),
        ];
        prop_oneof![
            10 => vec(reference.a_command(), 1..4).prop_map(Step::Ask),
            3 => reference.a_group().prop_map(Step::Together),
            1 => any::<usize>().prop_map(Step::Again),
            1 => reference.a_command().prop_map(Step::DryRun),
            6 => (shard(), 1..4usize).prop_map(|(s, n)| Step::Apply(s, n)),
            1 => prop_oneof![shard().prop_map(Step::Lose), shard().prop_map(Step::Restore)],
            4 => (ends(), 1..4usize).prop_map(|((s, d), n)| Step::Deliver(s, d, n)),
            4 => (ends(), vec(any::<usize>(), 1..4)).prop_map(|((s, d), n)| Step::Resolve(s, d, n)),
            4 => ends().prop_map(|(s, d)| Step::Exchange(s, d)),
            1 => ends().prop_map(|(s, d)| Step::Forget(s, d)),
            1 => (shard(), a_while).prop_map(|(s, time)| Step::Wait(s, time)),
        ]
        .boxed()
    }

    fn preconditions(reference: &Reference, step: &Step) -> bool {
        let is_dull = |command: &Command| closes(command) && reference.open_accounts() <= STAY_OPEN;
        match step {
            Step::Ask(commands) => !commands.iter().any(is_dull),
            Step::Together(commands) => commands.len() > 1 && !commands.iter().any(is_dull),
            Step::DryRun(command) => {
                reference.in_flight(home(command.action.account(), reference.shards)) == 0
            }
            // What is said is what is applied.
            Step::Exchange(source, here) => source != here && reference.in_flight(*source) == 0,
            Step::Again(pick) => reference.is_remembered(reference.asked_again(*pick)),
            Step::Wait(shard, time) => {
                let since = u128::from(reference.clocks[shard] - BEGINNING_MS);
                since + time.as_millis() < LONGEST.as_millis()
            }
            Step::Apply(..)
            | Step::Lose(_)
            | Step::Restore(_)
            | Step::Deliver(..)
            | Step::Resolve(..)
            | Step::Forget(..) => true,
        }
    }

    fn apply(mut reference: Reference, step: &Step) -> Reference {
        reference.told.clear();
        match step {
            Step::Ask(commands) => reference.ask(commands.clone()),
            Step::Together(commands) => {
                let shard = home(commands[0].action.account(), reference.shards);
                let group = reference.number(commands.clone());
                let of = u32::try_from(commands.len()).expect("few");
                for (item, command) in (1..).zip(&mut reference.asked[group.clone()]) {
                    command.info.group = Some(GroupPlace { item, of });
                }
                reference.propose(shard, vec![Item::Group(group)]);
            }
            Step::Again(pick) => {
                let number = reference.asked_again(*pick);
                let shard = home(reference.asked[number].action.account(), reference.shards);
                reference.propose(shard, vec![Item::Command(number)]);
            }
            Step::DryRun(command) => {
                let refused = reference.reasons_now(command);
                reference.told = vec![refused.map_or(Told::Done, Told::Refused)];
            }
            Step::Apply(shard, count) => (0..*count).for_each(|_| reference.apply(*shard)),
            Step::Lose(shard) | Step::Restore(shard) => {
                reference.lose(*shard);
            }
            Step::Deliver(source, destination, most) => {
                let count = reference.next_items(*source, *destination, *most);
                let items = (0..count).map(|_| Item::Receive(*source));
                reference.propose(*destination, items.collect());
            }
            Step::Resolve(source, destination, picks) => {
                let numbers = reference.ended(*source, *destination, picks).into_iter();
                let items = numbers.map(|number| Item::Resolve(*destination, number));
                reference.propose(*source, items.collect());
            }
            Step::Exchange(source, here) => {
                reference.propose(*here, vec![Item::Exchange(*source)]);
            }
            Step::Forget(_, destination) => reference.propose(*destination, Vec::new()),
            Step::Wait(shard, time) => {
                let clock = reference.clocks.get_mut(shard).expect("one of the shards");
                *clock += u64::try_from(time.as_millis()).expect("a few days");
                reference.propose(*shard, Vec::new());
            }
        }
        reference
    }
}

/// The last ones more often: the first have ended long ago.
fn choose(named: Option<&mut TransactionId>, known: Option<&Vec<TransactionId>>) {
    if let Some(id) = named.filter(|id| id.position.index == 0)
        && let Some(known) = known
    {
        let back = id.ordinal as usize % known.len().min(6) + 1;
        *id = known[known.len() - back];
    }
}

/// Whether a command is about a hold, and not its placing.
pub fn names_a_hold(command: &Command) -> bool {
    match &command.action {
        Action::Hold { action, .. } => !matches!(action, HoldAction::Place { .. }),
        _ => false,
    }
}
