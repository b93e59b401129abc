use std::collections::{BTreeMap, BTreeSet};

use super::{Disturbance, Way};

/// What is wrong with the links between hosts, derived from why.
#[derive(Debug, Default)]
pub(crate) struct Links {
    region_of: BTreeMap<String, String>,
    nodes: BTreeSet<String>,
    /// What is wrong, and how many times over.
    disturbances: BTreeMap<Disturbance, u32>,
    disturbed: BTreeMap<Link, Condition>,
}

/// Two hosts, by name, the smaller first.
pub(crate) type Link = (String, String);

/// How a link is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) flow: Flow,
    /// How much of a thousand pieces is lost.
    pub(crate) lost_per_mille: u16,
    pub(crate) slower_millis: u64,
}

/// What passes over a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    #[default]
    Open,
    /// Nothing yet.
    Held,
    /// Nothing from the first host to the second.
    CutForth,
    /// Nothing from the second host to the first.
    CutBack,
    Cut,
}

/// A link that changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) link: Link,
    pub(crate) before: Condition,
    pub(crate) after: Condition,
}

impl Links {
    /// Nodes talk to each other; clients only to nodes.
    pub(crate) fn add_host(&mut self, name: &str, region: &str, is_node: bool) -> Vec<Change> {
        if is_node {
            self.nodes.insert(name.to_owned());
        }
        let before = self.region_of.insert(name.to_owned(), region.to_owned());
        assert!(before.is_none(), "two hosts are named {name}");
        self.changes()
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.region_of
            .iter()
            .map(|(host, region)| (host.as_str(), region.as_str()))
    }

    pub(crate) fn region_of(&self, host: &str) -> &str {
        &self.region_of[host]
    }

    /// Something begins to be wrong, perhaps once more.
    pub(crate) fn disturb(&mut self, disturbance: &Disturbance) -> Vec<Change> {
        self.assert_known(disturbance);
        *self.disturbances.entry(disturbance.clone()).or_default() += 1;
        self.changes()
    }

    /// Something ends being wrong, once. What is not wrong cannot end.
    pub(crate) fn calm(&mut self, disturbance: &Disturbance) -> Vec<Change> {
        if let Some(times) = self.disturbances.get_mut(disturbance) {
            *times -= 1;
            if *times == 0 {
                self.disturbances.remove(disturbance);
            }
        }
        self.changes()
    }

    /// All is well again.
    pub(crate) fn calm_all(&mut self) -> Vec<Change> {
        self.disturbances.clear();
        self.changes()
    }

