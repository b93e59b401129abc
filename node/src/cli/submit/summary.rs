//! What a run of a file came to, in numbers.

use std::{collections::BTreeMap, path::Path};

use serde_json::json;

use super::super::{exit, output::Output};
use super::results::Written;

/// What became of all lines, in numbers.
#[derive(Default)]
pub struct Summary {
    pub lines: usize,
    /// Answered by an earlier run.
    pub earlier: usize,
    accepted: usize,
    /// Of the accepted, those that this run found done already.
    duplicates: usize,
    returned: usize,
    rejected: usize,
    codes: BTreeMap<String, usize>,
}

impl Summary {
    pub fn note(&mut self, written: &Written) {
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

    /// What is told at the end.
    pub fn output(self, file: &str, results: &Path) -> Output {
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
