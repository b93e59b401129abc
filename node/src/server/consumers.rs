//! Consumer groups: events read on by several together, from cursors that the ledger keeps.
//!
//! The node that leads a group's shard lends its shares to the members that are connected, tells each
//! share's events, and records what is acknowledged (`lending`, `share`). Who has what is in its memory
//! alone: a leader after it begins from what is recorded, and lends anew.

mod ask;
mod lending;
mod share;
mod show;
mod told;
mod window;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::Stream;
use ledger_domain::{ConsumerId, consumer::ConsumerChange};
use replication::shard::Shard;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Server,
    deadline::{Call, Deadline},
    prepare, refusal, route,
};
use crate::api::{
    consumers::v1::{
        self as pb, consume_request::Message, consumers_client::ConsumersClient,
        consumers_server::Consumers,
    },
    v1,
};
use lending::{Joining, Lending};
use share::Telling;
pub(super) use show::Figures;

/// How many members a node serves at a time, its own and those that it sends on.
pub(super) const MEMBERS: u32 = 256;
/// How many shares a node tells at a time: each reads logs.
pub(super) const SHARES: u32 = 256;
/// The most bytes of a member's name.
const LONGEST_MEMBER: usize = 64;
/// How many messages of a member wait at most.
const WAITING: usize = 64;

/// The groups whose shares are lent here.
#[derive(Default)]
pub(super) struct Lent(Mutex<BTreeMap<ConsumerId, Arc<Known>>>);

/// A group whose shares are lent.
pub(super) struct Known {
    joins: mpsc::Sender<Joining>,
    told: Mutex<Telling>,
}

impl Lent {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConsumerId, Arc<Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a group here while its shares are lent.
    fn known(&self, id: &ConsumerId) -> Option<Arc<Known>> {
        self.lock().get(id).cloned()
    }
}

impl Known {
    fn told(&self) -> MutexGuard<'_, Telling> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Server>);

type Replies = Pin<Box<dyn Stream<Item = Result<pb::ConsumeReply, Status>> + Send>>;

/// A write that takes one request to the leader of its group's shard.
macro_rules! write {
    ($self:ident, $request:ident, $method:ident, $change:expr) => {{
        let server = &$self.0;
        let deadline = Deadline::of(&$request);
        let caller = &route::caller($request.metadata())?;
        let body = $request.get_mut();
        let context = body.context.get_or_insert_default();
        prepare::complete(server, context)?;
        let call = match context.dry_run {
            true => Call::Read,
            false => Call::Write {
                key: context.idempotency_key.clone(),
            },
        };
        let id = &server.consumer_id(&mut body.region, &body.name)?;
        let answer = server.at_leader(
            server.home(&id.place())?,
            $request,
            deadline,
            |shard, mut body| async move {
                let context = body.context.take().unwrap_or_default();
                let asked = prost::Message::encode_to_vec(&body);
                let change = $change(server, &shard, id, body, deadline).await?;
                let prepared = ask::prepared(id, change, context, asked)?;
                let receipt = server.decide(&shard, prepared, caller, deadline).await?;
                Ok(pb::ConsumerReply {
                    receipt: Some(receipt),
                })
            },
            |channel, request| async move { ConsumersClient::new(channel).$method(request).await },
        );
        deadline.keep(call, answer).await
    }};
}

#[tonic::async_trait]
impl Consumers for Service {
    type ConsumeStream = Replies;

    async fn create(
        &self,
        mut request: Request<pb::CreateConsumerRequest>,
    ) -> Result<Response<pb::ConsumerReply>, Status> {
        write!(self, request, create, ask::created)
    }

    async fn remove(
        &self,
        mut request: Request<pb::RemoveConsumerRequest>,
    ) -> Result<Response<pb::ConsumerReply>, Status> {
        write!(self, request, remove, ask::removed)
    }

