//! Groups: what is decided together is what its commands come to one after the other, or nothing.

use ledger_domain::{Command, Overlay, ShardId, decide, decide_together, state::State as _};
use proptest::{collection::vec, prelude::*};

use crate::{
    generate::{a_command, numbered, ordinary},
    tries,
    view::View,
    writer::Writer,
};

/// What is there, and what of it will expire.
fn seen(state: &Overlay<'_>) -> (View, Vec<u64>) {
    (View::of(state, &[]), state.due(u64::MAX, 100))
}

proptest! {
    #![proptest_config(tries(400))]

    #[test]
    fn a_group_is_done_in_its_order_or_leaves_no_trace(
        before in vec(a_command(2, ordinary()), 0..40),
        between in vec(a_command(2, ordinary()), 0..8),
        group in vec(a_command(2, ordinary()), 2..6),
    ) {
        let mut all = numbered([before.clone(), between.clone(), group].concat());
        let group: Vec<Command> = all.split_off(before.len() + between.len());
        let between = all.split_off(before.len());
        let mut writer = Writer::new(ShardId(1));
        writer.command(all);
        writer.apply_all();
        // This is in flight: what an attempt leaves behind must not be confused with it.
        writer.command(between.clone());
        let at = writer.circumstances();
        let untouched = seen(&writer.state());
        let together = decide_together(&mut writer.state(), &at, &group[0], &group[1..]);
        let after = seen(&writer.state());

        let mut other = Writer::new(ShardId(1));
        other.command(numbered(before));
        other.apply_all();
        other.command(between);
        let mut alone = Vec::new();
        for command in &group {
            let outcome = decide(&mut other.state(), &at, command);
            let is_refused = outcome.result.is_err();
            alone.push(outcome);
            if is_refused {
                break;
            }
        }
        let mut refused = alone.last().filter(|it| it.result.is_err()).cloned();
        match &mut refused {
            None => {
                prop_assert_eq!(&together, &alone);
                prop_assert_eq!(after, seen(&other.state()));
            }
            Some(refused) => {
                refused.command.as_mut().expect("it was asked").info.key = group[0].info.key;
                prop_assert_eq!(&together[..], &[refused.clone()][..]);
                prop_assert_eq!(&after, &untouched);
            }
        }
        // Whichever it was, what is applied is what was proposed.
        writer.apply_all();
    }
}
