//! Looks at what is near: local, session, bounded and as-of reads, in the words of their judge.

use node::{
    api::{
        atm::v1::GetBalanceRequest,
        v1::{
            ReadMode,
            read_mode::{self, AsOf, Bounded, Local, Mode, Otherwise},
        },
    },
    client::{Client, Error},
};
use rand::{Rng, rngs::SmallRng};

use crate::oracle::stated::Glance;

/// What a receipt covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The token on it.
    pub(super) token: String,
    /// Of which shard it is.
    pub(super) shard: u32,
    /// Its place there.
    pub(super) index: u64,
}

/// Looks once. Returns how, and what was seen, if anything was answered.
///
/// # Errors
///
/// When the answer makes no sense.
pub(super) async fn look(
    client: &Client,
    account: String,
    seen: &[Seen],
    rng: &mut SmallRng,
) -> Result<(&'static str, Option<Glance>), Error> {
    let tokens: Vec<String> = seen.iter().map(|seen| seen.token.clone()).collect();
    let bounded = |otherwise: Otherwise, rng: &mut SmallRng| Bounded {
        max_staleness_ms: rng.random_range(600..5_000),
        otherwise: otherwise.into(),
        tokens: Vec::new(),
    };
    let mut must_cover = Vec::new();
    let (name, mode) = match (rng.random_range(0..6), seen.first()) {
        (0, _) => ("local looks", Mode::Local(Local {})),
        (1, Some(_)) => {
            must_cover = seen.iter().map(|seen| (seen.shard, seen.index)).collect();
            (
                "session looks",
                Mode::Session(read_mode::Session { tokens }),
            )
        }
        (2, Some(seen)) => {
            let at = read_mode::as_of::At::Position(node::api::v1::Position {
                shard: seen.shard,
                // Every home is in its first reign: moving homes is not built yet.
                epoch: 1,
                index: seen.index,
            });
            let tokens = Vec::new();
            let at = Some(at);
            ("looks as of a place", Mode::AsOf(AsOf { at, tokens }))
        }
        (3, _) => (
            "bounded looks, or waiting",
            Mode::Bounded(bounded(Otherwise::Wait, rng)),
        ),
        (4, _) => (
            "bounded looks, or at home",
            Mode::Bounded(bounded(Otherwise::Home, rng)),
        ),
        _ => (
            "bounded looks, or nothing",
            Mode::Bounded(bounded(Otherwise::Error, rng)),
        ),
    };
    let request = GetBalanceRequest {
        account_id: account.clone(),
        mode: Some(ReadMode { mode: Some(mode) }),
    };
    let reply = match client.balance(request).await {
        Ok(reply) => reply,
        Err(error @ (Error::Malformed(_) | Error::Options(_))) => return Err(error),
        // Too far behind, not here yet, of another shard: whatever it is, nothing was claimed.
        Err(_) => return Ok((name, None)),
    };
    let missing = |what: &str| Error::Malformed(format!("a balance without {what}"));
    let balance = reply.balance.ok_or_else(|| missing("a balance"))?;
    let position = balance.position.ok_or_else(|| missing("its place"))?;
    let time = balance.true_at.ok_or_else(|| missing("its time"))?;
    let posted = balance.posted.ok_or_else(|| missing("an amount"))?;
    let glance = Glance {
        account,
        shard: position.shard,
        index: position.index,
        balance: posted.minor_units,
        time: time.unix_nanos,
        must_cover: must_cover
            .into_iter()
            .filter(|(shard, _)| *shard == position.shard)
            .map(|(_, index)| index)
            .max(),
    };
    Ok((name, Some(glance)))
}
