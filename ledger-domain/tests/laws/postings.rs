//! Law: what events book comes to zero, and all of it to what the book has.

use std::collections::BTreeMap;

use bytes::Bytes;
use ledger_domain::{Book, Currency, Entry, Event, HouseCode, Party, posting::postings};

/// Adds up a log, which holds no void entry, by itself.
pub fn come_to(book: &Book, log: &[Bytes]) {
    let mut sums: BTreeMap<(Party, Currency), i128> = BTreeMap::new();
    let mut sent = BTreeMap::new();
    for stored in log {
        let entry = Entry::decode(stored).expect("it was written here");
        for event in entry
            .outcomes
            .iter()
            .flat_map(|it| it.result.iter().flatten())
        {
            if let Some((item, _)) = event.sends() {
                sent.insert(
                    (item.destination, item.number),
                    (item.currency, item.amount),
                );
            }
            add(&mut sums, event, |to, number| {
                sent.get(&(to, number)).copied()
            });
        }
    }
    let accounts = book.accounts().into_iter().map(|(id, account)| {
        let party = Party::Account(id);
        ((party, account.currency), i128::from(account.posted))
    });
    let house = |(code, currency, balance): (&HouseCode, _, i64)| {
        ((Party::House(code.clone()), currency), i128::from(balance))
    };
    let mut has: BTreeMap<_, _> = accounts.chain(book.houses().map(house)).collect();
    has.retain(|_, sum| *sum != 0);
    sums.retain(|_, sum| *sum != 0);
    assert_eq!(sums, has);
}

fn add(
    sums: &mut BTreeMap<(Party, Currency), i128>,
    event: &Event,
    sent: impl Fn(ledger_domain::ShardId, u64) -> Option<(Currency, ledger_domain::Amount)>,
) {
    let mut zero: BTreeMap<Currency, i128> = BTreeMap::new();
    for posting in postings(event, sent) {
        let units = i128::from(posting.units);
        *zero.entry(posting.currency).or_default() += units;
        let sum = sums.entry((posting.party, posting.currency)).or_default();
        *sum += units;
        if let Some(posted) = posting.posted {
            assert_eq!(*sum, i128::from(posted), "{event:?}");
        }
    }
    assert!(zero.values().all(|sum| *sum == 0), "{event:?}");
}
