//! What a proposal may suffer on its way into the log, where the world asks for it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ledger_domain::{Entry, Format, HybridTime};

use super::{Group, Proposed, Reign};
use crate::world::{Entropy, Mishap};

/// How late a proposer learns of a refusal: there is time for more proposals meanwhile.
const LATE: Duration = Duration::from_millis(200);

impl Group {
    /// From now on a world's bad luck befalls this replica's proposals too.
    pub fn expose_to(&self, luck: Arc<dyn Entropy>) {
        // Whoever was first stays.
        let _ = self.0.luck.set(luck);
    }

    pub(super) fn mishap(&self) -> Option<Mishap> {
        self.0.luck.get()?.mishap(self.shard())
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
