//! Events as they are told.

use ledger_domain::{
    AccountId, Currency, Entry, Event, Outcome, TransactionId, codec::encode_event,
    event::CommandRecord, subject::Kept,
};

use crate::{
    api::events::v1 as pb,
    server::{Server, receipt, transaction},
};

/// An event and where it stands.
pub(super) struct Stands<'a> {
    pub(super) entry: &'a Entry,
    pub(super) at: TransactionId,
    pub(super) outcome: &'a Outcome,
    /// From 1.
    pub(super) place: u32,
    pub(super) event: &'a Event,
}

impl Server {
    /// The currency of an account, where it is known here.
    pub(super) fn currency_of(&self, account: &AccountId) -> Option<Currency> {
        self.views().currency(account)
    }

    /// `about` is the account whose stream it is, if it is one's: what the caller said beside the memo
    /// is told to that of the account which the command named first.
    pub(super) fn event(
        &self,
        it: &Stands<'_>,
        about: Option<&AccountId>,
        with_stored: bool,
    ) -> pb::Event {
        let event = it.event;
        let after = event.afters().into_iter().map(|after| pb::AccountAfter {
            account_id: after.account.to_string(),
            posted_minor_units: after.posted,
            held_minor_units: after.held,
            version: after.version,
        });
        let amounts = event.figures().into_iter().map(|figure| {
            let currency = match figure.currency {
                Kept::In(currency) => Some(currency),
                Kept::AsOf(account) => self.currency_of(&account),
            };
            crate::api::v1::Money {
                minor_units: figure.units,
                currency: currency.map_or_else(String::new, |it| it.to_string()),
            }
        });
        let memo = match event {
            Event::TransferReceived { memo, .. } | Event::TransferSuspended { memo, .. } => {
                memo.as_ref()
            }
            _ => None,
        };
        pb::Event {
            kind: event.kind().name().to_owned(),
            transaction_id: it.at.to_string(),
            place: it.place,
            position: Some(receipt::position(it.at.position)),
            time: Some(receipt::time(it.entry.time)),
            business_date: it.entry.business_date.to_string(),
            after: after.collect(),
            account_ids: event.accounts().iter().map(ToString::to_string).collect(),
            amounts: amounts.collect(),
            refers_to: event
                .refers_to()
                .map_or_else(String::new, |it| it.to_string()),
            memo: memo.map_or_else(String::new, |it| self.unsealed(it)),
            command: it
                .outcome
                .command
                .as_ref()
                .map(|it| self.command(it, about)),
            stored: match with_stored && !has_digest(event) {
                true => encode_event(event).to_vec(),
                false => Vec::new(),
            },
        }
    }

    fn command(&self, command: &CommandRecord, about: Option<&AccountId>) -> pb::Command {
        let info = &command.info;
        let is_theirs = about.is_none_or(|about| *about == command.account);
        let theirs = |words: String| if is_theirs { words } else { String::new() };
        let opened = |sealed: &Option<_>| {
            let sealed = sealed.as_ref();
            sealed.map_or_else(String::new, |it| self.unsealed(it))
        };
        pb::Command {
            kind: transaction::kind(command.kind).into(),
            account_id: command.account.to_string(),
            actor: info.actor.clone(),
            authenticated: info.authenticated,
            channel: info.channel as i32,
            privileged: info.privileged,
            correlation_id: theirs(info.correlation_id.clone()),
            reason: theirs(info.reason.clone()),
            effective_date: command.effective_date.to_string(),
            into_closed_day: info.into_closed_day,
            group_item: info.group.map_or(0, |group| group.item),
            group_of: info.group.map_or(0, |group| group.of),
            memo: opened(&info.memo),
            external_reference: theirs(opened(&info.external_reference)),
        }
    }
}

/// Whether there is a digest in an event that nobody needs who is told of it.
fn has_digest(event: &Event) -> bool {
    matches!(
        event,
        Event::ReferenceClaimed(_) | Event::ReferenceReleased(_)
    )
}
