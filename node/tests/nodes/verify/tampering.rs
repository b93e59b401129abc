//! Somebody at the store, and what must be found then.

use node::verify::{Options, Part, verify};

use crate::stopped::{self, Store};

/// Somebody at the store, who says what should be found: shard, index and part.
pub type Tamper = fn(&Store) -> (Option<u32>, Option<u64>, Part);

/// Plays each case on a copy of its own; every one must be named.
pub fn check(cases: &[(&str, Tamper)]) {
    let missed: Vec<_> = cases.iter().filter_map(missed).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

fn missed((name, tamper): &(&str, Tamper)) -> Option<String> {
    let dir = stopped::copy();
    let (shard, index, part) = tamper(&Store::open(dir.path()));
    let report = verify(dir.path(), Options::default(), &|_| {}).unwrap();
    let found = &report.findings;
    let named = found
        .iter()
        .any(|it| (it.shard, it.index, &it.part) == (shard, index, &part));
    (!named).then(|| {
        format!("{name}: {part:?} at index {index:?} of shard {shard:?} is not in {found:#?}")
    })
}

pub fn at(shard: u32, index: u64, part: Part) -> (Option<u32>, Option<u64>, Part) {
    (Some(shard), Some(index), part)
}
