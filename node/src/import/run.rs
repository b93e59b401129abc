use std::{collections::BTreeMap, future::Future};

use futures_util::stream::{self, FuturesUnordered, StreamExt};
use ledger_domain::{Money, RegionName};

use super::changed;
use super::check::{LastReceipts, Mismatch, balance_as_of, elsewhere};
use super::files::{ACCOUNTS, Account, BALANCES, Books, Problem, TRANSFERS, Transfer};
use super::names::ImportName;
use super::schedule::{Leg, Schedule};
use super::start;
use crate::api::rejection::{FIRST_ATTEMPT_TOO_OLD, KEY_CONFLICT};
use crate::api::teller::v1::{
    OpenAccountRequest, TransferRequest, Unlimited, Wait, open_account_request::Identity,
    open_account_request::Overdraft,
};
use crate::api::v1::{self, Channel, CommandContext, Receipt, TransactionStatus};
use crate::client::{self, Client};

/// What an import is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Opening accounts.
    Accounts,
    /// Sending transfers and waiting for their settlement.
    Transfers,
    /// Asserting balances.
    Balances,
}

/// One row more is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Of which kind.
    pub stage: Stage,
    /// How many so far.
    pub done: usize,
    /// Of how many.
    pub of: usize,
}

/// Why an import did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A row cannot be read, or the ledger refused it.
    #[error("{0}")]
    Row(Problem),
    /// A row's command has no final answer. The same import can be run again.
    #[error("{problem}")]
    Open {
        /// Which row.
        problem: Problem,
        /// What happened to its command.
        error: client::Error,
    },
    /// Something that belongs to no row.
    #[error(transparent)]
    Client(#[from] client::Error),
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The time of its first run, in milliseconds since 1970.
    pub started_unix_ms: i64,
    /// Accounts and transfers that this run added to the ledger.
    pub added: usize,
    /// Those that were there from an earlier run.
    pub already_there: usize,
    /// Those that were not sent to be decided again, because the first run lies too far back.
    pub too_old: usize,
    /// Balances that were asserted.
    pub balances: usize,
    /// How many of them were answered outside the account's home region.
    pub asked_elsewhere: usize,
    /// Those that are not what the books say.
    pub mismatches: Vec<Mismatch>,
}

