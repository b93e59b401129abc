//! From what a caller sent to a command that can be decided: checks that need no state.

use ledger_domain::{
    AccountId, Action, Amount, Command, Conditions, Currency, Date, Field, HoldAction, HouseCode,
    Limit, RegionName, ShardId,
    command::{Channel, CommandInfo},
    customer::CustomerAction,
    sealed::DomainPublicKey,
};
use replication::topology::{Directory, key_bytes};
use tonic::Status;

mod closing;
mod holds;
mod journals;
mod page;
mod payee;
mod reversals;
mod suspense;

pub(super) use closing::close;
pub(super) use holds::{capture_hold, place_hold, raise_hold, release_hold};
pub(super) use journals::journal;
pub(super) use page::{page, token};
pub(super) use reversals::reverse;
pub(super) use suspense::clear_suspense;

use super::{Server, customers, opening::Beforehand, references, refusal};
use crate::api::{longest, teller::v1 as pb, v1};

/// A command as it came, checked as far as no state is needed.
pub(super) struct Prepared {
    pub(super) action: Action,
    conditions: Conditions,
    pub(super) context: v1::CommandContext,
    /// Whether the answer waits until the money has arrived, or is back.
    pub(super) waits: bool,
    /// What comes before the account is opened.
    pub(super) before: Beforehand,
    fields: Vec<(Field, Vec<u8>)>,
}

fn bounded(name: &str, text: &str, max: usize) -> Result<(), Status> {
    if text.len() <= max {
        return Ok(());
    }
    Err(refusal::invalid(format!(
        "{name} has {} bytes; at most {max} are taken",
        text.len()
    )))
}

pub(super) fn account(text: &str) -> Result<AccountId, Status> {
    text.parse().map_err(refusal::invalid)
}

fn money(money: Option<&v1::Money>) -> Result<(Amount, Currency), Status> {
    let money = money.ok_or_else(|| refusal::invalid("an amount is missing"))?;
    let currency = money.currency.parse().map_err(refusal::invalid)?;
    Ok((
        Amount::new(money.minor_units).map_err(refusal::invalid)?,
        currency,
    ))
}

fn house(code: &str) -> Result<HouseCode, Status> {
    let code = if code.is_empty() { "cash" } else { code };
    let code: HouseCode = code.parse().map_err(refusal::invalid)?;
    if code.is_for_callers() {
        return Ok(code);
    }
    Err(refusal::invalid(format!(
        "house account {code} is kept by the ledger itself"
    )))
}

pub(super) fn date(text: &str) -> Result<Option<Date>, Status> {
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(refusal::invalid)
    }
}

/// Fills in what a caller may leave out, so that a forwarded or repeated command has it too.
///
/// # Errors
///
/// A key with control characters: those that the ledger makes of a group's key have one.
pub(super) fn complete(server: &Server, context: &mut v1::CommandContext) -> Result<(), Status> {
    if context.idempotency_key.contains(char::is_control) {
        let what = "an idempotency_key has no control characters";
        return Err(refusal::invalid(what));
    }
    if context.idempotency_key.is_empty() {
        let (a, b) = (
            server.world.entropy.next_u64(),
            server.world.entropy.next_u64(),
        );
        context.idempotency_key = format!("made-{a:016x}{b:016x}");
    }
    if context.first_attempt_unix_ms == 0 {
        let now = server.world.clock.wall_nanos() / 1_000_000;
        context.first_attempt_unix_ms = i64::try_from(now).unwrap_or(i64::MAX);
    }
    Ok(())
}

/// Refuses what a command has no use for that is about no account: conditions, a date, a memo.
pub(super) fn is_plain(context: &v1::CommandContext, what: &str) -> Result<(), Status> {
    if context.conditions.is_some() || context.into_closed_day {
        return Err(refusal::invalid(format!("{what} depends on no conditions")));
    }
    let is_bare = context.effective_date.is_empty()
        && context.memo.is_empty()
        && context.external_reference.is_empty();
    match is_bare {
        true => Ok(()),
        false => Err(refusal::invalid(format!(
            "{what} has no effective_date, memo or external_reference"
        ))),
    }
}

