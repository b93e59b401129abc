//! Accounts that are watched: what changes on them is told as it becomes known here.
//!
//! Nothing is kept for who reads slowly: the lines of the views are the queue, and are read as they are
//! taken. Who goes on elsewhere brings a token, which says for each shard up to where it was told.

mod customer;
mod token;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ledger_domain::{AccountId, Position, ShardId, Token};
use replication::{
    topology::Directory as _,
    view::{Bookmark, Change, Following, Told},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use customer::Customer;

use super::{Server, atm, deadline::Deadline, prepare, receipt, refusal, statement::Words};
use crate::api::{
    UNKNOWN_AGE_MS, WATCH_HEARTBEAT,
    atm::v1::{self as pb, atm_server::Atm as _},
    v1::{
        ReadMode,
        read_mode::{Mode, Strong},
    },
};

/// How many watch at a time.
pub(super) const WATCHES: u32 = 256;
/// How many accounts one watches.
const MAX_ACCOUNTS: usize = 1_000;
/// The most lines of a reply.
const PAGE: usize = 256;
/// How long to let be what was looked at, for each account: many accounts share a look at many steps.
const REST: Duration = Duration::from_micros(50);

pub(super) type Replies = ReceiverStream<Result<pb::WatchReply, Status>>;

/// Accounts by the shard in which they live, and where each shard is gone on with.
struct Asked {
    accounts: BTreeMap<ShardId, BTreeSet<AccountId>>,
    bookmarks: BTreeMap<ShardId, Bookmark>,
}

impl Server {
    /// Begins to tell, once the views here are where the caller was.
    pub(super) async fn watch(
        self: &Arc<Self>,
        body: pb::WatchRequest,
        deadline: Deadline,
    ) -> Result<Replies, Status> {
        let place = self.watches.enter()?;
        let customer = match (body.customer_id.as_str(), body.account_ids.as_slice()) {
            ("", _) => None,
            (id, []) => Some(Customer::ask(self, id, deadline).await?),
            _ => {
                let what = "a customer is watched, or accounts: send one of the two";
                return Err(refusal::invalid(what));
            }
        };
        let asked = match &customer {
            Some(customer) => self.watched(customer.now.accounts.iter().copied(), &body)?,
            None => self.watched(named(&body)?, &body)?,
        };
        let positions = asked.bookmarks.values().map(|it| it.position).collect();
        self.wait_until(&Token { positions }, deadline).await?;
        for id in asked.accounts.values().flatten() {
            let found = self.views().balance(id).map_err(refusal::unreadable)?;
            // One that a customer was given may not be open yet: it is told of as soon as it is.
            if found.is_none() && customer.is_none() {
                self.arrives(id, deadline).await?;
            }
        }
        // No more than one: what waits here is not read from the views yet.
        let (replies, told) = mpsc::channel(1);
        let shards = asked.accounts.into_iter().map(|(shard, accounts)| {
            let bookmark = asked.bookmarks.get(&shard).copied();
            let mut following = Following::new(shard, accounts, bookmark);
            if customer.is_some() {
                // They may be others than those that a token was given for.
                following.restate();
            }
            (shard, following)
        });
        let watcher = Watcher {
            server: self.clone(),
            shards: shards.collect(),
            told: BTreeMap::new(),
            customer,
            replies,
            _place: place,
        };
        tokio::spawn(watcher.serve());
        Ok(ReceiverStream::new(told))
    }

    /// Waits for an account that is not known here. Only its home can tell that there is none: to a
    /// node that is behind one may be new that another has told of.
    pub(super) async fn arrives(
        self: &Arc<Self>,
        id: &AccountId,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let mut request = Request::new(pb::GetBalanceRequest {
            account_id: id.to_string(),
            mode: Some(ReadMode {
                mode: Some(Mode::Strong(Strong {})),
            }),
        });
        request.extensions_mut().insert(deadline);
        let found = atm::Service(self.clone()).get_balance(request).await?;
        let found = found.into_inner().balance.and_then(|it| it.position);
        let found = found.ok_or_else(refusal::unknown_account)?;
        let position = Position {
            shard: ShardId(found.shard),
            epoch: found.epoch,
            index: found.index,
        };
        self.viewed(position, deadline).await.map(drop)
    }

    fn watched(
        &self,
        ids: impl IntoIterator<Item = AccountId>,
        body: &pb::WatchRequest,
    ) -> Result<Asked, Status> {
        let mut accounts: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for id in ids {
            accounts.entry(self.home(&id)?).or_default().insert(id);
        }
        let bookmarks = match (body.resume_token.as_str(), body.from.as_slice()) {
            ("", from) => self.begun_from(from, &accounts)?,
            (token, []) => {
                let known = token::read(token);
                known.ok_or_else(|| {
                    refusal::invalid("not a token of watching: send it as it was received")
                })?
            }
            _ => {
                let what = "where to go on is said twice: send a token or positions";
                return Err(refusal::invalid(what));
            }
        };
        // Of shards that are not watched nothing is waited for.
        let watched = bookmarks.into_iter();
        let bookmarks: BTreeMap<_, _> = watched
            .filter(|(shard, _)| accounts.contains_key(shard))
            .collect();
        for (shard, bookmark) in &bookmarks {
            let epoch = bookmark.position.epoch;
            if self.directory.epoch(*shard).is_some_and(|e| epoch < e) {
                let what = format!("shard {shard} has no positions of epoch {epoch}");
                return Err(refusal::invalid(what));
            }
        }
        Ok(Asked {
            accounts,
            bookmarks,
        })
    }

    fn begun_from(
        &self,
        from: &[crate::api::v1::Position],
        accounts: &BTreeMap<ShardId, BTreeSet<AccountId>>,
    ) -> Result<BTreeMap<ShardId, Bookmark>, Status> {
        let mut bookmarks = BTreeMap::new();
        for from in from {
            let shard = ShardId(from.shard);
            if !accounts.contains_key(&shard) {
                let what = format!("no watched account lives in shard {shard}");
                return Err(refusal::invalid(what));
            }
            let position = Position {
                shard,
                epoch: from.epoch,
                index: from.index,
            };
            let part = None;
            if bookmarks
                .insert(shard, Bookmark { position, part })
                .is_some()
            {
                let what = format!("shard {shard} has two positions to go on from");
                return Err(refusal::invalid(what));
            }
        }
        Ok(bookmarks)
    }
}

/// The accounts that a request names.
fn named(body: &pb::WatchRequest) -> Result<Vec<AccountId>, Status> {
    let n = body.account_ids.len();
    if !(1..=MAX_ACCOUNTS).contains(&n) {
        let what = format!("{n} accounts; 1 to {MAX_ACCOUNTS} are watched at once");
        return Err(refusal::invalid(what));
    }
    let ids = body.account_ids.iter();
    ids.map(|id| prepare::account(id)).collect()
}

struct Watcher {
    server: Arc<Server>,
    shards: BTreeMap<ShardId, Following>,
    /// When something was last told of a shard.
    told: BTreeMap<ShardId, Instant>,
    /// Whose accounts these are, where a customer is watched.
    customer: Option<Customer>,
    replies: mpsc::Sender<Result<pb::WatchReply, Status>>,
    _place: OwnedSemaphorePermit,
}

/// Why no more is told.
enum Ended {
    Unheard,
    Refused(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl Watcher {
    async fn serve(mut self) {
        let replies = self.replies.clone();
        let mut stopping = self.server.stopping.subscribe();
        let ended = tokio::select! {
            biased;
            () = replies.closed() => Ended::Unheard,
            // That the node is gone is no less.
            _ = stopping.wait_for(|stops| *stops) => Ended::Refused(refusal::stops()),
            ended = self.tell() => ended,
        };
        drop(self);
        if let Ended::Refused(status) = ended {
            // Who does not listen any more need not be told.
            let _ = replies.send(Err(status)).await;
        }
    }

    async fn tell(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.tell_on().await {
                return ended;
            }
        }
    }

    /// Tells what is new until there is nothing, and again whenever there is.
    async fn tell_on(&mut self) -> Result<(), Ended> {
        let shards: Vec<_> = self.shards.keys().copied().collect();
        let mut serving = self.server.read_models.changes();
        let progress = self.server.views().progress(shards.iter().copied());
        let mut progress = progress.map_err(refusal::unreadable)?;
        let mut due: BTreeSet<_> = shards.iter().copied().collect();
        let count: usize = self.shards.values().map(Following::len).sum();
        let rest = REST.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        loop {
            // A page of each in turn: none waits for all of another.
            while !due.is_empty() {
                if self.take_up_customer()? {
                    return Ok(());
                }
                for shard in std::mem::take(&mut due) {
                    if self.tell_of(shard).await? {
                        due.insert(shard);
                    }
                }
            }
            self.tell_of_customer().await?;
            let oldest = self.told.values().min();
            let heartbeat = oldest.map_or_else(Instant::now, |at| *at) + WATCH_HEARTBEAT;
            tokio::select! {
                shard = progress.next() => {
                    due.insert(shard.map_err(refusal::unreadable)?);
                    sleep(rest).await;
                }
                // Others serve: their progress counts from here on.
                () = serving.next() => return Ok(()),
                () = heard_again(&mut self.customer) => {
                    if self.take_up_customer()? {
                        return Ok(());
                    }
                }
                () = sleep_until(heartbeat) => {
                    due.extend(shards.iter().copied());
                    if let Some(customer) = self.customer.as_mut().filter(|_| shards.is_empty()) {
                        // Who has no account is there, too.
                        customer.is_told = false;
                    }
                }
            }
        }
    }

    /// Tells a page of what is new in a shard, or after a while without news that there is none. Is
    /// there more?
    async fn tell_of(&mut self, shard: ShardId) -> Result<bool, Ended> {
        let Some(following) = self.shards.get_mut(&shard) else {
            return Ok(false);
        };
        let told = following
            .next(&self.server.views(), PAGE)
            .await
            .map_err(refusal::unreadable)?;
        let Some(told) = told else {
            return Ok(false);
        };
        let last = self.told.get(&shard);
        let is_quiet = last.is_some_and(|last| last.elapsed() < WATCH_HEARTBEAT);
        if told.changes.is_empty() && is_quiet {
            return Ok(false);
        }
        let reply = self.reply(shard, &told)?;
        self.replies
            .send(Ok(reply))
            .await
            .map_err(|_| Ended::Unheard)?;
        self.told.insert(shard, Instant::now());
        Ok(told.has_more)
    }

    /// Tells which accounts a customer has where no reply has said so yet: no shard may have news.
    async fn tell_of_customer(&mut self) -> Result<(), Ended> {
        let token = self.token();
        let Some(customer) = self.customer.as_mut().filter(|it| !it.is_told) else {
            return Ok(());
        };
        let reply = pb::WatchReply {
            customer: customer.tell(),
            customer_true_at: customer.now.true_at.clone(),
            resume_token: token,
            staleness_bound_ms: UNKNOWN_AGE_MS,
            served_by: Some(self.server.served_by()),
            ..pb::WatchReply::default()
        };
        let sent = self.replies.send(Ok(reply)).await;
        sent.map_err(|_| Ended::Unheard)
    }

    /// Follows what a customer has now. Are they others than before?
    fn take_up_customer(&mut self) -> Result<bool, Status> {
        let Some(before) = self.customer.as_mut().and_then(Customer::take_up) else {
            return Ok(false);
        };
        let Some(customer) = &self.customer else {
            return Ok(false);
        };
        let now = &customer.now.accounts;
        for gone in before.difference(now) {
            self.shards.values_mut().for_each(|it| it.remove(gone));
        }
        for new in now.difference(&before) {
            let shard = self.server.home(new)?;
            let following = self.shards.entry(shard);
            let following = following.or_insert_with(|| Following::new(shard, [], None));
            following.add(*new);
        }
        self.shards.retain(|_, following| !following.is_empty());
        self.told.retain(|shard, _| self.shards.contains_key(shard));
        Ok(before != *now)
    }

    fn token(&self) -> String {
        token::write(self.shards.values().filter_map(Following::bookmark))
    }

    fn reply(&mut self, shard: ShardId, told: &Told) -> Result<pb::WatchReply, Status> {
        let changes = told.changes.iter().map(|change| self.change(change));
        let last = told.changes.iter().rev().find_map(|it| it.line.as_ref());
        let (position, time) = match last.filter(|_| told.has_more) {
            Some(line) => (line.transaction.position, line.booked),
            None => (told.watermark.position, told.watermark.time),
        };
        Ok(pb::WatchReply {
            changes: changes.collect::<Result<_, _>>()?,
            resume_token: self.token(),
            position: Some(receipt::position(position)),
            true_at: Some(receipt::time(time)),
            staleness_bound_ms: self.server.staleness_bound_ms(shard, time),
            served_by: Some(self.server.served_by()),
            has_more: told.has_more,
            customer: self.customer.as_mut().and_then(Customer::tell),
            customer_true_at: self.customer.as_ref().and_then(|it| it.now.true_at.clone()),
        })
    }

    fn change(&self, change: &Change) -> Result<pb::WatchChange, Status> {
        let account = &change.account;
        let money = |units| receipt::money(units, account.currency);
        let newest = change.is_newest();
        let line = change.line.clone().map(|line| {
            let (words, balance) = (Words::default(), line.posted.into());
            self.server.line(&line, words, balance, account.currency)
        });
        let posted = change
            .line
            .as_ref()
            .map_or(account.posted, |line| line.posted);
        Ok(pb::WatchChange {
            account_id: change.id.to_string(),
            version: change.version(),
            posted: Some(money(posted)),
            held: newest.then(|| money(account.held)),
            available: account.available().filter(|_| newest).map(money),
            line: line.transpose()?,
        })
    }
}

/// Waits until a customer's home was heard again, where a customer is watched.
async fn heard_again(customer: &mut Option<Customer>) {
    match customer {
        Some(customer) => customer.changed().await,
        None => std::future::pending().await,
    }
}
