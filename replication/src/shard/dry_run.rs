use ledger_domain::{
    Command, GuardedClock, HybridTime, InFlight, Outcome, Overlay, Position, decide_together,
    expire,
};

use super::{CannotRead, Shard};

/// What would have become of a command.
#[derive(Debug)]
pub struct DryRun<T> {
    /// What the caller made of the outcome, and of the state after it.
    pub answer: T,
    /// The place after which it would have been decided.
    pub position: Position,
    /// The time at which it would have been decided.
    pub time: HybridTime,
}

impl Shard {
    /// Decides a command, or a group, as the next entry would, and forgets it: nothing is proposed, no key is
    /// looked up or taken. Rests, like a strong read, on everything acknowledged before the call
    /// and on nothing that is still in flight.
    pub async fn dry_run<T>(
        &self,
        command: &Command,
        rest: &[Command],
        read: impl FnOnce(Vec<Outcome>, &Overlay<'_>) -> T,
    ) -> Result<DryRun<T>, CannotRead> {
        let ((answer, time), position) = self
            .strong(|book| {
                let mut clock = GuardedClock::new(book.time(), self.clock_bound);
                let time = clock.now(self.clock.wall_nanos());
                let mut in_flight = InFlight::default();
                in_flight.begin();
                let mut state = in_flight.above(book);
                // As in an entry: what has expired by then is over.
                expire(&mut state, time.wall_nanos, usize::MAX);
                let at = self.rules.circumstances(time, book.epoch());
                let outcomes = decide_together(&mut state, &at, command, rest);
                (read(outcomes, &state), time)
            })
            .await?;
        Ok(DryRun {
            answer,
            position,
            time,
        })
    }
}
