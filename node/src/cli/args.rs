use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::moment;
use super::{
    consumer::ConsumerCommand,
    customer::CustomerCommand,
    day::DayCommand,
    hold::HoldCommand,
    journal::{ExchangeArguments, JournalCommand},
    reference::{FindArguments, ReferenceCommand, ReferencesArguments},
    reverse::ReverseArguments,
    suspense::SuspenseCommand,
};
use crate::api::v1::{Position, Time};

/// A banking ledger over several regions.
#[derive(Debug, Parser)]
#[command(
    name = "meridian",
    version,
    after_help = "Exit codes: 0 done, 1 refused, 2 wrong input, 3 no node answered (nothing was \
                  booked), 4 open whether it was booked (ask again under the printed key), 5 the \
                  ledger differs from what it should hold, 6 broken."
)]
pub struct Arguments {
    /// How to reach the ledger.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How to reach the ledger, and how to answer.
#[derive(Debug, Args)]
pub struct Connection {
    /// Nodes to ask: `host:port`, `dns:///host:port` or `topology:FILE`.
    ///
    /// May be given several times, or with commas. Of plain addresses the first is asked, the next if
    /// that fails, and no others. Given a name with several addresses (`dns:///`), a topology file,
    /// or `--near`, one node that answers is asked for all others; reads then go to the nearest.
    #[arg(
        long = "node",
        value_name = "ADDRESS",
        env = "MERIDIAN_NODES",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400",
        global = true
    )]
    pub nodes: Vec<String>,
    /// Find all nodes by those of `--node`, and read from the ones in this region.
    #[arg(
        long = "near",
        value_name = "REGION",
        env = "MERIDIAN_REGION",
        global = true
    )]
    pub near: Option<String>,
    /// The name that commands are recorded under. Keys belong to it.
    #[arg(
        long = "as",
        value_name = "CALLER",
        default_value = "cli",
        global = true
    )]
    pub caller: String,
    /// How long to try, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10", global = true)]
    pub deadline: Duration,
    /// Answer in JSON, errors on standard error included.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work: nine nodes in three regions on this machine, shown in acts.
    Demo(super::demo::DemoArguments),
    /// Run a node. Without a configuration: a ledger of one node, in ./data.
    Node(super::node::NodeArguments),
    /// Open, show or close an account.
    Account {
        /// Which of these.
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Take money in.
    Deposit(CashArguments),
    /// Pay money out.
    Withdraw(CashArguments),
    /// Move money between two accounts.
    Transfer(TransferArguments),
    /// Set money aside, pay out of it, give it back.
    Hold {
        /// Which of these.
        #[command(subcommand)]
        command: HoldCommand,
    },
    /// Money that could not be given to whom it was for.
    Suspense {
        /// What to do.
        #[command(subcommand)]
        command: SuspenseCommand,
    },
    /// Make a customer known, give it accounts, show what it has.
    Customer {
        /// Which of these.
        #[command(subcommand)]
        command: CustomerCommand,
    },
    /// Let a reference, such as an IBAN, stand for an account, or for nobody.
    Reference {
        /// Which of these.
        #[command(subcommand)]
        command: ReferenceCommand,
    },
    /// Find the account that a reference stands for.
    Find(FindArguments),
    /// Move back what a transaction moved, or a part of it.
    Reverse(ReverseArguments),
    /// Debit and credit accounts anywhere, all or none.
    Journal {
        /// What to do.
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// Give one currency for another, both amounts as they are said.
    Exchange(ExchangeArguments),
    /// Show a transaction.
    Transaction(TransactionArguments),
    /// Show balances, and what they are true for.
    Balance(BalanceArguments),
    /// Show an account's bookings.
    Statement(StatementArguments),
    /// Print what changes on accounts as it comes, a line for each change, until it is interrupted.
    Watch(super::watch::WatchArguments),
    /// Print the events of an account, a shard or a region as the log has them, a line for each.
    Events(super::events::EventsArguments),
    /// Read events on together: groups whose cursors the ledger keeps.
    Consumer {
        /// What to do.
        #[command(subcommand)]
        command: ConsumerCommand,
    },
    /// Sum all books and match all channels at one time.
    TrialBalance(super::trial_balance::TrialBalanceArguments),
    /// Close a business day of a region, or show what was frozen with one.
    Day {
        /// Which of these.
        #[command(subcommand)]
        command: DayCommand,
    },
    /// Do the commands of a file, JSON lines or CSV, and write down what became of each. Run again,
    /// it goes on where it was. Lines that stand together and have the same `group` are done all or
    /// none.
    Submit(super::submit::SubmitArguments),
    /// Do the commands of a small file, all or none: up to 64, on accounts of one shard.
    Group(super::submit::GroupArguments),
    /// Take whole books from CSV files into the ledger, and check that they arrived.
    Import(ImportArguments),
    /// Recompute everything in a stopped node's data directory, and name what does not hold.
    Verify(VerifyArguments),
    /// Write the ledgers of a stopped node's data directory as a plain-text journal.
    Export(ExportArguments),
    /// Keep all that the ledger has decided outside of its nodes, and look at what is kept.
    Backup(super::backup::BackupArguments),
    /// Make the data directories of a new ledger out of a backup, up to a point in time.
    Restore(super::backup::RestoreArguments),
    /// Look after the directory of customers' keys.
    Keys {
        /// What to do.
        #[command(subcommand)]
        command: super::keys::KeysCommand,
    },
    /// Show regions, shards, leaders, and how far copies are behind.
    Status,
    /// Show what holds the asked node's answers back, since when, and what to do.
    WhyStale(super::why_stale::WhyStaleArguments),
    /// Show the replicas of shards, add one, or remove one.
    Replica {
        /// Which of these.
        #[command(subcommand)]
        command: ReplicaCommand,
    },
    /// Show the read models of all nodes, or make a node's again.
    Views {
        /// Which of these.
        #[command(subcommand)]
        command: super::views::ViewsCommand,
    },
    /// Show the signed chain heads that a node knows; keep them elsewhere, for `verify --heads`.
    Heads,
}

/// What to do with an account.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Open an account.
    Open(OpenArguments),
    /// Show an account as its home region knows it; or as it was, whole.
    Show(ShowArguments),
    /// Close an account, for ever; what is left in it can be swept to another.
    Close(CloseArguments),
    /// List the commands that named it first and were refused, the newest first, with why and the
    /// figures of then.
    Declined {
        /// The account's id.
        account: String,
        /// The most to show; the newest thousand are kept.
        #[arg(long, value_name = "COMMANDS", default_value_t = 100)]
        limit: usize,
    },
    /// Freeze an account, or replace its freeze of the same type; --reason is kept with it.
    Freeze(FreezeArguments),
    /// Lift a freeze before its time.
    Unfreeze(UnfreezeArguments),
    /// Change how far below zero an account may go. Privileged.
    Limit(LimitArguments),
    /// Change how much may be spent by a channel, in one transaction and on one business day.
    /// Privileged.
    SpendingLimit(super::spending::SpendingLimitArguments),
}

