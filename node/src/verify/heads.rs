//! Heads that another node, or this one at another time, has told.
//!
//! One head says everything about all before it: two nodes whose logs have the same head at one
//! index have the same history up to there. So what a single directory cannot show, a history that
//! was made anew from some place on or cut at its end, shows here.

use std::collections::BTreeMap;

use super::finding::{Findings, Part};
use super::stored::{Hash, hex};

/// Expected heads: by shard and index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected(BTreeMap<(u32, u64), Hash>);

/// A text that has no heads in it, or a line that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeads {
    /// A line.
    #[error("line {0} is no head: it reads `shard index hash`, the hash as 64 hexadecimal digits")]
    Line(usize),
    /// The whole text.
    #[error(
        "there is no head in it: lines of `shard index hash`, or what `meridian verify` prints"
    )]
    Empty,
}

impl Expected {
    /// Reads lines of shard, index and hash. Lines that do not begin with a digit are prose, so what
    /// `meridian verify` prints, as text or as JSON, can be read as it is.
    pub fn parse(text: &str) -> Result<Self, InvalidHeads> {
        let heads = match serde_json::from_str::<Printed>(text) {
            Ok(printed) => printed.heads().collect(),
            Err(_) => lines(text)?,
        };
        if heads.is_empty() {
            return Err(InvalidHeads::Empty);
        }
        Ok(Self(heads))
    }

    /// The record of an index is here, with this head.
    pub(super) fn check(&mut self, shard: u32, index: u64, head: Hash, findings: &mut Findings) {
        if let Some(expected) = self.0.remove(&(shard, index))
            && expected != head
        {
            let what = format!(
                "{} was expected, and the log comes to {}",
                hex(&expected),
                hex(&head)
            );
            findings.add(shard, index, Part::Expected, what);
        }
    }

    /// What was never met.
    pub(super) fn finish(self, findings: &mut Findings) {
        for (shard, index) in self.0.into_keys() {
            let what = "it cannot be compared: the index is not here, or cannot be read";
            findings.add(shard, index, Part::Expected, what);
        }
    }
}

fn lines(text: &str) -> Result<BTreeMap<(u32, u64), Hash>, InvalidHeads> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
        .map(|(number, line)| head(line).ok_or(InvalidHeads::Line(number)))
        .collect()
}

fn head(line: &str) -> Option<((u32, u64), Hash)> {
    let mut words = line.split_whitespace();
    let (shard, index) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let hash = hash(words.next()?)?;
    words.next().is_none().then_some(((shard, index), hash))
}

fn hash(digits: &str) -> Option<Hash> {
    replication::topology::key_bytes(digits)
}

/// The part of `meridian verify --json` that matters here.
#[derive(serde::Deserialize)]
struct Printed {
    shards: Vec<PrintedShard>,
}

#[derive(serde::Deserialize)]
struct PrintedShard {
    shard: u32,
    head_index: Option<u64>,
    head: Option<String>,
}

impl Printed {
    fn heads(self) -> impl Iterator<Item = ((u32, u64), Hash)> {
        self.shards
            .into_iter()
            .filter_map(|it| Some(((it.shard, it.head_index?), hash(&it.head?)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_printed() {
        let digits = "0a".repeat(32);
        let expected = Expected(BTreeMap::from([((3, 17), [10; 32])]));
        for text in [
            format!("3 17 {digits}"),
            format!("Everything holds.\n\n  3   17 {digits}\nshard 4 none\n"),
            format!(r#"{{"shards":[{{"shard":3,"head_index":17,"head":"{digits}","void":0}}]}}"#),
        ] {
            assert_eq!(Expected::parse(&text).as_ref(), Ok(&expected), "{text}");
        }
        assert_eq!(Expected::parse("nothing\n"), Err(InvalidHeads::Empty));
        for bad in ["3 17", "3 17 0a", &format!("\n3 17 {digits} x")] {
            let line = bad.lines().count();
            assert_eq!(Expected::parse(bad), Err(InvalidHeads::Line(line)), "{bad}");
        }
    }
}
