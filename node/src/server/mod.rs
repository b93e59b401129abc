//! A node: its shards, its services, and the way to whoever decides.
//!
//! [`run`] opens the data directory, starts the shards that have a replica here and listens.
//! A request goes one way: a service checks it (`prepare`), `route` sends it to the leader of
//! the account's home shard (this process, or another node's), the shard decides, and `receipt`
//! turns the answer into what the caller gets. A transfer to another shard is answered when it has
//! ended (`settlement`), if its `deadline` allows. Every failure gets its face in `refusal`.
//!
//! A replica whose log is damaged keeps nobody else waiting: it is mended, and then joins
//! (`joining`).
//!
//! What is seen from outside comes through the `observer`: metrics, of requests those that are
//! `counted`, and `readiness`, told over HTTP by `probes` and over gRPC by `health`.

mod archiving;
mod atm;
mod batch;
mod books;
mod clocks;
mod closing;
mod consumers;
mod counted;
mod customers;
mod cut;
pub(crate) mod data;
mod days;
mod deadline;
mod deciding;
mod declined;
mod dev;
mod distance;
mod door;
mod events;
mod forgetting;
mod founding;
mod freeze;
mod freshness;
mod group;
mod health;
mod here;
mod holds;
mod integrity;
mod joining;
mod journals;
mod leaders;
mod memo;
mod observer;
mod opening;
mod outcomes;
mod past;
mod path;
mod prepare;
mod probes;
mod process;
mod profiles;
mod readiness;
mod receipt;
mod references;
mod refusal;
mod replicas;
mod reversals;
mod route;
mod settlement;
mod snapshots;
mod spending;
mod stale;
mod statement;
mod status;
mod stream;
mod suspense;
mod teller;
mod together;
mod transaction;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use ledger_domain::{AccountId, HybridTime, Position, RegionName, ShardId, Token};
use replication::{
    copy::{CopyOptions, Places, ShardCopy},
    feed::{FeedService, Feeds},
    heads::{HeadsService, Told},
    log::LogHub,
    peer::{self, Identity, PeerOptions, Peers},
    raft::{Groups, RaftService},
    scrub::Findings,
    shard::Shard,
    topology::{self, Directory, FileDirectory},
    view::{ReadModels, Views, Watermark},
    world::{Incoming, Store, World},
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::Instant,
};
use tonic::Status;

use clocks::Clocks;
use counted::Counted;
use deadline::Deadline;
use distance::Distances;
use here::Here;
use joining::{Joining, Reach, Waiting};
use leaders::Leaders;
use observer::Observer;

use crate::{
    api::{self, v1},
    config::{self, Config, Limits},
    keys::{self, Keys},
    secrets::Secrets,
};

/// Why a node cannot start, or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The data directory belongs to another node, another ledger, or a newer program.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// The log cannot be opened.
    #[error("the log cannot be opened: {0}")]
    Log(io::Error),
    /// There is no archive where the configuration says.
    #[error("the archive cannot be opened: {0}")]
    Archive(crate::objects::Error),
    /// The read models cannot be opened, nor made again.
    #[error("the read models cannot be opened: {0}")]
    Views(replication::view::Error),
    /// A shard cannot be started.
    #[error(transparent)]
    Group(#[from] replication::raft::GroupError),
    /// The address is taken, or is none.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        cause: io::Error,
    },
    /// The server ended by itself.
    #[error("the server has stopped: {0}")]
    Serve(String),
    /// Another disk has promised under this node's number.
    #[error("this node must not go on under its number: {0}")]
    Rejected(String),
    /// The node has stopped, but something in it still holds its data.
    #[error("the node has stopped without closing its data directory")]
    NotClosed,
}

impl Error {
    /// Does a file or a flag have to be corrected before the node can start?
    pub fn is_wrong_input(&self) -> bool {
        match self {
            Self::Config(_) => true,
            Self::Data(error) => !matches!(error, data::Error::File { .. }),
            _ => false,
        }
    }
}

