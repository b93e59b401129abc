//! From the fields of a line to a command: all that can be checked without the ledger is checked.

use std::str::FromStr;

use clap::ValueEnum;
use ledger_domain::{
    AccountId, Amount, Currency, Date, HouseCode, RegionName, TransactionId, hold::LONGEST_LIFE,
};

use super::super::args::{
    AmountArguments, Channel, ConditionArguments, ContextArguments, FreezeArriving, FreezeBlocks,
    FreezeType,
};
use super::super::{
    amount, freeze, journal, moment,
    write::{context, the_channel},
};
use super::lines::Fields;
use crate::api::{
    longest,
    teller::v1::{
        AccountName, BatchCommand, CaptureHoldRequest, ClearSuspenseRequest, CloseAccountRequest,
        DepositRequest, FreezeAccountRequest, JournalLeg, OpenAccountRequest, PlaceHoldRequest,
        RaiseHoldRequest, ReleaseHoldRequest, ReverseRequest, SetLimitRequest,
        SetSpendingLimitRequest, SubmitJournalRequest, TransferRequest, UnfreezeAccountRequest,
        Unlimited, Wait, WithdrawRequest, batch_command::Command, capture_hold_request::Payee,
        clear_suspense_request::To, close_account_request::Sweep, open_account_request,
        set_limit_request,
    },
    v1::{CommandContext, Money},
};

/// A command of a file.
pub struct Item {
    /// What it is called in the file.
    pub kind: String,
    /// The account that it names first; empty where its id is yet to be made.
    pub account: String,
    pub command: BatchCommand,
}

impl Item {
    /// Its own key; empty where the line gives none.
    pub fn key(&mut self) -> String {
        let context = self.command.context_mut();
        context.map_or_else(String::new, |it| it.idempotency_key.clone())
    }
}

/// All there are.
const KINDS: [&str; 17] = [
    "open",
    "close",
    "deposit",
    "withdraw",
    "transfer",
    "freeze",
    "unfreeze",
    "limit",
    "spending-limit",
    "hold-place",
    "hold-raise",
    "hold-capture",
    "hold-release",
    "clear",
    "reverse",
    "journal",
    "exchange",
];