/// What to do with the replicas of a shard.
#[derive(Debug, Subcommand)]
pub enum ReplicaCommand {
    /// Show who votes, who waits, and how far each replica is.
    List {
        /// Of this shard only.
        #[arg(long)]
        shard: Option<u32>,
    },
    /// Have a node vote: it is given the log first, and this waits until it has it.
    Add(ReplicaArguments),
    /// Have a node vote no longer. What it holds stays.
    Remove(ReplicaArguments),
    /// Have a node vote in place of another, in one step.
    Replace {
        /// The shard.
        #[arg(long)]
        shard: u32,
        /// Who votes no longer: the node's name or number.
        old: String,
        /// Who votes instead: the node's name or number.
        new: String,
    },
}

/// A replica.
#[derive(Debug, Args)]
pub struct ReplicaArguments {
    /// The shard.
    #[arg(long)]
    pub shard: u32,
    /// The node's name or number.
    #[arg(value_name = "NODE")]
    pub name: String,
}

/// What every command carries besides its own substance.
#[derive(Debug, Args)]
pub struct ContextArguments {
    /// The idempotency key; sent again under it, the command is not done twice. Default: a new one.
    #[arg(long)]
    pub key: Option<String>,
    /// When this was first tried, in milliseconds since 1970; give it when repeating a key.
    #[arg(long, value_name = "UNIX_MS", requires = "key")]
    pub first_attempt: Option<i64>,
    /// Your own reference.
    #[arg(long, default_value = "")]
    pub reference: String,
    /// Joins what belongs together across systems.
    #[arg(long, default_value = "")]
    pub correlation_id: String,
    /// Why. Not for personal data.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// From when it counts, such as 2026-11-21. Default: the region's business date.
    #[arg(long, value_name = "DATE", default_value = "")]
    pub effective_date: String,
    /// Text for the statement; sealed as personal data.
    #[arg(long, default_value = "")]
    pub memo: String,
    /// Another bank's reference; sealed as personal data.
    #[arg(long, default_value = "")]
    pub external_reference: String,
    /// Where it came in.
    #[arg(long, value_enum, default_value = "teller")]
    pub channel: Channel,
    /// What it depends on.
    #[command(flatten)]
    pub conditions: ConditionArguments,
    /// Only tell what would become of it: nothing is recorded, and no key is taken.
    #[arg(long)]
    pub dry_run: bool,
    /// Withdraw or transfer whatever the balance. Privileged.
    #[arg(long)]
    pub forced: bool,
    /// Also where its effective date is closed; it says so for ever.
    #[arg(long)]
    pub into_closed_day: bool,
}

