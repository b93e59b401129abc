//! From the fields of a line to a command: all that can be checked without the ledger is checked.

use ledger_domain::{AccountId, Currency, RegionName, TransactionId};

use super::super::args::{AmountArguments, Channel, FreezeArriving, FreezeBlocks, FreezeType};
use super::super::{amount, freeze, journal, moment, write::the_channel};
use super::given::{Given, Limit, id, said};
use super::lines::Fields;
use crate::api::{
    longest,
    teller::v1::{
        AccountName, BatchCommand, CaptureHoldRequest, ClearSuspenseRequest, CloseAccountRequest,
        DepositRequest, FreezeAccountRequest, JournalLeg, OpenAccountRequest, PlaceHoldRequest,
        RaiseHoldRequest, ReleaseHoldRequest, ReverseRequest, SetLimitRequest,
        SetSpendingLimitRequest, SubmitJournalRequest, TransferRequest, UnfreezeAccountRequest,
        Unlimited, WithdrawRequest, batch_command::Command, capture_hold_request::Payee,
        clear_suspense_request::To, close_account_request::Sweep, open_account_request,
        set_limit_request,
    },
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

impl Given {
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
            references: self.references()?,
            customer_id: self.customer()?,
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
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
