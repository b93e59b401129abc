//! What was spent by channels, counted again, and what may be.

use std::collections::BTreeMap;

use ledger_domain::AccountId;

use super::stored::{self, Read, ledger};

/// An account and the number of a channel.
pub(super) type By = (AccountId, i32);

/// The most in one transaction and on one business date, minor units.
pub(super) type Limit = (Option<i64>, Option<i64>);

/// The spending limits of a shard, and what was spent on the last business date on which anything
/// was.
#[derive(Default)]
pub(super) struct Spending {
    pub(super) limits: BTreeMap<By, Limit>,
    date: Option<i32>,
    spent: BTreeMap<By, i64>,
}

/// Whether a channel is one by which callers spend.
fn is_counted(channel: ledger::Channel) -> bool {
    use ledger::Channel as C;
    match channel {
        C::Teller | C::Atm | C::Batch | C::Card | C::Online => true,
        C::Unspecified | C::System => false,
    }
}

/// How much an outcome spends, where that counts.
fn spends(outcome: &ledger::Outcome) -> Read<Option<(By, i64)>> {
    use ledger::{Kind, event::Event as E};
    let Some(command) = &outcome.command else {
        return Ok(None);
    };
    let kinds = [
        Kind::Withdraw,
        Kind::Transfer,
        Kind::PlaceHold,
        Kind::RaiseHold,
    ];
    if command.privileged || !kinds.contains(&command.kind()) || !is_counted(command.channel()) {
        return Ok(None);
    }
    for event in outcome.events.iter().filter_map(|it| it.event.as_ref()) {
        let amount = match event {
            E::FundsWithdrawn(e) => e.amount,
            E::FundsTransferred(e) => e.amount,
            E::TransferSent(e) => stored::message::<ledger::ChannelItem>(e.item.clone())?.amount,
            E::HoldPlaced(e) => e.amount,
            E::HoldRaised(e) => e.by,
            _ => continue,
        };
        let by = (stored::account(&command.account)?, command.channel);
        return Ok(Some((by, stored::amount(amount)?)));
    }
    Ok(None)
}

fn name(channel: i32) -> String {
    let known = ledger::Channel::try_from(channel);
    let name = known.map_or("?", |it| it.as_str_name());
    name.trim_start_matches("CHANNEL_").to_lowercase()
}

impl Spending {
    /// Follows what was done on a business date: nothing is spent beyond a limit.
    pub(super) fn follow(&mut self, outcome: &ledger::Outcome, date: i32) -> Read<()> {
        let Some((by, amount)) = spends(outcome)? else {
            return Ok(());
        };
        if self.date != Some(date) {
            self.date = Some(date);
            self.spent.clear();
        }
        let spent = self.spent.entry(by).or_default();
        let sum = i128::from(*spent) + i128::from(amount);
        *spent = i64::try_from(sum).unwrap_or(i64::MAX);
        let ((id, channel), beyond) = (by, |most: &i64, sum: i128| sum > i128::from(*most));
        let channel = name(channel);
        let (once, day) = self.limits.get(&by).copied().unwrap_or_default();
        if let Some(most) = once.filter(|most| beyond(most, amount.into())) {
            return Err(format!(
                "{id} spends {amount} minor units by {channel} in one transaction, beyond its limit \
                 of {most}"
            ));
        }
        match day.filter(|most| beyond(most, sum)) {
            Some(most) => Err(format!(
                "{id} spends {sum} minor units by {channel} on day {date}, beyond its limit of {most}"
            )),
            None => Ok(()),
        }
    }

    /// A limit is another from now on; what the event says was spent is what was.
    pub(super) fn set(
        &mut self,
        id: AccountId,
        event: &ledger::SpendingLimitSet,
        date: i32,
    ) -> Read<()> {
        let limit = event.limit.as_ref().ok_or("a spending limit is missing")?;
        if !is_counted(limit.channel()) {
            return Err(format!(
                "{id} has a spending limit by no channel that has any"
            ));
        }
        let by = (id, limit.channel);
        match (limit.per_transaction, limit.per_day) {
            (None, None) => drop(self.limits.remove(&by)),
            both => drop(self.limits.insert(by, both)),
        }
        let spent = match self.date == Some(date) {
            true => self.spent.get(&by).copied().unwrap_or_default(),
            false => 0,
        };
        if (event.date, event.spent) != (date, spent) {
            let (said, on) = (event.spent, event.date);
            let channel = name(limit.channel);
            return Err(format!(
                "{id} has spent {spent} minor units by {channel} on day {date}; the event says \
                 {said} on day {on}"
            ));
        }
        Ok(())
    }

