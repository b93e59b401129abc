//! Cases as scripts that can be read aloud, and how one is played: every line is an entry of its own.
//!
//! ```text
//! open a                          => done                       ~ created
//! hold a 15 for 2s as h           => done                       ~ created
//! wait 2s
//! capture h 15 to b               => HOLD_EXPIRED 15 15         ~ pending_transfer_expired
//! balance a 0
//! ```
//!
//! `together` begins a group, whose commands stand between semicolons; the first one's key is the
//! group's.
//!
//! After `=>` stands our answer: `done`, a code and its figures, `again` and the answer that the key
//! has had before, `KEY_CONFLICT` and the field that differs, or why there is no such command. After
//! `~` stands what TigerBeetle answers there; after `~!` too, where ours is another on purpose.
//!
//! Words of a line that begin with `as`, `key`, `for`, `in`, `on`, `to`, `from`, `of`, `limit`,
//! `version`, `least`, `most` say one more thing; `dry`, `forced`, `last` and `unlimited` stand alone.

use std::{collections::BTreeMap, time::Duration};

use ledger_domain::{
    AccountId, Action, Amount, Code, Command, Conditions, DigestKey, Entry, Field, Fingerprint,
    Freeze, HoldAction, HouseCode, InFlight, KeyDigest, Limit, Outcome, Position, ShardId,
    TransactionId,
    account::Status,
    command::GroupPlace,
    decide, expire,
    freeze::{Arriving, Blocks, FreezeType},
    hold::Payee,
    state::State as _,
};

use crate::{
    generate::{account_id, command, currency, date},
    writer::{Answer, EPOCH, Work, Writer},
};

const HERE: ShardId = ShardId(1);
/// Words that say nothing about the word after them.
const ALONE: [&str; 4] = ["dry", "forced", "last", "unlimited"];
/// Words that do.
const BEFORE: [&str; 12] = [
    "as", "key", "for", "in", "on", "to", "from", "of", "limit", "version", "least", "most",
];

/// A line whose answer TigerBeetle has a name for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Our answer, without its figures.
    pub ours: String,
    /// Theirs.
    pub theirs: String,
    /// Whether ours is another than theirs on purpose.
    pub is_different: bool,
}

/// Plays a script, and gives its rows.
pub fn play(script: &str) -> Vec<Row> {
    let mut bank = Bank::default();
    let mut rows = Vec::new();
    for line in script.lines().map(str::trim).filter(|it| !it.is_empty()) {
        let (said, theirs) = line.split_once('~').map_or((line, None), |(said, theirs)| {
            let theirs = theirs.trim();
            let name = theirs.trim_start_matches('!').trim();
            (said, Some((name.to_owned(), theirs.starts_with('!'))))
        });
        let Some((asked, expected)) = said.split_once("=>") else {
            bank.check(&Words::of(said));
            continue;
        };
        let answer = match asked.trim().strip_prefix("together ") {
            Some(group) => bank.ask_together(group),
            None => bank.ask(&Words::of(asked)),
        };
        assert_eq!(answer, expected.trim(), "{line}");
        rows.extend(theirs.map(|(theirs, is_different)| Row {
            ours: told(&answer).to_owned(),
            theirs,
            is_different,
        }));
    }
    rows
}

/// An answer without its figures, and without saying whether it was given before.
fn told(answer: &str) -> &str {
    let first = answer.split(' ').next();
    first.expect("an answer has words")
}

/// A line, word by word.
struct Words<'a> {
    plain: Vec<&'a str>,
    said: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let mut all = Words {
            plain: Vec::new(),
            said: BTreeMap::new(),
        };
        while let Some(word) = words.next() {
            match word {
                _ if ALONE.contains(&word) => drop(all.said.insert(word, "")),
                _ if BEFORE.contains(&word) && !all.plain.is_empty() => {
                    let what = words
                        .next()
                        .unwrap_or_else(|| panic!("{line}: {word} what?"));
                    all.said.insert(word, what);
                }
                _ => all.plain.push(word),
            }
        }
        all
    }

    fn has(&self, word: &str) -> bool {
        self.said.contains_key(word)
    }

    fn number(&self, word: &str) -> Option<i64> {
        self.said.get(word).map(|it| units(it))
    }
}

