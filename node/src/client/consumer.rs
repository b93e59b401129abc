//! A member of a consumer group, through as many nodes as it takes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
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
    MoveConsumerRequest, Refuse, Rejected, RemoveConsumerRequest, ResumeConsumerRequest,
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
    refusals: Refusals,
}

/// What was told of a share since it was refused: void, unless the refusal does not count.
#[derive(Default)]
struct Silence {
    refused: BTreeSet<u64>,
    told: Vec<Delivery>,
}

/// Shares, by number and lease, of which something was refused that has not come again.
#[derive(Default)]
struct Refusals {
    silent: BTreeMap<(u32, String), Silence>,
    /// What was kept back and is not void.
    kept: VecDeque<Delivery>,
}

impl Refusals {
    fn refuse(&mut self, delivery: &Delivery) {
        let lease = (delivery.share, delivery.lease.clone());
        let silence = self.silent.entry(lease).or_default();
        silence.refused.insert(delivery.number);
    }

    /// An event is passed on, if it is not void.
    fn pass(&mut self, delivery: Delivery) -> Option<Delivery> {
        let lease = (delivery.share, delivery.lease.clone());
        if delivery.again {
            self.silent.remove(&lease);
        }
        match self.silent.get_mut(&lease) {
            Some(silence) => {
                silence.told.push(delivery);
                None
            }
            None => Some(delivery),
        }
    }

    /// What was kept back.
    fn next(&mut self) -> Option<Delivery> {
        while let Some(kept) = self.kept.pop_front() {
            if let Some(passed) = self.pass(kept) {
                return Some(passed);
            }
        }
        None
    }

    /// What was said does not count: nothing comes again because of it.
    fn rejected(&mut self, rejected: Rejected) {
        let lease = (rejected.share, rejected.lease);
        let Some(silence) = self.silent.get_mut(&lease) else {
            return;
        };
        silence.refused.remove(&rejected.number);
        // A node that names no event rejects what is said under a lease that is over.
        if (silence.refused.is_empty() || rejected.number == 0)
            && let Some(silence) = self.silent.remove(&lease)
        {
            self.kept.extend(silence.told);
        }
    }

    /// A share is lent, or not any more: under other leases nothing more comes of it.
    fn only(&mut self, share: u32, lease: Option<&str>) {
        let stays = |it: u32, its: &str| it != share || lease == Some(its);
        self.silent.retain(|(it, its), _| stays(*it, its));
    }
}

impl Consumer {
    /// The next event, or the error that ended it. It waits for as long as there is none.
    pub async fn next(&mut self) -> Option<Result<Delivery, Error>> {
        loop {
            if let Some(kept) = self.refusals.next() {
                return Some(Ok(kept));
            }
            let reply = match self.replies.next().await? {
                Ok(reply) => reply,
                Err(error) => return Some(Err(error)),
            };
            match reply.message {
                Some(Told::Delivery(delivery)) => {
                    if let Some(delivery) = self.refusals.pass(delivery) {
                        return Some(Ok(delivery));
                    }
                }
                Some(Told::Ended(ended)) => self.refusals.only(ended.share, None),
                Some(Told::Lent(lent)) => self.refusals.only(lent.share, Some(&lent.lease)),
                Some(Told::Rejected(rejected)) => self.refusals.rejected(rejected),
                Some(Told::Heartbeat(_)) | None => {}
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
        self.refusals.refuse(delivery);
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
            refusals: Refusals::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: u64, again: bool) -> Delivery {
        Delivery {
            lease: "1-1-1".to_owned(),
            number,
            again,
            ..Delivery::default()
        }
    }

    fn rejected(number: u64) -> Rejected {
        Rejected {
            lease: "1-1-1".to_owned(),
            number,
            ..Rejected::default()
        }
    }

    #[test]
    fn what_is_told_after_a_refusal_that_does_not_count_is_not_lost() {
        let mut refusals = Refusals::default();
        refusals.refuse(&told(1, false));
        assert!(refusals.pass(told(2, false)).is_none());
        refusals.rejected(rejected(1));
        assert_eq!(refusals.next().map(|it| it.number), Some(2));
        assert!(refusals.next().is_none());
        assert!(refusals.pass(told(3, false)).is_some());
    }

    #[test]
    fn what_is_told_after_a_refusal_is_void_whatever_else_is_rejected() {
        let mut refusals = Refusals::default();
        refusals.refuse(&told(1, false));
        refusals.refuse(&told(2, false));
        assert!(refusals.pass(told(3, false)).is_none());
        refusals.rejected(rejected(2));
        assert!(refusals.next().is_none());
        assert!(refusals.pass(told(4, true)).is_some());
        assert!(refusals.next().is_none());
    }
}
