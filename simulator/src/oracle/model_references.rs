//! References, on the same page.

use super::Bank;

/// An account's text begins with its region.
fn region(account: &str) -> &str {
    account.split_once('.').map_or("", |(region, _)| region)
}

impl<'a> Bank<'a> {
    /// Why a reference cannot stand for an account, or be taken from it.
    pub(super) fn against_reference(
        &self,
        account: &str,
        reference: &str,
        releases: bool,
    ) -> Option<&'static str> {
        let holder = self.references.get(&(region(account), reference)).copied();
        match (holder, releases) {
            (Some(holder), _) if holder == account => None,
            (None, false) => None,
            (Some(_), false) => Some("REFERENCE_TAKEN"),
            (_, true) => Some("REFERENCE_NOT_CLAIMED"),
        }
    }

    /// Lets a reference stand for an account, or for nobody. Nothing of the account is told with it.
    pub(super) fn refer(&mut self, account: &'a str, reference: &'a str, releases: bool) -> i64 {
        let place = (region(account), reference);
        match releases {
            false => self.references.insert(place, account),
            true => self.references.remove(&place),
        };
        0
    }
}

#[cfg(test)]
#[path = "model_references_tests.rs"]
mod tests;
