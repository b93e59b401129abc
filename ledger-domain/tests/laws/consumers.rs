//! Consumer groups in the model, and what must hold of their cursors.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use ledger_domain::{
    Action, Code, ConsumerId, Event, Outcome, Position, ShardId, TransactionId,
    consumer::{
        ConsumerChange, ConsumerEvent, Cursor, Generation, Group, MOST_CONSUMERS, Order, Parked,
        Place, Reads,
    },
    state::State as _,
};
use proptest::{collection::btree_map, prelude::*, sample::select};

use crate::{
    generate::{command, consumers, numbered},
    model::Model,
    writer::{Answer, Writer},
};

/// A share as the model has it: its shards, where each is, under which lending, and what it is stopped
/// at, with where it goes on after that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    shards: Vec<ShardId>,
    at: Cursor,
    generation: Generation,
    stopped: Option<Cursor>,
}

fn parts(group: &Group, at: &Cursor) -> Option<Vec<Part>> {
    let mut shards: Vec<Vec<ShardId>> = Vec::new();
    match (group.order, group.buckets) {
        (Order::Cut, 1) => shards.push(group.shards.clone()),
        (Order::Shard, 1) => shards.extend(group.shards.iter().map(|shard| vec![*shard])),
        (Order::Account, buckets) => {
            for shard in &group.shards {
                (0..buckets).for_each(|_| shards.push(vec![*shard]));
            }
        }
        _ => return None,
    }
    let read: BTreeSet<_> = group.shards.iter().copied().collect();
    let makes_sense = !read.is_empty()
        && read.iter().copied().collect::<Vec<_>>() == group.shards
        && at.keys().copied().collect::<BTreeSet<_>>() == read
        && !shards.is_empty();
    let part = |shards: Vec<ShardId>| Part {
        at: shards.iter().map(|shard| (*shard, at[shard])).collect(),
        shards,
        generation: Generation::default(),
        stopped: None,
    };
    makes_sense.then(|| shards.into_iter().map(part).collect())
}

impl Part {
    fn against(&self, generation: Generation, from: &Cursor, to: &[&Cursor]) -> BTreeSet<Code> {
        let mut reasons = BTreeSet::new();
        if self.stopped.is_some() {
            reasons.insert(Code::ConsumerParked);
        }
        if generation < self.generation {
            reasons.insert(Code::ConsumerFenced);
        }
        if *from != self.at {
            reasons.insert(Code::ConsumerCursorMoved);
        }
        let is_whole = |to: &&Cursor| to.keys().copied().eq(self.shards.iter().copied());
        if !to.iter().all(is_whole) {
            reasons.insert(Code::ConsumerCursorInvalid);
            return reasons;
        }
        let is_back = |a: &Cursor, b: &Cursor| {
            let mut shards = self.shards.iter();
            let key = |place: &Place| (place.next, place.told);
            shards.any(|shard| a.get(shard).is_some_and(|a| key(&b[shard]) < key(a)))
        };
        if is_back(from, to[0]) || to.len() > 1 && (is_back(to[0], to[1]) || to[0] == to[1]) {
            reasons.insert(Code::ConsumerCursorBack);
        }
        reasons
    }
}