/// What must hold of the account that a command names first.
#[derive(Debug, Args)]
pub struct ConditionArguments {
    /// Only if the account is at this version before, as receipts and `account show` tell it.
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<u64>,
    /// Only if so much is posted after it at least, such as 100.00, in the account's currency.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub min_balance: Option<String>,
    /// Only if no more than that is posted after it.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub max_balance: Option<String>,
}

/// Where a command came in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Channel {
    /// A person at a desk.
    Teller,
    /// A cash machine.
    Atm,
    /// A file of commands.
    Batch,
    /// A payment card.
    Card,
    /// A customer, over the network.
    Online,
}

/// An amount: `12.50 USD`, or --amount and --currency.
#[derive(Debug, Args)]
pub struct AmountArguments {
    /// The amount with its currency, such as `12.50 USD`.
    #[arg(value_name = "AMOUNT", num_args = 0..=2, allow_negative_numbers = true)]
    pub positional: Vec<String>,
    /// The amount alone, such as 12.50.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub amount: Option<String>,
    /// Its currency, such as USD.
    #[arg(long)]
    pub currency: Option<String>,
}

/// Arguments of `account open`.
#[derive(Debug, Args)]
pub struct OpenArguments {
    /// What the account is kept in, such as USD.
    #[arg(long)]
    pub currency: String,
    /// Where it is to live. Default: the only region, where there is one.
    #[arg(long)]
    pub region: Option<String>,
    /// A complete id of your own. Default: made from the key.
    #[arg(long, conflicts_with_all = ["scope", "name"])]
    pub id: Option<String>,
    /// Derive the id from a name: the scope of names.
    #[arg(long, requires = "name")]
    pub scope: Option<String>,
    /// Derive the id from a name: the name.
    #[arg(long, requires = "scope")]
    pub name: Option<String>,
    /// Put it into the shard of this account, so that commands on both can be one group.
    #[arg(long, value_name = "ACCOUNT", conflicts_with_all = ["region", "id", "name"])]
    pub beside: Option<String>,
    /// How far below zero it may go, in its currency, such as 500.00. Default: not at all.
    #[arg(
        long,
        value_name = "NUMBER",
        conflicts_with = "unlimited",
        allow_negative_numbers = true
    )]
    pub overdraft_limit: Option<String>,
    /// Let it go below zero without a limit.
    #[arg(long)]
    pub unlimited: bool,
    /// The customer whose account it is.
    #[arg(long, value_name = "CUSTOMER")]
    pub customer: Option<String>,
    /// By what others know it.
    #[command(flatten)]
    pub references: ReferencesArguments,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `account close`.
#[derive(Debug, Args)]
pub struct CloseArguments {
    /// The account's id.
    pub account: String,
    /// The account that gets what is left, anywhere. Without it, or --sweep-house, nothing may be.
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "sweep_house")]
    pub sweep_to: Option<String>,
    /// The code of the house account that gets what is left.
    #[arg(long, value_name = "CODE")]
    pub sweep_house: Option<String>,
    /// Answer when it is safe in the account's region, not only when the payee has the rest.
    #[arg(long)]
    pub accepted: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `account freeze`.
