//! Random values: commands that often succeed, and events and accounts that need not make sense.

use bytes::Bytes;
use ledger_domain::{
    Account, AccountId, Action, Amount, Code, Command, Currency, Date, DigestKey, Entry, Event,
    Field, HouseCode, HybridTime, KeyDigest, Limit, Outcome, Position, Rejection, Sealed, ShardId,
    account::Status,
    codec::encode_item,
    command::{Channel, CommandInfo, Kind},
    event::{After, ChannelItem, CommandRecord, ItemRef},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Accounts that a history may name.
pub const ACCOUNTS: u8 = 8;
/// Those of them that every history opens first.
pub const OPENED: u8 = 6;
/// Shards that a history may name, numbered from 1.
pub const SHARDS: u32 = 3;
pub const CURRENCIES: [&str; 2] = ["EUR", "JPY"];

const TODAY: i32 = 20_000;

/// An amount that no number of them in one history takes out of 64 bits.
pub const ORDINARY: i64 = 1_000;

pub fn account_id(number: u8) -> AccountId {
    let region = "eu-west".parse().expect("a region's name");
    AccountId::derive(region, "laws", &number.to_string())
}

/// The shard an account lives in, where there are `shards` of them.
pub fn home(account: AccountId, shards: u32) -> ShardId {
    let number = (0..ACCOUNTS).find(|n| account_id(*n) == account);
    let number = number.expect("a history names only the accounts it knows");
    ShardId(1 + u32::from(number) % shards)
}

pub fn currency(code: &str) -> Currency {
    code.parse().expect("a currency of ISO 4217")
}

pub fn amount(minor_units: i64) -> Amount {
    Amount::new(minor_units).expect("above zero")
}

pub fn date(days_from_today: i32) -> Date {
    Date::from_days(TODAY + days_from_today).expect("a date of this century")
}

/// A command as a caller would send it. Histories number theirs with [`numbered`].
pub fn command(action: Action) -> Command {
    let secret = DigestKey::new([1; 32]);
    let info = CommandInfo {
        key: KeyDigest([0; 16]),
        fingerprint: secret.fingerprint(&[(Field::Kind, format!("{action:?}").as_bytes())]),
        first_attempt_ms: 0,
        actor: "teller 7".to_owned(),
        authenticated: true,
        channel: Channel::Teller,
        reference: None,
        correlation_id: String::new(),
        reason: String::new(),
        effective_date: None,
        memo: None,
        external_reference: None,
    };
    Command { info, action }
}

/// Gives every command a key of its own.
pub fn numbered(commands: impl IntoIterator<Item = Command>) -> Vec<Command> {
    let secret = DigestKey::new([1; 32]);
    let number = |(number, mut command): (usize, Command)| {
        let account = command.action.account();
        command.info.key = secret.key("caller", &account, &number.to_string());
        command
    };
    commands.into_iter().enumerate().map(number).collect()
}

fn a_currency() -> impl Strategy<Value = Currency> {
    prop_oneof![9 => Just("EUR"), 1 => Just("JPY")].prop_map(currency)
}

fn an_account() -> impl Strategy<Value = AccountId> {
    prop_oneof![15 => 0..OPENED, 1 => OPENED..ACCOUNTS].prop_map(account_id)
}

fn a_house() -> impl Strategy<Value = HouseCode> {
    prop_oneof![
        6 => Just(HouseCode::Cash),
        1 => Just(HouseCode::Fees),
        1 => Just(HouseCode::Suspense),
        1 => Just(HouseCode::Equity),
        1 => (1..=SHARDS).prop_map(|s| HouseCode::InTransit(ShardId(s))),
    ]
}

fn a_limit() -> impl Strategy<Value = Limit> {
    prop_oneof![
        3 => Just(Limit::Overdraft(0)),
        2 => (0..ORDINARY).prop_map(Limit::Overdraft),
        1 => Just(Limit::Unlimited),
    ]
}

/// Amounts of everyday life.
pub fn ordinary() -> BoxedStrategy<Amount> {
    (1..=ORDINARY).prop_map(amount).boxed()
}

/// Amounts at the edge of what an account can hold, among others.
pub fn extreme() -> BoxedStrategy<Amount> {
    let edge = select(vec![
        1,
        i64::MAX / 2,
        i64::MAX / 2 + 1,
        i64::MAX - 1,
        i64::MAX,
    ]);
    prop_oneof![3 => 1..=ORDINARY, 2 => edge, 1 => 1..=i64::MAX]
        .prop_map(amount)
        .boxed()
}

fn an_action(shards: u32, amounts: BoxedStrategy<Amount>) -> BoxedStrategy<Action> {
    let opened_on = option::weighted(0.3, (-3..=1).prop_map(date));
    let open = (an_account(), a_currency(), a_limit(), opened_on).prop_map(
        |(account, currency, limit, opened_on)| Action::Open {
            account,
            currency,
            limit,
            opened_on,
        },
    );
    let movement = || (an_account(), a_house(), a_currency(), amounts.clone());
    let deposit = movement().prop_map(|(account, house, currency, amount)| Action::Deposit {
        account,
        house,
        currency,
        amount,
    });
    let withdraw = movement().prop_map(|(account, house, currency, amount)| Action::Withdraw {
        account,
        house,
        currency,
        amount,
    });
    let memo = option::weighted(0.2, a_sealed());
    let transfer = (
        an_account(),
        an_account(),
        a_currency(),
        amounts.clone(),
        memo,
    )
        .prop_map(
            move |(from, to, currency, amount, payee_memo)| Action::Transfer {
                from,
                to,
                to_shard: home(to, shards),
                currency,
                amount,
                payee_memo,
            },
        );
    let close = an_account().prop_map(|account| Action::Close { account });
    prop_oneof![1 => open, 3 => deposit, 3 => withdraw, 8 => transfer, 1 => close].boxed()
}

/// A command about accounts spread over so many shards.
pub fn a_command(shards: u32, amounts: BoxedStrategy<Amount>) -> BoxedStrategy<Command> {
    let effective_date = option::weighted(0.2, (-3..=1).prop_map(date));
    (an_action(shards, amounts), effective_date)
        .prop_map(|(action, effective_date)| {
            let mut command = command(action);
            command.info.effective_date = effective_date;
            command
        })
        .boxed()
}

/// What every history begins with: accounts, most with something on them.
pub fn beginning() -> BoxedStrategy<Vec<Command>> {
    let each = (a_currency(), a_limit(), 0..ORDINARY * 3);
    vec(each, usize::from(OPENED))
        .prop_map(|accounts| {
            let mut commands = Vec::new();
            for (number, (currency, limit, funds)) in (0..).zip(accounts) {
                let account = account_id(number);
                commands.push(command(Action::Open {
                    account,
                    currency,
                    limit,
                    opened_on: Some(date(-2)),
                }));
                if let Ok(amount) = Amount::new(funds) {
                    commands.push(command(Action::Deposit {
                        account,
                        house: HouseCode::Cash,
                        currency,
                        amount,
                    }));
                }
            }
            commands
        })
        .boxed()
}

fn edgy_i64() -> impl Strategy<Value = i64> {
    let edge = select(vec![i64::MIN, -1, 0, 1, i64::MAX]);
    prop_oneof![edge, -ORDINARY..ORDINARY, any::<i64>()]
}

fn edgy_u64() -> impl Strategy<Value = u64> {
    let edge = select(vec![0, 1, 2, u64::MAX - 1, u64::MAX]);
    prop_oneof![3 => edge, 1 => any::<u64>()]
}

pub fn a_shard() -> impl Strategy<Value = ShardId> {
    (1..=SHARDS).prop_map(ShardId)
}

fn few_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn a_sealed() -> impl Strategy<Value = Sealed> {
    (any::<[u8; 8]>(), any::<u32>(), few_bytes(), few_bytes()).prop_map(
        |(key_id, scheme, ephemeral, ciphertext)| Sealed {
            domain: "eu".to_owned(),
            key_id,
            scheme,
            ephemeral,
            ciphertext,
        },
    )
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
    select(crate::view::house_codes())
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

/// Any account, sensible or not.
pub fn any_account() -> impl Strategy<Value = Account> {
    let status = select(vec![Status::Open, Status::Closed]);
    let under_way = select(vec![0, 1, u32::MAX]);
    let sums = (edgy_i64(), 0..=i64::MAX, edgy_u64());
    (
        any_currency(),
        any_limit(),
        status,
        sums,
        any_date(),
        under_way,
    )
        .prop_map(
            |(currency, limit, status, (posted, held, version), opened_on, under_way)| Account {
                currency,
                limit,
                status,
                posted,
                held,
                version,
                opened_on,
                under_way,
            },
        )
}

fn any_after() -> impl Strategy<Value = After> {
    (0..ACCOUNTS, edgy_i64(), edgy_u64()).prop_map(|(account, posted, version)| After {
        account: account_id(account),
        posted,
        version,
    })
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
        (a_shard(), edgy_u64())
            .prop_map(|(source, through)| Event::ItemsForgotten { source, through }),
    ]
    .boxed()
}

fn any_record() -> impl Strategy<Value = CommandRecord> {
    let digests = (any::<[u8; 16]>(), vec(any::<u8>(), 0..20), any::<u64>());
    let texts = ("\\PC{0,12}", "[a-z0-9-]{0,8}", "\\PC{0,12}", any::<bool>());
    let channel = select(vec![
        Channel::Teller,
        Channel::Atm,
        Channel::Batch,
        Channel::System,
    ]);
    let private = (
        option::of(any::<[u8; 16]>()),
        option::of(a_sealed()),
        option::of(a_sealed()),
    );
    let kind = select(vec![
        Kind::Open,
        Kind::Deposit,
        Kind::Withdraw,
        Kind::Transfer,
        Kind::Close,
    ]);
    (
        digests,
        texts,
        channel,
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
                    effective_date: Some(effective_date),
                    memo: private.1,
                    external_reference: private.2,
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
    let place = (a_shard(), any::<u64>(), time, any_date());
    (
        place,
        any::<[u8; 32]>(),
        vec(position, 0..3),
        vec(outcome, 0..4),
    )
        .prop_map(
            |((shard, epoch, time, business_date), prev_hash, causes, outcomes)| Entry {
                shard,
                epoch,
                time,
                business_date,
                prev_hash,
                causes,
                outcomes,
            },
        )
}
