//! Natural batching: what is asked for while an answer is awaited goes together into the next call.
//!
//! Nothing waits for a timer. As long as few batches are under way a caller's item is sent at once;
//! otherwise it waits for one of them to come back, and whatever came meanwhile leaves with it. So a
//! lone caller pays nothing, and the more callers there are the larger the batches.
//!
//! A batch is sent by a task of its own: a caller who goes away takes only its own item along.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// How much goes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Items of a batch; nodes take 1,000.
    pub items: usize,
    /// Bytes of a batch. A single item may be larger.
    pub bytes: usize,
    /// Batches under way at a time, of those that may go together.
    pub batches: usize,
    /// Items that wait, of those that may go together. Who comes beyond tries again later.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            items: 1_000,
            bytes: 1 << 20,
            batches: 2,
            waiting: 100_000,
        }
    }
}

/// Why an item has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Too many wait already. It was not sent.
    Full,
    /// Its deadline came while it waited. It was not sent.
    NotSent,
    /// It was sent, and its deadline came before the answer.
    Lost,
}

/// Sends a batch and gives an answer for each item, in their order. The time is by when the last of
/// them is awaited.
type Send<Item, Answer> =
    dyn Fn(Vec<Item>, Instant) -> BoxFuture<'static, Vec<Answer>> + std::marker::Send + Sync;

/// Items that may go together.
pub(super) struct Gather<Item, Answer> {
    limits: Limits,
    queue: Mutex<Queue<Item, Answer>>,
    send: Box<Send<Item, Answer>>,
}

struct Queue<Item, Answer> {
    waiting: VecDeque<Waiting<Item, Answer>>,
    /// Batches under way.
    batches: usize,
}

struct Waiting<Item, Answer> {
    item: Item,
    bytes: usize,
    end: Instant,
    is_sent: Arc<AtomicBool>,
    answer: oneshot::Sender<Answer>,
}

impl<Item, Answer> Queue<Item, Answer> {
    /// The next batch. What nobody waits for any more is dropped.
    fn take(&mut self, limits: &Limits, now: Instant) -> Vec<Waiting<Item, Answer>> {
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        while let Some(next) = self.waiting.front() {
            let is_awaited = next.end > now && !next.answer.is_closed();
            let fits = batch.is_empty() || bytes.saturating_add(next.bytes) <= limits.bytes;
            if is_awaited && (!fits || batch.len() >= limits.items.max(1)) {
                break;
            }
            let next = self.waiting.pop_front().expect("it was seen above");
            if is_awaited {
                bytes = bytes.saturating_add(next.bytes);
                batch.push(next);
            }
        }
        batch
    }
}

impl<Item, Answer> Gather<Item, Answer>
where
    Item: std::marker::Send + 'static,
    Answer: std::marker::Send + 'static,
{
    pub(super) fn new(
        limits: Limits,
        send: impl Fn(Vec<Item>, Instant) -> BoxFuture<'static, Vec<Answer>>
        + std::marker::Send
        + Sync
        + 'static,
    ) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            batches: 0,
        };
        Self {
            limits,
            queue: Mutex::new(queue),
            send: Box::new(send),
        }
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        let queue = self.lock();
        queue.batches == 0 && queue.waiting.is_empty()
    }

    /// Has an item of so many bytes sent with others, and waits for its answer until `end`.
    pub(super) async fn ask(
        self: &Arc<Self>,
        item: Item,
        bytes: usize,
        end: Instant,
    ) -> Result<Answer, Missing> {
        let is_sent = Arc::new(AtomicBool::new(false));
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.lock();
            if queue.waiting.len() >= self.limits.waiting {
                return Err(Missing::Full);
            }
            queue.waiting.push_back(Waiting {
                item,
                bytes,
                end,
                is_sent: is_sent.clone(),
                answer,
            });
            if queue.batches < self.limits.batches.max(1) {
                queue.batches += 1;
                // Its first turn comes after those who are asking just now.
                let place = UnderWay {
                    gather: self.clone(),
                    is_back: false,
                };
                tokio::spawn(place.go_on());
            }
        }
        match timeout_at(end, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            _ if is_sent.load(Ordering::Acquire) => Err(Missing::Lost),
            _ => Err(Missing::NotSent),
        }
    }

    fn next_batch(&self) -> Option<Vec<Waiting<Item, Answer>>> {
        let mut queue = self.lock();
        let batch = queue.take(&self.limits, Instant::now());
        for waiting in &batch {
            waiting.is_sent.store(true, Ordering::Release);
        }
        // Under the lock: who asks after this sees that nobody would take its item along.
        if batch.is_empty() {
            queue.batches -= 1;
        }
        (!batch.is_empty()).then_some(batch)
    }

    async fn send(&self, batch: Vec<Waiting<Item, Answer>>) {
        let end = batch.iter().map(|waiting| waiting.end).max();
        let (items, callers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.item, waiting.answer))
            .unzip();
        let answers = (self.send)(items, end.unwrap_or_else(Instant::now)).await;
        for (caller, answer) in callers.into_iter().zip(answers) {
            // Whoever went away wants no answer.
            let _ = caller.send(answer);
        }
    }
}

