use std::collections::{BTreeMap, BTreeSet};

/// Which hosts cannot talk to each other, derived from why. A link may be cut for several reasons
/// and heals only when the last of them ends.
#[derive(Debug, Default)]
pub(super) struct Links {
    region_of: BTreeMap<String, String>,
    nodes: BTreeSet<String>,
    estranged_nodes: BTreeSet<String>,
    cut_off_regions: BTreeSet<String>,
    isolated_hosts: BTreeSet<String>,
    cut: BTreeSet<Link>,
}

/// Two hosts, by name, the smaller first.
pub(super) type Link = (String, String);

/// What must change at the links after the reasons have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) to_cut: Vec<Link>,
    pub(super) to_heal: Vec<Link>,
}

impl Links {
    /// Nodes talk to each other; clients only to nodes.
    pub(super) fn add_host(&mut self, name: &str, region: &str, is_node: bool) -> Changes {
        set(&mut self.nodes, name, is_node);
        let before = self.region_of.insert(name.to_owned(), region.to_owned());
        assert!(before.is_none(), "two hosts are named {name}");
        self.changes()
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.region_of
            .iter()
            .map(|(host, region)| (host.as_str(), region.as_str()))
    }

    pub(super) fn set_region_cut_off(&mut self, region: &str, is_cut_off: bool) -> Changes {
        assert!(
            self.region_of.values().any(|known| known == region),
            "no host is in a region {region}"
        );
        set(&mut self.cut_off_regions, region, is_cut_off);
        self.changes()
    }

    pub(super) fn set_host_isolated(&mut self, host: &str, is_isolated: bool) -> Changes {
        assert!(self.region_of.contains_key(host), "no host is named {host}");
        set(&mut self.isolated_hosts, host, is_isolated);
        self.changes()
    }

    pub(super) fn is_host_isolated(&self, host: &str) -> bool {
        self.isolated_hosts.contains(host)
    }

    pub(super) fn set_node_estranged(&mut self, node: &str, is_estranged: bool) -> Changes {
        assert!(self.nodes.contains(node), "no node is named {node}");
        set(&mut self.estranged_nodes, node, is_estranged);
        self.changes()
    }

    fn changes(&mut self) -> Changes {
        let wanted = self.links_to_be_cut();
        let changes = Changes {
            to_cut: wanted.difference(&self.cut).cloned().collect(),
            to_heal: self.cut.difference(&wanted).cloned().collect(),
        };
        self.cut = wanted;
        changes
    }

    fn links_to_be_cut(&self) -> BTreeSet<Link> {
        let mut cut = BTreeSet::new();
        for (a, region_a) in &self.region_of {
            for (b, region_b) in self.region_of.range(a.clone()..).skip(1) {
                let is_cut_by_region = region_a != region_b
                    && [region_a, region_b]
                        .iter()
                        .any(|region| self.cut_off_regions.contains(*region));
                let are_estranged = [a, b].iter().all(|host| self.nodes.contains(*host))
                    && [a, b]
                        .iter()
                        .any(|host| self.estranged_nodes.contains(*host));
                if is_cut_by_region
                    || are_estranged
                    || self.is_host_isolated(a)
                    || self.is_host_isolated(b)
                {
                    cut.insert((a.clone(), b.clone()));
                }
            }
        }
        cut
    }
}

fn set(members: &mut BTreeSet<String>, name: &str, is_member: bool) {
    if is_member {
        members.insert(name.to_owned());
    } else {
        members.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(a: &str, b: &str) -> Link {
        (a.to_owned(), b.to_owned())
    }

    fn two_regions() -> Links {
        let mut links = Links::default();
        for (host, region) in [("eu-1", "eu"), ("eu-2", "eu"), ("us-1", "us")] {
            assert_eq!(links.add_host(host, region, true), Changes::default());
        }
        links
    }

    #[test]
    fn a_region_that_is_cut_off_keeps_its_inner_links() {
        let mut links = two_regions();
        let changes = links.set_region_cut_off("eu", true);
        assert_eq!(changes.to_cut, [link("eu-1", "us-1"), link("eu-2", "us-1")]);
        assert_eq!(links.set_region_cut_off("eu", true), Changes::default());
    }

    #[test]
    fn a_link_heals_only_when_the_last_reason_ends() {
        let mut links = two_regions();
        links.set_region_cut_off("eu", true);
        let isolated = links.set_host_isolated("eu-1", true);
        assert_eq!(isolated.to_cut, [link("eu-1", "eu-2")]);
        let healed = links.set_region_cut_off("eu", false);
        assert_eq!(healed.to_heal, [link("eu-2", "us-1")]);
        let rejoined = links.set_host_isolated("eu-1", false);
        assert_eq!(
            rejoined.to_heal,
            [link("eu-1", "eu-2"), link("eu-1", "us-1")]
        );
    }

    #[test]
    fn a_host_added_to_a_cut_off_region_is_cut_off_too() {
        let mut links = two_regions();
        links.set_region_cut_off("us", true);
        let changes = links.add_host("us-2", "us", true);
        assert_eq!(changes.to_cut, [link("eu-1", "us-2"), link("eu-2", "us-2")]);
    }

    #[test]
    fn an_estranged_node_is_still_heard_by_clients() {
        let mut links = two_regions();
        links.add_host("atm", "eu", false);
        let changes = links.set_node_estranged("eu-1", true);
        assert_eq!(changes.to_cut, [link("eu-1", "eu-2"), link("eu-1", "us-1")]);
        let changes = links.set_node_estranged("eu-1", false);
        assert_eq!(
            changes.to_heal,
            [link("eu-1", "eu-2"), link("eu-1", "us-1")]
        );
    }
}
