//! A member of a consumer group, through as many nodes as it takes.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::attempt::Call;
use super::calls::Client;
use super::error::Error;
use super::following::{Followed, Replies};
use crate::api::consumers::v1::{
    Acknowledge, ConsumeReply, ConsumeRequest, ConsumerReply, CreateConsumerRequest, Delivery,
    GetConsumerReply, GetConsumerRequest, Join, ListConsumersReply, ListConsumersRequest,
    MoveConsumerRequest, Refuse, RemoveConsumerRequest, ResumeConsumerRequest,
    consume_reply::Message as Told, consume_request::Message as Says,
    consumers_client::ConsumersClient,
};

type Saying = Arc<Mutex<Option<mpsc::UnboundedSender<ConsumeRequest>>>>;

/// How long a member that leaves waits until it is heard.
const LEAVING: Duration = Duration::from_secs(5);

fn lock(saying: &Saying) -> MutexGuard<'_, Option<mpsc::UnboundedSender<ConsumeRequest>>> {
    saying.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A member of a consumer group: it is told the events of the shares that are lent to it.
///
/// Each event comes once or more: what was not acknowledged before the member left, or the node that
/// lends failed, is told again, to it or to another. Within a share events come in order. Dropped, it
/// leaves the group, and what it acknowledged last may not be heard: [`Self::leave`] waits for that.
pub struct Consumer {
    replies: Replies<ConsumeReply>,
    saying: Saying,
    /// Whether the member has left.
    left: Arc<AtomicBool>,
    /// Shares of which what was told is void until what was refused comes again.
    refused: BTreeSet<(u32, String)>,
}

impl Consumer {
    /// The next event, or the error that ended it. It waits for as long as there is none.
    pub async fn next(&mut self) -> Option<Result<Delivery, Error>> {
        loop {
            let reply = match self.replies.next().await? {
                Ok(reply) => reply,
                Err(error) => return Some(Err(error)),
            };
            match reply.message {
                Some(Told::Delivery(delivery)) => {
                    let lease = (delivery.share, delivery.lease.clone());
                    if delivery.again {
                        self.refused.remove(&lease);
                    }
                    if !self.refused.contains(&lease) {
                        return Some(Ok(delivery));
                    }
                }
                Some(Told::Ended(ended)) => drop(self.refused.remove(&(ended.share, ended.lease))),
                // Its event is told again.
                Some(Told::Rejected(_) | Told::Lent(_) | Told::Heartbeat(_)) | None => {}
            }
        }
    }

    /// An event is processed, and all of its share that came before it.
    pub fn acknowledge(&self, delivery: &Delivery) {
        self.say(Says::Acknowledge(Acknowledge {
            share: delivery.share,
            lease: delivery.lease.clone(),
            number: delivery.number,
        }));
    }

    /// An event could not be processed; all of its share that came before it is. It is told again so
    /// often as the member joined with, and then parks its share.
    pub fn refuse(&mut self, delivery: &Delivery, reason: &str) {
        self.refused
            .insert((delivery.share, delivery.lease.clone()));
        self.say(Says::Refuse(Refuse {
            share: delivery.share,
            lease: delivery.lease.clone(),
            number: delivery.number,
            reason: reason.to_owned(),
        }));
    }

    /// Leaves the group once what was acknowledged is heard. What is told meanwhile comes to another.
    pub async fn leave(mut self) {
        self.left.store(true, Ordering::Relaxed);
        drop(lock(&self.saying).take());
        let ending = async { while self.replies.next().await.is_some_and(|it| it.is_ok()) {} };
        // What is not heard in time is told again.
        let _ = timeout(LEAVING, ending).await;
    }

    fn say(&self, message: Says) {
        if let Some(saying) = &*lock(&self.saying) {
            let message = Some(message);
            // Where the stream ended, the event is told again.
            let _ = saying.send(ConsumeRequest { message });
        }
    }
}