impl<Item, Answer> Gather<Item, Answer> {
    fn lock(&self) -> MutexGuard<'_, Queue<Item, Answer>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one batch after the other; given back even if sending one panics.
struct UnderWay<Item, Answer> {
    gather: Arc<Gather<Item, Answer>>,
    /// It was given back when there was nothing left to send.
    is_back: bool,
}

impl<Item, Answer> UnderWay<Item, Answer>
where
    Item: std::marker::Send + 'static,
    Answer: std::marker::Send + 'static,
{
    async fn go_on(mut self) {
        while let Some(batch) = self.gather.next_batch() {
            self.gather.send(batch).await;
        }
        self.is_back = true;
    }
}

impl<Item, Answer> Drop for UnderWay<Item, Answer> {
    fn drop(&mut self) {
        if !self.is_back {
            self.gather.lock().batches -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

    /// Answers each number with its double, one batch for each permit, and notes the batches.
    struct Bench {
        gather: Arc<Gather<u32, u32>>,
        batches: Arc<Mutex<Vec<Vec<u32>>>>,
        permits: Arc<Semaphore>,
    }

    fn bench(limits: Limits) -> Bench {
        let batches: Arc<Mutex<Vec<Vec<u32>>>> = Arc::default();
        let permits = Arc::new(Semaphore::new(0));
        let (noted, allowed) = (batches.clone(), permits.clone());
        let gather = Gather::new(limits, move |items: Vec<u32>, _| {
            noted.lock().unwrap().push(items.clone());
            let allowed = allowed.clone();
            Box::pin(async move {
                allowed.acquire().await.unwrap().forget();
                assert!(!items.contains(&13), "a batch that panics");
                items.iter().map(|item| item * 2).collect()
            })
        });
        Bench {
            gather: Arc::new(gather),
            batches,
            permits,
        }
    }

    const LIMITS: Limits = Limits {
        items: 4,
        bytes: 100,
        batches: 1,
        waiting: 8,
    };

    impl Bench {
        fn ask(
            &self,
            calls: &mut JoinSet<(u32, Result<u32, Missing>)>,
            item: u32,
            bytes: usize,
            seconds: u64,
        ) {
            let gather = self.gather.clone();
            let end = Instant::now() + Duration::from_secs(seconds);
            calls.spawn(async move { (item, gather.ask(item, bytes, end).await) });
        }

        fn batches(&self) -> Vec<Vec<u32>> {
            self.batches.lock().unwrap().clone()
        }
    }

    async fn settle() {
        sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_while_one_is_under_way_goes_together_within_the_limits() {
        let bench = bench(LIMITS);
        let mut calls = JoinSet::new();
        bench.ask(&mut calls, 1, 10, 60);
        settle().await;
        // Sent at once, alone.
        assert_eq!(bench.batches(), [[1]]);
        for (item, bytes) in [
            (2, 10),
            (3, 10),
            (4, 10),
            (5, 10),
            (6, 60),
            (7, 60),
            (8, 500),
        ] {
            bench.ask(&mut calls, item, bytes, 60);
            settle().await;
        }
        assert_eq!(bench.batches().len(), 1);
        bench.permits.add_permits(99);
        while let Some(call) = calls.join_next().await {
            let (item, answer) = call.unwrap();
            assert_eq!(answer, Ok(item * 2));
        }
        assert_eq!(
            bench.batches(),
            [vec![1], vec![2, 3, 4, 5], vec![6], vec![7], vec![8]]
        );
        assert!(bench.gather.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_or_is_too_late_takes_only_its_own_along() {
        let bench = bench(LIMITS);
        let mut calls = JoinSet::new();
        bench.ask(&mut calls, 1, 10, 2);
        settle().await;
        let gone = tokio::spawn({
            let gather = bench.gather.clone();
            async move {
                gather
                    .ask(2, 10, Instant::now() + Duration::from_secs(60))
                    .await
            }
        });
        bench.ask(&mut calls, 3, 10, 1);
        bench.ask(&mut calls, 4, 10, 60);
        settle().await;
        gone.abort();
        sleep(Duration::from_secs(5)).await;
        bench.permits.add_permits(99);
        let mut answers = Vec::new();
        while let Some(call) = calls.join_next().await {
            answers.push(call.unwrap());
        }
        answers.sort_unstable_by_key(|(item, _)| *item);
        let expected = [
            (1, Err(Missing::Lost)),
            (3, Err(Missing::NotSent)),
            (4, Ok(8)),
        ];
        assert_eq!(answers, expected);
        assert_eq!(bench.batches(), [[1], [4]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_panics_gives_its_place_back() {
        let bench = bench(LIMITS);
        let mut calls = JoinSet::new();
        bench.permits.add_permits(99);
        bench.ask(&mut calls, 13, 10, 60);
        let (_, answer) = calls.join_next().await.unwrap().unwrap();
        assert_eq!(answer, Err(Missing::Lost));
        bench.ask(&mut calls, 14, 10, 60);
        let (_, answer) = calls.join_next().await.unwrap().unwrap();
        assert_eq!(answer, Ok(28));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_wait_and_no_more() {
        let bench = bench(LIMITS);
        let mut calls = JoinSet::new();
        bench.ask(&mut calls, 1, 10, 60);
        settle().await;
        for item in 2..11 {
            bench.ask(&mut calls, item, 10, 60);
            settle().await;
        }
        let (item, answer) = calls.join_next().await.unwrap().unwrap();
        assert_eq!((item, answer), (10, Err(Missing::Full)));
    }
}
