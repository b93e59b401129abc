use bytes::Bytes;
use ledger_domain::chain;
use ledger_domain::{
    AccountId, Action, Amount, Command, Conditions, Currency, DigestKey, Field, Limit, ShardId,
};
use proptest::prelude::*;

use super::*;
use crate::scripted_home::{self, ScriptedHome};

const SHARD: u32 = 4;

fn genesis() -> Head {
    chain::audit_genesis(ShardId(SHARD))
}

fn stored(home: &ScriptedHome) -> Vec<Bytes> {
    let records = home.records.iter();
    records.map(|record| record.record.clone()).collect()
}

/// An object with the head and the contents of another, under its own hash: what only the chain shows.
fn forged(sealed: &Sealed, change: impl FnOnce(&mut proto::Segment)) -> (Bytes, [u8; 32]) {
    let mut message: proto::Segment = record::message(&sealed.object).unwrap();
    change(&mut message);
    let object = frame::seal_message(&message);
    let hash = *blake3::hash(&object).as_bytes();
    (object, hash)
}

#[test]
fn records_come_out_as_they_went_in() {
    let home = ScriptedHome::eventful(SHARD);
    let sealed = seal(SHARD, genesis(), &stored(&home)).unwrap();
    let opened = open(&sealed.object, &sealed.hash).unwrap();
    assert_eq!(opened.about, sealed.about);
    assert_eq!(opened.about.indexes(), 0..=home.next() - 1);
    assert_eq!(opened.records.len(), home.records.len());
    for ((record, head), original) in opened.records.iter().zip(&home.records) {
        assert_eq!((&record.record, head), (&original.record, &original.head));
    }
    assert_eq!(seal(SHARD, genesis(), &stored(&home)).unwrap(), sealed);
    assert!(sealed.object.len() as u64 * 3 < sealed.about.record_bytes);
}

#[test]
fn a_segment_goes_on_where_another_ended() {
    let home = ScriptedHome::eventful(SHARD);
    let records = stored(&home);
    let first = seal(SHARD, genesis(), &records[..7]).unwrap();
    let second = seal(SHARD, first.about.after, &records[7..]).unwrap();
    let opened = open(&second.object, &second.hash).unwrap();
    assert_eq!(opened.about.after, home.records.last().unwrap().head);
    assert_eq!(opened.about.first.index, 7);
}

#[test]
fn every_flipped_bit_is_found() {
    let mut home = ScriptedHome::new(SHARD);
    home.write(vec![scripted_home::open(1, 0)]);
    let sealed = seal(SHARD, genesis(), &stored(&home)).unwrap();
    for bit in 0..sealed.object.len() * 8 {
        let mut object = sealed.object.to_vec();
        object[bit / 8] ^= 1 << (bit % 8);
        let found = open(&object.into(), &sealed.hash);
        assert!(matches!(found, Err(Damage::Hash { .. })), "bit {bit}");
    }
}

#[test]
fn what_only_the_contents_show_is_found() {
    let home = ScriptedHome::eventful(SHARD);
    let sealed = seal(SHARD, genesis(), &stored(&home)).unwrap();
    let opened = |change: fn(&mut proto::Segment)| {
        let (object, hash) = forged(&sealed, change);
        open(&object, &hash).map(|_| ())
    };
    assert_eq!(opened(|_| {}), Ok(()));
    let before = opened(|it| it.head_before = Bytes::from_static(&[9; 32]));
    assert!(matches!(before, Err(Damage::Chain { .. })), "{before:?}");
    let after = opened(|it| it.head_after = Bytes::from_static(&[9; 32]));
    assert!(matches!(after, Err(Damage::Chain { .. })), "{after:?}");
    let shorter = opened(|it| it.last.as_mut().unwrap().index -= 1);
    assert!(matches!(shorter, Err(Damage::Packed(_))), "{shorter:?}");
    let longer = opened(|it| it.last.as_mut().unwrap().index += 1);
    assert!(matches!(longer, Err(Damage::Packed(_))), "{longer:?}");
    let term = opened(|it| it.first.as_mut().unwrap().term += 1);
    assert_eq!(term, Err(Damage::Disagrees("beginning or end")));
    let later = opened(|it| it.last_wall_nanos += 1);
    assert_eq!(later, Err(Damage::Disagrees("beginning or end")));
    let huge = opened(|it| it.unpacked_bytes = u64::MAX);
    assert!(matches!(huge, Err(Damage::Packed(_))), "{huge:?}");
    let endless = opened(|it| it.last.as_mut().unwrap().index = u64::MAX);
    assert_eq!(endless, Err(Damage::Disagrees("range")));
    let other = opened(|it| it.method = SegmentMethod::Rows.into());
    assert!(other.is_err());
}

