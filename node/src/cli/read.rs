use std::time::Duration;

use serde_json::{Value, json};

use super::args::{
    BalanceArguments, BoundArguments, FreshnessArguments, MomentArguments, Otherwise,
    ShowArguments, TransactionArguments,
};
use super::exit::{self, Failure};
use super::freeze;
use super::output::{
    Output, fields, money, money_json, position, position_json, receipt_json, rejection_json,
    served_by, served_by_json, status, time, time_json,
};
use super::path;
use super::spending;
use crate::api::UNKNOWN_AGE_MS;
use crate::api::atm::v1::{
    AtOneTime, Balance, BalanceOutcome, GetBalancesRequest, ModeUsed, balance_outcome::Outcome,
};
use crate::api::teller::v1::{
    AccountStatus, GetTransactionRequest, Reversal, TransactionKey, TransactionKind,
    account::Overdraft, get_transaction_request::By,
};
use crate::api::v1::{
    self, Money, ReadMode,
    read_mode::{self, Mode, as_of::At},
};
use crate::client::{self, Client};

pub async fn account(client: &Client, given: ShowArguments) -> Result<Output, Failure> {
    let at = at(MomentArguments {
        as_of: given.as_of,
        as_of_time: given.as_of_time,
        as_of_position: given.as_of_position,
    });
    let as_of = at.map(|at| read_mode::AsOf {
        at: Some(at),
        tokens: Vec::new(),
    });
    let reply = client.account_as_of(&given.account, as_of).await?;
    let account = reply.account.unwrap_or_default();
    let state = match account.status() {
        AccountStatus::Open => "open",
        AccountStatus::Closed => "closed",
        AccountStatus::Unspecified => "unspecified",
    };
    let (limit, limit_json) = match account.overdraft {
        Some(Overdraft::Unlimited(_)) => ("unlimited".to_owned(), json!("unlimited")),
        Some(Overdraft::OverdraftLimitMinorUnits(minor_units)) => {
            let limit = Some(Money {
                minor_units,
                currency: account.currency.clone(),
            });
            (money(&limit), money_json(&limit))
        }
        None => ("none".to_owned(), Value::Null),
    };
    let excess = if account.in_excess { "yes" } else { "" };
    let frozen: Vec<_> = account.freezes.iter().map(freeze::text).collect();
    let mut lines = vec![
        ("account", account.account_id.clone()),
        ("status", state.to_owned()),
        ("home", account.home_region.clone()),
        ("posted", money(&account.posted)),
        ("held", money(&account.held)),
        ("available", money(&account.available)),
        ("reserved", some_money(&account.reserved)),
        ("incoming", some_money(&account.incoming)),
        ("outgoing", some_money(&account.outgoing)),
        ("overdraft", limit),
        ("opened on", account.opened_on.clone()),
        ("opened at", time(&account.opened_at)),
        ("opened by", account.opening_transaction_id.clone()),
        ("version", account.version.to_string()),
        ("frozen", frozen.join("; ")),
        ("in excess", excess.to_owned()),
    ];
    let spent = account.spending.iter();
    lines.extend(spent.map(|it| ("spending", spending::text(it))));
    lines.extend([
        ("as of", reply.effective_date.clone()),
        ("true at", some_time(&reply.true_at)),
        ("position", position(&reply.position)),
        ("served by", served_by(&reply.served_by)),
    ]);
    let text = fields(&lines);
    let json = json!({
        "account_id": account.account_id,
        "status": state,
        "home_region": account.home_region,
        "currency": account.currency,
        "posted": money_json(&account.posted),
        "held": money_json(&account.held),
        "available": money_json(&account.available),
        "reserved": money_json(&account.reserved),
        "incoming": money_json(&account.incoming),
        "outgoing": money_json(&account.outgoing),
        "overdraft_limit": limit_json,
        "opened_on": account.opened_on,
        "opened_at": time_json(&account.opened_at),
        "opening_transaction_id": account.opening_transaction_id,
        "version": account.version,
        "in_excess": account.in_excess,
        "freezes": account.freezes.iter().map(freeze::json).collect::<Vec<_>>(),
        "spending": account.spending.iter().map(spending::json).collect::<Vec<_>>(),
        "effective_date": reply.effective_date,
        "true_at": reply.true_at.is_some().then(|| time_json(&reply.true_at)),
        "position": position_json(&reply.position),
        "served_by": served_by_json(&reply.served_by),
    });
    Ok(Output::ok(text, json))
}

