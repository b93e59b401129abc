//! Somebody who has a consumer group: its members, who come, go, crash and refuse, and whoever looks after
//! it, from the opening to the end.

mod logged;
mod member;
mod operator;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    sync::Arc,
    time::Duration,
};

use futures_util::future::try_join_all;
use node::client::{Client, Error, Options};
use rand::{
    Rng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};
use tokio::time::sleep;

use super::{
    Played, Run,
    customer::{Hours, Lobby},
    generated::generated,
};
use crate::{
    oracle::consumed::{Diary, Id, Word},
    plan::{Client as Planned, Consumes, Plan},
    simulation::{ClientContext, Failure},
    world::SimEntropy,
};

pub(super) use logged::{changed_leaders, logged};

/// How long anything is waited for before somebody looks up.
const LOOK: Duration = Duration::from_millis(500);
/// How long a call of an operator may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(4);
/// How often an event is told again before its share is parked.
const RETRIES: u32 = 2;
/// Of so many events, one cannot be processed by anybody until somebody has looked after it.
const POISON: u64 = 150;

/// The world of a plan, with a group of each order.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn consumers(run: &Run) -> Result<Played, Failure> {
    let mut plan = run.plan.clone().unwrap_or_else(|| Plan::generate(run.seed));
    let is_there = |plan: &Plan| plan.clients.iter().any(|it| it.habits.consumes.is_some());
    if !is_there(&plan) {
        let mut rng = run.seed.derive("groups").rng();
        let groups = (1..=2).map(|number| Planned::consuming(number, &plan.regions, &mut rng));
        plan.clients.extend(groups.collect::<Vec<_>>());
    }
    generated(&Run {
        plan: Some(plan),
        ..run.clone()
    })
}

/// A group, and what is known of it.
struct Party {
    context: ClientContext,
    lobby: Lobby,
    consumes: Consumes,
    /// The nodes that its members and operators ask.
    addresses: Vec<String>,
    diary: RefCell<Diary>,
    /// Events that can be processed by now.
    mended: RefCell<BTreeSet<Id>>,
    /// When somebody was told something last, in simulated time.
    last_told: Cell<Duration>,
    is_over: Cell<bool>,
}

/// Has a group until the end.
///
/// # Errors
///
/// When somebody is told what makes no sense.
pub(super) async fn group(
    context: ClientContext,
    lobby: Lobby,
    consumes: Consumes,
) -> turmoil::Result {
    lobby.wait_for(Hours::Open).await;
    let mut rng = context.seed.rng();
    let mut addresses = lobby.bank.addresses(&context.region);
    let nodes: Vec<_> = lobby.bank.topology().nodes.iter().collect();
    if let Some(far) = nodes.choose(&mut rng).filter(|_| rng.random_bool(0.3)) {
        addresses.push(far.address.clone());
    }
    let diary = Diary {
        group: context.name.clone(),
        retries: RETRIES,
        ..Diary::default()
    };
    let party = Party {
        context,
        lobby,
        consumes,
        addresses,
        diary: RefCell::new(diary),
        mended: RefCell::default(),
        last_told: Cell::default(),
        is_over: Cell::new(false),
    };
    let members = (1..=consumes.members).map(|number| party.member(number));
    let (told, looked_after) = tokio::join!(try_join_all(members), party.look_after());
    told?;
    looked_after?;
    let diary = party.diary.take();
    party.lobby.consumed.borrow_mut().push(diary);
    Ok(())
}

impl Party {
    fn rng(&self, who: &str) -> SmallRng {
        self.context.seed.derive(who).rng()
    }

    /// A client of whatever nodes it knows, in an order of its own.
    fn client(&self, who: &str, rng: &mut SmallRng) -> Result<Client, Error> {
        let mut addresses = self.addresses.clone();
        addresses.shuffle(rng);
        let seed = self
            .context
            .seed
            .derive(who)
            .derive(&rng.random::<u64>().to_string());
        let options = Options {
            clock: self.context.clock.clone(),
            entropy: Arc::new(SimEntropy::new(seed)),
            network: self.context.network.clone(),
            deadline: DEADLINE,
            attempt: DEADLINE / 2,
            ..Options::new(&self.context.name)
        };
        Client::new(addresses, options)
    }

    fn begin(&self) {
        self.lobby.asking.update(|it| it + 1);
    }

    fn end(&self) {
        self.lobby.asking.update(|it| it - 1);
    }

    /// Asks for nothing while all is to be at rest.
    async fn pause(&self) {
        if self.lobby.nobody_asks.get() {
            self.end();
            while self.lobby.nobody_asks.get() {
                sleep(LOOK).await;
            }
            self.begin();
        }
    }

    /// Whether all behave, and nothing is refused any more.
    fn is_peace(&self) -> bool {
        self.lobby.hours.get() >= Hours::Closed
    }

    fn can_process(&self, id: &Id) -> bool {
        let drawn = self.context.seed.derive(&format!("{}/{}", id.0, id.1));
        !drawn.0.is_multiple_of(POISON) || self.is_peace() || self.mended.borrow().contains(id)
    }

    fn note(&self, member: u32, share: u32, lease: &str, word: Word) {
        let mut diary = self.diary.borrow_mut();
        let of_lease = diary.words.entry((share, lease.to_owned())).or_default();
        of_lease.entry(member).or_default().push(word);
    }

    fn aside(&self, what: &'static str) {
        self.lobby.note_aside(what);
    }
}
