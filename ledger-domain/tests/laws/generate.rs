//! Random commands that often succeed, about a few accounts in a few shards.

use std::time::Duration;

use bytes::Bytes;
use ledger_domain::{
    AccountId, Action, Amount, Command, Conditions, ConsumerId, Currency, CustomerId, Date,
    DigestKey, Field, Freeze, HoldAction, HouseCode, KeyDigest, Limit, Position, ReferenceDigest,
    ReferenceType, Sealed, ShardId, SpendingLimit, TransactionId,
    command::{Channel, CommandInfo},
    customer::CustomerAction,
    freeze::{Arriving, Blocks, FreezeType},
    hold::Payee,
    journal::{Legs, Party, PlacedLeg, Rate, Side},
    profile::SealedProfile,
    reference::Claim,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Accounts that a history may name.
pub const ACCOUNTS: u8 = 8;
/// Those of them that every history opens first.
pub const OPENED: u8 = 6;
/// Shards that a history may name, numbered from 1.
pub const SHARDS: u32 = 3;
pub const CURRENCIES: [&str; 2] = ["EUR", "JPY"];

use crate::writer::BEGINNING_MS;

/// The longest that a hold lasts of which it is said, so that many are over within a history.
pub const LIVES_AT_MOST: Duration = Duration::from_millis(40);

const TODAY: i32 = 20_000;

/// The largest everyday amount: all of a history's together stay far within 64 bits.
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

/// The references that a history may name, in each shard.
pub fn references() -> impl Iterator<Item = ReferenceDigest> {
    (0..3).map(|number| ReferenceDigest([number; 16]))
}

/// The consumer groups that a history may name, in each shard.
pub fn consumers() -> impl Iterator<Item = ConsumerId> {
    let region = "eu-west".parse().expect("a region's name");
    let id = move |name| ConsumerId::new(region, name).expect("a name");
    ["one", "two"].into_iter().map(id)
}

/// The customers that a history may name, in each shard.
pub fn customers() -> impl Iterator<Item = CustomerId> {
    let region = "eu-west".parse().expect("a region's name");
    (0..2).map(move |number: u8| CustomerId::derive(region, &number.to_string()))
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
        privileged: false,
        into_closed_day: false,
        effective_date: None,
        memo: None,
        external_reference: None,
        group: None,
    };
    Command {
        info,
        action,
        conditions: Conditions::default(),
        forced: false,
    }
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
        1 => (0..4i64).prop_map(Limit::Overdraft),
        1 => (0..ORDINARY).prop_map(Limit::Overdraft),
        1 => Just(Limit::Unlimited),
    ]
}

