//! What a snapshot of a shard holds: its book, and from where other shards' logs are read on.

use std::io;

use bytes::Bytes;
use ledger_domain::{
    Book, Fence, Hash, HybridTime, ShardId,
    book::{Reader, Restored},
    frame,
};

use super::inbox::Bookmark;
use crate::{log::record, proto, raft::Frozen};

/// A shard's state at one index.
pub(crate) struct State {
    pub(crate) book: Book,
    /// The audited head there.
    pub(crate) audited: Hash,
    pub(crate) bookmarks: Vec<Bookmark>,
}

impl Frozen for State {
    fn chunks(&self) -> Box<dyn Iterator<Item = Bytes> + Send + '_> {
        let follows = std::iter::once_with(|| follows(&self.bookmarks));
        Box::new(self.book.chunks(self.audited).chain(follows))
    }
}

/// The chunk after the book's.
fn follows(bookmarks: &[Bookmark]) -> Bytes {
    let follow = |place: &Bookmark| proto::Follow {
        shard: place.fence.shard.0,
        epoch: place.fence.epoch,
        next: place.next,
        head: Bytes::copy_from_slice(&place.fence.head),
        wall_nanos: place.fence.time.wall_nanos,
        count: place.fence.time.count,
    };
    frame::seal_message(&proto::Follows {
        follows: bookmarks.iter().map(follow).collect(),
    })
}

/// Reads all chunks of a snapshot.
pub(crate) fn read(chunks: &mut dyn Iterator<Item = io::Result<Bytes>>) -> io::Result<State> {
    let mut reader = Reader::default();
    while !reader.has_ended() {
        let chunk = chunks
            .next()
            .ok_or_else(|| invalid("a chunk is missing"))??;
        reader.take(&chunk).map_err(invalid)?;
    }
    let last = chunks
        .next()
        .ok_or_else(|| invalid("the last chunk is missing"))??;
    let message: proto::Follows = record::message(&last).map_err(invalid)?;
    let bookmarks = message.follows.into_iter().map(bookmark);
    let bookmarks = bookmarks.collect::<io::Result<_>>()?;
    if chunks.next().is_some() {
        return Err(invalid("there is a chunk after the last"));
    }
    let Restored { book, audited } = reader.finish().map_err(invalid)?;
    Ok(State {
        book,
        audited,
        bookmarks,
    })
}

fn bookmark(follow: proto::Follow) -> io::Result<Bookmark> {
    let head: Result<Hash, _> = follow.head[..].try_into();
    let fence = Fence {
        shard: ShardId(follow.shard),
        epoch: follow.epoch,
        head: head.map_err(|_| invalid("a head has 32 bytes"))?,
        time: HybridTime {
            wall_nanos: follow.wall_nanos,
            count: follow.count,
        },
    };
    let next = follow.next;
    Ok(Bookmark { next, fence })
}

fn invalid(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}
