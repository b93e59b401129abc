//! Entries that are altered and framed again.

use ledger_domain::{Amount, Event, HybridTime, KeyDigest, frame};
use node::verify::Part;
use replication::proto::LogRecord;

use super::tampering::{Tamper, at, check};
use crate::stopped::{self, HOME, OTHER, RECORD};

/// The framed bytes are right in each of these: what is wrong is what they say.
#[test]
fn an_altered_entry_in_a_right_frame_is_found_and_named() {
    let cases: &[(&str, Tamper)] = &[
        ("an amount, by the chain", |store| {
            let index = store.alter(HOME, &raise_deposit);
            at(HOME, index, Part::Head)
        }),
        ("an amount, by the balance after it", |store| {
            let index = store.alter(HOME, &raise_deposit);
            at(HOME, index, Part::Book)
        }),
        ("an amount, by the entry after it", |store| {
            let index = store.alter(HOME, &raise_deposit);
            let next = store.next_entry(HOME, index);
            at(HOME, next, Part::Entry)
        }),
        ("an amount of a copy, its heads made anew", |store| {
            let index = store.alter(OTHER, &raise_deposit);
            store.chain_heads_anew(OTHER);
            at(OTHER, index, Part::Book)
        }),
        ("a house account's side", |store| {
            let index = store.alter(HOME, &|event| match event {
                Event::FundsDeposited { house, .. } => {
                    *house = ledger_domain::HouseCode::Fees;
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Book)
        }),
        ("an account's version", |store| {
            let index = store.alter(HOME, &|event| match event {
                Event::FundsWithdrawn { after, .. } => {
                    after.version += 1;
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Book)
        }),
        ("what is reversed in all", |store| {
            let index = store.alter(HOME, &|event| match event {
                Event::Reversed(reversed) => {
                    reversed.total = Amount::new(201).unwrap();
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Entry)
        }),
        ("what is reversed", |store| {
            // Another transaction than the one that moved this.
            let index = store.alter(HOME, &|event| match event {
                Event::Reversed(reversed) => {
                    reversed.original.position.index -= 1;
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Entry)
        }),
        ("a reversal of more than was moved", |store| {
            let index = store.find(HOME, &|event| matches!(event, Event::Reversed(_)));
            let original = store.entry(HOME, index).outcomes[0]
                .result
                .as_ref()
                .unwrap()
                .iter()
                .find_map(|event| match event {
                    Event::Reversed(reversed) => Some(reversed.original.position.index),
                    _ => None,
                });
            store.rewrite(HOME, original.unwrap(), |entry| {
                let events = entry.outcomes.iter_mut().flat_map(|it| &mut it.result);
                for event in events.flatten() {
                    if let Event::FundsTransferred { amount, .. } = event {
                        *amount = Amount::new(199).unwrap();
                    }
                }
            });
            at(HOME, index, Part::Entry)
        }),
        ("a limit", |store| {
            let lowered = |event: &mut Event| match event {
                Event::AccountOpened { limit, .. } => {
                    *limit = ledger_domain::Limit::Overdraft(-9_000);
                    true
                }
                _ => false,
            };
            store.alter(HOME, &lowered);
            let debit = store.find(HOME, &|event| {
                matches!(event, Event::FundsTransferred { .. })
            });
            at(HOME, debit, Part::Book)
        }),
        ("the hash of an item that was taken", |store| {
            let index = store.alter(HOME, &|event| match event {
                Event::TransferReceived { item, .. } => {
                    item.hash[5] ^= 1;
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Channel)
        }),
        ("the number of an item", |store| {
            let index = store.alter(HOME, &|event| match event {
                Event::TransferReceived { item, .. } => {
                    item.number += 1;
                    true
                }
                _ => false,
            });
            at(HOME, index, Part::Channel)
        }),
        ("a refusal in place of a settlement", |store| {
            let index = store.alter(OTHER, &|event| match event {
                Event::TransferSettled {
                    destination,
                    number,
                } => {
                    *event = Event::TransferReturned {
                        destination: *destination,
                        number: *number,
                        payer: None,
                        rejection: ledger_domain::Code::AccountClosed.into(),
                    };
                    true
                }
                _ => false,
            });
            at(OTHER, index, Part::Channel)
        }),
        ("a key that was used before", |store| {
            let first = store.find(HOME, &|event| matches!(event, Event::FundsDeposited { .. }));
            let used = store.entry(HOME, first).outcomes[0]
                .command
                .clone()
                .unwrap();
            let used: KeyDigest = used.info.key;
            let last = store.find(HOME, &|event| matches!(event, Event::FundsWithdrawn { .. }));
            store.rewrite(HOME, last, |entry| {
                entry.outcomes[0].command.as_mut().unwrap().info.key = used;
            });
            at(HOME, last, Part::Key)
        }),
        ("a time before the entry before", |store| {
            let index = store.find(HOME, &|event| matches!(event, Event::FundsWithdrawn { .. }));
            store.rewrite(HOME, index, |entry| entry.time = HybridTime::from_millis(1));
            at(HOME, index, Part::Entry)
        }),
        ("an entry of another shard", |store| {
            let index = store.find(HOME, &|event| matches!(event, Event::FundsWithdrawn { .. }));
            store.rewrite(HOME, index, |entry| entry.shard.0 = OTHER);
            at(HOME, index, Part::Entry)
        }),
        ("a cause left out", |store| {
            let index = store.find(HOME, &|event| {
                matches!(event, Event::TransferReceived { .. })
            });
            store.rewrite(HOME, index, |entry| entry.causes.clear());
            at(HOME, index, Part::Channel)
        }),
        ("a leader who comes back", |store| {
            let key = store.key(RECORD, HOME, 4);
            let mut record: LogRecord = stopped::message(&store.get(&key));
            record.id.as_mut().unwrap().term = 0;
            store.put(key, frame::seal_message(&record));
            at(HOME, 4, Part::Record)
        }),
    ];
    check(cases);
}

pub fn raise_deposit(event: &mut Event) -> bool {
    match event {
        Event::FundsDeposited { amount, .. } => {
            *amount = Amount::new(amount.minor_units() + 1).unwrap();
            true
        }
        _ => false,
    }
}
