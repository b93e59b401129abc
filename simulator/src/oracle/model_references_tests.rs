use std::collections::BTreeMap;

use super::super::{Step, Verdict, Violation, What, follow};
use crate::history::Request;

fn refer(account: &str, reference: &str, releases: bool) -> Request {
    Request::Refer {
        account: account.to_owned(),
        reference: reference.to_owned(),
        releases,
    }
}

/// What customers asked, each under its place as a key, in a shard each, and what its log says.
fn judged(happened: &[(u32, Request, Result<i64, &str>)]) -> Result<usize, Violation> {
    let (mut requests, mut steps) = (BTreeMap::new(), Vec::new());
    for (index, (shard, request, verdict)) in (1..).zip(happened) {
        let verdict = match verdict {
            Ok(balance) => Verdict::Done(*balance),
            Err(code) => Verdict::Refused((*code).to_owned()),
        };
        let key = index.to_string();
        requests.insert(key.clone(), request.clone());
        steps.push(Step {
            shard: *shard,
            index,
            time: (index, 0),
            day: 100,
            what: What::Decided { key, verdict },
        });
    }
    follow(&BTreeMap::new(), &requests, &steps).map(|timeline| timeline.steps)
}

#[test]
fn what_must_become_of_references_as_a_table() {
    let taken = Err("REFERENCE_TAKEN");
    let not_claimed = Err("REFERENCE_NOT_CLAIMED");
    let claim = |account| refer(account, "r", false);
    let release = |account| refer(account, "r", true);
    let table = [
        (
            vec![(1, claim("eu.a"), Ok(0)), (1, claim("eu.a"), Ok(0))],
            true,
        ),
        (
            vec![(1, claim("eu.a"), Ok(0)), (1, claim("eu.b"), taken)],
            true,
        ),
        (
            vec![(1, claim("eu.a"), Ok(0)), (1, claim("eu.b"), Ok(0))],
            false,
        ),
        // Whichever shards have decided it.
        (
            vec![(1, claim("eu.a"), Ok(0)), (2, claim("eu.b"), Ok(0))],
            false,
        ),
        (
            vec![(1, claim("eu.a"), Ok(0)), (2, claim("us.b"), Ok(0))],
            true,
        ),
        (vec![(1, claim("eu.a"), taken)], false),
        (vec![(1, release("eu.a"), not_claimed)], true),
        (vec![(1, release("eu.a"), Ok(0))], false),
        (
            vec![
                (1, claim("eu.a"), Ok(0)),
                (1, release("eu.b"), not_claimed),
                (1, release("eu.a"), Ok(0)),
                (1, claim("eu.b"), Ok(0)),
            ],
            true,
        ),
    ];
    for (happened, follows) in table {
        assert_eq!(judged(&happened).is_ok(), follows, "{happened:?}");
    }
}