#[test]
fn records_that_do_not_follow_are_not_sealed() {
    let home = ScriptedHome::eventful(SHARD);
    let mut records = stored(&home);
    records.remove(5);
    let (found, expected) = (6, 5);
    let sealed = seal(SHARD, genesis(), &records);
    assert_eq!(sealed, Err(Damage::Index { found, expected }));
    assert_eq!(seal(SHARD, genesis(), &[]), Err(Damage::Empty));
    let mut records = stored(&home);
    records[3] = records[3].slice(1..);
    let sealed = seal(SHARD, genesis(), &records);
    assert!(matches!(sealed, Err(Damage::Record { index: 3, .. })));
}

proptest! {
    #[test]
    fn whatever_a_record_holds_comes_out_again(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..20),
    ) {
        // Bytes in the place of entries, some of them a frame around anything: taken apart or not.
        let records: Vec<Bytes> = payloads.into_iter().enumerate().map(|(index, payload)| {
            let payload = match index % 3 {
                0 => frame::seal(payload.len(), |out| out.extend_from_slice(&payload)),
                _ => payload.into(),
            };
            frame::seal_message(&proto::LogRecord {
                id: Some(proto::LogId { epoch: 1, term: 1, node: 1, index: index as u64 }),
                kind: 3,
                payload,
            })
        }).collect();
        let parts = shred::shred(&records);
        let joined = shred::join(parts.concat().into(), records.len());
        prop_assert_eq!(joined.as_ref(), Ok(&records));
        let sealed = seal(SHARD, genesis(), &records).unwrap();
        let opened = open(&sealed.object, &sealed.hash).unwrap();
        let out: Vec<_> = opened.records.into_iter().map(|(record, _)| record.record).collect();
        prop_assert_eq!(out, records);
    }

    #[test]
    fn columns_of_anything_end_in_an_error_or_in_records(
        stored in prop::collection::vec(any::<u8>(), 0..200),
        records in 0..5_usize,
    ) {
        if let Ok(joined) = shred::join(stored.into(), records) {
            prop_assert_eq!(joined.len(), records);
        }
    }
}

/// The stored format is for ever: what an earlier program has sealed is opened by every later one.
#[test]
fn a_segment_of_the_first_format_is_opened() {
    let fixture =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/segment-v1");
    let home = ScriptedHome::eventful(SHARD);
    if !fixture.exists() {
        let sealed = seal(SHARD, genesis(), &stored(&home)).unwrap();
        std::fs::create_dir_all(fixture.parent().unwrap()).unwrap();
        std::fs::write(&fixture, &sealed.object).unwrap();
        panic!("a new fixture is written: run this again");
    }
    let object = Bytes::from(std::fs::read(fixture).unwrap());
    let opened = open(&object, blake3::hash(&object).as_bytes()).unwrap();
    assert_eq!(opened.about.shard, SHARD);
    assert_eq!(opened.about.indexes(), 0..=210);
    let entries = opened
        .records
        .iter()
        .filter(|(record, _)| record.kind == Kind::Entry);
    assert_eq!(entries.count(), 208);
}

/// A stream of numbers that are all alike and cannot be guessed from each other.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        let digest = blake3::hash(&self.0.to_be_bytes());
        u64::from_be_bytes(digest.as_bytes()[..8].try_into().unwrap())
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn busy_account(number: u64) -> AccountId {
    AccountId::derive("eu-west".parse().unwrap(), "bank", &number.to_string())
}

