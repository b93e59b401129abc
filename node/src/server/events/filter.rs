//! What a reader wants to be told.

use std::collections::BTreeSet;

use ledger_domain::{
    AccountId, Currency, Event, EventKind, ShardId,
    command::Channel,
    consumer::bucket,
    event::CommandRecord,
    subject::{Figure, Kept},
};
use tonic::Status;

use crate::{
    api::{events::v1 as pb, v1},
    server::{prepare, refusal},
};

/// The most kinds, actors and channels that a filter names.
const MAX_NAMES: usize = 64;
/// The most accounts that it names.
const MAX_ACCOUNTS: usize = 1_000;

/// What an event must meet: all that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::server) struct Filter {
    /// It names this account: the stream is the account's.
    pub(super) about: Option<AccountId>,
    pub(super) kinds: BTreeSet<EventKind>,
    pub(super) accounts: BTreeSet<AccountId>,
    pub(super) channels: BTreeSet<Channel>,
    pub(super) actors: BTreeSet<String>,
    pub(super) minimum: i64,
    pub(super) currency: Option<Currency>,
    /// It is a consumer group's.
    pub(in crate::server) share: Option<Bucket>,
}

/// Which of the accounts of a shard a share of a consumer group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Bucket {
    pub(in crate::server) number: u32,
    /// Of so many.
    pub(in crate::server) of: u32,
}

impl Filter {
    /// Out of a request. `about` is the account whose stream it is.
    pub(in crate::server) fn of(
        given: pb::Filter,
        about: Option<AccountId>,
    ) -> Result<Self, Status> {
        for (names, most, what) in [
            (given.kinds.len(), MAX_NAMES, "kinds"),
            (given.channels.len(), MAX_NAMES, "channels"),
            (given.actors.len(), MAX_NAMES, "actors"),
            (given.account_ids.len(), MAX_ACCOUNTS, "accounts"),
        ] {
            if names > most {
                let what = format!("{names} {what}; a filter names at most {most}");
                return Err(refusal::invalid(what));
            }
        }
        if given.minimum_minor_units < 0 {
            return Err(refusal::invalid("a minimum is not below zero"));
        }
        let kinds = given.kinds.iter().map(|name| {
            let kind = EventKind::from_name(name);
            kind.ok_or_else(|| refusal::invalid(format!("no event is called `{name}`")))
        });
        let accounts = given.account_ids.iter().map(|id| prepare::account(id));
        let channels = given.channels.iter().map(|number| {
            let known = Channel::from_number(*number);
            known.ok_or_else(|| refusal::invalid(format!("there is no channel {number}")))
        });
        let currency = match given.currency.as_str() {
            "" => None,
            code => Some(code.parse().map_err(refusal::invalid)?),
        };
        Ok(Self {
            about,
            kinds: kinds.collect::<Result<_, _>>()?,
            accounts: accounts.collect::<Result<_, _>>()?,
            channels: channels.collect::<Result<_, _>>()?,
            actors: given.actors.into_iter().collect(),
            minimum: given.minimum_minor_units,
            currency,
            share: None,
        })
    }

    /// Does an event pass, whatever its amounts are?
    pub(super) fn may_admit(&self, command: Option<&CommandRecord>, event: &Event) -> bool {
        let named = || event.accounts();
        let channel = command.map_or(Channel::System, |it| it.info.channel);
        let is_given_by = |command: &CommandRecord| self.actors.contains(&command.info.actor);
        (self.kinds.is_empty() || self.kinds.contains(&event.kind()))
            && (self.channels.is_empty() || self.channels.contains(&channel))
            && (self.actors.is_empty() || command.is_some_and(is_given_by))
            && self.about.is_none_or(|about| named().contains(&about))
            && (self.accounts.is_empty() || named().iter().any(|it| self.accounts.contains(it)))
    }

    /// Does the share have an event that passes? One that names accounts of its shard is in the shares of
    /// those; another in the first. What groups do is in none: to acknowledge it would be done, too.
    pub(super) fn is_in_share(
        &self,
        event: &Event,
        shard: ShardId,
        home: impl Fn(&AccountId) -> Option<ShardId>,
    ) -> bool {
        let Some(Bucket { number, of }) = self.share else {
            return true;
        };
        if matches!(event, Event::Consumer(_)) {
            return false;
        }
        if of == 1 {
            return true;
        }
        let mut own = event.accounts();
        own.retain(|account| home(account) == Some(shard));
        match own.is_empty() {
            true => number == 0,
            false => own.iter().any(|account| bucket(account, of) == number),
        }
    }

    /// Is an amount of it enough? `currency_of` tells what an account is kept in.
    pub(super) fn is_enough(
        &self,
        event: &Event,
        currency_of: impl Fn(&AccountId) -> Option<Currency>,
    ) -> bool {
        let is_enough = |figure: &Figure| {
            let is_in = |wanted| match figure.currency {
                Kept::In(currency) => currency == wanted,
                Kept::AsOf(account) => currency_of(&account) == Some(wanted),
            };
            figure.units >= self.minimum && self.currency.is_none_or(is_in)
        };
        self.minimum == 0 && self.currency.is_none() || event.figures().iter().any(is_enough)
    }
}