#[derive(Debug, Args)]
pub struct FreezeArguments {
    /// The account's id.
    pub account: String,
    /// Why, in the words of the law.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub kind: FreezeType,
    /// What it stops.
    #[arg(long, value_enum, default_value = "all")]
    pub blocks: FreezeBlocks,
    /// What becomes of transfers from elsewhere that are on their way.
    #[arg(long, value_enum, default_value = "returns")]
    pub arriving: FreezeArriving,
    /// When it is over by itself, such as 2026-12-31T00:00:00Z. Default: when it is lifted.
    #[arg(long, value_name = "TIME", value_parser = moment::time)]
    pub until: Option<Time>,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `account limit`.
#[derive(Debug, Args)]
pub struct LimitArguments {
    /// The account's id.
    pub account: String,
    /// How far below zero it may go from now on, in its currency, such as 500.00.
    #[arg(
        value_name = "NUMBER",
        required_unless_present = "unlimited",
        conflicts_with = "unlimited",
        allow_negative_numbers = true
    )]
    pub overdraft_limit: Option<String>,
    /// Let it go below zero without a limit.
    #[arg(long)]
    pub unlimited: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `account unfreeze`.
#[derive(Debug, Args)]
pub struct UnfreezeArguments {
    /// The account's id.
    pub account: String,
    /// Which of its freezes.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub kind: FreezeType,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Why an account is frozen.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FreezeType {
    /// A court or another authority has ordered it.
    CourtOrder,
    /// Fraud is suspected.
    Fraud,
    /// The holder has died.
    Deceased,
    /// Nothing has happened for years.
    Dormant,
    /// The holder has asked for it.
    OwnRequest,
}

/// What a freeze stops.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FreezeBlocks {
    /// What goes out.
    Debits,
    /// What comes in.
    Credits,
    /// Both.
    All,
}

/// What becomes of transfers that find their payee frozen.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FreezeArriving {
    /// They go back.
    Returns,
    /// They stay in suspense.
    Suspense,
}

/// Arguments of `deposit` and `withdraw`.
#[derive(Debug, Args)]
pub struct CashArguments {
    /// The account's id.
    pub account: String,
    /// How much.
    #[command(flatten)]
    pub amount: AmountArguments,
    /// The code of the house account on the other side.
    #[arg(long, value_name = "CODE", default_value = "cash")]
    pub house: String,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `transfer`.
#[derive(Debug, Args)]
pub struct TransferArguments {
    /// The payer's account id.
    pub from: String,
    /// The payee's account id.
    pub to: String,
    /// How much.
    #[command(flatten)]
    pub amount: AmountArguments,
    /// Answer when it is safe in the payer's region, not only when the payee has it.
    #[arg(long)]
    pub accepted: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `transaction`.
#[derive(Debug, Args)]
pub struct TransactionArguments {
    /// The transaction's id.
    #[arg(required_unless_present = "key", conflicts_with = "key")]
    pub transaction: Option<String>,
    /// Look it up by its key instead, as the same caller.
    #[arg(long, requires = "account")]
    pub key: Option<String>,
    /// The account that the command named first.
    #[arg(long, requires = "key")]
    pub account: Option<String>,
}

/// How fresh an answer must be. Default: whatever the asked region has, with its age.
#[derive(Debug, Args)]
pub struct FreshnessArguments {
    /// Ask the account's home region for the truth.
    #[arg(long, conflicts_with = "session")]
    pub strong: bool,
    /// Not older than this receipt's token; may be repeated.
    #[arg(long, value_name = "TOKEN")]
    pub session: Vec<String>,
}

/// Arguments of `balance`.
#[derive(Debug, Args)]
pub struct BalanceArguments {
    /// Ids of accounts.
    #[arg(required = true)]
    pub accounts: Vec<String>,
    /// All as they were at one time, the newest at which all of them are known where they are asked for.
    #[arg(
        long,
        conflicts_with_all = ["strong", "as_of", "as_of_time", "as_of_position"]
    )]
    pub together: bool,
    /// How fresh.
    #[command(flatten)]
    pub freshness: FreshnessArguments,
    /// Within a bound.
    #[command(flatten)]
    pub bound: BoundArguments,
    /// As of when.
    #[command(flatten)]
    pub moment: MomentArguments,
}

/// How stale an answer may be.
#[derive(Debug, Args)]
pub struct BoundArguments {
    /// Not staler than this, such as 900ms or 5s.
    #[arg(long, value_name = "TIME", value_parser = moment::duration, conflicts_with = "strong")]
    pub max_staleness: Option<Duration>,
    /// What to do where the asked region has only a staler answer.
    #[arg(
        long = "or",
        value_name = "WHAT",
        default_value = "error",
        requires = "max_staleness"
    )]
    pub otherwise: Otherwise,
}

