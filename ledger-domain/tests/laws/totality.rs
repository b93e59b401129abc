//! Law: evolving is total. Any event on any state is taken or refused, never a panic; and what is
//! taken conserves money, whoever made the event.

use ledger_domain::{
    Account, AccountId, Amount, Book, Code, Currency, Event, Hold, HoldChange, HouseCode,
    HybridTime, ShardId, Suspended, TransactionId,
    event::After,
    evolve,
    journal::{JournalCount, JournalEvent, JournalHead, JournalRef, Line, OpenJournal, Side},
    state::{Inbound, Outbound, Recorded, Sent, State},
    suspense::Cleared,
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    anything::{
        any_account, any_cleared, any_event, any_hold, any_item, any_open_journal, any_reversed,
    },
    generate::{ACCOUNTS, CURRENCIES, a_shard, account_id, currency},
    tries,
    view::house_codes,
};

/// Something a state can hold.
#[derive(Debug, Clone)]
enum Fact {
    Account(AccountId, Account),
    House(HouseCode, Currency, i64),
    Outbound(ShardId, Outbound),
    Sent(ShardId, u64, Sent),
    Inbound(ShardId, Inbound),
    Recorded(ShardId, u64, Recorded),
    Hold(u64, Hold),
    Suspended(TransactionId, Suspended),
    Reversed(TransactionId, i64),
    Journal(JournalRef, OpenJournal),
    JournalCount(JournalCount),
    JournalHead(ShardId, JournalHead),
}

fn edge() -> impl Strategy<Value = u64> {
    select(vec![0, 1, 2, u64::MAX - 1, u64::MAX])
}

fn a_fact() -> impl Strategy<Value = Fact> {
    let balance = select(vec![i64::MIN, -1, 0, 1, i64::MAX]);
    let house = (
        select(house_codes()),
        select(CURRENCIES.map(currency).to_vec()),
        balance,
    );
    let hash = any::<[u8; 32]>();
    // Records are forgotten one by one, so that no real book has many beyond what is forgotten.
    let inbound = (a_shard(), edge(), 0..3u64).prop_map(|(from, forgotten, more)| {
        let recorded = forgotten.saturating_add(more);
        let head = Inbound {
            recorded,
            forgotten,
        };
        Fact::Inbound(from, head)
    });
    prop_oneof![
        4 => (0..ACCOUNTS, any_account()).prop_map(|(n, a)| Fact::Account(account_id(n), a)),
        6 => house.prop_map(|(code, currency, balance)| Fact::House(code, currency, balance)),
        1 => (a_shard(), edge(), edge())
            .prop_map(|(to, sent, under_way)| Fact::Outbound(to, Outbound { sent, under_way })),
        2 => (a_shard(), edge(), any_item(), hash)
            .prop_map(|(to, number, item, hash)| Fact::Sent(to, number, Sent { item, hash })),
        1 => inbound,
        3 => any_open_journal().prop_map(|(id, journal)| Fact::Journal(id, journal)),
        1 => (edge(), edge()).prop_map(|(last, open)| {
            Fact::JournalCount(JournalCount { last, open })
        }),
        1 => (a_shard(), edge(), edge(), edge()).prop_map(|(peer, asked, heard, legs)| {
            Fact::JournalHead(peer, JournalHead { asked, heard, legs })
        }),
        1 => any_cleared().prop_map(|it| {
            let item = Suspended {
                owner: it.owner,
                other: it.owner,
                currency: it.currency,
                amount: it.amount,
                since: HybridTime::ZERO,
                why: Code::AccountFrozen.into(),
            };
            Fact::Suspended(it.put, item)
        }),
        1 => any_reversed().prop_map(|it| Fact::Reversed(it.original, it.total.minor_units())),
        2 => (edge(), any_hold()).prop_map(|(number, hold)| Fact::Hold(number, hold)),
        1 => (a_shard(), edge(), hash, any::<bool>()).prop_map(|(from, number, hash, taken)| {
            Fact::Recorded(from, number, Recorded { hash, taken })
        }),
    ]
}

