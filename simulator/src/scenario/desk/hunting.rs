//! Looks at several accounts that are true together, and sessions that bring what they have seen.

use std::collections::BTreeMap;

use ledger_domain::HybridTime;
use node::{
    api::{
        atm::v1::{AtOneTime, GetBalancesRequest, balance_outcome::Outcome},
        teller::v1::TrialBalanceRow,
        v1::read_mode::Otherwise,
    },
    client::Error,
};
use rand::{Rng as _, rngs::SmallRng};
use tokio::time::sleep;

use super::{Desk, Look, Seen, orders, some};
use crate::history::{Books, Cut, Moment, Reading, When};

/// How often a node is asked for what was at a time that is not over there yet.
const ATTEMPTS: u32 = 8;
/// Between two of them.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

impl Desk {
    /// What was seen last.
    pub(in crate::scenario) fn last_seen(&self) -> Option<Seen> {
        self.seen.front().cloned()
    }

    /// What was seen lately.
    pub(in crate::scenario) fn all_seen(&self) -> Vec<Seen> {
        self.seen.iter().cloned().collect()
    }

    /// At the very truth.
    pub(in crate::scenario) async fn look_strongly(
        &mut self,
        account: &str,
        rng: &mut SmallRng,
    ) -> Result<Option<Reading>, Error> {
        let accounts = [account.to_owned()];
        let mut told = self.look_at(&accounts, rng, Look::strong).await?;
        Ok(told.pop())
    }

    /// At no less than what is known, at any node.
    pub(in crate::scenario) async fn look_in_session(
        &mut self,
        account: &str,
        seen: &[Seen],
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        let look = || match seen {
            [] => Look::local(),
            seen => Look::session(seen),
        };
        let accounts = [account.to_owned()];
        self.look_at(&accounts, rng, look).await.map(drop)
    }

    /// At all of them, and at all of them again: of balances that only grow, what is the same then was
    /// true of all when the second round began.
    pub(in crate::scenario) async fn look_twice(
        &mut self,
        accounts: &[String],
        rng: &mut SmallRng,
    ) -> Result<Option<Cut>, Error> {
        let invoked = self.lobby.history.moment();
        let mut rounds = Vec::new();
        for _ in 0..2 {
            let mut round = BTreeMap::new();
            for account in accounts {
                let Some(told) = self.look_strongly(account, rng).await? else {
                    return Ok(None);
                };
                round.insert(account.clone(), told.balance);
            }
            rounds.push(round);
        }
        let is_same = rounds[0] == rounds[1];
        Ok(is_same.then(|| self.cut(When::WhileAsked, invoked, rounds.remove(0))))
    }

    /// At what they had at a time; none where nobody tells of all.
    pub(in crate::scenario) async fn look_at_time(
        &mut self,
        time: u64,
        accounts: &[String],
        rng: &mut SmallRng,
    ) -> Result<Option<Cut>, Error> {
        let invoked = self.lobby.history.moment();
        for _ in 0..ATTEMPTS {
            let told = self.look_at(accounts, rng, || Look::at_time(time)).await?;
            let told = told.into_iter().map(|told| (told.account, told.balance));
            let balances: BTreeMap<String, i64> = told.collect();
            if balances.len() == accounts.len() {
                return Ok(Some(self.cut(When::At(time), invoked, balances)));
            }
            sleep(PAUSE).await;
        }
        Ok(None)
    }

    /// The same, with what the books have at that time.
    pub(in crate::scenario) async fn count_at(
        &mut self,
        time: u64,
        accounts: &[String],
        rng: &mut SmallRng,
    ) -> Result<Option<Cut>, Error> {
        // A time in nanoseconds alone is the first of those that only a count tells apart.
        let at = HybridTime {
            wall_nanos: time,
            count: 0,
        };
        let hlc: String = at.to_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let Some(books) = self.books_at(&hlc, rng).await? else {
            return Ok(None);
        };
        let cut = self.look_at_time(time, accounts, rng).await?;
        Ok(cut.map(|cut| Cut {
            books: Some(books),
            ..cut
        }))
    }

    /// At what they had at the newest time at which one node knows of all, and what the books have then.
    pub(in crate::scenario) async fn count_together(
        &mut self,
        accounts: &[String],
        rng: &mut SmallRng,
    ) -> Result<Option<Cut>, Error> {
        let Some((cut, hlc)) = self.look_together(accounts, rng).await? else {
            return Ok(None);
        };
        let books = self.books_at(&hlc, rng).await?;
        Ok(books.map(|books| Cut {
            books: Some(books),
            ..cut
        }))
    }

