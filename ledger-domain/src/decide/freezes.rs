//! Freezing, thawing, and what a freeze stops.

use super::{Scribe, after, journals::no_journals};
use crate::{
    AccountId, Code, Event, Freeze, HouseCode, Rejection,
    event::ChannelItem,
    freeze::{Blocks, FreezeType},
    state::State,
};

impl<S: State> Scribe<'_, S> {
    pub(super) fn freeze(&mut self, id: &AccountId, freeze: &Freeze) -> Result<(), Rejection> {
        let account = self.open_account(id)?;
        if !freeze.is_in_force(self.now_ms) {
            let figures = [freeze.until_ms.unwrap_or(0), self.now_ms]
                .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
            return Err(Rejection::new(Code::FreezeOver, figures));
        }
        if account.accepted != 0 && freeze.blocks != Blocks::Debits {
            // What was accepted is posted, whatever comes after.
            no_journals(&account)?;
        }
        self.happened(Event::AccountFrozen {
            after: after(*id, &account, 0),
            freeze: freeze.clone(),
        });
        Ok(())
    }

    pub(super) fn unfreeze(&mut self, id: &AccountId, kind: FreezeType) -> Result<(), Rejection> {
        let account = self.open_account(id)?;
        let freezes = self.state.freezes(id);
        if freezes.in_force(self.now_ms).all(|it| it.kind != kind) {
            return Err(Rejection::new(Code::NotFrozen, [kind as i64]));
        }
        self.happened(Event::AccountThawed {
            after: after(*id, &account, 0),
            kind,
        });
        Ok(())
    }

    /// Refuses what a freeze stops: a movement in a direction, or with [`Blocks::All`] anything.
    pub(super) fn freeze_check(&self, id: &AccountId, what: Blocks) -> Result<(), Rejection> {
        self.state.freezes(id).check(what, self.now_ms)
    }

    /// Whether a credit that a freeze stops is kept in suspense. Where that has no room for it, it
    /// goes back like any other.
    pub(super) fn keeps(&self, item: &ChannelItem, rejection: &Rejection) -> bool {
        let units = item.amount.minor_units();
        rejection.code == Code::AccountFrozen
            && self
                .state
                .freezes(&item.payee)
                .keeps_what_arrives(self.now_ms)
            && self.due_from_check(item).is_ok()
            && self
                .house_check(&HouseCode::Suspense, item.currency, units)
                .is_ok()
    }
}
