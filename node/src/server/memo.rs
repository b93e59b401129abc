//! Memos, opened where they may be read.

use ledger_domain::{Event, Outcome, Sealed, TransactionId};
use replication::{shard::entry_at, topology::Directory as _};

use super::Server;

impl Server {
    /// The memo of a transaction by its id, where this region may read it.
    pub(super) fn memo(&self, transaction: TransactionId) -> String {
        let entry = entry_at(&self.hub, transaction.position).ok().flatten();
        let ordinal = usize::try_from(transaction.ordinal).unwrap_or(usize::MAX);
        entry
            .and_then(|entry| Some(self.memo_in(entry.outcomes.get(ordinal)?)))
            .unwrap_or_default()
    }

    /// The memo of an outcome, where this region may read it.
    pub(super) fn memo_in(&self, outcome: &Outcome) -> String {
        let region = self.directory.topology().region(&self.region);
        let key = region.map(|region| self.secrets.domain_key(&region.domain));
        let opened = key
            .zip(sealed(outcome))
            .and_then(|(key, sealed)| key.open(sealed).ok());
        opened.unwrap_or_default()
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
