//! What of a share was told and is not acknowledged.

use std::collections::VecDeque;

use ledger_domain::consumer::Cursor;

use crate::api::{events::v1::Event, v1::Time};

/// An event that was told and is not acknowledged.
#[derive(Default)]
pub(super) struct InFlight {
    /// Zero until it is told again.
    pub(super) number: u64,
    /// How often it was told.
    pub(super) attempts: u32,
    /// How often itself was refused: not what came before it.
    pub(super) refusals: u32,
    pub(super) event: Event,
    /// Up to where all is acknowledged with it.
    pub(super) after: Cursor,
    pub(super) text: String,
    pub(super) true_at: Option<Time>,
    pub(super) staleness_bound_ms: u64,
}

/// What was told and is not acknowledged, in order, and up to where all before it is.
pub(super) struct Window {
    pub(super) events: VecDeque<InFlight>,
    pub(super) acknowledged: Cursor,
    next: u64,
}

impl Window {
    pub(super) fn new(acknowledged: Cursor) -> Self {
        Self {
            events: VecDeque::new(),
            acknowledged,
            next: 0,
        }
    }

    /// Takes note that there is nothing up to a place.
    pub(super) fn nothing_until(&mut self, after: Cursor) {
        match self.events.back_mut() {
            Some(last) => last.after = after,
            None => self.acknowledged = after,
        }
    }

    /// Numbers an event that is told now.
    pub(super) fn tell(&mut self, place: usize) -> Option<&InFlight> {
        let it = self.events.get_mut(place)?;
        self.next += 1;
        it.number = self.next;
        it.attempts += 1;
        Some(it)
    }

    /// Where the event of a number is: one that was told, and is not void nor acknowledged.
    pub(super) fn place(&self, number: u64) -> Option<usize> {
        let found = self.events.iter().position(|it| it.number == number);
        found.filter(|_| number > 0)
    }

    /// The first so many are acknowledged.
    pub(super) fn pass(&mut self, count: usize) {
        for it in self.events.drain(..count.min(self.events.len())) {
            self.acknowledged = it.after;
        }
    }

    /// The first is refused, and all that was told is void. How often it was by now.
    pub(super) fn refuse(&mut self) -> u32 {
        for it in &mut self.events {
            it.number = 0;
        }
        self.events.front_mut().map_or(0, |first| {
            first.refusals += 1;
            first.refusals
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: usize) -> Window {
        let mut window = Window::new(Cursor::new());
        window
            .events
            .extend((0..count).map(|_| InFlight::default()));
        for place in 0..count {
            window.tell(place);
        }
        window
    }

    #[test]
    fn what_comes_after_a_refused_event_keeps_its_own_retries() {
        let (mut window, retries) = (told(2), 3);
        for refused in 1..=retries {
            assert_eq!(window.refuse(), refused);
            assert!(window.tell(0).is_some() && window.tell(1).is_some());
        }
        let first = window.events[0].number;
        assert_eq!(window.place(first), Some(0));
        window.pass(1);
        assert_eq!(window.events[0].attempts, retries + 1);
        // The first's were used up: one more of its own parks it, and this is the second's first.
        assert_eq!(window.refuse(), 1);
    }

    #[test]
    fn what_is_void_has_no_number() {
        let mut window = told(2);
        let numbers: Vec<_> = window.events.iter().map(|it| it.number).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(window.place(0), None);
        window.refuse();
        for number in [0, 1, 2] {
            assert_eq!(window.place(number), None, "{number}");
        }
        window.tell(0);
        assert_eq!(window.place(3), Some(0));
    }
}
