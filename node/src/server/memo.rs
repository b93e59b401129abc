//! Memos, opened where they may be read.

use ledger_domain::{Event, Outcome, Sealed};
use replication::topology::Directory as _;

use super::Server;

impl Server {
    /// The memo of an outcome, where this region may read it.
    pub(super) fn memo_in(&self, outcome: &Outcome) -> String {
        let sealed = sealed(outcome);
        sealed
            .map(|sealed| self.unsealed(sealed))
            .unwrap_or_default()
    }

    /// What was sealed, where this region may read it.
    pub(super) fn unsealed(&self, sealed: &Sealed) -> String {
        let region = self.directory.topology().region(&self.region);
        let key = region.map(|region| self.secrets.domain_key(&region.domain));
        key.and_then(|key| key.open(sealed).ok())
            .unwrap_or_default()
    }
}

fn sealed(outcome: &Outcome) -> Option<&Sealed> {
    if let Some(command) = &outcome.command {
        return command.info.memo.as_ref();
    }
    let events = outcome.result.as_deref().ok()?;
    events.iter().find_map(|event| match event {
        Event::TransferReceived { memo, .. } | Event::TransferSuspended { memo, .. } => {
            memo.as_ref()
        }
        _ => None,
    })
}
