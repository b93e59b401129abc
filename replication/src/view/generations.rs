//! Read models that are made beside those that serve.
//!
//! ```text
//!              ┌──▶ serving  (views)         ──▶ reads
//!   the log ───┤
//!              └──▶ building (views-beside)  ──▶ progress        level? then they change places
//! ```
//!
//! A new program may need other rows than the last one wrote, rows may be found damaged, and an
//! operator may want them made again. None of that is a reason not to answer: the new ones are folded
//! from the log, from its beginning, in a store of their own, while the old ones are gone on with and
//! serve. When the new know all that the old know, they take their place. What stands in a view is a
//! function of the log, so nobody who reads sees that it happened. To fold is to read: it sends
//! nothing, decides nothing, and can be done any number of times.
//!
//! What is half made when a node stops is gone on with when it starts.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, select_all};
use ledger_domain::ShardId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::disk::Disk as Rows;
use super::rows::Label;
use super::{Error, Views, stored};
use crate::log::LogHub;
use crate::world::{Disk, Durability, Store};

/// How often it is looked whether the new are level with the old.
const LOOK: Duration = Duration::from_millis(100);
/// How far from level, in indexes, is near enough to let the old wait for the new.
const NEAR: u64 = 256;
/// How long they wait for them.
const HANDOVER: Duration = Duration::from_secs(1);
/// How soon it is tried again where the disk did not take it.
const AGAIN: Duration = Duration::from_secs(5);
/// For how long the old are gone on with once they do not serve, for who still reads them.
const GRACE: Duration = Duration::from_secs(60);
/// How soon after rows were made again they are made again by themselves.
const CURED_AGAIN: Duration = Duration::from_secs(600);

/// The read models of a node: those that serve, and those that are made beside them. Cheap to clone.
#[derive(Clone)]
pub struct ReadModels(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    all: watch::Sender<Generations>,
}

#[derive(Clone)]
struct Generations {
    serving: Generation,
    building: Option<(Generation, Building)>,
    retired: Option<Retired>,
}

#[derive(Clone)]
struct Generation {
    number: u64,
    store: Store,
    views: Views,
}

/// What served before.
#[derive(Clone)]
struct Retired {
    store: Store,
    since: Instant,
    /// `None` once nobody is to read it any more.
    last: Option<Generation>,
}

/// How far read models are that are made beside those that serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Building {
    /// Why they are made.
    pub why: String,
    /// Since when, in this life of the node.
    pub since: Instant,
    /// Of each shard, the next index to be folded when this life of the node began with it.
    pub began: BTreeMap<ShardId, u64>,
    /// Of each shard, the next index to be folded.
    pub next: BTreeMap<ShardId, u64>,
    /// Why shards are not gone on with.
    pub stopped: BTreeMap<ShardId, String>,
}

/// Why read models cannot be made beside those that serve.
#[derive(Debug, thiserror::Error)]
pub enum CannotBuild {
    /// There is room for two.
    #[error("read models are being made already")]
    UnderWay,
    /// What served before is still read.
    #[error("the read models that served before are not gone yet; they are in about a minute")]
    NotGone,
    /// Their store.
    #[error(transparent)]
    Store(#[from] Error),
}

impl ReadModels {
    /// Opens the read models of a disk. What cannot be read is wiped and made again; what an older
    /// program wrote serves, where this one can read it, until it is made again.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        Self::open_serving(disk, &stored::SERVED)
    }

    /// The same, where views of these formats can be served.
    pub(super) fn open_serving(
        disk: Arc<dyn Disk>,
        formats: &RangeInclusive<u32>,
    ) -> Result<Self, Error> {
        let mut found = Vec::new();
        for store in [Store::Views, Store::ViewsBeside] {
            if let Some(candidate) = candidate(&*disk, store, formats)? {
                found.push(candidate);
            }
        }
        // The newest of those that are whole; else what is half made.
        found.sort_by_key(|(label, generation)| (!label.is_building, generation.number));
        let newest = found.last().map_or(0, |(_, generation)| generation.number);
        let (label, serving) = match found.pop() {
            Some(found) => found,
            None => begin(&*disk, Store::Views, Label::whole(newest))?,
        };
        if label.is_building {
            // Nothing serves that it would have to wait for.
            let whole = Label::whole(serving.number);
            serving.views.disk().put_label(&whole, Durability::Later)?;
        }
        let half_made = found.pop().filter(|(label, generation)| {
            label.format == stored::FORMAT && generation.number > serving.number
        });
        // Whatever else there was is closed now.
        found.clear();
        let generations = Generations {
            serving,
            building: None,
            retired: None,
        };
        let models = Self(Arc::new(Inner {
            disk,
            all: watch::Sender::new(generations),
        }));
        match half_made {
            Some((_, generation)) => models.show(generation, "it was under way".to_owned()),
            None => {
                models.wipe_beside()?;
                if label.format != stored::FORMAT {
                    let (found, expected) = (label.format, stored::FORMAT);
                    let why = Error::Format { found, expected }.to_string();
                    models.build(why)?;
                }
            }
        }
        Ok(models)
    }

