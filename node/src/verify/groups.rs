//! Groups are whole: their commands follow each other, and nothing comes between.

use super::stored::ledger;

/// How far the group has come whose outcomes are being read.
#[derive(Default)]
pub(super) struct Groups {
    /// Which command is next, and of how many.
    next: Option<(u32, u32)>,
}

impl Groups {
    /// Follows an outcome of an entry.
    pub(super) fn follow(&mut self, outcome: &ledger::Outcome) -> Result<(), String> {
        let command = outcome.command.as_ref();
        let place = command.map(|it| (it.group_item, it.group_of));
        let place = place.filter(|(_, of)| *of > 0);
        let expected = self.next.take();
        let is_refused = outcome.rejection.is_some();
        match (expected, place) {
            (None, None) => Ok(()),
            (None, Some((item, of))) if is_refused && item <= of => Ok(()),
            (None, Some((1, of))) if !is_refused && of > 1 => {
                self.next = Some((2, of));
                Ok(())
            }
            (Some(expected), Some((item, of))) if expected == (item, of) && !is_refused => {
                self.next = (item < of).then_some((item + 1, of));
                Ok(())
            }
            (expected, place) => Err(format!(
                "command {place:?} of a group stands where {expected:?} was to be"
            )),
        }
    }

    /// The entry ends here.
    pub(super) fn end(self) -> Result<(), String> {
        match self.next {
            None => Ok(()),
            Some((item, of)) => Err(format!("command {item} of a group of {of} is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(places: &[(u32, u32, bool)]) -> Result<(), String> {
        let mut groups = Groups::default();
        for (group_item, group_of, is_refused) in places.iter().copied() {
            let command = ledger::CommandInfo {
                group_item,
                group_of,
                ..ledger::CommandInfo::default()
            };
            groups.follow(&ledger::Outcome {
                command: Some(command),
                rejection: is_refused.then(ledger::Rejection::default),
                ..ledger::Outcome::default()
            })?;
        }
        groups.end()
    }

    #[test]
    fn a_group_is_whole_or_one_refusal() {
        let (done, refused) = (false, true);
        follow(&[(0, 0, done), (1, 2, done), (2, 2, done), (0, 0, refused)]).unwrap();
        follow(&[(2, 3, refused), (1, 2, done), (2, 2, done)]).unwrap();
        for broken in [
            &[(1, 2, done)][..],
            &[(2, 2, done)],
            &[(1, 3, done), (3, 3, done)],
            &[(1, 2, done), (2, 2, refused)],
            &[(1, 2, done), (0, 0, done), (2, 2, done)],
            &[(1, 2, done), (1, 2, done), (2, 2, done)],
        ] {
            assert!(follow(broken).is_err(), "{broken:?}");
        }
    }
}
