//! What a proposal may suffer on its way into the log, and how late it may be applied, where the
//! world asks for it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use ledger_domain::{Entry, Format, HybridTime};

use super::{Group, Proposed, Reign};
use crate::world::{Entropy, Mishap};

/// How late a proposer learns of a refusal: there is time for more proposals meanwhile.
const LATE: Duration = Duration::from_millis(200);

/// Where mishaps come from, if any do. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Luck(Arc<OnceLock<Arc<dyn Entropy>>>);

impl Luck {
    /// Waits for as long as the machine has no time.
    pub(super) async fn hold_up(&self) {
        let delay = self.0.get().map_or(Duration::ZERO, |luck| luck.hold_up());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

impl Group {
    /// From now on a world's bad luck befalls this replica too.
    pub fn expose_to(&self, luck: Arc<dyn Entropy>) {
        // Whoever was first stays.
        let _ = self.0.luck.0.set(luck);
    }

    pub(super) fn mishap(&self) -> Option<Mishap> {
        self.0.luck.0.get()?.mishap(self.shard())
    }

    pub(super) async fn suffer(
        &self,
        mishap: Mishap,
        reign: Reign,
        payload: Bytes,
        done: impl FnOnce(Proposed) + Send + 'static,
    ) {
        match mishap {
            Mishap::RefusedLate => {
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    done(Proposed::NeverAppended { leader: None });
                });
            }
            Mishap::AnswerLost => {
                let lost = move |_| done(Proposed::Unknown("the answer was lost".to_owned()));
                self.queue(reign, payload, lost).await;
            }
            Mishap::Twice => {
                self.queue(reign, payload.clone(), done).await;
                self.queue(reign, payload, |_| {}).await;
            }
            Mishap::AnotherEpoch => {
                let stray = stray(&payload);
                self.queue(reign, payload, done).await;
                if let Some(stray) = stray {
                    self.queue(reign, stray, |_| {}).await;
                }
            }
        }
    }
}

/// An entry that would follow another in every respect, were it not of another epoch.
fn stray(after: &Bytes) -> Option<Bytes> {
    let before = Entry::decode(after).ok()?;
    let entry = Entry {
        epoch: before.epoch + 1,
        time: HybridTime {
            wall_nanos: before.time.wall_nanos + 1,
            count: 0,
        },
        prev_hash: Entry::link(after),
        causes: Vec::new(),
        outcomes: Vec::new(),
        ..before
    };
    Some(entry.encode(Format::NEWEST))
}
