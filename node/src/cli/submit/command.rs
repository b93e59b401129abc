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
use super::super::{amount, freeze, moment, write::context};
use super::lines::Fields;
use crate::api::{
    longest,
    teller::v1::{
        AccountName, BatchCommand, CaptureHoldRequest, ClearSuspenseRequest, CloseAccountRequest,
        DepositRequest, FreezeAccountRequest, OpenAccountRequest, PlaceHoldRequest,
        RaiseHoldRequest, ReleaseHoldRequest, ReverseRequest, SetLimitRequest, TransferRequest,
        UnfreezeAccountRequest, Unlimited, Wait, WithdrawRequest, batch_command::Command,
        capture_hold_request::Payee, clear_suspense_request::To, close_account_request::Sweep,
        open_account_request, set_limit_request,
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

/// All there are.
const KINDS: [&str; 14] = [
    "open",
    "close",
    "deposit",
    "withdraw",
    "transfer",
    "freeze",
    "unfreeze",
    "limit",
    "hold-place",
    "hold-raise",
    "hold-capture",
    "hold-release",
    "clear",
    "reverse",
];

/// Makes a command of a line. A key that the line does not give is left empty.
pub fn read(fields: Fields) -> Result<Item, String> {
    let mut given = Given(fields);
    let kind = given.needed("kind")?;
    let account = given.text("account");
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
        let (number, unlimited) = (self.optional("overdraft_limit"), self.truth("unlimited")?);
        match (number, unlimited) {
            (Some(_), true) => Err("overdraft_limit and unlimited exclude each other".to_owned()),
            (None, true) => Ok(Some(Limit::Unlimited)),
            (None, false) => Ok(None),
            (Some(number), false) => {
                let currency = currency.ok_or("currency is missing")?;
                let money = amount::in_currency(&number, currency.code());
                let money = said("overdraft_limit", money)?;
                match money.minor_units {
                    units @ 0.. => Ok(Some(Limit::Units(units))),
                    _ => Err("overdraft_limit: it is not negative".to_owned()),
                }
            }
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
mod tests {
    use super::*;

    fn account(name: &str) -> String {
        AccountId::derive("home".parse().unwrap(), "t", name).to_string()
    }

    /// Fields as `name=value`, with `A` and `B` for accounts.
    fn item(text: &str) -> Result<Item, String> {
        let (a, b) = (account("a"), account("b"));
        let fields = text.split(';').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            let value = value.replace("$A", &a).replace("$B", &b);
            (name.to_owned(), value)
        });
        read(fields.collect())
    }

    #[test]
    fn every_kind_is_read() {
        let lines = [
            "kind=open;region=home;currency=USD;overdraft_limit=10.00",
            "kind=open;region=home;currency=USD;scope=s;name=n;unlimited=true",
            "kind=open;account=$A;currency=JPY",
            "kind=close;account=$A",
            "kind=deposit;account=$A;amount=12.50;currency=USD;key=k;reference=r",
            "kind=deposit;account=$A;amount=12.50 USD;house=fees",
            "kind=withdraw;account=$A;amount=1 USD;min_balance=-5.00;if_version=3;forced=true",
            "kind=transfer;account=$A;to=$B;amount=1;currency=KWD;wait=accepted;memo=m",
            "kind=freeze;account=$A;type=court-order;blocks=debits;until=2030-01-01T00:00:00Z",
            "kind=unfreeze;account=$A;type=fraud;reason=done",
            "kind=limit;account=$A;overdraft_limit=500;currency=USD",
            "kind=limit;account=$A;unlimited=true",
            "kind=hold-place;account=$A;amount=80 EUR;expires_after=72h",
        ];
        for line in lines {
            let item = item(line);
            assert!(item.is_ok(), "{line}: {:?}", item.err());
        }
        let Some(Command::Deposit(deposit)) = item(lines[4]).unwrap().command.command else {
            panic!("not a deposit");
        };
        let context = deposit.context.unwrap();
        assert_eq!(deposit.amount.unwrap().minor_units, 1_250);
        assert_eq!(context.idempotency_key, "k");
        assert_eq!(context.channel(), crate::api::v1::Channel::Batch);
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_sent() {
        for (line, says) in [
            ("kind=pay;account=$A", "kind: `pay` is none of open, close"),
            ("account=$A", "kind is missing"),
            ("kind=deposit;amount=1 USD", "account is missing"),
            ("kind=deposit;account=x;amount=1 USD", "account: "),
            ("kind=deposit;account=$A", "amount is missing"),
            ("kind=deposit;account=$A;amount=1", "write an amount as"),
            (
                "kind=deposit;account=$A;amount=12.505 USD",
                "USD has 2 decimals",
            ),
            ("kind=deposit;account=$A;amount=0 USD", "above zero"),
            (
                "kind=deposit;account=$A;amount=1;currency=XXX",
                "currency: ",
            ),
            (
                "kind=deposit;account=$A;amount=1 USD;to=$B",
                "`to` is no field of `deposit`",
            ),
            (
                "kind=deposit;account=$A;amount=1 USD;ammount=2",
                "`ammount` is no field",
            ),
            (
                "kind=transfer;account=$A;to=$A;amount=1 USD",
                "same account",
            ),
            ("kind=transfer;account=$A;amount=1 USD", "to is missing"),
            (
                "kind=transfer;account=$A;to=$B;amount=1 USD;wait=soon",
                "wait: `soon`",
            ),
            ("kind=open;currency=USD", "region is missing"),
            (
                "kind=open;currency=USD;region=home;name=n",
                "scope and name go together",
            ),
            (
                "kind=limit;account=$A;overdraft_limit=5",
                "currency is missing",
            ),
            ("kind=limit;account=$A", "overdraft_limit or unlimited"),
            (
                "kind=hold-place;account=$A;amount=1 USD;expires_after=1000h",
                "31 days at most",
            ),
            ("kind=hold-release;account=$A;hold=tx-1", "hold: "),
            ("kind=freeze;account=$A", "type is missing"),
            ("kind=freeze;account=$A;type=angry", "type: "),
            (
                "kind=close;account=$A;effective_date=2026-02-30",
                "effective_date: ",
            ),
            ("kind=close;account=$A;min_balance=1", "currency is missing"),
        ] {
            let wrong = item(line)
                .err()
                .unwrap_or_else(|| panic!("{line} is taken"));
            assert!(wrong.contains(says), "{line}: {wrong}");
        }
        let long = format!("kind=close;account=$A;key={}", "k".repeat(129));
        assert!(item(&long).err().unwrap().contains("129 bytes"));
    }
}