fn command(numbers: &mut Numbers, at_ms: u64, key: &DigestKey, action: Action) -> Command {
    let mut info = scripted_home::info(0, None);
    let (mut account, mut other, mut amount) = (Vec::new(), Vec::new(), Vec::new());
    if let Action::Transfer {
        from,
        to,
        amount: it,
        ..
    } = &action
    {
        (account, other) = (from.body().to_vec(), to.body().to_vec());
        amount = it.minor_units().to_be_bytes().to_vec();
        info.key = key.key("teller-7", from, &numbers.next().to_string());
    } else {
        info.key = key.key("teller-7", &busy_account(0), &numbers.next().to_string());
    }
    info.first_attempt_ms = at_ms;
    info.fingerprint = key.fingerprint(&[
        (Field::Kind, b"transfer"),
        (Field::Account, &account),
        (Field::Counterparty, &other),
        (Field::Amount, &amount),
        (Field::Currency, b"EUR"),
        (Field::EffectiveDate, b""),
        (Field::Reference, b""),
    ]);
    info.actor = "teller-7".to_owned();
    Command {
        info,
        action,
        conditions: Conditions::default(),
        forced: false,
    }
}

/// What a plain transfer costs at rest, of 5,000 accounts, in batches of 1,000, ids, digests, dates and
/// chain included. (`cargo test -- --nocapture a_plain_transfer` prints it.)
#[test]
fn a_plain_transfer_takes_at_most_60_bytes() {
    const ACCOUNTS: u64 = 5_000;
    const BATCHES: usize = 30;
    let currency: Currency = "EUR".parse().unwrap();
    let key = DigestKey::new([7; 32]);
    let mut numbers = Numbers(0);
    let mut home = ScriptedHome::new(SHARD);
    let opens = |number| Action::Open {
        account: busy_account(number),
        currency,
        limit: Limit::Unlimited,
        opened_on: Some(scripted_home::date("2026-01-01")),
    };
    let opening: Vec<_> = (0..ACCOUNTS)
        .map(|number| command(&mut numbers, 0, &key, opens(number)))
        .collect();
    home.write_commands(&opening);
    let begin = home.records.len();
    for batch in 0..BATCHES as u64 {
        let at_ms = 1_700_000_000_000 + batch * 1_000;
        let transfers = (0..1_000).map(|place| {
            let from = numbers.below(ACCOUNTS);
            let to = (from + 1 + numbers.below(ACCOUNTS - 1)) % ACCOUNTS;
            let amount = 100 + i64::try_from(numbers.below(100_000)).unwrap();
            let action = Action::Transfer {
                from: busy_account(from),
                to: busy_account(to),
                to_shard: ShardId(SHARD),
                currency,
                amount: Amount::new(amount).unwrap(),
                payee_memo: None,
            };
            command(&mut numbers, at_ms + place / 4, &key, action)
        });
        let transfers: Vec<_> = transfers.collect();
        home.write_commands(&transfers);
    }
    let records = stored(&home);
    let before = home.records[begin - 1].head;
    let sealed = seal(SHARD, before, &records[begin..]).unwrap();
    let message: proto::Segment = record::message(&sealed.object).unwrap();
    assert_eq!(message.method(), SegmentMethod::Columns);
    let transfers = BATCHES * 1_000;
    let each = sealed.object.len() / transfers;
    let stored_each = sealed.about.record_bytes / transfers as u64;
    println!("{each} bytes at rest for a plain transfer, {stored_each} in the log");
    assert!(
        sealed.object.len() <= 60 * transfers,
        "{each} bytes for a plain transfer"
    );
}

/// Idle shards close their times with empty entries: a run of them takes next to nothing.
#[test]
fn empty_entries_take_a_few_bytes() {
    let mut home = ScriptedHome::new(SHARD);
    (0..5_000).for_each(|_| home.write(Vec::new()));
    let sealed = seal(SHARD, genesis(), &stored(&home)).unwrap();
    let length = sealed.object.len();
    println!("{length} bytes at rest for 5,000 empty entries");
    assert!(length <= 5_000, "{length} bytes for 5,000 empty entries");
}
