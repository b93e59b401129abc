use super::*;

fn id(index: u64) -> Id {
    (format!("t{index}"), 1)
}

fn cursor(next: u64) -> Cursor {
    Cursor::from([(1, (next, 0))])
}

fn step(lease: u64, from: u64, to: u64) -> Step {
    Step {
        lease: lease.to_string(),
        order: (0, 1, lease),
        from: cursor(from),
        to: cursor(to),
    }
}

fn advanced(lease: u64, from: u64, to: u64) -> Change {
    Change::Advanced(step(lease, from, to))
}

fn parked(lease: u64, from: u64, at: u64) -> Change {
    Change::Parked {
        step: step(lease, from, at),
        id: id(at),
        reason: "why".to_owned(),
        after: cursor(at + 1),
    }
}

/// One share with an event in each of the indexes 1 to 5.
fn group(changes: Vec<Change>) -> Group {
    let due = |index| Due {
        shard: 1,
        index,
        count: 1,
        time: u128::from(index),
        id: id(index),
    };
    let set = Change::Set(cursor(1));
    Group {
        name: "g".to_owned(),
        by_time: true,
        shares: vec![Share {
            due: BTreeMap::from([(1, (1..=5).map(due).collect())]),
            changes: [vec![set], changes].concat(),
        }],
        is_removed: false,
    }
}

fn told(index: u64) -> Word {
    Word::Told {
        number: index,
        again: false,
        id: id(index),
    }
}

fn again(number: u64, index: u64) -> Word {
    Word::Told {
        number,
        again: true,
        id: id(index),
    }
}

fn refused(number: u64) -> Word {
    Word::Refused(number, "why".to_owned())
}

fn diary(leases: &[(u64, u32, Vec<Word>)]) -> Diary {
    let mut diary = Diary {
        group: "g".to_owned(),
        retries: 1,
        ..Diary::default()
    };
    for (lease, member, words) in leases {
        let of_lease = diary.words.entry((0, lease.to_string())).or_default();
        of_lease.insert(*member, words.clone());
    }
    diary
}

fn judged(changes: Vec<Change>, diary: &Diary) -> Result<usize, Violation> {
    everything_at_least_once(&[group(changes)], diary, &BTreeMap::from([(1, 5)]))
}

fn all_told(up_to: u64) -> Vec<Word> {
    let told = (1..=up_to).map(told);
    told.chain([Word::Acknowledged(up_to)]).collect()
}

#[test]
fn what_is_acknowledged_is_passed_whoever_comes_after() {
    let changes = vec![advanced(1, 1, 4), advanced(2, 4, 6)];
    let second = vec![told(4), told(5), Word::Acknowledged(5)];
    let words = [(1, 1, all_told(3)), (2, 2, second)];
    assert_eq!(judged(changes, &diary(&words)), Ok(5));
}

#[test]
fn a_share_may_be_parked_after_its_retries_and_skip_or_repeat() {
    let words = vec![
        told(1),
        told(2),
        told(3),
        refused(2),
        again(4, 2),
        refused(4),
    ];
    let changes = |skip| vec![parked(1, 1, 2), Change::Resumed { skip }];
    let skipped = [changes(true), vec![advanced(2, 3, 6)]].concat();
    let rest = vec![told(3), told(4), told(5), Word::Acknowledged(5)];
    let mut known = diary(&[(1, 1, words.clone()), (2, 1, rest)]);
    known.parked = vec![(0, id(2), "why".to_owned())];
    assert_eq!(judged(skipped.clone(), &known), Ok(4));
    known.parked = vec![(0, id(3), "why".to_owned())];
    assert!(judged(skipped.clone(), &known).is_err());
    let repeated = [changes(false), vec![advanced(2, 2, 6)]].concat();
    let rest = vec![told(2), told(3), told(4), told(5), Word::Acknowledged(5)];
    let known = diary(&[(1, 1, words.clone()), (2, 1, rest)]);
    assert_eq!(judged(repeated, &known), Ok(5));
    // It was refused once, and may be twice.
    let once = diary(&[(1, 1, words[..4].to_vec())]);
    assert!(judged(skipped, &once).is_err());
}

#[test]
fn what_does_not_hold_is_found() {
    let all = || diary(&[(1, 1, all_told(5))]);
    assert_eq!(judged(vec![advanced(1, 1, 6)], &all()), Ok(5));
    for (what, changes, words) in [
        (
            "nobody was told the last",
            vec![advanced(1, 1, 6)],
            vec![(1, 1, all_told(4))],
        ),
        (
            "another lease's",
            vec![advanced(2, 1, 6)],
            vec![(1, 1, all_told(5)), (2, 1, vec![told(1)])],
        ),
        (
            "not acknowledged",
            vec![advanced(1, 1, 6)],
            vec![(1, 1, (1..=5).map(told).collect())],
        ),
        (
            "behind at the end",
            vec![advanced(1, 1, 5)],
            vec![(1, 1, all_told(4))],
        ),
        (
            "parked at the end",
            vec![parked(1, 1, 1)],
            vec![(1, 1, vec![told(1), refused(1), again(2, 1), refused(2)])],
        ),
        (
            "an older lease",
            vec![advanced(2, 1, 2), advanced(1, 2, 6)],
            vec![(1, 1, all_told(5)), (2, 1, all_told(1))],
        ),
        (
            "from elsewhere",
            vec![advanced(1, 2, 6)],
            vec![(1, 1, all_told(5))],
        ),
        (
            "back",
            vec![advanced(1, 1, 6), advanced(1, 6, 2)],
            vec![(1, 1, all_told(5))],
        ),
        (
            "one left out",
            vec![advanced(1, 1, 6)],
            vec![(1, 1, vec![told(1), told(3), Word::Acknowledged(3)])],
        ),
        (
            "a late beginning",
            vec![advanced(1, 1, 6)],
            vec![(
                1,
                1,
                (2..=5).map(told).chain([Word::Acknowledged(5)]).collect(),
            )],
        ),
        (
            "two members",
            vec![advanced(1, 1, 6)],
            vec![(1, 1, all_told(5)), (1, 2, all_told(5))],
        ),
        (
            "goes on while parked",
            vec![parked(1, 1, 1), advanced(2, 1, 6)],
            vec![
                (1, 1, vec![told(1), refused(1), again(2, 1), refused(2)]),
                (2, 1, all_told(5)),
            ],
        ),
    ] {
        assert!(judged(changes, &diary(&words)).is_err(), "{what}");
    }
}
