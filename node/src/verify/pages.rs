//! A shard's part of a table, read in pieces: a log may be larger than memory.

use std::io;
use std::ops::ControlFlow;

use bytes::Bytes;
use replication::world::Engine;

use super::layout;

const PAIRS: usize = 1_024;
const BYTES: usize = 4 << 20;

/// Some values of a table, in the order of their indexes.
pub(super) struct Page {
    pub(super) values: Vec<(u64, Bytes)>,
    /// Keys that are no place in the table.
    pub(super) strays: Vec<Vec<u8>>,
    /// Where to go on; `None` after the end.
    pub(super) next: Option<u64>,
    /// Why the store could not be read any further.
    pub(super) failure: Option<io::Error>,
}

/// Reads values of a table from an index on.
pub(super) fn page(engine: &dyn Engine, kind: u8, shard: u32, from: u64) -> Page {
    read(engine, kind, shard, from, layout::end(kind, shard), PAIRS)
}

/// Reads all values of a table from an index on and before another.
pub(super) fn all(engine: &dyn Engine, kind: u8, shard: u32, from: u64, to: Option<u64>) -> Page {
    let end = to.map_or_else(
        || layout::end(kind, shard),
        |to| layout::indexed(kind, shard, to),
    );
    read(engine, kind, shard, from, end, usize::MAX)
}

fn read(
    engine: &dyn Engine,
    kind: u8,
    shard: u32,
    from: u64,
    end: Vec<u8>,
    at_most: usize,
) -> Page {
    // The very first key could be shorter than any key should be.
    let start = match from {
        0 => layout::table(kind, shard),
        _ => layout::indexed(kind, shard, from),
    };
    let mut page = Page {
        values: Vec::new(),
        strays: Vec::new(),
        next: None,
        failure: None,
    };
    let mut bytes = 0;
    let scanned = engine.scan(&start..&end, &mut |key, value| {
        let Some(index) = layout::index_of(key) else {
            page.strays.push(key.to_vec());
            return ControlFlow::Continue(());
        };
        if page.values.len() >= at_most || (at_most < usize::MAX && bytes >= BYTES) {
            page.next = Some(index);
            return ControlFlow::Break(());
        }
        bytes += value.len();
        page.values.push((index, Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    });
    page.failure = scanned.err();
    page
}

/// The last index of a table, and the shards that have any.
pub(super) fn last(engine: &dyn Engine, kind: u8, shard: u32) -> io::Result<Option<u64>> {
    let (start, end) = (layout::table(kind, shard), layout::end(kind, shard));
    let mut last = None;
    engine.scan_back(&start..&end, &mut |key, _| {
        last = layout::index_of(key);
        match last {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    })?;
    Ok(last)
}

/// The first shard of a table at or after one.
pub(super) fn shard_from(engine: &dyn Engine, kind: u8, shard: u32) -> io::Result<Option<u32>> {
    let (start, end) = (layout::table(kind, shard), [kind + 1]);
    let mut found = None;
    engine.scan(&start..&end, &mut |key, _| {
        found = layout::shard_of(key);
        match found {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    })?;
    Ok(found)
}