/// What all services of a node share.
pub(crate) struct Server {
    world: World,
    directory: FileDirectory,
    secrets: Secrets,
    keys: Arc<dyn Keys>,
    retention_years: u16,
    erasing: forgetting::Erasing,
    /// Who may give privileged commands.
    privileged: BTreeSet<String>,
    region: RegionName,
    name: String,
    hub: LogHub,
    shards: Here<Shard>,
    /// Replicas that wait for what they have lost.
    waiting: Waiting,
    copies: BTreeMap<ShardId, ShardCopy>,
    /// Copies that could not be gone on with, and why.
    spoilt: BTreeMap<ShardId, String>,
    /// How far each shard's history may be read here from its beginning.
    served: BTreeMap<ShardId, watch::Receiver<u64>>,
    joining: Joining,
    feeds: Feeds,
    read_models: ReadModels,
    peers: Peers,
    /// What scrubbing finds.
    scrubbed: Findings,
    /// Signed heads, this node's and others'.
    told: Told,
    /// Those who read logs on. They end with this: two shards that follow each other would keep
    /// each other, and the disk, for ever.
    followers: Mutex<JoinSet<()>>,
    /// Held by whoever folds a shard's whole log: one book at a time.
    folds: tokio::sync::Semaphore,
    /// Nobody is waited for any longer: the node stops.
    stopping: watch::Sender<bool>,
    /// For what is sent on to other nodes.
    elsewhere: door::Room,
    /// For streams of commands, each with many under way.
    streams: door::Room,
    /// For those who watch accounts.
    watches: door::Room,
    /// For those who read events.
    readers: door::Room,
    /// For the members of consumer groups.
    members: door::Room,
    /// For the shares of consumer groups that are told.
    shared: door::Room,
    /// The groups whose shares are lent here.
    lent: consumers::Lent,
    /// How many shares were lent.
    lendings: AtomicU64,
    leaders: Leaders,
    interest: freshness::Interest,
    /// Whether this node's clock is to be believed.
    clocks: Arc<Clocks>,
    started: Instant,
}

/// A disk that cannot answer in this time looks dead to a leader.
const APPEND_DEADLINE: Duration = Duration::from_secs(5);
/// How far ahead of this node's clock a peer's may be.
const CLOCK_BOUND: Duration = Duration::from_millis(500);
/// Streams of one connection that calls between nodes always find room in.
const PEER_STREAMS: u32 = 4_096;
/// A store that is not closed in this time after everything has ended never will be.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Runs a node out of its files until `stop` resolves: reads secrets and topology, claims the data
/// directory, and [serves](serve).
pub async fn run(
    config: Config,
    world: World,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let secrets_file = config.secrets_file();
    let found = Secrets::read(&secrets_file)?;
    let is_new = found.is_none();
    let secrets = found.unwrap_or_else(|| Secrets::generate(world.entropy.as_ref()));
    let directory = config.directory(&secrets)?;
    let node = directory
        .topology()
        .node(config.node)
        .ok_or(config::Error::NoSuchNode(config.node))?;
    data::claim(&config.data, directory.topology(), node)?;
    if is_new {
        // Only now: the directory could have been another's.
        secrets.write(&secrets_file)?;
    }
    let keys = keys::configured(&config, &directory, &secrets, world.entropy.clone())?;
    serve(directory, secrets, keys, &config, world, stop).await
}

