//! Journals that need not make sense.

use ledger_domain::{
    JournalEvent, JournalRef, Position, ReversedPart, TransactionId,
    journal::{Ask, Clearing, Leg, Line, OpenJournal, Party, Rate, Refusal, Side},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    a_rejection, any_after, any_currency, any_date, any_house, any_reversed, edgy_i64, edgy_u64,
};
use crate::generate::{ACCOUNTS, a_shard, account_id, extreme};

fn any_party() -> impl Strategy<Value = Party> {
    prop_oneof![
        3 => (0..ACCOUNTS).prop_map(|n| Party::Account(account_id(n))),
        1 => any_house().prop_map(Party::House),
    ]
}

fn any_leg() -> impl Strategy<Value = Leg> {
    let side = select(vec![Side::Debit, Side::Credit]);
    (
        any::<u32>(),
        any_party(),
        side,
        any_currency(),
        extreme(),
        any_party(),
    )
        .prop_map(|(place, party, side, currency, amount, against)| Leg {
            place,
            party,
            side,
            currency,
            amount,
            against,
        })
}

/// Often two legs that come to zero.
fn any_legs() -> impl Strategy<Value = Vec<Leg>> {
    let pair = (any_leg(), any_party()).prop_map(|(leg, party)| {
        let side = match leg.side {
            Side::Debit => Side::Credit,
            Side::Credit => Side::Debit,
        };
        let other = Leg {
            party,
            side,
            ..leg.clone()
        };
        vec![leg, other]
    });
    prop_oneof![3 => pair, 1 => vec(any_leg(), 0..3)]
}

fn any_lines() -> impl Strategy<Value = Vec<Line>> {
    (any_legs(), vec(any_after(), 3)).prop_map(|(legs, afters)| {
        let lines = legs.into_iter().zip(afters).map(|(leg, mut after)| {
            let after = match leg.party {
                Party::House(_) => None,
                Party::Account(id) => {
                    after.account = id;
                    Some(after)
                }
            };
            Line { leg, after }
        });
        lines.collect()
    })
}

fn any_ref() -> impl Strategy<Value = JournalRef> {
    (a_shard(), edgy_u64()).prop_map(|(coordinator, number)| JournalRef {
        coordinator,
        number,
    })
}

fn any_id() -> impl Strategy<Value = TransactionId> {
    (a_shard(), any::<(u64, u64, u32)>()).prop_map(|(shard, (epoch, index, ordinal))| {
        let position = Position {
            shard,
            epoch,
            index,
        };
        TransactionId { position, ordinal }
    })
}

fn any_asks() -> impl Strategy<Value = Vec<Ask>> {
    let ask = (a_shard(), edgy_u64(), any_legs()).prop_map(|(shard, previous, legs)| Ask {
        shard,
        previous,
        legs,
    });
    vec(ask, 0..3)
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    (any::<u32>(), a_rejection()).prop_map(|(leg, rejection)| Refusal { leg, rejection })
}

fn any_rate() -> impl Strategy<Value = Option<Rate>> {
    option::of("[1-9][0-9]{0,3}(\\.[0-9]{1,4})?".prop_map(|text| text.parse().expect("a rate")))
}

fn any_part() -> impl Strategy<Value = Option<ReversedPart>> {
    option::of(any_reversed().prop_map(|it| it.part()))
}

/// Any event of a journal, whether it follows from anything or not.
pub fn any_journal() -> BoxedStrategy<JournalEvent> {
    let clearing = (a_shard(), any_currency(), edgy_i64());
    let clearing = clearing.prop_map(|(shard, currency, units)| Clearing {
        shard,
        currency,
        units,
    });
    let dated = || (any_date(), any_lines());
    prop_oneof![
        3 => (any_lines(), any_rate(), any::<bool>())
            .prop_map(|(lines, rate, forced)| JournalEvent::Booked { lines, rate, forced }),
        1 => (edgy_u64(), dated(), any_asks(), any_rate(), option::of(any_reversed()), any::<bool>()).prop_map(
            |(number, (date, lines), asks, rate, reverses, forced)| JournalEvent::Opened {
                number,
                date,
                lines,
                asks,
                rate,
                reverses,
                forced,
            }
        ),
        1 => (any_ref(), any_id(), dated(), any::<bool>()).prop_map(|(journal, opened, (date, lines), forced)| {
            JournalEvent::Reserved {
                journal,
                opened,
                date,
                lines,
                forced,
            }
        }),
        1 => (any_ref(), option::of(any_id()), any_refusal()).prop_map(
            |(journal, opened, refusal)| JournalEvent::Refused {
                journal,
                opened,
                refusal,
            }
        ),
        1 => (edgy_u64(), a_shard())
            .prop_map(|(number, shard)| JournalEvent::Answered { number, shard }),
        3 => (any_ref(), option::of(any_id()), dated(), vec(clearing, 0..3)).prop_map(
            |(journal, opened, (date, lines), clearing)| JournalEvent::Posted {
                journal,
                opened,
                date,
                lines,
                clearing,
            }
        ),
        1 => (any_ref(), any_lines(), a_shard(), any_refusal(), any_part()).prop_map(
            |(journal, lines, by, refusal, reverses)| JournalEvent::Cancelled {
                journal,
                lines,
                by,
                refusal,
                reverses,
            }
        ),
    ]
    .boxed()
}

/// Any journal that a book may hold open.
pub fn any_open_journal() -> impl Strategy<Value = (JournalRef, OpenJournal)> {
    let waiting = vec(a_shard(), 0..3);
    (
        any_ref(),
        any_id(),
        any_date(),
        any_legs(),
        any_asks(),
        waiting,
        any_part(),
    )
        .prop_map(|(id, opened, date, legs, asks, waiting, reverses)| {
            let journal = OpenJournal {
                opened: Some(opened),
                date,
                legs,
                asks,
                waiting: waiting.into_iter().collect(),
                rate: None,
                reverses,
            };
            (id, journal)
        })
}
