//! Up to where somebody was told, as text that any node reads: shards, separated by `~`, each with its
//! position, and where that is told in part the account and its version up to which it is.

use std::collections::BTreeMap;

use ledger_domain::{AccountId, Position, ShardId};
use replication::view::Bookmark;

/// The text of what was told of some shards.
pub(super) fn write(bookmarks: impl Iterator<Item = Bookmark>) -> String {
    let texts: Vec<_> = bookmarks.map(|it| text(&it)).collect();
    texts.join("~")
}

fn text(Bookmark { position, part }: &Bookmark) -> String {
    let Position {
        shard,
        epoch,
        index,
    } = position;
    match part {
        None => format!("{}_{epoch}_{index}", shard.0),
        Some((account, version)) => format!("{}_{epoch}_{index}_{account}_{version}", shard.0),
    }
}

/// What a text that [`write`] made says.
pub(super) fn read(text: &str) -> Option<BTreeMap<ShardId, Bookmark>> {
    let mut bookmarks = BTreeMap::new();
    for one in text.split('~') {
        let bookmark = bookmark(one)?;
        let shard = bookmark.position.shard;
        if bookmarks.insert(shard, bookmark).is_some() {
            return None;
        }
    }
    Some(bookmarks)
}

fn bookmark(text: &str) -> Option<Bookmark> {
    let mut fields = text.split('_');
    let position = Position {
        shard: ShardId(fields.next()?.parse().ok()?),
        epoch: fields.next()?.parse().ok()?,
        index: fields.next()?.parse().ok()?,
    };
    let part = match fields.next() {
        None => None,
        Some(account) => {
            let account: AccountId = account.parse().ok()?;
            Some((account, fields.next()?.parse().ok()?))
        }
    };
    let is_all = fields.next().is_none();
    is_all.then_some(Bookmark { position, part })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let at = |shard, index| Position {
            shard: ShardId(shard),
            epoch: 1,
            index,
        };
        let account = AccountId::derive("eu-west".parse().unwrap(), "t", "a");
        let whole = Bookmark {
            position: at(1, 7),
            part: None,
        };
        let part = Bookmark {
            position: at(30, 9),
            part: Some((account, 12)),
        };
        let text = write([whole, part].into_iter());
        let expected = BTreeMap::from([(ShardId(1), whole), (ShardId(30), part)]);
        assert_eq!(read(&text), Some(expected));
        for wrong in [
            "".to_owned(),
            "~".to_owned(),
            "1_1".to_owned(),
            "1_1_x".to_owned(),
            "1_1_7_".to_owned(),
            "1_1_7~1_1_8".to_owned(),
            format!("1_1_7_{account}"),
            format!("{text}_1"),
            format!("{text}~"),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }
}