/// Runs the node of a configuration until `stop` resolves, in a directory and with secrets that are
/// given, with the keys of its region's customers. Touches nothing outside of these. With an address for metrics, it answers there from
/// before it has recovered until it has stopped.
///
/// Stopping has an order: health says so, others take over the leading, no call is taken any
/// more, calls under way end or are cut, the data is closed. Then this returns.
pub async fn serve(
    directory: FileDirectory,
    secrets: Secrets,
    keys: Arc<dyn Keys>,
    config: &Config,
    mut world: World,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let node = directory
        .topology()
        .node(config.node)
        .cloned()
        .ok_or(config::Error::NoSuchNode(config.node))?;
    let limits = &config.limits;
    let distances = Distances::new(world.network.clone(), directory.topology(), &node.region);
    if let Some(distances) = &distances {
        world.network = Arc::new(distances.clone());
    }
    // Listening comes first: a port in use is found before any data is touched.
    let incoming = listen(&world, &node.address).await?;
    let asked = match &config.metrics_listen {
        Some(address) => Some(listen(&world, address).await?),
        None => None,
    };
    let disk = Arc::new(closing::ClosableDisk::new(world.disk));
    world.disk = disk.clone();
    let has_peers = directory.topology().nodes.len() > 1;
    let clocks = Arc::new(Clocks::new(world.clock.clone(), has_peers));
    let requests = limits.requests.get();
    let observer = Arc::new(Observer::new(
        node.clone(),
        &world,
        clocks.clone(),
        requests,
    ));
    // These end with this function, whichever way it ends.
    let mut watching = JoinSet::new();
    if let Some(asked) = asked {
        watching.spawn(probes::serve(asked, observer.clone()));
        // Recovery reads the disk without a pause. The new task waits on this thread, where nobody
        // else may take it up: it has its first turn now.
        tokio::task::yield_now().await;
    }
    let server = Arc::new(
        Server::start(
            world,
            directory,
            secrets,
            keys,
            &node,
            config,
            clocks.clone(),
        )
        .await?,
    );
    observer.recovered(&server);
    let asking = Arc::downgrade(&server);
    watching.spawn(async move { clocks.compare(&asking).await });
    watching.spawn(Server::keep_forgetting(Arc::downgrade(&server)));
    watching.spawn(Server::keep_sweeping(Arc::downgrade(&server)));
    tracing::info!(node = node.name, address = node.address, "listening");
    let groups = Groups::default();
    for shard in server.shards.all().values() {
        groups.insert(shard.group().clone());
    }
    let mut joining = JoinSet::new();
    for id in server.waiting.reasons().into_keys() {
        joining.spawn(server.clone().join(groups.clone(), id));
    }
    let clock = server.world.clock.clone();
    let check = move |time: &[u8]| within_bounds(time, clock.wall_nanos());
    let options = server.peers.options().clone();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| Error::Serve(e.to_string()))?;
    let (mut health, health_service) = tonic_health::server::health_reporter();
    health::set_not_serving(&health).await;
    let mut telling = JoinSet::new();
    let (told, telling_of) = (health.clone(), observer.clone());
    telling.spawn(async move { health::follow(told, &telling_of).await });
    let room = door::Room::new(limits.requests.get());
    let router = peer::server(&options)
        .add_service(RaftService::server(
            groups.clone(),
            Arc::new(check),
            &server.peers,
        ))
        .add_service(FeedService::server(
            server.hub.clone(),
            server.feeds.clone(),
            &options,
        ))
        .add_service(HeadsService::server(server.told.clone()))
        .add_service(Counted::new(
            door::Door::new(
                api::teller::v1::teller_server::TellerServer::new(teller::Service(server.clone()))
                    .max_decoding_message_size(api::MESSAGE_LIMIT),
                &room,
            ),
            &observer.requests,
        ))
        .add_service(Counted::new(
            door::Door::new(
                api::atm::v1::atm_server::AtmServer::new(atm::Service(server.clone()))
                    .max_decoding_message_size(api::MESSAGE_LIMIT),
                &room,
            ),
            &observer.requests,
        ))
        .add_service(Counted::new(
            door::Door::new(
                api::events::v1::events_server::EventsServer::new(events::Service(server.clone()))
                    .max_decoding_message_size(api::MESSAGE_LIMIT),
                &room,
            ),
            &observer.requests,
        ))
        .add_service(Counted::new(
            door::Door::new(
                api::consumers::v1::consumers_server::ConsumersServer::new(consumers::Service(
                    server.clone(),
                ))
                .max_decoding_message_size(api::MESSAGE_LIMIT),
                &room,
            ),
            &observer.requests,
        ))
        .add_service(Counted::new(
            api::admin::v1::admin_server::AdminServer::new(status::Service(server.clone())),
            &observer.requests,
        ))
        .add_service(
            api::internal::v1::books_server::BooksServer::new(books::Service(server.clone()))
                .max_encoding_message_size(options.message_limit),
        )
        // Room of their own: what asks here holds a place of those above, maybe at another node.
        .add_service(door::Door::new(
            api::internal::v1::references_server::ReferencesServer::new(references::Service(
                server.clone(),
            ))
            .max_decoding_message_size(api::MESSAGE_LIMIT),
            &door::Room::new(limits.requests.get()),
        ))
        .add_service(api::internal::v1::nodes_server::NodesServer::new(
            status::NodeService(server.clone()),
        ))
        .add_service(api::internal::v1::freshness_server::FreshnessServer::new(
            freshness::Service(server.clone()),
        ))
        .add_optional_service(
            distances.map(|d| api::dev::v1::dev_server::DevServer::new(dev::Service(d))),
        )
        .add_service(reflection)
        .add_service(health_service);
    let (reject, rejected) = oneshot::channel();
    let identity = server.peers.identity().cloned();
    let stopping = async {
        let another = async {
            match identity {
                Some(identity) => identity.rejected().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            said = another => {
                tracing::error!(%said, "this node stops: its number is another's");
                // The receiver is read below.
                let _ = reject.send(said);
            }
        }
        server.stopping.send_replace(true);
        observer.stops();
        // None goes on for long: each has heard it.
        while joining.join_next().await.is_some() {}
        telling.shutdown().await;
        health::set_not_serving(&health).await;
        server.hand_over().await;
        // Streams have no end of their own: those of peers, and of whoever watches the health.
        server.feeds.close();
        groups.close();
        health::clear(&mut health).await;
    };
    let grace = Duration::from_secs(limits.stop_seconds.into());
    let served = peer::serve(router, incoming, stopping, grace).await;
    for shard in server.shards.all().values() {
        shard.group().shutdown().await;
    }
    // Some of these may hold the server at this moment.
    watching.shutdown().await;
    drop((server, groups));
    served.map_err(|e| Error::Serve(e.to_string()))?;
    if let Ok(said) = rejected.await {
        return Err(Error::Rejected(said));
    }
    tokio::time::timeout(CLOSE_DEADLINE, disk.closed())
        .await
        .map_err(|_| Error::NotClosed)
}

