use ledger_domain::state::Recorded;

use super::*;

const EU: ShardId = ShardId(1);
const US: ShardId = ShardId(2);

fn eur() -> Currency {
    "EUR".parse().unwrap()
}

fn book(shard: ShardId, houses: &[(HouseCode, i64)], customers: i64) -> ShardBook {
    let house = |(code, balance): &(HouseCode, i64)| {
        ((eur(), Kind::House(code.clone())), Sum::of(*balance))
    };
    let mut sums: BTreeMap<_, _> = houses.iter().map(house).collect();
    sums.insert((eur(), Kind::Customers), Sum::of(customers));
    ShardBook {
        position: Position {
            shard,
            epoch: 1,
            index: 9,
        },
        sums,
        out: BTreeMap::new(),
        into: BTreeMap::new(),
        unlimited: Vec::new(),
    }
}

fn open(number: u64, units: i64) -> (u64, OpenItem) {
    let item = OpenItem {
        currency: eur(),
        units,
        hash: [number as u8; 32],
        sent: Some(HybridTime::from_millis(number)),
    };
    (number, item)
}

fn record(number: u64, taken: bool) -> (u64, Recorded) {
    let hash = [number as u8; 32];
    (number, Recorded { hash, taken })
}

/// EU has sent US five items. 1 (of 100) is settled and forgotten; 2 (10) was taken and 3 (20) was
/// refused, and EU does not know of either yet; 4 (30) and 5 (40) are under way.
fn matching() -> BTreeMap<ShardId, ShardBook> {
    let eu_houses = [
        (HouseCode::Cash, -1_000),
        (HouseCode::InTransit(US), 100),
        (HouseCode::DueTo(US), 100),
    ];
    let mut eu = book(EU, &eu_houses, 800);
    let out = ChannelOut {
        sent: 5,
        open: [open(2, 10), open(3, 20), open(4, 30), open(5, 40)].into(),
    };
    eu.out.insert(US, out);
    let mut us = book(US, &[(HouseCode::DueFrom(EU), -110)], 110);
    let into = ChannelIn {
        recorded: 3,
        forgotten: 1,
        records: [record(2, true), record(3, false)].into(),
    };
    us.into.insert(EU, into);
    [(EU, eu), (US, us)].into()
}

type Books = BTreeMap<ShardId, ShardBook>;

fn out(books: &mut Books) -> &mut ChannelOut {
    books.get_mut(&EU).unwrap().out.get_mut(&US).unwrap()
}

fn into(books: &mut Books) -> &mut ChannelIn {
    books.get_mut(&US).unwrap().into.get_mut(&EU).unwrap()
}

/// Moves money within a book, from the customers to a house account.
fn shift(book: &mut ShardBook, code: HouseCode, units: i64) {
    let before = book.house(code.clone(), eur());
    let moved = i64::try_from(before).unwrap() + units;
    book.sums.insert((eur(), Kind::House(code)), Sum::of(moved));
    let customers = book.sums[&(eur(), Kind::Customers)].net();
    let left = i64::try_from(customers).unwrap() - units;
    book.sums.insert((eur(), Kind::Customers), Sum::of(left));
}

#[test]
fn what_is_under_way_is_told_and_matches() {
    let balance = side_by_side(&matching());
    assert!(balance.balanced, "{balance:#?}");
    let [channel] = &balance.channels[..] else {
        panic!("one channel: {balance:#?}");
    };
    assert_eq!((channel.from, channel.to), (EU, US));
    assert_eq!((channel.under_way, channel.under_way_units), (2, 70));
    assert_eq!(channel.oldest, Some(HybridTime::from_millis(4)));
    assert_eq!((channel.sent, channel.taken), (5, 3));
    assert!(channel.differences.is_empty());
    let sums: Vec<_> = balance.totals.iter().map(|t| t.sum.net()).collect();
    assert_eq!(sums, [0, 0]);
    let kinds: Vec<_> = balance.rows.iter().map(|r| (r.shard, &r.kind)).collect();
    assert_eq!(kinds[0], (EU, &Kind::Customers));
    assert!(kinds.is_sorted(), "{kinds:?}");
}