/// What to do where a bound is not met.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Otherwise {
    /// Fail at once, and say how stale the answer would be.
    Error,
    /// Wait until it is met.
    Wait,
    /// Ask the account's home region.
    Home,
}

/// As of when.
#[derive(Debug, Args)]
#[group(multiple = false, conflicts_with_all = ["strong", "max_staleness"])]
pub struct MomentArguments {
    /// The balance at the close of a date, such as 2026-11-21.
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<String>,
    /// The balance after everything booked up to a time, such as 2026-11-21T10:00:00Z, or the
    /// `hlc` of an earlier answer.
    #[arg(long, value_name = "TIME", value_parser = moment::time)]
    pub as_of_time: Option<Time>,
    /// The balance right after a position, as answers print it: SHARD:EPOCH:INDEX.
    #[arg(long, value_name = "POSITION", value_parser = moment::position)]
    pub as_of_position: Option<Position>,
}

/// Arguments of `account show`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct ShowArguments {
    /// The account's id.
    pub account: String,
    /// As it was at the close of a date, such as 2026-11-21.
    #[arg(long, value_name = "DATE", group = "moment")]
    pub as_of: Option<String>,
    /// As it was after everything up to a time, such as 2026-11-21T10:00:00Z, or the `hlc` of an earlier
    /// answer.
    #[arg(long, value_name = "TIME", group = "moment", value_parser = moment::time)]
    pub as_of_time: Option<Time>,
    /// As it was right after a position, as answers print it: SHARD:EPOCH:INDEX.
    #[arg(long, value_name = "POSITION", group = "moment", value_parser = moment::position)]
    pub as_of_position: Option<Position>,
}

/// Arguments of `statement`.
#[derive(Debug, Args)]
pub struct StatementArguments {
    /// The account's id.
    pub account: String,
    /// How fresh.
    #[command(flatten)]
    pub freshness: FreshnessArguments,
    /// Lines from this date on.
    #[arg(long, value_name = "DATE", default_value = "")]
    pub from: String,
    /// Lines up to this date.
    #[arg(long, value_name = "DATE", default_value = "")]
    pub to: String,
    /// Which of a line's dates counts: when it was booked, or from when it is effective. The lines come
    /// in that order.
    #[arg(long, value_name = "DATE", default_value = "booked")]
    pub by: StatementBasisArgument,
    /// The last line first.
    #[arg(long)]
    pub newest_first: bool,
    /// The statement as it was known at a time, such as 2026-11-21T10:00:00Z, or the `hlc` of an
    /// earlier answer.
    #[arg(long, value_name = "TIME", value_parser = moment::time, conflicts_with_all = ["strong", "session"])]
    pub known_at: Option<Time>,
    /// The statement as it was known right after a position, as answers print it: SHARD:EPOCH:INDEX.
    #[arg(long, value_name = "POSITION", value_parser = moment::position, conflicts_with_all = ["strong", "session", "known_at"])]
    pub known_at_position: Option<Position>,
    /// The lines as CSV, for a spreadsheet.
    #[arg(long)]
    pub csv: bool,
    /// The most lines to show.
    #[arg(long, value_name = "LINES", default_value_t = 1_000)]
    pub limit: usize,
}

/// Which of a line's dates counts.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum StatementBasisArgument {
    /// The business date on which it was booked.
    Booked,
    /// The date from which it counts.
    Effective,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The import's name; ids and keys derive from it.
    pub name: String,
    /// The folder with accounts.csv, transfers.csv and balances.csv.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub from: PathBuf,
    /// The most calls at a time.
    #[arg(long, default_value_t = 256)]
    pub concurrency: usize,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The data directory; nothing in it is changed.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Compare with heads from elsewhere: what `meridian heads` or `verify` printed there, or lines
    /// of `shard index hash`.
    #[arg(long, value_name = "FILE")]
    pub heads: Option<PathBuf>,
    /// The ledger's topology: heads must then be signed by their shards' home regions, those of
    /// `--heads` and those that the node was told.
    #[arg(long, value_name = "FILE")]
    pub topology: Option<PathBuf>,
    /// Where the node has moved what is old of its logs: a directory, or s3://bucket/prefix.
    #[arg(long, value_name = "PLACE")]
    pub archive: Option<String>,
    /// How many findings to list; the others are counted.
    #[arg(long, value_name = "FINDINGS", default_value_t = 100)]
    pub limit: usize,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The data directory; nothing in it is changed.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Whose journal.
    #[arg(long, value_enum)]
    pub format: JournalFormat,
    /// What counts from this date on.
    #[arg(long, value_name = "DATE")]
    pub from_date: Option<String>,
    /// What counts up to this date.
    #[arg(long, value_name = "DATE")]
    pub to_date: Option<String>,
    /// Only transactions that touch one of these accounts; ids, separated by commas.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub accounts: Vec<String>,
    /// A CSV file with the columns `id` and `name`: how to call accounts.
    #[arg(long, value_name = "FILE")]
    pub names: Option<PathBuf>,
    /// Where the node has moved what is old of its logs: a directory, or s3://bucket/prefix.
    #[arg(long, value_name = "PLACE")]
    pub archive: Option<String>,
}

