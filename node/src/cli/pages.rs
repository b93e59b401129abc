//! Lists that come in pages.

use super::exit::Failure;

/// The longest page there is.
const PAGE: usize = 1_000;

/// The beginning of a list.
#[derive(Debug)]
pub struct Listed<T, R> {
    /// What is listed, at most as much as was wanted.
    pub items: Vec<T>,
    /// There is more.
    pub more: bool,
    /// The last reply, without its items.
    pub last: R,
}

/// Asks for page after page until there are so many items, or all. `ask` is given the size of a page
/// and its token, and answers with a page's items, the token of the next, and the rest of the reply.
///
/// # Errors
///
/// The first of `ask`.
pub async fn listed<T, R>(
    limit: usize,
    mut ask: impl AsyncFnMut(u32, String) -> Result<(Vec<T>, String, R), Failure>,
) -> Result<Listed<T, R>, Failure> {
    let (mut items, mut token) = (Vec::new(), String::new());
    loop {
        // At least one is asked for, to learn whether there are any.
        let wanted = (limit - items.len()).clamp(1, PAGE);
        let wanted = u32::try_from(wanted).unwrap_or_default();
        let (page, next, last) = ask(wanted, token).await?;
        items.extend(page);
        let more = !next.is_empty() || items.len() > limit;
        items.truncate(limit);
        if !more || items.len() >= limit {
            return Ok(Listed { items, more, last });
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a list of 2,500, in pages as long as is asked for.
    async fn of_many(limit: usize) -> (Listed<usize, usize>, Vec<u32>) {
        let (mut sizes, mut asked) = (Vec::new(), 0);
        let listed = listed(limit, async |size, token: String| {
            sizes.push(size);
            asked += 1;
            let from: usize = token.parse().unwrap_or(0);
            let to = (from + size as usize).min(2_500);
            let next = (to < 2_500).then(|| to.to_string());
            Ok(((from..to).collect(), next.unwrap_or_default(), asked))
        });
        let listed = listed.await.expect("nothing fails");
        (listed, sizes)
    }

    #[tokio::test]
    async fn a_list_is_asked_for_in_pages_up_to_its_limit() {
        let cases: [(usize, bool, &[u32]); 4] = [
            (2_500, false, &[1_000, 1_000, 500]),
            (usize::MAX, false, &[1_000, 1_000, 1_000]),
            (1_200, true, &[1_000, 200]),
            (0, true, &[1]),
        ];
        for (limit, more, expected) in cases {
            let (listed, sizes) = of_many(limit).await;
            let all = (0..limit.min(2_500)).collect::<Vec<_>>();
            assert_eq!((listed.items, listed.more), (all, more), "{limit}");
            assert_eq!((&sizes[..], listed.last), (expected, sizes.len()));
        }
    }
}
