//! What records mean for the rows: a function of the records and the rows before.

use std::collections::BTreeMap;

use ledger_domain::{
    Account, AccountId, Amount, Damage, Entry, Event, Hold, HoldEvent, HybridTime, JournalEvent,
    Outcome, Position, Rejection, ShardId, TransactionId,
    account::Status,
    day::is_closed,
    event::{ChannelItem, CommandRecord},
    movement::{self, Change, Movement, MovementKind},
    planted::{Bug, planted},
};

use super::rows::{Cursor, Declined, Ended, Item, Line, Opening, Reversal};
use super::tail::ByAccount;
use crate::copy::audited_head;
use crate::log::{Kind, StoredRecord};

/// The rows before a step.
pub(super) trait Base {
    /// An account and the shard it lives in.
    fn account(&self, id: &AccountId) -> Option<(ShardId, Account)>;
    /// A transfer under way from the folded shard.
    fn item(&self, destination: ShardId, number: u64) -> Option<Item>;
    /// A hold of an account, by its number.
    fn hold(&self, account: &AccountId, number: u64) -> Result<Option<Hold>, Misfit>;
    /// How many commands of an account were refused.
    fn declined(&self, account: &AccountId) -> Result<u64, Misfit>;
    /// The reversal of a transaction that a journal of its shard is.
    fn reversal(
        &self,
        original: &TransactionId,
        journal: u64,
    ) -> Result<Option<TransactionId>, Misfit>;
}

/// Why a record cannot be folded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misfit {
    /// Its bytes.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// It does not follow from the rows before.
    #[error("{0}")]
    Rows(String),
}

/// The rows that some records change, to be stored together.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) cursor: Cursor,
    pub(super) accounts: ByAccount<Account>,
    /// As if each were the first of its account.
    pub(super) lines: Vec<(AccountId, Line)>,
    /// `None` where a transfer is no longer under way.
    pub(super) items: BTreeMap<(ShardId, u64), Option<Item>>,
    /// Transfers that ended, by destination and number.
    pub(super) ended: BTreeMap<(ShardId, u64), Ended>,
    /// Items that were taken or refused, by source and number.
    pub(super) recorded: BTreeMap<(ShardId, u64), TransactionId>,
    pub(super) openings: BTreeMap<AccountId, Opening>,
    pub(super) holds: BTreeMap<(AccountId, u64), Hold>,
    pub(super) declined: BTreeMap<(AccountId, u64), Declined>,
    /// Reversals, by their originals and their own ids; `None` where one is cancelled.
    pub(super) reversals: BTreeMap<(TransactionId, TransactionId), Option<Reversal>>,
    /// What decided journals that this shard coordinates, by number.
    pub(super) journals: BTreeMap<u64, TransactionId>,
    /// Indexes whose entries mean nothing.
    pub(super) voids: Vec<u64>,
}

impl Step {
    pub(super) fn after(cursor: Cursor) -> Self {
        Self {
            cursor,
            accounts: ByAccount::default(),
            lines: Vec::new(),
            items: BTreeMap::new(),
            ended: BTreeMap::new(),
            recorded: BTreeMap::new(),
            openings: BTreeMap::new(),
            holds: BTreeMap::new(),
            declined: BTreeMap::new(),
            reversals: BTreeMap::new(),
            journals: BTreeMap::new(),
            voids: Vec::new(),
        }
    }