/// `max` is the largest amount there is, `max-9` nine less.
fn units(word: &str) -> i64 {
    match word.strip_prefix("max") {
        Some("") => i64::MAX,
        Some(less) => i64::MAX + less.parse::<i64>().expect("a number below zero"),
        None => word.parse().expect("a number"),
    }
}

fn duration(word: &str) -> Duration {
    let (number, unit) = word.split_at(word.len() - 1);
    let number: u64 = number.parse().expect("a number");
    Duration::from_secs(match unit {
        "s" => number,
        "d" => number * 24 * 3_600,
        _ => panic!("{word}: of what unit?"),
    })
}

fn account(letter: &str) -> AccountId {
    account_id(letter.bytes().next().expect("a letter") - b'a')
}

/// One book with its writer, and what the script has called things.
struct Bank {
    writer: Writer,
    transactions: BTreeMap<String, TransactionId>,
    /// Commands without a key get one each.
    asked: usize,
}

impl Default for Bank {
    fn default() -> Self {
        Bank {
            writer: Writer::new(HERE),
            transactions: BTreeMap::new(),
            asked: 0,
        }
    }
}

impl Bank {
    fn ask(&mut self, words: &Words<'_>) -> String {
        let Some(command) = self.command(words) else {
            return "no amount".to_owned();
        };
        if words.has("dry") {
            return self.rehearse(&command);
        }
        let answer = self.writer.command(vec![command.clone()]).remove(0);
        let mut last = 0;
        while let Some(entry) = self.writer.apply() {
            last = entry.outcomes.len();
        }
        if let Some(name) = words.said.get("as") {
            let position = Position {
                shard: HERE,
                epoch: EPOCH,
                index: self.writer.book.applied(),
            };
            let ordinal = u32::try_from(last).expect("few") - 1;
            let id = TransactionId { position, ordinal };
            self.transactions.insert((*name).to_owned(), id);
        }
        match answer {
            Answer::Decided(outcome) => words_of(&outcome),
            Answer::Repeated(_) => self.again(&command),
            Answer::Nothing => panic!("a command is answered"),
        }
    }

    fn ask_together(&mut self, group: &str) -> String {
        let all: Vec<_> = group.split(';').map(Words::of).collect();
        let of = u32::try_from(all.len()).expect("few");
        let secret = DigestKey::new([1; 32]);
        let fingerprint = secret.fingerprint(&[(Field::Kind, group.as_bytes())]);
        let mut commands = Vec::new();
        for (item, words) in (1..).zip(&all) {
            let mut command = self.command(words).expect("amounts are above zero");
            command.info.group = Some(GroupPlace { item, of });
            command.info.fingerprint = fingerprint.clone();
            commands.push(command);
        }
        let first = commands[0].clone();
        let answers = self.writer.propose(vec![Work::Group(commands)]);
        self.writer.apply_all();
        match &answers[0] {
            Answer::Decided(outcome) => words_of(outcome),
            Answer::Repeated(_) => self.again(&first),
            Answer::Nothing => panic!("a group is answered"),
        }
    }

    /// What a key is answered that was used before, in another command perhaps.
    fn again(&self, command: &Command) -> String {
        let record = self.writer.book.key(&command.info.key);
        let record = record.expect("it was used before");
        let stored = &self.writer.log[record.index as usize - 1];
        let entry = Entry::decode(stored).expect("an entry of the log");
        let outcome = &entry.outcomes[record.ordinal as usize];
        let first = outcome.command.as_ref().expect("a command has the key");
        let (ours, theirs) = (&command.info.fingerprint, &first.info.fingerprint);
        if ours.whole() == record.fingerprint {
            return format!("again {}", words_of(outcome));
        }
        let field = ours.first_difference(theirs);
        let field = field.expect("they differ somewhere");
        format!("KEY_CONFLICT {}", field.name())
    }

    fn rehearse(&self, command: &Command) -> String {
        let mut in_flight = InFlight::default();
        in_flight.begin();
        let mut state = in_flight.above(&self.writer.book);
        let at = self.writer.circumstances();
        expire(&mut state, at.time.wall_nanos, usize::MAX);
        words_of(&decide(&mut state, &at, command))
    }