pub(super) fn open(
    directory: &dyn Directory,
    r: &pb::OpenAccountRequest,
) -> Result<Prepared, Status> {
    use pb::open_account_request::{Identity, Overdraft};
    let context = r.context.clone().unwrap_or_default();
    if let Some(Identity::Name(name)) = &r.identity {
        bounded("scope", &name.scope, longest::TEXT)?;
        bounded("name", &name.name, longest::TEXT)?;
    }
    let region = || {
        r.home_region
            .parse::<RegionName>()
            .map_err(refusal::invalid)
    };
    let account = match &r.identity {
        Some(Identity::AccountId(id)) => account(id)?,
        Some(Identity::Name(name)) => AccountId::derive(region()?, &name.scope, &name.name),
        None if !r.beside_account_id.is_empty() => {
            beside(directory, &r.beside_account_id, &context.idempotency_key)?
        }
        None => AccountId::derive(region()?, "key", &context.idempotency_key),
    };
    if !r.home_region.is_empty() && region()? != account.region() {
        return Err(refusal::invalid(format!(
            "the id says {}, but home_region says {}",
            account.region(),
            r.home_region
        )));
    }
    // Only an id that a caller gives can be one of those.
    if let Some(Identity::AccountId(_)) = &r.identity {
        let shards = directory.topology().shards.iter();
        let mut near = shards.filter(|shard| shard.region == account.region());
        if near.any(|it| AccountId::of_books(it.region, ShardId(it.id)) == account) {
            return Err(refusal::invalid("this id is the name of a shard's books"));
        }
    }
    let limit = valid(match r.overdraft {
        Some(Overdraft::Unlimited(_)) => Limit::Unlimited,
        Some(Overdraft::OverdraftLimitMinorUnits(units)) => Limit::Overdraft(units),
        None => Limit::Overdraft(0),
    })?;
    let currency: Currency = r.currency.parse().map_err(refusal::invalid)?;
    let opened_on = date(&context.effective_date)?;
    let mut fields = vec![
        (Field::Currency, currency.code().as_bytes().to_vec()),
        (Field::Limit, limit_bytes(limit)),
    ];
    let references = references::of_opening(&r.references)?;
    let customer = match r.customer_id.as_str() {
        "" => None,
        id => Some(customers::customer(id)?),
    };
    fields.extend(customer.map(|it| (Field::Customer, it.to_string().into_bytes())));
    if !references.is_empty() {
        fields.push((Field::AccountReferences, references::bytes(&references)));
    }
    let action = Action::Open {
        account,
        currency,
        limit,
        opened_on,
    };
    Ok(Prepared {
        before: Beforehand {
            customer,
            references,
        },
        ..prepare(action, context, fields)?
    })
}

/// A new id in the shard of another account, always the same one for a key.
fn beside(directory: &dyn Directory, other: &str, key: &str) -> Result<AccountId, Status> {
    const TRIES: u32 = 100_000;
    let other = account(other)?;
    let unknown = || refusal::unknown_region(other.region().as_str());
    let home = directory.home(&other).ok_or_else(unknown)?;
    let mut ids =
        (0..TRIES).map(|n| AccountId::derive(other.region(), "beside", &format!("{n} {key}")));
    ids.find(|id| directory.home(id) == Some(home))
        .ok_or_else(unknown)
}

fn valid(limit: Limit) -> Result<Limit, Status> {
    match ledger_domain::decide::valid_limit(limit) {
        true => Ok(limit),
        false => Err(refusal::invalid("an overdraft limit cannot be negative")),
    }
}

fn limit_bytes(limit: Limit) -> Vec<u8> {
    match limit {
        Limit::Unlimited => b"unlimited".to_vec(),
        Limit::Overdraft(units) => units.to_be_bytes().to_vec(),
    }
}

pub(super) fn set_limit(r: &pb::SetLimitRequest) -> Result<Prepared, Status> {
    use pb::set_limit_request::Overdraft;
    let limit = valid(match r.overdraft {
        Some(Overdraft::Unlimited(_)) => Limit::Unlimited,
        Some(Overdraft::OverdraftLimitMinorUnits(units)) => Limit::Overdraft(units),
        None => Limit::Overdraft(0),
    })?;
    let account = account(&r.account_id)?;
    let fields = vec![(Field::Limit, limit_bytes(limit))];
    let context = r.context.clone().unwrap_or_default();
    prepare(Action::SetLimit { account, limit }, context, fields)
}

fn cash_fields(amount: Amount, currency: Currency, house: &HouseCode) -> Vec<(Field, Vec<u8>)> {
    vec![
        (Field::Amount, amount.minor_units().to_be_bytes().to_vec()),
        (Field::Currency, currency.code().as_bytes().to_vec()),
        (Field::House, house.to_string().into_bytes()),
    ]
}

