//! Law: over a long history of everything that can happen to shards, what callers are told and what
//! the books say is what the naive [model](crate::model) says.
//!
//! Steps are drawn by what there is ([`reference`]): holds that exist, items that are on their way,
//! freezes that can be lifted. So a history stays lively over hundreds of steps, and a failing one
//! is shrunk step by step to one that still makes sense.

mod reference;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ledger_domain::{
    Code, Command, Entry, Event, HouseCode, InFlight, Outcome, Position, ShardId, TransactionId,
    command::Kind, decide, expire, state::State as _,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::{
    generate::{hold_of, home, original_of, suspended_of},
    postings,
    shards::{Shards, asked},
    stored_book::same,
    tries,
    view::View,
    writer::{Answer, Work, replayed},
};
use reference::{Histories, Reference, Step, Told, names_a_hold};

/// The ledger's shards, and how their entries were proposed.
struct Ledger {
    shards: Shards,
    /// How many entries each thing proposed has come to, and not been applied.
    in_flight: BTreeMap<ShardId, VecDeque<usize>>,
}

impl Ledger {
    fn propose(&mut self, shard: ShardId, work: Vec<Work>) -> Vec<Answer> {
        let writer = self.shards.writer(shard);
        let before = writer.in_flight();
        let answers = writer.propose(work);
        let entries = writer.in_flight() - before;
        self.in_flight.entry(shard).or_default().push_back(entries);
        answers
    }

    fn apply(&mut self, shard: ShardId) {
        let in_flight = self.in_flight.entry(shard).or_default();
        for _ in 0..in_flight.pop_front().unwrap_or(0) {
            self.shards.apply(shard);
        }
    }

    fn lose(&mut self, shard: ShardId) {
        self.shards.writer(shard).lose();
        self.in_flight.remove(&shard);
    }

    /// A command with the id of its hold, where the history only knows its place.
    fn named(&mut self, command: &Command) -> Command {
        let mut command = command.clone();
        if names_a_hold(&command)
            && let Some(hold) = hold_of(&mut command)
            && hold.position.index == 0
        {
            let book = &self.shards.writer(hold.position.shard).book;
            let known = book.hold(hold.ordinal.into());
            *hold = known.and_then(|it| it.placed).unwrap_or(nobodys(*hold));
        }
        if let Some(put) = suspended_of(&mut command)
            && let Some(place) = put.ordinal.checked_sub(1)
            && put.position.index == 0
        {
            let known = self.shards.put.get(&put.position.shard);
            let known = known.and_then(|all| all.get(place as usize));
            *put = known.copied().unwrap_or(nobodys(*put));
        }
        if let Some(original) = original_of(&mut command)
            && let Some(place) = original.ordinal.checked_sub(1)
            && original.position.index == 0
        {
            let known = self.shards.paid.get(&original.position.shard);
            let known = known.and_then(|all| all.get(place as usize));
            *original = known.copied().unwrap_or(nobodys(*original));
        }
        self.shards.look_up(&mut command);
        command
    }

    /// Asks for some of the commands, by shard, and gives what was answered.
    fn ask(&mut self, shards: u32, commands: &[Command]) -> Vec<Told> {
        let mut told = Vec::new();
        for shard in (1..=shards).map(ShardId) {
            let ours = |c: &&Command| home(c.action.account(), shards) == shard;
            let ours: Vec<Command> = commands.iter().filter(ours).cloned().collect();
            if ours.is_empty() {
                continue;
            }
            let work = ours
                .iter()
                .map(|command| Work::Command(self.named(command)));
            let work = work.collect();
            for (answer, command) in self.propose(shard, work).into_iter().zip(&ours) {
                told.push(self.told(shard, command, answer));
            }
        }
        told
    }

    fn ask_together(&mut self, shards: u32, group: &[Command]) -> Vec<Told> {
        let shard = home(group[0].action.account(), shards);
        let group = group.iter().map(|command| self.named(command)).collect();
        let answers = self.propose(shard, vec![Work::Group(group)]).into_iter();
        let told = answers.map(|answer| {
            let Answer::Decided(outcome) = answer else {
                panic!("a group is asked for the first time");
            };
            let command = outcome.command.as_ref().expect("it is a command's");
            let place = command.info.group.expect("it is one of a group");
            match verdict(&outcome) {
                Told::Refused(code) => Told::RefusedIn(place.item as usize - 1, code),
                done => done,
            }
        });
        told.collect()
    }