async fn listen(world: &World, address: &str) -> Result<Incoming, Error> {
    let listening = world.network.listen(address).await;
    listening.map_err(|cause| Error::Listen {
        address: address.to_owned(),
        cause,
    })
}

/// Refuses a peer's call whose time this node's clock could not follow.
fn within_bounds(time: &[u8], wall: u64) -> Result<(), Status> {
    let refuse = |why: String| Err(Status::failed_precondition(why));
    let Some(time) = time.try_into().ok().and_then(HybridTime::from_bytes) else {
        return refuse("the call carries no time".to_owned());
    };
    match ledger_domain::GuardedClock::new(HybridTime::ZERO, CLOCK_BOUND).observe(time, wall) {
        Ok(()) => Ok(()),
        Err(error) => refuse(error.to_string()),
    }
}

impl Server {
    async fn start(
        world: World,
        directory: FileDirectory,
        secrets: Secrets,
        keys: Arc<dyn Keys>,
        node: &replication::topology::Node,
        config: &Config,
        clocks: Arc<Clocks>,
    ) -> Result<Self, Error> {
        let limits = &config.limits;
        let engine = world.disk.open(Store::Log).map_err(Error::Log)?;
        let hub = LogHub::open_with(engine, world.archive.clone()).map_err(Error::Log)?;
        let topology = directory.topology().clone();
        let addresses: BTreeMap<u64, String> = topology
            .nodes
            .iter()
            .map(|n| (n.id, n.address.clone()))
            .collect();
        let known = addresses.clone();
        let peers = Peers::new(
            world.network.clone(),
            Arc::new(move |node| known.get(&node).cloned()),
            PeerOptions {
                streams: limits.requests.get().saturating_add(PEER_STREAMS),
                ..PeerOptions::default()
            },
        );
        let entropy = world.entropy.as_ref();
        let identity = Identity::open(hub.clone(), node.id, entropy).await;
        peers.identify(identity.map_err(Error::Log)?);
        let scrubbed = Findings::default();
        let joining = Joining {
            world: world.clone(),
            directory: directory.clone(),
            hub: hub.clone(),
            peers: peers.clone(),
            node: node.clone(),
            limits: limits.clone(),
            write_version: config.write_version,
            findings: scrubbed.clone(),
        };
        let mut followers = JoinSet::new();
        let (shards, waiting) = (Here::default(), Waiting::default());
        let mut copied = Vec::new();
        for shard in &topology.shards {
            // A promise binds whatever a topology says now, and who cannot read has promised.
            let is_held =
                shard.holders().contains(&node.id) || hub.has_voted(shard.id).unwrap_or(true);
            if !is_held {
                copied.push(shard);
                continue;
            }
            let others = shard.holders().into_iter();
            let others = others.filter(|other| *other != node.id);
            followers.spawn(peers.clone().introduce(others.collect()));
            match joining.begin(shard).await? {
                Ok(started) => shards.insert(ShardId(shard.id), started),
                Err(why) => waiting.insert(ShardId(shard.id), why),
            }
        }
        let read_models = ReadModels::open(world.disk.clone()).map_err(Error::Views)?;
        let (mut copies, mut spoilt) = (BTreeMap::new(), BTreeMap::new());
        for shard in copied {
            let started = ShardCopy::start(
                shard.id,
                places(&topology, shard, node),
                hub.clone(),
                peers.clone(),
                world.entropy.clone(),
                CopyOptions::default(),
            );
            match started {
                Ok(copy) => drop(copies.insert(ShardId(shard.id), copy)),
                Err(error) => {
                    tracing::error!(shard = shard.id, %error, "a copy cannot be gone on with");
                    spoilt.insert(ShardId(shard.id), error.to_string());
                }
            }
        }
        let (region, name) = (node.region, node.name.clone());
        let feeds = Feeds::default();
        let mut server = Self {
            world,
            directory,
            secrets,
            keys,
            retention_years: config.retention_years,
            erasing: forgetting::Erasing::default(),
            privileged: config.privileged.clone(),
            region,
            name,
            hub,
            shards,
            waiting,
            copies,
            spoilt,
            served: BTreeMap::new(),
            joining,
            feeds,
            read_models,
            peers,
            followers: Mutex::new(followers),
            scrubbed,
            told: Told::default(),
            folds: tokio::sync::Semaphore::new(1),
            stopping: watch::Sender::new(false),
            elsewhere: door::Room::new(limits.requests.get()),
            streams: door::Room::new(stream::STREAMS),
            watches: door::Room::new(watching::WATCHES),
            readers: door::Room::new(events::READERS),
            members: door::Room::new(consumers::MEMBERS),
            shared: door::Room::new(consumers::SHARES),
            lent: consumers::Lent::default(),
            lendings: AtomicU64::new(0),
            leaders: Leaders::default(),
            interest: freshness::Interest::default(),
            clocks,
            started: Instant::now(),
        };
        let reach = server.reach();
        server.served = reach
            .iter()
            .map(|(id, it)| (*id, it.held.clone()))
            .collect();
        server.keep_histories(limits);
        let applied = reach.into_iter().map(|(id, it)| (id, it.applied));
        let applied: BTreeMap<_, _> = applied.collect();
        if let Some(archiving) = &config.archive {
            server.keep_archive(applied.clone(), archiving);
        }
        server.keep_integrity(applied, config);
        server.follow_all();
        for shard in &topology.shards {
            if let Some(started) = server.shards.get(ShardId(shard.id)) {
                server.found(shard, &started);
            }
        }
        Ok(server)
    }

