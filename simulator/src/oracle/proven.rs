//! Nothing acts across a border before its cause would survive the loss of its region: when an entry
//! is written that acts upon another shard's entry, the record of that one is durable where the
//! writer has read it. A power cut in the next moment takes neither, or the deed alone.

/// A deed on the word of a disk that could still have forgotten.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("on {node}, {what}, which was not durable there yet")]
pub struct Violation {
    /// Where it was written.
    pub node: String,
    /// What acts upon what.
    pub what: String,
}

/// Checks what was seen of each node's writes: what acted upon what could still be lost. `acts` is
/// how many entries act upon another shard's. Returns it.
///
/// # Errors
///
/// The first entry that acted too early.
pub fn causes_are_durable(seen: &[(String, Vec<String>)], acts: usize) -> Result<usize, Violation> {
    let mut rash = seen.iter().flat_map(|(node, deeds)| {
        deeds.iter().map(|what| Violation {
            node: node.clone(),
            what: what.clone(),
        })
    });
    rash.next().map_or(Ok(acts), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_without_proof_is_found() {
        let node = |deeds: &[&str]| {
            let deeds = deeds.iter().map(ToString::to_string).collect();
            vec![("one".to_owned(), vec![]), ("two".to_owned(), deeds)]
        };
        assert_eq!(causes_are_durable(&node(&[]), 3), Ok(3));
        let violation = causes_are_durable(&node(&["5 acts upon 4"]), 3).unwrap_err();
        assert_eq!(violation.node, "two");
    }
}
