//! Up to where events were told, as text that any node reads: shards, separated by `~`, each with its epoch,
//! the index that is told next, and where a part of that is told how many of its events.

use std::collections::BTreeMap;

use ledger_domain::ShardId;
pub(in crate::server) use ledger_domain::consumer::Place;

/// The text of some places.
pub(in crate::server) fn write(places: impl Iterator<Item = (ShardId, Place)>) -> String {
    let text = |(shard, place): (ShardId, Place)| {
        let Place { epoch, next, told } = place;
        match told {
            0 => format!("{shard}_{epoch}_{next}"),
            told => format!("{shard}_{epoch}_{next}_{told}"),
        }
    };
    places.map(text).collect::<Vec<_>>().join("~")
}

/// What a text that [`write`] made says.
pub(in crate::server) fn read(text: &str) -> Option<BTreeMap<ShardId, Place>> {
    let mut places = BTreeMap::new();
    for one in text.split('~') {
        let (shard, place) = place(one)?;
        if places.insert(shard, place).is_some() {
            return None;
        }
    }
    Some(places)
}

fn place(text: &str) -> Option<(ShardId, Place)> {
    let mut fields = text.split('_');
    let shard = ShardId(fields.next()?.parse().ok()?);
    let epoch = fields.next()?.parse().ok()?;
    let next = fields.next()?.parse().ok()?;
    let told = match fields.next() {
        Some(told) => told.parse().ok()?,
        None => 0,
    };
    let is_all = fields.next().is_none();
    is_all.then_some((shard, Place { epoch, next, told }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_as_they_were_and_other_texts_do_not() {
        let at = |next, told| Place {
            epoch: 3,
            next,
            told,
        };
        let places = BTreeMap::from([
            (ShardId(1), at(7, 0)),
            (ShardId(20), at(u64::MAX, 9)),
            (ShardId(4), at(0, 0)),
        ]);
        let text = write(places.clone().into_iter());
        assert_eq!(text, "1_3_7~4_3_0~20_3_18446744073709551615_9");
        assert_eq!(read(&text), Some(places));
        for wrong in [
            "",
            "here",
            "1",
            "1_3",
            "1_3_x",
            "1_3_7_1_1",
            "1_3_7~",
            "1_3_7~1_3_8",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
