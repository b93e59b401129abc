//! Law: what was ever written can be read, to exactly the values it was written from.
//!
//! The files hold the stored bytes of entries in each format, one for every kind of event and one
//! for a rejection. They never change. A kind without a file gets one, and its test fails once to say
//! that it is to be committed.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use ledger_domain::{
    AccountId, Code, ConsumerId, CustomerId, Date, DigestKey, Entry, Event, Field, Format, Freeze,
    HoldChange, HoldEvent, HouseCode, HybridTime, KeyDigest, Limit, Outcome, Position,
    ReferenceDigest, ReferenceType, Rejection, Sealed, ShardId, SpendingLimit, SuspenseCleared,
    TransactionId, TransactionReversed,
    codec::encode_item,
    command::{Channel, CommandInfo, GroupPlace, Kind},
    consumer::{
        ConsumerChange, ConsumerEvent, Cursor, Generation, Group, Order, Parked, Place, Reads,
    },
    customer::{CustomerChange, CustomerEvent},
    day::FrozenRow,
    event::{After, ChannelItem, CommandRecord, ItemRef},
    freeze::{Arriving, Blocks, FreezeType},
    profile::SealedProfile,
    reference::Claim,
    suspense::Cleared,
};

mod journals;

use crate::generate::{amount, currency};

fn day(text: &str) -> Date {
    text.parse().expect("a date")
}

fn account(first: u8) -> AccountId {
    let region = "eu-west".parse().expect("a region's name");
    AccountId::new(region, [first, 1, 2, 3, 4, 5, 6, 7, 8, 9])
}

fn after(first: u8, posted: i64, version: u64) -> After {
    After {
        account: account(first),
        posted,
        version,
        held: 0,
    }
}

fn sealed(first: u8) -> Sealed {
    Sealed {
        domain: "eu".to_owned(),
        key_id: [first, 1, 2, 3, 4, 5, 6, 7],
        scheme: 1,
        ephemeral: Bytes::from_static(&[9; 32]),
        ciphertext: Bytes::from_static(&[8; 48]),
    }
}

fn reference() -> ItemRef {
    ItemRef {
        source: ShardId(3),
        source_epoch: 2,
        number: 17,
        hash: [0x5a; 32],
    }
}

fn item() -> ChannelItem {
    ChannelItem {
        source: ShardId(2),
        source_epoch: 1,
        destination: ShardId(4),
        number: 9,
        payer: account(1),
        payee: account(2),
        currency: currency("USD"),
        amount: amount(1_250),
        effective_date: day("2026-11-20"),
        memo: Some(sealed(3)),
        correlation_id: "order-7".to_owned(),
    }
}

fn command(kind: Kind) -> CommandRecord {
    let secret = DigestKey::new([7; 32]);
    let effective_date = day("2026-11-20");
    CommandRecord {
        info: CommandInfo {
            key: KeyDigest([0x11; 16]),
            fingerprint: secret
                .fingerprint(&[(Field::Kind, b"transfer"), (Field::Amount, b"1250")]),
            first_attempt_ms: 1_795_000_000_000,
            actor: "teller 7".to_owned(),
            authenticated: true,
            channel: Channel::Teller,
            reference: Some([0x22; 16]),
            correlation_id: "order-7".to_owned(),
            reason: "correction".to_owned(),
            privileged: false,
            into_closed_day: false,
            effective_date: Some(effective_date),
            memo: Some(sealed(1)),
            external_reference: Some(sealed(2)),
            group: None,
        },
        kind,
        account: account(1),
        effective_date,
    }
}

fn entry(command: Option<CommandRecord>, result: Result<Vec<Event>, Rejection>) -> Entry {
    Entry {
        shard: ShardId(2),
        epoch: 1,
        time: HybridTime {
            wall_nanos: 1_795_000_000_123_456_789,
            count: 5,
        },
        business_date: day("2026-11-21"),
        closed_through: None,
        prev_hash: [0xa5; 32],
        causes: vec![Position {
            shard: ShardId(3),
            epoch: 2,
            index: 1_000_000,
        }],
        outcomes: vec![Outcome { command, result }],
    }
}

