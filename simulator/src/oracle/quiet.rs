//! No node calls for help that nothing gives cause to: an ERROR in a log asks a person to get up.

/// A node that called for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which node.
    pub node: String,
    /// What it said.
    pub said: String,
}

/// What a node may say, given what befell it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excuse {
    /// Which node.
    pub node: String,
    /// A part of what it may say.
    pub says: &'static str,
}

/// A call that nothing explains.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} called for help, and nothing had befallen it: {}", .0.node, .0.said)]
pub struct Violation(pub Call);

/// Checks every call. Returns how many were excused.
///
/// # Errors
///
/// The first that was not.
pub fn nobody_calls_without_cause(calls: &[Call], excuses: &[Excuse]) -> Result<usize, Violation> {
    for call in calls {
        let is_excused =
            |excuse: &Excuse| excuse.node == call.node && call.said.contains(excuse.says);
        if !excuses.iter().any(is_excused) {
            return Err(Violation(call.clone()));
        }
    }
    Ok(calls.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(node: &str, said: &str) -> Call {
        Call {
            node: node.to_owned(),
            said: said.to_owned(),
        }
    }

    #[test]
    fn only_what_befell_a_node_excuses_it() {
        let excuses = [Excuse {
            node: "one".to_owned(),
            says: "disk is full",
        }];
        let earned = call("one", "ERROR the disk is full");
        let judge = |calls: &[Call]| nobody_calls_without_cause(calls, &excuses);
        assert_eq!(judge(&[]), Ok(0));
        assert_eq!(judge(std::slice::from_ref(&earned)), Ok(1));
        for unearned in [
            call("two", "ERROR the disk is full"),
            call("one", "ERROR the book has stopped"),
        ] {
            let judged = judge(&[earned.clone(), unearned.clone()]);
            assert_eq!(judged, Err(Violation(unearned)));
        }
    }
}
