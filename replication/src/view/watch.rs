//! Accounts that are followed: every line from a place on, once and in order, and what they are then.
//!
//! Nothing waits in a queue here: the lines that the view has are the queue. Whoever follows keeps up to
//! where it was told ([`Bookmark`]), which holds on every node that has a view of the shard.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use futures_util::future::select_all;
use ledger_domain::{Account, AccountId, Position, ShardId};
use tokio::sync::watch;

use super::{Line, ReadError, Views, Watermark};

/// Accounts that are looked at before others have a turn.
const AT_A_TIME: usize = 32;

/// Up to where the lines of a shard were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bookmark {
    /// Everything before this place was told.
    pub position: Position,
    /// What was told of the place itself: the lines of the accounts before this one, and its own up to
    /// this version. `None` where that is everything.
    pub part: Option<(AccountId, u64)>,
}

/// A change of a followed account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub id: AccountId,
    /// What was booked; `None` where it is another change, such as a hold.
    pub line: Option<Line>,
    /// The account at the end of all that is known of it here.
    pub account: Account,
}

impl Change {
    /// The account's version after it.
    pub fn version(&self) -> u64 {
        let line = self.line.as_ref();
        line.map_or(self.account.version, |line| line.version)
    }

    /// Whether nothing that is known here came after it.
    pub fn is_newest(&self) -> bool {
        self.version() == self.account.version
    }
}

/// What is told at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// In the order in which they were booked; last those without a line.
    pub changes: Vec<Change>,
    /// How far the view is.
    pub watermark: Watermark,
    /// Whether lines up to there are still to be told.
    pub has_more: bool,
}

/// Follows accounts of one shard. What it was told of is the same in all views of a node, so that it
/// can go on in others.
pub struct Following {
    shard: ShardId,
    /// The version up to which each was told; `None` until that is looked up.
    accounts: BTreeMap<AccountId, Option<u64>>,
    /// Those whose state is to be told, whether it is new or not.
    restated: BTreeSet<AccountId>,
    /// Those of which no line is told that is known already.
    added: BTreeSet<AccountId>,
    bookmark: Option<Bookmark>,
}

impl Views {
    /// Tells which of several shards goes on.
    pub fn progress(
        &self,
        shards: impl IntoIterator<Item = ShardId>,
    ) -> Result<Progress, ReadError> {
        let cache = self.cache();
        let of = |shard| Ok((shard, cache.progress(shard)?));
        let shards = shards.into_iter().map(of).collect::<Result<_, _>>()?;
        Ok(Progress { shards })
    }
}

/// Waits for several shards at once.
pub struct Progress {
    shards: Vec<(ShardId, watch::Receiver<()>)>,
}

impl Progress {
    /// The next of the shards whose view has gone on, or has stopped, since it was named last. Dropped, it
    /// takes nothing away.
    pub async fn next(&mut self) -> Result<ShardId, ReadError> {
        if self.shards.is_empty() {
            return std::future::pending().await;
        }
        let waiting = self.shards.iter_mut().map(|(shard, progress)| {
            Box::pin(async move {
                let changed = progress.changed().await;
                changed
                    .map(|()| *shard)
                    .map_err(|_| ReadError::NoView(*shard))
            })
        });
        select_all(waiting).await.0
    }
}

impl Following {
    /// Follows accounts of a shard after a bookmark; without one, from what they are when they are asked
    /// for first.
    pub fn new(
        shard: ShardId,
        accounts: impl IntoIterator<Item = AccountId>,
        bookmark: Option<Bookmark>,
    ) -> Self {
        let accounts = accounts.into_iter();
        Self {
            shard,
            accounts: accounts.map(|id| (id, None)).collect(),
            restated: BTreeSet::new(),
            added: BTreeSet::new(),
            bookmark,
        }
    }

    /// Follows one more: what it is is told, and each of its lines from there on.
    pub fn add(&mut self, account: AccountId) {
        self.accounts.insert(account, None);
        self.restated.insert(account);
        self.added.insert(account);
    }

    /// Tells of all what they are, also where that was told before the bookmark.
    pub fn restate(&mut self) {
        self.restated.extend(self.accounts.keys());
    }