/// Amounts of everyday life, many so small that they meet a limit exactly.
pub fn ordinary() -> BoxedStrategy<Amount> {
    prop_oneof![2 => 1..=3i64, 1 => 1..=ORDINARY]
        .prop_map(amount)
        .boxed()
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
    let sweep = option::weighted(0.3, a_payee(shards));
    let close = (an_account(), sweep).prop_map(|(account, sweep)| Action::Close { account, sweep });
    let clear = (an_account(), a_pick(), a_payee(shards));
    let clear = clear.prop_map(|(owner, put, to)| Action::ClearSuspense { owner, put, to });
    let part = option::weighted(0.4, (a_currency(), amounts.clone()));
    let reverse =
        (an_account(), a_pick(), part).prop_map(|(account, original, money)| Action::Reverse {
            account,
            original,
            moved: None,
            money,
        });
    let freeze =
        (an_account(), a_freeze()).prop_map(|(account, freeze)| Action::Freeze { account, freeze });
    let set_limit =
        (an_account(), a_limit()).prop_map(|(account, limit)| Action::SetLimit { account, limit });
    let set_spending_limit = (an_account(), a_channel(), a_spending_limit());
    let set_spending_limit =
        set_spending_limit.prop_map(|(account, channel, limit)| Action::SetSpendingLimit {
            account,
            channel,
            limit,
        });
    let unfreeze = (an_account(), select(FreezeType::ALL.to_vec()))
        .prop_map(|(account, kind)| Action::Unfreeze { account, kind });
    let close_day = (an_account(), (-3..=1).prop_map(date))
        .prop_map(|(books, date)| Action::CloseDay { books, date });
    let claim = (an_account(), a_claim());
    let claim = claim.prop_map(|(place, claim)| Action::ClaimReference { place, claim });
    let release = (an_account(), a_claim());
    let release = release.prop_map(|(place, claim)| Action::ReleaseReference { place, claim });
    // Each in one shard, so that much happens to it.
    let customer = a_customer_action().prop_map(|(number, customer, action)| Action::Customer {
        place: account_id(number),
        customer,
        action,
    });
    let consumer = (an_account(), crate::consumers::a_consumer_change());
    let consumer = consumer.prop_map(|(place, (consumer, change))| Action::Consumer {
        place,
        consumer,
        change,
    });
    let hold = a_hold_action(shards, amounts.clone());
    let hold = (an_account(), hold).prop_map(|(account, action)| Action::Hold { account, action });
    prop_oneof![
        2 => open,
        6 => deposit,
        6 => withdraw,
        16 => transfer,
        2 => close,
        4 => clear,
        5 => reverse,
        16 => hold,
        2 => freeze,
        1 => unfreeze,
        1 => set_limit,
        3 => set_spending_limit,
        1 => close_day,
        3 => claim,
        2 => release,
        9 => customer,
        12 => consumer,
        6 => a_journal(shards, amounts),
    ]
    .boxed()
}

/// A reference and an account, of few, so that many meet.
pub fn a_claim() -> impl Strategy<Value = Claim> {
    let reference = (
        select(ReferenceType::ALL.to_vec()),
        select(references().collect::<Vec<_>>()),
    );
    let account = (0..3u8).prop_map(account_id);
    (reference, account).prop_map(|((kind, digest), account)| Claim {
        kind,
        digest,
        account,
    })
}

/// Something about one of few customers, of which one is soon erased.
pub fn a_customer_action() -> impl Strategy<Value = (u8, CustomerId, CustomerAction)> {
    // Mostly one, so that who had an account soon has none.
    let account = || prop_oneof![4 => Just(account_id(0)), 1 => Just(account_id(1))];
    let years = || prop_oneof![1 => Just(0), 6 => Just(1)];
    let action = prop_oneof![
        3 => Just(CustomerAction::Register),
        5 => account().prop_map(CustomerAction::Attach),
        6 => account().prop_map(CustomerAction::Detach),
        1 => a_profile().prop_map(CustomerAction::SetProfile),
        2 => Just(CustomerAction::PlaceLegalHold),
        2 => Just(CustomerAction::LiftLegalHold),
        3 => years().prop_map(|retention_years| CustomerAction::Erase { retention_years }),
    ];
    let numbered: Vec<_> = (0..).zip(customers()).collect();
    (select(numbered), action).prop_map(|((number, customer), action)| (number, customer, action))
}

/// Any sealed profile, also one that nobody sealed.
pub fn a_profile() -> impl Strategy<Value = SealedProfile> {
    let bytes = (any::<[u8; 8]>(), any::<[u8; 24]>(), few_bytes());
    (bytes, any::<u32>()).prop_map(|((key_id, nonce, ciphertext), scheme)| SealedProfile {
        key_id,
        scheme,
        nonce,
        ciphertext,
    })
}

/// Mostly two, so that much is spent by the same.
fn a_channel() -> impl Strategy<Value = Channel> {
    prop_oneof![
        4 => Just(Channel::Teller),
        3 => Just(Channel::Card),
        1 => select(Channel::LIMITED.to_vec()),
    ]
}

fn a_spending_limit() -> impl Strategy<Value = SpendingLimit> {
    let most = || option::weighted(0.5, prop_oneof![0..6i64, 0..ORDINARY * 3]);
    (most(), most()).prop_map(|(per_transaction, per_day)| SpendingLimit {
        per_transaction,
        per_day,
    })
}