pub(super) fn deposit(r: &pb::DepositRequest) -> Result<Prepared, Status> {
    let (account, house) = (account(&r.account_id)?, house(&r.house_account)?);
    let (amount, currency) = money(r.amount.as_ref())?;
    let fields = cash_fields(amount, currency, &house);
    let action = Action::Deposit {
        account,
        house,
        currency,
        amount,
    };
    prepare(action, r.context.clone().unwrap_or_default(), fields)
}

pub(super) fn withdraw(r: &pb::WithdrawRequest) -> Result<Prepared, Status> {
    let (account, house) = (account(&r.account_id)?, house(&r.house_account)?);
    let (amount, currency) = money(r.amount.as_ref())?;
    let fields = cash_fields(amount, currency, &house);
    let action = Action::Withdraw {
        account,
        house,
        currency,
        amount,
    };
    prepare(action, r.context.clone().unwrap_or_default(), fields)
}

pub(super) fn transfer(
    directory: &dyn Directory,
    r: &pb::TransferRequest,
) -> Result<Prepared, Status> {
    let (from, to) = (account(&r.from_account_id)?, account(&r.to_account_id)?);
    if from == to {
        return Err(refusal::same_account());
    }
    let (amount, currency) = money(r.amount.as_ref())?;
    let to_shard = directory
        .home(&to)
        .ok_or_else(|| refusal::unknown_region(to.region().as_str()))?;
    let fields = vec![
        (Field::Counterparty, to.to_string().into_bytes()),
        (Field::Amount, amount.minor_units().to_be_bytes().to_vec()),
        (Field::Currency, currency.code().as_bytes().to_vec()),
    ];
    let action = Action::Transfer {
        from,
        to,
        to_shard,
        currency,
        amount,
        payee_memo: None,
    };
    let prepared = prepare(action, r.context.clone().unwrap_or_default(), fields)?;
    Ok(Prepared {
        waits: r.wait() != pb::Wait::Accepted,
        ..prepared
    })
}

pub(super) fn prepare(
    action: Action,
    context: v1::CommandContext,
    mut fields: Vec<(Field, Vec<u8>)>,
) -> Result<Prepared, Status> {
    bounded("idempotency_key", &context.idempotency_key, longest::KEY)?;
    bounded("reference", &context.reference, longest::TEXT)?;
    bounded("correlation_id", &context.correlation_id, longest::TEXT)?;
    bounded("reason", &context.reason, longest::REASON)?;
    bounded("memo", &context.memo, longest::MEMO)?;
    bounded(
        "external_reference",
        &context.external_reference,
        longest::TEXT,
    )?;
    date(&context.effective_date)?;
    if context.forced {
        if !may_be_forced(&action) {
            return Err(refusal::invalid(
                "only withdrawals, transfers, reversals, and captures that say how much are forced",
            ));
        }
        fields.push((Field::Forced, vec![1]));
    }
    if let by @ (Channel::Card | Channel::Online) = channel(context.channel)? {
        fields.push((Field::Channel, vec![by as u8]));
    }
    if context.into_closed_day {
        fields.push((Field::IntoClosedDay, vec![1]));
    }
    fields.push((Field::Kind, action.kind().name().into()));
    fields.push((Field::Account, action.account().to_string().into()));
    for (field, text) in [
        (Field::EffectiveDate, &context.effective_date),
        (Field::Reference, &context.reference),
        (Field::Memo, &context.memo),
        (Field::ExternalReference, &context.external_reference),
        (Field::Reason, &context.reason),
    ] {
        if !text.is_empty() {
            fields.push((field, text.clone().into_bytes()));
        }
    }
    let conditions = conditions(&context);
    for (field, bound) in [
        (
            Field::ExpectedVersion,
            conditions.version.map(u64::to_be_bytes),
        ),
        (
            Field::MinimumBalance,
            conditions.minimum.map(i64::to_be_bytes),
        ),
        (
            Field::MaximumBalance,
            conditions.maximum.map(i64::to_be_bytes),
        ),
    ] {
        fields.extend(bound.map(|bytes| (field, bytes.to_vec())));
    }
    fields.sort_unstable_by_key(|(field, _)| *field);
    Ok(Prepared {
        action,
        conditions,
        context,
        waits: false,
        before: Beforehand::default(),
        fields,
    })
}