fn state_of(facts: Vec<Fact>) -> Book {
    let mut state = Book::new(ShardId(1), 1);
    for fact in facts {
        match fact {
            Fact::Account(id, account) => state.set_account(id, account),
            Fact::House(code, currency, balance) => state.set_house(code, currency, balance),
            Fact::Outbound(to, head) => state.set_outbound(to, head),
            Fact::Sent(to, number, sent) => state.set_sent(to, number, Some(sent)),
            Fact::Inbound(from, head) => state.set_inbound(from, head),
            Fact::Hold(number, hold) => state.set_hold(number, hold),
            Fact::Journal(id, journal) => state.set_journal(id, Some(journal)),
            Fact::JournalCount(count) => state.set_journal_count(count),
            Fact::JournalHead(peer, head) => state.set_journal_head(peer, head),
            Fact::Suspended(put, item) => state.set_suspended(put, Some(item)),
            Fact::Reversed(original, total) => state.set_reversed(original, total),
            Fact::Recorded(from, number, it) => state.set_recorded(from, number, Some(it)),
        }
    }
    state
}

/// Bends an event towards the state: random figures would never get past the first check.
fn fit(state: &Book, event: &mut Event) {
    let follow = |after: &mut After, delta: i64| {
        if let Some(account) = state.account(&after.account) {
            after.posted = account.posted.wrapping_add(delta);
            after.version = account.version.wrapping_add(1);
            after.held = account.held;
        }
    };
    match event {
        Event::AccountFrozen { after, .. }
        | Event::AccountThawed { after, .. }
        | Event::LimitChanged { after, .. }
        | Event::SpendingLimitSet { after, .. } => follow(after, 0),
        Event::DayClosed { frozen, .. } => *frozen = state.trial_balance(),
        Event::FundsDeposited { after, amount, .. } => follow(after, amount.minor_units()),
        Event::FundsWithdrawn { after, amount, .. } => follow(after, -amount.minor_units()),
        Event::FundsTransferred {
            payer,
            payee,
            amount,
            ..
        } => {
            follow(payer, -amount.minor_units());
            follow(payee, amount.minor_units());
        }
        Event::TransferSent { payer, item, .. } => {
            item.number = state.outbound(item.destination).sent.wrapping_add(1);
            follow(payer, -item.amount.minor_units());
        }
        Event::TransferReceived {
            item,
            payee,
            amount,
            ..
        } => {
            item.number = state.inbound(item.source).recorded.wrapping_add(1);
            follow(payee, amount.minor_units());
        }
        Event::TransferRefused { item, .. } | Event::TransferSuspended { item, .. } => {
            item.number = state.inbound(item.source).recorded.wrapping_add(1);
        }
        Event::TransferReturned {
            destination,
            number,
            payer,
            ..
        } => {
            if let (Some(sent), Some(after)) = (state.sent(*destination, *number), payer) {
                follow(after, sent.item.amount.minor_units());
            }
        }
        Event::AccountClosed {
            account, version, ..
        } => {
            if let Some(account) = state.account(account) {
                *version = account.version.wrapping_add(1);
            }
        }
        Event::Hold(event) => {
            follow(&mut event.after, 0);
            if let HoldChange::Placed { .. } = event.change {
                event.number = state.last_hold().wrapping_add(1);
            }
            if let Some(account) = state.account(&event.after.account) {
                event.after.held = account.held.wrapping_add(event.change.delta());
            }
        }
        Event::Reversed(reversed) => {
            let before = state.reversed(&reversed.original);
            let total = before.checked_add(reversed.amount.minor_units());
            reversed.total = total.map_or(reversed.total, |total| {
                Amount::new(total).unwrap_or(reversed.total)
            });
        }
        Event::SuspenseCleared(cleared) => {
            if let Some((put, item)) = state.in_suspense().next() {
                cleared.put = *put;
                cleared.owner = item.owner;
                cleared.currency = item.currency;
                cleared.amount = item.amount;
            }
            match &mut cleared.to {
                Cleared::Account(after) => follow(after, cleared.amount.minor_units()),
                Cleared::House(_) => {}
                Cleared::Sent { item, .. } => {
                    item.payer = cleared.owner;
                    item.currency = cleared.currency;
                    item.amount = cleared.amount;
                    item.number = state.outbound(item.destination).sent.wrapping_add(1);
                }
            }
        }
        Event::Journal(event) => fit_journal(state, event),
        Event::ReferenceReleased(claim) => {
            let holder = state.reference(&claim.digest);
            claim.account = holder.unwrap_or(claim.account);
        }
        Event::AccountOpened { .. }
        | Event::ReferenceClaimed(_)
        | Event::Customer(_)
        | Event::Consumer(_)
        | Event::HouseAccountOpened { .. }
        | Event::TransferSettled { .. }
        | Event::ItemsForgotten { .. } => {}
    }
}