    /// Folds the next record. After a misfit the step is of no use.
    pub(super) fn fold(&mut self, base: &impl Base, record: &StoredRecord) -> Result<(), Misfit> {
        let index = record.id.index;
        if index != self.cursor.next {
            let next = self.cursor.next;
            return Err(Misfit::Rows(format!(
                "index {index} came where {next} was due"
            )));
        }
        self.cursor.audited_head = audited_head(&self.cursor.audited_head, record);
        self.cursor.next = index + 1;
        self.cursor.fence.under(record.id.epoch);
        if record.kind != Kind::Entry {
            return Ok(());
        }
        let entry = Entry::decode(&record.payload)?;
        if !self.cursor.fence.admit(&entry, &record.payload) {
            self.voids.push(index);
            if !planted(Bug::VoidEntryFolded) {
                return Ok(());
            }
        }
        let mut closed_through = entry.closed_through;
        for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
            let position = Position {
                shard: entry.shard,
                epoch: entry.epoch,
                index,
            };
            let here = TransactionId { position, ordinal };
            let (from, has_words) = (self.lines.len(), outcome.has_words());
            self.fold_outcome(base, &entry, here, outcome)?;
            for (_, line) in &mut self.lines[from..] {
                line.into_closed_day = is_closed(line.effective_date, closed_through);
                line.has_words = has_words;
            }
            for event in outcome.result.iter().flatten() {
                if let Event::DayClosed { date, .. } = event {
                    closed_through = Some(*date);
                }
            }
        }
        Ok(())
    }

    fn fold_outcome(
        &mut self,
        base: &impl Base,
        entry: &Entry,
        here: TransactionId,
        outcome: &Outcome,
    ) -> Result<(), Misfit> {
        if let (Some(command), Err(rejection)) = (&outcome.command, &outcome.result) {
            return self.decline(base, entry.time, here, command, rejection);
        }
        for event in outcome.result.iter().flatten() {
            if let Some((item, _)) = event.sends() {
                self.send(base, here, item)?;
            }
            if let Some(reversed) = event.reverses() {
                let reversal = Reversal {
                    transaction: here,
                    amount: reversed.amount.minor_units(),
                    journal: match event {
                        Event::Journal(JournalEvent::Opened { number, .. }) => Some(*number),
                        _ => None,
                    },
                };
                let key = (reversed.original, here);
                self.reversals.insert(key, Some(reversal));
            }
            match event {
                Event::TransferReceived { item, .. }
                | Event::TransferSuspended { item, .. }
                | Event::TransferRefused { item, .. } => {
                    self.recorded.insert((item.source, item.number), here);
                }
                Event::Journal(
                    ended @ (JournalEvent::Posted { journal, .. }
                    | JournalEvent::Cancelled { journal, .. }),
                ) if journal.coordinator == here.position.shard => {
                    self.journals.insert(journal.number, here);
                    if let JournalEvent::Cancelled {
                        reverses: Some(part),
                        ..
                    } = ended
                    {
                        self.reverse_no_more(base, part.original, journal.number)?;
                    }
                }
                _ => {}
            }
        }
        let original = |destination, number| {
            let item = self.item(base, destination, number)?;
            Some((item.effective_date, item.payee, item.amount))
        };
        for change in movement::changes(outcome, here.ordinal, entry.business_date, original) {
            match change {
                Change::Opened(id, account) => {
                    self.open(base, id, account)?;
                    let (transaction, time) = (here, entry.time);
                    self.openings.insert(id, Opening { transaction, time });
                }
                Change::Moved(movement) => self.post(base, entry, here, movement)?,
                Change::Held(event) => self.hold(base, here, &event)?,
                Change::Closed(id, version) => {
                    let mut account = self.touch(base, &id, version)?;
                    account.status = Status::Closed;
                    self.accounts.insert(id, account);
                }
                Change::Limited(id, version, limit) => {
                    let account = self.touch(base, &id, version)?;
                    self.accounts.insert(id, Account { limit, ..account });
                }
                Change::Touched(id, version) => drop(self.touch(base, &id, version)?),
                Change::SetAside(id, version, held) => {
                    let account = self.touch(base, &id, version)?;
                    self.accounts.insert(id, Account { held, ..account });
                }
                Change::Aside(id, reserved, accepted) => {
                    self.aside(base, id, reserved, accepted)?;
                }
                Change::Arrived(destination, number) => {
                    self.arrive(base, here, destination, number)?;
                }
            }
        }
        Ok(())
    }

    fn aside(
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
        self.accounts.insert(id, after);
        Ok(())
    }

    fn reverse_no_more(
        &mut self,
        base: &impl Base,
        original: TransactionId,
        journal: u64,
    ) -> Result<(), Misfit> {
        // A reversal comes after its original.
        let known = self.reversals.range((original, original)..);
        let mut known = known.take_while(|((of, _), _)| *of == original);
        let is_it = |it: &Reversal| it.journal == Some(journal);
        let known = known.find(|(_, it)| it.as_ref().is_some_and(is_it));
        let by = match known {
            Some(((_, by), _)) => Some(*by),
            None => base.reversal(&original, journal)?,
        };
        let by = by.ok_or_else(|| {
            Misfit::Rows(format!("journal {journal} reverses nothing of {original}"))
        })?;
        self.reversals.insert((original, by), None);
        Ok(())
    }

    fn decline(
        &mut self,
        base: &impl Base,
        time: HybridTime,
        here: TransactionId,
        command: &CommandRecord,
        rejection: &Rejection,
    ) -> Result<(), Misfit> {
        let id = command.account;
        let mut known = self.declined.range((id, 0)..=(id, u64::MAX));
        let before = match known.next_back() {
            Some(((_, number), _)) => *number,
            None => base.declined(&id)?,
        };
        let number = before + 1;
        let info = &command.info;
        let declined = Declined {
            number,
            transaction: here,
            time,
            kind: command.kind,
            rejection: rejection.clone(),
            effective_date: command.effective_date,
            channel: info.channel,
            actor: info.actor.clone(),
            privileged: info.privileged,
            reason: info.reason.clone(),
            correlation_id: info.correlation_id.clone(),
        };
        self.declined.insert((id, number), declined);
        Ok(())
    }

    /// Raises an account's version by one, to what its event says.
    fn touch(&mut self, base: &impl Base, id: &AccountId, version: u64) -> Result<Account, Misfit> {
        let mut account = self.account(base, id)?;
        account.version += 1;
        if account.version != version {
            return Err(unexpected(id, version, account.version));
        }
        self.accounts.insert(*id, account);
        Ok(account)
    }

    fn open(&mut self, base: &impl Base, id: AccountId, account: Account) -> Result<(), Misfit> {
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

    fn post(
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
        if movement.kind == MovementKind::Journal {
            // It may have been set aside.
            account.held = movement.held;
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

    fn hold(
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
        self.accounts.insert(id, account);
        self.holds.insert((id, number), Hold { placed, ..after });
        Ok(())
    }

    fn send(
        &mut self,
        base: &impl Base,
        here: TransactionId,
        item: &ChannelItem,
    ) -> Result<(), Misfit> {
        let account = self.account(base, &item.payer)?;
        let account = account.with_sent(item.amount);
        let account =
            account.ok_or_else(|| Misfit::Rows(format!("{} sends too much", item.payer)))?;
        self.accounts.insert(item.payer, account);
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

    fn arrive(
        &mut self,
        base: &impl Base,
        here: TransactionId,
        destination: ShardId,
        number: u64,
    ) -> Result<(), Misfit> {
        let item = self.item(base, destination, number).ok_or_else(|| {
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
        self.accounts.insert(item.payer, account);
        self.items.insert((destination, number), None);
        let (sent, closed) = (item.sent, here);
        self.ended
            .insert((destination, number), Ended { sent, closed });
        Ok(())
    }

    fn account(&self, base: &impl Base, id: &AccountId) -> Result<Account, Misfit> {
        if let Some(account) = self.accounts.get(id) {
            return Ok(*account);
        }
        let home = self.cursor.fence.shard;
        let found = base.account(id).filter(|(shard, _)| *shard == home);
        let found = found.map(|(_, account)| account);
        found.ok_or_else(|| Misfit::Rows(format!("{id} was never opened in shard {home}")))
    }

    fn item(&self, base: &impl Base, destination: ShardId, number: u64) -> Option<Item> {
        match self.items.get(&(destination, number)) {
            Some(changed) => *changed,
            None => base.item(destination, number),
        }
    }
}

fn unexpected(id: &AccountId, said: u64, found: u64) -> Misfit {
    Misfit::Rows(format!("{id} is at version {found}, its event says {said}"))
}