/// What can be done whatever the balance. A late presentment is a forced capture of a hold that has
/// ended; how much that is, only its caller knows.
fn may_be_forced(action: &Action) -> bool {
    let is_capture = matches!(
        action,
        Action::Hold {
            action: HoldAction::Capture { money: Some(_), .. },
            ..
        }
    );
    let pays = matches!(
        action,
        Action::Withdraw { .. } | Action::Transfer { .. } | Action::Reverse { .. }
    );
    is_capture || pays
}

impl Prepared {
    /// Says something more of the body, to be told from another by.
    pub(super) fn say(&mut self, field: Field, value: Vec<u8>) {
        self.fields.push((field, value));
        self.fields.sort_unstable_by_key(|(field, _)| *field);
    }

    /// Whether the caller must be on the list: for a debit whatever the balance, for a limit, for
    /// what is in suspense, for the close of a day, and for whether a customer is erased.
    pub(super) fn is_privileged(&self) -> bool {
        let takes_one = matches!(
            self.action,
            Action::SetLimit { .. }
                | Action::SetSpendingLimit { .. }
                | Action::ClearSuspense { .. }
                | Action::CloseDay { .. }
                | Action::Customer {
                    action: CustomerAction::PlaceLegalHold
                        | CustomerAction::LiftLegalHold
                        | CustomerAction::Erase { .. },
                    ..
                }
        );
        self.context.forced || takes_one
    }

    /// Digests and seals, with the secrets of the home region.
    pub(super) fn command(mut self, server: &Server, caller: &str) -> Result<Command, Status> {
        let digest = server.secrets.digest_key();
        let account = self.action.account();
        let context = &self.context;
        let fields: Vec<_> = self.fields.iter().map(|(f, v)| (*f, &v[..])).collect();
        let info = CommandInfo {
            key: digest.key(caller, &account, &context.idempotency_key),
            fingerprint: digest.fingerprint(&fields),
            first_attempt_ms: u64::try_from(context.first_attempt_unix_ms).unwrap_or(0),
            actor: caller.to_owned(),
            authenticated: false,
            channel: channel(context.channel)?,
            reference: (!context.reference.is_empty())
                .then(|| digest.reference(&context.reference)),
            correlation_id: context.correlation_id.clone(),
            reason: context.reason.clone(),
            privileged: self.is_privileged(),
            into_closed_day: context.into_closed_day,
            effective_date: date(&context.effective_date)?,
            memo: seal(server, account, &context.memo)?,
            external_reference: seal(server, account, &context.external_reference)?,
            group: None,
        };
        if let Action::Transfer { to, payee_memo, .. } = &mut self.action {
            *payee_memo = seal(server, *to, &self.context.memo)?;
        }
        if let Some((to, memo)) = payee::paid(&mut self.action) {
            *memo = seal(server, *to, &self.context.memo)?;
        }
        Ok(Command {
            info,
            action: self.action,
            conditions: self.conditions,
            forced: self.context.forced,
        })
    }
}

/// How a command came in, as its caller says. Nobody's commands are the ledger's own.
fn channel(number: i32) -> Result<Channel, Status> {
    let known = v1::Channel::try_from(number).ok();
    Ok(match known {
        Some(v1::Channel::Unspecified | v1::Channel::Teller) => Channel::Teller,
        Some(v1::Channel::Atm) => Channel::Atm,
        Some(v1::Channel::Batch) => Channel::Batch,
        Some(v1::Channel::Card) => Channel::Card,
        Some(v1::Channel::Online) => Channel::Online,
        Some(v1::Channel::System) | None => {
            let what = format!("no command comes in by channel {number}");
            return Err(refusal::invalid(what));
        }
    })
}

fn conditions(context: &v1::CommandContext) -> Conditions {
    let given = context.conditions.unwrap_or_default();
    Conditions {
        version: given.expected_version,
        minimum: given.minimum_balance_minor_units,
        maximum: given.maximum_balance_minor_units,
    }
}

fn seal(
    server: &Server,
    account: AccountId,
    text: &str,
) -> Result<Option<ledger_domain::Sealed>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let topology = server.directory.topology();
    let unknown = || refusal::unknown_region(account.region().as_str());
    let region = topology.region(&account.region()).ok_or_else(unknown)?;
    let key = key_bytes(&region.domain_key).ok_or_else(unknown)?;
    let public = DomainPublicKey {
        domain: region.domain.clone(),
        key,
    };
    let mut random = [0; 32];
    server.world.entropy.fill(&mut random);
    public
        .seal(text, random)
        .map(Some)
        .map_err(refusal::invalid)
}
