//! Consensus within a shard: openraft behind one facade.
//!
//! [`Group`] is one shard's replica and all that the rest of the program sees of Raft: it is
//! started over a log and a [`Machine`], says who leads, takes fenced proposals and serves read
//! indexes. [`Transport`] carries a group's calls to its peers, [`RaftService`] answers the peers'
//! calls for all groups of a node.
//!
//! openraft is named nowhere outside this room. Its interfaces change with every release; what
//! must not change is stated in the tests of the log store and of the group.

mod founding;
mod group;
mod leadership;
mod log_store;
mod machine;
mod mishap;
mod network;
mod options;
mod proposal;
mod retirement;
mod server;
mod snapshot;
mod succession;
pub(crate) mod types;
mod voters;
mod wire;

pub use founding::Witnesses;
pub use group::{Group, GroupError, GroupMetrics, ReadError, Role};
pub use leadership::{Leadership, Reign};
pub use log_store::LogStore;
pub use machine::{Content, Frozen, Machine, RecordId};
pub use network::{Stamp, Transport};
pub use options::{ENTRIES_BEFORE_SNAPSHOT, GroupOptions, Timing};
pub use proposal::Proposed;
pub use server::{ClockCheck, Groups, RaftService};
pub use snapshot::{SnapshotError, SnapshotTaken};
pub use types::{Applied, Term};
pub use voters::{Change, ChangeError, Members, Progress, Standing};