    /// Those that serve now. A read takes them once: it may end with those it began with.
    pub fn serving(&self) -> Views {
        self.0.all.borrow().serving.views.clone()
    }

    /// Tells when others serve, from now on.
    pub fn changes(&self) -> Changes {
        Changes {
            all: self.0.all.subscribe(),
            serving: self.generation(),
        }
    }

    /// How far those are that are made beside them, if any are.
    pub fn building(&self) -> Option<Building> {
        let all = self.0.all.borrow();
        let (generation, building) = all.building.as_ref()?;
        let mut building = building.clone();
        building.next = next(&generation.views);
        building.stopped = generation.views.cache().all_stopped();
        Some(building)
    }

    /// Which of the generations made here serves.
    pub fn generation(&self) -> u64 {
        self.0.all.borrow().serving.number
    }

    /// Begins to make read models beside those that serve.
    ///
    /// # Errors
    ///
    /// See [`CannotBuild`].
    pub fn rebuild(&self, why: &str) -> Result<(), CannotBuild> {
        let all = self.0.all.borrow();
        if all.building.is_some() {
            return Err(CannotBuild::UnderWay);
        }
        if all.retired.is_some() {
            return Err(CannotBuild::NotGone);
        }
        drop(all);
        Ok(self.build(why.to_owned())?)
    }

    fn build(&self, why: String) -> Result<(), Error> {
        let (number, store) = {
            let serving = &self.0.all.borrow().serving;
            (serving.number + 1, beside(serving.store))
        };
        self.0.disk.wipe(store)?;
        let label = Label {
            is_building: true,
            ..Label::whole(number)
        };
        let (_, generation) = begin(&*self.0.disk, store, label)?;
        self.show(generation, why);
        Ok(())
    }

    fn show(&self, generation: Generation, why: String) {
        tracing::info!(why, "read models are made beside those that serve");
        generation.views.set_sparing(true);
        let building = Building {
            why,
            since: Instant::now(),
            began: next(&generation.views),
            next: BTreeMap::new(),
            stopped: BTreeMap::new(),
        };
        self.0.all.send_modify(|all| {
            all.building.get_or_insert((generation, building));
        });
    }

    fn wipe_beside(&self) -> io::Result<()> {
        let store = beside(self.0.all.borrow().serving.store);
        self.0.disk.wipe(store)
    }

