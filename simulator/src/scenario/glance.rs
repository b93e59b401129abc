//! Looks at what is near, at what was, and at statements, in the words of their judges.

use std::{collections::BTreeMap, time::Duration};

use jiff::{Span, civil, tz::TimeZone};
use node::{
    api::{
        atm::v1::{
            Balance, GetBalanceRequest, GetBalancesRequest, GetStatementRequest, ModeUsed,
            balance_outcome,
        },
        teller::v1::ListDeclinedRequest,
        v1::{
            Money, Position, ReadMode, Time,
            read_mode::{self, AsOf, Bounded, Local, Otherwise},
        },
    },
    client::{Client, Error},
};
use rand::{Rng, rngs::SmallRng};

use super::steps::day_of;
use crate::history::{Aside, History, Line, Mode, Moment, Reading, Refusals, Statement};

/// What a receipt or an answer covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The token on it.
    pub(super) token: String,
    /// Shards, and places there.
    pub(super) covers: BTreeMap<u32, u64>,
    /// When that was so: nanoseconds since 1970 on the ledger's clock.
    pub(super) at: u64,
}

/// A way to look.
pub(super) struct Look {
    /// Its name in reports.
    pub(super) name: &'static str,
    /// The same in the history's words.
    pub(super) mode: Mode,
    asked: read_mode::Mode,
    /// What the tokens of the question cover.
    covers: BTreeMap<u32, u64>,
}

/// How far before what was seen somebody asks what was.
const EARLIER: Duration = Duration::from_secs(2);

impl Look {
    /// At what is true now.
    pub(super) fn strong() -> Self {
        Look {
            name: "strong looks",
            mode: Mode::Strong,
            asked: read_mode::Mode::Strong(read_mode::Strong {}),
            covers: BTreeMap::new(),
        }
    }

    /// At whatever a node has.
    pub(super) fn local() -> Self {
        Look {
            name: "local looks",
            mode: Mode::Local,
            asked: read_mode::Mode::Local(Local {}),
            covers: BTreeMap::new(),
        }
    }

    /// One that need not be at the very truth, of an account of a shard.
    pub(super) fn choose(shard: u32, seen: &[Seen], rng: &mut SmallRng) -> Self {
        let there = seen.iter().find_map(|seen| seen.covers.get(&shard));
        match (rng.random_range(0..9), seen.first(), there) {
            (0 | 1, Some(_), _) => Look::session(seen),
            (2, _, Some(index)) => Look::as_of_place(shard, rng.random_range(1..=*index)),
            (3, Some(seen), _) => Look::as_of_time(seen.at, rng),
            (8, Some(_), _) => Look::as_of_day(seen, rng),
            (4, ..) => Look::bounded("bounded looks, or waiting", Otherwise::Wait, seen, rng),
            (5, ..) => Look::bounded("bounded looks, or at home", Otherwise::Home, seen, rng),
            (6, ..) => Look::bounded("bounded looks, or nothing", Otherwise::Error, seen, rng),
            _ => Look::local(),
        }
    }

    /// At no less than what was seen.
    pub(super) fn session(seen: &[Seen]) -> Self {
        let tokens = tokens(seen);
        Look {
            name: "session looks",
            mode: Mode::Session,
            asked: read_mode::Mode::Session(read_mode::Session { tokens }),
            covers: covers(seen),
        }
    }

    /// Every other time with the tokens of what was seen.
    fn bounded(
        name: &'static str,
        otherwise: Otherwise,
        seen: &[Seen],
        rng: &mut SmallRng,
    ) -> Self {
        let seen = if rng.random_bool(0.5) { seen } else { &[] };
        let max_staleness_ms = rng.random_range(600..5_000);
        let bounded = Bounded {
            max_staleness_ms,
            otherwise: otherwise.into(),
            tokens: tokens(seen),
        };
        Look {
            name,
            mode: Mode::Bounded(Duration::from_millis(max_staleness_ms)),
            asked: read_mode::Mode::Bounded(bounded),
            covers: covers(seen),
        }
    }

    fn as_of_place(shard: u32, index: u64) -> Self {
        let at = read_mode::as_of::At::Position(Position {
            shard,
            // Every home is in its first reign: moving homes is not built yet.
            epoch: 1,
            index,
        });
        Look::as_of("looks as of a place", Mode::AsOfPlace(index), at)
    }

    fn as_of_time(seen: u64, rng: &mut SmallRng) -> Self {
        let earlier = rng.random_range(Duration::ZERO..EARLIER).as_nanos();
        Look::at_time(seen.saturating_sub(u64::try_from(earlier).expect("two seconds")))
    }

