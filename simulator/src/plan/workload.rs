use serde::{Deserialize, Serialize};

use super::Hunt;

/// One client of the bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its name, unique among all hosts.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// How it behaves.
    pub habits: Habits,
}

/// How a client behaves. Shares are parts of a thousand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Habits {
    /// It leaves after so many requests, if the bank has not closed before.
    pub requests: u64,
    /// The longest it waits before the next request, in milliseconds.
    pub think_ms: u64,
    /// How often it chooses among the accounts of its own region.
    pub near: u16,
    /// How uneven its choice among accounts is: the exponent of Zipf's law in thousandths. Zero is
    /// even; at 1000 the first account is chosen twice as often as the second.
    pub zipf: u16,
    /// How many nodes of other regions it asks too.
    pub far_nodes: u16,
    /// Of its wishes, how many only look.
    pub looks: u16,
    /// Of its wishes, how many pay in.
    pub deposits: u16,
    /// Of its wishes, how many pay out.
    pub withdrawals: u16,
    /// Of its wishes, how many close an account for ever. All others are transfers.
    #[serde(default)]
    pub closes: u16,
    /// Of its wishes, how many are about holds: place one, raise, capture or release one.
    #[serde(default)]
    pub holds: u16,
    /// How often several wishes are sent together.
    #[serde(default)]
    pub batches: u16,
    /// How often it looks up what became of a command.
    #[serde(default)]
    pub looks_up: u16,
    /// Of its commands, how many depend on what it knows of the account.
    #[serde(default)]
    pub conditions: u16,
    /// How often it freezes an account, or thaws one.
    #[serde(default)]
    pub freezes: u16,
    /// How often it does what takes a privilege: changes a limit, or pays out whatever is left.
    #[serde(default)]
    pub overrides: u16,
    /// How often it asks for several things that are to be done together or not at all.
    #[serde(default)]
    pub groups: u16,
    /// Of what it sends together, how much has a group among its commands.
    #[serde(default)]
    pub groups_among: u16,
    /// How often it moves a payment back in parts, or a journal, and asks for more of that.
    #[serde(default)]
    pub reversals: u16,
    /// How often it limits what may be spent by a channel, and then spends up to that and beyond.
    #[serde(default)]
    pub limits: u16,
    /// How often it closes the day of a shard, or books as of a day that may be closed.
    #[serde(default)]
    pub days: u16,
    /// How often it asks by a channel, or changes how much may be spent by one.
    #[serde(default)]
    pub channels: u16,
    /// How often it claims a reference for an account, gives one back, or asks for whom one stands.
    #[serde(default)]
    pub references: u16,
    /// How often it gives a customer an account, or takes it away; says who a customer is, and has that
    /// forgotten.
    #[serde(default)]
    pub customers: u16,
    /// How often it asks for a journal, or how far one is.
    #[serde(default)]
    pub journals: u16,
    /// How often it only asks what would become of a command.
    #[serde(default)]
    pub dry_runs: u16,
    /// How often it looks after it has paid.
    pub looks_again: u16,
    /// Of its looks, how many need not be at the very truth: local, session, bounded, as of.
    pub stale_looks: u16,
    /// Of its transfers, how many go to an account that nobody has.
    pub to_nobody: u16,
    /// How often it goes away before it is told, and asks again later through whoever is there.
    pub abandons: u16,
    /// How often it never asks again when it was not told.
    pub gives_up: u16,
    /// How often it asks again when it was told.
    pub asks_again: u16,
    /// How often it asks for something that makes no sense.
    pub nonsense: u16,
    /// What it does instead of all that, if it is after one thing only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hunts: Option<Hunt>,
    /// In which order it reads the events of a region, if it does that and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<Reads>,
    /// Whether it opens accounts that are known by references, and does nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opens: bool,
    /// Whether it has nodes make their read models again, and does nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebuilds: bool,
    /// The consumer group that it has members of and looks after, if it does that and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumes: Option<Consumes>,
}

/// A consumer group, and who takes part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumes {
    /// In which order it is told.
    pub order: Consumed,
    /// Whether it reads one account or shard alone, where its order lets it.
    pub narrow: bool,
    /// Whether it reads another region than the one that keeps it, where there is one.
    pub abroad: bool,
    /// How many members it has at a time, at most.
    pub members: u32,
}

/// In which order a consumer group is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consumed {
    /// Each account's events in their own.
    Account,
    /// Each shard's in its own.
    Shard,
    /// By time.
    Cut,
}

/// In which order the events of a region's shards are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reads {
    /// Each shard in its own.
    Shard,
    /// By time, over all of them.
    Cut,
}

impl Default for Habits {
    /// Somebody who asks the nodes of the region for ordinary things, at the very truth.
    fn default() -> Self {
        Habits {
            requests: u64::MAX,
            think_ms: 120,
            near: 500,
            zipf: 0,
            far_nodes: 0,
            looks: 200,
            // A little more comes in than goes out, so that refusals stay a part of it and not all.
            deposits: 250,
            withdrawals: 150,
            closes: 0,
            holds: 0,
            batches: 0,
            looks_up: 0,
            conditions: 0,
            freezes: 0,
            overrides: 0,
            groups: 0,
            groups_among: 0,
            reversals: 0,
            limits: 0,
            days: 0,
            channels: 0,
            references: 0,
            customers: 0,
            journals: 0,
            dry_runs: 0,
            looks_again: 500,
            stale_looks: 0,
            to_nobody: 50,
            abandons: 0,
            gives_up: 300,
            asks_again: 100,
            nonsense: 0,
            hunts: None,
            reads: None,
            opens: false,
            rebuilds: false,
            consumes: None,
        }
    }
}
