use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use replication::world::Archive;
use serde_json::{Value, json};

use super::args::VerifyArguments;
use super::exit::{self, Failure};
use super::output::Output;
use crate::objects::Objects;
use crate::verify::{
    self, Expected, Finding, Options, Progress, Report, ShardReport, Signers, sum_text,
};

pub fn verify(given: &VerifyArguments) -> Result<Output, Failure> {
    let signers = read(&given.topology, Signers::parse)?;
    let expected = read(&given.heads, |text| match &signers {
        Some(signers) => Expected::parse_signed(text, signers),
        None => Expected::parse(text),
    })?;
    let options = Options {
        expected: expected.unwrap_or_default(),
        signers,
        archive: given.archive.as_deref().map(archive).transpose()?,
        limit: given.limit,
    };
    let bar = Bar::new();
    let report = verify::verify(&given.directory, options, &|progress| bar.show(progress));
    bar.0.finish_and_clear();
    Ok(output(&report?))
}

/// The archive at a place.
pub(super) fn archive(place: &str) -> Result<Arc<dyn Archive>, Failure> {
    let objects = Objects::open(place).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Arc::new(objects))
}

/// What a file says that may have been given.
fn read<T, E: std::fmt::Display>(
    file: &Option<PathBuf>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    let Some(file) = file else {
        return Ok(None);
    };
    let wrong = |why: String| Failure::Usage(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let parsed = parse(&text).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(parsed))
}

/// Shown on a terminal only: nobody's log fills up.
pub(super) struct Bar(pub(super) ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("reading {wide_bar} {pos}/{len} {elapsed}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    pub(super) fn show(&self, progress: Progress) {
        self.0.set_length(progress.total);
        self.0.set_position(progress.done);
    }
}

fn output(report: &Report) -> Output {
    let exit_code = if report.found == 0 {
        exit::OK
    } else {
        exit::DIFFERS
    };
    Output {
        text: text(report),
        json: json(report),
        exit_code,
    }
}

fn text(report: &Report) -> String {
    let mut text = format!("Node {} of {}\n", report.node, report.region);
    if report.torn_end {
        text.push_str("The newest write is incomplete, and left out.\n");
    }
    for shard in &report.shards {
        text.push_str(&shard_text(shard));
    }
    for channel in &report.channels {
        text.push_str(&format!(
            "Channel {} to {}: {} sent, {} recorded, {} closed\n",
            channel.source, channel.destination, channel.sent, channel.recorded, channel.closed
        ));
    }
    text.push_str("\nHeads (shard, index, hash):\n");
    for shard in &report.shards {
        if let Some((index, head)) = shard.head_index.zip(shard.head) {
            let head = crate::secrets::hex(&head);
            text.push_str(&format!("{} {index} {head}\n", shard.shard));
        }
    }
    text.push('\n');
    for finding in &report.findings {
        text.push_str(&format!("Wrong: {finding}\n"));
    }
    let listed = report.findings.len() as u64;
    match report.found {
        0 => text.push_str("Everything holds.\n"),
        1 => text.push_str("1 thing DOES NOT HOLD.\n"),
        found if found > listed => text.push_str(&format!(
            "{found} things DO NOT HOLD; the first {listed} are listed.\n"
        )),
        found => text.push_str(&format!("{found} things DO NOT HOLD.\n")),
    }
    text
}

fn shard_text(shard: &ShardReport) -> String {
    let place = if shard.at_home { "votes here" } else { "copy" };
    let region = shard.region.as_deref().unwrap_or("unknown");
    let range = match (shard.first, shard.last) {
        (Some(first), Some(last)) => format!("{} indexes, {first} to {last}", shard.indexes),
        _ => "no index".to_owned(),
    };
    let void = match shard.first_void {
        Some(first) => format!("{} void, the first at {first}", shard.void),
        None => "0 void".to_owned(),
    };
    let mut text = format!(
        "Shard {} ({region}, {place}): {range}; {} entries, {void}; {} accounts\n",
        shard.shard, shard.entries, shard.accounts
    );
    for (currency, sums) in &shard.sums {
        text.push_str(&format!(
            "  customers have {}, the book comes to {}\n",
            sum_text(sums.customers, *currency),
            sum_text(sums.book, *currency)
        ));
    }
    if let Some(index) = shard.snapshot {
        text.push_str(&format!("  a snapshot of index {index}\n"));
    }
    if let Some(index) = shard.told_beyond {
        text.push_str(&format!(
            "  its home has signed a head of index {index}, which is not here\n"
        ));
    }
    for (first, last) in &shard.not_held {
        text.push_str(&format!(
            "  not held here: {first} to {last}; the book was not recomputed\n"
        ));
    }
    if let (Some(last), settled) = (shard.last, shard.settled)
        && settled < Some(last)
    {
        let from = settled.map_or(0, |index| index + 1);
        text.push_str(&format!(
            "  not known to be committed: {from} to {last}; not in the book\n"
        ));
    }
    text
}

fn json(report: &Report) -> Value {
    json!({
        "holds": report.found == 0,
        "node": report.node,
        "region": report.region,
        "torn_end": report.torn_end,
        "shards": report.shards.iter().map(shard_json).collect::<Vec<_>>(),
        "channels": report.channels.iter().map(|channel| json!({
            "source": channel.source, "destination": channel.destination,
            "sent": channel.sent, "recorded": channel.recorded, "closed": channel.closed,
        })).collect::<Vec<_>>(),
        "found": report.found,
        "findings": report.findings.iter().map(finding_json).collect::<Vec<_>>(),
    })
}

fn shard_json(shard: &ShardReport) -> Value {
    // Sums of a whole book may be beyond the numbers of JSON.
    let sums = shard.sums.iter().map(|(currency, sums)| {
        json!({
            "currency": currency.code(),
            "customers_minor_units": sums.customers.to_string(),
            "book_minor_units": sums.book.to_string(),
        })
    });
    json!({
        "shard": shard.shard,
        "region": shard.region,
        "votes_here": shard.at_home,
        "first": shard.first,
        "last": shard.last,
        "indexes": shard.indexes,
        "settled": shard.settled,
        "entries": shard.entries,
        "void": shard.void,
        "first_void": shard.first_void,
        "accounts": shard.accounts,
        "sums": sums.collect::<Vec<_>>(),
        "head_index": shard.head_index,
        "head": shard.head.map(|head| crate::secrets::hex(&head)),
        "snapshot": shard.snapshot,
        "told_compared": shard.told_compared,
        "told_beyond": shard.told_beyond,
        "not_held": shard.not_held,
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "shard": finding.shard,
        "index": finding.index,
        "part": finding.part.to_string(),
        "what": finding.what,
    })
}
