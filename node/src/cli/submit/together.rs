//! Lines that are done together or not at all: those that stand one after the other in a file and
//! have the same `group`. The first states the key.

use std::{collections::BTreeMap, iter};

use ledger_domain::command::LONGEST_GROUP;

use super::{
    command::{self, Item},
    lines::{Fields, Line},
    results::Start,
};
use crate::api::{
    longest,
    teller::v1::{BatchCommand, SubmitGroupRequest, batch_command::Command},
    v1::{Channel, CommandContext},
};

/// The field that says with which others a line is done.
const FIELD: &str = "group";

/// Takes out of a line's fields which group it is of; nothing, of none.
pub fn group_of(fields: &mut Fields) -> String {
    fields.remove(FIELD).unwrap_or_default()
}

/// The groups of a file as far as it is read: what they must not be is found line by line.
#[derive(Default)]
pub struct Groups {
    open: Option<Open>,
    /// Where others were begun.
    ended: BTreeMap<String, u64>,
}

/// The group whose lines are read.
struct Open {
    name: String,
    first: u64,
    lines: usize,
    /// That of the first line, if it could be read.
    key: Option<String>,
}

impl Groups {
    /// Takes the next line, and which group it is of. True of a line whose key is its own: one that
    /// is of no group, or the first of its group.
    ///
    /// # Errors
    ///
    /// What is wrong with it among those of its group.
    pub fn take(&mut self, line: u64, name: String) -> Result<bool, String> {
        if let Some(open) = self.open.as_mut().filter(|open| open.name == name) {
            open.lines += 1;
            // Of all that are too many, the first is named.
            return match open.lines == LONGEST_GROUP + 1 {
                true => Err(format!(
                    "group: `{name}`, of line {}, has more than {LONGEST_GROUP} lines",
                    open.first
                )),
                false => Ok(false),
            };
        }
        if let Some(open) = self.open.take() {
            self.ended.insert(open.name, open.first);
        }
        if name.is_empty() {
            return Ok(true);
        }
        let earlier = self.ended.get(&name).copied();
        self.open = Some(Open {
            name: name.clone(),
            first: earlier.unwrap_or(line),
            lines: 1,
            key: None,
        });
        match earlier {
            Some(first) => Err(format!(
                "group: `{name}`, of line {first}, has ended; its lines stand together"
            )),
            None => Ok(true),
        }
    }

    /// Checks the command of the line that was taken last.
    ///
    /// # Errors
    ///
    /// Why it cannot be one of its group.
    pub fn check(&mut self, item: &mut Item, is_first: bool) -> Result<(), String> {
        let key = item.key();
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if let Some(Command::SubmitJournal(_)) = item.command.command {
            let kind = &item.kind;
            return Err(format!(
                "kind: `{kind}` is none of a group: it is all or none by itself, and over shards"
            ));
        }
        if is_first && key.len() > longest::GROUP_KEY {
            return Err(format!(
                "key: that of a group has at most {} bytes",
                longest::GROUP_KEY
            ));
        }
        if is_first {
            open.key = Some(key);
            return Ok(());
        }
        let first = open.first;
        match &open.key {
            Some(stated) if !key.is_empty() && key != *stated => Err(match stated.as_str() {
                "" => format!("key: that of a group stands in its first line, {first}"),
                stated => format!("key: the group has `{stated}`, by its first line, {first}"),
            }),
            _ => Ok(()),
        }
    }
}

/// What is sent as one command.
pub struct Unit {
    pub under_way: UnderWay,
    pub command: BatchCommand,
}

/// What is kept of a command while it is under way.
pub struct UnderWay {
    /// Its lines by number, with their kinds: of a group all, else one.
    pub lines: Vec<(u64, String)>,
    /// The name of the group.
    pub group: Option<String>,
    pub key: String,
}

impl UnderWay {
    /// The first of its lines.
    pub fn line(&self) -> u64 {
        self.lines.first().map_or(0, |(line, _)| *line)
    }
}

