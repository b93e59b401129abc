//! Decides for whom references stand.

use super::Scribe;
use crate::{Code, Event, Rejection, reference::Claim, state::State};

impl<S: State> Scribe<'_, S> {
    /// Lets a reference stand for an account that no other has, also where it does already.
    pub(super) fn claim_reference(&mut self, claim: Claim) -> Result<(), Rejection> {
        match self.state.reference(&claim.digest) {
            Some(holder) if holder != claim.account => Err(Code::ReferenceTaken.into()),
            _ => {
                self.happened(Event::ReferenceClaimed(claim));
                Ok(())
            }
        }
    }

    /// Lets a reference of an account stand for nobody.
    pub(super) fn release_reference(&mut self, claim: Claim) -> Result<(), Rejection> {
        if self.state.reference(&claim.digest) != Some(claim.account) {
            return Err(Code::ReferenceNotClaimed.into());
        }
        self.happened(Event::ReferenceReleased(claim));
        Ok(())
    }
}
