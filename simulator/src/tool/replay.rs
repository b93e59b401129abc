//! A run as a page that a person can read: a time line of nodes, who leads, what breaks, and what
//! clients ask. One file, with nothing to fetch.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::scenario::Report;

const PAGE: &str = include_str!("page.html");
/// Under which the driver of a run writes to the trace.
const DRIVER: &str = "world";
/// Libraries have much to say; a page keeps what is ours.
const LIBRARIES: [&str; 2] = [" openraft::", " hyper::"];

/// A bar on the time line: its kind, host, lane, how many lanes there are, from and to in seconds,
/// and what it says.
type Bar = (&'static str, usize, u32, u32, f64, f64, String);

#[derive(Debug, Default, Serialize)]
struct Data<'a> {
    verdict: String,
    failed: bool,
    seconds: f64,
    hosts: Vec<String>,
    bars: Vec<Bar>,
    lines: Vec<&'a str>,
}

/// The page of a run, from the lines of its trace.
///
/// # Errors
///
/// When the page cannot be written as JSON.
pub fn page(report: &Report, lines: &[String]) -> serde_json::Result<String> {
    let mut reader = Reader::default();
    for line in lines {
        reader.read(line);
    }
    let data = reader.finish(report, lines);
    // In a script, the end of a script must not be seen.
    let json = serde_json::to_string(&data)?.replace("</", "<\\/");
    let page = PAGE.replace("@SEED@", &report.seed.to_string());
    Ok(page.replace("@DATA@", &json))
}

#[derive(Default)]
struct Reader {
    hosts: BTreeMap<String, usize>,
    names: Vec<String>,
    bars: Vec<Bar>,
    /// Since when a node is down.
    down: BTreeMap<String, f64>,
    /// Who leads which shard, since when.
    leads: BTreeMap<u32, (String, f64)>,
    /// Requests that are open: who asked what, when.
    asked: BTreeMap<String, (String, f64, String)>,
    seconds: f64,
}