/// Lets a journal's event say what its legs come to, one after the other.
fn fit_journal(state: &Book, event: &mut JournalEvent) {
    let mut open = state.open_journals();
    let (lines, booked, aside) = match event {
        JournalEvent::Booked { lines, .. } => (lines, 1, 0),
        JournalEvent::Opened { number, lines, .. } => {
            *number = state.journal_count().last.wrapping_add(1);
            (lines, 0, 1)
        }
        JournalEvent::Reserved { lines, .. } => (lines, 0, 1),
        JournalEvent::Posted {
            journal,
            lines,
            clearing,
            ..
        } => {
            if let Some((id, known)) = open.next() {
                *journal = *id;
                *lines = lines_of(known);
                clearing.clear();
            }
            (lines, 1, -1)
        }
        JournalEvent::Cancelled { journal, lines, .. } => {
            if let Some((id, known)) = open.next() {
                *journal = *id;
                *lines = lines_of(known);
            }
            (lines, 0, -1)
        }
        JournalEvent::Refused { .. } | JournalEvent::Answered { .. } => return,
    };
    let mut known = std::collections::BTreeMap::new();
    for Line { leg, after } in lines {
        let Some(after) = after else { continue };
        let account = state.account(&after.account);
        let figures = account.map_or((0, 0, 0), |it| (it.posted, it.version, it.held));
        let (posted, version, held) = known.entry(after.account).or_insert(figures);
        *posted = posted.wrapping_add(booked * leg.units());
        *version = version.wrapping_add(1);
        if leg.side == Side::Debit {
            *held = held.wrapping_add(aside * leg.amount.minor_units());
        }
        (after.posted, after.version, after.held) = (*posted, *version, *held);
    }
}

fn lines_of(journal: &OpenJournal) -> Vec<Line> {
    let line = |leg: &ledger_domain::journal::Leg| {
        let after = match leg.party {
            ledger_domain::journal::Party::House(_) => None,
            ledger_domain::journal::Party::Account(account) => Some(After {
                account,
                posted: 0,
                version: 0,
                held: 0,
            }),
        };
        let leg = leg.clone();
        Line { leg, after }
    };
    journal.legs.iter().map(line).collect()
}

proptest! {
    #![proptest_config(tries(20_000))]

    #[test]
    fn any_event_on_any_state_is_taken_or_refused_and_conserves_money(
        facts in vec(a_fact(), 0..40),
        mut event in any_event(),
        fits in prop::bool::weighted(0.8),
    ) {
        let mut state = state_of(facts);
        if fits {
            fit(&state, &mut event);
        }
        let mut before = state.sums();
        if evolve(&mut state, &event).is_ok() {
            let mut after = state.sums();
            before.retain(|_, sum| *sum != 0);
            after.retain(|_, sum| *sum != 0);
            prop_assert_eq!(after, before);
        }
    }

    #[test]
    fn only_the_next_item_of_a_channel_follows(
        facts in vec(a_fact(), 0..40),
        mut event in any_event(),
        other in edge(),
    ) {
        let mut state = state_of(facts);
        fit(&state, &mut event);
        let (number, next) = match &mut event {
            Event::TransferSent { item, .. } => {
                let next = state.outbound(item.destination).sent.checked_add(1);
                (&mut item.number, next)
            }
            Event::TransferReceived { item, .. } | Event::TransferRefused { item, .. } => {
                let next = state.inbound(item.source).recorded.checked_add(1);
                (&mut item.number, next)
            }
            _ => return Ok(()),
        };
        *number = other;
        if Some(other) != next {
            prop_assert!(evolve(&mut state, &event).is_err());
        }
    }
}
