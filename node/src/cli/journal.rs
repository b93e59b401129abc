//! `meridian journal` and `meridian exchange`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::amount;
use super::args::ContextArguments;
use super::exit::Failure;
use super::output::{
    Output, fields, money, money_json, position, position_json, receipt, rejection_json,
    served_by_json,
};
use super::pages::{Listed, listed};
use super::read::{reversal_json, reversed};
use super::write::{context, wait};
use crate::api::teller::v1::{
    Journal, JournalLeg, JournalSide, JournalState, ListJournalsRequest, SubmitJournalRequest,
    journal_leg::Party, list_journals_request::Of,
};
use crate::api::v1::Money;
use crate::client::Client;

/// What to do with journals.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Debit and credit accounts anywhere, all or none.
    Submit(SubmitArguments),
    /// Show a journal: its legs, and how far it is.
    Show {
        /// The transaction that opened it.
        journal: String,
    },
    /// List the journals between shards that are not decided.
    List {
        /// Of all shards of this region.
        #[arg(required_unless_present = "account", conflicts_with = "account")]
        region: Option<String>,
        /// Those that have set something of this account aside.
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
        limit: usize,
    },
}

/// Arguments of `journal submit`.
#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// A CSV file with the columns party, side, amount and currency. A party is an account's id, or a
    /// house account as `fees` or `fees@eu-west`.
    pub file: PathBuf,
    /// The rate of exchange, to be recorded.
    #[arg(long, value_name = "RATE", default_value = "")]
    pub rate: String,
    /// Answer when it is safe with its coordinator, not only when it is decided.
    #[arg(long)]
    pub accepted: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `exchange`.
#[derive(Debug, Args)]
pub struct ExchangeArguments {
    /// The account that gives.
    pub from: String,
    /// The account that gets, kept in another currency.
    pub to: String,
    /// What is given, such as `100.00 EUR`.
    #[arg(long, value_name = "AMOUNT")]
    pub give: String,
    /// What is got for it, such as `108.42 USD`. Nothing is computed from the rate.
    #[arg(long, value_name = "AMOUNT")]
    pub get: String,
    /// The rate, to be recorded.
    #[arg(long, value_name = "RATE")]
    pub rate: String,
    /// Answer when it is safe with its coordinator, not only when it is decided.
    #[arg(long)]
    pub accepted: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

pub async fn journal(client: &Client, command: JournalCommand) -> Result<Output, Failure> {
    match command {
        JournalCommand::Submit(given) => {
            let legs = read(&given.file)?;
            submit(client, legs, given.rate, given.accepted, given.context).await
        }
        JournalCommand::Show { journal } => show(client, &journal).await,
        JournalCommand::List {
            region,
            account,
            limit,
        } => {
            let of = account.map(Of::AccountId).or(region.map(Of::Region));
            list(client, of, limit).await
        }
    }
}

pub async fn exchange(client: &Client, given: ExchangeArguments) -> Result<Output, Failure> {
    let (give, get) = (amount::of(&given.give)?, amount::of(&given.get)?);
    let legs = exchanged(given.from, &give, given.to, &get);
    submit(client, legs, given.rate, given.accepted, given.context).await
}

/// The legs of an exchange: through the bank's position in each currency.
pub fn exchanged(from: String, give: &Money, to: String, get: &Money) -> Vec<JournalLeg> {
    let position = || Party::HouseAccount("fx-position".to_owned());
    vec![
        leg(Party::AccountId(from), JournalSide::Debit, give),
        leg(position(), JournalSide::Credit, give),
        leg(position(), JournalSide::Debit, get),
        leg(Party::AccountId(to), JournalSide::Credit, get),
    ]
}

fn leg(party: Party, side: JournalSide, amount: &Money) -> JournalLeg {
    JournalLeg {
        party: Some(party),
        side: side.into(),
        amount: Some(amount.clone()),
        ..JournalLeg::default()
    }
}

/// The account that a journal's legs name first, whose home decides, and its leg's currency. Empty
/// where none is named.
pub fn first_account(legs: &[JournalLeg]) -> (&str, &str) {
    let mut accounts = legs.iter().filter_map(|leg| match &leg.party {
        Some(Party::AccountId(id)) => {
            let amount = leg.amount.as_ref();
            Some((id.as_str(), amount.map_or("", |amount| &amount.currency)))
        }
        _ => None,
    });
    accounts.next().unwrap_or_default()
}

async fn submit(
    client: &Client,
    legs: Vec<JournalLeg>,
    rate: String,
    accepted: bool,
    given: ContextArguments,
) -> Result<Output, Failure> {
    let wait = wait(accepted);
    let (_, currency) = first_account(&legs);
    let request = SubmitJournalRequest {
        context: Some(context(given, currency)?),
        legs,
        rate,
        wait: wait.into(),
    };
    let reply = client.submit_journal(request).await?;
    Ok(receipt(&reply.receipt, &[]))
}

/// Reads the legs of a file.
fn read(path: &Path) -> Result<Vec<JournalLeg>, Failure> {
    let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.trim(csv::Trim::All).from_path(path);
    let mut reader = reader.map_err(|error| wrong(error.to_string()))?;
    let head = reader.headers().map_err(|error| wrong(error.to_string()))?;
    let column = |name: &str| {
        let place = head.iter().position(|it| it == name);
        place.ok_or_else(|| wrong(format!("the first line has no column `{name}`")))
    };
    let [party, side, number, currency] = ["party", "side", "amount", "currency"].map(column);
    let (party, side, number, currency) = (party?, side?, number?, currency?);
    let mut legs = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let read = leg_of(
            &record[party],
            &record[side],
            &record[number],
            &record[currency],
        );
        legs.push(read.map_err(|what| wrong(format!("line {line}: {what}")))?);
    }
    Ok(legs)
}

