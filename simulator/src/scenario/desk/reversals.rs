//! What was paid, moved back: all of it or a part, by several people at once. Journals are moved back
//! whole.

use node::api::v1::CommandContext;
use rand::{Rng, rngs::SmallRng, seq::IteratorRandom};

use super::{Desk, journals::leg};
use crate::history::{Leg, Name, Outcome, Request};

impl Desk {
    /// Tells everybody of something that was paid, and counts what is moved back.
    pub(super) fn note_paid(&self, request: &Request, context: &CommandContext, outcome: &Outcome) {
        let pays = matches!(
            request.bare(),
            Request::Deposit { .. } | Request::Withdraw { .. } | Request::Transfer { .. }
        );
        if request.reverses_a_journal() {
            match outcome {
                Outcome::Accepted { .. } => self.lobby.note_aside("reversals of journals"),
                Outcome::Rejected { .. } => self.lobby.note_aside("reversals of journals refused"),
                _ => {}
            }
        } else if let Request::Reverse { .. } = request.bare() {
            match outcome {
                Outcome::Accepted { .. } => self.lobby.note_aside("reversals"),
                Outcome::Rejected { .. } => self.lobby.note_aside("reversals refused"),
                _ => {}
            }
        }
        let is_journal = matches!(request.bare(), Request::Journal { .. });
        if let (true, Outcome::Accepted { position, .. }) = (pays || is_journal, outcome)
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
        self.back(request, original, rng)
    }

    /// The same, of journals too; and it is asked for twice as a rule: parts that may come to more
    /// than there was, or what is moved back already.
    pub(crate) fn reversing_more(&mut self, rng: &mut SmallRng) -> Vec<Request> {
        let is_journal = rng.random_bool(0.5);
        let of = match is_journal {
            true => self.lobby.journals.borrow(),
            false => self.lobby.paid.borrow(),
        };
        let Some((request, original)) = of.iter().choose(rng).cloned() else {
            return Vec::new();
        };
        drop(of);
        let times = 1 + u8::from(rng.random_bool(0.7));
        let back = (0..times).filter_map(|_| match is_journal {
            true => self.opposite(&request, original.clone(), rng),
            false => self.back(request.clone(), original.clone(), rng),
        });
        back.collect()
    }

    /// What moves a journal back.
    fn opposite(&self, journal: &Request, original: Name, rng: &mut SmallRng) -> Option<Request> {
        let bank = &self.lobby.bank;
        let first = bank.home(journal.named_first());
        // Any of its accounts that are at home where it was decided.
        let own = journal.legs().iter().filter(|leg| leg.house.is_none());
        let own = own.filter(|leg| bank.home(&leg.account) == first);
        let account = own.choose(rng)?.account.clone();
        let legs = journal.legs().iter().map(|leg| Leg {
            units: -leg.units,
            ..leg.clone()
        });
        let reversal = Request::Reverse {
            account,
            original,
            from: None,
            to: None,
            amount: None,
            legs: legs.collect(),
        };
        Some(self.perhaps_forced(reversal, rng))
    }

    /// What moves a payment back, or a part of it.
    fn back(&self, request: Request, original: Name, rng: &mut SmallRng) -> Option<Request> {
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
        Some(self.perhaps_forced(reversal, rng))
    }

    fn perhaps_forced(&self, reversal: Request, rng: &mut SmallRng) -> Request {
        let request = match rng.random_bool(0.2) {
            true => Request::Forced {
                request: Box::new(reversal),
            },
            false => reversal,
        };
        match rng.random_bool(0.2) {
            true => self.provided(request, rng),
            false => request,
        }
    }
}
