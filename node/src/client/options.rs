use std::{sync::Arc, time::Duration};

use replication::world::{Clock, Entropy, Network, SystemClock, SystemEntropy, TcpNetwork, World};

use super::{outliers, retry};

/// How a client behaves, and the world it is in.
#[derive(Clone)]
pub struct Options {
    /// The name that commands are recorded under. Keys are scoped to it.
    pub caller: String,
    /// How long a call may take, all its attempts together.
    pub deadline: Duration,
    /// How long one attempt may take. Shorter than the deadline, so that another node gets a turn.
    pub attempt: Duration,
    /// How long making a connection may take.
    pub connect: Duration,
    /// How soon to try again.
    pub retry: retry::Policy,
    /// How many retries may be under way or in quick succession, all calls together.
    pub budget: u32,
    /// The region that the caller is in: reads go to the nodes there. Without it, they go to those
    /// that answer soonest. Of meaning to a client that finds nodes by itself, as are the next two.
    pub region: Option<String>,
    /// How often to ask which nodes there are, and measure how near they are.
    pub rediscover: Duration,
    /// When a node is left alone for failing more than the others.
    pub outliers: outliers::Policy,
    /// Stamps first attempts.
    pub clock: Arc<dyn Clock>,
    /// Makes keys and jitter, and draws nodes.
    pub entropy: Arc<dyn Entropy>,
    /// Makes connections, and looks names up.
    pub network: Arc<dyn Network>,
}

impl Options {
    /// The defaults, in the operating system's world.
    pub fn new(caller: impl Into<String>) -> Self {
        Self {
            caller: caller.into(),
            deadline: Duration::from_secs(10),
            attempt: Duration::from_secs(3),
            connect: Duration::from_millis(1_000),
            retry: retry::Policy::default(),
            budget: 1_000,
            region: None,
            rediscover: Duration::from_secs(30),
            outliers: outliers::Policy::default(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            network: Arc::new(TcpNetwork),
        }
    }

    /// The defaults, in a given world.
    pub fn in_world(caller: impl Into<String>, world: &World) -> Self {
        Self {
            clock: world.clock.clone(),
            entropy: world.entropy.clone(),
            network: world.network.clone(),
            ..Self::new(caller)
        }
    }
}