    /// Folds a shard's records into all of them as they come; see [`Views::follow`]. Ends when the
    /// sender of `served` is dropped.
    pub async fn follow(
        self,
        shard: ShardId,
        epoch: u64,
        hub: LogHub,
        served: watch::Receiver<u64>,
    ) {
        let mut all = self.0.all.subscribe();
        let mut begun: Vec<u64> = Vec::new();
        let mut folding: Vec<(u64, BoxFuture<'static, ()>)> = Vec::new();
        loop {
            let live = all.borrow_and_update().live();
            let is_live = |number: &u64| live.iter().any(|it| it.number == *number);
            folding.retain(|(number, _)| is_live(number));
            begun.retain(is_live);
            for Generation { number, views, .. } in live {
                if begun.contains(&number) {
                    continue;
                }
                begun.push(number);
                let fold = views.follow(shard, epoch, hub.clone(), served.clone());
                // An error is logged where it happens, and every read of the shard then names it.
                folding.push((number, fold.map(drop).boxed()));
            }
            if folding.is_empty() && served.has_changed().is_err() {
                return;
            }
            let ended = async {
                match folding.is_empty() {
                    true => std::future::pending().await,
                    false => select_all(folding.iter_mut().map(|(_, fold)| fold)).await.1,
                }
            };
            tokio::select! {
                at = ended => drop(folding.swap_remove(at)),
                changed = all.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Lets those that are made take the place of those that serve once they are level, and makes
    /// them again where rows were found to be bad. Does not end.
    pub async fn keep(self) {
        let mut all = self.0.all.subscribe();
        let mut cured: Option<Instant> = None;
        loop {
            let Generations {
                serving,
                building,
                retired,
            } = all.borrow_and_update().clone();
            if let Some((building, _)) = &building
                && is_level(&serving.views, &building.views, NEAR)
                && let Err(error) = self.hand_over(&serving, building).await
            {
                tracing::error!(%error, "read models cannot take the place of those that serve");
                tokio::time::sleep(AGAIN).await;
            }
            if let Some(retired) = &retired
                && retired.since.elapsed() >= GRACE
            {
                self.bury(retired);
            }
            let is_busy = building.is_some() || retired.is_some();
            drop((building, retired));
            let mut ailing = serving.views.ailing();
            drop(serving);
            if is_busy {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let is_due = cured.is_none_or(|at: Instant| at.elapsed() >= CURED_AGAIN);
            tokio::select! {
                _ = all.changed() => {}
                ailment = cure(&mut ailing), if is_due => {
                    cured = Some(Instant::now());
                    if let Err(error) = self.rebuild(&ailment) {
                        tracing::error!(%error, ailment, "read models cannot be made again");
                    }
                }
                () = tokio::time::sleep(CURED_AGAIN), if !is_due => {}
            }
        }
    }

    async fn hand_over(&self, old: &Generation, new: &Generation) -> Result<(), Error> {
        let paused = old.views.pause();
        let level = async {
            while !is_level(&old.views, &new.views, 0) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(HANDOVER, level).await.is_err() {
            return Ok(());
        }
        let label = Label::whole(new.number);
        new.views.disk().put_label(&label, Durability::Synced)?;
        new.views.set_sparing(false);
        self.0.all.send_modify(|all| {
            all.building = None;
            let old = std::mem::replace(&mut all.serving, new.clone());
            all.retired = Some(Retired {
                store: old.store,
                since: Instant::now(),
                last: Some(old),
            });
        });
        drop(paused);
        tracing::info!(generation = new.number, "other read models serve now");
        Ok(())
    }

    /// Takes what served before off the disk, once nobody has it open.
    fn bury(&self, retired: &Retired) {
        if retired.last.is_some() {
            self.0.all.send_modify(|all| {
                if let Some(retired) = &mut all.retired {
                    retired.last = None;
                }
            });
            return;
        }
        match self.0.disk.wipe(retired.store) {
            Ok(()) => self.0.all.send_modify(|all| all.retired = None),
            Err(error) => tracing::debug!(%error, "what served before is open still"),
        }
    }
}

/// Tells when other read models serve.
pub struct Changes {
    all: watch::Receiver<Generations>,
    serving: u64,
}

impl Changes {
    /// Waits until others serve. Dropped, it takes nothing away.
    pub async fn next(&mut self) {
        let serving = self.serving;
        let other = self.all.wait_for(|all| all.serving.number != serving);
        match other.await.map(|all| all.serving.number) {
            Ok(number) => self.serving = number,
            // The node is gone.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Generations {
    /// All that are gone on with.
    fn live(&self) -> Vec<Generation> {
        let building = self.building.as_ref().map(|(generation, _)| generation);
        let retired = self.retired.as_ref().and_then(|it| it.last.as_ref());
        let all = [Some(&self.serving), building, retired];
        all.into_iter().flatten().cloned().collect()
    }
}

fn beside(store: Store) -> Store {
    match store {
        Store::ViewsBeside => Store::Views,
        _ => Store::ViewsBeside,
    }
}

/// What a store has, if this program can serve it.
fn candidate(
    disk: &dyn Disk,
    store: Store,
    formats: &RangeInclusive<u32>,
) -> Result<Option<(Label, Generation)>, Error> {
    if !disk.has(store) {
        return Ok(None);
    }
    let rows = Rows {
        engine: disk.open(store)?,
    };
    let read = || {
        let Some(label) = rows.label()? else {
            return Ok(None);
        };
        if !formats.contains(&label.format) {
            let (found, expected) = (label.format, stored::FORMAT);
            return Err(Error::Format { found, expected });
        }
        Ok(Some(label))
    };
    let loaded = match read() {
        Ok(None) => return Ok(None),
        Ok(Some(label)) => Views::load(rows).map(|views| (label, views)),
        Err(error) => {
            drop(rows);
            Err(error)
        }
    };
    match loaded {
        Ok((label, views)) => {
            let number = label.generation;
            let generation = Generation {
                number,
                store,
                views,
            };
            Ok(Some((label, generation)))
        }
        Err(error) if error.is_cured_by_rebuilding() => {
            tracing::warn!(%error, "the read models are made again from the log");
            disk.wipe(store)?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// New views in an empty store.
fn begin(disk: &dyn Disk, store: Store, label: Label) -> Result<(Label, Generation), Error> {
    let engine = disk.open(store)?;
    let rows = Rows { engine };
    rows.put_label(&label, Durability::Later)?;
    let views = Views::load(rows)?;
    let number = label.generation;
    let generation = Generation {
        number,
        store,
        views,
    };
    Ok((label, generation))
}

/// The next index to be folded, by shard.
fn next(views: &Views) -> BTreeMap<ShardId, u64> {
    let folded = views.cache().folded().into_iter();
    folded
        .map(|(shard, index)| (shard, index.map_or(0, |index| index + 1)))
        .collect()
}

/// Whether the new know all that the old know, but for so many indexes of each shard, and serve
/// what these serve.
fn is_level(old: &Views, new: &Views, slack: u64) -> bool {
    let (old, new) = (old.cache(), new.cache());
    let (behind, serves) = (new.folded(), new.all_stopped());
    let stopped = old.all_stopped();
    old.folded().into_iter().all(|(shard, index)| {
        let folded = behind.get(&shard).copied().flatten();
        let is_there = match index {
            None => true,
            Some(index) => folded.is_some_and(|folded| folded + slack >= index),
        };
        is_there && (!serves.contains_key(&shard) || stopped.contains_key(&shard))
    })
}

/// Waits until something is wrong that making the rows again would cure, and tells what.
async fn cure(ailing: &mut watch::Receiver<Option<String>>) -> String {
    let found = ailing.wait_for(Option::is_some).await;
    let ailment = found.ok().and_then(|found| found.clone());
    match ailment {
        Some(ailment) => ailment,
        None => std::future::pending().await,
    }
}