/// A journal between two parties, or three, or an exchange.
fn a_journal(shards: u32, amounts: BoxedStrategy<Amount>) -> BoxedStrategy<Action> {
    let shard = move || (1..=shards).prop_map(ShardId);
    let codes = vec![HouseCode::Cash, HouseCode::Fees, HouseCode::FxPosition];
    let code = prop_oneof![12 => select(codes), 1 => Just(HouseCode::Suspense)];
    let party = prop_oneof![
        4 => an_account().prop_map(move |id| (home(id, shards), Party::Account(id))),
        1 => (shard(), code).prop_map(|(shard, code)| (shard, Party::House(code))),
    ];
    let leg = |(shard, party): (ShardId, Party), side, currency, amount| PlacedLeg {
        shard,
        party,
        side,
        currency,
        amount,
    };
    let between = (vec(party, 2..5), a_currency(), vec(amounts.clone(), 4));
    let between = between.prop_filter_map("legs", move |(mut parties, currency, amounts)| {
        let first = parties.remove(0);
        let sum = amounts.iter().take(parties.len());
        let sum = sum.map(|it| i128::from(it.minor_units())).sum::<i128>();
        let sum = Amount::new(i64::try_from(sum).ok()?).ok()?;
        let others = parties.into_iter().zip(&amounts);
        let others = others.map(|(it, amount)| leg(it, Side::Credit, currency, *amount));
        let debit = leg(first, Side::Debit, currency, sum);
        let legs = Legs::new([debit].into_iter().chain(others).collect()).ok()?;
        Some(Action::Journal { legs, rate: None })
    });
    let ends = (an_account(), an_account(), shard());
    let exchange = (ends, amounts.clone(), amounts).prop_filter_map(
        "legs",
        move |((from, to, bank), given, got)| {
            let customer = |id| (home(id, shards), Party::Account(id));
            let position = || (bank, Party::House(HouseCode::FxPosition));
            let [eur, jpy] = CURRENCIES.map(currency);
            let legs = Legs::new(vec![
                leg(customer(from), Side::Debit, eur, given),
                leg(position(), Side::Credit, eur, given),
                leg(position(), Side::Debit, jpy, got),
                leg(customer(to), Side::Credit, jpy, got),
            ]);
            let rate: Option<Rate> = "1.0842".parse().ok();
            Some(Action::Journal {
                legs: legs.ok()?,
                rate,
            })
        },
    );
    prop_oneof![3 => between, 2 => exchange].boxed()
}

/// Conditions as callers set them: most of them none, many of them barely held.
fn some_conditions() -> impl Strategy<Value = Conditions> {
    let bound = || option::weighted(0.5, prop_oneof![-3..=3i64, -ORDINARY..ORDINARY]);
    let some = (option::weighted(0.5, 0..4u64), bound(), bound()).prop_map(
        |(version, minimum, maximum)| Conditions {
            version,
            minimum,
            maximum,
        },
    );
    prop_oneof![4 => Just(Conditions::default()), 1 => some]
}

/// A freeze; most are over within a history.
pub fn a_freeze() -> impl Strategy<Value = Freeze> {
    let blocks = select(vec![Blocks::Debits, Blocks::Credits, Blocks::All]);
    let arriving = select(vec![Arriving::Returns, Arriving::Suspense]);
    let until = option::weighted(0.8, (0..60u64).prop_map(|ms| BEGINNING_MS + ms));
    let kind = select(FreezeType::ALL.to_vec());
    (kind, blocks, arriving, until, "[a-z]{0,3}").prop_map(
        |(kind, blocks, arriving, until_ms, reason)| Freeze {
            kind,
            blocks,
            arriving,
            until_ms,
            reason,
        },
    )
}

/// One of an account's holds, items in suspense or payments, to be chosen when the command is asked: a history does not know
/// their ids. Now and then an id that nobody has.
fn a_pick() -> impl Strategy<Value = TransactionId> {
    let index = prop_oneof![19 => Just(0), 1 => Just(u64::MAX)];
    (index, any::<u32>()).prop_map(|(index, ordinal)| TransactionId {
        position: Position {
            shard: ShardId(1),
            epoch: 1,
            index,
        },
        ordinal,
    })
}

