//! Random values that need not make sense: events that follow from nothing, accounts that no
//! history leads to, entries that no writer wrote.

use ledger_domain::{
    Account, Code, Currency, Date, DigestKey, Entry, Event, Field, Hold, HoldChange, HoldEvent,
    HouseCode, HybridTime, KeyDigest, Limit, Outcome, Position, Rejection, SpendingLimit,
    SuspenseCleared, TransactionId, TransactionReversed, account,
    codec::encode_item,
    command::GroupPlace,
    command::{Channel, CommandInfo, Kind},
    consumer::ConsumerEvent,
    customer::{CustomerChange, CustomerEvent},
    day::FrozenRow,
    event::{After, ChannelItem, CommandRecord, ItemRef},
    freeze::FreezeType,
    hold::Status,
    suspense::Cleared,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

mod journals;

pub use journals::any_open_journal;

use crate::{
    generate::{
        ACCOUNTS, CURRENCIES, ORDINARY, a_claim, a_freeze, a_profile, a_sealed, a_shard,
        account_id, currency, customers, extreme,
    },
    view::house_codes,
};

fn edgy_i64() -> impl Strategy<Value = i64> {
    let edge = select(vec![i64::MIN, -1, 0, 1, i64::MAX]);
    prop_oneof![edge, -ORDINARY..ORDINARY, any::<i64>()]
}

fn edgy_u64() -> impl Strategy<Value = u64> {
    let edge = select(vec![0, 1, 2, u64::MAX - 1, u64::MAX]);
    prop_oneof![3 => edge, 1 => any::<u64>()]
}

/// Any rejection, with any figures.
pub fn a_rejection() -> impl Strategy<Value = Rejection> {
    (select(Code::ALL), vec(any::<i64>(), 0..3))
        .prop_map(|(code, figures)| Rejection { code, figures })
}

fn any_date() -> impl Strategy<Value = Date> {
    // 1900-01-01 to 9999-12-31.
    (-25_567..=2_932_896).prop_map(|days| Date::from_days(days).expect("within the years"))
}

fn any_house() -> impl Strategy<Value = HouseCode> {
    select(house_codes())
}

fn any_currency() -> impl Strategy<Value = Currency> {
    select(CURRENCIES.map(currency).to_vec())
}

fn any_limit() -> impl Strategy<Value = Limit> {
    prop_oneof![
        edgy_i64().prop_map(Limit::Overdraft),
        Just(Limit::Unlimited)
    ]
}

fn any_channel() -> impl Strategy<Value = Channel> {
    let all = Channel::LIMITED.into_iter().chain([Channel::System]);
    select(all.collect::<Vec<_>>())
}

fn any_spending_limit() -> impl Strategy<Value = (Channel, SpendingLimit)> {
    let most = || option::of(edgy_i64());
    (any_channel(), most(), most()).prop_map(|(channel, per_transaction, per_day)| {
        let limit = SpendingLimit {
            per_transaction,
            per_day,
        };
        (channel, limit)
    })
}

/// Any account, sensible or not.
pub fn any_account() -> impl Strategy<Value = Account> {
    let status = select(vec![account::Status::Open, account::Status::Closed]);
    let under_way = select(vec![0, 1, u32::MAX]);
    let sums = (edgy_i64(), 0..=i64::MAX, edgy_u64());
    (
        any_currency(),
        any_limit(),
        status,
        sums,
        any_date(),
        under_way,
        (0..=i64::MAX, 0..=i64::MAX, 0..=i64::MAX),
    )
        .prop_map(
            |(currency, limit, status, (posted, held, version), opened_on, under_way, aside)| {
                Account {
                    currency,
                    limit,
                    status,
                    posted,
                    held,
                    version,
                    opened_on,
                    under_way,
                    outgoing: aside.2,
                    reserved: aside.0,
                    accepted: aside.1,
                }
            },
        )
}

fn any_after() -> impl Strategy<Value = After> {
    (0..ACCOUNTS, edgy_i64(), edgy_u64(), edgy_i64()).prop_map(
        |(account, posted, version, held)| After {
            account: account_id(account),
            posted,
            version,
            held,
        },
    )
}

/// Any item of any channel.
pub fn any_item() -> impl Strategy<Value = ChannelItem> {
    let ends = (a_shard(), a_shard(), edgy_u64(), edgy_u64());
    let people = (
        0..ACCOUNTS,
        0..ACCOUNTS,
        option::of(a_sealed()),
        "[a-z]{0,8}",
    );
    (ends, people, any_currency(), extreme(), any_date()).prop_map(
        |(ends, people, currency, amount, effective_date)| {
            let (source, destination, source_epoch, number) = ends;
            let (payer, payee, memo, correlation_id) = people;
            ChannelItem {
                source,
                source_epoch,
                destination,
                number,
                payer: account_id(payer),
                payee: account_id(payee),
                currency,
                amount,
                effective_date,
                memo,
                correlation_id,
            }
        },
    )
}

fn any_reference() -> impl Strategy<Value = ItemRef> {
    (a_shard(), edgy_u64(), edgy_u64(), any::<[u8; 32]>()).prop_map(
        |(source, source_epoch, number, hash)| ItemRef {
            source,
            source_epoch,
            number,
            hash,
        },
    )
}

fn any_received() -> impl Strategy<Value = Event> {
    let place = (any::<u64>(), any::<u32>());
    let money = (
        any_currency(),
        extreme(),
        any_date(),
        option::of(a_sealed()),
    );
    (any_reference(), any_after(), 0..ACCOUNTS, money, place).prop_map(
        |(item, payee, payer, (currency, amount, effective_date, memo), place)| {
            Event::TransferReceived {
                item,
                payee,
                payer: account_id(payer),
                currency,
                amount,
                effective_date,
                memo,
                source_index: place.0,
                source_ordinal: place.1,
            }
        },
    )
}

fn any_suspended() -> impl Strategy<Value = Event> {
    let place = (any::<u64>(), any::<u32>());
    let people = (0..ACCOUNTS, 0..ACCOUNTS);
    let money = (
        any_currency(),
        extreme(),
        any_date(),
        option::of(a_sealed()),
    );
    (any_reference(), people, money, place, a_rejection()).prop_map(
        |(item, (payee, payer), money, place, rejection)| Event::TransferSuspended {
            item,
            payee: account_id(payee),
            payer: account_id(payer),
            currency: money.0,
            amount: money.1,
            effective_date: money.2,
            memo: money.3,
            source_index: place.0,
            source_ordinal: place.1,
            rejection,
        },
    )
}

/// Any event, whether it follows from anything or not.
pub fn any_event() -> BoxedStrategy<Event> {
    let account = || (0..ACCOUNTS).prop_map(account_id);
    let moved = || (any_after(), any_house(), any_currency(), extreme());
    prop_oneof![
        (account(), any_currency(), any_limit(), any_date()).prop_map(
            |(account, currency, limit, opened_on)| Event::AccountOpened {
                account,
                currency,
                limit,
                opened_on,
            }
        ),
        (any_house(), any_currency())
            .prop_map(|(code, currency)| Event::HouseAccountOpened { code, currency }),
        moved().prop_map(|(after, house, currency, amount)| Event::FundsDeposited {
            after,
            house,
            currency,
            amount,
        }),
        moved().prop_map(|(after, house, currency, amount)| Event::FundsWithdrawn {
            after,
            house,
            currency,
            amount,
        }),
        (any_after(), any_after(), any_currency(), extreme()).prop_map(
            |(payer, payee, currency, amount)| Event::FundsTransferred {
                payer,
                payee,
                currency,
                amount,
            }
        ),
        (any_after(), any_item()).prop_map(|(payer, item)| Event::TransferSent {
            payer,
            stored: encode_item(&item),
            item,
        }),
        any_received(),
        (any_reference(), a_rejection())
            .prop_map(|(item, rejection)| Event::TransferRefused { item, rejection }),
        (a_shard(), edgy_u64()).prop_map(|(destination, number)| Event::TransferSettled {
            destination,
            number,
        }),
        (
            a_shard(),
            edgy_u64(),
            option::of(any_after()),
            a_rejection()
        )
            .prop_map(
                |(destination, number, payer, rejection)| Event::TransferReturned {
                    destination,
                    number,
                    payer,
                    rejection,
                }
            ),
        (account(), edgy_u64(), any_date()).prop_map(|(account, version, closed_on)| {
            Event::AccountClosed {
                account,
                version,
                closed_on,
            }
        }),
        (edgy_u64(), any_after(), any_change()).prop_map(|(number, after, change)| {
            Event::Hold(HoldEvent {
                number,
                after,
                change,
            })
        }),
        (a_shard(), edgy_u64())
            .prop_map(|(source, through)| Event::ItemsForgotten { source, through }),
        (any_after(), a_freeze())
            .prop_map(|(after, freeze)| Event::AccountFrozen { after, freeze }),
        (any_after(), select(FreezeType::ALL.to_vec()))
            .prop_map(|(after, kind)| Event::AccountThawed { after, kind }),
        (any_after(), any_limit()).prop_map(|(after, limit)| Event::LimitChanged { after, limit }),
        (any_after(), any_spending_limit(), any_date(), edgy_i64()).prop_map(
            |(after, (channel, limit), date, spent)| Event::SpendingLimitSet {
                after,
                channel,
                limit,
                date,
                spent,
            }
        ),
        (any_date(), vec(any_row(), 0..3))
            .prop_map(|(date, frozen)| Event::DayClosed { date, frozen }),
        any_suspended(),
        any_cleared().prop_map(Event::SuspenseCleared),
        any_reversed().prop_map(Event::Reversed),
        journals::any_journal().prop_map(Event::Journal),
        a_claim().prop_map(Event::ReferenceClaimed),
        a_claim().prop_map(Event::ReferenceReleased),
        crate::consumers::a_consumer_change()
            .prop_map(|(consumer, change)| Event::Consumer(ConsumerEvent { consumer, change })),
        any_customer_event().prop_map(Event::Customer),
    ]
    .boxed()
}

fn any_customer_event() -> impl Strategy<Value = CustomerEvent> {
    let account = || (0..3u8).prop_map(account_id);
    let change = prop_oneof![
        Just(CustomerChange::Registered),
        account().prop_map(CustomerChange::Attached),
        (account(), option::of(any_date()))
            .prop_map(|(account, on)| CustomerChange::Detached { account, on }),
        a_profile().prop_map(CustomerChange::ProfileSet),
        Just(CustomerChange::LegalHoldPlaced),
        Just(CustomerChange::LegalHoldLifted),
        Just(CustomerChange::Erased),
    ];
    let customer = select(customers().collect::<Vec<_>>());
    (customer, change).prop_map(|(customer, change)| CustomerEvent { customer, change })
}

pub fn any_reversed() -> impl Strategy<Value = TransactionReversed> {
    let original = (a_shard(), any::<(u64, u64, u32)>());
    (original, extreme(), extreme()).prop_map(
        |((shard, (epoch, index, ordinal)), amount, total)| TransactionReversed {
            original: TransactionId {
                position: Position {
                    shard,
                    epoch,
                    index,
                },
                ordinal,
            },
            amount,
            total,
        },
    )
}

pub fn any_cleared() -> impl Strategy<Value = SuspenseCleared> {
    let owner = (0..ACCOUNTS).prop_map(account_id);
    let to = prop_oneof![
        any_after().prop_map(Cleared::Account),
        any_house().prop_map(Cleared::House),
        any_item().prop_map(|item| Cleared::Sent {
            stored: encode_item(&item),
            item,
        }),
    ];
    let put = (a_shard(), any::<(u64, u64, u32)>());
    (put, owner, any_currency(), extreme(), to).prop_map(
        |((shard, (epoch, index, ordinal)), owner, currency, amount, to)| SuspenseCleared {
            put: TransactionId {
                position: Position {
                    shard,
                    epoch,
                    index,
                },
                ordinal,
            },
            owner,
            currency,
            amount,
            to,
        },
    )
}

fn any_row() -> impl Strategy<Value = FrozenRow> {
    let house = option::of(select(house_codes()));
    let currency = select(CURRENCIES.map(currency).to_vec());
    (house, currency, any::<i128>(), any::<i128>()).prop_map(|(house, currency, debit, credit)| {
        FrozenRow {
            currency,
            house,
            debit,
            credit,
        }
    })
}

fn any_change() -> impl Strategy<Value = HoldChange> {
    prop_oneof![
        (extreme(), any::<u64>())
            .prop_map(|(amount, expires)| HoldChange::Placed { amount, expires }),
        extreme().prop_map(|by| HoldChange::Raised { by }),
        (extreme(), option::of(edgy_i64()))
            .prop_map(|(amount, released)| HoldChange::Captured { amount, released }),
        extreme().prop_map(|amount| HoldChange::Late { amount }),
        extreme().prop_map(|released| HoldChange::Released { released }),
        extreme().prop_map(|released| HoldChange::Expired { released }),
    ]
}

/// Any hold, sensible or not.
pub fn any_hold() -> impl Strategy<Value = Hold> {
    let status = select(Status::ALL.to_vec());
    let figures = (edgy_i64(), edgy_i64(), edgy_i64());
    (0..ACCOUNTS, figures, any::<u64>(), status).prop_map(
        |(account, (amount, captured, late), expires, status)| Hold {
            account: account_id(account),
            placed: None,
            amount,
            captured,
            late,
            expires,
            status,
        },
    )
}

fn any_record() -> impl Strategy<Value = CommandRecord> {
    let digests = (any::<[u8; 16]>(), vec(any::<u8>(), 0..20), any::<u64>());
    let texts = ("\\PC{0,12}", "[a-z0-9-]{0,8}", "\\PC{0,12}", any::<bool>());
    let private = (
        option::of(any::<[u8; 16]>()),
        option::of(a_sealed()),
        option::of(a_sealed()),
        option::of((1..64_u32, 1..3_u32)),
    );
    let kind = select(vec![
        Kind::Open,
        Kind::Deposit,
        Kind::Withdraw,
        Kind::Transfer,
        Kind::Close,
        Kind::PlaceHold,
        Kind::RaiseHold,
        Kind::CaptureHold,
        Kind::ReleaseHold,
        Kind::Freeze,
        Kind::Unfreeze,
        Kind::SetLimit,
        Kind::CloseDay,
        Kind::SetSpendingLimit,
        Kind::Journal,
        Kind::Exchange,
        Kind::ClaimReference,
        Kind::ReleaseReference,
        Kind::CreateConsumer,
        Kind::AdvanceConsumer,
        Kind::ParkConsumer,
        Kind::ResumeConsumer,
        Kind::MoveConsumer,
        Kind::RemoveConsumer,
        Kind::RegisterCustomer,
        Kind::AttachAccount,
        Kind::DetachAccount,
        Kind::SetProfile,
        Kind::PlaceLegalHold,
        Kind::LiftLegalHold,
        Kind::EraseCustomer,
    ]);
    (
        digests,
        texts,
        any_channel(),
        private,
        kind,
        0..ACCOUNTS,
        any_date(),
    )
        .prop_map(
            |(digests, texts, channel, private, kind, account, effective_date)| {
                let secret = DigestKey::new([2; 32]);
                let info = CommandInfo {
                    key: KeyDigest(digests.0),
                    fingerprint: secret.fingerprint(&[(Field::Amount, &digests.1)]),
                    first_attempt_ms: digests.2,
                    actor: texts.0,
                    authenticated: texts.3,
                    channel,
                    reference: private.0,
                    correlation_id: texts.1,
                    reason: texts.2,
                    privileged: texts.3,
                    into_closed_day: texts.3,
                    effective_date: Some(effective_date),
                    memo: private.1,
                    external_reference: private.2,
                    group: private.3.map(|(item, more)| GroupPlace {
                        item,
                        of: item + more,
                    }),
                };
                CommandRecord {
                    info,
                    kind,
                    account: account_id(account),
                    effective_date,
                }
            },
        )
}

/// Any entry that could be written down.
pub fn any_entry() -> impl Strategy<Value = Entry> {
    let result = prop_oneof![
        3 => vec(any_event(), 0..4).prop_map(Ok),
        1 => a_rejection().prop_map(Err),
    ];
    let outcome = (option::of(any_record()), result)
        .prop_map(|(command, result)| Outcome { command, result });
    let position =
        (a_shard(), any::<u64>(), any::<u64>()).prop_map(|(shard, epoch, index)| Position {
            shard,
            epoch,
            index,
        });
    let time = (any::<u64>(), any::<u32>())
        .prop_map(|(wall_nanos, count)| HybridTime { wall_nanos, count });
    let dates = (any_date(), option::of(any_date()));
    let place = (a_shard(), any::<u64>(), time, dates);
    (
        place,
        any::<[u8; 32]>(),
        vec(position, 0..3),
        vec(outcome, 0..4),
    )
        .prop_map(
            |(
                (shard, epoch, time, (business_date, closed_through)),
                prev_hash,
                causes,
                outcomes,
            )| Entry {
                shard,
                epoch,
                time,
                business_date,
                closed_through,
                prev_hash,
                causes,
                outcomes,
            },
        )
}
