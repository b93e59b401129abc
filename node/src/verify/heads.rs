//! Heads that another node, or this one at another time, has told.
//!
//! One head says everything about all before it: two nodes whose logs have the same head at one
//! index have the same history up to there. So what a single directory cannot show, a history that
//! was made anew from some place on or cut at its end, shows here.

use std::collections::BTreeMap;

use super::finding::{Findings, Part};
use super::signers::{Signers, Told};
use super::stored::{Hash, hex};

/// Expected heads: by shard and index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected(BTreeMap<(u32, u64), Hash>);

/// A text that has no heads in it, or a line that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeads {
    /// A line.
    #[error(
        "line {0} is no head: it reads `shard index hash`, the hash as 64 hexadecimal digits, and \
         where it is signed `region signature` after that"
    )]
    Line(usize),
    /// A head that must be signed, and is not.
    #[error("the head of shard {0}, index {1}, is not signed by the shard's home")]
    Signature(u32, u64),
    /// The whole text.
    #[error(
        "there is no head in it: what `meridian heads` or `meridian verify` prints, or lines of \
         `shard index hash`"
    )]
    Empty,
}

impl Expected {
    /// Reads lines of shard, index and hash, and of a region and its signature, which are not looked
    /// at. Lines that do not begin with a digit are prose, so what `meridian heads` and
    /// `meridian verify` print, as text or as JSON, can be read as it is.
    pub fn parse(text: &str) -> Result<Self, InvalidHeads> {
        let heads = all(text)?.into_iter();
        Ok(Self(heads.map(|head| (head.place, head.hash)).collect()))
    }

    /// Reads heads that must all be signed by their shards' homes.
    pub fn parse_signed(text: &str, signers: &Signers) -> Result<Self, InvalidHeads> {
        for head in all(text)? {
            let (shard, index) = head.place;
            let told = head.told();
            if !told.is_some_and(|told| signers.signed(&told)) {
                return Err(InvalidHeads::Signature(shard, index));
            }
        }
        Self::parse(text)
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

/// A head as it is printed.
struct Head {
    place: (u32, u64),
    hash: Hash,
    signed: Option<(String, [u8; 64])>,
}

impl Head {
    fn told(self) -> Option<Told> {
        let (region, signature) = self.signed?;
        let (shard, index) = self.place;
        Some(Told {
            shard,
            index,
            head: self.hash,
            region,
            signature,
        })
    }
}

fn all(text: &str) -> Result<Vec<Head>, InvalidHeads> {
    let heads: Vec<_> = match serde_json::from_str::<Printed>(text) {
        Ok(printed) => printed.heads()?,
        Err(_) => lines(text)?,
    };
    match heads.is_empty() {
        true => Err(InvalidHeads::Empty),
        false => Ok(heads),
    }
}

fn lines(text: &str) -> Result<Vec<Head>, InvalidHeads> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
        .map(|(number, line)| head(line).ok_or(InvalidHeads::Line(number)))
        .collect()
}

fn head(line: &str) -> Option<Head> {
    let mut words = line.split_whitespace();
    let place = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let hash = hash(words.next()?)?;
    let signed = match words.next() {
        None => None,
        Some(region) => Some((region.to_owned(), signature(words.next()?)?)),
    };
    words.next().is_none().then_some(Head {
        place,
        hash,
        signed,
    })
}

fn signature(digits: &str) -> Option<[u8; 64]> {
    let (first, second) = (hash(digits.get(..64)?)?, hash(digits.get(64..)?)?);
    [first, second].concat().try_into().ok()
}

fn hash(digits: &str) -> Option<Hash> {
    replication::topology::key_bytes(digits)
}

/// The part of `meridian verify --json`, or `meridian heads --json`, that matters here.
#[derive(serde::Deserialize)]
struct Printed {
    #[serde(default)]
    shards: Vec<PrintedShard>,
    #[serde(default)]
    heads: Vec<PrintedHead>,
}

#[derive(serde::Deserialize)]
struct PrintedHead {
    shard: u32,
    index: u64,
    head: String,
    region: String,
    signature: String,
}

#[derive(serde::Deserialize)]
struct PrintedShard {
    shard: u32,
    head_index: Option<u64>,
    head: Option<String>,
}

impl Printed {
    fn heads(self) -> Result<Vec<Head>, InvalidHeads> {
        let computed = self.shards.into_iter().filter_map(|it| {
            Some(Head {
                place: (it.shard, it.head_index?),
                hash: hash(&it.head?)?,
                signed: None,
            })
        });
        let signed = |it: PrintedHead| {
            Some(Head {
                place: (it.shard, it.index),
                hash: hash(&it.head)?,
                signed: Some((it.region, signature(&it.signature)?)),
            })
        };
        let signed = (1..).zip(self.heads).map(|(number, head)| {
            let unreadable = InvalidHeads::Line(number);
            signed(head).ok_or(unreadable)
        });
        computed.map(Ok).chain(signed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_printed() {
        let digits = "0a".repeat(32);
        let signature = "0b".repeat(64);
        let expected = Expected(BTreeMap::from([((3, 17), [10; 32])]));
        for text in [
            format!("3 17 {digits}"),
            format!("Everything holds.\n\n  3   17 {digits}\nshard 4 none\n"),
            format!(r#"{{"shards":[{{"shard":3,"head_index":17,"head":"{digits}","void":0}}]}}"#),
            format!("Heads:\n3 17 {digits} eu-west {signature}\n"),
            format!(
                r#"{{"heads":[{{"shard":3,"index":17,"head":"{digits}","region":"eu-west",
                "signature":"{signature}"}}]}}"#
            ),
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