/// Programs for plain-text accounting.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum JournalFormat {
    /// Beancount 2 and 3.
    Beancount,
    /// hledger.
    Hledger,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number of seconds"))?;
    match seconds {
        1..=3_600 => Ok(Duration::from_secs(seconds)),
        _ => Err("a deadline is 1 to 3600 seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn commands_are_read() {
        for line in [
            "meridian status --json --node a:1,b:2",
            "meridian account open --currency USD --region eu-west --overdraft-limit 500.00",
            "meridian deposit ID 12.50 USD --key k --first-attempt 7",
            "meridian withdraw ID -12.50 USD",
            "meridian withdraw ID 1 USD --if-version 7 --min-balance -5.00 --dry-run",
            "meridian account freeze A --type court-order --blocks debits --until 2030-01-01T00:00:00Z",
            "meridian account unfreeze A --type own-request",
            "meridian account limit A 500.00 --as auditor",
            "meridian account limit A --unlimited",
            "meridian account open --currency USD --beside A",
            "meridian group FILE.csv --key k --dry-run",
            "meridian group - --format jsonl --reason correction",
            "meridian account declined A --limit 5 --json",
            "meridian transfer A B --amount 1 --currency JPY --accepted",
            "meridian hold place A 80.00 EUR --expires-after 72h --key k",
            "meridian hold capture A tx-1 --to B --final --accepted",
            "meridian hold capture A tx-1 12.50 EUR --house fees",
            "meridian hold list A --all --json",
            "meridian account close A --sweep-to B --accepted",
            "meridian reverse tx-1 --amount 2.50 --key k",
            "meridian account open --currency USD --iban DE8937 --iban NO938 --known-as x",
            "meridian reference claim A --known-as x --key k",
            "meridian reference release A --iban DE89",
            "meridian find --iban DE89 --region eu-west --json",
            "meridian customer open --region eu-west --key k",
            "meridian customer accounts customer:C --max-staleness 5s --or wait",
            "meridian customer detach customer:C A",
            "meridian customer profile customer:C --name N --contact a --contact b --known-as x",
            "meridian customer legal-hold customer:C --lift --as clerk",
            "meridian customer erase customer:C --key k --dry-run",
            "meridian keys prepare --config node.toml",
            "meridian keys rewrap --config node.toml --json",
            "meridian account open --currency USD --region eu-west --customer customer:C",
            "meridian suspense list eu-west --limit 5",
            "meridian suspense clear A tx-1 --house fees --key k",
            "meridian balance A B --session t1 --session t2 --as-of 2026-01-01",
            "meridian transaction --key k --account A",
            "meridian import household-7 --from data",
            "meridian submit payments.csv --check",
            "meridian submit - --format jsonl --results out.jsonl --run june",
            "meridian verify data --heads other.txt --json",
            "meridian export data --format hledger --from-date 2026-01-01 --accounts A,B",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
        let arguments = parse("meridian status --node a:1,b:2").unwrap();
        assert_eq!(arguments.connection.nodes, ["a:1", "b:2"]);
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "meridian account open --currency USD --unlimited --overdraft-limit 1",
            "meridian account open --currency USD --id X --scope s --name n",
            "meridian deposit ID 1 USD --first-attempt 7",
            "meridian find --iban DE89 --known-as x",
            "meridian reference claim A",
            "meridian balance A --strong --session t",
            "meridian balance",
            "meridian transaction",
            "meridian status --deadline 0",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