struct Consume {
    join: Join,
    saying: Saying,
    left: Arc<AtomicBool>,
}

/// What a stream begins with.
#[derive(Clone)]
struct Begins {
    join: Join,
    saying: Saying,
}

impl Followed for Consume {
    type Request = Begins;
    type Reply = ConsumeReply;

    fn request(&self) -> Begins {
        Begins {
            join: self.join.clone(),
            saying: self.saying.clone(),
        }
    }

    fn open(
        channel: Channel,
        request: Request<Begins>,
    ) -> impl Future<Output = Result<Response<Streaming<ConsumeReply>>, Status>> + Send {
        let mut consumers = ConsumersClient::new(channel);
        let request = request.map(|Begins { join, saying }| {
            let (say, said) = mpsc::unbounded_channel();
            let message = Some(Says::Join(join));
            // The receiver is right here.
            let _ = say.send(ConsumeRequest { message });
            *lock(&saying) = Some(say);
            UnboundedReceiverStream::new(said)
        });
        async move { consumers.consume(request).await }
    }

    fn heard(&mut self, reply: ConsumeReply) -> ConsumeReply {
        reply
    }

    fn is_over(&self) -> bool {
        false
    }

    fn may_end(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }
}

impl Client {
    /// Takes part in a consumer group, over however many nodes.
    ///
    /// Where the node that lends fails, or another leads, it joins again there, for as long as that takes
    /// once anything was told; before, no longer than a call may
    /// ([`Options::deadline`](super::Options::deadline)). It ends with an error that no other attempt can
    /// help, such as that there is no such group.
    pub fn consume(&self, join: Join) -> Consumer {
        let (saying, left) = (Saying::default(), Arc::default());
        let replies = self.follow(Consume {
            join,
            saying: saying.clone(),
            left: Arc::clone(&left),
        });
        Consumer {
            replies,
            saying,
            left,
            refused: BTreeSet::new(),
        }
    }

    /// Makes a consumer group.
    pub async fn create_consumer(
        &self,
        mut request: CreateConsumerRequest,
    ) -> Result<ConsumerReply, Error> {
        let call = self.write(&mut request.context, |reply: &ConsumerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            ConsumersClient::new(channel).create(request).await
        })
        .await
    }

    /// Removes a consumer group.
    pub async fn remove_consumer(
        &self,
        mut request: RemoveConsumerRequest,
    ) -> Result<ConsumerReply, Error> {
        let call = self.write(&mut request.context, |reply: &ConsumerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            ConsumersClient::new(channel).remove(request).await
        })
        .await
    }

    /// Sets the cursors of a consumer group.
    pub async fn move_consumer(
        &self,
        mut request: MoveConsumerRequest,
    ) -> Result<ConsumerReply, Error> {
        let call = self.write(&mut request.context, |reply: &ConsumerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            ConsumersClient::new(channel).r#move(request).await
        })
        .await
    }

    /// Lets a parked share go on.
    pub async fn resume_consumer(
        &self,
        mut request: ResumeConsumerRequest,
    ) -> Result<ConsumerReply, Error> {
        let call = self.write(&mut request.context, |reply: &ConsumerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            ConsumersClient::new(channel).resume(request).await
        })
        .await
    }

    /// Tells how far a consumer group is.
    pub async fn consumer(&self, region: &str, name: &str) -> Result<GetConsumerReply, Error> {
        let request = GetConsumerRequest {
            region: region.to_owned(),
            name: name.to_owned(),
        };
        self.call(Call::read(), &request, |channel, request| async move {
            ConsumersClient::new(channel).get(request).await
        })
        .await
    }

    /// Tells which consumer groups a region keeps.
    pub async fn consumers(&self, region: &str) -> Result<ListConsumersReply, Error> {
        let request = ListConsumersRequest {
            region: region.to_owned(),
            shard: None,
        };
        self.call(Call::read(), &request, |channel, request| async move {
            ConsumersClient::new(channel).list(request).await
        })
        .await
    }
}
