//! What the nodes of a region that keep copies tell of them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    cluster::{PATIENCE, Region},
    processes::HOME,
    scrape::Scraped,
};

/// Where the copies are.
pub const FAR: Region = Region {
    name: "far",
    time_zone: "UTC",
    nodes: 3,
};

/// A node, by where it tells its metrics.
pub struct Reader(pub String);

impl Reader {
    async fn copy(&self, metric: &str, link: &str) -> f64 {
        let scraped = Scraped::of(&self.0).await;
        let labels = format!("shard=1,home={}{link}", HOME.name);
        scraped.get(metric, &labels).unwrap_or_default()
    }

    /// The last index of the home's shard, on a node of the home.
    pub async fn applied(&self) -> u64 {
        let scraped = Scraped::of(&self.0).await;
        scraped.value("meridian_raft_applied_index", "shard=1") as u64
    }

    /// Do all of them answer?
    pub async fn serves(readers: &[Self]) -> bool {
        for Self(address) in readers {
            if TcpStream::connect(address).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// How the copies of the home's shard fare in a region.
#[derive(Debug)]
pub struct Heard {
    /// Who hears the home, by place.
    pub nodes: Vec<usize>,
    pub indexes: Vec<u64>,
    across: u64,
    within: u64,
}

impl Heard {
    pub async fn of(readers: &[Reader]) -> Self {
        let mut heard = Self {
            nodes: Vec::new(),
            indexes: Vec::new(),
            across: 0,
            within: 0,
        };
        let bytes = "meridian_copy_received_bytes_total";
        for (place, reader) in readers.iter().enumerate() {
            if reader.copy("meridian_copy_hears_home", "").await == 1.0 {
                heard.nodes.push(place);
            }
            let index = reader.copy("meridian_copy_index", "").await;
            heard.indexes.push(index as u64);
            heard.across += reader.copy(bytes, ",link=across").await as u64;
            heard.within += reader.copy(bytes, ",link=within").await as u64;
        }
        heard
    }

    /// Waits until one node hears the home, and still does a while later; its place.
    pub async fn by_one(readers: &[Reader]) -> usize {
        until("one node hears the home", async || {
            let now = Self::of(readers).await.nodes;
            sleep(Duration::from_secs(3)).await;
            now.len() == 1 && now == Self::of(readers).await.nodes
        })
        .await;
        Self::of(readers).await.nodes[0]
    }

    /// The bytes that came since: across, and within the region.
    pub fn since(&self, before: &Self) -> [u64; 2] {
        [self.across - before.across, self.within - before.within]
    }
}

/// Waits until it is so.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < 2 * PATIENCE, "not so: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Nodes whose copies are looked at all the time, for as long as this is kept.
pub struct Watched(Vec<(News, JoinHandle<()>)>);

/// When an index was seen to be new.
type News = Arc<Mutex<Vec<Instant>>>;

impl Watched {
    pub fn start(readers: &[Reader]) -> Self {
        let watch = |Reader(address): &Reader| {
            let news = News::default();
            let (reader, seen) = (Reader(address.clone()), news.clone());
            let looking = tokio::spawn(async move {
                let mut last = 0.0;
                loop {
                    let index = reader.copy("meridian_copy_index", "").await;
                    if index > last {
                        last = index;
                        seen.lock().unwrap().push(Instant::now());
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            });
            (news, looking)
        };
        Self(readers.iter().map(watch).collect())
    }

    /// The longest time since a moment, and up to now, without anything new, of each node.
    pub fn pauses(&self, since: Instant) -> Vec<Duration> {
        let pause = |(news, _): &(News, _)| {
            let mut times = news.lock().unwrap().clone();
            times.push(Instant::now());
            let after = times.partition_point(|at| *at < since).max(1) - 1;
            let pairs = times[after..].windows(2);
            pairs
                .map(|pair| pair[1] - pair[0])
                .max()
                .unwrap_or_default()
        };
        self.0.iter().map(pause).collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.iter().for_each(|(_, looking)| looking.abort());
    }
}
