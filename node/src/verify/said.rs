//! Entries of format 2 say once what their outcomes repeat: here it is put back where it is meant.

use super::stored::{Read, ledger};

/// Puts accounts and actors back into the outcomes of an entry of format 2.
pub(super) fn put_back(entry: &mut ledger::Entry) -> Read<()> {
    let accounts = std::mem::take(&mut entry.accounts);
    let actors = std::mem::take(&mut entry.actors);
    for outcome in &mut entry.outcomes {
        for mention in mentions(outcome) {
            if *mention != said(mention.said) {
                return Err("an account is named in full and by its place".to_owned());
            }
            *mention = element(&accounts, mention.said, "account")?.clone();
        }
        if let Some(command) = &mut outcome.command
            && command.actor_said != 0
        {
            if !command.actor.is_empty() {
                return Err("an actor is named in full and by its place".to_owned());
            }
            command.actor = element(&actors, command.actor_said, "actor")?.clone();
            command.actor_said = 0;
        }
    }
    Ok(())
}

/// Whether an entry of format 1 says nothing by its place.
pub(super) fn in_full(entry: &mut ledger::Entry) -> Read<()> {
    let mut outcomes = entry.outcomes.iter_mut();
    let by_place = !entry.accounts.is_empty()
        || !entry.actors.is_empty()
        || outcomes.any(|outcome| {
            let command = outcome.command.as_ref();
            command.is_some_and(|it| it.actor_said != 0)
                || mentions(outcome).iter().any(|it| it.said != 0)
        });
    match by_place {
        true => Err("it is of format 1 and refers to what it says once".to_owned()),
        false => Ok(()),
    }
}

fn said(place: u32) -> ledger::AccountId {
    ledger::AccountId {
        said: place,
        ..Default::default()
    }
}

fn element<'a, T>(all: &'a [T], place: u32, what: &str) -> Read<&'a T> {
    let at = usize::try_from(place).ok().and_then(|it| it.checked_sub(1));
    let found = at.and_then(|at| all.get(at));
    found.ok_or_else(|| format!("{what} {place} of {} is referred to", all.len()))
}

/// Where an outcome names accounts, but for items of channels, which are hashed by themselves.
fn mentions(outcome: &mut ledger::Outcome) -> Vec<&mut ledger::AccountId> {
    use ledger::event::Event as E;
    fn after(after: &mut Option<ledger::After>) -> Option<&mut ledger::AccountId> {
        after.as_mut().and_then(|it| it.account.as_mut())
    }
    fn held(hold: &mut Option<ledger::HoldAfter>) -> Option<&mut ledger::AccountId> {
        hold.as_mut().and_then(|it| after(&mut it.after))
    }
    let command = outcome.command.as_mut();
    let mut all = Vec::from_iter(command.and_then(|it| it.account.as_mut()));
    for event in outcome.events.iter_mut().filter_map(|it| it.event.as_mut()) {
        match event {
            E::AccountOpened(e) => all.extend(&mut e.account),
            E::AccountClosed(e) => all.extend(&mut e.account),
            E::ReferenceClaimed(e) => all.extend(&mut e.account),
            E::ReferenceReleased(e) => all.extend(&mut e.account),
            E::AccountAttached(e) => all.extend(&mut e.account),
            E::AccountDetached(e) => all.extend(&mut e.account),
            E::FundsDeposited(e) => all.extend(after(&mut e.after)),
            E::FundsWithdrawn(e) => all.extend(after(&mut e.after)),
            E::FundsTransferred(e) => {
                all.extend(after(&mut e.payer));
                all.extend(after(&mut e.payee));
            }
            E::TransferSent(e) => all.extend(after(&mut e.payer)),
            E::TransferReceived(e) => {
                all.extend(after(&mut e.payee));
                all.extend(&mut e.payer);
            }
            E::AccountFrozen(e) => all.extend(after(&mut e.after)),
            E::AccountThawed(e) => all.extend(after(&mut e.after)),
            E::LimitChanged(e) => all.extend(after(&mut e.after)),
            E::SpendingLimitSet(e) => all.extend(after(&mut e.after)),
            E::TransferSuspended(e) => {
                all.extend(&mut e.payee);
                all.extend(&mut e.payer);
            }
            E::TransferReturned(e) => all.extend(after(&mut e.payer)),
            E::SuspenseCleared(e) => {
                all.extend(&mut e.owner);
                if let Some(ledger::suspense_cleared::To::Account(to)) = &mut e.to {
                    all.extend(&mut to.account);
                }
            }
            E::HoldPlaced(e) => all.extend(held(&mut e.hold)),
            E::HoldRaised(e) => all.extend(held(&mut e.hold)),
            E::HoldCaptured(e) => all.extend(held(&mut e.hold)),
            E::HoldReleased(e) => all.extend(held(&mut e.hold)),
            E::HoldExpired(e) => all.extend(held(&mut e.hold)),
            E::HoldLate(e) => all.extend(held(&mut e.hold)),
            E::JournalBooked(e) => all.extend(in_lines(&mut e.lines)),
            E::JournalOpened(e) => {
                all.extend(in_lines(&mut e.lines));
                for ask in &mut e.asks {
                    all.extend(ask.legs.iter_mut().flat_map(in_leg));
                }
            }
            E::JournalReserved(e) => all.extend(in_lines(&mut e.lines)),
            E::JournalPosted(e) => all.extend(in_lines(&mut e.lines)),
            E::JournalCancelled(e) => all.extend(in_lines(&mut e.lines)),
            E::JournalRefused(_)
            | E::JournalAnswered(_)
            | E::HouseAccountOpened(_)
            | E::DayClosed(_)
            | E::ConsumerCreated(_)
            | E::ConsumerAdvanced(_)
            | E::ConsumerParked(_)
            | E::ConsumerResumed(_)
            | E::ConsumerMoved(_)
            | E::ConsumerRemoved(_)
            | E::CustomerRegistered(_)
            | E::ProfileSet(_)
            | E::LegalHoldPlaced(_)
            | E::LegalHoldLifted(_)
            | E::CustomerErased(_)
            | E::TransactionReversed(_)
            | E::TransferRefused(_)
            | E::TransferSettled(_)
            | E::ItemsForgotten(_) => {}
        }
    }
    all
}

fn in_lines(lines: &mut [ledger::JournalLine]) -> Vec<&mut ledger::AccountId> {
    let mut all = Vec::new();
    for line in lines {
        all.extend(line.leg.iter_mut().flat_map(in_leg));
        all.extend(line.after.as_mut().and_then(|it| it.account.as_mut()));
    }
    all
}

fn in_leg(leg: &mut ledger::Leg) -> Vec<&mut ledger::AccountId> {
    use ledger::party::Party as P;
    let parties = [&mut leg.party, &mut leg.against].into_iter();
    let accounts = parties.filter_map(|party| match party.as_mut()?.party.as_mut()? {
        P::Account(id) => Some(id),
        P::House(_) => None,
    });
    accounts.collect()
}