/// Makes a command of a line. A key that the line does not give is left empty.
pub fn read(fields: Fields) -> Result<Item, String> {
    let mut given = Given(fields);
    let kind = given.needed("kind")?;
    let mut account = given.text("account");
    let currency: Option<Currency> = given.parsed("currency")?;
    let command = match kind.as_str() {
        "open" => given.open(&account, currency)?,
        "close" => Command::CloseAccount(CloseAccountRequest {
            context: given.context(currency)?,
            account_id: id(&account)?,
            sweep: given.payee()?.map(|payee| match payee {
                Payee::ToAccountId(to) => Sweep::ToAccountId(to),
                Payee::HouseAccount(code) => Sweep::ToHouseAccount(code),
            }),
            wait: given.wait()?.into(),
        }),
        "clear" => Command::ClearSuspense(ClearSuspenseRequest {
            context: given.context(currency)?,
            account_id: id(&account)?,
            transaction_id: given.needed_as::<TransactionId>("transaction")?.to_string(),
            to: Some(match given.payee()? {
                Some(Payee::ToAccountId(to)) => To::ToAccountId(to),
                Some(Payee::HouseAccount(code)) => To::ToHouseAccount(code),
                None => return Err("to or house is missing".to_owned()),
            }),
            wait: given.wait()?.into(),
        }),
        "reverse" => Command::Reverse(ReverseRequest {
            account_id: id(&account)?,
            transaction_id: given.needed_as::<TransactionId>("transaction")?.to_string(),
            amount: given.amount(currency)?,
            wait: given.wait()?.into(),
            context: given.context(currency)?,
        }),
        "deposit" => {
            let (amount, context) = given.amount_and_context(currency)?;
            Command::Deposit(DepositRequest {
                context,
                amount,
                account_id: id(&account)?,
                house_account: given.house()?,
            })
        }
        "withdraw" => {
            let (amount, context) = given.amount_and_context(currency)?;
            Command::Withdraw(WithdrawRequest {
                context,
                amount,
                account_id: id(&account)?,
                house_account: given.house()?,
            })
        }
        "transfer" => {
            let (amount, context) = given.amount_and_context(currency)?;
            let (from, to) = (
                id(&account)?,
                given.needed_as::<AccountId>("to")?.to_string(),
            );
            if from == to {
                return Err("payer and payee are the same account".to_owned());
            }
            Command::Transfer(TransferRequest {
                context,
                amount,
                from_account_id: from,
                to_account_id: to,
                wait: given.wait()?.into(),
            })
        }
        "freeze" => Command::FreezeAccount(FreezeAccountRequest {
            context: given.context(currency)?,
            account_id: id(&account)?,
            r#type: freeze::kind(given.word::<FreezeType>("type")?.ok_or("type is missing")?)
                .into(),
            blocks: freeze::blocks(given.word("blocks")?.unwrap_or(FreezeBlocks::All)).into(),
            arriving: freeze::arriving(given.word("arriving")?.unwrap_or(FreezeArriving::Returns))
                .into(),
            until_unix_ms: match given.optional("until") {
                Some(until) => said("until", moment::time(&until))?.unix_nanos / 1_000_000,
                None => 0,
            },
        }),
        "unfreeze" => Command::UnfreezeAccount(UnfreezeAccountRequest {
            context: given.context(currency)?,
            account_id: id(&account)?,
            r#type: freeze::kind(given.word::<FreezeType>("type")?.ok_or("type is missing")?)
                .into(),
        }),
        "limit" => {
            use set_limit_request::Overdraft;
            let overdraft = match given.limit(currency)? {
                Some(Limit::Unlimited) => Overdraft::Unlimited(Unlimited {}),
                Some(Limit::Units(units)) => Overdraft::OverdraftLimitMinorUnits(units),
                None => return Err("overdraft_limit or unlimited is missing".to_owned()),
            };
            Command::SetLimit(SetLimitRequest {
                context: given.context(currency)?,
                account_id: id(&account)?,
                overdraft: Some(overdraft),
            })
        }
        "spending-limit" => given.spending_limit(&account, currency)?,
        "hold-place" => {
            let (amount, context) = given.amount_and_context(currency)?;
            Command::PlaceHold(PlaceHoldRequest {
                context,
                amount,
                account_id: id(&account)?,
                expires_after_ms: given.life()?,
            })
        }
        "hold-raise" => {
            let (amount, context) = given.amount_and_context(currency)?;
            Command::RaiseHold(RaiseHoldRequest {
                context,
                amount,
                account_id: id(&account)?,
                hold_id: given.hold()?,
            })
        }
        "hold-capture" => given.capture(&account, currency)?,
        "hold-release" => Command::ReleaseHold(ReleaseHoldRequest {
            context: given.context(currency)?,
            account_id: id(&account)?,
            hold_id: given.hold()?,
        }),
        "journal" | "exchange" => {
            let legs = given.legs(&kind, &account)?;
            journal::first_account(&legs).0.clone_into(&mut account);
            given.journal(legs, currency)?
        }
        other => {
            let kinds = KINDS.join(", ");
            return Err(format!("kind: `{other}` is none of {kinds}"));
        }
    };
    given.nothing_left(&kind)?;
    Ok(Item {
        kind,
        account,
        command: command.into(),
    })
}

/// What was given and not yet taken.
struct Given(Fields);

enum Limit {
    Unlimited,
    Units(i64),
}

