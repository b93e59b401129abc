//! Closing days, and what a closed day refuses.

use super::{Circumstances, Scribe, not_in_future};
use crate::{
    Code, Date, Event, Rejection,
    command::CommandInfo,
    day::{business_date, is_closed},
    state::State,
};

impl<S: State> Scribe<'_, S> {
    /// The date of what is decided now.
    pub(super) fn business_date(&self, at: &Circumstances) -> Date {
        business_date(at.calendar_date, self.state.closed_through())
    }

    /// Refuses dates that are to come, and days that are closed unless they are asked for.
    pub(super) fn date_check(
        &self,
        at: &Circumstances,
        info: &CommandInfo,
        date: Date,
    ) -> Result<(), Rejection> {
        not_in_future(date, self.business_date(at))?;
        match info.into_closed_day {
            true => Ok(()),
            false => self.still_open(date),
        }
    }

    fn still_open(&self, date: Date) -> Result<(), Rejection> {
        let closed_through = self.state.closed_through();
        match closed_through.filter(|_| is_closed(date, closed_through)) {
            Some(closed) => {
                let figures = [date.days().into(), closed.days().into()];
                Err(Rejection::new(Code::DayClosed, figures))
            }
            None => Ok(()),
        }
    }

    /// Closes a day that has begun, and all before it.
    pub(super) fn close_day(&mut self, at: &Circumstances, date: Date) -> Result<(), Rejection> {
        not_in_future(date, at.calendar_date)?;
        self.still_open(date)?;
        let frozen = self.state.trial_balance();
        self.happened(Event::DayClosed { date, frozen });
        Ok(())
    }
}
