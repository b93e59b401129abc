//! Asks a node as monitoring does, and reads the answer strictly.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The status and body of an answer to a GET.
pub async fn get(address: &str, path: &str) -> (u16, String) {
    let (status, _, body) = ask(address, "GET", path).await;
    (status, body)
}

/// Status, head and body of an answer.
pub async fn ask(address: &str, method: &str, path: &str) -> (u16, String, String) {
    let asking = ask_patiently(address, method, path);
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    let answer = answer.unwrap_or_else(|_| panic!("{path} is not answered"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

async fn ask_patiently(address: &str, method: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Asks until an answer is as wanted.
pub async fn until(address: &str, path: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
    let mut last = (0, String::new());
    let asking = async {
        loop {
            last = get(address, path).await;
            if wanted(last.0, &last.1) {
                return last.1.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(body) => body,
        Err(_) => panic!("{path} stays at {last:?}"),
    }
}

/// Labels of a series, by name.
pub type Labels = BTreeMap<String, String>;

/// One scrape.
#[derive(Debug)]
pub struct Scraped {
    /// The kind of each family, by its name.
    pub kinds: BTreeMap<String, String>,
    pub series: BTreeMap<(String, Labels), f64>,
}

impl Scraped {
    pub async fn of(address: &str) -> Self {
        let (status, head, body) = ask(address, "GET", "/metrics").await;
        assert_eq!(status, 200);
        let content = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert!(head.contains(content), "{head}");
        Self::parse(&body)
    }

    /// Scrapes until a page is as wanted.
    pub async fn until(address: &str, wanted: impl Fn(&Self) -> bool) -> Self {
        let asking = async {
            loop {
                let scraped = Self::of(address).await;
                if wanted(&scraped) {
                    return scraped;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(scraped) => scraped,
            Err(_) => panic!("it does not come: {:#?}", Self::of(address).await.series),
        }
    }

    /// The value of a series; labels are written `a=1,b=2`.
    pub fn get(&self, name: &str, labels: &str) -> Option<f64> {
        let pairs = labels.split(',').filter(|pair| !pair.is_empty());
        let labels = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        let key = (name.to_owned(), labels.collect());
        self.series.get(&key).copied()
    }

    /// The same, where it must be there.
    pub fn value(&self, name: &str, labels: &str) -> f64 {
        let found = self.get(name, labels);
        found.unwrap_or_else(|| panic!("no {name}{{{labels}}} in {:#?}", self.series))
    }

    /// Reads a page, and panics at whatever is not as the OpenMetrics format has it: each family
    /// in one piece under its help and type, no series twice, histograms that add up.
    pub fn parse(page: &str) -> Self {
        let mut scraped = Self {
            kinds: BTreeMap::new(),
            series: BTreeMap::new(),
        };
        let body = page.strip_suffix("# EOF\n").expect("a page has an end");
        let mut family = String::new();
        for line in body.lines() {
            if let Some(described) = line.strip_prefix("# ") {
                let (what, rest) = described.split_once(' ').unwrap();
                let (name, text) = rest.split_once(' ').unwrap();
                match what {
                    "HELP" => {
                        assert!(!text.is_empty(), "{line}");
                        family = name.to_owned();
                    }
                    "TYPE" => {
                        assert_eq!(name, family);
                        let known = scraped.kinds.insert(family.clone(), text.to_owned());
                        assert_eq!(known, None, "{family} comes in two pieces");
                    }
                    "UNIT" => {
                        assert_eq!(name, family);
                        assert!(family.ends_with(&format!("_{text}")), "{line}");
                    }
                    _ => panic!("{line}"),
                }
                continue;
            }
            let (key, value) = sample(line);
            let suffix = key.0.strip_prefix(&family);
            let suffix = suffix.unwrap_or_else(|| panic!("{line} is not of {family}"));
            let suffixes: &[_] = match &scraped.kinds[&family][..] {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_count", "_sum"],
                kind => panic!("{kind} of {family}"),
            };
            assert!(suffixes.contains(&suffix), "{line}");
            assert!(
                suffix.is_empty() || suffix == "_sum" || value >= 0.0,
                "{line}"
            );
            let known = scraped.series.insert(key, value);
            assert_eq!(known, None, "{line} stands twice");
        }
        scraped.histograms_add_up();
        scraped
    }

    fn histograms_add_up(&self) {
        let mut buckets: BTreeMap<(String, Labels), BTreeMap<u64, f64>> = BTreeMap::new();
        for ((name, labels), value) in &self.series {
            let Some(base) = name.strip_suffix("_bucket") else {
                continue;
            };
            let mut labels = labels.clone();
            let bound = match labels.remove("le").expect("a bucket has a bound").as_str() {
                "+Inf" => f64::INFINITY,
                bound => bound.parse().unwrap(),
            };
            let of = buckets.entry((base.to_owned(), labels)).or_default();
            // The bits of floats that are not negative sort as they do.
            assert_eq!(of.insert(bound.to_bits(), *value), None);
        }
        for ((base, labels), buckets) in buckets {
            let counts: Vec<_> = buckets.values().copied().collect();
            assert!(counts.is_sorted(), "{base}: {counts:?}");
            let (last, all) = buckets.last_key_value().unwrap();
            assert_eq!(f64::from_bits(*last), f64::INFINITY, "{base}");
            let count = (format!("{base}_count"), labels.clone());
            assert_eq!(self.series[&count], *all, "{base}");
            assert!(self.series.contains_key(&(format!("{base}_sum"), labels)));
        }
    }
}

fn sample(line: &str) -> ((String, Labels), f64) {
    let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}').expect(line)),
    };
    let is_name = |name: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        name.bytes().all(legal) && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    assert!(is_name(name) && !name.is_empty(), "{line}");
    let mut read = Labels::new();
    let mut names = BTreeSet::new();
    // No value of ours has a quote or a comma in it.
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').expect(line);
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        let value = value.unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(name) && !value.contains(['"', '\\']), "{line}");
        assert!(names.insert(name.to_owned()), "{line}");
        read.insert(name.to_owned(), value.to_owned());
    }
    ((name.to_owned(), read), value)
}
