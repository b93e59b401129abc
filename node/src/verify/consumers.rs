//! Consumer groups: each is created once, and the cursor of a share goes on from where it is, under a
//! lending that is no older, unless it is moved.

use std::collections::BTreeMap;

use super::stored::{Read, ledger};

/// The most shares of one.
const MOST_SHARES: usize = 256;

/// Each group's shares, by its region and name.
pub(super) type Rows = BTreeMap<(String, String), Row>;

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    group: ledger::ConsumerGroup,
    shares: Vec<ledger::BookShare>,
}

/// All of a shard.
#[derive(Default)]
pub(super) struct Consumers {
    pub(super) known: Rows,
}

impl Consumers {
    pub(super) fn create(&mut self, event: &ledger::ConsumerCreated) -> Read<()> {
        let group = event.group.clone().ok_or("a consumer reads nothing")?;
        is_sorted(&event.at)?;
        let read: Vec<_> = event.at.iter().map(|place| place.shard).collect();
        if read != group.shards || read.is_empty() {
            return Err("a consumer does not begin in the shards that it reads".to_owned());
        }
        let part = |places: &[ledger::ConsumerPlace]| ledger::BookShare {
            cursor: places.to_vec(),
            generation: Some(ledger::ConsumerGeneration::default()),
            stopped: None,
        };
        let shares: Vec<_> = match (group.order, group.buckets) {
            (3, 1) => vec![part(&event.at)],
            (2, 1) => event.at.chunks(1).map(part).collect(),
            (1, buckets) if buckets as usize <= MOST_SHARES => {
                let of_one = |place| std::iter::repeat_n(part(place), buckets as usize);
                event.at.chunks(1).flat_map(of_one).collect()
            }
            _ => Vec::new(),
        };
        if !(1..=MOST_SHARES).contains(&shares.len()) {
            return Err(format!("a consumer has {} shares", shares.len()));
        }
        let row = Row { group, shares };
        match self.known.insert(id(&event.consumer)?, row) {
            None => Ok(()),
            Some(_) => Err("a consumer is created a second time".to_owned()),
        }
    }

    pub(super) fn advance(&mut self, event: &ledger::ConsumerAdvanced) -> Read<()> {
        let share = self.share(&event.consumer, event.share)?;
        goes_on(share, event.generation, &event.from, &event.to)
    }

    pub(super) fn park(&mut self, event: &ledger::ConsumerParked) -> Read<()> {
        let share = self.share(&event.consumer, event.share)?;
        goes_on(share, event.generation, &event.from, &event.to)?;
        let stopped = event.at.clone().ok_or("a share is stopped at nothing")?;
        follows(&event.to, &stopped.after)?;
        if stopped.after == event.to {
            return Err("a share would go on where it is stopped".to_owned());
        }
        share.stopped = Some(stopped);
        Ok(())
    }

    pub(super) fn resume(&mut self, event: &ledger::ConsumerResumed) -> Read<()> {
        let share = self.share(&event.consumer, event.share)?;
        let stopped = share.stopped.take();
        let stopped = stopped.ok_or("a share is resumed and was not stopped")?;
        if event.skip {
            share.cursor = stopped.after;
        }
        Ok(())
    }