/// Imports books under a name, with at most `concurrency` calls at a time.
///
/// A row that is refused stops the import; rows before it stay, and the import can be run again.
/// Balances that differ do not stop it; they are in the summary.
pub async fn run(
    client: &Client,
    name: &ImportName,
    books: &Books,
    concurrency: usize,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Summary, Error> {
    let regional = regional_clients(client).await?;
    let regions: Vec<RegionName> = regional.keys().copied().collect();
    for account in &books.accounts {
        if !regions.contains(&account.home) {
            let message = format!("the ledger has no region `{}`", account.home);
            return Err(Error::Row(books.problem(ACCOUNTS, account.line, message)));
        }
    }
    let Some(first) = books.accounts.iter().min_by_key(|account| account.home) else {
        return Ok(Summary::default());
    };
    let mark = start::Mark {
        home: first.home,
        currency: first.currency.to_string(),
        digest: changed::digest(name, books),
    };
    let start = match start::begin(client, name, regions.clone(), mark).await {
        Ok(start) => start,
        Err(error) if error.code() == Some(KEY_CONFLICT) => {
            return Err(Error::Row(
                changed::find(client, name, books, concurrency).await?,
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let mut import = Import {
        client,
        name,
        books,
        start_unix_ms: start.unix_ms,
        concurrency: concurrency.max(1),
        progress,
        receipts: books
            .accounts
            .iter()
            .map(|_| LastReceipts::default())
            .collect(),
        summary: Summary {
            started_unix_ms: start.unix_ms,
            ..Summary::default()
        },
    };
    import.open_accounts().await?;
    import.send_transfers().await?;
    import.assert_balances(&regional, &regions).await?;
    Ok(import.summary)
}

struct Import<'a> {
    client: &'a Client,
    name: &'a ImportName,
    books: &'a Books,
    start_unix_ms: i64,
    concurrency: usize,
    progress: &'a (dyn Fn(Progress) + Sync),
    receipts: Vec<LastReceipts>,
    summary: Summary,
}

impl Import<'_> {
    async fn open_accounts(&mut self) -> Result<(), Error> {
        let of = self.books.accounts.len();
        let requests: Vec<_> = self
            .books
            .accounts
            .iter()
            .map(|it| self.opening(it))
            .collect();
        let client = self.client;
        let mut replies = stream::iter(requests.into_iter().enumerate())
            .map(|(index, request)| async move { (index, client.open_account(request).await) })
            .buffer_unordered(self.concurrency);
        let mut done = 0;
        while let Some((index, reply)) = replies.next().await {
            let line = self.books.accounts[index].line;
            let receipt = reply.map(|reply| reply.receipt.unwrap_or_default());
            if let Some(receipt) = self.note(ACCOUNTS, line, receipt)? {
                self.receipts[index].note(&receipt);
            }
            done += 1;
            (self.progress)(Progress {
                stage: Stage::Accounts,
                done,
                of,
            });
        }
        Ok(())
    }

    async fn send_transfers(&mut self) -> Result<(), Error> {
        let transfers = &self.books.transfers;
        let legs: Vec<_> = transfers
            .iter()
            .map(|it| Leg {
                from: it.from,
                to: it.to,
            })
            .collect();
        let limited: Vec<_> = self.books.accounts.iter().map(|it| !it.unlimited).collect();
        let mut schedule = Schedule::new(&legs, &limited);
        let mut under_way = FuturesUnordered::new();
        let mut done = 0;
        loop {
            while under_way.len() < self.concurrency
                && let Some(index) = schedule.take_ready()
            {
                under_way.push(self.send(index));
            }
            let Some((index, reply)) = under_way.next().await else {
                break;
            };
            let transfer = &transfers[index];
            if let Some(receipt) = self.note(TRANSFERS, transfer.line, reply)? {
                self.receipts[transfer.from].note(&receipt);
                self.receipts[transfer.to].note(&receipt);
            }
            schedule.settled(index);
            done += 1;
            (self.progress)(Progress {
                stage: Stage::Transfers,
                done,
                of: transfers.len(),
            });
        }
        assert_eq!(
            done,
            transfers.len(),
            "a transfer waits only for earlier ones"
        );
        Ok(())
    }

    fn send(
        &self,
        index: usize,
    ) -> impl Future<Output = (usize, Result<Receipt, client::Error>)> + use<> {
        let client = self.client.clone();
        let request = self.transfer(&self.books.transfers[index]);
        async move {
            let reply = client.transfer(request).await;
            (index, reply.map(|reply| reply.receipt.unwrap_or_default()))
        }
    }

    async fn assert_balances(
        &mut self,
        regional: &BTreeMap<RegionName, Client>,
        regions: &[RegionName],
    ) -> Result<(), Error> {
        let mut questions = Vec::new();
        for (turn, balance) in self.books.balances.iter().enumerate() {
            let account = &self.books.accounts[balance.account];
            let region = elsewhere(regions, account.home, turn);
            let client = region
                .and_then(|region| regional.get(&region))
                .unwrap_or(self.client);
            // The books' balance holds at the start of a day, the ledger's at the close of one.
            let day = balance
                .as_of
                .yesterday()
                .map_err(|error| Error::Row(self.books.problem(BALANCES, balance.line, error)))?;
            let id = self.name.account(account.home, &account.name);
            let tokens = self.receipts[balance.account].tokens();
            questions.push(async move {
                let day = day.to_string();
                let found = balance_as_of(client, id.clone(), day.clone(), tokens).await;
                (balance, account, id, day, found)
            });
        }
        let of = questions.len();
        let mut answers = stream::iter(questions).buffer_unordered(self.concurrency);
        while let Some((balance, account, account_id, effective_date, found)) = answers.next().await
        {
            let found = found.map_err(|error| self.failed(BALANCES, balance.line, error))?;
            self.summary.balances += 1;
            self.summary.asked_elsewhere += usize::from(found.region != account.home.as_str());
            if found.minor_units != balance.minor_units {
                self.summary.mismatches.push(Mismatch {
                    line: balance.line,
                    account: account.name.clone(),
                    account_id,
                    effective_date,
                    expected: Money {
                        minor_units: balance.minor_units,
                        currency: account.currency,
                    },
                    found: found.minor_units,
                });
            }
            let done = self.summary.balances;
            (self.progress)(Progress {
                stage: Stage::Balances,
                done,
                of,
            });
        }
        self.summary
            .mismatches
            .sort_by_key(|mismatch| mismatch.line);
        Ok(())
    }

    /// Counts an answered command. There is no receipt where the command was too old to be decided.
    fn note(
        &mut self,
        file: &str,
        line: u64,
        answer: Result<Receipt, client::Error>,
    ) -> Result<Option<Receipt>, Error> {
        let receipt = match answer {
            Ok(receipt) => receipt,
            Err(error) if error.code() == Some(FIRST_ATTEMPT_TOO_OLD) => {
                self.summary.too_old += 1;
                return Ok(None);
            }
            Err(error) => return Err(self.failed(file, line, error)),
        };
        if receipt.status() != TransactionStatus::Settled {
            let why = receipt.rejection.map(client::Rejection::from);
            let why = why.map_or_else(String::new, |rejection| format!(": {rejection}"));
            let message = format!("transaction {} was returned{why}", receipt.transaction_id);
            return Err(Error::Row(self.books.problem(file, line, message)));
        }
        match receipt.duplicate {
            true => self.summary.already_there += 1,
            false => self.summary.added += 1,
        }
        Ok(Some(receipt))
    }

    fn failed(&self, file: &str, line: u64, error: client::Error) -> Error {
        if error.code() == Some(KEY_CONFLICT) {
            let message = format!("this row was changed since it was imported: {error}");
            return Error::Row(self.books.problem(file, line, message));
        }
        let problem = self.books.problem(file, line, &error);
        match error {
            client::Error::Rejected(_) => Error::Row(problem),
            error => Error::Open { problem, error },
        }
    }

    fn opening(&self, account: &Account) -> OpenAccountRequest {
        OpenAccountRequest {
            context: Some(CommandContext {
                effective_date: account.opened_on.to_string(),
                ..self.context(self.name.opening_key())
            }),
            identity: Some(Identity::AccountId(
                self.name.account(account.home, &account.name),
            )),
            home_region: account.home.to_string(),
            currency: account.currency.to_string(),
            overdraft: account
                .unlimited
                .then_some(Overdraft::Unlimited(Unlimited {})),
            ..OpenAccountRequest::default()
        }
    }

    fn transfer(&self, transfer: &Transfer) -> TransferRequest {
        let id = |index: usize| {
            let account = &self.books.accounts[index];
            self.name.account(account.home, &account.name)
        };
        TransferRequest {
            context: Some(CommandContext {
                effective_date: transfer.effective_date.to_string(),
                correlation_id: transfer.transaction.clone(),
                memo: transfer.memo.clone(),
                ..self.context(self.name.transfer_key(transfer.seq))
            }),
            from_account_id: id(transfer.from),
            to_account_id: id(transfer.to),
            amount: Some(v1::Money {
                minor_units: transfer.minor_units,
                currency: self.books.accounts[transfer.from].currency.to_string(),
            }),
            wait: Wait::Settled.into(),
        }
    }

    fn context(&self, key: String) -> CommandContext {
        CommandContext {
            idempotency_key: key,
            first_attempt_unix_ms: self.start_unix_ms,
            channel: Channel::Batch.into(),
            ..CommandContext::default()
        }
    }
}

/// A client for each region, of the nodes there.
async fn regional_clients(client: &Client) -> Result<BTreeMap<RegionName, Client>, client::Error> {
    let status = client.status().await?;
    let mut addresses = BTreeMap::<RegionName, Vec<String>>::new();
    for node in status.nodes {
        let region = node.region.parse::<RegionName>();
        let region = region.map_err(|error| client::Error::Malformed(error.to_string()))?;
        let known = addresses.entry(region).or_default();
        // Nodes that answer come first.
        let place = if node.reachable { 0 } else { known.len() };
        known.insert(place, node.address);
    }
    addresses
        .into_iter()
        .map(|(region, known)| Ok((region, client.at(known)?)))
        .collect()
}