/// Every kind of entry by the name of its file.
fn written() -> Vec<(&'static str, Entry)> {
    let (usd, units) = (currency("USD"), amount(1_250));
    let by = |kind, event| entry(Some(command(kind)), Ok(vec![event]));
    let follows = |event| entry(None, Ok(vec![event]));
    let refusal = || Rejection::new(Code::InsufficientFunds, [-7, 1_250]);
    let opened = |limit| Event::AccountOpened {
        account: account(1),
        currency: usd,
        limit,
        opened_on: day("2024-02-29"),
    };
    let returned = |payer| Event::TransferReturned {
        destination: ShardId(4),
        number: 9,
        payer,
        rejection: Rejection::from(Code::AccountClosed),
    };
    let sent = Event::TransferSent {
        payer: after(1, -1_250, 4),
        stored: encode_item(&item()),
        item: item(),
    };
    let received = Event::TransferReceived {
        item: reference(),
        payee: after(2, i64::MAX, 3),
        payer: account(1),
        currency: usd,
        amount: units,
        effective_date: day("2026-11-20"),
        memo: Some(sealed(3)),
        source_index: 1_000_000,
        source_ordinal: 31,
    };
    let suspended = Event::TransferSuspended {
        item: reference(),
        payee: account(2),
        payer: account(1),
        currency: usd,
        amount: units,
        effective_date: day("2026-11-20"),
        memo: Some(sealed(3)),
        source_index: 1_000_000,
        source_ordinal: 31,
        rejection: Rejection::new(Code::AccountFrozen, [1, 0]),
    };
    let held = |change| {
        Event::Hold(HoldEvent {
            number: 300,
            after: After {
                held: 1_250,
                ..after(1, 9_000, 7)
            },
            change,
        })
    };
    let placed = HoldChange::Placed {
        amount: units,
        expires: 1_795_604_800_123_456_789,
    };
    let captured = |released| HoldChange::Captured {
        amount: units,
        released,
    };
    let mut limited = by(
        Kind::SetLimit,
        Event::LimitChanged {
            after: after(1, -1_250, 9),
            limit: Limit::Overdraft(500),
        },
    );
    let mut grouped = by(
        Kind::ReleaseHold,
        held(HoldChange::Released { released: units }),
    );
    let place = GroupPlace { item: 2, of: 64 };
    let in_group = grouped.outcomes[0].command.as_mut();
    in_group.expect("it has one").info.group = Some(place);
    let cleared = |to| {
        let put = Position {
            shard: ShardId(3),
            epoch: 2,
            index: 1_000_000,
        };
        let mut entry = by(
            Kind::ClearSuspense,
            Event::SuspenseCleared(SuspenseCleared {
                put: TransactionId {
                    position: put,
                    ordinal: 31,
                },
                owner: account(1),
                currency: usd,
                amount: units,
                to,
            }),
        );
        let by_whom = entry.outcomes[0].command.as_mut();
        by_whom.expect("it has one").info.privileged = true;
        entry
    };
    let reversed = by(
        Kind::Reverse,
        Event::Reversed(TransactionReversed {
            original: TransactionId {
                position: Position {
                    shard: ShardId(3),
                    epoch: 2,
                    index: 1_000_000,
                },
                ordinal: 31,
            },
            amount: units,
            total: amount(i64::MAX),
        }),
    );
    let by_whom = limited.outcomes[0].command.as_mut();
    by_whom.expect("it has one").info.privileged = true;
    let row = |house, debit, credit| FrozenRow {
        currency: usd,
        house,
        debit,
        credit,
    };
    let claim = |kind| Claim {
        kind,
        digest: ReferenceDigest([0x5a; 16]),
        account: account(2),
    };
    let happened_to = |change| {
        let region = "eu-west".parse().expect("a region's name");
        let customer = CustomerId::new(region, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        Event::Customer(CustomerEvent { customer, change })
    };
    let happened_to_group = |change| {
        let region = "eu-west".parse().expect("a region's name");
        let consumer = ConsumerId::new(region, "fraud").expect("a name");
        Event::Consumer(ConsumerEvent { consumer, change })
    };
    let read_by = std::sync::Arc::new(Group {
        reads: Reads::Region("eu-west".parse().expect("a region's name")),
        order: Order::Account,
        shards: vec![ShardId(2), ShardId(7)],
        buckets: 4,
        filter: bytes::Bytes::from_static(b"\x0a\x0eFundsDeposited"),
    });
    let read_to = |next| {
        let (epoch, told) = (1, 2);
        let place = Place { epoch, next, told };
        Cursor::from([(ShardId(2), place), (ShardId(7), place)])
    };
    let lent = Generation {
        epoch: 1,
        term: 6,
        count: 12,
    };
    let stopped = Parked {
        event: TransactionId {
            position: Position {
                shard: ShardId(2),
                epoch: 1,
                index: 11,
            },
            ordinal: 3,
        },
        place: 1,
        reason: "no such product".to_owned(),
        since_ms: 1_790_000_000_000,
        after: read_to(12),
    };
    let mut day_closed = by(
        Kind::CloseDay,
        Event::DayClosed {
            date: day("2026-11-20"),
            frozen: vec![
                row(None, 7, i128::from(i64::MAX) + 8),
                row(Some(HouseCode::Cash), i128::from(i64::MAX) + 1, 0),
            ],
        },
    );
    day_closed.closed_through = Some(day("2026-11-19"));
    let spending_limit = |channel, per_transaction, per_day| {
        let mut entry = by(
            Kind::SetSpendingLimit,
            Event::SpendingLimitSet {
                after: after(1, 1_250, 10),
                channel,
                limit: SpendingLimit {
                    per_transaction,
                    per_day,
                },
                date: day("2026-11-21"),
                spent: 1_250,
            },
        );
        let by_whom = entry.outcomes[0].command.as_mut();
        let info = &mut by_whom.expect("it has one").info;
        (info.privileged, info.channel) = (true, channel);
        entry
    };
    let mut into_closed_day = by(
        Kind::Deposit,
        Event::FundsDeposited {
            after: after(1, 1_250, 2),
            house: HouseCode::Cash,
            currency: usd,
            amount: units,
        },
    );
    into_closed_day.closed_through = Some(day("2026-11-20"));
    let flagged = into_closed_day.outcomes[0].command.as_mut();
    flagged.expect("it has one").info.into_closed_day = true;
    let mut all = vec![
        (
            "account-opened",
            by(Kind::Open, opened(Limit::Overdraft(50_000))),
        ),
        (
            "account-opened-unlimited",
            by(Kind::Open, opened(Limit::Unlimited)),
        ),
        (
            "house-account-opened",
            follows(Event::HouseAccountOpened {
                code: HouseCode::InTransit(ShardId(4)),
                currency: usd,
            }),
        ),
        (
            "funds-deposited",
            by(
                Kind::Deposit,
                Event::FundsDeposited {
                    after: after(1, 1_250, 2),
                    house: HouseCode::Cash,
                    currency: usd,
                    amount: units,
                },
            ),
        ),
        (
            "funds-withdrawn",
            by(
                Kind::Withdraw,
                Event::FundsWithdrawn {
                    after: after(1, 0, 3),
                    house: HouseCode::Fees,
                    currency: usd,
                    amount: units,
                },
            ),
        ),
        (
            "funds-transferred",
            by(
                Kind::Transfer,
                Event::FundsTransferred {
                    payer: after(1, i64::MIN, 4),
                    payee: after(2, 1_250, 2),
                    currency: usd,
                    amount: units,
                },
            ),
        ),
        ("transfer-sent", by(Kind::Transfer, sent)),
        ("transfer-received", follows(received)),
        (
            "transfer-refused",
            follows(Event::TransferRefused {
                item: reference(),
                rejection: Rejection::from(Code::AccountNotFound),
            }),
        ),
        (
            "transfer-settled",
            follows(Event::TransferSettled {
                destination: ShardId(4),
                number: 9,
            }),
        ),
        ("transfer-returned", follows(returned(Some(after(1, 0, 5))))),
        ("transfer-returned-to-suspense", follows(returned(None))),
        (
            "account-closed",
            by(
                Kind::Close,
                Event::AccountClosed {
                    account: account(1),
                    version: 6,
                    closed_on: day("2026-11-21"),
                },
            ),
        ),
        ("hold-placed", by(Kind::PlaceHold, held(placed))),
        (
            "hold-raised",
            by(Kind::RaiseHold, held(HoldChange::Raised { by: units })),
        ),
        ("hold-captured", by(Kind::CaptureHold, held(captured(None)))),
        (
            "hold-captured-to-its-end",
            by(Kind::CaptureHold, held(captured(Some(0)))),
        ),
        (
            "hold-released",
            by(
                Kind::ReleaseHold,
                held(HoldChange::Released { released: units }),
            ),
        ),
        (
            "hold-expired",
            follows(held(HoldChange::Expired { released: units })),
        ),
        (
            "hold-late",
            by(Kind::CaptureHold, held(HoldChange::Late { amount: units })),
        ),
        ("of-a-group", grouped),
        (
            "items-forgotten",
            follows(Event::ItemsForgotten {
                source: ShardId(3),
                through: 17,
            }),
        ),
        (
            "account-frozen",
            by(
                Kind::Freeze,
                Event::AccountFrozen {
                    after: after(1, 1_250, 7),
                    freeze: Freeze {
                        kind: FreezeType::CourtOrder,
                        blocks: Blocks::All,
                        arriving: Arriving::Suspense,
                        until_ms: Some(1_795_000_000_000),
                        reason: "order 7".to_owned(),
                    },
                },
            ),
        ),
        (
            "account-thawed",
            by(
                Kind::Unfreeze,
                Event::AccountThawed {
                    after: after(1, 1_250, 8),
                    kind: FreezeType::CourtOrder,
                },
            ),
        ),
        ("limit-changed", limited),
        (
            "suspense-cleared",
            cleared(Cleared::Account(after(2, 1_250, 9))),
        ),
        (
            "suspense-cleared-to-the-bank",
            cleared(Cleared::House(HouseCode::Fees)),
        ),
        (
            "suspense-cleared-to-another-shard",
            cleared(Cleared::Sent {
                stored: encode_item(&item()),
                item: item(),
            }),
        ),
        ("transaction-reversed", reversed),
        (
            "spending-limit-set",
            spending_limit(Channel::Card, Some(0), Some(100_000)),
        ),
        (
            "spending-limit-taken-away",
            spending_limit(Channel::Online, None, None),
        ),
        (
            "reference-claimed",
            by(
                Kind::ClaimReference,
                Event::ReferenceClaimed(claim(ReferenceType::Iban)),
            ),
        ),
        (
            "reference-released",
            by(
                Kind::ReleaseReference,
                Event::ReferenceReleased(claim(ReferenceType::External)),
            ),
        ),
        (
            "customer-registered",
            by(
                Kind::RegisterCustomer,
                happened_to(CustomerChange::Registered),
            ),
        ),
        (
            "account-attached",
            by(
                Kind::AttachAccount,
                happened_to(CustomerChange::Attached(account(2))),
            ),
        ),
        (
            "account-detached",
            by(
                Kind::DetachAccount,
                happened_to(CustomerChange::Detached {
                    account: account(2),
                    on: Some(day("2026-11-21")),
                }),
            ),
        ),
        (
            "account-detached-undated",
            by(
                Kind::DetachAccount,
                happened_to(CustomerChange::Detached {
                    account: account(2),
                    on: None,
                }),
            ),
        ),
        (
            "profile-set",
            by(
                Kind::SetProfile,
                happened_to(CustomerChange::ProfileSet(SealedProfile {
                    key_id: [1, 2, 3, 4, 5, 6, 7, 8],
                    scheme: 1,
                    nonce: [0x3c; 24],
                    ciphertext: Bytes::from_static(&[0xc3; 272]),
                })),
            ),
        ),
        (
            "legal-hold-placed",
            by(
                Kind::PlaceLegalHold,
                happened_to(CustomerChange::LegalHoldPlaced),
            ),
        ),
        (
            "legal-hold-lifted",
            by(
                Kind::LiftLegalHold,
                happened_to(CustomerChange::LegalHoldLifted),
            ),
        ),
        (
            "customer-erased",
            by(Kind::EraseCustomer, happened_to(CustomerChange::Erased)),
        ),
        (
            "consumer-created",
            by(
                Kind::CreateConsumer,
                happened_to_group(ConsumerChange::Created {
                    group: read_by.clone(),
                    at: read_to(3),
                }),
            ),
        ),
        (
            "consumer-advanced",
            by(
                Kind::AdvanceConsumer,
                happened_to_group(ConsumerChange::Advanced {
                    share: 1,
                    generation: lent,
                    from: read_to(3),
                    to: read_to(9),
                }),
            ),
        ),
        (
            "consumer-parked",
            by(
                Kind::ParkConsumer,
                happened_to_group(ConsumerChange::Parked {
                    share: 1,
                    generation: lent,
                    from: read_to(9),
                    to: read_to(11),
                    at: stopped,
                }),
            ),
        ),
        (
            "consumer-resumed",
            by(
                Kind::ResumeConsumer,
                happened_to_group(ConsumerChange::Resumed {
                    share: 1,
                    skip: true,
                }),
            ),
        ),
        (
            "consumer-moved",
            by(
                Kind::MoveConsumer,
                happened_to_group(ConsumerChange::Moved { to: read_to(2) }),
            ),
        ),
        (
            "consumer-removed",
            by(
                Kind::RemoveConsumer,
                happened_to_group(ConsumerChange::Removed),
            ),
        ),
        ("day-closed", day_closed),
        ("into-closed-day", into_closed_day),
        ("transfer-suspended", follows(suspended)),
        (
            "rejection",
            entry(Some(command(Kind::Transfer)), Err(refusal())),
        ),
    ];
    let journals = journals::journals().into_iter();
    all.extend(journals.map(|(name, event)| match name {
        "journal-booked" => (name, by(Kind::Exchange, event)),
        "journal-opened" => (name, by(Kind::Journal, event)),
        _ => (name, follows(event)),
    }));
    all
}

fn folder(format: Format) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format!("entry-v{}", format.number()))
}

#[test]
fn entries_of_every_format_are_read_as_they_were_meant() {
    let mut missing = Vec::new();
    for format in Format::ALL {
        for (name, entry) in written() {
            let path = folder(format).join(name).with_extension("bin");
            if !path.exists() {
                fs::write(&path, entry.encode(format)).expect("the folder of fixtures");
                missing.push(path);
                continue;
            }
            let stored: Bytes = fs::read(&path).expect("a fixture").into();
            assert_eq!(Entry::decode(&stored), Ok(entry.clone()), "{path:?}");
            assert_eq!(entry.encode(format), stored, "{path:?} is written as ever");
        }
    }
    assert!(missing.is_empty(), "written, to be committed: {missing:?}");
}

#[test]
fn every_file_is_expected() {
    let mut expected: Vec<_> = written()
        .iter()
        .map(|(name, _)| format!("{name}.bin"))
        .collect();
    expected.sort_unstable();
    for format in Format::ALL {
        let found = fs::read_dir(folder(format)).expect("the folder of fixtures");
        let mut found: Vec<_> = found
            .map(|file| file.expect("a file").file_name())
            .map(|name| name.into_string().expect("a name"))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
