//! The lines of a file of commands, as fields by name: the same from CSV and from JSON lines.

use std::collections::BTreeMap;

use csv::{ReaderBuilder, StringRecord};
use serde_json::Value;

use super::Format;
use crate::import::first_line;

/// The fields of a line. What is empty is not there.
pub type Fields = BTreeMap<String, String>;

/// A line, or what is wrong with it.
pub struct Line {
    /// From 1, as editors count.
    pub number: u64,
    pub fields: Result<Fields, String>,
}

/// The only field that may be written as a number: all others would invite floating point.
const WHOLE_NUMBER: &str = "if_version";

/// Reads lines one by one. Empty ones are left out.
pub fn read(text: &[u8], format: Format) -> Box<dyn Iterator<Item = Line> + Send + '_> {
    match format {
        Format::Jsonl => Box::new(json_lines(text)),
        Format::Csv => Box::new(CsvLines::new(text)),
    }
}

fn json_lines(text: &[u8]) -> impl Iterator<Item = Line> {
    let numbered = (1..).zip(text.split(|byte| *byte == b'\n'));
    let filled = numbered.filter(|(_, line)| !line.trim_ascii().is_empty());
    filled.map(|(number, line)| Line {
        number,
        fields: json_fields(line),
    })
}

fn json_fields(line: &[u8]) -> Result<Fields, String> {
    let object: BTreeMap<String, Value> =
        serde_json::from_slice(line).map_err(|error| format!("not a JSON object: {error}"))?;
    let mut fields = Fields::new();
    for (name, value) in object {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) if name == WHOLE_NUMBER => number.to_string(),
            _ => return Err(format!("{name}: write it as text, such as \"12.50\"")),
        };
        if !text.is_empty() {
            fields.insert(name, text);
        }
    }
    Ok(fields)
}

struct CsvLines<'a> {
    text: &'a [u8],
    reader: csv::Reader<&'a [u8]>,
    header: Option<StringRecord>,
    is_over: bool,
}

impl<'a> CsvLines<'a> {
    fn new(text: &'a [u8]) -> Self {
        let mut builder = ReaderBuilder::new();
        let reader = builder.has_headers(false).flexible(true).from_reader(text);
        Self {
            text,
            reader,
            header: None,
            is_over: false,
        }
    }

    /// The next record with its line; `None` after the last one.
    fn record(&mut self) -> Option<(u64, Result<StringRecord, String>)> {
        let number = first_line(self.text, self.reader.position());
        let mut record = StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(true) => Some((number, Ok(record))),
            Ok(false) => None,
            Err(error) => Some((number, Err(error.to_string()))),
        }
    }

    fn fields(&mut self, record: StringRecord) -> Result<Option<Fields>, String> {
        let Some(header) = &self.header else {
            let mut names: Vec<_> = record.iter().collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                self.is_over = true;
                return Err(format!("the column `{}` is there twice", twice[0]));
            }
            self.header = Some(record);
            return Ok(None);
        };
        if record.len() != header.len() {
            return Err(format!(
                "{} fields instead of {}",
                record.len(),
                header.len()
            ));
        }
        let pairs = header.iter().zip(record.iter());
        let filled = pairs.filter(|(_, text)| !text.is_empty());
        let fields = filled.map(|(name, text)| (name.to_owned(), text.to_owned()));
        Ok(Some(fields.collect()))
    }
}

impl Iterator for CsvLines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        while !self.is_over {
            let (number, record) = self.record()?;
            let fields = match record.and_then(|record| self.fields(record)) {
                Ok(None) => continue,
                Ok(Some(fields)) => Ok(fields),
                Err(wrong) => Err(wrong),
            };
            return Some(Line { number, fields });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, format: Format) -> Vec<(u64, Result<Fields, String>)> {
        let lines = read(text.as_bytes(), format);
        lines.map(|line| (line.number, line.fields)).collect()
    }

    fn fields(pairs: &[(&str, &str)]) -> Result<Fields, String> {
        let owned = pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        Ok(owned.collect())
    }

    #[test]
    fn both_formats_say_the_same() {
        let expected = fields(&[
            ("kind", "deposit"),
            ("amount", "12.50"),
            ("memo", "a, \"b\""),
        ]);
        let csv = "kind,amount,memo,to\n\ndeposit,12.50,\"a, \"\"b\"\"\",\n";
        assert_eq!(all(csv, Format::Csv), [(3, expected.clone())]);
        let json = "\n{\"kind\":\"deposit\",\"amount\":\"12.50\",\"memo\":\"a, \\\"b\\\"\",\"to\":null}\n\n";
        assert_eq!(all(json, Format::Jsonl), [(2, expected)]);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        let csv = "kind,amount\ndeposit\ndeposit,1\n";
        let read = all(csv, Format::Csv);
        assert_eq!(read[0], (2, Err("1 fields instead of 2".to_owned())));
        assert!(read[1].1.is_ok());
        let twice = all("kind,kind\na,b\n", Format::Csv);
        assert_eq!(twice.len(), 1);
        assert!(
            twice[0]
                .1
                .as_ref()
                .unwrap_err()
                .contains("`kind` is there twice")
        );
        for (json, says) in [
            ("{\"amount\":12.50}", "amount: write it as text"),
            ("{\"amount\":", "not a JSON object"),
            ("[1]", "not a JSON object"),
        ] {
            let (number, read) = all(json, Format::Jsonl).remove(0);
            assert_eq!(number, 1);
            assert!(read.unwrap_err().contains(says), "{json}");
        }
        let version = all("{\"if_version\":7}", Format::Jsonl);
        assert_eq!(version, [(1, fields(&[("if_version", "7")]))]);
    }
}