    fn assert_known(&self, disturbance: &Disturbance) {
        let has_region = |region: &String| {
            let is_known = self.region_of.values().any(|known| known == region);
            assert!(is_known, "no host is in a region {region}");
        };
        match disturbance {
            Disturbance::CutOff { region, .. } => has_region(region),
            Disturbance::Parted { regions } => regions.iter().for_each(has_region),
            Disturbance::Estranged { node } => {
                assert!(self.nodes.contains(node), "no node is named {node}");
            }
            Disturbance::Isolated { host, .. }
            | Disturbance::Held { host }
            | Disturbance::Lossy { host, .. }
            | Disturbance::Slow { host, .. } => {
                assert!(self.region_of.contains_key(host), "no host is named {host}");
            }
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        let wanted = self.conditions();
        let links: BTreeSet<&Link> = wanted.keys().chain(self.disturbed.keys()).collect();
        let at = |conditions: &BTreeMap<Link, Condition>, link| {
            conditions.get(link).copied().unwrap_or_default()
        };
        let changes = links
            .into_iter()
            .map(|link| Change {
                link: link.clone(),
                before: at(&self.disturbed, link),
                after: at(&wanted, link),
            })
            .filter(|change| change.before != change.after)
            .collect();
        self.disturbed = wanted;
        changes
    }

    /// Links that are not well.
    fn conditions(&self) -> BTreeMap<Link, Condition> {
        let mut conditions = BTreeMap::new();
        if self.disturbances.is_empty() {
            return conditions;
        }
        for a in self.region_of.keys() {
            for (b, _) in self.region_of.range(a.clone()..).skip(1) {
                let condition = self.condition(a, b);
                if condition != Condition::default() {
                    conditions.insert((a.clone(), b.clone()), condition);
                }
            }
        }
        conditions
    }

    fn condition(&self, a: &String, b: &String) -> Condition {
        let (region_a, region_b) = (&self.region_of[a], &self.region_of[b]);
        let (mut forth, mut back, mut is_held) = (false, false, false);
        let mut condition = Condition::default();
        let mut cut = |at_a: bool, at_b: bool, way: Way| {
            forth |= at_a && way.is_out() || at_b && way.is_in();
            back |= at_a && way.is_in() || at_b && way.is_out();
        };
        for disturbance in self.disturbances.keys() {
            match disturbance {
                Disturbance::CutOff { region, way } if region_a != region_b => {
                    cut(region == region_a, region == region_b, *way);
                }
                Disturbance::CutOff { .. } => {}
                Disturbance::Parted { regions } => {
                    let are = region_a != region_b
                        && regions.contains(region_a)
                        && regions.contains(region_b);
                    cut(are, are, Way::Both);
                }
                Disturbance::Isolated { host, way } => cut(host == a, host == b, *way),
                Disturbance::Estranged { node } => {
                    let are_nodes = self.nodes.contains(a) && self.nodes.contains(b);
                    cut(are_nodes && node == a, are_nodes && node == b, Way::Both);
                }
                Disturbance::Held { host } => is_held |= host == a || host == b,
                Disturbance::Lossy { host, per_mille } if host == a || host == b => {
                    condition.lost_per_mille = condition.lost_per_mille.max(*per_mille);
                }
                Disturbance::Slow { host, millis } if host == a || host == b => {
                    condition.slower_millis += millis;
                }
                Disturbance::Lossy { .. } | Disturbance::Slow { .. } => {}
            }
        }
        condition.flow = match (forth, back) {
            (true, true) => Flow::Cut,
            (true, false) => Flow::CutForth,
            (false, true) => Flow::CutBack,
            (false, false) if is_held => Flow::Held,
            (false, false) => Flow::Open,
        };
        condition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_off(region: &str) -> Disturbance {
        let region = region.to_owned();
        Disturbance::CutOff {
            region,
            way: Way::Both,
        }
    }

    fn isolated(host: &str, way: Way) -> Disturbance {
        let host = host.to_owned();
        Disturbance::Isolated { host, way }
    }

    /// The links that changed, as `a-b`, with what passes now.
    fn flows(changes: &[Change]) -> Vec<(String, Flow)> {
        changes
            .iter()
            .map(|change| {
                let (a, b) = &change.link;
                (format!("{a} {b}"), change.after.flow)
            })
            .collect()
    }

    fn flow(link: &str, flow: Flow) -> (String, Flow) {
        (link.to_owned(), flow)
    }

    fn two_regions() -> Links {
        let mut links = Links::default();
        for (host, region) in [("eu-1", "eu"), ("eu-2", "eu"), ("us-1", "us")] {
            assert_eq!(links.add_host(host, region, true), []);
        }
        links
    }

    #[test]
    fn a_region_that_is_cut_off_keeps_its_inner_links() {
        let mut links = two_regions();
        let cut = [flow("eu-1 us-1", Flow::Cut), flow("eu-2 us-1", Flow::Cut)];
        assert_eq!(flows(&links.disturb(&cut_off("eu"))), cut);
        assert_eq!(links.disturb(&cut_off("eu")), []);
        assert_eq!(links.calm(&cut_off("eu")), [], "it was cut off twice");
        assert_eq!(links.calm(&cut_off("eu")).len(), 2);
    }

    #[test]
    fn a_link_heals_only_when_the_last_reason_ends() {
        let mut links = two_regions();
        links.disturb(&cut_off("eu"));
        let alone = isolated("eu-1", Way::Both);
        assert_eq!(
            flows(&links.disturb(&alone)),
            [flow("eu-1 eu-2", Flow::Cut)]
        );
        assert_eq!(
            flows(&links.calm(&cut_off("eu"))),
            [flow("eu-2 us-1", Flow::Open)]
        );
        let healed = [flow("eu-1 eu-2", Flow::Open), flow("eu-1 us-1", Flow::Open)];
        assert_eq!(flows(&links.calm(&alone)), healed);
    }

    #[test]
    fn a_host_added_to_a_cut_off_region_is_cut_off_too() {
        let mut links = two_regions();
        links.disturb(&cut_off("us"));
        let added = links.add_host("us-2", "us", true);
        let cut = [flow("eu-1 us-2", Flow::Cut), flow("eu-2 us-2", Flow::Cut)];
        assert_eq!(flows(&added), cut);
    }

    #[test]
    fn an_estranged_node_is_still_heard_by_clients() {
        let mut links = two_regions();
        links.add_host("atm", "eu", false);
        let node = "eu-1".to_owned();
        let changes = links.disturb(&Disturbance::Estranged { node });
        let cut = [flow("eu-1 eu-2", Flow::Cut), flow("eu-1 us-1", Flow::Cut)];
        assert_eq!(flows(&changes), cut);
    }

    #[test]
    fn a_way_is_seen_from_whom_it_befalls() {
        let mut links = two_regions();
        let changes = links.disturb(&isolated("eu-2", Way::Out));
        let cut = [
            flow("eu-1 eu-2", Flow::CutBack),
            flow("eu-2 us-1", Flow::CutForth),
        ];
        assert_eq!(flows(&changes), cut);
        let changes = links.disturb(&isolated("us-1", Way::Out));
        let cut = [
            flow("eu-1 us-1", Flow::CutBack),
            flow("eu-2 us-1", Flow::Cut),
        ];
        assert_eq!(flows(&changes), cut);
    }

    #[test]
    fn slowness_adds_up_and_what_is_cut_is_not_held() {
        let mut links = two_regions();
        for host in ["eu-1", "us-1"] {
            let host = host.to_owned();
            links.disturb(&Disturbance::Slow { host, millis: 7 });
        }
        let host = "eu-1".to_owned();
        let changes = links.disturb(&Disturbance::Held { host });
        let to_us = &changes[1];
        assert_eq!(
            (to_us.after.flow, to_us.after.slower_millis),
            (Flow::Held, 14)
        );
        let changes = links.disturb(&cut_off("us"));
        assert_eq!(changes[0].after.flow, Flow::Cut);
        assert_eq!(links.calm_all().len(), 3);
    }
}
