//! A cluster whose topology changes while it runs.

use std::net::TcpListener;

use super::{Channel, Cluster, Gate, LogInReach, Node, topology};

impl Cluster {
    /// A new topology, for whoever is started from now on.
    pub fn reshape(&mut self, shape: impl FnOnce(&mut topology::Topology)) {
        shape(&mut self.topology);
        let text = toml::to_string(&self.topology).unwrap();
        std::fs::write(self.dir.path().join("topology.toml"), text).unwrap();
        self.gate = Gate::new(&self.topology);
    }

    /// One more node in a region, with an empty disk, known to whoever is started from now on, and
    /// with a place for the region's shard. It does not run yet.
    pub fn add_node(&mut self, region: &str) -> u64 {
        let sockets = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, metrics] = sockets.map(|it| it.local_addr().unwrap().to_string());
        let id = self.nodes.iter().map(|node| node.id).max().unwrap() + 1;
        let ordinal = self.nodes.iter().filter(|node| node.region == region);
        let name = format!("{region}-{}", ordinal.count() + 1);
        let node = topology::Node {
            id,
            name: name.clone(),
            region: region.parse().unwrap(),
            address: address.clone(),
        };
        self.reshape(|topology| {
            topology.nodes.push(node);
            let mut shards = topology.shards.iter_mut();
            let home = shards.find(|shard| shard.region.as_str() == region);
            home.unwrap().replicas.push(id);
        });
        self.logs.insert(id, LogInReach::default());
        self.nodes.push(Node {
            id,
            name,
            region: region.to_owned(),
            channel: Channel::from_shared(format!("http://{address}"))
                .unwrap()
                .connect_lazy(),
            address,
            metrics,
            running: None,
        });
        id
    }

    /// Stops every running node and starts it again, one after the other.
    pub async fn restart_in_turn(&mut self) {
        let running = self.nodes.iter().filter(|node| node.running.is_some());
        for id in running.map(|node| node.id).collect::<Vec<_>>() {
            self.stop(id).await;
            self.restart(id).await;
        }
    }

    /// A node's machine is gone, and its disk with it.
    pub async fn lose(&mut self, id: u64) {
        self.stop(id).await;
        std::fs::remove_dir_all(self.data(self.node(id))).unwrap();
    }
}