    fn told(&self, shard: ShardId, command: &Command, answer: Answer) -> Told {
        match answer {
            Answer::Decided(outcome) => verdict(&outcome),
            Answer::Repeated(record) => {
                assert_eq!(command.info.fingerprint.whole(), record.fingerprint);
                let writer = &self.shards.writers[&shard];
                let place = usize::try_from(record.index).expect("a short log");
                // While it is in flight nobody is told anything.
                let Some(stored) = place.checked_sub(1).and_then(|at| writer.log.get(at)) else {
                    return Told::Again(None);
                };
                let entry = Entry::decode(stored).expect("an entry of the log");
                let first = &entry.outcomes[record.ordinal as usize];
                let whose = first.command.as_ref().map(|command| command.info.key);
                assert_eq!(whose, Some(command.info.key));
                let result = first.result.as_ref().map(drop);
                Told::Again(Some(result.map_err(|refused| refused.code)))
            }
            Answer::Nothing => panic!("{command:?} is not answered"),
        }
    }

    fn rehearse(&mut self, shards: u32, command: &Command) -> Told {
        let command = self.named(command);
        let writer = self.shards.writer(home(command.action.account(), shards));
        let mut at = writer.circumstances();
        at.time.wall_nanos += 1_000_000;
        let mut in_flight = InFlight::default();
        in_flight.begin();
        let mut state = in_flight.above(&writer.book);
        expire(&mut state, at.time.wall_nanos, usize::MAX);
        verdict(&decide(&mut state, &at, &command))
    }

    fn deliver(&mut self, source: ShardId, destination: ShardId, most: usize) -> Vec<Told> {
        let work = self.shards.next_items(source, destination, most);
        let answers = self.propose(destination, work).into_iter();
        let told = answers.map(|answer| {
            let Answer::Decided(Outcome { result, .. }) = answer else {
                panic!("an item is always answered");
            };
            match result.expect("an item is no command").last() {
                Some(Event::TransferReceived { .. }) => Told::Done,
                Some(Event::TransferSuspended { .. }) => Told::Kept,
                Some(Event::TransferRefused { rejection, .. }) => Told::Refused(rejection.code),
                other => panic!("{other:?}"),
            }
        });
        told.collect()
    }

    fn take(&mut self, reference: &Reference, step: &Step) -> Option<Vec<Told>> {
        match step {
            Step::Ask(commands) => {
                let asked = &reference.asked;
                let new = &asked[asked.len() - commands.len()..];
                return Some(self.ask(reference.shards, new));
            }
            Step::Together(commands) => {
                let asked = &reference.asked;
                let group = asked[asked.len() - commands.len()..].to_vec();
                return Some(self.ask_together(reference.shards, &group));
            }
            Step::Again(pick) => {
                let again = &reference.asked[reference.asked_again(*pick)];
                return Some(self.ask(reference.shards, std::slice::from_ref(again)));
            }
            Step::DryRun(command) => return Some(vec![self.rehearse(reference.shards, command)]),
            Step::Deliver(source, destination, most) => {
                return Some(self.deliver(*source, *destination, *most));
            }
            Step::Exchange(source, here) => {
                let work = self.shards.said(*source, *here);
                let answers = self.propose(*here, work);
                let told = answers.iter().filter_map(asked);
                let told = told.map(|refused| refused.map_or(Told::Done, Told::Refused));
                return Some(told.collect());
            }
            Step::Apply(shard, count) => (0..*count).for_each(|_| self.apply(*shard)),
            Step::Lose(shard) => {
                self.lose(*shard);
                self.propose(*shard, Vec::new());
            }
            Step::Restore(shard) => {
                self.lose(*shard);
                let writer = self.shards.writer(*shard);
                writer.book = same(writer);
                self.propose(*shard, Vec::new());
            }
            Step::Resolve(source, destination, picks) => {
                let ended = reference.ended(*source, *destination, picks).into_iter();
                let end = |number| self.shards.end(*source, *destination, number);
                let work = ended.map(|number| end(number).expect("the log tells of it"));
                let work = work.collect();
                self.propose(*source, work);
            }
            Step::Forget(source, destination) => {
                let through = self.shards.closed(*source, *destination);
                let source = *source;
                self.propose(*destination, vec![Work::Forget { source, through }]);
            }
            Step::Wait(shard, time) => {
                self.shards.writer(*shard).wait(*time);
                self.propose(*shard, Vec::new());
            }
        }
        None
    }
}

/// The id of nothing.
fn nobodys(symbol: TransactionId) -> TransactionId {
    let position = Position {
        index: u64::MAX,
        ..symbol.position
    };
    TransactionId { position, ..symbol }
}

fn verdict(outcome: &Outcome) -> Told {
    let refused = outcome.result.as_ref().err();
    refused.map_or(Told::Done, |rejection| Told::Refused(rejection.code))
}

struct LongHistories;

impl StateMachineTest for LongHistories {
    type SystemUnderTest = Ledger;
    type Reference = Histories;