    /// At what was at a time, in nanoseconds since 1970 on the ledger's clock.
    pub(super) fn at_time(nanos: u64) -> Self {
        let at = read_mode::as_of::At::Time(Time {
            unix_nanos: i64::try_from(nanos).expect("this century"),
            hlc: String::new(),
        });
        Look::as_of("looks as of a time", Mode::AsOfTime(nanos), at)
    }

    /// A day around the last one that was seen, every other time with the tokens of what was seen.
    fn as_of_day(seen: &[Seen], rng: &mut SmallRng) -> Self {
        let last = seen.first().map_or(0, |seen| seen.at);
        let day = day_of(last, &TimeZone::UTC) + rng.random_range(-2..=1);
        let date = civil::date(1970, 1, 1).saturating_add(Span::new().days(day));
        let at = read_mode::as_of::At::EffectiveDate(date.to_string());
        let seen = if rng.random_bool(0.5) { seen } else { &[] };
        let (at, tokens) = (Some(at), tokens(seen));
        Look {
            name: "looks as of a day",
            mode: Mode::AsOfDay(day),
            asked: read_mode::Mode::AsOf(AsOf { at, tokens }),
            covers: covers(seen),
        }
    }

    fn as_of(name: &'static str, mode: Mode, at: read_mode::as_of::At) -> Self {
        let at = Some(at);
        let tokens = Vec::new();
        Look {
            name,
            mode,
            asked: read_mode::Mode::AsOf(AsOf { at, tokens }),
            covers: BTreeMap::new(),
        }
    }

    /// Looks once, and notes what was seen. Returns it with what it covers.
    ///
    /// # Errors
    ///
    /// When nothing was answered, or the answer makes no sense.
    pub(super) async fn at(
        self,
        account: &str,
        client: &Client,
        name: &str,
        history: &History,
    ) -> Result<(Reading, Seen), Error> {
        let request = GetBalanceRequest {
            account_id: account.to_owned(),
            mode: Some(ReadMode {
                mode: Some(self.asked.clone()),
            }),
        };
        let invoked = history.moment();
        let reply = client.balance(request).await?;
        let balance = reply.balance.ok_or_else(|| missing("a balance"))?;
        let (reading, seen) = self.understand(&balance, name, invoked, history.moment())?;
        history.note_reading(reading.clone());
        Ok((reading, seen))
    }

    /// Looks at several accounts in one call. Those that the node does not answer for are left out.
    ///
    /// # Errors
    ///
    /// As [`at`](Look::at).
    pub(super) async fn at_several(
        self,
        accounts: &[String],
        client: &Client,
        name: &str,
        history: &History,
    ) -> Result<Vec<(Reading, Seen)>, Error> {
        let request = GetBalancesRequest {
            account_ids: accounts.to_vec(),
            mode: Some(ReadMode {
                mode: Some(self.asked.clone()),
            }),
            at_one_time: None,
        };
        let invoked = history.moment();
        let reply = client.balances(request).await?;
        if reply.outcomes.len() != accounts.len() {
            return Err(missing("an answer for each account"));
        }
        let completed = history.moment();
        let mut seen = Vec::new();
        for (account, outcome) in accounts.iter().zip(reply.outcomes) {
            let Some(balance_outcome::Outcome::Balance(balance)) = outcome.outcome else {
                continue;
            };
            if balance.account_id != *account {
                return Err(missing("the balance that was asked for"));
            }
            let (reading, covers) = self.understand(&balance, name, invoked, completed)?;
            history.note_reading(reading.clone());
            seen.push((reading, covers));
        }
        Ok(seen)
    }

    /// Whether it makes sense for accounts of different shards.
    pub(super) fn is_for_all_shards(&self) -> bool {
        !matches!(self.mode, Mode::AsOfPlace(_))
    }

