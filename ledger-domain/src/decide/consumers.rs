//! Decides about consumer groups and up to where they have read.

use super::Scribe;
use crate::{
    Code, Event, Rejection,
    consumer::{
        self, Consumer, ConsumerChange, ConsumerEvent, ConsumerId, Cursor, Generation,
        MOST_CONSUMERS, Share,
    },
    state::State,
};

impl<S: State> Scribe<'_, S> {
    pub(super) fn consumer(
        &mut self,
        consumer: &ConsumerId,
        change: &ConsumerChange,
    ) -> Result<(), Rejection> {
        let known = self.state.consumer(consumer);
        let found = || known.as_ref().ok_or(Code::ConsumerNotFound);
        match change {
            ConsumerChange::Created { group, at } => {
                if known.is_some() {
                    return Err(Code::ConsumerExists.into());
                }
                let (count, most) = (self.state.consumer_count(), MOST_CONSUMERS);
                if count >= most {
                    let figures = [count, most].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
                    return Err(Rejection::new(Code::ConsumersFull, figures));
                }
                if !consumer::makes_sense(group, at) {
                    return Err(Code::ConsumerCursorInvalid.into());
                }
            }
            ConsumerChange::Advanced {
                share,
                generation,
                from,
                to,
            } => goes_on(found()?, *share, *generation, from, &[to])?,
            ConsumerChange::Parked {
                share,
                generation,
                from,
                to,
                at,
            } => {
                goes_on(found()?, *share, *generation, from, &[to, &at.after])?;
                if consumer::goes_back(to, &at.after) || *to == at.after {
                    return Err(Code::ConsumerCursorBack.into());
                }
            }
            ConsumerChange::Resumed { share, .. } => {
                if named(found()?, *share)?.parked.is_none() {
                    return Err(Code::ConsumerNotParked.into());
                }
            }
            ConsumerChange::Moved { to } => {
                let shards = &found()?.group.shards;
                if to.is_empty() || !to.keys().all(|shard| shards.contains(shard)) {
                    return Err(Code::ConsumerCursorInvalid.into());
                }
            }
            ConsumerChange::Removed => drop(found()?),
        }
        self.happened(Event::Consumer(ConsumerEvent {
            consumer: consumer.clone(),
            change: change.clone(),
        }));
        Ok(())
    }
}

fn named(consumer: &Consumer, share: u32) -> Result<&Share, Code> {
    let share = consumer.shares.get(share as usize);
    share.ok_or(Code::ConsumerShareNotFound)
}

/// Checks that a share may go on, from where its member has it, to places one after the other.
fn goes_on(
    consumer: &Consumer,
    share: u32,
    generation: Generation,
    from: &Cursor,
    to: &[&Cursor],
) -> Result<(), Code> {
    let is = named(consumer, share)?;
    if is.parked.is_some() {
        return Err(Code::ConsumerParked);
    }
    if generation < is.generation {
        return Err(Code::ConsumerFenced);
    }
    if *from != is.cursor {
        return Err(Code::ConsumerCursorMoved);
    }
    if !to.iter().all(|to| consumer.group.fits(share, to)) {
        return Err(Code::ConsumerCursorInvalid);
    }
    match consumer::goes_back(from, to[0]) {
        true => Err(Code::ConsumerCursorBack),
        false => Ok(()),
    }
}
