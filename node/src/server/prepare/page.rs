//! Long lists, a page at a time.

use tonic::Status;

use super::super::refusal;

const DEFAULT: u32 = 100;
const MAX: u32 = 1_000;

/// What a caller asks for of a long list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Page {
    /// At most so many.
    pub(in crate::server) limit: usize,
    /// Where the page before ended; `None` for the first.
    pub(in crate::server) from: Option<u64>,
}

/// A page of `what`, as it is asked for by its size and the token of the page before.
pub(in crate::server) fn page(size: u32, token: &str, what: &str) -> Result<Page, Status> {
    let limit = match size {
        0 => DEFAULT,
        size if size > MAX => {
            return Err(refusal::invalid(format!("a page has at most {MAX} {what}")));
        }
        size => size,
    };
    let from = match token {
        "" => None,
        token => {
            let from = token.parse();
            Some(from.map_err(|_| refusal::invalid("not a page token"))?)
        }
    };
    Ok(Page {
        limit: limit as usize,
        from,
    })
}

/// The token of the next page.
pub(in crate::server) fn token(next: Option<u64>) -> String {
    next.map(|n| n.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_where_the_one_before_ended() {
        let asked = |size, token: &str| page(size, token, "holds").map_err(|it| it.code());
        let (limit, from) = (7, Some(41));
        assert_eq!(asked(7, &token(Some(41))), Ok(Page { limit, from }));
        let (limit, from) = (DEFAULT as usize, None);
        assert_eq!(asked(0, &token(None)), Ok(Page { limit, from }));
        assert_eq!(asked(MAX + 1, ""), Err(tonic::Code::InvalidArgument));
        assert_eq!(asked(1, "seven"), Err(tonic::Code::InvalidArgument));
    }
}
