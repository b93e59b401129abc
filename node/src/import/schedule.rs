//! Which transfers may be sent now: a pure plan.
//!
//! A debit of an account with a limit could be refused if it overtook a credit that the books have
//! above it. So it waits until all earlier credits to that account are settled. That is enough:
//! whatever debits have been decided, the one that stands last in the books waited for every credit
//! above it, so the balance is never below what the books had at that line. Accounts without a
//! limit take debits in any order, and credits never wait.

use std::collections::{BTreeMap, VecDeque};

/// Payer and payee of one transfer, as numbers of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// The account debited.
    pub from: usize,
    /// The account credited.
    pub to: usize,
}

/// The transfers not yet sent, numbered in the order of the books.
#[derive(Debug)]
pub struct Schedule {
    ready: VecDeque<usize>,
    gates: BTreeMap<usize, Gate>,
    /// For each transfer, where it stands among the credits to an account with a gate.
    credits: Vec<Option<(usize, usize)>>,
}

/// What an account with a limit lets through.
#[derive(Debug, Default)]
struct Gate {
    /// For each credit, in order, whether it is settled.
    settled: Vec<bool>,
    /// How many are settled without a gap.
    prefix: usize,
    /// Debits that wait, in order, each with the number of credits above it.
    waiting: VecDeque<(usize, usize)>,
}

impl Schedule {
    /// Plans transfers between accounts, of which those with `limited[account]` have a limit.
    pub fn new(legs: &[Leg], limited: &[bool]) -> Self {
        let mut plan = Self {
            ready: VecDeque::new(),
            gates: BTreeMap::new(),
            credits: Vec::with_capacity(legs.len()),
        };
        for (transfer, leg) in legs.iter().enumerate() {
            let gate = plan
                .gates
                .get_mut(&leg.from)
                .filter(|gate| !gate.settled.is_empty());
            match gate {
                Some(gate) => gate.waiting.push_back((transfer, gate.settled.len())),
                None => plan.ready.push_back(transfer),
            }
            plan.credits.push(limited[leg.to].then(|| {
                let gate = plan.gates.entry(leg.to).or_default();
                gate.settled.push(false);
                (leg.to, gate.settled.len() - 1)
            }));
        }
        plan
    }

    /// The next transfer that waits for nothing.
    pub fn take_ready(&mut self) -> Option<usize> {
        self.ready.pop_front()
    }

    /// Notes that a transfer is settled, and so lets go of what waited for it.
    pub fn settled(&mut self, transfer: usize) {
        let Some((account, credit)) = self.credits[transfer] else {
            return;
        };
        let gate = self.gates.get_mut(&account).expect("a credit has a gate");
        gate.settled[credit] = true;
        while gate.settled.get(gate.prefix) == Some(&true) {
            gate.prefix += 1;
        }
        while let Some(&(debit, above)) = gate.waiting.front()
            && above <= gate.prefix
        {
            gate.waiting.pop_front();
            self.ready.push_back(debit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accounts: 0 and 1 have no limit, 2 and 3 have one.
    const LIMITED: [bool; 4] = [false, false, true, true];

    fn plan(legs: &[(usize, usize)]) -> Schedule {
        let legs: Vec<_> = legs.iter().map(|&(from, to)| Leg { from, to }).collect();
        Schedule::new(&legs, &LIMITED)
    }

    fn ready(plan: &mut Schedule) -> Vec<usize> {
        std::iter::from_fn(|| plan.take_ready()).collect()
    }

    /// Transfers, and what may be sent: at once, and after each settlement in turn.
    type Case = (
        &'static [(usize, usize)],
        &'static [usize],
        &'static [(usize, &'static [usize])],
    );

    #[test]
    fn what_waits_as_a_table() {
        let cases: &[Case] = &[
            // Accounts without a limit wait for nothing, even back and forth.
            (&[(0, 1), (1, 0), (0, 1)], &[0, 1, 2], &[(1, &[]), (0, &[])]),
            // Credits of an account with a limit do not wait either.
            (&[(0, 2), (1, 2)], &[0, 1], &[]),
            // A debit waits for the credits above it, and only those.
            (&[(0, 2), (2, 0), (0, 2)], &[0, 2], &[(2, &[]), (0, &[1])]),
            // For all of them, in whatever order they settle.
            (&[(0, 2), (1, 2), (2, 0)], &[0, 1], &[(1, &[]), (0, &[2])]),
            // A debit with no credit above it is the ledger's to refuse.
            (&[(2, 0), (0, 2)], &[0, 1], &[]),
            // Debits do not wait for each other; a later one waits for more.
            (
                &[(0, 2), (2, 0), (2, 1), (0, 2), (2, 0)],
                &[0, 3],
                &[(0, &[1, 2]), (3, &[4])],
            ),
            // A payment between two accounts with limits is a debit and a credit.
            (&[(0, 2), (2, 3), (3, 0)], &[0], &[(0, &[1]), (1, &[2])]),
            // Accounts do not wait for one another.
            (
                &[(0, 2), (0, 3), (2, 0), (3, 0)],
                &[0, 1],
                &[(1, &[3]), (0, &[2])],
            ),
        ];
        for (legs, at_once, then) in cases {
            let mut plan = plan(legs);
            assert_eq!(ready(&mut plan), *at_once, "{legs:?}");
            for (settled, released) in *then {
                plan.settled(*settled);
                assert_eq!(ready(&mut plan), *released, "{legs:?} after {settled}");
            }
        }
    }

    #[test]
    fn everything_is_sent_once_in_the_end() {
        let legs: Vec<_> = (0..500)
            .map(|i| (i * 7 % 4, (i * 7 + 1 + i % 3) % 4))
            .collect();
        let mut plan = plan(&legs);
        let mut sent: Vec<usize> = Vec::new();
        let mut under_way = Vec::new();
        loop {
            let batch = ready(&mut plan);
            sent.extend(&batch);
            under_way.extend(batch);
            // The newest settles first: the least friendly order.
            let Some(transfer) = under_way.pop() else {
                break;
            };
            plan.settled(transfer);
        }
        sent.sort_unstable();
        assert_eq!(sent, (0..500).collect::<Vec<_>>());
    }
}
