//! What changes mean for accounts, one by one.

use ledger_domain::{
    Account, AccountId, Amount, Entry, Hold, HoldEvent, ShardId, TransactionId,
    event::ChannelItem,
    movement::{Movement, MovementKind},
};

use super::{Base, Misfit, Step};
use crate::view::rows::{Ended, Item, Line};
use crate::view::states::Restrictions;

impl Step {
    pub(super) fn aside(
        &mut self,
        base: &impl Base,
        id: AccountId,
        reserved: i64,
        accepted: i64,
    ) -> Result<(), Misfit> {
        let before = self.account(base, &id)?;
        let sum = |sum: i64, delta: i64| sum.checked_add(delta).filter(|sum| *sum >= 0);
        let sums = sum(before.reserved, reserved).zip(sum(before.accepted, accepted));
        let (reserved, accepted) = sums.ok_or_else(|| {
            Misfit::Rows(format!(
                "a journal gives back what it did not set aside of {id}"
            ))
        })?;
        let after = Account {
            reserved,
            accepted,
            ..before
        };
        self.put_restated(id, after);
        Ok(())
    }

    /// Keeps an account of which more has changed than lines tell.
    pub(super) fn put_restated(&mut self, id: AccountId, account: Account) {
        self.accounts.insert(id, account);
        self.restated.push(id);
    }

    pub(super) fn restrict(
        &mut self,
        base: &impl Base,
        id: AccountId,
        version: u64,
        change: impl FnOnce(&mut Restrictions),
    ) -> Result<(), Misfit> {
        let account = self.touch(base, &id, version)?;
        let mut restrictions = self.restrictions(base, &id);
        change(&mut restrictions);
        self.restrictions.insert(id, restrictions);
        self.put_restated(id, account);
        Ok(())
    }

    /// Raises an account's version by one, to what its event says.
    pub(super) fn touch(
        &mut self,
        base: &impl Base,
        id: &AccountId,
        version: u64,
    ) -> Result<Account, Misfit> {
        let mut account = self.account(base, id)?;
        account.version += 1;
        if account.version != version {
            return Err(unexpected(id, version, account.version));
        }
        self.accounts.insert(*id, account);
        Ok(account)
    }

    pub(super) fn open(
        &mut self,
        base: &impl Base,
        id: AccountId,
        account: Account,
    ) -> Result<(), Misfit> {
        let before = base.account(&id).map(|(shard, _)| shard);
        let before = before.or_else(|| self.accounts.get(&id).map(|_| self.cursor.fence.shard));
        if let Some(shard) = before {
            return Err(Misfit::Rows(format!(
                "{id} was opened in shard {shard} already"
            )));
        }
        self.accounts.insert(id, account);
        Ok(())
    }

    pub(super) fn post(
        &mut self,
        base: &impl Base,
        entry: &Entry,
        here: TransactionId,
        movement: Movement,
    ) -> Result<(), Misfit> {
        let id = movement.account;
        let mut account = self.account(base, &id)?;
        let posted = account.posted.checked_add(movement.amount);
        if posted != Some(movement.posted) {
            let Movement { amount, posted, .. } = movement;
            let before = account.posted;
            let what = format!("{id} had {before}, moved by {amount} and has {posted}");
            return Err(Misfit::Rows(what));
        }
        account.posted = movement.posted;
        account.version += 1;
        if account.version != movement.version {
            return Err(unexpected(&id, movement.version, account.version));
        }
        if movement.kind == MovementKind::Journal && account.held != movement.held {
            // It was set aside.
            account.held = movement.held;
            self.restated.push(id);
        }
        if account.held != movement.held {
            let (held, said) = (account.held, movement.held);
            let what = format!("{held} of {id} is held, its event says {said}");
            return Err(Misfit::Rows(what));
        }
        self.accounts.insert(id, account);
        let line = Line {
            version: movement.version,
            amount: movement.amount,
            posted: movement.posted,
            booked: entry.time,
            booked_on: entry.business_date,
            effective_date: movement.effective_date,
            front: movement.effective_date,
            into_closed_day: false,
            has_words: false,
            counterparty: movement.counterparty,
            kind: movement.kind,
            transaction: here,
        };
        self.lines.push((id, line));
        Ok(())
    }