/// Nothing where there is no time.
fn some_time(given: &Option<v1::Time>) -> String {
    given.as_ref().map_or_else(String::new, |_| time(given))
}

/// What was asked, in a word or two.
pub(super) fn kind(kind: TransactionKind) -> &'static str {
    match kind {
        TransactionKind::Unspecified => "unspecified",
        TransactionKind::Open => "open",
        TransactionKind::Deposit => "deposit",
        TransactionKind::Withdrawal => "withdrawal",
        TransactionKind::Transfer => "transfer",
        TransactionKind::Close => "close",
        TransactionKind::PlaceHold => "place hold",
        TransactionKind::RaiseHold => "raise hold",
        TransactionKind::CaptureHold => "capture hold",
        TransactionKind::ReleaseHold => "release hold",
        TransactionKind::Freeze => "freeze",
        TransactionKind::Unfreeze => "unfreeze",
        TransactionKind::SetLimit => "set limit",
        TransactionKind::ClearSuspense => "clear suspense",
        TransactionKind::Reverse => "reversal",
        TransactionKind::CloseDay => "close day",
        TransactionKind::SetSpendingLimit => "set spending limit",
        TransactionKind::Journal => "journal",
        TransactionKind::Exchange => "exchange",
        TransactionKind::ClaimReference => "claim reference",
        TransactionKind::ReleaseReference => "release reference",
        TransactionKind::CreateConsumer => "create consumer",
        TransactionKind::AdvanceConsumer => "advance consumer",
        TransactionKind::ParkConsumer => "park consumer",
        TransactionKind::ResumeConsumer => "resume consumer",
        TransactionKind::MoveConsumer => "move consumer",
        TransactionKind::RemoveConsumer => "remove consumer",
        TransactionKind::RegisterCustomer => "register customer",
        TransactionKind::AttachAccount => "attach account",
        TransactionKind::DetachAccount => "detach account",
        TransactionKind::SetProfile => "set profile",
        TransactionKind::PlaceLegalHold => "place legal hold",
        TransactionKind::LiftLegalHold => "lift legal hold",
        TransactionKind::EraseCustomer => "erase customer",
    }
}

/// Where it came in, in a word.
pub(super) fn channel(channel: v1::Channel) -> &'static str {
    match channel {
        v1::Channel::Unspecified => "",
        v1::Channel::Teller => "teller",
        v1::Channel::Atm => "atm",
        v1::Channel::Batch => "batch",
        v1::Channel::System => "system",
        v1::Channel::Card => "card",
        v1::Channel::Online => "online",
    }
}

pub async fn transaction(client: &Client, given: TransactionArguments) -> Result<Output, Failure> {
    let by = match (given.transaction, given.key) {
        (Some(id), _) => By::TransactionId(id),
        (None, key) => By::Key(TransactionKey {
            account_id: given.account.unwrap_or_default(),
            idempotency_key: key.unwrap_or_default(),
        }),
    };
    let reply = client
        .transaction(GetTransactionRequest { by: Some(by) })
        .await?;
    let (kind, channel) = (kind(reply.kind()), channel(reply.channel()));
    let receipt = reply.receipt.unwrap_or_default();
    let why = receipt
        .rejection
        .as_ref()
        .map(|why| format!("{}: {}", why.code, why.message));
    let text = fields(&[
        ("transaction", receipt.transaction_id.clone()),
        ("status", status(receipt.status()).to_owned()),
        ("because", why.unwrap_or_default()),
        ("kind", kind.to_owned()),
        ("account", reply.account_id.clone()),
        ("counterparty", reply.counterparty.clone()),
        ("amount", money(&reply.amount)),
        ("reverses", reply.reverses.clone()),
        ("reversed", reversed(&reply.reversed, &reply.reversals)),
        ("effective", reply.effective_date.clone()),
        ("business date", reply.business_date.clone()),
        ("time", time(&receipt.time)),
        ("position", position(&receipt.position)),
        ("settled at", position(&reply.settled_at)),
        ("memo", reply.memo.clone()),
        ("by", reply.actor.clone()),
        ("through", channel.to_owned()),
        (
            "privileged",
            if reply.privileged { "yes" } else { "" }.to_owned(),
        ),
        (
            "closed day",
            if reply.into_closed_day { "yes" } else { "" }.to_owned(),
        ),
        ("served by", served_by(&receipt.served_by)),
    ]);
    let text = format!("{text}\n{}", path::text(&reply.path));
    let json = json!({
        "receipt": receipt_json(&receipt),
        "kind": kind,
        "account_id": reply.account_id,
        "counterparty": reply.counterparty,
        "amount": money_json(&reply.amount),
        "effective_date": reply.effective_date,
        "business_date": reply.business_date,
        "settled_at": position_json(&reply.settled_at),
        "memo": reply.memo,
        "actor": reply.actor,
        "privileged": reply.privileged,
        "into_closed_day": reply.into_closed_day,
        "channel": channel,
        "reverses": reply.reverses,
        "reversed": money_json(&reply.reversed),
        "reversals": reply.reversals.iter().map(reversal_json).collect::<Vec<_>>(),
        "path": reply.path.iter().map(path::json).collect::<Vec<_>>(),
    });
    Ok(Output::ok(text, json))
}