    pub(super) fn set(&mut self, event: &ledger::ConsumerMoved) -> Read<()> {
        is_sorted(&event.to)?;
        let row = self.row(&event.consumer)?;
        let is_read = |place: &ledger::ConsumerPlace| row.group.shards.contains(&place.shard);
        if event.to.is_empty() || !event.to.iter().all(is_read) {
            return Err("a consumer is moved in shards that it does not read".to_owned());
        }
        for share in &mut row.shares {
            for place in &mut share.cursor {
                if let Some(to) = event.to.iter().find(|to| to.shard == place.shard) {
                    *place = *to;
                    share.stopped = None;
                }
            }
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, event: &ledger::ConsumerRemoved) -> Read<()> {
        let removed = self.known.remove(&id(&event.consumer)?);
        removed.map(drop).ok_or_else(missing)
    }

    fn row(&mut self, consumer: &Option<ledger::ConsumerId>) -> Read<&mut Row> {
        self.known.get_mut(&id(consumer)?).ok_or_else(missing)
    }

    fn share(
        &mut self,
        consumer: &Option<ledger::ConsumerId>,
        share: u32,
    ) -> Read<&mut ledger::BookShare> {
        let shares = &mut self.row(consumer)?.shares;
        let found = shares.get_mut(share as usize);
        found.ok_or_else(|| format!("a consumer has no share {share}"))
    }
}

/// Reads the consumer groups of a stored book.
pub(super) fn stored(part: &ledger::BookConsumers) -> Read<Rows> {
    let rows = part.rows.iter().map(|row| {
        let group = row.group.clone().ok_or("a consumer reads nothing")?;
        let shares = row.shares.clone();
        Ok((id(&row.consumer)?, Row { group, shares }))
    });
    rows.collect()
}

fn goes_on(
    share: &mut ledger::BookShare,
    generation: Option<ledger::ConsumerGeneration>,
    from: &[ledger::ConsumerPlace],
    to: &[ledger::ConsumerPlace],
) -> Read<()> {
    let key = |it: ledger::ConsumerGeneration| (it.epoch, it.term, it.count);
    if share.stopped.is_some() {
        return Err("a share goes on that is stopped".to_owned());
    }
    if generation.map(key) < share.generation.map(key) {
        return Err("a share goes on under an older lending".to_owned());
    }
    if share.cursor != from {
        return Err("a share goes on from where it is not".to_owned());
    }
    follows(from, to)?;
    share.cursor = to.to_vec();
    share.generation = generation;
    Ok(())
}

/// Whether a cursor is of the same shards as another, and in none before it.
fn follows(from: &[ledger::ConsumerPlace], to: &[ledger::ConsumerPlace]) -> Read<()> {
    let mut pairs = from.iter().zip(to);
    let is_after = |(from, to): (&ledger::ConsumerPlace, &ledger::ConsumerPlace)| {
        from.shard == to.shard && (from.next, from.told) <= (to.next, to.told)
    };
    match from.len() == to.len() && pairs.all(is_after) {
        true => Ok(()),
        false => Err("a share's cursor goes back, or leaves its shards".to_owned()),
    }
}

fn is_sorted(places: &[ledger::ConsumerPlace]) -> Read<()> {
    match places.windows(2).all(|pair| pair[0].shard < pair[1].shard) {
        true => Ok(()),
        false => Err("the shards of a cursor are not in order".to_owned()),
    }
}

fn id(id: &Option<ledger::ConsumerId>) -> Read<(String, String)> {
    let id = id.as_ref().ok_or("a consumer has no name")?;
    Ok((id.region.clone(), id.name.clone()))
}

fn missing() -> String {
    "something happens to a consumer that is not there".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(shard: u32, next: u64) -> Vec<ledger::ConsumerPlace> {
        let (epoch, told) = (1, 0);
        vec![ledger::ConsumerPlace {
            shard,
            epoch,
            next,
            told,
        }]
    }

    fn advanced(count: u64, from: u64, to: u64) -> ledger::ConsumerAdvanced {
        let (epoch, term) = (1, 1);
        ledger::ConsumerAdvanced {
            consumer: Some(ledger::ConsumerId::default()),
            share: 0,
            generation: Some(ledger::ConsumerGeneration { epoch, term, count }),
            from: at(1, from),
            to: at(1, to),
        }
    }

    #[test]
    fn a_cursor_goes_on_from_where_it_is() {
        let mut consumers = Consumers::default();
        assert!(consumers.advance(&advanced(1, 0, 1)).is_err());
        let created = ledger::ConsumerCreated {
            consumer: Some(ledger::ConsumerId::default()),
            group: Some(ledger::ConsumerGroup {
                order: 2,
                shards: vec![1],
                buckets: 1,
                ..Default::default()
            }),
            at: at(1, 0),
        };
        consumers.create(&created).unwrap();
        assert!(consumers.create(&created.clone()).is_err());
        consumers.advance(&advanced(2, 0, 5)).unwrap();
        for wrong in [advanced(1, 5, 6), advanced(2, 4, 6), advanced(2, 5, 4)] {
            assert!(consumers.advance(&wrong).is_err(), "{wrong:?}");
        }
        consumers.advance(&advanced(2, 5, 6)).unwrap();
        let resumed = ledger::ConsumerResumed {
            consumer: Some(ledger::ConsumerId::default()),
            ..Default::default()
        };
        assert!(consumers.resume(&resumed).is_err());
    }
}
