//! `docs/metrics.md`, and the files for Prometheus in `deploy`, say what the code says.
//!
//! After a change of the metrics, `WRITE_DOCS=1` before the command of this test writes the page
//! anew.

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::PathBuf};

use node::config::Config;
use replication::metrics::{Buckets, Kind, Metric};

use super::scrape::Scraped;
use crate::running::{config, free_address, start_with};

const HEAD: &str = "\
# Metrics

What a node tells at `/metrics`, where its configuration names an address (`metrics_listen`), in the OpenMetrics text format
that Prometheus reads. Counters begin at zero when a node starts. Labels named `shard` and `peer` are numbers out of the
topology; `home` is the region in which a shard is decided. Which node and region a series is from is the scraping side's to
label; `deploy/prometheus.yml` does.

No label and no value tells of a customer.
";

const NODE: &str = "
## Requests, readiness and the machine

Declared in `node/src/metrics.rs`.
";

const REPLICATION: &str = "
## The log, consensus, channels, copies and views

Declared in `replication/src/metrics.rs`.
";

fn in_repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

fn all() -> impl Iterator<Item = &'static Metric> {
    let all = node::metrics::ALL.iter().chain(replication::metrics::ALL);
    all.copied()
}

fn table(page: &mut String, metrics: &[&Metric]) {
    page.push_str("\n| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for metric in metrics {
        let labels: Vec<_> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        let (name, kind) = (metric.name, metric.kind_name());
        let (labels, help) = (labels.join(", "), metric.help_text());
        writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
}

fn page() -> String {
    let mut page = format!("{HEAD}{NODE}");
    table(&mut page, node::metrics::ALL);
    page.push_str(REPLICATION);
    table(&mut page, replication::metrics::ALL);
    page
}

#[test]
fn the_page_of_metrics_says_what_the_code_says() {
    let path = in_repository("docs/metrics.md");
    if env::var_os("WRITE_DOCS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    let says = "docs/metrics.md is old: run this test with WRITE_DOCS=1";
    assert_eq!(written, page(), "{says}");
}

/// Words of a text that could be names of series.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("meridian_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn every_series_that_an_alert_rests_on_is_declared() {
    let alerts = fs::read_to_string(in_repository("deploy/alerts.yml")).unwrap();
    let named = names(&alerts);
    assert!(named.len() >= 10, "{named:?}");
    for name in named {
        assert!(all().any(|metric| metric.has_series(name)), "{name}");
    }
    let scraped = fs::read_to_string(in_repository("deploy/prometheus.yml")).unwrap();
    assert!(scraped.contains("alerts.yml"));
}

#[test]
fn names_are_as_prometheus_recommends() {
    let names: BTreeSet<_> = all().map(|metric| metric.name).collect();
    assert_eq!(names.len(), all().count(), "a name stands twice");
    for metric in all() {
        let Metric { name, kind, .. } = metric;
        let ours = name.starts_with("meridian_") || name.starts_with("process_");
        assert!(ours, "{name}");
        let is_counter = *kind == Kind::Counter;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        if let Kind::Histogram(buckets) = kind {
            assert!(buckets.bounds().is_sorted(), "{name}");
            let is_time = matches!(buckets, Buckets::Micros(_));
            assert_eq!(metric.unit() == Some("seconds"), is_time, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scraped_is_declared_and_what_is_declared_is_scraped() {
    let data = tempfile::tempdir().unwrap();
    let listen = free_address();
    let node = start_with(Config {
        metrics_listen: Some(listen.clone()),
        ..config(data.path())
    })
    .await;
    let scraped = Scraped::of(&listen).await;
    let told: BTreeSet<_> = scraped
        .kinds
        .iter()
        .map(|(name, kind)| (name.as_str(), kind.as_str()))
        .collect();
    let declared: BTreeSet<_> = all().map(|m| (m.family(), m.kind_name())).collect();
    assert_eq!(told, declared);
    for (series, labels) in scraped.series.keys() {
        let metric = all().find(|metric| metric.has_series(series)).unwrap();
        let names = labels.keys().map(String::as_str);
        let names: BTreeSet<_> = names.filter(|name| *name != "le").collect();
        assert_eq!(names, metric.labels.iter().copied().collect(), "{series}");
    }
    node.stop().await;
}