    pub(super) fn hold(
        &mut self,
        base: &impl Base,
        here: TransactionId,
        event: &HoldEvent,
    ) -> Result<(), Misfit> {
        let (id, number) = (event.after.account, event.number);
        let mut account = self.account(base, &id)?;
        account.version += 1;
        account.held = account.held.saturating_add(event.change.delta());
        if (account.version, account.held) != (event.after.version, event.after.held) {
            return Err(unexpected(&id, event.after.version, account.version));
        }
        self.put_restated(id, account);
        if self.only.is_some() {
            return Ok(());
        }
        let before = match self.holds.get(&(id, number)) {
            Some(hold) => Some(*hold),
            None => base.hold(&id, number)?,
        };
        let after = event.follow(before).ok_or_else(|| {
            Misfit::Rows(format!(
                "what happens to hold {number} of {id} does not follow"
            ))
        })?;
        let placed = after.placed.or(Some(here));
        self.holds.insert((id, number), Hold { placed, ..after });
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        base: &impl Base,
        here: TransactionId,
        item: &ChannelItem,
    ) -> Result<(), Misfit> {
        let account = self.account(base, &item.payer)?;
        let account = account.with_sent(item.amount);
        let account =
            account.ok_or_else(|| Misfit::Rows(format!("{} sends too much", item.payer)))?;
        self.put_restated(item.payer, account);
        let sent = Item {
            payer: item.payer,
            payee: item.payee,
            effective_date: item.effective_date,
            amount: item.amount.minor_units(),
            sent: here,
        };
        let place = (item.destination, item.number);
        self.items.insert(place, Some(sent));
        Ok(())
    }

    pub(super) fn arrive(
        &mut self,
        base: &impl Base,
        here: TransactionId,
        destination: ShardId,
        number: u64,
    ) -> Result<(), Misfit> {
        let item = self.item(base, destination, number);
        if item.is_none() && self.only.is_some() {
            return Ok(());
        }
        let item = item.ok_or_else(|| {
            Misfit::Rows(format!(
                "item {number} to shard {destination} is not under way"
            ))
        })?;
        let account = self.account(base, &item.payer)?;
        let amount = Amount::new(item.amount).ok();
        let account = amount.and_then(|amount| account.with_ended(amount));
        let account = account.ok_or_else(|| {
            Misfit::Rows(format!("{} has no such transfer under way", item.payer))
        })?;
        self.put_restated(item.payer, account);
        self.items.insert((destination, number), None);
        let (sent, closed) = (item.sent, here);
        self.ended
            .insert((destination, number), Ended { sent, closed });
        Ok(())
    }

    pub(super) fn item(&self, base: &impl Base, destination: ShardId, number: u64) -> Option<Item> {
        match self.items.get(&(destination, number)) {
            Some(changed) => *changed,
            None => base.item(destination, number),
        }
    }

    pub(super) fn restrictions(&self, base: &impl Base, id: &AccountId) -> Restrictions {
        let changed = self.restrictions.get(id).cloned();
        changed.unwrap_or_else(|| base.restrictions(id))
    }

    pub(super) fn account(&self, base: &impl Base, id: &AccountId) -> Result<Account, Misfit> {
        if let Some(account) = self.accounts.get(id) {
            return Ok(*account);
        }
        let home = self.cursor.fence.shard;
        let found = base.account(id).filter(|(shard, _)| *shard == home);
        let found = found.map(|(_, account)| account);
        found.ok_or_else(|| Misfit::Rows(format!("{id} was never opened in shard {home}")))
    }
}

fn unexpected(id: &AccountId, said: u64, found: u64) -> Misfit {
    Misfit::Rows(format!("{id} is at version {found}, its event says {said}"))
}