    /// How far each shard that is here may be read: a view, another shard or a scrub that reads
    /// from the beginning stops at what a snapshot skipped, until it has come.
    fn reach(&self) -> BTreeMap<ShardId, Reach> {
        let mut reach = self.waiting.reach();
        reach.extend(self.shards.all().into_iter().map(|(id, shard)| {
            let (applied, held) = (shard.group().applied_watch(), shard.group().held());
            (id, Reach { applied, held })
        }));
        reach.extend(self.copies.iter().map(|(id, copy)| {
            let (applied, held) = (copy.copied(), copy.copied());
            (*id, Reach { applied, held })
        }));
        reach
    }

    /// Snapshots are taken, and what a snapshot skipped is fetched. All of it stops before the disk
    /// is full.
    fn keep_histories(&self, limits: &Limits) {
        let (space, disk) = (self.hub.pace().space().clone(), self.world.disk.clone());
        self.spawn(space.watch(disk, limits.disk_reserve_bytes));
        for (id, shard) in self.shards.all() {
            self.keep_history(id, &shard);
        }
    }

    /// Every log that is here feeds the views, other regions, and the shards that are decided here.
    fn follow_all(&self) {
        let shards = self.shards.all();
        for (id, shard) in &shards {
            self.feeds.insert(id.0, shard.group().applied_watch());
        }
        for copy in self.copies.values() {
            self.feeds.pass_on(copy);
        }
        self.spawn(self.read_models.clone().keep());
        for (id, served) in &self.served {
            let epoch = self.directory.epoch(*id).unwrap_or(1);
            let models = self.read_models.clone();
            self.spawn(models.follow(*id, epoch, self.hub.clone(), served.clone()));
            for (mine, shard) in &shards {
                if mine != id {
                    self.follow(shard, *id, served.clone());
                }
            }
        }
    }