/// How much of a transaction was reversed, and by which others.
pub(super) fn reversed(sum: &Option<Money>, by: &[Reversal]) -> String {
    let pending = |it: &Reversal| if it.pending { " (pending)" } else { "" };
    let by = by.iter();
    let by: Vec<_> = by
        .map(|it| format!("{}{}", it.transaction_id, pending(it)))
        .collect();
    match by.is_empty() {
        true => String::new(),
        false => format!("{}, by {}", money(sum), by.join(", ")),
    }
}

pub(super) fn reversal_json(reversal: &Reversal) -> Value {
    json!({
        "transaction_id": reversal.transaction_id,
        "amount": money_json(&reversal.amount),
        "pending": reversal.pending,
    })
}

pub async fn balance(client: &Client, given: BalanceArguments) -> Result<Output, Failure> {
    let tokens = || given.freshness.session.clone();
    let at_one_time = given.together.then(|| within(&given.bound, tokens()));
    let mode = match given.together {
        true => None,
        false => balance_mode(given.freshness, given.bound, given.moment),
    };
    let request = GetBalancesRequest {
        account_ids: given.accounts.clone(),
        mode,
        at_one_time,
    };
    let reply = client.balances(request).await?;
    let outcomes = reply.outcomes;
    if outcomes.len() != given.accounts.len() {
        let message = format!("{} balances for {}", outcomes.len(), given.accounts.len());
        return Err(client::Error::Malformed(message).into());
    }
    let mut texts = Vec::new();
    let mut items = Vec::new();
    let mut exit_code = exit::OK;
    for (account, outcome) in given.accounts.iter().zip(outcomes) {
        let (text, json, is_told) = self::outcome(account, outcome)?;
        if !is_told {
            exit_code = exit::REJECTED;
        }
        texts.push(text);
        items.push(json);
    }
    Ok(Output {
        text: texts.join("\n"),
        json: Value::Array(items),
        exit_code,
    })
}

/// At one time, within a bound.
pub(super) fn within(bound: &BoundArguments, tokens: Vec<String>) -> AtOneTime {
    AtOneTime {
        max_staleness_ms: bound.max_staleness.map_or(0, millis),
        otherwise: otherwise(bound.otherwise).into(),
        tokens,
    }
}

/// What one of several accounts is told, as text and as JSON, and whether that is its balance.
pub(super) fn outcome(
    account: &str,
    outcome: BalanceOutcome,
) -> Result<(String, Value, bool), Failure> {
    match outcome.outcome {
        Some(Outcome::Balance(balance)) => {
            Ok((balance_text(&balance), balance_json(&balance), true))
        }
        Some(Outcome::Rejection(why)) => {
            let refused = format!("{}: {}", why.code, why.message);
            let text = fields(&[("account", account.to_owned()), ("refused", refused)]);
            let why = rejection_json(&Some(why));
            let json = json!({ "account_id": account, "rejection": why });
            Ok((text, json, false))
        }
        None => {
            let message = "a balance without an outcome".to_owned();
            Err(client::Error::Malformed(message).into())
        }
    }
}

