use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use ledger_domain::{AccountId, Currency, Date, Position, RegionName, ShardId, TransactionId};

use replication::world::Archive;

use super::names::{InvalidNames, Names};
use super::{beancount, hledger};
use crate::verify::{self, Fact, Holder, Leg, Movement, Options, Progress};

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be read.
    #[error(transparent)]
    Directory(#[from] verify::Error),
    /// Something in the directory does not hold: no books are made of that.
    #[error("the directory does not hold what it should (`meridian verify` says more): {0}")]
    Differs(String),
    /// The names of accounts.
    #[error(transparent)]
    Names(#[from] InvalidNames),
}

/// Whose journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Beancount's.
    Beancount,
    /// hledger's.
    Hledger,
}

/// What goes into a journal.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// What counts from this date on.
    pub from: Option<Date>,
    /// What counts up to this date.
    pub to: Option<Date>,
    /// Only transactions that touch one of these; all, where it is empty.
    pub accounts: BTreeSet<AccountId>,
}

/// A journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// The text of its file.
    pub text: String,
    /// How many transactions are in it.
    pub transactions: usize,
    /// How many accounts.
    pub accounts: usize,
}

/// A transaction as any format writes it.
pub(super) struct Transaction {
    pub(super) date: Date,
    pub(super) what: &'static str,
    pub(super) id: TransactionId,
    /// The paying transaction of a transfer's later steps.
    pub(super) pays: Option<TransactionId>,
    pub(super) legs: Vec<(String, Leg)>,
}

/// An account of a journal.
pub(super) struct Account {
    pub(super) currencies: BTreeSet<Currency>,
    pub(super) opened: Date,
    pub(super) closed: Option<Date>,
}

/// Writes the journal of a stopped node's directory, and of the archive that its logs go on in.
pub fn journal(
    dir: &Path,
    archive: Option<Arc<dyn Archive>>,
    format: Format,
    selection: &Selection,
    names: &Names,
    progress: &dyn Fn(Progress),
) -> Result<Journal, Error> {
    let mut collected = Collected::default();
    let mut observe = |fact| collected.take(fact, selection);
    let options = Options {
        archive,
        ..Options::default()
    };
    let report = verify::read(dir, options, &mut observe, progress)?;
    if let Some(finding) = report.findings.first() {
        return Err(Error::Differs(finding.to_string()));
    }
    if let Some(shard) = report.shards.iter().find(|it| !it.not_held.is_empty()) {
        let why = format!("the history of shard {} is not all here", shard.shard);
        return Err(Error::Differs(why));
    }
    let regions = report
        .shards
        .iter()
        .filter_map(|it| Some((it.shard, it.region.as_ref()?.parse().ok()?)))
        .collect();
    let (transactions, accounts) = collected.called(&regions, format, names)?;
    let text = match format {
        Format::Beancount => beancount::write(&transactions, &accounts),
        Format::Hledger => hledger::write(&transactions, &accounts),
    };
    Ok(Journal {
        text,
        transactions: transactions.len(),
        accounts: accounts.len(),
    })
}

/// What was read, before it has names.
#[derive(Default)]
struct Collected {
    movements: Vec<Movement>,
    opened: BTreeMap<AccountId, Date>,
    closed: BTreeMap<AccountId, Date>,
}

impl Collected {
    fn take(&mut self, fact: Fact, selection: &Selection) {
        match fact {
            Fact::Opened { account, on } => {
                self.opened.insert(account, on);
            }
            Fact::Closed { account, on } => {
                self.closed.insert(account, on);
            }
            Fact::Moved(movement) if selection.includes(&movement) => {
                self.movements.push(movement);
            }
            Fact::Moved(_) => {}
        }
    }

    /// In the order of their dates, and of the logs within a day, with names for all accounts.
    fn called(
        mut self,
        regions: &BTreeMap<u32, RegionName>,
        format: Format,
        names: &Names,
    ) -> Result<(Vec<Transaction>, BTreeMap<String, Account>), Error> {
        self.movements
            .sort_by_key(|it| (it.date, it.shard, it.place));
        let mut calling = names.calling(format);
        let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
        let mut transactions = Vec::with_capacity(self.movements.len());
        for movement in std::mem::take(&mut self.movements) {
            let mut legs = Vec::with_capacity(movement.legs.len());
            for leg in movement.legs {
                let name = match &leg.holder {
                    Holder::Customer(id) => calling.customer(*id)?,
                    Holder::House(code) => calling.house(regions.get(&movement.shard), code),
                };
                let (opened, closed) = match &leg.holder {
                    Holder::Customer(id) => (self.opened.get(id), self.closed.get(id)),
                    Holder::House(_) => (None, None),
                };
                let account = accounts.entry(name.clone()).or_insert_with(|| Account {
                    currencies: BTreeSet::new(),
                    opened: opened.copied().unwrap_or(movement.date),
                    closed: closed.copied(),
                });
                account.opened = account.opened.min(movement.date);
                account.closed = account.closed.map(|closed| closed.max(movement.date));
                account.currencies.insert(leg.currency);
                legs.push((name, leg));
            }
            transactions.push(Transaction {
                date: movement.date,
                what: movement.what,
                id: id(movement.shard, movement.epoch, movement.place),
                pays: movement
                    .follows
                    .map(|(shard, epoch, place)| id(shard, epoch, place)),
                legs,
            });
        }
        Ok((transactions, accounts))
    }
}

impl Selection {
    fn includes(&self, movement: &Movement) -> bool {
        let touches = |leg: &Leg| match &leg.holder {
            Holder::Customer(id) => self.accounts.contains(id),
            Holder::House(_) => false,
        };
        self.from.is_none_or(|from| from <= movement.date)
            && self.to.is_none_or(|to| movement.date <= to)
            && (self.accounts.is_empty() || movement.legs.iter().any(touches))
    }
}

fn id(shard: u32, epoch: u64, (index, ordinal): (u64, u32)) -> TransactionId {
    let position = Position {
        shard: ShardId(shard),
        epoch,
        index,
    };
    TransactionId { position, ordinal }
}
