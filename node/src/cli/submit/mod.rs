//! `meridian submit`: the commands of a file, each done once, however often it is run.
//!
//! Every line is read and checked before anything is sent ([`lines`], [`command`]). Then the commands
//! go to the ledger as one stream, those of a group as one ([`together`]), and what becomes of each is
//! written down ([`results`]). The key of a line derives from the run's name and the line's number, and
//! the time of the first attempt is kept, so that what is sent again is not done again.

mod command;
mod given;
mod group;
mod lines;
mod results;
mod summary;
mod together;

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    iter,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use replication::world::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::exit::Failure;
use super::output::{Output, receipt_json, rejection_json, status};
use super::progress;
use crate::api::{teller::v1::BatchCommand, v1::TransactionStatus};
use crate::client::{self, Client, Submitted};
pub use group::{GroupArguments, group};
use results::{Results, Start, Written};
use summary::Summary;
use together::{Groups, UnderWay, Unit};

/// The most problems that are named at a time.
const NAMED: usize = 10;
/// The longest name of a run: with what is around it, it is a key.
const LONGEST_RUN: usize = 64;

/// Arguments of `submit`.
#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// The file, one command a line; `-` for standard input. Lines that stand together and have the
    /// same `group` are done together or not at all.
    pub file: PathBuf,
    /// How it is written. Default: as its name ends.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Only check that every line can be read.
    #[arg(long)]
    pub check: bool,
    /// Where to write what becomes of each line. Default: FILE.results.jsonl.
    #[arg(long, value_name = "PATH")]
    pub results: Option<PathBuf>,
    /// What the keys of the lines derive from. Default: all that is in the file, so that the same
    /// file is the same run.
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
}

/// How a file of commands is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// A header with the names of the fields, and a record for each command.
    Csv,
}

/// A file was not submitted to its end.
#[derive(Debug, thiserror::Error)]
#[error(
    "{file}: line {line} and those after it have no answer yet ({answered} of {lines} have): {error}; run it again"
)]
pub struct Stopped {
    file: String,
    line: u64,
    answered: usize,
    lines: usize,
    /// What stood in the way.
    pub error: client::Error,
}

/// A file whose every line can be read.
struct File {
    name: String,
    text: Arc<[u8]>,
    format: Format,
    lines: usize,
    start: Start,
    results: Option<PathBuf>,
}

pub fn check(given: &SubmitArguments, caller: &str) -> Result<Output, Failure> {
    let file = File::read(given, caller)?;
    let text = format!("{}: {} lines, all can be read.\n", file.name, file.lines);
    let json = json!({ "file": file.name, "lines": file.lines, "run": file.start.run });
    Ok(Output::ok(text, json))
}

pub async fn submit(
    client: &Client,
    given: SubmitArguments,
    caller: &str,
) -> Result<Output, Failure> {
    let file = File::read(&given, caller)?;
    let path = file.results.clone().ok_or_else(|| {
        Failure::Usage("standard input has no name of its own: name the --results".to_owned())
    })?;
    let mut results = Results::open(&path, file.start.clone())?;
    let mut summary = Summary::default();
    results.earlier.values().for_each(|it| summary.note(it));
    summary.earlier = results.earlier.len();

    let (commands, mut under_way) = file.commands(&results);
    let mut answers = client.submit(commands);
    let bar = progress::bar(file.lines as u64);
    bar.set_message("submitting");
    bar.set_position(results.earlier.len() as u64);
    while let Some(answer) = answers.next().await {
        let command = under_way.recv().await;
        let line = command.as_ref().map_or(0, UnderWay::line);
        let told = match (answer, command) {
            (Ok(answer), Some(command)) => written(command, answer),
            (Ok(_), None) => break,
            (Err(error), _) => Err(error),
        };
        let mut written = match told {
            Ok(written) => written,
            Err(error) => {
                bar.finish_and_clear();
                return Err(Failure::Submit(Stopped {
                    line,
                    file: file.name,
                    answered: summary.lines,
                    lines: file.lines,
                    error,
                }));
            }
        };
        // A crash may have left some lines of a group.
        written.retain(|it| !results.earlier.contains_key(&it.line));
        results.write(&written)?;
        written.iter().for_each(|it| summary.note(it));
        bar.inc(written.len() as u64);
    }
    bar.finish_and_clear();
    results.close()?;
    Ok(summary.output(&file.name, &path))
}

/// What became of each line of a command.
///
/// # Errors
///
/// A group's answer that is not one for each of its lines.
fn written(command: UnderWay, answer: Submitted) -> Result<Vec<Written>, client::Error> {
    let UnderWay { lines, group, key } = command;
    let account_id = Some(answer.account_id).filter(|id| !id.is_empty());
    let written =
        |line, kind, outcome: TransactionStatus, account_id, receipt, rejection| Written {
            line,
            kind,
            key: key.clone(),
            group: group.clone(),
            outcome: status(outcome).to_owned(),
            account_id,
            receipt,
            rejection,
        };
    let first = match answer.outcome {
        Ok(receipt) => receipt,
        Err(why) => {
            let mut rejection = json!({
                "code": why.code,
                "message": why.message,
                "retryable": why.retryable,
                "recorded": why.recorded,
                "help": why.help,
            });
            if why.group_item > 0 {
                rejection["group_item"] = why.group_item.into();
            }
            let lines = lines.into_iter().map(|(line, kind)| {
                let outcome = TransactionStatus::Rejected;
                written(line, kind, outcome, None, Value::Null, rejection.clone())
            });
            return Ok(lines.collect());
        }
    };
    let receipts = 1 + answer.others.len();
    if receipts != lines.len() {
        let what = format!("{receipts} receipts for {} commands", lines.len());
        return Err(client::Error::Malformed(what));
    }
    let receipts = iter::once(first).chain(answer.others);
    let all = lines
        .into_iter()
        .zip(receipts)
        .map(|((line, kind), receipt)| {
            let why = match receipt.status() {
                TransactionStatus::Returned => rejection_json(&receipt.rejection),
                _ => Value::Null,
            };
            // A group's answer names what it opened in its receipts alone.
            let opened =
                (group.is_some() && kind == "open").then(|| receipt.balances_after.first());
            let opened = opened.flatten().map(|after| after.account_id.clone());
            let account_id = opened.or_else(|| account_id.clone());
            let (outcome, receipt) = (receipt.status(), receipt_json(&receipt));
            written(line, kind, outcome, account_id, receipt, why)
        });
    Ok(all.collect())
}