impl Model {
    /// What speaks against something about a consumer group.
    pub fn against_consumer(
        &self,
        shard: ShardId,
        id: &ConsumerId,
        change: &ConsumerChange,
    ) -> BTreeSet<Code> {
        use ConsumerChange as C;
        let known = self.consumers.get(&(shard, id.clone()));
        let (number, asked) = match change {
            C::Created { group, at } => {
                let mut reasons = BTreeSet::new();
                if known.is_some() {
                    reasons.insert(Code::ConsumerExists);
                }
                if parts(group, at).is_none() {
                    reasons.insert(Code::ConsumerCursorInvalid);
                }
                return reasons;
            }
            C::Removed | C::Moved { .. } => (None, change),
            C::Advanced { share, .. } | C::Parked { share, .. } | C::Resumed { share, .. } => {
                (Some(*share), change)
            }
        };
        let Some(known) = known else {
            return [Code::ConsumerNotFound].into();
        };
        let part = number.map(|number| known.get(number as usize));
        let part = match part {
            None => None,
            Some(None) => return [Code::ConsumerShareNotFound].into(),
            Some(part) => part,
        };
        match (asked, part) {
            (C::Moved { to }, _) => {
                let read: BTreeSet<_> = known.iter().flat_map(|it| &it.shards).collect();
                let fits = !to.is_empty() && to.keys().all(|shard| read.contains(shard));
                let refused = (!fits).then_some(Code::ConsumerCursorInvalid);
                refused.into_iter().collect()
            }
            (C::Resumed { .. }, Some(part)) if part.stopped.is_none() => {
                [Code::ConsumerNotParked].into()
            }
            (
                C::Advanced {
                    generation,
                    from,
                    to,
                    ..
                },
                Some(part),
            ) => part.against(*generation, from, &[to]),
            (
                C::Parked {
                    generation,
                    from,
                    to,
                    at,
                    ..
                },
                Some(part),
            ) => part.against(*generation, from, &[to, &at.after]),
            _ => BTreeSet::new(),
        }
    }

    pub fn change_consumer(&mut self, shard: ShardId, id: &ConsumerId, change: &ConsumerChange) {
        use ConsumerChange as C;
        let key = (shard, id.clone());
        if let C::Created { group, at } = change {
            let parts = parts(group, at).expect("it makes sense");
            self.consumers.insert(key, parts);
            return;
        }
        if let C::Removed = change {
            self.consumers.remove(&key);
            return;
        }
        let known = self.consumers.get_mut(&key).expect("it is there");
        match change {
            C::Created { .. } | C::Removed => {}
            C::Advanced {
                share,
                generation,
                to,
                ..
            } => {
                let part = &mut known[*share as usize];
                (part.at, part.generation) = (to.clone(), *generation);
            }
            C::Parked {
                share,
                generation,
                to,
                at,
                ..
            } => {
                let part = &mut known[*share as usize];
                (part.at, part.generation) = (to.clone(), *generation);
                part.stopped = Some(at.after.clone());
            }
            C::Resumed { share, skip } => {
                let part = &mut known[*share as usize];
                let after = part.stopped.take().expect("it is stopped");
                if *skip {
                    part.at = after;
                }
            }
            C::Moved { to } => {
                for part in known {
                    for (shard, place) in to {
                        if part.shards.contains(shard) {
                            part.at.insert(*shard, *place);
                            part.stopped = None;
                        }
                    }
                }
            }
        }
    }

    /// Compares a shard's groups with the model's.
    pub fn compare_consumers(&self, shard: ShardId, state: &impl ledger_domain::state::State) {
        for id in consumers() {
            let ours = state.consumer(&id);
            let ours = ours.map(|it| {
                let part = |share: &ledger_domain::consumer::Share| {
                    let stopped = share.parked.as_ref().map(|it| it.after.clone());
                    (share.cursor.clone(), share.generation, stopped)
                };
                it.shares.iter().map(part).collect::<Vec<_>>()
            });
            let theirs = self.consumers.get(&(shard, id.clone())).map(|parts| {
                let part = |it: &Part| (it.at.clone(), it.generation, it.stopped.clone());
                parts.iter().map(part).collect::<Vec<_>>()
            });
            assert_eq!(ours, theirs, "{shard}: {id}");
        }
    }
}

fn a_cursor() -> impl Strategy<Value = Cursor> {
    let shard = (1..3u32).prop_map(ShardId);
    let place = prop_oneof![6 => Just((1, 0)), 2 => Just((2, 0)), 1 => Just((1, 1))];
    let place = place.prop_map(|(next, told)| Place {
        epoch: 1,
        next,
        told,
    });
    prop_oneof![
        4 => btree_map(Just(ShardId(1)), place.clone(), 1),
        2 => btree_map(shard, place, 0..3),
    ]
}