/// A leg as people write it: `fees@eu-west`, `credit`, `12.50`, `EUR`.
pub fn leg_of(party: &str, side: &str, number: &str, currency: &str) -> Result<JournalLeg, String> {
    let side = match side {
        "debit" => JournalSide::Debit,
        "credit" => JournalSide::Credit,
        other => return Err(format!("`{other}` is neither debit nor credit")),
    };
    let amount = amount::in_currency(number, currency).map_err(|error| error.to_string())?;
    let (party, region) = party_of(party);
    Ok(JournalLeg {
        region,
        ..leg(party, side, &amount)
    })
}

/// An account's id has a dot after its region; a house account's code has none.
fn party_of(text: &str) -> (Party, String) {
    match text.split_once('@') {
        Some((code, region)) => (Party::HouseAccount(code.to_owned()), region.to_owned()),
        None if text.contains('.') => (Party::AccountId(text.to_owned()), String::new()),
        None => (Party::HouseAccount(text.to_owned()), String::new()),
    }
}

async fn show(client: &Client, journal: &str) -> Result<Output, Failure> {
    let reply = client.journal(journal).await?;
    let journal = reply.journal.unwrap_or_default();
    let mut json = journal_json(&journal);
    json["position"] = position_json(&reply.position);
    json["served_by"] = served_by_json(&reply.served_by);
    Ok(Output::ok(journal_text(&journal), json))
}

async fn list(client: &Client, of: Option<Of>, limit: usize) -> Result<Output, Failure> {
    let request = ListJournalsRequest {
        of,
        ..ListJournalsRequest::default()
    };
    let listed = listed(limit, async |page_size, page_token| {
        let request = ListJournalsRequest {
            page_size,
            page_token,
            ..request.clone()
        };
        let mut reply = client.journals(request).await?;
        let journals = std::mem::take(&mut reply.journals);
        Ok((journals, reply.next_page_token.clone(), reply))
    });
    let Listed {
        items: journals,
        more,
        last,
    } = listed.await?;
    let texts: Vec<_> = journals.iter().map(journal_text).collect();
    let mut text = texts.join("\n");
    match (journals.is_empty(), more) {
        (true, false) => text.push_str("every journal is decided\n"),
        (_, true) => text.push_str("\nand more: see --limit\n"),
        _ => {}
    }
    let json = json!({
        "journals": journals.iter().map(journal_json).collect::<Vec<_>>(),
        "more": more,
        "positions": last.positions.iter().map(|at| position_json(&Some(*at))).collect::<Vec<_>>(),
        "served_by": served_by_json(&last.served_by),
    });
    Ok(Output::ok(text, json))
}