#[test]
fn every_mismatch_is_named_and_unbalances_the_whole() {
    type Case = (fn(&mut Books), Vec<Difference>);
    let cases: [Case; 9] = [
        (
            |books| into(books).recorded = 6,
            vec![Difference::NeverSent {
                recorded: 6,
                sent: 5,
            }],
        ),
        (
            |books| {
                let (number, item) = open(7, 0);
                out(books).open.insert(number, item);
            },
            vec![Difference::Unnumbered(7)],
        ),
        (
            |books| {
                out(books).open.remove(&4);
                shift(books.get_mut(&EU).unwrap(), HouseCode::InTransit(US), -30);
            },
            vec![Difference::Lost(4)],
        ),
        (
            |books| {
                out(books).open.remove(&5);
                shift(books.get_mut(&EU).unwrap(), HouseCode::InTransit(US), -40);
            },
            vec![Difference::Lost(5)],
        ),
        (
            |books| into(books).records.get_mut(&2).unwrap().hash = [77; 32],
            vec![Difference::Another(2)],
        ),
        (
            |books| {
                into(books).records.remove(&3);
                into(books).forgotten = 3;
            },
            vec![Difference::RecordGone(3)],
        ),
        (
            |books| shift(books.get_mut(&EU).unwrap(), HouseCode::InTransit(US), 1),
            vec![Difference::InTransit {
                house: HouseCode::InTransit(US),
                balance: 101,
                items: 100,
            }],
        ),
        (
            |books| shift(books.get_mut(&EU).unwrap(), HouseCode::DueTo(US), 1),
            vec![Difference::Due {
                house: HouseCode::DueFrom(EU),
                owed: 111,
                balance: -110,
            }],
        ),
        (
            |books| shift(books.get_mut(&US).unwrap(), HouseCode::DueFrom(EU), 5),
            vec![Difference::Due {
                house: HouseCode::DueFrom(EU),
                owed: 110,
                balance: -105,
            }],
        ),
    ];
    for (harm, expected) in cases {
        let mut books = matching();
        harm(&mut books);
        let balance = side_by_side(&books);
        assert!(!balance.balanced, "{expected:?}");
        for channel in &balance.channels {
            // An item too many may also show in the sums; what is expected comes first.
            let found: Vec<_> = channel.differences.iter().take(expected.len()).collect();
            assert_eq!(found, expected.iter().collect::<Vec<_>>());
        }
        assert!(balance.totals.iter().all(|total| total.sum.net() == 0));
    }
}

#[test]
fn a_refused_item_is_owed_to_nobody() {
    let mut books = matching();
    into(&mut books).records.get_mut(&3).unwrap().taken = true;
    let balance = side_by_side(&books);
    let expected = Difference::Due {
        house: HouseCode::DueFrom(EU),
        owed: 130,
        balance: -110,
    };
    assert_eq!(balance.channels[0].differences, [expected]);
}

#[test]
fn money_from_nowhere_in_one_book_unbalances_the_whole() {
    let mut books = matching();
    let customers = (eur(), Kind::Customers);
    let sums = &mut books.get_mut(&US).unwrap().sums;
    sums.insert(customers, Sum::of(111));
    let balance = side_by_side(&books);
    assert!(!balance.balanced);
    assert_eq!(balance.totals[1].sum.net(), 1);
    assert!(balance.channels[0].differences.is_empty());
}

#[test]
fn what_only_the_destination_knows_of_is_found() {
    let mut books = matching();
    books.get_mut(&EU).unwrap().out.clear();
    for code in [HouseCode::InTransit(US), HouseCode::DueTo(US)] {
        let eu = books.get_mut(&EU).unwrap();
        eu.sums.remove(&(eur(), Kind::House(code)));
    }
    let balance = side_by_side(&books);
    let differences = &balance.channels[0].differences;
    let expected = Difference::NeverSent {
        recorded: 3,
        sent: 0,
    };
    assert_eq!(differences[0], expected);
    assert!(matches!(differences[1], Difference::Due { .. }));
}

#[test]
fn sums_beyond_64_bits_are_sums_all_the_same() {
    let mut sum = Sum::of(i64::MAX);
    sum.add(Sum::of(i64::MAX));
    sum.add(Sum::of(i64::MIN));
    assert_eq!(sum.credit, 2 * i128::from(i64::MAX));
    assert_eq!(sum.net(), i128::from(i64::MAX) - 1);
    assert!(crate::server::books::wire::units(sum.credit, "EUR").is_err());
}

#[test]
fn of_some_books_their_channels_are_told_and_what_is_wrong_elsewhere_is_not() {
    let all = || {
        let mut books = matching();
        books.insert(ShardId(3), book(ShardId(3), &[(HouseCode::Cash, -7)], 5));
        side_by_side(&books)
    };
    assert!(!all().balanced);
    for (shown, rows, channels, balanced) in [
        (EU, 4, 1, true),
        (US, 2, 1, true),
        (ShardId(3), 2, 0, false),
    ] {
        let some = all().within(&[shown].into(), |_| None);
        assert!(some.rows.iter().all(|row| row.shard == shown));
        assert_eq!((some.rows.len(), some.channels.len()), (rows, channels));
        assert_eq!((some.totals.len(), some.balanced), (1, balanced), "{shown}");
    }
}