/// The channels as callers name them are those of the domain, by number.
const _: () = assert!(v1::Channel::System as i32 == Channel::System as i32);

#[cfg(test)]
mod tests {
    use ledger_domain::{Amount, HouseCode, event::After};

    use super::*;

    fn account(name: &str) -> AccountId {
        AccountId::derive("eu-west".parse().unwrap(), "t", name)
    }

    fn after(name: &str) -> After {
        After {
            account: account(name),
            posted: 0,
            version: 2,
            held: 0,
        }
    }

    fn paid(units: i64, currency: &str) -> Event {
        Event::FundsTransferred {
            payer: after("a"),
            payee: after("b"),
            currency: currency.parse().unwrap(),
            amount: Amount::new(units).unwrap(),
        }
    }

    fn passes(filter: pb::Filter, event: &Event) -> bool {
        let filter = Filter::of(filter, None).unwrap();
        let currency_of = |_: &_| Some("EUR".parse().unwrap());
        filter.may_admit(None, event) && filter.is_enough(event, currency_of)
    }

    #[test]
    fn an_event_passes_that_meets_all_that_is_set_as_a_table() {
        let euros = paid(500, "EUR");
        let all = pb::Filter::default;
        let ids = |names: &[&str]| names.iter().map(|it| account(it).to_string()).collect();
        let kinds = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect();
        for (filter, expected) in [
            (all(), true),
            (
                pb::Filter {
                    kinds: kinds(&["FundsTransferred"]),
                    ..all()
                },
                true,
            ),
            (
                pb::Filter {
                    kinds: kinds(&["fundstransferred", "HoldPlaced"]),
                    ..all()
                },
                true,
            ),
            (
                pb::Filter {
                    kinds: kinds(&["FundsDeposited"]),
                    ..all()
                },
                false,
            ),
            (
                pb::Filter {
                    account_ids: ids(&["b", "x"]),
                    ..all()
                },
                true,
            ),
            (
                pb::Filter {
                    account_ids: ids(&["x"]),
                    ..all()
                },
                false,
            ),
            (
                pb::Filter {
                    minimum_minor_units: 500,
                    ..all()
                },
                true,
            ),
            (
                pb::Filter {
                    minimum_minor_units: 501,
                    ..all()
                },
                false,
            ),
            (
                pb::Filter {
                    currency: "EUR".to_owned(),
                    ..all()
                },
                true,
            ),
            (
                pb::Filter {
                    currency: "USD".to_owned(),
                    ..all()
                },
                false,
            ),
            (
                pb::Filter {
                    currency: "USD".to_owned(),
                    minimum_minor_units: 1,
                    ..all()
                },
                false,
            ),
            (
                pb::Filter {
                    channels: vec![v1::Channel::System.into()],
                    ..all()
                },
                true,
            ),
            (
                pb::Filter {
                    channels: vec![v1::Channel::Atm.into()],
                    ..all()
                },
                false,
            ),
            (
                pb::Filter {
                    actors: vec!["ann".to_owned()],
                    ..all()
                },
                false,
            ),
            (
                pb::Filter {
                    account_ids: ids(&["a"]),
                    minimum_minor_units: 501,
                    ..all()
                },
                false,
            ),
        ] {
            assert_eq!(passes(filter.clone(), &euros), expected, "{filter:?}");
        }
        let no_amount = Event::AccountClosed {
            account: account("a"),
            version: 3,
            closed_on: "2026-11-20".parse().unwrap(),
        };
        assert!(passes(all(), &no_amount));
        assert!(!passes(
            pb::Filter {
                minimum_minor_units: 1,
                ..all()
            },
            &no_amount
        ));
        let deposit = Event::FundsDeposited {
            after: after("a"),
            house: HouseCode::Cash,
            currency: "JPY".parse().unwrap(),
            amount: Amount::new(7).unwrap(),
        };
        let about = |name| Filter {
            about: Some(account(name)),
            ..Filter::default()
        };
        assert!(about("a").may_admit(None, &deposit));
        assert!(!about("b").may_admit(None, &deposit));
    }

    #[test]
    fn what_no_event_can_meet_is_refused() {
        for (filter, says) in [
            (
                pb::Filter {
                    kinds: vec!["Deposit".to_owned()],
                    ..Default::default()
                },
                "`Deposit`",
            ),
            (
                pb::Filter {
                    channels: vec![77],
                    ..Default::default()
                },
                "channel 77",
            ),
            (
                pb::Filter {
                    minimum_minor_units: -1,
                    ..Default::default()
                },
                "below zero",
            ),
            (
                pb::Filter {
                    currency: "EURO".to_owned(),
                    ..Default::default()
                },
                "EURO",
            ),
            (
                pb::Filter {
                    actors: vec![String::new(); 65],
                    ..Default::default()
                },
                "at most 64",
            ),
        ] {
            let refused = Filter::of(filter, None).unwrap_err();
            assert!(refused.message().contains(says), "{refused}");
        }
    }
}