/// The commands of lines that were checked, each with its key and the time of the first attempt.
pub fn units<'a>(
    lines: impl Iterator<Item = Line> + 'a,
    start: &'a Start,
) -> impl Iterator<Item = Unit> + 'a {
    // Everything was read once before: what is wrong now is not there.
    let read = lines.filter_map(|line| {
        let mut fields = line.fields.ok()?;
        let group = group_of(&mut fields);
        Some((line.number, group, command::read(fields).ok()?))
    });
    let mut read = read.peekable();
    iter::from_fn(move || {
        let (line, group, mut first) = read.next()?;
        let mut key = first.key();
        if key.is_empty() {
            key = format!("submit/{}/{line}", start.run);
        }
        let context = CommandContext {
            idempotency_key: key.clone(),
            first_attempt_unix_ms: start.first_attempt_unix_ms,
            channel: Channel::Batch.into(),
            ..CommandContext::default()
        };
        let mut under_way = UnderWay {
            lines: vec![(line, std::mem::take(&mut first.kind))],
            group: None,
            key,
        };
        if group.is_empty() {
            if let Some(own) = first.command.context_mut() {
                own.idempotency_key = context.idempotency_key;
                own.first_attempt_unix_ms = context.first_attempt_unix_ms;
            }
            let command = first.command;
            return Some(Unit { under_way, command });
        }
        let mut commands = vec![without_key(first)];
        while let Some((line, _, next)) = read.next_if(|(_, name, _)| *name == group) {
            under_way.lines.push((line, next.kind.clone()));
            commands.push(without_key(next));
        }
        under_way.group = Some(group);
        let group = SubmitGroupRequest {
            context: Some(context),
            commands,
        };
        let command = Command::SubmitGroup(group).into();
        Some(Unit { under_way, command })
    })
}

fn without_key(mut item: Item) -> BatchCommand {
    if let Some(own) = item.command.context_mut() {
        own.idempotency_key.clear();
    }
    item.command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::submit::{Format, lines};

    fn file(lines: &[&str]) -> String {
        let account = "eu-west".parse().unwrap();
        let account = ledger_domain::AccountId::derive(account, "t", "a");
        let lines = lines.iter().map(|line| match line.split_once(',') {
            Some((key, group)) => format!("deposit,{account},1 USD,{key},{group}\n"),
            None => (*line).to_owned(),
        });
        let lines: String = lines.collect();
        format!("kind,account,amount,key,group\n{lines}")
    }

    fn taken(lines: &[(u64, &str)]) -> Vec<Result<bool, String>> {
        let mut groups = Groups::default();
        let lines = lines.iter();
        let taken = lines.map(|(line, name)| groups.take(*line, (*name).to_owned()));
        taken.collect()
    }

    #[test]
    fn lines_of_a_group_stand_together() {
        let all = taken(&[(2, "a"), (3, "a"), (5, ""), (6, "b"), (7, "a"), (8, "a")]);
        assert_eq!(all[..4], [Ok(true), Ok(false), Ok(true), Ok(true)]);
        let again = all[4].as_ref().unwrap_err();
        assert!(again.contains("`a`, of line 2, has ended"), "{again}");
        assert_eq!(all[5], Ok(false), "it is named once");
    }

    #[test]
    fn a_group_that_is_too_long_is_named_by_its_first_line_too_many() {
        let lines: Vec<_> = (2..).take(LONGEST_GROUP + 2).map(|n| (n, "a")).collect();
        let all = taken(&lines);
        let wrong: Vec<_> = all.iter().filter(|it| it.is_err()).collect();
        assert_eq!(wrong.len(), 1);
        let said = all[LONGEST_GROUP].as_ref().unwrap_err();
        assert!(said.contains("more than 64 lines"), "{said}");
    }

    #[test]
    fn lines_of_one_group_are_one_command_under_the_key_of_the_first() {
        let start = Start {
            run: "june".to_owned(),
            digest: String::new(),
            caller: String::new(),
            first_attempt_unix_ms: 7,
        };
        let text = file(&[",", "k,", ",a", ",a", ",b", "own,c", "own,c"]);
        let lines = lines::read(text.as_bytes(), Format::Csv);
        let mut units: Vec<_> = units(lines, &start).collect();
        let told = units.iter_mut().map(|unit| {
            let context = unit.command.context_mut().unwrap();
            assert_eq!(context.idempotency_key, unit.under_way.key);
            assert_eq!(context.first_attempt_unix_ms, 7);
            let lines: Vec<_> = unit.under_way.lines.iter().map(|(n, _)| *n).collect();
            assert_eq!(unit.command.count(), lines.len());
            (unit.under_way.key.clone(), lines)
        });
        let expected = [
            ("submit/june/2", vec![2]),
            ("k", vec![3]),
            ("submit/june/4", vec![4, 5]),
            ("submit/june/6", vec![6]),
            ("own", vec![7, 8]),
        ];
        assert!(told.eq(expected.map(|(key, lines)| (key.to_owned(), lines))));
        let Some(Command::SubmitGroup(group)) = &mut units[4].command.command else {
            panic!("no group");
        };
        for command in &mut group.commands {
            assert_eq!(command.context_mut().unwrap().idempotency_key, "");
        }
    }
}