    /// Follows one no more.
    pub fn remove(&mut self, account: &AccountId) {
        self.accounts.remove(account);
        self.restated.remove(account);
        self.added.remove(account);
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// How many accounts it follows.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether it follows none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Up to where all was told; `None` before anything was.
    pub fn bookmark(&self) -> Option<Bookmark> {
        self.bookmark
    }

    /// What is new, at most so many lines. `None` where the view has not come to the bookmark yet.
    ///
    /// Accounts that the view does not know are passed over.
    pub async fn next(&mut self, views: &Views, limit: usize) -> Result<Option<Told>, ReadError> {
        // The accounts and the watermark are of one state.
        let (watermark, states) = {
            let cache = views.cache();
            let watermark = cache.watermark(self.shard)?;
            let watermark = watermark.ok_or(ReadError::NoView(self.shard))?;
            let state = |id: &AccountId| Some((*id, cache.account(id)?.1));
            let states: Vec<_> = self.accounts.keys().filter_map(state).collect();
            (watermark, states)
        };
        let mut found = BTreeMap::new();
        let mut has_more = false;
        match self.bookmark {
            Some(bookmark) if !watermark.reaches(bookmark.position) => return Ok(None),
            Some(bookmark) => {
                for (n, (id, account)) in states.iter().enumerate() {
                    let told = match self.accounts.get(id).copied().flatten() {
                        Some(told) => told,
                        None if self.added.remove(id) => account.version,
                        None => self.told_by(views, id, &bookmark)?,
                    };
                    self.accounts.insert(*id, Some(told));
                    if told < account.version {
                        has_more |=
                            self.collect(views, id, told, account, limit.max(1), &mut found)?;
                    }
                    if (n + 1) % AT_A_TIME == 0 {
                        // Reads of other tasks come between.
                        tokio::task::yield_now().await;
                    }
                }
            }
            None => {}
        }
        let mut changes = Vec::with_capacity(found.len());
        let mut bookmark = Bookmark {
            position: watermark.position,
            part: None,
        };
        for ((index, id, version), (line, account)) in found {
            self.accounts.insert(id, Some(version));
            self.restated.remove(&id);
            if has_more {
                bookmark.position.index = index;
                bookmark.part = Some((id, version));
            }
            let line = Some(line);
            changes.push(Change { id, line, account });
        }
        if !has_more {
            for (id, account) in states {
                let told = self.accounts.insert(id, Some(account.version)).flatten();
                let is_restated = self.restated.remove(&id);
                if is_restated || told.is_none_or(|told| told < account.version) {
                    let line = None;
                    changes.push(Change { id, line, account });
                }
            }
        }
        self.bookmark = Some(bookmark);
        Ok(Some(Told {
            changes,
            watermark,
            has_more,
        }))
    }

    /// Adds an account's lines to the first that are due of all, and tells whether any are left over.
    fn collect(
        &self,
        views: &Views,
        id: &AccountId,
        told: u64,
        account: &Account,
        limit: usize,
        found: &mut BTreeMap<(u64, AccountId, u64), (Line, Account)>,
    ) -> Result<bool, ReadError> {
        let mut has_more = false;
        let Some((_, lines)) = views.lines(id)? else {
            return Ok(false);
        };
        let visited = lines.each(told + 1..=account.version, &mut |line| {
            let place = (line.transaction.position.index, *id, line.version);
            let is_full = found.len() >= limit;
            if is_full
                && found
                    .last_key_value()
                    .is_some_and(|(last, _)| place > *last)
            {
                has_more = true;
                return ControlFlow::Break(());
            }
            found.insert(place, (line, *account));
            if is_full {
                found.pop_last();
                has_more = true;
            }
            ControlFlow::Continue(())
        });
        visited.map_err(|error| views.stop(self.shard, &error))?;
        Ok(has_more)
    }

    /// The version of an account's last line that a bookmark covers; 0 where there is none.
    fn told_by(
        &self,
        views: &Views,
        id: &AccountId,
        bookmark: &Bookmark,
    ) -> Result<u64, ReadError> {
        let Some((_, lines)) = views.lines(id)? else {
            return Ok(0);
        };
        // Places rise with versions.
        let is_due = |line: &Line| {
            let index = line.transaction.position.index;
            let is_of_part = || match bookmark.part {
                Some(part) => (*id, line.version) > part,
                None => false,
            };
            index > bookmark.position.index || index == bookmark.position.index && is_of_part()
        };
        let due = lines.first(is_due);
        let last = due.and_then(|due| lines.before(due));
        let last = last.map_err(|error| views.stop(self.shard, &error))?;
        Ok(last.map_or(0, |line| line.version))
    }
}
