//! A ledger lost with all its disks, and another one in its place.

use std::path::Path;

use super::Cluster;

impl Cluster {
    /// The directory that all nodes' data directories are in, each of its node's name.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// The topology's file.
    pub fn topology_file(&self) -> std::path::PathBuf {
        self.dir.path().join("topology.toml")
    }

    /// Stops all nodes and loses their disks. The topology is another ledger's from now on; the regions'
    /// secrets are what they were.
    pub async fn lose_everything(&mut self, new_ledger: &str) {
        for id in self.ids() {
            self.stop(id).await;
            std::fs::remove_dir_all(self.data(self.node(id))).unwrap();
        }
        self.topology.ledger = new_ledger.to_owned();
        let text = toml::to_string(&self.topology).unwrap();
        std::fs::write(self.topology_file(), text).unwrap();
    }

    /// Starts all nodes, and waits until every one serves all regions.
    pub async fn start_all(&mut self) {
        for id in self.ids() {
            self.begin(id);
        }
        for id in self.ids() {
            self.ready(id).await;
        }
    }
}