    /// Goes on until the node stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let followers = self.followers.lock();
        followers
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(task);
    }

    fn home(&self, account: &AccountId) -> Result<ShardId, Status> {
        let unknown = || refusal::unknown_region(account.region().as_str());
        self.directory.home(account).ok_or_else(unknown)
    }

    fn served_by(&self) -> v1::ServedBy {
        v1::ServedBy {
            region: self.region.to_string(),
            node: self.name.clone(),
        }
    }

    fn token(&self, token: &Token) -> String {
        token.sign(self.region, &self.secrets.token_key())
    }

    /// Waits until the read models here hold all that was acknowledged before this was asked for.
    async fn viewed_as_acknowledged(
        &self,
        shard: &Shard,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let read = shard.strong(|_| ()).await;
        let ((), position) = read.map_err(|error| refusal::read(&error))?;
        self.viewed(position, deadline).await.map(drop)
    }

    /// The read models that serve.
    fn views(&self) -> Views {
        self.read_models.serving()
    }

    /// Waits until the read models here hold a position.
    async fn viewed(&self, position: Position, deadline: Deadline) -> Result<Watermark, Status> {
        self.still_there(position)?;
        let viewed = self.views().wait_for(position, deadline.patience()).await;
        let viewed = viewed.map_err(refusal::unreadable)?;
        // A later reign may have come to its index while it was waited for.
        self.still_there(position)?;
        Ok(viewed)
    }

    /// Refuses a position that is lost.
    fn still_there(&self, position: Position) -> Result<(), Status> {
        match self.is_lost(position) {
            true => Err(refusal::position_lost(position)),
            false => Ok(()),
        }
    }
}

impl Server {
    /// Whether a position is of a reign that ended before it came to its index, as far as is known
    /// here.
    fn is_lost(&self, position: Position) -> bool {
        let Position {
            shard,
            epoch,
            index,
        } = position;
        // What cannot be read is told by whoever reads it.
        let last = self.hub.last(shard.0).ok().flatten();
        let Some(last) = last.filter(|last| last.epoch > epoch) else {
            return false;
        };
        let there = self.hub.epoch_at(shard.0, index);
        index > last.index || there.is_ok_and(|found| found.is_some_and(|found| found != epoch))
    }
}

/// Where a shard comes from that a node copies.
fn places(topology: &topology::Topology, shard: &topology::Shard, node: &topology::Node) -> Places {
    let is_abroad = shard.region != node.region;
    // At home there is no ocean: whoever does not vote follows the voters.
    let mates = topology
        .nodes
        .iter()
        .filter(|mate| is_abroad && mate.region == node.region);
    Places {
        home: shard.holders(),
        is_abroad,
        node: node.id,
        region: mates.map(|mate| mate.id).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_too_far_ahead_is_not_listened_to() {
        const NOW: u64 = 1_000_000_000_000;
        let bound = u64::try_from(CLOCK_BOUND.as_nanos()).unwrap();
        let at = |wall_nanos, count| HybridTime { wall_nanos, count }.to_bytes();
        for time in [at(NOW, 0), at(0, 0), at(NOW + bound, 3)] {
            assert!(within_bounds(&time, NOW).is_ok(), "{time:?}");
        }
        for (time, says) in [
            (
                at(NOW + bound + 1_000_000, 0).to_vec(),
                "ahead of this clock",
            ),
            (at(u64::MAX, 0).to_vec(), ""),
            (Vec::new(), "carries no time"),
            (vec![0; 15], "carries no time"),
        ] {
            let status = within_bounds(&time, NOW).unwrap_err();
            assert_eq!(status.code(), tonic::Code::FailedPrecondition);
            assert!(status.message().contains(says), "{status}");
        }
    }
}
