//! What is told to a member and waits to be sent: no more than it may be.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::sync::{Notify, mpsc};
use tonic::Status;

use crate::api::consumers::v1::ConsumeReply;

/// Where so many messages wait for a member, its shares are not told on.
const ENOUGH: usize = 1_024;
/// A member for whom so many wait is sent away where it reads nothing: answers to what it says are bounded by
/// what it says, not by what it reads.
const MOST: usize = 8 * ENOUGH;
/// A member for whom so many wait is sent away though it reads.
const TOO_MANY: usize = 8 * MOST;

type Reply = Result<ConsumeReply, Status>;

/// Where a member is told.
#[derive(Clone)]
pub(super) struct Told {
    replies: mpsc::UnboundedSender<Reply>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    count: AtomicUsize,
    /// How many were read, ever.
    read: AtomicU64,
    has_room: Notify,
}

/// What is sent to a member.
pub(super) struct Replies {
    replies: mpsc::UnboundedReceiver<Reply>,
    waiting: Arc<Waiting>,
}

/// Both ends.
pub(super) fn channel() -> (Told, Replies) {
    let (sender, replies) = mpsc::unbounded_channel();
    let waiting = Arc::new(Waiting::default());
    let told = Told {
        replies: sender,
        waiting: waiting.clone(),
    };
    (told, Replies { replies, waiting })
}

impl Told {
    /// Says something; nothing where the member has left.
    pub(super) fn say(&self, reply: Reply) {
        self.waiting.count.fetch_add(1, Ordering::Relaxed);
        // Who does not listen any more has left.
        let _ = self.replies.send(reply);
    }

    /// How many messages wait.
    fn waiting(&self) -> usize {
        self.waiting.count.load(Ordering::Relaxed)
    }

    /// Whether nothing waits: whoever is told that all is well hears it soon.
    pub(super) fn is_heard(&self) -> bool {
        self.waiting() == 0
    }

    /// Whether more may be told.
    pub(super) fn has_room(&self) -> bool {
        self.waiting() < ENOUGH
    }

    /// How many messages were read, where so many wait that a member that reads no more is sent away.
    pub(super) fn full_after(&self) -> Option<u64> {
        let is_full = self.waiting() >= MOST;
        is_full.then(|| self.waiting.read.load(Ordering::Relaxed))
    }

    /// Whether too many wait, whether or not the member reads.
    pub(super) fn is_overfull(&self) -> bool {
        self.waiting() >= TOO_MANY
    }

    /// Until there may be room again. It may have come before: whoever waits looks now and then, too.
    pub(super) async fn room(&self) {
        self.waiting.has_room.notified().await;
    }

    /// Until the member has left.
    pub(super) async fn closed(&self) {
        self.replies.closed().await;
    }
}

impl Stream for Replies {
    type Item = Reply;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Reply>> {
        let next = self.replies.poll_recv(context);
        if let Poll::Ready(Some(_)) = &next {
            self.waiting.read.fetch_add(1, Ordering::Relaxed);
        }
        if let Poll::Ready(Some(_)) = &next
            && self.waiting.count.fetch_sub(1, Ordering::Relaxed) <= ENOUGH
        {
            self.waiting.has_room.notify_waiters();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    #[test]
    fn what_waits_is_counted_until_it_is_read() {
        let (told, mut replies) = channel();
        assert!(told.is_heard());
        for _ in 0..ENOUGH {
            assert!(told.has_room());
            told.say(Ok(ConsumeReply::default()));
        }
        assert!(!told.has_room() && told.full_after().is_none() && !told.is_heard());
        let room = told.room();
        let mut room = std::pin::pin!(room);
        assert!(room.as_mut().now_or_never().is_none());
        assert!(replies.next().now_or_never().flatten().is_some());
        assert!(told.has_room() && room.now_or_never().is_some());
        while told.full_after().is_none() {
            told.say(Ok(ConsumeReply::default()));
        }
        assert_eq!(told.full_after(), Some(1));
        told.say(Ok(ConsumeReply::default()));
        assert!(replies.next().now_or_never().flatten().is_some());
        assert_eq!(told.full_after(), Some(2));
        assert!(!told.is_overfull());
        for _ in 1..MOST {
            assert!(replies.next().now_or_never().flatten().is_some());
        }
        assert!(!told.is_heard());
    }
}