    /// The command of a line; none where it names what cannot be an amount.
    fn command(&mut self, words: &Words<'_>) -> Option<Command> {
        let action = self.action(words)?;
        let fingerprint = fingerprint(words, &action);
        let mut command = command(action);
        let secret = DigestKey::new([1; 32]);
        self.asked += 1;
        let number = self.asked.to_string();
        let key = words.said.get("key").map_or(number.as_str(), |key| *key);
        command.info.key = key_of(&secret, &command, key);
        command.info.fingerprint = fingerprint;
        let day = words.said.get("on");
        command.info.effective_date = day.map(|day| date(day.parse().expect("days from today")));
        command.forced = words.has("forced");
        command.conditions = Conditions {
            version: words
                .number("version")
                .and_then(|it| u64::try_from(it).ok()),
            minimum: words.number("least"),
            maximum: words.number("most"),
        };
        Some(command)
    }

    fn action(&self, words: &Words<'_>) -> Option<Action> {
        let plain = &words.plain;
        let currency = currency(words.said.get("in").unwrap_or(&"EUR"));
        let money = |word: &str| Amount::new(units(word)).ok();
        let house = |word| words.said.get(word).copied().unwrap_or("cash").parse();
        let hold = |name: &str| self.hold(name, words);
        let limit = match words.number("limit") {
            _ if words.has("unlimited") => Limit::Unlimited,
            limit => Limit::Overdraft(limit.unwrap_or(0)),
        };
        Some(match (plain[0], &plain[1..]) {
            ("open", [a]) => Action::Open {
                account: account(a),
                currency,
                limit,
                opened_on: words
                    .said
                    .get("on")
                    .map(|day| date(day.parse().expect("days"))),
            },
            ("limit", [a, most]) => Action::SetLimit {
                account: account(a),
                limit: Limit::Overdraft(units(most)),
            },
            ("deposit", [a, amount]) => Action::Deposit {
                account: account(a),
                house: house("from").expect("a house account"),
                currency,
                amount: money(amount)?,
            },
            ("withdraw", [a, amount]) => Action::Withdraw {
                account: account(a),
                house: house("to").expect("a house account"),
                currency,
                amount: money(amount)?,
            },
            ("transfer", [a, b, amount]) => Action::Transfer {
                from: account(a),
                to: account(b),
                to_shard: HERE,
                currency,
                amount: money(amount)?,
                payee_memo: None,
            },
            ("close", [a]) => Action::Close {
                sweep: None,
                account: account(a),
            },
            ("freeze", [a]) => Action::Freeze {
                account: account(a),
                freeze: self.freeze(words),
            },
            ("thaw", [a]) => Action::Unfreeze {
                account: account(a),
                kind: FreezeType::OwnRequest,
            },
            ("hold", [a, amount]) => Action::Hold {
                account: account(a),
                action: HoldAction::Place {
                    currency,
                    amount: money(amount)?,
                    life: words.said.get("for").map(|it| duration(it)),
                },
            },
            ("raise", [id, amount]) => Action::Hold {
                account: hold(id).1,
                action: HoldAction::Raise {
                    hold: hold(id).0,
                    currency,
                    amount: money(amount)?,
                },
            },
            ("capture", [id, amount]) => Action::Hold {
                account: hold(id).1,
                action: HoldAction::Capture {
                    hold: hold(id).0,
                    money: match *amount {
                        "all" => None,
                        amount => Some((currency, money(amount)?)),
                    },
                    payee: match words.said["to"].parse::<HouseCode>() {
                        Ok(house) => Payee::House(house),
                        Err(_) => Payee::Account {
                            to: account(words.said["to"]),
                            to_shard: HERE,
                            memo: None,
                        },
                    },
                    last: words.has("last"),
                },
            },
            ("release", [id]) => Action::Hold {
                account: hold(id).1,
                action: HoldAction::Release { hold: hold(id).0 },
            },
            _ => panic!("{plain:?}: no such command"),
        })
    }