/// Somebody who can be paid out of an account.
pub fn a_payee(shards: u32) -> impl Strategy<Value = Payee> {
    let memo = option::weighted(0.2, a_sealed());
    prop_oneof![
        2 => (an_account(), memo).prop_map(move |(to, memo)| Payee::Account {
            to,
            to_shard: home(to, shards),
            memo,
        }),
        1 => a_house().prop_map(Payee::House),
    ]
}

fn a_hold_action(shards: u32, amounts: BoxedStrategy<Amount>) -> BoxedStrategy<HoldAction> {
    let life = option::weighted(
        0.7,
        (1..LIVES_AT_MOST.as_millis() as u64).prop_map(Duration::from_millis),
    );
    let place = (a_currency(), amounts.clone(), life).prop_map(|(currency, amount, life)| {
        HoldAction::Place {
            currency,
            amount,
            life,
        }
    });
    let raise = (a_pick(), a_currency(), amounts.clone()).prop_map(|(hold, currency, amount)| {
        HoldAction::Raise {
            hold,
            currency,
            amount,
        }
    });
    let payee = a_payee(shards);
    let money = option::weighted(0.7, (a_currency(), amounts));
    let capture = (a_pick(), money, payee, any::<bool>()).prop_map(|(hold, money, payee, last)| {
        HoldAction::Capture {
            hold,
            money,
            payee,
            last,
        }
    });
    let release = a_pick().prop_map(|hold| HoldAction::Release { hold });
    prop_oneof![4 => place, 2 => raise, 6 => capture, 1 => release].boxed()
}

/// The hold that a command is about.
pub fn hold_of(command: &mut Command) -> Option<&mut TransactionId> {
    match &mut command.action {
        Action::Hold { action, .. } => match action {
            HoldAction::Place { .. } => None,
            HoldAction::Raise { hold, .. }
            | HoldAction::Capture { hold, .. }
            | HoldAction::Release { hold } => Some(hold),
        },
        _ => None,
    }
}

/// The item of suspense that a command is about.
pub fn suspended_of(command: &mut Command) -> Option<&mut TransactionId> {
    match &mut command.action {
        Action::ClearSuspense { put, .. } => Some(put),
        _ => None,
    }
}

/// The transaction that a command reverses.
pub fn original_of(command: &mut Command) -> Option<&mut TransactionId> {
    match &mut command.action {
        Action::Reverse { original, .. } => Some(original),
        _ => None,
    }
}

/// A command about accounts spread over so many shards.
pub fn a_command(shards: u32, amounts: BoxedStrategy<Amount>) -> BoxedStrategy<Command> {
    let effective_date = option::weighted(0.2, (-3..=1).prop_map(date));
    (
        an_action(shards, amounts),
        effective_date,
        some_conditions(),
        (prop::bool::weighted(0.05), any::<bool>()),
        prop_oneof![15 => a_channel(), 1 => Just(Channel::System)],
    )
        .prop_map(
            |(action, effective_date, conditions, (forced, into_closed_day), channel)| {
                let mut command = command(action);
                command.info.effective_date = effective_date;
                command.info.into_closed_day = into_closed_day;
                command.info.channel = channel;
                command.conditions = conditions;
                command.forced = forced;
                command
            },
        )
        .boxed()
}

/// What every history begins with: accounts, most with something on them.
pub fn beginning() -> BoxedStrategy<Vec<Command>> {
    let funds = prop_oneof![0..6i64, 0..ORDINARY * 3];
    let each = (a_currency(), a_limit(), funds);
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

fn few_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

/// Any sealed text, also one that nobody sealed.
pub fn a_sealed() -> impl Strategy<Value = Sealed> {
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

/// One of the shards.
pub fn a_shard() -> impl Strategy<Value = ShardId> {
    (1..=SHARDS).prop_map(ShardId)
}
