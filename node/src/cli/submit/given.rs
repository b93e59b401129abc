//! The fields of a line, each taken once and read as what it has to be.

use std::str::FromStr;

use clap::ValueEnum;
use ledger_domain::{
    AccountId, Amount, Currency, CustomerId, Date, HouseCode, Reference, TransactionId,
    hold::LONGEST_LIFE,
};

use super::super::args::{AmountArguments, Channel, ConditionArguments, ContextArguments};
use super::super::{amount, moment, reference::reference, write::context};
use super::lines::Fields;
use crate::api::{
    longest,
    teller::v1::{Wait, capture_hold_request::Payee},
    v1::{AccountReference, CommandContext, Money, ReferenceType},
};

/// What was given and not yet taken.
pub struct Given(pub Fields);

/// How far below zero an account may go.
pub enum Limit {
    Unlimited,
    Units(i64),
}

/// What is not there, where it may be missing, is `None`, empty or its default. An error is a sentence that
/// names the field.
impl Given {
    pub fn optional(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub fn text(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_default()
    }

    pub fn bounded(&mut self, name: &str, longest: usize) -> Result<String, String> {
        let text = self.text(name);
        match text.len() <= longest {
            true => Ok(text),
            false => Err(format!(
                "{name} has {} bytes; at most {longest} are taken",
                text.len()
            )),
        }
    }

    pub fn needed(&mut self, name: &str) -> Result<String, String> {
        self.optional(name)
            .ok_or_else(|| format!("{name} is missing"))
    }

    pub fn parsed<T: FromStr<Err: ToString>>(&mut self, name: &str) -> Result<Option<T>, String> {
        let text = self.optional(name);
        text.map(|text| said(name, text.parse())).transpose()
    }

    pub fn needed_as<T: FromStr<Err: ToString>>(&mut self, name: &str) -> Result<T, String> {
        self.parsed(name)?
            .ok_or_else(|| format!("{name} is missing"))
    }

    /// The customer whose account is opened; empty where none is said.
    pub fn customer(&mut self) -> Result<String, String> {
        let customer: Option<CustomerId> = self.parsed("customer")?;
        Ok(customer.map(|id| id.to_string()).unwrap_or_default())
    }

    /// The references that an account is opened with.
    pub fn references(&mut self) -> Result<Vec<AccountReference>, String> {
        let all = [
            ("iban", ReferenceType::Iban),
            ("known_as", ReferenceType::External),
        ];
        let mut references = Vec::new();
        for (name, kind) in all {
            if let Some(text) = self.optional(name) {
                let checked = ledger_domain::ReferenceType::from_number(kind.into())
                    .ok_or("a reference has a type")
                    .map(|kind| Reference::new(kind, &text))?;
                said(name, checked)?;
                references.push(reference(kind, text));
            }
        }
        Ok(references)
    }

    pub fn truth(&mut self, name: &str) -> Result<bool, String> {
        match self.text(name).as_str() {
            "" | "false" => Ok(false),
            "true" => Ok(true),
            other => Err(format!("{name}: `{other}` is not true or false")),
        }
    }

    pub fn word<T: ValueEnum>(&mut self, name: &str) -> Result<Option<T>, String> {
        let text = self.optional(name);
        text.map(|text| said(name, T::from_str(&text, false)))
            .transpose()
    }

    pub fn house(&mut self) -> Result<String, String> {
        let code: Option<HouseCode> = self.parsed("house")?;
        if let Some(reserved) = code.as_ref().filter(|code| !code.is_for_callers()) {
            return Err(format!("house: {reserved} is kept by the ledger itself"));
        }
        Ok(code.map(|code| code.to_string()).unwrap_or_default())
    }

    pub fn hold(&mut self) -> Result<String, String> {
        Ok(self.needed_as::<TransactionId>("hold")?.to_string())
    }

    pub fn wait(&mut self) -> Result<Wait, String> {
        match self.text("wait").as_str() {
            "" | "settled" => Ok(Wait::Settled),
            "accepted" => Ok(Wait::Accepted),
            other => Err(format!("wait: `{other}` is not settled or accepted")),
        }
    }

    pub fn life(&mut self) -> Result<u64, String> {
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

    pub fn limit(&mut self, currency: Option<Currency>) -> Result<Option<Limit>, String> {
        let number = self.most("overdraft_limit", currency)?;
        match (number, self.truth("unlimited")?) {
            (Some(_), true) => Err("overdraft_limit and unlimited exclude each other".to_owned()),
            (None, true) => Ok(Some(Limit::Unlimited)),
            (number, false) => Ok(number.map(Limit::Units)),
        }
    }

    /// A limit in minor units, where it is given.
    pub fn most(&mut self, name: &str, currency: Option<Currency>) -> Result<Option<i64>, String> {
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

    pub fn amount(&mut self, currency: Option<Currency>) -> Result<Option<Money>, String> {
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

    pub fn amount_and_context(
        &mut self,
        currency: Option<Currency>,
    ) -> Result<(Option<Money>, Option<CommandContext>), String> {
        let amount = self.amount(currency)?.ok_or("amount is missing")?;
        let currency = said("currency", amount.currency.parse())?;
        Ok((Some(amount), self.context(Some(currency))?))
    }

    pub fn context(
        &mut self,
        currency: Option<Currency>,
    ) -> Result<Option<CommandContext>, String> {
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

    pub fn payee(&mut self) -> Result<Option<Payee>, String> {
        let to: Option<AccountId> = self.parsed("to")?;
        let house = self.house()?;
        Ok(match (to, house.is_empty()) {
            (Some(_), false) => return Err("to and house exclude each other".to_owned()),
            (Some(to), true) => Some(Payee::ToAccountId(to.to_string())),
            (None, false) => Some(Payee::HouseAccount(house)),
            (None, true) => None,
        })
    }

    pub fn nothing_left(&self, kind: &str) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("`{name}` is no field of `{kind}`")),
            None => Ok(()),
        }
    }
}

/// The id of an account, if it is one.
pub fn id(account: &str) -> Result<String, String> {
    if account.is_empty() {
        return Err("account is missing".to_owned());
    }
    Ok(said("account", account.parse::<AccountId>())?.to_string())
}

/// What was read of a field, or what is wrong, with the field's name.
pub fn said<T, E: ToString>(name: &str, read: Result<T, E>) -> Result<T, String> {
    read.map_err(|wrong| format!("{name}: {}", wrong.to_string()))
}