fn a_group() -> impl Strategy<Value = Arc<Group>> {
    let group = |(order, shards, buckets): (Order, Vec<u32>, u32)| {
        Arc::new(Group {
            reads: Reads::Region("eu-west".parse().expect("a region's name")),
            order,
            shards: shards.into_iter().map(ShardId).collect(),
            buckets,
            filter: Bytes::from_static(b"\x0a\x00"),
        })
    };
    select(vec![
        (Order::Shard, vec![1], 1),
        (Order::Shard, vec![1], 1),
        (Order::Shard, vec![1, 2], 1),
        (Order::Account, vec![1], 2),
        (Order::Cut, vec![1], 1),
        (Order::Cut, vec![1, 2], 1),
        (Order::Shard, vec![], 1),
        (Order::Cut, vec![2, 1], 1),
    ])
    .prop_map(group)
}

/// Something about one of few consumer groups.
pub fn a_consumer_change() -> impl Strategy<Value = (ConsumerId, ConsumerChange)> {
    use ConsumerChange as C;
    let share = || prop_oneof![4 => Just(0u32), 1 => Just(1), 1 => Just(2)];
    let generation = || {
        let count = prop_oneof![1 => Just(1u64), 3 => Just(2)];
        count.prop_map(|count| Generation {
            epoch: 1,
            term: 2,
            count,
        })
    };
    let parked = (any::<u32>(), a_cursor()).prop_map(|(ordinal, after)| {
        let position = Position {
            shard: ShardId(1),
            epoch: 1,
            index: 7,
        };
        Parked {
            event: TransactionId { position, ordinal },
            place: 1,
            reason: "not for us".to_owned(),
            since_ms: 1_790_000_000_000,
            after,
        }
    });
    let going = || (share(), generation(), a_cursor(), a_cursor());
    let change = prop_oneof![
        3 => (a_group(), a_cursor()).prop_map(|(group, at)| C::Created { group, at }),
        6 => going().prop_map(|(share, generation, from, to)| C::Advanced {
            share, generation, from, to,
        }),
        4 => (going(), parked).prop_map(|((share, generation, from, to), at)| C::Parked {
            share, generation, from, to, at,
        }),
        2 => (share(), any::<bool>()).prop_map(|(share, skip)| C::Resumed { share, skip }),
        1 => a_cursor().prop_map(|to| C::Moved { to }),
        1 => Just(C::Removed),
    ];
    (select(consumers().collect::<Vec<_>>()), change)
}

fn ask(consumer: &ConsumerId, change: ConsumerChange) -> ledger_domain::Command {
    command(Action::Consumer {
        place: consumer.place(),
        consumer: consumer.clone(),
        change,
    })
}

fn told(writer: &mut Writer, asked: Vec<ledger_domain::Command>) -> Vec<Result<(), Code>> {
    let answers = writer.command(numbered(asked));
    let told = answers.into_iter().map(|answer| match answer {
        Answer::Decided(Outcome { result, .. }) => result.map(drop).map_err(|it| it.code),
        other => panic!("{other:?}"),
    });
    told.collect()
}

fn group(shards: &[u32]) -> Arc<Group> {
    Arc::new(Group {
        reads: Reads::Region("eu-west".parse().expect("a region's name")),
        order: Order::Shard,
        shards: shards.iter().copied().map(ShardId).collect(),
        buckets: 1,
        filter: Bytes::new(),
    })
}

fn at(shard: u32, next: u64) -> Cursor {
    let (epoch, told) = (1, 0);
    Cursor::from([(ShardId(shard), Place { epoch, next, told })])
}

fn lent(count: u64) -> Generation {
    let (epoch, term) = (1, 3);
    Generation { epoch, term, count }
}

fn parked(shard: u32, from: u64, to: u64, after: u64) -> ConsumerChange {
    let position = Position {
        shard: ShardId(shard),
        epoch: 1,
        index: to,
    };
    ConsumerChange::Parked {
        share: 0,
        generation: lent(2),
        from: at(shard, from),
        to: at(shard, to),
        at: Parked {
            event: TransactionId {
                position,
                ordinal: 0,
            },
            place: 1,
            reason: "unreadable".to_owned(),
            since_ms: 5,
            after: at(shard, after),
        },
    }
}