impl Given {
    fn optional(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn text(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_default()
    }

    fn bounded(&mut self, name: &str, longest: usize) -> Result<String, String> {
        let text = self.text(name);
        match text.len() <= longest {
            true => Ok(text),
            false => Err(format!(
                "{name} has {} bytes; at most {longest} are taken",
                text.len()
            )),
        }
    }

    fn needed(&mut self, name: &str) -> Result<String, String> {
        self.optional(name)
            .ok_or_else(|| format!("{name} is missing"))
    }

    fn parsed<T: FromStr<Err: ToString>>(&mut self, name: &str) -> Result<Option<T>, String> {
        let text = self.optional(name);
        text.map(|text| said(name, text.parse())).transpose()
    }

    fn needed_as<T: FromStr<Err: ToString>>(&mut self, name: &str) -> Result<T, String> {
        self.parsed(name)?
            .ok_or_else(|| format!("{name} is missing"))
    }

    fn truth(&mut self, name: &str) -> Result<bool, String> {
        match self.text(name).as_str() {
            "" | "false" => Ok(false),
            "true" => Ok(true),
            other => Err(format!("{name}: `{other}` is not true or false")),
        }
    }

    fn word<T: ValueEnum>(&mut self, name: &str) -> Result<Option<T>, String> {
        let text = self.optional(name);
        text.map(|text| said(name, T::from_str(&text, false)))
            .transpose()
    }

    fn house(&mut self) -> Result<String, String> {
        let code: Option<HouseCode> = self.parsed("house")?;
        if let Some(reserved) = code.as_ref().filter(|code| !code.is_for_callers()) {
            return Err(format!("house: {reserved} is kept by the ledger itself"));
        }
        Ok(code.map(|code| code.to_string()).unwrap_or_default())
    }

    fn hold(&mut self) -> Result<String, String> {
        Ok(self.needed_as::<TransactionId>("hold")?.to_string())
    }

    fn wait(&mut self) -> Result<Wait, String> {
        match self.text("wait").as_str() {
            "" | "settled" => Ok(Wait::Settled),
            "accepted" => Ok(Wait::Accepted),
            other => Err(format!("wait: `{other}` is not settled or accepted")),
        }
    }

    fn life(&mut self) -> Result<u64, String> {
        let Some(text) = self.optional("expires_after") else {
            return Ok(0);
        };
        let life = said("expires_after", moment::duration(&text))?;
        if life.is_zero() || life > LONGEST_LIFE {
            let days = LONGEST_LIFE.as_secs() / 86_400;
            return Err(format!("expires_after: a hold lasts {days} days at most"));
        }
        Ok(u64::try_from(life.as_millis()).unwrap_or(u64::MAX))
    }

    fn limit(&mut self, currency: Option<Currency>) -> Result<Option<Limit>, String> {
        let number = self.most("overdraft_limit", currency)?;
        match (number, self.truth("unlimited")?) {
            (Some(_), true) => Err("overdraft_limit and unlimited exclude each other".to_owned()),
            (None, true) => Ok(Some(Limit::Unlimited)),
            (number, false) => Ok(number.map(Limit::Units)),
        }
    }

    fn spending_limit(
        &mut self,
        account: &str,
        currency: Option<Currency>,
    ) -> Result<Command, String> {
        let by = self.word::<Channel>("by")?.ok_or("by is missing")?;
        let per_transaction_minor_units = self.most("per_transaction", currency)?;
        let per_day_minor_units = self.most("per_day", currency)?;
        let limited = per_transaction_minor_units.is_some() || per_day_minor_units.is_some();
        match (limited, self.truth("none")?) {
            (true, true) => {
                return Err("none excludes per_transaction and per_day".to_owned());
            }
            (false, false) => {
                return Err("per_transaction, per_day or none is missing".to_owned());
            }
            _ => {}
        }
        Ok(Command::SetSpendingLimit(SetSpendingLimitRequest {
            context: self.context(currency)?,
            account_id: id(account)?,
            channel: the_channel(by).into(),
            per_transaction_minor_units,
            per_day_minor_units,
        }))
    }

    /// The legs of a journal, `PARTY SIDE AMOUNT CURRENCY` and `;` between them; or of an exchange.
    fn legs(&mut self, kind: &str, account: &str) -> Result<Vec<JournalLeg>, String> {
        if kind == "exchange" {
            let to = self.needed_as::<AccountId>("to")?.to_string();
            let mut given = |name: &str| {
                let text = self.needed(name)?;
                let given = AmountArguments {
                    positional: vec![text],
                    amount: None,
                    currency: None,
                };
                said(name, amount::read(&given))
            };
            let (give, get) = (given("give")?, given("get")?);
            return Ok(journal::exchanged(id(account)?, &give, to, &get));
        }
        let legs = self.needed("legs")?;
        let legs = legs.split(';').map(|leg| {
            let words: Vec<_> = leg.split_whitespace().collect();
            let [party, side, number, currency] = words[..] else {
                return Err(format!("`{leg}` is not PARTY SIDE AMOUNT CURRENCY"));
            };
            journal::leg_of(party, side, number, currency)
        });
        let legs = said("legs", legs.collect::<Result<Vec<_>, _>>())?;
        match journal::first_account(&legs).0 {
            "" => Err("legs: none of them names an account".to_owned()),
            first if account.is_empty() || account == first => Ok(legs),
            first => Err(format!("account: the first that a leg names is {first}")),
        }
    }

    fn journal(
        &mut self,
        legs: Vec<JournalLeg>,
        currency: Option<Currency>,
    ) -> Result<Command, String> {
        Ok(Command::SubmitJournal(SubmitJournalRequest {
            legs,
            rate: self.text("rate"),
            context: self.context(currency)?,
            wait: self.wait()?.into(),
        }))
    }

    /// A limit in minor units, where it is given.
    fn most(&mut self, name: &str, currency: Option<Currency>) -> Result<Option<i64>, String> {
        let Some(number) = self.optional(name) else {
            return Ok(None);
        };
        let currency = currency.ok_or("currency is missing")?;
        let money = said(name, amount::in_currency(&number, currency.code()))?;
        match money.minor_units {
            units @ 0.. => Ok(Some(units)),
            _ => Err(format!("{name}: it is not negative")),
        }
    }

    fn amount(&mut self, currency: Option<Currency>) -> Result<Option<Money>, String> {
        let Some(number) = self.optional("amount") else {
            return Ok(None);
        };
        let given = AmountArguments {
            positional: vec![number],
            amount: None,
            currency: currency.map(|it| it.to_string()),
        };
        let money = said("amount", amount::read(&given))?;
        said("amount", Amount::new(money.minor_units))?;
        Ok(Some(money))
    }

    fn amount_and_context(
        &mut self,
        currency: Option<Currency>,
    ) -> Result<(Option<Money>, Option<CommandContext>), String> {
        let amount = self.amount(currency)?.ok_or("amount is missing")?;
        let currency = said("currency", amount.currency.parse())?;
        Ok((Some(amount), self.context(Some(currency))?))
    }

    fn context(&mut self, currency: Option<Currency>) -> Result<Option<CommandContext>, String> {
        let effective_date: Option<Date> = self.parsed("effective_date")?;
        let (min_balance, max_balance) =
            (self.optional("min_balance"), self.optional("max_balance"));
        if currency.is_none() && (min_balance.is_some() || max_balance.is_some()) {
            return Err("currency is missing: min_balance and max_balance are in it".to_owned());
        }
        let given = ContextArguments {
            key: Some(self.bounded("key", longest::KEY)?),
            first_attempt: None,
            reference: self.bounded("reference", longest::TEXT)?,
            correlation_id: self.bounded("correlation_id", longest::TEXT)?,
            reason: self.bounded("reason", longest::REASON)?,
            effective_date: effective_date
                .map(|date| date.to_string())
                .unwrap_or_default(),
            memo: self.bounded("memo", longest::MEMO)?,
            external_reference: self.bounded("external_reference", longest::TEXT)?,
            channel: Channel::Batch,
            conditions: ConditionArguments {
                if_version: self.parsed("if_version")?,
                min_balance,
                max_balance,
            },
            dry_run: false,
            forced: self.truth("forced")?,
            into_closed_day: self.truth("into_closed_day")?,
        };
        let currency = currency.map(|it| it.to_string()).unwrap_or_default();
        context(given, &currency)
            .map(Some)
            .map_err(|wrong| wrong.to_string())
    }

    fn open(&mut self, account: &str, currency: Option<Currency>) -> Result<Command, String> {
        use open_account_request::{Identity, Overdraft};
        let currency = currency.ok_or("currency is missing")?;
        let region: Option<RegionName> = self.parsed("region")?;
        let (scope, name) = (
            self.bounded("scope", longest::TEXT)?,
            self.bounded("name", longest::TEXT)?,
        );
        let identity = match (account, scope.as_str(), name.as_str()) {
            ("", "", "") => None,
            (account, "", "") => Some(Identity::AccountId(id(account)?)),
            ("", _, "") | ("", "", _) => return Err("scope and name go together".to_owned()),
            ("", _, _) => Some(Identity::Name(AccountName { scope, name })),
            _ => return Err("account excludes scope and name".to_owned()),
        };
        let beside = self.bounded("beside", longest::TEXT)?;
        let home_region = region.as_ref().map(ToString::to_string).unwrap_or_default();
        match (beside.as_str(), region, &identity) {
            ("", None, _) if account.is_empty() => return Err("region is missing".to_owned()),
            ("", ..) => {}
            (beside, None, None) => drop(id(beside)?),
            _ => return Err("beside excludes region, account, scope and name".to_owned()),
        }
        Ok(Command::OpenAccount(OpenAccountRequest {
            overdraft: self.limit(Some(currency))?.map(|limit| match limit {
                Limit::Unlimited => Overdraft::Unlimited(Unlimited {}),
                Limit::Units(units) => Overdraft::OverdraftLimitMinorUnits(units),
            }),
            context: self.context(Some(currency))?,
            identity,
            home_region,
            currency: currency.to_string(),
            beside_account_id: beside,
        }))
    }

    fn capture(&mut self, account: &str, currency: Option<Currency>) -> Result<Command, String> {
        let amount = self.amount(currency)?;
        let of_amount = amount
            .as_ref()
            .map(|money| said("currency", money.currency.parse()));
        let payee = self.payee()?;
        Ok(Command::CaptureHold(CaptureHoldRequest {
            context: self.context(of_amount.transpose()?.or(currency))?,
            account_id: id(account)?,
            hold_id: self.hold()?,
            amount,
            payee,
            r#final: self.truth("final")?,
            wait: self.wait()?.into(),
        }))
    }

    fn payee(&mut self) -> Result<Option<Payee>, String> {
        let to: Option<AccountId> = self.parsed("to")?;
        let house = self.house()?;
        Ok(match (to, house.is_empty()) {
            (Some(_), false) => return Err("to and house exclude each other".to_owned()),
            (Some(to), true) => Some(Payee::ToAccountId(to.to_string())),
            (None, false) => Some(Payee::HouseAccount(house)),
            (None, true) => None,
        })
    }

    fn nothing_left(&self, kind: &str) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("`{name}` is no field of `{kind}`")),
            None => Ok(()),
        }
    }
}

fn id(account: &str) -> Result<String, String> {
    if account.is_empty() {
        return Err("account is missing".to_owned());
    }
    Ok(said("account", account.parse::<AccountId>())?.to_string())
}

fn said<T, E: ToString>(name: &str, read: Result<T, E>) -> Result<T, String> {
    read.map_err(|wrong| format!("{name}: {}", wrong.to_string()))
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