    /// At what they had at the newest time at which one node knows of all, and that time; none where it
    /// does not tell of all.
    pub(in crate::scenario) async fn look_together(
        &mut self,
        accounts: &[String],
        rng: &mut SmallRng,
    ) -> Result<Option<(Cut, String)>, Error> {
        let invoked = self.lobby.history.moment();
        let otherwise = [Otherwise::Error, Otherwise::Wait, Otherwise::Home];
        let at_one_time = AtOneTime {
            // Whatever it is, every fourth time.
            max_staleness_ms: rng.random_range(0..4) * rng.random_range(600..2_000),
            otherwise: otherwise[rng.random_range(0..otherwise.len())].into(),
            tokens: Vec::new(),
        };
        let request = GetBalancesRequest {
            account_ids: accounts.to_vec(),
            mode: None,
            at_one_time: Some(at_one_time),
        };
        let client = some(&self.atms, rng);
        let reply = match client.balances(request).await {
            Ok(reply) => reply,
            Err(error) => {
                self.unanswered("balances of one time", error)?;
                return Ok(None);
            }
        };
        let malformed = |what: &str| Error::Malformed(format!("balances of one time: {what}"));
        let time = reply.true_at.ok_or_else(|| malformed("of no time"))?;
        let mut balances = BTreeMap::new();
        for outcome in reply.outcomes {
            let Some(Outcome::Balance(balance)) = outcome.outcome else {
                continue;
            };
            if balance.true_at.as_ref() != Some(&time) {
                return Err(malformed("one is of another time"));
            }
            let posted = balance.posted.ok_or_else(|| malformed("no amount"))?;
            balances.insert(balance.account_id, posted.minor_units);
        }
        if balances.len() != accounts.len() {
            return Ok(None);
        }
        let nanos = u64::try_from(time.unix_nanos).unwrap_or_default();
        Ok(Some((
            self.cut(When::At(nanos), invoked, balances),
            time.hlc,
        )))
    }

    async fn books_at(&mut self, hlc: &str, rng: &mut SmallRng) -> Result<Option<Books>, Error> {
        let client = some(&self.tellers, rng);
        match client.trial_balance(hlc).await {
            Ok(reply) if reply.balanced => Ok(Some(books(&reply.rows))),
            Ok(reply) => {
                let what = format!("the books do not balance: {reply:?}");
                Err(Error::Malformed(what))
            }
            Err(error) => {
                self.unanswered("trial balance", error)?;
                Ok(None)
            }
        }
    }

    fn cut(&self, when: When, invoked: Moment, balances: BTreeMap<String, i64>) -> Cut {
        Cut {
            client: self.name.clone(),
            when,
            invoked,
            completed: self.lobby.history.moment(),
            balances,
            books: None,
        }
    }

    async fn look_at(
        &mut self,
        accounts: &[String],
        rng: &mut SmallRng,
        look: impl Fn() -> Look,
    ) -> Result<Vec<Reading>, Error> {
        let client = some(&self.atms, rng);
        let (look, history) = (look(), self.lobby.history.clone());
        let name = look.name;
        let told = match accounts {
            [account] => {
                let told = look.at(account, &client, &self.name, &history).await;
                told.map(|told| vec![told])
            }
            several => {
                look.at_several(several, &client, &self.name, &history)
                    .await
            }
        };
        match told {
            Ok(told) => {
                self.lobby.note_aside(name);
                let told = told.into_iter().map(|(reading, seen)| {
                    self.trace.record(format!("{name}: {reading:?}"));
                    self.keep(seen);
                    reading
                });
                Ok(told.collect())
            }
            Err(error) => {
                self.unanswered(name, error)?;
                Ok(Vec::new())
            }
        }
    }
}

/// Adds up what the books of all shards have.
fn books(rows: &[TrialBalanceRow]) -> Books {
    let mut books = Books {
        customers: 0,
        elsewhere: 0,
    };
    for row in rows.iter().filter(|row| row.currency == orders::CURRENCY) {
        let sum = match row.account.as_str() {
            "customers" => &mut books.customers,
            "cash" => continue,
            _ => &mut books.elsewhere,
        };
        *sum += row.credit_minor_units - row.debit_minor_units;
    }
    books
}
