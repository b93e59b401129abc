//! Workloads that do nothing but try to be shown one thing that must not be seen. Their names are
//! those under which Jepsen made them known.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Client, Habits};

/// Something that must not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anomaly {
    /// Money that comes or goes while it is only moved about.
    Bank,
    /// Two writes that some see in one order, and others in the other.
    LongFork,
    /// A write without one that was over before it began.
    CausalReverse,
    /// A session that goes back.
    Monotonic,
}

impl Anomaly {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Bank,
        Self::LongFork,
        Self::CausalReverse,
        Self::Monotonic,
    ];

    /// What a person calls its workload, and its judge.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bank => "bank",
            Self::LongFork => "long-fork",
            Self::CausalReverse => "causal-reverse",
            Self::Monotonic => "monotonic",
        }
    }

    /// Sets all clients upon it, each where it is: every other one writes, the rest looks.
    pub fn set_upon(self, clients: &mut [Client]) {
        for (number, client) in clients.iter_mut().enumerate() {
            let role = match number % 2 {
                0 => Role::Writes,
                _ => Role::Looks,
            };
            client.habits = Habits {
                hunts: Some(Hunt {
                    anomaly: self,
                    role,
                }),
                far_nodes: 2,
                gives_up: 0,
                ..Habits::default()
            };
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no workload has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no workload of this name: bank, long-fork, causal-reverse or monotonic")]
pub struct UnknownAnomaly;

impl FromStr for Anomaly {
    type Err = UnknownAnomaly;

    fn from_str(name: &str) -> Result<Self, UnknownAnomaly> {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.name() == name).ok_or(UnknownAnomaly)
    }
}

/// A client's part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hunt {
    /// What is looked for.
    pub anomaly: Anomaly,
    /// What this client does.
    pub role: Role,
}

/// What a client does for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It writes.
    Writes,
    /// It looks.
    Looks,
}
