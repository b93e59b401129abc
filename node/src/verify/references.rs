//! References: each stands for one account at a time, and nobody else's is released.

use std::collections::BTreeMap;

use ledger_domain::AccountId;

use super::stored::{self, Read, ledger};

/// Whose each reference is, by its digest.
#[derive(Default)]
pub(super) struct References {
    pub(super) held: BTreeMap<Vec<u8>, AccountId>,
}

impl References {
    pub(super) fn claim(&mut self, event: &ledger::ReferenceClaimed) -> Read<()> {
        let account = stored::account(&event.account)?;
        let digest = digest(&event.digest)?;
        has_type(event.r#type)?;
        match self.held.insert(digest, account) {
            Some(holder) if holder != account => Err(format!(
                "a reference that stands for {holder} is claimed for {account}"
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn release(&mut self, event: &ledger::ReferenceReleased) -> Read<()> {
        let account = stored::account(&event.account)?;
        has_type(event.r#type)?;
        match self.held.remove(&digest(&event.digest)?) {
            Some(holder) if holder == account => Ok(()),
            _ => Err(format!(
                "a reference of {account} is released that is not its"
            )),
        }
    }
}

/// Reads the references of a stored book.
pub(super) fn stored(part: &ledger::BookReferences) -> Read<Vec<(Vec<u8>, AccountId)>> {
    let rows = part.rows.iter();
    rows.map(|row| Ok((digest(&row.digest)?, stored::account(&row.account)?)))
        .collect()
}

fn digest(bytes: &[u8]) -> Read<Vec<u8>> {
    match bytes.len() {
        16 => Ok(bytes.to_vec()),
        length => Err(format!("a reference has {length} bytes instead of 16")),
    }
}

fn has_type(number: i32) -> Read<()> {
    match ledger::ReferenceType::try_from(number) {
        Ok(known) if known != ledger::ReferenceType::Unspecified => Ok(()),
        _ => Err(format!("a reference of type {number}, which there is not")),
    }
}