    fn understand(
        &self,
        balance: &Balance,
        client: &str,
        invoked: Moment,
        completed: Moment,
    ) -> Result<(Reading, Seen), Error> {
        let position = balance
            .position
            .as_ref()
            .ok_or_else(|| missing("its place"))?;
        let posted = balance
            .posted
            .as_ref()
            .ok_or_else(|| missing("an amount"))?;
        let true_at = balance
            .true_at
            .as_ref()
            .ok_or_else(|| missing("its time"))?;
        let mut covers = self.covers.clone();
        let covered = covers.entry(position.shard).or_default();
        *covered = position.index.max(*covered);
        let seen = Seen {
            token: balance.token.clone(),
            covers,
            at: u64::try_from(true_at.unix_nanos).unwrap_or_default(),
        };
        let reading = Reading {
            client: client.to_owned(),
            account: balance.account_id.clone(),
            mode: self.mode,
            is_strong: balance.mode() == ModeUsed::Strong,
            invoked,
            completed,
            node: balance.served_by.clone().unwrap_or_default().node,
            shard: position.shard,
            index: position.index,
            balance: posted.minor_units,
            aside: aside(balance),
            stale_by: Duration::from_millis(balance.staleness_bound_ms),
            true_at: true_at.unix_nanos,
            must_cover: self.covers.get(&position.shard).copied(),
        };
        Ok((reading, seen))
    }
}

/// What an answer says is set aside; nothing where it says nothing of it.
fn aside(balance: &Balance) -> Option<Aside> {
    let units = |sum: &Option<Money>| sum.as_ref().map(|sum| sum.minor_units);
    let (posted, held) = (units(&balance.posted)?, units(&balance.held)?);
    Some(Aside {
        held,
        limit: units(&balance.available)? - posted + held,
        reserved: units(&balance.reserved)?,
        incoming: units(&balance.incoming)?,
    })
}

/// The statement of an account, from one node: all of it, page by page.
///
/// # Errors
///
/// When it is not answered, or the answer makes no sense.
pub(super) async fn statement(
    client: &Client,
    account: &str,
    (node, region): (&str, &str),
    history: &History,
) -> Result<(), Error> {
    let mode = Some(read_mode::Mode::Local(Local {}));
    let mut request = GetStatementRequest {
        account_id: account.to_owned(),
        mode: Some(ReadMode { mode }),
        ..GetStatementRequest::default()
    };
    let mut lines = Vec::new();
    let index = loop {
        let reply = client.statement(request.clone()).await?;
        for line in reply.lines {
            let place = line
                .position
                .ok_or_else(|| missing("the place of a line"))?;
            let amount = line.amount.ok_or_else(|| missing("the amount of a line"))?;
            let after = line.balance_after;
            let after = after.ok_or_else(|| missing("the balance of a line"))?;
            lines.push(Line {
                index: place.index,
                amount: amount.minor_units,
                balance_after: after.minor_units,
                is_leg: line.kind == "journal",
                memo: line.memo,
            });
        }
        request.page_token = reply.next_page_token;
        if request.page_token.is_empty() {
            let balance = reply.balance.ok_or_else(|| missing("a balance"))?;
            let position = balance.position.ok_or_else(|| missing("its place"))?;
            break position.index;
        }
    };
    history.note_statement(Statement {
        account: account.to_owned(),
        node: node.to_owned(),
        region: region.to_owned(),
        index,
        lines,
    });
    Ok(())
}

/// The refused commands of an account, asked of one node: all that are listed, page by page.
///
/// # Errors
///
/// When it is not answered, or the answer makes no sense.
pub(super) async fn refusals(
    client: &Client,
    account: &str,
    node: &str,
    history: &History,
) -> Result<(), Error> {
    let mut request = ListDeclinedRequest {
        account_id: account.to_owned(),
        page_size: 50,
        page_token: String::new(),
    };
    let mut refused = Vec::new();
    let (index, all) = loop {
        let reply = client.declined(request.clone()).await?;
        for command in reply.commands {
            let place = command.position;
            let place = place.ok_or_else(|| missing("the place of a refusal"))?;
            let why = command.rejection;
            let why = why.ok_or_else(|| missing("the reason of a refusal"))?;
            refused.push((place.index, why.code));
        }
        request.page_token = reply.next_page_token;
        if request.page_token.is_empty() {
            let position = reply.position.ok_or_else(|| missing("a place"))?;
            break (position.index, reply.all);
        }
    };
    history.note_refusals(Refusals {
        account: account.to_owned(),
        node: node.to_owned(),
        index,
        refused,
        all,
    });
    Ok(())
}

fn tokens(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| seen.token.clone()).collect()
}

fn covers(seen: &[Seen]) -> BTreeMap<u32, u64> {
    let mut covers: BTreeMap<u32, u64> = BTreeMap::new();
    for (shard, index) in seen.iter().flat_map(|seen| &seen.covers) {
        let covered = covers.entry(*shard).or_default();
        *covered = (*covered).max(*index);
    }
    covers
}

fn missing(what: &str) -> Error {
    Error::Malformed(format!("an answer without {what}"))
}