fn is_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// What a file is called, what is in it, and how it is written.
fn contents(file: &Path, format: Option<Format>) -> Result<(String, Vec<u8>, Format), Failure> {
    let name = match is_input(file) {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    };
    let wrong = |what: &dyn std::fmt::Display| Failure::Usage(format!("{name}: {what}"));
    let ending = file.extension().and_then(|ending| ending.to_str());
    let format = match (format, ending) {
        (Some(format), _) => format,
        (None, Some("csv")) => Format::Csv,
        (None, Some("jsonl" | "ndjson")) => Format::Jsonl,
        _ => return Err(wrong(&"say its --format, csv or jsonl")),
    };
    let mut text = Vec::new();
    let read = match is_input(file) {
        true => std::io::stdin().read_to_end(&mut text).map(|_| ()),
        false => fs::read(file).map(|read| text = read),
    };
    read.map_err(|error| wrong(&error))?;
    Ok((name, text, format))
}

impl File {
    /// Reads all of it. What is wrong is named by line.
    fn read(given: &SubmitArguments, caller: &str) -> Result<Self, Failure> {
        let (name, text, format) = contents(&given.file, given.format)?;
        let digest = blake3::hash(&text).to_hex().to_string();
        let run = given.run.clone().unwrap_or_else(|| digest[..32].to_owned());
        if run.is_empty() || run.len() > LONGEST_RUN {
            let what = format!("the name of a run has 1 to {LONGEST_RUN} bytes");
            return Err(Failure::Usage(what));
        }
        let results = given.results.clone().or_else(|| {
            let beside = || given.file.with_added_extension("results.jsonl");
            (!is_input(&given.file)).then(beside)
        });
        let now = SystemClock.wall_nanos() / 1_000_000;
        Ok(Self {
            lines: checked(&name, &text, format)?,
            name,
            text: text.into(),
            format,
            start: Start {
                run,
                digest,
                caller: caller.to_owned(),
                first_attempt_unix_ms: i64::try_from(now).unwrap_or(i64::MAX),
            },
            results,
        })
    }

    /// The commands that are yet to be done, and, in the same order, what is kept of them.
    fn commands(
        &self,
        results: &Results,
    ) -> (
        impl futures_util::Stream<Item = BatchCommand> + Send + 'static,
        mpsc::UnboundedReceiver<UnderWay>,
    ) {
        let (text, format) = (self.text.clone(), self.format);
        let start = results.start.clone();
        let done: Vec<u64> = results.earlier.keys().copied().collect();
        let (ready, taken) = mpsc::channel(1);
        tokio::spawn(async move {
            for unit in together::units(lines::read(&text, format), &start) {
                let Unit { under_way, command } = unit;
                let is_done = |(line, _): &(u64, String)| done.binary_search(line).is_ok();
                if under_way.lines.iter().all(is_done) {
                    continue;
                }
                if ready.send((under_way, command)).await.is_err() {
                    return;
                }
            }
        });
        // As long as what the stream takes ahead of its answers.
        let (note, under_way) = mpsc::unbounded_channel();
        let commands = ReceiverStream::new(taken).map(move |(noted, command)| {
            // Nobody needs it where the answers are not read any more.
            let _ = note.send(noted);
            command
        });
        (commands, under_way)
    }
}

/// How many lines there are, if all can be read.
fn checked(name: &str, text: &[u8], format: Format) -> Result<usize, Failure> {
    let mut problems = Vec::new();
    let mut keys: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut groups = Groups::default();
    let mut count = 0;
    for line in lines::read(text, format) {
        count += 1;
        let read = line.fields.and_then(|mut fields| {
            let is_first = groups.take(line.number, together::group_of(&mut fields))?;
            let mut item = command::read(fields)?;
            groups.check(&mut item, is_first)?;
            let key = item.key();
            if key.is_empty() || !is_first {
                return Ok(());
            }
            match keys.insert((item.account, key), line.number) {
                Some(first) => Err(format!("key: line {first} has the same one")),
                None => Ok(()),
            }
        });
        if let Err(wrong) = read {
            problems.push(format!("{name}:{}: {wrong}", line.number));
        }
    }
    if problems.is_empty() {
        return Ok(count);
    }
    let more = problems.len().saturating_sub(NAMED);
    problems.truncate(NAMED);
    if more > 0 {
        problems.push(format!("and {more} lines more"));
    }
    problems.push("nothing was sent".to_owned());
    Err(Failure::Usage(problems.join("\n")))
}