pub(super) fn mode(given: FreshnessArguments) -> Option<ReadMode> {
    let mode = match (given.strong, given.session) {
        (true, _) => Mode::Strong(read_mode::Strong {}),
        (false, tokens) if tokens.is_empty() => return None,
        (false, tokens) => Mode::Session(read_mode::Session { tokens }),
    };
    Some(ReadMode { mode: Some(mode) })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn otherwise(given: Otherwise) -> read_mode::Otherwise {
    match given {
        Otherwise::Error => read_mode::Otherwise::Error,
        Otherwise::Wait => read_mode::Otherwise::Wait,
        Otherwise::Home => read_mode::Otherwise::Home,
    }
}

fn balance_mode(
    freshness: FreshnessArguments,
    bound: BoundArguments,
    moment: MomentArguments,
) -> Option<ReadMode> {
    let at = at(moment);
    let tokens = freshness.session.clone();
    let chosen = match (at, bound.max_staleness) {
        (Some(at), _) => Mode::AsOf(read_mode::AsOf {
            at: Some(at),
            tokens,
        }),
        (None, Some(max)) => Mode::Bounded(read_mode::Bounded {
            max_staleness_ms: millis(max),
            otherwise: otherwise(bound.otherwise).into(),
            tokens,
        }),
        (None, None) => return mode(freshness),
    };
    Some(ReadMode { mode: Some(chosen) })
}

/// As of what, where that is said.
fn at(moment: MomentArguments) -> Option<At> {
    match moment {
        MomentArguments {
            as_of: Some(date), ..
        } => Some(At::EffectiveDate(date)),
        MomentArguments {
            as_of_time: Some(time),
            ..
        } => Some(At::Time(time)),
        MomentArguments {
            as_of_position: Some(position),
            ..
        } => Some(At::Position(position)),
        _ => None,
    }
}

fn mode_used(mode: ModeUsed) -> &'static str {
    match mode {
        ModeUsed::Unspecified => "unspecified",
        ModeUsed::Local => "local",
        ModeUsed::Session => "session",
        ModeUsed::AsOf => "as of",
        ModeUsed::Strong => "strong",
        ModeUsed::Bounded => "bounded",
    }
}

/// Nothing where it is zero.
fn some_money(found: &Option<Money>) -> String {
    match found {
        Some(sum) if sum.minor_units != 0 => money(found),
        _ => String::new(),
    }
}

pub(super) fn balance_text(balance: &Balance) -> String {
    let age = match balance.mode() {
        ModeUsed::Strong => "the truth when it was asked".to_owned(),
        _ if balance.staleness_bound_ms == UNKNOWN_AGE_MS => {
            "of unknown age: a clock is in doubt where it was answered".to_owned()
        }
        _ => format!("at most {} ms behind the truth", balance.staleness_bound_ms),
    };
    fields(&[
        ("account", balance.account_id.clone()),
        ("posted", money(&balance.posted)),
        ("held", money(&balance.held)),
        ("available", money(&balance.available)),
        ("reserved", some_money(&balance.reserved)),
        ("incoming", some_money(&balance.incoming)),
        ("outgoing", some_money(&balance.outgoing)),
        ("as of", balance.effective_date.clone()),
        ("true at", time(&balance.true_at)),
        ("which is", age),
        ("position", position(&balance.position)),
        ("mode", mode_used(balance.mode()).to_owned()),
        ("served by", served_by(&balance.served_by)),
    ])
}

/// The staleness bound, where it is known.
pub(super) fn known_age(staleness_bound_ms: u64) -> Option<u64> {
    (staleness_bound_ms != UNKNOWN_AGE_MS).then_some(staleness_bound_ms)
}

pub(super) fn balance_json(balance: &Balance) -> Value {
    json!({
        "account_id": balance.account_id,
        "posted": money_json(&balance.posted),
        "held": money_json(&balance.held),
        "available": money_json(&balance.available),
        "reserved": money_json(&balance.reserved),
        "incoming": money_json(&balance.incoming),
        "outgoing": money_json(&balance.outgoing),
        "currency": balance.currency,
        "effective_date": balance.effective_date,
        "position": position_json(&balance.position),
        "true_at": time_json(&balance.true_at),
        "staleness_bound_ms": known_age(balance.staleness_bound_ms),
        "mode": mode_used(balance.mode()).replace(' ', "_"),
        "served_by": served_by_json(&balance.served_by),
        "token": balance.token,
    })
}