#[test]
fn a_cursor_goes_on_under_the_last_lending_and_never_back_unless_it_is_moved() {
    use ConsumerChange as C;
    let id = consumers().next().expect("one of them");
    let advance = |count, from, to| C::Advanced {
        share: 0,
        generation: lent(count),
        from: at(1, from),
        to: at(1, to),
    };
    let mut both = at(1, 0);
    both.extend(at(2, 0));
    let resume = |skip| C::Resumed { share: 0, skip };
    let steps = [
        (advance(1, 0, 4), Err(Code::ConsumerNotFound)),
        (
            C::Created {
                group: group(&[1, 2]),
                at: at(1, 0),
            },
            Err(Code::ConsumerCursorInvalid),
        ),
        (
            C::Created {
                group: group(&[1, 2]),
                at: both,
            },
            Ok(()),
        ),
        (advance(1, 0, 4), Ok(())),
        (advance(1, 0, 6), Err(Code::ConsumerCursorMoved)),
        (advance(1, 4, 3), Err(Code::ConsumerCursorBack)),
        (advance(2, 4, 5), Ok(())),
        (advance(1, 5, 6), Err(Code::ConsumerFenced)),
        (parked(1, 5, 7, 7), Err(Code::ConsumerCursorBack)),
        (parked(1, 5, 7, 8), Ok(())),
        (advance(2, 7, 8), Err(Code::ConsumerParked)),
        (resume(false), Ok(())),
        (resume(false), Err(Code::ConsumerNotParked)),
        (parked(1, 7, 7, 8), Ok(())),
        (resume(true), Ok(())),
        (advance(2, 8, 9), Ok(())),
        (parked(1, 9, 9, 10), Ok(())),
        (C::Moved { to: at(2, 3) }, Ok(())),
        (advance(2, 9, 10), Err(Code::ConsumerParked)),
        (C::Moved { to: at(3, 3) }, Err(Code::ConsumerCursorInvalid)),
        (C::Moved { to: at(1, 2) }, Ok(())),
        (advance(2, 2, 3), Ok(())),
    ];
    let mut writer = Writer::new(ShardId(1));
    // All in one entry: what is in flight counts.
    let (asked, expected): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
    let asked = asked.into_iter().map(|change| ask(&id, change)).collect();
    assert_eq!(told(&mut writer, asked), expected);
    writer.apply_all();
    let known = writer.book.consumer(&id).expect("it is there");
    let cursors: Vec<_> = known.shares.iter().map(|it| it.cursor.clone()).collect();
    assert_eq!(cursors, [at(1, 3), at(2, 3)]);
    for change in [advance(1, 3, 4), advance(2, 2, 4), resume(true)] {
        let mut book = writer.book.clone();
        let event = Event::Consumer(ConsumerEvent {
            consumer: id.clone(),
            change,
        });
        assert!(ledger_domain::evolve(&mut book, &event).is_err());
        assert_eq!(book.consumer(&id), writer.book.consumer(&id));
    }
}

#[test]
fn a_shard_keeps_so_many_groups_and_no_more_also_as_they_are_stored() {
    let region = "eu-west".parse().expect("a region's name");
    let id = |number: usize| ConsumerId::new(region, &format!("c{number}")).expect("a name");
    let create = |number| {
        let change = ConsumerChange::Created {
            group: group(&[1]),
            at: at(1, number as u64),
        };
        ask(&id(number), change)
    };
    let mut writer = Writer::new(ShardId(1));
    let mut asked: Vec<_> = (0..=MOST_CONSUMERS).map(create).collect();
    asked.push(ask(&id(0), ConsumerChange::Removed));
    asked.push(create(MOST_CONSUMERS));
    asked.push(ask(&id(1), parked(1, 1, 2, 3)));
    let told = told(&mut writer, asked);
    let (before, last) = told.split_at(MOST_CONSUMERS);
    assert!(before.iter().all(Result::is_ok));
    assert_eq!(
        last,
        [Err(Code::ConsumersFull), Ok(()), Ok(()), Ok(())],
        "one is removed, and another takes its place"
    );
    writer.apply_all();
    let mut reader = ledger_domain::book::Reader::default();
    for chunk in writer.book.chunks([7; 32]) {
        reader.take(&chunk).expect("a chunk");
    }
    let restored = reader.finish().expect("a book").book;
    assert_eq!(restored.consumers().count(), MOST_CONSUMERS);
    assert!(restored.consumers().eq(writer.book.consumers()));
}
