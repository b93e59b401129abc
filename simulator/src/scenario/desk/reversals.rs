//! What was paid, moved back: all of it or a part, by several people at once.

use node::api::v1::CommandContext;
use rand::{Rng, rngs::SmallRng, seq::IteratorRandom};

use super::{Desk, journals::leg};
use crate::history::{Name, Outcome, Request};

impl Desk {
    /// Tells everybody of something that was paid, and counts what is moved back.
    pub(super) fn note_paid(&self, request: &Request, context: &CommandContext, outcome: &Outcome) {
        let pays = matches!(
            request.bare(),
            Request::Deposit { .. } | Request::Withdraw { .. } | Request::Transfer { .. }
        );
        if let Request::Reverse { .. } = request.bare() {
            match outcome {
                Outcome::Accepted { .. } => self.lobby.note_aside("reversals"),
                Outcome::Rejected { .. } => self.lobby.note_aside("reversals refused"),
                _ => {}
            }
        }
        if let (true, Outcome::Accepted { position, .. }) = (pays, outcome)
            && let Some((_, id)) = position.split_once(' ')
        {
            let (key, id) = (context.idempotency_key.clone(), id.to_owned());
            let name = Name { key, id };
            self.lobby.note_paid(request.bare().clone(), name);
        }
    }

    /// A reversal of something that somebody has paid lately. `None` where nobody has.
    pub(crate) fn reversing(&mut self, rng: &mut SmallRng) -> Option<Request> {
        let paid = self.lobby.paid.borrow();
        let (request, original) = paid.iter().choose(rng).cloned()?;
        drop(paid);
        let (from, to, amount) = match request {
            Request::Deposit { account, amount } => (Some(account), None, amount),
            Request::Withdraw { account, amount } => (None, Some(account), amount),
            Request::Transfer {
                payer,
                payee,
                amount,
            } => (Some(payee), Some(payer), amount),
            _ => return None,
        };
        let bank = &self.lobby.bank;
        // Either of the two who paid and were paid.
        let account = match (&from, &to) {
            // Where what went far was decided.
            (Some(from), Some(to)) if bank.home(from) != bank.home(to) => to,
            (Some(from), Some(to)) => {
                if rng.random_bool(0.5) {
                    from
                } else {
                    to
                }
            }
            (None, Some(only)) | (Some(only), None) => only,
            (None, None) => return None,
        };
        let account = account.clone();
        let part = rng.random_range(1..=amount + 1);
        let is_part = rng.random_bool(0.6);
        let legs = match (&from, &to) {
            (Some(from), Some(to)) if bank.home(from) != bank.home(to) => {
                vec![leg(to.clone(), part), leg(from.clone(), -part)]
            }
            _ => Vec::new(),
        };
        let reversal = Request::Reverse {
            account,
            original,
            from,
            to,
            amount: (is_part || !legs.is_empty()).then_some(part),
            legs,
        };
        let request = match rng.random_bool(0.2) {
            true => Request::Forced {
                request: Box::new(reversal),
            },
            false => reversal,
        };
        Some(match rng.random_bool(0.2) {
            true => self.provided(request, rng),
            false => request,
        })
    }
}
