use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tonic::Code;

use super::lines::Peers;
use super::presence::{Presence, Sighting, Witness};
use crate::proto::AttendRequest;
use crate::proto::raft_client::RaftClient;

/// How soon a peer that is not there is called again.
const AGAIN: Duration = Duration::from_millis(200);
/// How soon a peer that does not know the call is asked again: it may be upgraded meanwhile.
const LATER: Duration = Duration::from_secs(5);

/// Who is there, by node.
#[derive(Default)]
pub(super) struct Attendance(Mutex<BTreeMap<u64, Attended>>);

#[derive(Default)]
struct Attended {
    witness: Witness,
    /// Whether a task keeps a call under way.
    called: bool,
}

/// Whether a peer's process is there, from now on.
pub struct Watch(watch::Receiver<Sighting>);

impl Watch {
    /// What is known now.
    pub fn presence(&self) -> Presence {
        self.0.borrow().presence
    }

    /// Resolves when the peer's process has ended.
    pub async fn gone(&mut self) {
        let gone = |seen: &Sighting| seen.presence == Presence::Gone;
        if self.0.wait_for(gone).await.is_err() {
            // Nobody can tell any more.
            std::future::pending().await
        }
    }
}

impl Attendance {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Attended>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where connections to a node report.
    pub(super) fn witness(&self, node: u64) -> Witness {
        self.lock().entry(node).or_default().witness.clone()
    }
}

impl Peers {
    /// Whether a peer's process is there, as far as its connections tell.
    pub fn presence(&self, node: u64) -> Presence {
        self.attendance().witness(node).presence()
    }

    /// Watches whether a peer's process is there. For as long as anybody does, a call to it is
    /// under way, so that a connection stands whose end is noticed at once.
    pub fn watch(&self, node: u64) -> Watch {
        let mut attended = self.attendance().lock();
        let of_node = attended.entry(node).or_default();
        let watch = Watch(of_node.witness.watch());
        if !of_node.called {
            of_node.called = true;
            tokio::spawn(attend(self.clone(), node, of_node.witness.clone()));
        }
        watch
    }

    /// Ends the calls to a node, unless somebody has begun to watch it meanwhile.
    fn is_attended_no_more(&self, node: u64) -> bool {
        let mut attended = self.attendance().lock();
        let of_node = attended.entry(node).or_default();
        of_node.called = of_node.witness.is_watched();
        !of_node.called
    }
}

/// Keeps a call to a peer under way until nobody watches it.
async fn attend(peers: Peers, node: u64, witness: Witness) {
    loop {
        tokio::select! {
            biased;
            () = witness.unwatched() => if peers.is_attended_no_more(node) { return },
            () = call(&peers, node, &witness) => {}
        }
    }
}

/// Calls once, until the call ends, and waits as long as is right before the next.
async fn call(peers: &Peers, node: u64, witness: &Witness) {
    let Ok(line) = peers.line(node) else {
        return tokio::time::sleep(AGAIN).await;
    };
    let ended = RaftClient::new(line.channel())
        .attend(AttendRequest {})
        .await;
    let pause = match ended {
        Err(status) if status.code() == Code::Unimplemented => LATER,
        // Whether it has only hung up or is gone, the next call tells: at once.
        _ if witness.presence() == Presence::HungUp => Duration::ZERO,
        Err(_) => {
            peers.suspect(&line);
            AGAIN
        }
        Ok(_) => AGAIN,
    };
    tokio::time::sleep(pause).await;
}
