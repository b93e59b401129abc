//! What a caller makes a command depend on.

use crate::{
    Action, Code, HoldAction, Moved, Party, Rejection,
    hold::{Payee, Status},
    state::State,
};

/// What must hold of the account that a command names first, or the command is refused.
///
/// Conditions are looked at before anything else: a command that was made for another state of its
/// account is told so, whatever else speaks against it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The account's version before the command; 0 for an account that is not there.
    pub version: Option<u64>,
    /// The least that may be posted after the command, in minor units of the account's currency.
    pub minimum: Option<i64>,
    /// The most that may be posted after it.
    pub maximum: Option<i64>,
}

impl Conditions {
    /// Refuses an action whose conditions do not hold. What else would stop it is not looked at.
    pub(crate) fn check(&self, state: &impl State, action: &Action) -> Result<(), Rejection> {
        if *self == Self::default() {
            return Ok(());
        }
        let account = state.account(&action.account());
        let version = account.map_or(0, |account| account.version);
        if let Some(expected) = self.version.filter(|expected| *expected != version) {
            let figures = [version, expected].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
            return Err(Rejection::new(Code::VersionMismatch, figures));
        }
        let Some(account) = account else {
            return Ok(());
        };
        // What leaves 64 bits is refused as that.
        let effect = effect(state, action);
        let Some(after) = effect.and_then(|effect| account.posted.checked_add(effect)) else {
            return Ok(());
        };
        let refuse = |code, bound| Err(Rejection::new(code, [after, bound]));
        match (self.minimum, self.maximum) {
            (Some(minimum), _) if after < minimum => refuse(Code::BalanceBelowMinimum, minimum),
            (_, Some(maximum)) if after > maximum => refuse(Code::BalanceAboveMaximum, maximum),
            _ => Ok(()),
        }
    }
}

/// What an action adds to the booked sum of the account that it names first; `None` beyond 64 bits.
fn effect(state: &impl State, action: &Action) -> Option<i64> {
    Some(match action {
        Action::Hold {
            account,
            action: HoldAction::Capture { hold, money, .. },
        } => {
            let number = state.hold_placed_by(hold);
            let hold = number.and_then(|number| state.hold(number));
            let open = hold.filter(|it| it.account == *account && it.status == Status::Open);
            let rest = open.map_or(0, |hold| hold.rest());
            -money.map_or(rest, |(_, amount)| amount.minor_units())
        }
        Action::Deposit { amount, .. } => amount.minor_units(),
        Action::Close {
            account,
            sweep: Some(_),
        } => state
            .account(account)
            .map_or(0, |swept| -swept.posted.max(0)),
        Action::ClearSuspense {
            owner,
            put,
            to: Payee::Account { to, .. },
        } if to == owner => {
            let item = state.suspended(put).filter(|item| item.owner == *owner);
            item.map_or(0, |item| item.amount.minor_units())
        }
        Action::Reverse {
            account,
            original,
            moved: Some(moved),
            money,
        } if moved.has_arrived(state) => {
            let rest = moved.rest(state.reversed(original));
            let units = money.map_or(rest, |(_, amount)| amount.minor_units());
            match &**moved {
                Moved::Payment(moved) => match &moved.payer {
                    Party::Account(payer) if payer == account => units,
                    _ => -units,
                },
                // Whole, or not at all.
                Moved::Journal(moved) if rest > 0 && money.is_none() => {
                    return moved.effect_of_reversal(account);
                }
                Moved::Journal(_) => 0,
            }
        }
        Action::Journal { legs, .. } => return legs.effect_on(&legs.account()),
        Action::Withdraw { amount, .. } | Action::Transfer { amount, .. } => -amount.minor_units(),
        Action::Open { .. }
        | Action::Close { .. }
        | Action::Hold { .. }
        | Action::Freeze { .. }
        | Action::Unfreeze { .. }
        | Action::SetLimit { .. }
        | Action::SetSpendingLimit { .. }
        | Action::ClearSuspense { .. }
        | Action::Reverse { .. }
        | Action::ClaimReference { .. }
        | Action::ReleaseReference { .. }
        | Action::Customer { .. }
        | Action::Consumer { .. }
        | Action::CloseDay { .. } => 0,
    })
}