    /// A closed account has no limits.
    pub(super) fn close(&mut self, id: &AccountId) {
        self.limits.retain(|(limited, _), _| limited != id);
    }

    /// What was spent, by business date, account and channel.
    pub(super) fn spent(&self) -> BTreeMap<(i32, By), i64> {
        let date = self.date.unwrap_or_default();
        let rows = self.spent.iter();
        rows.map(|(by, units)| ((date, *by), *units)).collect()
    }
}

/// Spending as a stored book has it.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) limits: BTreeMap<By, Limit>,
    pub(super) spent: BTreeMap<(i32, By), i64>,
}

impl Rows {
    pub(super) fn read(&mut self, part: &ledger::BookSpending) -> Read<()> {
        for row in &part.limits {
            let id = stored::account(&row.id)?;
            let limits = row.limits.iter();
            self.limits
                .extend(limits.map(|it| ((id, it.channel), (it.per_transaction, it.per_day))));
        }
        for row in &part.spent {
            let id = stored::account(&row.id)?;
            let by = row.by.iter();
            self.spent
                .extend(by.map(|it| ((part.date, (id, it.channel)), it.units)));
        }
        Ok(())
    }

    /// Whether it may be of before anything of the kind was stored.
    pub(super) fn is_silent(&self) -> bool {
        self.limits.is_empty() && self.spent.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> AccountId {
        AccountId::derive("eu".parse().expect("a region"), "t", "a")
    }

    fn account() -> Option<ledger::AccountId> {
        Some(ledger::AccountId {
            region: "eu".to_owned(),
            body: bytes::Bytes::copy_from_slice(id().body()),
            said: 0,
        })
    }

    fn withdrawal(amount: u64, channel: ledger::Channel, privileged: bool) -> ledger::Outcome {
        let event = ledger::event::Event::FundsWithdrawn(ledger::FundsWithdrawn {
            amount,
            ..Default::default()
        });
        ledger::Outcome {
            command: Some(ledger::CommandInfo {
                kind: ledger::Kind::Withdraw as i32,
                channel: channel as i32,
                account: account(),
                privileged,
                ..Default::default()
            }),
            events: vec![ledger::Event { event: Some(event) }],
            rejection: None,
        }
    }

    fn limit(most: Limit, date: i32, spent: i64) -> ledger::SpendingLimitSet {
        ledger::SpendingLimitSet {
            after: None,
            limit: Some(ledger::SpendingLimit {
                channel: ledger::Channel::Card as i32,
                per_transaction: most.0,
                per_day: most.1,
            }),
            date,
            spent,
        }
    }

    #[test]
    fn spending_beyond_a_limit_is_found() {
        use ledger::Channel::{Card, Online, System};
        let mut spending = Spending::default();
        assert_eq!(
            spending.set(id(), &limit((Some(50), Some(100)), 9, 0), 9),
            Ok(())
        );
        for (amount, by, privileged, date, fits) in [
            (50, Card, false, 9, true),
            (51, Online, false, 9, true),
            (51, System, false, 9, true),
            (51, Card, true, 9, true),
            (51, Card, false, 9, false),
            (1, Card, false, 9, false),
            (50, Card, false, 10, true),
            (50, Card, false, 10, true),
            (1, Card, false, 10, false),
        ] {
            let told = spending.follow(&withdrawal(amount, by, privileged), date);
            assert_eq!(told.is_ok(), fits, "{amount} by {by:?}: {told:?}");
        }
        spending.close(&id());
        assert_eq!(spending.follow(&withdrawal(900, Card, false), 10), Ok(()));
    }

    #[test]
    fn what_an_event_says_was_spent_is_what_was() {
        let mut spending = Spending::default();
        let card = ledger::Channel::Card;
        assert_eq!(spending.follow(&withdrawal(80, card, false), 9), Ok(()));
        for (date, spent, fits) in [(9, 80, true), (9, 79, false), (10, 80, false)] {
            let told = spending.set(id(), &limit((None, Some(50)), date, spent), 9);
            assert_eq!(told.is_ok(), fits, "{spent} on {date}: {told:?}");
        }
        // On the day after nothing was.
        assert_eq!(spending.set(id(), &limit((None, None), 10, 0), 10), Ok(()));
        assert!(spending.limits.is_empty());
    }
}