fn state(state: JournalState) -> &'static str {
    match state {
        JournalState::Unspecified => "unspecified",
        JournalState::Pending => "pending",
        JournalState::Posted => "posted",
        JournalState::Cancelled => "cancelled",
    }
}

fn side(leg: &JournalLeg) -> &'static str {
    match leg.side() {
        JournalSide::Unspecified => "",
        JournalSide::Debit => "debit",
        JournalSide::Credit => "credit",
    }
}

fn party(leg: &JournalLeg) -> &str {
    match &leg.party {
        Some(Party::AccountId(id)) => id,
        Some(Party::HouseAccount(code)) => code,
        None => "",
    }
}

/// A journal is reversed whole, or not.
fn reversed_sum(journal: &Journal) -> Option<Money> {
    let first = journal.reversals.first();
    first.and_then(|it| it.amount.clone())
}

fn journal_text(journal: &Journal) -> String {
    let why = journal.rejection.as_ref().map(|why| {
        let (shard, leg) = (journal.refused_by, journal.refused_leg);
        format!("shard {shard}, leg {leg}: {}: {}", why.code, why.message)
    });
    let waiting: Vec<_> = journal
        .waiting_for
        .iter()
        .map(|it| format!("shard {it}"))
        .collect();
    let mut text = fields(&[
        ("journal", journal.journal_id.clone()),
        ("state", state(journal.state()).to_owned()),
        ("because", why.unwrap_or_default()),
        ("waits for", waiting.join(", ")),
        ("coordinator", format!("shard {}", journal.coordinator)),
        ("effective", journal.effective_date.clone()),
        ("rate", journal.rate.clone()),
        ("reverses", journal.reverses.clone()),
        (
            "reversed",
            reversed(&reversed_sum(journal), &journal.reversals),
        ),
        ("decided at", position(&journal.decided_at)),
    ]);
    for leg in &journal.legs {
        let (side, amount, party, shard) = (side(leg), money(&leg.amount), party(leg), leg.shard);
        text.push_str(&format!(
            "  {side:6}  {amount:>16}  {party} (shard {shard})\n"
        ));
    }
    text
}

fn journal_json(journal: &Journal) -> Value {
    let legs = journal.legs.iter().map(|leg| {
        json!({
            "party": party(leg),
            "side": side(leg),
            "amount": money_json(&leg.amount),
            "shard": leg.shard,
        })
    });
    json!({
        "journal_id": journal.journal_id,
        "state": state(journal.state()),
        "coordinator": journal.coordinator,
        "legs": legs.collect::<Vec<_>>(),
        "rate": journal.rate,
        "reverses": journal.reverses,
        "reversals": journal.reversals.iter().map(reversal_json).collect::<Vec<_>>(),
        "effective_date": journal.effective_date,
        "waiting_for": journal.waiting_for,
        "refused_by": journal.refused_by,
        "refused_leg": journal.refused_leg,
        "rejection": rejection_json(&journal.rejection),
        "decided_at": position_json(&journal.decided_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_legs_is_read_in_any_order_of_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("legs.csv");
        let written = "side,party,currency,amount\n\
                       debit, eu-west.abc ,EUR,12.50\n\
                       \n\
                       credit,fees@us-east,EUR,12.5\n";
        std::fs::write(&path, written).unwrap();
        let legs = read(&path).unwrap();
        let told: Vec<_> = legs
            .iter()
            .map(|leg| {
                (
                    side(leg),
                    party(leg),
                    leg.region.as_str(),
                    money(&leg.amount),
                )
            })
            .collect();
        let amount = || "12.50 EUR".to_owned();
        assert_eq!(told[0], ("debit", "eu-west.abc", "", amount()));
        assert_eq!(told[1], ("credit", "fees", "us-east", amount()));
        for (wrong, why) in [
            ("side,party,amount\n", "no column `currency`"),
            (
                "party,side,amount,currency\nfees,left,1,EUR\n",
                "line 2: `left`",
            ),
            ("party,side,amount,currency\nfees,debit,1\n", "line: 2"),
            (
                "party,side,amount,currency\nfees,debit,1.234,EUR\n",
                "line 2: ",
            ),
        ] {
            std::fs::write(&path, wrong).unwrap();
            let failure = read(&path).unwrap_err();
            assert!(failure.to_string().contains(why), "{failure}");
        }
    }
}