    /// A transaction of the script, and whose hold a line says it is: whose it is where it does not
    /// say, and the first account's where it is no hold.
    fn hold(&self, name: &str, words: &Words<'_>) -> (TransactionId, AccountId) {
        let id = self.transactions.get(name).copied();
        let id = id.unwrap_or_else(|| panic!("{name}: which transaction?"));
        let book = &self.writer.book;
        let holder = book
            .hold_placed_by(&id)
            .and_then(|number| book.hold(number));
        let holder = holder.map_or(account("a"), |hold| hold.account);
        let said = words.said.get("of").map(|letter| account(letter));
        (id, said.unwrap_or(holder))
    }

    fn freeze(&self, words: &Words<'_>) -> Freeze {
        let until = words.said.get("for").map(|it| duration(it).as_millis());
        let until = until.map(|ms| u64::try_from(ms).expect("a few seconds"));
        Freeze {
            kind: FreezeType::OwnRequest,
            blocks: Blocks::All,
            arriving: Arriving::Returns,
            until_ms: until.map(|ms| self.writer.now_ms() + ms),
            reason: String::new(),
        }
    }

    fn check(&mut self, words: &Words<'_>) {
        match &words.plain[..] {
            ["wait", time] => {
                self.writer.wait(duration(time));
                // What is due is ended by an entry, though nobody asks for anything.
                self.writer.command(Vec::new());
                self.writer.apply_all();
            }
            ["balance", a, rest @ ..] => {
                let account = self.writer.book.account(&account(a)).expect(a);
                let held = match rest[1..] {
                    [] => 0,
                    ["held", held] => units(held),
                    _ => panic!("{rest:?}: no such balance"),
                };
                let expected = (units(rest[0]), held);
                assert_eq!((account.posted, account.held), expected, "{a}");
            }
            ["house", code, balance] => {
                let code = code.parse().expect("a house account");
                let posted = self.writer.book.house(&code, currency("EUR"));
                assert_eq!(posted.unwrap_or(0), units(balance), "{code}");
            }
            ["closed", a] => {
                let account = self.writer.book.account(&account(a)).expect(a);
                assert_eq!(account.status, Status::Closed, "{a}");
            }
            ["nobody", a] => assert_eq!(self.writer.book.account(&account(a)), None, "{a}"),
            other => panic!("{other:?}: no such question"),
        }
    }
}

fn key_of(secret: &DigestKey, command: &Command, key: &str) -> KeyDigest {
    secret.key("caller", &command.action.account(), key)
}

/// What a command says, field by field, as the words of its line have it.
fn fingerprint(words: &Words<'_>, action: &Action) -> Fingerprint {
    let plain = |at: usize| words.plain.get(at).map_or("", |word| *word);
    let said = |word: &str| words.said.get(word).map_or("", |it| *it);
    let (counterparty, amount, hold) = match plain(0) {
        "transfer" => (plain(2), plain(3), ""),
        "raise" | "capture" | "release" => (said("to"), plain(2), plain(1)),
        _ => ("", plain(2), ""),
    };
    let house = format!("{}{}", said("from"), said("to"));
    let last = words.has("last").to_string();
    let fields = [
        (Field::Kind, action.kind().name()),
        (Field::Counterparty, counterparty),
        (Field::Amount, amount),
        (Field::Currency, said("in")),
        (Field::House, &house),
        (Field::Limit, said("limit")),
        (Field::Hold, hold),
        (Field::Life, said("for")),
        (Field::Last, &last),
    ];
    let secret = DigestKey::new([1; 32]);
    secret.fingerprint(&fields.map(|(field, value)| (field, value.as_bytes())))
}

fn words_of(outcome: &Outcome) -> String {
    match &outcome.result {
        Ok(_) => "done".to_owned(),
        // The scripts know no times of day.
        Err(rejection) if rejection.code == Code::AccountFrozen => match rejection.figures[1] {
            0 => "ACCOUNT_FROZEN until it is lifted".to_owned(),
            _ => "ACCOUNT_FROZEN for a while".to_owned(),
        },
        Err(rejection) => {
            let figures = rejection.figures.iter().map(|it| format!(" {it}"));
            let of_group = outcome.command.as_ref().and_then(|it| it.info.group);
            let place = of_group.map(|place| format!(" in {}", place.item));
            let figures: String = figures.chain(place).collect();
            format!("{}{figures}", rejection.code.name())
        }
    }
}
