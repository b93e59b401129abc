//! Money comes in, and at the end the books are closed.

use super::{Cluster, Error, Screen, call, dollars, holds, row};
use crate::{
    api::teller::v1::{ChannelTotal, TrialBalanceReply},
    import::{self, Books, ImportName, Progress, Stage},
};

/// A set of books in the ledger.
pub(super) struct Household {
    name: ImportName,
    books: Books,
}

/// One of its accounts.
pub(super) struct Account {
    pub(super) id: String,
    pub(super) name: String,
}

impl Household {
    /// The first and the last day of a month in the middle of those in which an account was used.
    pub(super) fn a_month(&self, name: &str) -> (String, String) {
        let accounts = &self.books.accounts;
        let is_it = |account: &usize| accounts[*account].name == name;
        let used = self.books.transfers.iter();
        let used = used.filter(|it| is_it(&it.from) || is_it(&it.to));
        let mut dates: Vec<_> = used.map(|it| it.effective_date).collect();
        dates.sort_unstable();
        let middle = dates.get(dates.len() / 2).map(ToString::to_string);
        let middle: jiff::civil::Date = middle
            .and_then(|date| date.parse().ok())
            .expect("the demo names only accounts that are used");
        let (first, last) = (middle.first_of_month(), middle.last_of_month());
        (first.to_string(), last.to_string())
    }

    /// An account by its name.
    pub(super) fn account(&self, name: &str) -> Account {
        let mut accounts = self.books.accounts.iter();
        let found = accounts.find(|account| account.name == name);
        let found = found.expect("the demo names only accounts of its books");
        Account {
            id: self.name.account(found.home, &found.name),
            name: name.to_owned(),
        }
    }
}

/// How many calls are under way at a time.
const CONCURRENCY: usize = 128;

pub(super) async fn import(cluster: &Cluster, screen: &mut Screen) -> Result<Household, Error> {
    screen.act("1. A household moves in");
    let broken = |problem: import::Problem| Error::Broken(problem.to_string());
    let books = Books::read(&cluster.books()).map_err(broken)?;
    let name: ImportName = "household-7".parse().expect("a good name");
    let client = cluster.client_near("us-east")?;
    let rows = books.accounts.len() + books.transfers.len() + books.balances.len();
    let bar = screen.bar(rows);
    let started = tokio::time::Instant::now();
    let done = import::run(
        &client,
        &name,
        &books,
        CONCURRENCY,
        &|progress: Progress| {
            bar.set_message(match progress.stage {
                Stage::Accounts => "opening accounts",
                Stage::Transfers => "moving money",
                Stage::Balances => "asserting balances",
            });
            bar.inc(1);
        },
    )
    .await;
    bar.finish_and_clear();
    let summary = done?;
    let took = started.elapsed();
    screen.say(&format!(
        "  {} accounts in three regions, {} transfers, half of them across an ocean: {:.1} s.",
        books.accounts.len(),
        books.transfers.len(),
        took.as_secs_f64(),
    ));
    screen.say(&format!(
        "  {} of {} balances by effective date are what the books say, each asked in a region\n\
         \x20 that is not the account's home, right after the last receipt (no waiting: its token).",
        summary.balances - summary.mismatches.len(),
        books.balances.len(),
    ));
    holds(summary.mismatches.is_empty(), || {
        format!("{} balances differ", summary.mismatches.len())
    })?;
    holds(summary.asked_elsewhere == books.balances.len(), || {
        "every balance is answered outside of its account's home".to_owned()
    })?;
    Ok(Household { name, books })
}

pub(super) async fn trial_balance(cluster: &Cluster, screen: &mut Screen) -> Result<(), Error> {
    screen.act("9. All books of all regions, at one time");
    let client = &cluster.in_region("us-east").client;
    let reply = call("trial balance", client.trial_balance("").await)?;
    let mut rows = vec![row(["book", "accounts", "debit", "credit", "difference"])];
    for total in &reply.totals {
        let shard = total.position.as_ref().map_or(0, |at| at.shard);
        let (debit, credit) = (total.debit_minor_units, total.credit_minor_units);
        rows.push([
            format!("{} / shard {shard}, {}", total.region, total.currency),
            total.accounts.to_string(),
            dollars(debit),
            dollars(credit),
            dollars(credit - debit),
        ]);
    }
    screen.table(&rows);
    let sent: u64 = reply.channels.iter().map(|c| c.items_sent).sum();
    let under_way: u64 = reply.channels.iter().map(|c| c.items_under_way).sum();
    screen.say(&format!(
        "\n  {} channels between books carried {sent} items; {under_way} under way; {} match item by item.",
        reply.channels.len(),
        matched(&reply),
    ));
    for wrong in reply.channels.iter().filter(|c| !c.matched) {
        screen.say(&format!("  {}", difference(wrong)));
    }
    for total in &reply.totals {
        holds(total.debit_minor_units == total.credit_minor_units, || {
            format!("the book of {} sums to zero", total.region)
        })?;
    }
    holds(reply.totals.len() >= cluster.topology.shards.len(), || {
        "every book is in the trial balance".to_owned()
    })?;
    holds(
        reply.balanced && matched(&reply) == reply.channels.len(),
        || "every channel matches".to_owned(),
    )?;
    holds(sent > 0 && under_way == 0, || {
        format!("{sent} items were sent and all have arrived, but {under_way}")
    })
}

fn matched(reply: &TrialBalanceReply) -> usize {
    reply
        .channels
        .iter()
        .filter(|channel| channel.matched)
        .count()
}

fn difference(channel: &ChannelTotal) -> String {
    let (from, to) = (channel.from_shard, channel.to_shard);
    format!("shard {from} to {to}: {}", channel.difference)
}
