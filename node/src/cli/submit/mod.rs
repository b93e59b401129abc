//! `meridian submit`: the commands of a file, each done once, however often it is run.
//!
//! Every line is read and checked before anything is sent ([`lines`], [`command`]). Then the commands
//! go to the ledger as one stream, and what becomes of each is written down ([`results`]). The key of
//! a line derives from the run's name and the line's number, and the time of the first attempt is
//! kept, so that what is sent again is not done again.

mod command;
mod group;
mod lines;
mod results;

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::exit::{self, Failure};
use super::output::{Output, receipt_json, rejection_json, status};
use super::progress;
use crate::api::{teller::v1::BatchCommand, v1::TransactionStatus};
use crate::client::{self, Client, Submitted};
use command::Item;
pub use group::{GroupArguments, group};
use results::{Results, Start, Written};

/// The most problems that are named at a time.
const NAMED: usize = 10;
/// The longest name of a run: with what is around it, it is a key.
const LONGEST_RUN: usize = 64;

/// Arguments of `submit`.
#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// The file, one command a line; `-` for standard input.
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

/// What is kept of a command while it is under way.
struct UnderWay {
    line: u64,
    kind: String,
    key: String,
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
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                bar.finish_and_clear();
                return Err(Failure::Submit(Stopped {
                    line: under_way.recv().await.map_or(0, |it| it.line),
                    file: file.name,
                    answered: summary.lines,
                    lines: file.lines,
                    error,
                }));
            }
        };
        let Some(command) = under_way.recv().await else {
            break;
        };
        let written = written(command, answer);
        results.write(&written)?;
        summary.note(&written);
        bar.inc(1);
    }
    bar.finish_and_clear();
    results.close()?;
    Ok(summary.output(&file.name, &path))
}

fn written(command: UnderWay, answer: Submitted) -> Written {
    let UnderWay { line, kind, key } = command;
    let (outcome, receipt, rejection) = match answer.outcome {
        Ok(receipt) => {
            let outcome = status(receipt.status());
            let returned = receipt.status() == TransactionStatus::Returned;
            let why = match returned {
                true => rejection_json(&receipt.rejection),
                false => Value::Null,
            };
            (outcome, receipt_json(&receipt), why)
        }
        Err(why) => {
            let why = json!({
                "code": why.code,
                "message": why.message,
                "retryable": why.retryable,
                "recorded": why.recorded,
                "help": why.help,
            });
            (status(TransactionStatus::Rejected), Value::Null, why)
        }
    };
    Written {
        line,
        kind,
        key,
        outcome: outcome.to_owned(),
        account_id: (!answer.account_id.is_empty()).then_some(answer.account_id),
        receipt,
        rejection,
    }
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
        Ok(Self {
            lines: checked(&name, &text, format)?,
            name,
            text: text.into(),
            format,
            start: Start {
                run,
                digest,
                caller: caller.to_owned(),
                first_attempt_unix_ms: jiff::Timestamp::now().as_millisecond(),
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
            for line in lines::read(&text, format) {
                // Everything was read once before: what is wrong now is not there.
                let item = line.fields.and_then(command::read);
                if let (Ok(mut item), Err(_)) = (item, done.binary_search(&line.number)) {
                    let key = complete(&mut item, &start, line.number);
                    let under_way = UnderWay {
                        line: line.number,
                        kind: item.kind,
                        key,
                    };
                    if ready.send((under_way, item.command)).await.is_err() {
                        return;
                    }
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

/// Gives a command its key, where it has none of its own, and the time of the first attempt.
fn complete(item: &mut Item, start: &Start, line: u64) -> String {
    let Some(context) = item.command.context_mut() else {
        return String::new();
    };
    if context.idempotency_key.is_empty() {
        context.idempotency_key = format!("submit/{}/{line}", start.run);
    }
    context.first_attempt_unix_ms = start.first_attempt_unix_ms;
    context.idempotency_key.clone()
}

/// How many lines there are, if all can be read.
fn checked(name: &str, text: &[u8], format: Format) -> Result<usize, Failure> {
    let mut problems = Vec::new();
    let mut keys: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut count = 0;
    for line in lines::read(text, format) {
        count += 1;
        let wrong = match line.fields.and_then(command::read) {
            Err(wrong) => Some(wrong),
            Ok(mut item) => {
                let context = item.command.context_mut();
                let key = context.map(|it| it.idempotency_key.clone());
                let key = key.filter(|key| !key.is_empty());
                let first = key.and_then(|key| keys.insert((item.account, key), line.number));
                first.map(|first| format!("key: line {first} has the same one"))
            }
        };
        if let Some(wrong) = wrong {
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

/// What became of all lines, in numbers.
#[derive(Default)]
struct Summary {
    lines: usize,
    /// Answered by an earlier run.
    earlier: usize,
    accepted: usize,
    /// Of the accepted, those that this run found done already.
    duplicates: usize,
    returned: usize,
    rejected: usize,
    codes: BTreeMap<String, usize>,
}

impl Summary {
    fn note(&mut self, written: &Written) {
        self.lines += 1;
        match written.outcome.as_str() {
            "rejected" => self.rejected += 1,
            "returned" => self.returned += 1,
            _ => self.accepted += 1,
        }
        self.duplicates += usize::from(written.is_duplicate());
        if let Some(code) = written.code() {
            *self.codes.entry(code.to_owned()).or_default() += 1;
        }
    }

    fn output(self, file: &str, results: &Path) -> Output {
        let results = results.display().to_string();
        let codes: Vec<_> = self
            .codes
            .iter()
            .map(|(code, n)| format!("{n} {code}"))
            .collect();
        let why = match codes.is_empty() {
            true => String::new(),
            false => format!(" ({})", codes.join(", ")),
        };
        let mut text = format!(
            "{file}: {} lines, {} accepted, {} returned, {} rejected{why}.\n",
            self.lines, self.accepted, self.returned, self.rejected
        );
        if self.earlier > 0 {
            text.push_str(&format!(
                "{} were answered by an earlier run.\n",
                self.earlier
            ));
        }
        if self.duplicates > 0 {
            let duplicates = self.duplicates;
            text.push_str(&format!(
                "{duplicates} had been done before they were sent.\n"
            ));
        }
        text.push_str(&format!("What became of each: {results}\n"));
        let json = json!({
            "file": file,
            "lines": self.lines,
            "accepted": self.accepted,
            "returned": self.returned,
            "rejected": self.rejected,
            "by_code": self.codes,
            "answered_earlier": self.earlier,
            "duplicates": self.duplicates,
            "results": results,
        });
        let all_done = self.returned + self.rejected == 0;
        Output {
            text,
            json,
            exit_code: if all_done { exit::OK } else { exit::REJECTED },
        }
    }
}
