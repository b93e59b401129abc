//! What records mean for the rows: a function of the records and the rows before.

mod accounts;

use std::collections::BTreeMap;

use ledger_domain::{
    Account, AccountId, Damage, Entry, Event, Hold, HybridTime, JournalEvent, Outcome, Position,
    Rejection, ShardId, TransactionId,
    account::Status,
    day::is_closed,
    event::CommandRecord,
    movement::{self, Change},
    planted::{Bug, planted},
};

use super::rows::{Cursor, Declined, Ended, Item, Line, Opening, Reversal};
use super::states::{Restrictions, State};
use super::tail::ByAccount;
use crate::copy::audited_head;
use crate::log::{Kind, StoredRecord};

/// The rows before a step.
pub(in crate::view) trait Base {
    /// An account and the shard it lives in.
    fn account(&self, id: &AccountId) -> Option<(ShardId, Account)>;
    /// What an account is restricted by.
    fn restrictions(&self, id: &AccountId) -> Restrictions;
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
pub(in crate::view) enum Misfit {
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
    pub(super) restrictions: BTreeMap<AccountId, Restrictions>,
    /// What accounts are after entries that changed more of them than lines tell; as if each were the
    /// first of its account.
    pub(super) states: Vec<(AccountId, State)>,
    /// The accounts of which the entry that is being folded changed so much.
    restated: Vec<AccountId>,
    /// The account that alone is folded, where it is not all of them.
    only: Option<AccountId>,
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
            restrictions: BTreeMap::new(),
            states: Vec::new(),
            restated: Vec::new(),
            only: None,
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

    /// Of one account alone: what it is, and its lines. Nothing is said of holds, refusals and reversals.
    pub(super) fn of_one(cursor: Cursor, account: AccountId) -> Self {
        let only = Some(account);
        Self {
            only,
            ..Self::after(cursor)
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
        self.fold_entry(base, index, &entry)
    }

    /// Folds an entry that counts.
    pub(super) fn fold_entry(
        &mut self,
        base: &impl Base,
        index: u64,
        entry: &Entry,
    ) -> Result<(), Misfit> {
        let mut closed_through = entry.closed_through;
        let position = Position {
            shard: entry.shard,
            epoch: entry.epoch,
            index,
        };
        for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
            let here = TransactionId { position, ordinal };
            let (from, has_words) = (self.lines.len(), outcome.has_words());
            self.fold_outcome(base, entry, here, outcome)?;
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
        self.restate(base, entry, position)
    }

    /// Notes what the accounts are now of which more was changed than lines tell.
    fn restate(
        &mut self,
        base: &impl Base,
        entry: &Entry,
        position: Position,
    ) -> Result<(), Misfit> {
        let mut restated = std::mem::take(&mut self.restated);
        restated.sort_unstable();
        restated.dedup();
        for id in restated.drain(..) {
            let account = self.account(base, &id)?;
            let state = State {
                number: 1,
                position,
                time: entry.time,
                booked_on: entry.business_date,
                account,
                restrictions: self.restrictions(base, &id),
            };
            self.states.push((id, state));
        }
        self.restated = restated;
        Ok(())
    }

    /// Whether an account is folded.
    fn concerns(&self, id: &AccountId) -> bool {
        self.only.is_none_or(|only| only == *id)
    }

    fn fold_outcome(
        &mut self,
        base: &impl Base,
        entry: &Entry,
        here: TransactionId,
        outcome: &Outcome,
    ) -> Result<(), Misfit> {
        if let (Some(command), Err(rejection)) = (&outcome.command, &outcome.result) {
            return match self.only {
                Some(_) => Ok(()),
                None => self.decline(base, entry.time, here, command, rejection),
            };
        }
        for event in outcome.result.iter().flatten() {
            if let Some((item, _)) = event.sends()
                && self.concerns(&item.payer)
            {
                self.send(base, here, item)?;
            }
            if self.only.is_some() {
                continue;
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
            if change.account().is_some_and(|id| !self.concerns(&id)) {
                continue;
            }
            match change {
                Change::Opened(id, account) => {
                    self.open(base, id, account)?;
                    let opening = Opening {
                        transaction: here,
                        time: entry.time,
                        limit: Some(account.limit),
                    };
                    self.openings.insert(id, opening);
                }
                Change::Moved(movement) => self.post(base, entry, here, movement)?,
                Change::Held(event) => self.hold(base, here, &event)?,
                Change::Closed(id, version) => {
                    let mut account = self.touch(base, &id, version)?;
                    account.status = Status::Closed;
                    self.put_restated(id, account);
                }
                Change::Limited(id, version, limit) => {
                    let account = self.touch(base, &id, version)?;
                    self.put_restated(id, Account { limit, ..account });
                }
                Change::Frozen(id, version, freeze) => {
                    self.restrict(base, id, version, |it| it.freezes.put(freeze))?;
                }
                Change::Thawed(id, version, kind) => {
                    self.restrict(base, id, version, |it| {
                        it.freezes.lift(kind);
                    })?;
                }
                Change::Spending(id, version, channel, limit) => {
                    self.restrict(base, id, version, |it| it.spending.set(channel, limit))?;
                }
                Change::SetAside(id, version, held) => {
                    let account = self.touch(base, &id, version)?;
                    self.put_restated(id, Account { held, ..account });
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
}