    fn init_test(reference: &Reference) -> Ledger {
        let mut ledger = Ledger {
            shards: Shards::new(reference.shards),
            in_flight: BTreeMap::new(),
        };
        for writer in ledger.shards.writers.values_mut() {
            writer.channel_money_bound = reference.money_bound;
        }
        ledger.ask(reference.shards, &reference.beginning());
        ledger.shards.compare_with(reference.model());
        (1..=reference.shards).for_each(|shard| ledger.apply(ShardId(shard)));
        ledger
    }

    fn apply(mut ledger: Ledger, reference: &Reference, step: Step) -> Ledger {
        ledger.shards.compare_with(reference.model());
        if let Some(told) = ledger.take(reference, &step) {
            assert_eq!(told, reference.told, "{step:?}");
        }
        ledger.shards.check_against_model();
        ledger
    }

    fn teardown(mut ledger: Ledger, reference: Reference) {
        let shards = &mut ledger.shards;
        shards.compare_with(reference.model());
        shards.settle();
        shards.check_against_model();
        for (shard, writer) in &shards.writers {
            assert_eq!(writer.book.under_way().count(), 0);
            for (code, _, balance) in writer.book.houses() {
                assert!(!matches!(code, HouseCode::InTransit(_)) || balance == 0);
            }
            let replay = replayed(*shard, &writer.log);
            assert_eq!(View::of_book(&replay, &writer.keys), writer.book_view());
            postings::come_to(&writer.book, &writer.log);
        }
    }
}

prop_state_machine! {
    #![proptest_config(tries(200))]

    #[test]
    fn a_long_history_is_what_the_model_says(sequential 100..400 => LongHistories);
}

/// A history in which nothing succeeds would break no promise.
#[test]
fn long_histories_come_to_everything_there_is() {
    let mut runner = TestRunner::deterministic();
    let mut done: BTreeSet<Kind> = BTreeSet::new();
    let mut refused: BTreeSet<Code> = BTreeSet::new();
    let mut others = BTreeSet::new();
    for _ in 0..180 {
        let history = Histories::sequential_strategy(400).new_tree(&mut runner);
        let (mut reference, steps, _) = history.expect("a history").current();
        for step in steps {
            reference = <Histories as ReferenceStateMachine>::apply(reference, &step);
            let asked = match &step {
                Step::Ask(commands) => &reference.asked[reference.asked.len() - commands.len()..],
                _ => &[],
            };
            let count = reference.shards;
            let ours = |shard| {
                let is_ours = move |c: &&Command| home(c.action.account(), count) == shard;
                asked.iter().filter(is_ours)
            };
            let by_shard = (1..=count).map(ShardId).flat_map(ours);
            let kinds = by_shard.map(|command| command.action.kind());
            if let Step::Together(_) = &step
                && reference.told.iter().all(|told| *told == Told::Done)
            {
                others.insert("together");
            }
            done.extend(
                kinds
                    .zip(&reference.told)
                    .filter(|(_, t)| **t == Told::Done)
                    .map(|(k, _)| k),
            );
            for told in &reference.told {
                match told {
                    Told::Refused(code) => drop(refused.insert(*code)),
                    Told::RefusedIn(..) => drop(others.insert("not together")),
                    Told::Done => {}
                    Told::Kept => drop(others.insert("kept")),
                    Told::Again(None) => drop(others.insert("again in flight")),
                    Told::Again(Some(_)) => drop(others.insert("again")),
                }
            }
        }
    }
    // No history has a thousand accounts, or consumers.
    let never = [
        Code::Moved,
        Code::HouseAccountNotFound,
        Code::CustomerAccountsFull,
        Code::ConsumersFull,
    ];
    let missing: Vec<_> = Code::ALL
        .iter()
        .filter(|code| !refused.contains(code) && !never.contains(code))
        .collect();
    assert!(missing.is_empty(), "never refused for {missing:?}");
    let kinds = (0..200).filter_map(Kind::from_number);
    let missing: Vec<_> = kinds.filter(|kind| !done.contains(kind)).collect();
    assert!(missing.is_empty(), "never done: {missing:?}");
    assert_eq!(others.len(), 5, "{others:?}");
}