    async fn r#move(
        &self,
        mut request: Request<pb::MoveConsumerRequest>,
    ) -> Result<Response<pb::ConsumerReply>, Status> {
        write!(self, request, r#move, ask::moved)
    }

    async fn resume(
        &self,
        mut request: Request<pb::ResumeConsumerRequest>,
    ) -> Result<Response<pb::ConsumerReply>, Status> {
        write!(self, request, resume, ask::resumed)
    }

    async fn get(
        &self,
        request: Request<pb::GetConsumerRequest>,
    ) -> Result<Response<pb::GetConsumerReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.shown_consumer(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn list(
        &self,
        request: Request<pb::ListConsumersRequest>,
    ) -> Result<Response<pb::ListConsumersReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.listed_consumers(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn consume(
        &self,
        request: Request<Streaming<pb::ConsumeRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let deadline = Deadline::of(&request);
        let joining = self.0.joins(request, deadline);
        deadline.keep(Call::Read, joining).await
    }
}

/// What a member says after it has joined, until somebody serves it.
type Saying = Mutex<Option<Box<Streaming<pb::ConsumeRequest>>>>;

/// Takes it, once.
fn taken(saying: &Saying) -> Option<Box<Streaming<pb::ConsumeRequest>>> {
    saying.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Server {
    /// The group of a request, whose region is filled in where it is left out: the asked node's.
    fn consumer_id(&self, region: &mut String, name: &str) -> Result<ConsumerId, Status> {
        if region.is_empty() {
            *region = self.region.to_string();
        }
        let region = region.parse().map_err(refusal::invalid)?;
        ConsumerId::new(region, name).map_err(refusal::invalid)
    }

    /// Records a change that the ledger makes by itself: what members acknowledge, and refuse.
    async fn change_consumer(
        &self,
        shard: &Shard,
        id: &ConsumerId,
        change: ConsumerChange,
        caller: &str,
    ) -> Result<(), Status> {
        let mut context = v1::CommandContext::default();
        prepare::complete(self, &mut context)?;
        let key = context.idempotency_key.clone();
        let prepared = ask::prepared(id, change, context, Vec::new())?;
        let deadline = Deadline::of_one();
        let deciding = self.decide(shard, prepared, caller, deadline);
        // A leader that is cut off would wait for ever.
        let kept = deadline.keep(Call::Write { key }, deciding);
        kept.await.map(drop)
    }

    /// A member joins, where the group's shares are lent.
    async fn joins(
        self: &Arc<Self>,
        request: Request<Streaming<pb::ConsumeRequest>>,
        deadline: Deadline,
    ) -> Result<Response<Replies>, Status> {
        let caller = &route::caller(request.metadata())?;
        let asker = self.asker(&request);
        let is_open = self.is_of_same_domain(asker);
        let (metadata, _, mut said) = request.into_parts();
        let first = said.message().await?.and_then(|it| it.message);
        let Some(Message::Join(mut join)) = first else {
            return Err(refusal::invalid("the first message joins a group"));
        };
        if join.member.len() > LONGEST_MEMBER {
            let what = format!("a member's name has at most {LONGEST_MEMBER} bytes");
            return Err(refusal::invalid(what));
        }
        if join.window > 1_024 || join.retries > 100 {
            return Err(refusal::invalid(
                "a window has at most 1,024 events, and an event is told again at most 100 times",
            ));
        }
        let id = &self.consumer_id(&mut join.region, &join.name)?;
        // Whichever way it ends, it leaves this.
        let place = Arc::new(self.members.enter()?);
        let saying: &Saying = &Mutex::new(Some(Box::new(said)));
        let mut asked = Request::new(join);
        *asked.metadata_mut() = metadata;
        let there = |channel, request: Request<pb::Join>| async move {
            let (say, said) = mpsc::channel(WAITING);
            let mut request = request.map(|join| {
                let message = Some(Message::Join(join));
                // It has room for the first.
                let _ = say.try_send(pb::ConsumeRequest { message });
                ReceiverStream::new(said)
            });
            // The stream has no end of its own.
            request.metadata_mut().remove("grpc-timeout");
            let replies = ConsumersClient::new(channel).consume(request).await?;
            if let Some(said) = taken(saying) {
                tokio::spawn(send_on(*said, say));
            }
            Ok(replies.map(|it| Box::pin(it) as Replies))
        };
        let here = |shard: Shard, join: pb::Join| async move {
            let (told, replies) = told::channel();
            let lending = self.lending(&shard, id).await?;
            let said = taken(saying).ok_or_else(|| refusal::not_leader(None))?;
            let joining = Joining::new(join, caller.clone(), is_open, *said, told);
            lending
                .joins
                .try_send(joining)
                .map_err(|_| refusal::overloaded())?;
            Ok(Box::pin(replies) as Replies)
        };
        let home = self.home(&id.place())?;
        let joined = self.at_leader(home, asked, deadline, here, there).await?;
        let held = move |reply| {
            // For as long as it is told anything.
            let _place = &place;
            reply
        };
        Ok(joined.map(|replies| Box::pin(replies.map(held)) as Replies))
    }

    /// Who lends the shares of a group whose shard is led here.
    async fn lending(
        self: &Arc<Self>,
        shard: &Shard,
        id: &ConsumerId,
    ) -> Result<Arc<Known>, Status> {
        let read = shard
            .strong(|book| ledger_domain::state::State::consumer(book, id))
            .await;
        let (consumer, _) = read.map_err(|error| refusal::read(&error))?;
        let consumer = consumer.ok_or_else(refusal::unknown_consumer)?;
        let mut lent = self.lent.lock();
        if let Some(known) = lent.get(id).filter(|it| !it.joins.is_closed()) {
            return Ok(known.clone());
        }
        let leadership = *shard.group().leadership().borrow();
        let reign = leadership.reign;
        let reign = reign.ok_or_else(|| refusal::not_leader(leadership.leader))?;
        let (joins, joining) = mpsc::channel(WAITING);
        let known = Arc::new(Known {
            joins,
            told: Mutex::default(),
        });
        lent.insert(id.clone(), known.clone());
        drop(lent);
        let lending = Lending::new(
            self.clone(),
            shard.clone(),
            reign,
            id.clone(),
            consumer,
            known.clone(),
        );
        tokio::spawn(lending.run(joining));
        Ok(known)
    }
}

/// Sends on what a member says, until either side ends.
async fn send_on(mut said: Streaming<pb::ConsumeRequest>, to: mpsc::Sender<pb::ConsumeRequest>) {
    while let Ok(Some(message)) = said.message().await {
        if to.send(message).await.is_err() {
            return;
        }
    }
}
