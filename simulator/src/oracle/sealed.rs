//! Sealed data is never seen in the clear outside of its domain: in no store, its own domain's
//! included, in no line of any log, in no answer elsewhere, and in nothing that a node of its domain
//! sends to a node of another. (The other way it may come in the clear: with the request of somebody
//! who knows it and asks elsewhere.)
//!
//! Every command carries a memo with a [mark](MARK) that nothing else has. Wherever the mark is
//! found, a memo is in the clear.

use crate::history::Statement;

/// What every memo begins with. No id, key or name has it.
pub const MARK: &str = "~personal~";

/// The memo of a command.
#[must_use]
pub fn memo(key: &str) -> String {
    format!("{MARK}{key}")
}

/// Whether there is a memo in the clear.
#[must_use]
pub fn is_in(text: &[u8]) -> bool {
    memos_in(text).next().is_some()
}

/// All memos in the clear, by the keys of their commands.
pub fn memos_in(text: &[u8]) -> impl Iterator<Item = String> {
    let mark = MARK.as_bytes();
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = rest.iter().position(|byte| *byte == mark[0])?;
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix(mark) {
                let of_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./".contains(byte);
                let key = after.iter().take_while(|byte| of_key(byte));
                let key: String = key.map(|byte| char::from(*byte)).collect();
                rest = &after[key.len()..];
                return Some(key);
            }
            rest = &rest[1..];
        }
    })
}

/// A memo in the clear in what one node has sent to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The sender.
    pub from: String,
    /// Its domain.
    pub from_domain: String,
    /// Who it was sent to.
    pub to: String,
    /// Its domain.
    pub to_domain: String,
    /// The domain of the memo.
    pub domain: String,
}

/// Checks what nodes have sent to each other. Returns how many memos were sent in the clear where they
/// may be.
///
/// # Errors
///
/// The first memo that left its domain.
pub fn memos_do_not_leave(sent: &[Sent]) -> Result<usize, Violation> {
    for memo in sent {
        if memo.from_domain == memo.domain && memo.to_domain != memo.domain {
            return Err(Violation::SentAbroad(memo.clone()));
        }
    }
    Ok(sent.len())
}

/// A memo that somebody can read who must not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// In a place where there must be none.
    #[error("a memo is in the clear in {0}")]
    InTheClear(String),
    /// Sent out of its domain.
    #[error("a memo in the clear left its domain: {0:?}")]
    SentAbroad(Sent),
    /// Told in a region that is not of its domain.
    #[error("a memo of {account} was shown in {region}, whose domain is {domain}")]
    ShownAbroad {
        /// Whose.
        account: String,
        /// Where it was shown.
        region: String,
        /// The domain of that place.
        domain: String,
    },
    /// Not even its own domain can read it: nothing was sealed, and so nothing was checked.
    #[error("a memo of {account} was not shown in {region}, where it belongs")]
    NotShownAtHome {
        /// Whose.
        account: String,
        /// Where it was not shown.
        region: String,
    },
}

/// Checks where memos were found, and what statements show. `domain_of` says which domain a region
/// is in, `home_of` in which region an account lives. Returns how many memos were shown at home.
///
/// # Errors
///
/// The first memo that was in the clear where it must not be.
pub fn memos_stay_at_home(
    found: &[String],
    statements: &[Statement],
    domain_of: impl Fn(&str) -> String,
    home_of: impl Fn(&str) -> String,
) -> Result<usize, Violation> {
    if let Some(place) = found.first() {
        return Err(Violation::InTheClear(place.clone()));
    }
    let mut shown = 0;
    for statement in statements {
        let (account, region) = (statement.account.clone(), statement.region.clone());
        let domain = domain_of(&region);
        let is_at_home = domain_of(&home_of(&account)) == domain;
        for line in &statement.lines {
            match (is_in(line.memo.as_bytes()), is_at_home) {
                (true, true) => shown += 1,
                (true, false) => {
                    return Err(Violation::ShownAbroad {
                        account,
                        region,
                        domain,
                    });
                }
                // What came back carries the ledger's words, not the payer's; and a journal's memo is
                // for the first account that it names.
                (false, true) if line.amount < 0 && !line.is_leg => {
                    return Err(Violation::NotShownAtHome { account, region });
                }
                (false, _) => {}
            }
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Line;

    /// Alice lives in Ireland; Frankfurt is in the same domain, Oregon is not.
    fn judge(region: &str, memo: &str, found: &[String]) -> Result<usize, Violation> {
        let line = Line {
            index: 1,
            amount: -5,
            balance_after: 0,
            memo: memo.to_owned(),
            is_leg: false,
        };
        let statement = Statement {
            account: "ireland.alice".to_owned(),
            node: "some".to_owned(),
            region: region.to_owned(),
            index: 1,
            lines: vec![line],
        };
        let domain_of = |region: &str| match region {
            "oregon" => "us".to_owned(),
            _ => "eu".to_owned(),
        };
        let home_of = |account: &str| account.split('.').next().unwrap_or_default().to_owned();
        memos_stay_at_home(found, &[statement], domain_of, home_of)
    }

    #[test]
    fn a_memo_is_shown_in_its_domain_and_nowhere_else() {
        let rent = memo("rent");
        assert_eq!(judge("ireland", &rent, &[]), Ok(1));
        assert_eq!(judge("frankfurt", &rent, &[]), Ok(1));
        assert_eq!(judge("oregon", "", &[]), Ok(0));
        judge("oregon", &rent, &[]).unwrap_err();
        // Were nothing ever shown, nothing would ever be found.
        judge("ireland", "", &[]).unwrap_err();
    }

    #[test]
    fn a_memo_in_a_store_or_a_log_is_found() {
        let found = ["the log of ireland-1".to_owned()];
        judge("ireland", &memo("rent"), &found).unwrap_err();
    }

    #[test]
    fn a_memo_may_come_home_in_the_clear_and_not_leave() {
        let sent = |from: &str, to: &str| Sent {
            from: format!("{from}-1"),
            from_domain: from.to_owned(),
            to: format!("{to}-1"),
            to_domain: to.to_owned(),
            domain: "eu".to_owned(),
        };
        assert_eq!(
            memos_do_not_leave(&[sent("us", "eu"), sent("eu", "eu")]),
            Ok(2)
        );
        let abroad = sent("eu", "us");
        let judged = memos_do_not_leave(std::slice::from_ref(&abroad));
        assert_eq!(judged, Err(Violation::SentAbroad(abroad)));
    }

    #[test]
    fn memos_are_found_with_their_keys() {
        let text = [b"~x", memo("a-1").as_bytes(), b"\0~", memo("b").as_bytes()].concat();
        assert_eq!(memos_in(&text).collect::<Vec<_>>(), ["a-1", "b"]);
    }

    #[test]
    fn the_mark_is_found_wherever_it_stands() {
        assert!(is_in(memo("rent").as_bytes()));
        assert!(is_in(format!("~~per {}", memo("x")).as_bytes()));
        assert!(!is_in(b"~personal"));
        assert!(!is_in(b""));
    }
}