impl Reader {
    fn read(&mut self, line: &str) {
        let mut words = line.trim_start().splitn(3, ' ');
        let (Some(nanos), Some(host), Some(event)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let Ok(nanos) = nanos.parse() else {
            return;
        };
        let at = Duration::from_nanos(nanos).as_secs_f64();
        self.seconds = self.seconds.max(at);
        match host {
            DRIVER => self.read_driver(at, event),
            "-" => {}
            host => self.read_host(at, host, event),
        }
    }

    fn read_driver(&mut self, at: f64, event: &str) {
        let ends = [
            "heal",
            "join",
            "rejoin",
            "reconcile",
            "release",
            "start",
            "peace",
            "hurry",
        ];
        let ends = ends.iter().any(|word| event.starts_with(word)) || event.contains(" nothing ");
        let kind = if ends { "mended" } else { "fault" };
        let place = self.place(DRIVER);
        self.bars
            .push((kind, place, 0, 1, at, at, format!("{at:.3} s: {event}")));
        for word in ["power cut ", "kill ", "lose the disk of "] {
            if let Some(node) = event.strip_prefix(word) {
                self.goes_down(at, node);
            }
        }
        let failed = event.strip_prefix("the power of ");
        if let Some(node) = failed.and_then(|rest| rest.strip_suffix(" has failed")) {
            self.goes_down(at, node);
        }
    }

    fn goes_down(&mut self, at: f64, node: &str) {
        self.place(node);
        self.down.entry(node.to_owned()).or_insert(at);
        let led: Vec<u32> = self
            .leads
            .iter()
            .filter(|(_, (leader, _))| leader == node)
            .map(|(shard, _)| *shard)
            .collect();
        for shard in led {
            self.ends_leading(at, shard);
        }
    }

    fn ends_leading(&mut self, at: f64, shard: u32) {
        if let Some((leader, since)) = self.leads.remove(&shard) {
            let place = self.place(&leader);
            let lane = shard.saturating_sub(1) % 8;
            let says = format!("{leader} leads shard {shard}, {since:.3} to {at:.3} s");
            self.bars.push(("leads", place, lane, 8, since, at, says));
        }
    }

    fn read_host(&mut self, at: f64, host: &str, event: &str) {
        let place = self.place(host);
        if event.starts_with("boot ")
            && let Some(since) = self.down.remove(host)
        {
            let says = format!("{host} is down, {since:.3} to {at:.3} s");
            self.bars.push(("down", place, 0, 1, since, at, says));
        }
        if event.starts_with("ERROR ") {
            self.bars
                .push(("help", place, 0, 1, at, at, format!("{at:.3} s: {event}")));
        }
        if event.contains("this node leads the shard")
            && let Some(shard) = after(event, "shard=")
        {
            self.ends_leading(at, shard);
            self.leads.insert(shard, (host.to_owned(), at));
        }
        if let Some((id, wish)) = event.split_once(" asks ") {
            let asked = (host.to_owned(), at, wish.to_owned());
            self.asked.insert(id.to_owned(), asked);
        }
        if let Some((id, told)) = event.split_once(" is told ")
            && let Some((_, _, wish)) = self.asked.get(id)
        {
            let kind = match told.split([' ', '(']).next() {
                Some("Accepted") if wish.starts_with("Transfer") => "transfer",
                Some("Accepted") => "accepted",
                Some("Rejected") => "rejected",
                Some("Balance") => "read",
                _ => return,
            };
            self.answered(id, kind, at, told);
        }
    }

    fn answered(&mut self, id: &str, kind: &'static str, at: f64, told: &str) {
        if let Some((host, since, wish)) = self.asked.remove(id) {
            let place = self.place(&host);
            let says = format!("request {id}, {since:.3} to {at:.3} s: {wish}: {told}");
            self.bars.push((kind, place, 0, 1, since, at, says));
        }
    }

    /// The row of a host.
    fn place(&mut self, host: &str) -> usize {
        if let Some(place) = self.hosts.get(host) {
            return *place;
        }
        let place = self.names.len();
        self.hosts.insert(host.to_owned(), place);
        self.names.push(host.to_owned());
        place
    }

    fn finish<'a>(mut self, report: &Report, lines: &'a [String]) -> Data<'a> {
        let end = self.seconds;
        let shards: Vec<u32> = self.leads.keys().copied().collect();
        shards
            .into_iter()
            .for_each(|shard| self.ends_leading(end, shard));
        for (node, since) in std::mem::take(&mut self.down) {
            let place = self.place(&node);
            let says = format!("{node} is down from {since:.3} s on");
            self.bars.push(("down", place, 0, 1, since, end, says));
        }
        let open: Vec<String> = self.asked.keys().cloned().collect();
        for id in open {
            self.answered(&id, "unknown", end, "nothing");
        }
        self.sort_hosts();
        let is_ours = |line: &&str| !LIBRARIES.iter().any(|library| line.contains(library));
        Data {
            verdict: match &report.failure {
                Some(failure) => failure.clone(),
                None => format!("every promise held for {end:.3} s"),
            },
            failed: report.failure.is_some(),
            seconds: end,
            hosts: self.names,
            bars: self.bars,
            lines: lines.iter().map(String::as_str).filter(is_ours).collect(),
        }
    }

    /// The driver first, then the others by name.
    fn sort_hosts(&mut self) {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by_key(|place| (self.names[*place] != DRIVER, self.names[*place].clone()));
        let mut place_of = vec![0; order.len()];
        for (place, old) in order.iter().enumerate() {
            place_of[*old] = place;
        }
        for bar in &mut self.bars {
            bar.1 = place_of[bar.1];
        }
        self.names = order.iter().map(|old| self.names[*old].clone()).collect();
    }
}

/// The number after a word.
fn after(event: &str, word: &str) -> Option<u32> {
    let (_, rest) = event.split_once(word)?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_begin_and_end_with_what_the_trace_says() {
        let lines = [
            "1000000000 eu-1 INFO replication this node leads the shard shard=2 term=1",
            "1500000000 anna 7 asks Deposit { account: \"a\", amount: 1 }",
            "2000000000 world power cut eu-1",
            "3000000000 eu-1 boot 2",
            "3500000000 anna 7 is told Accepted { position: \"2:1:3\" }",
        ];
        let mut reader = Reader::default();
        lines.iter().for_each(|line| reader.read(line));
        let place = |name: &str| reader.hosts[name];
        let bars: Vec<_> = reader.bars.iter().map(|b| (b.0, b.1, b.4, b.5)).collect();
        let expected = [
            ("fault", place("world"), 2.0, 2.0),
            ("leads", place("eu-1"), 1.0, 2.0),
            ("down", place("eu-1"), 2.0, 3.0),
            ("accepted", place("anna"), 1.5, 3.5),
        ];
        assert_eq!(bars, expected);
        assert!(reader.leads.is_empty() && reader.down.is_empty() && reader.asked.is_empty());
    }
}
