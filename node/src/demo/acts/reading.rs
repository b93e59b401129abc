//! One account, asked everywhere.

use std::time::Duration;

use super::{
    Cluster, Error, Screen, books::Household, call, holds, minor_units, money, read, row,
    served_by, true_at,
};
use crate::api::{
    atm::v1::Balance,
    v1::read_mode::{Local, Mode, Strong},
};
use crate::client::Client;

/// An account that lives in eu-west and is used every few days.
pub(super) const ACCOUNT: &str = "Assets:US:BofA:Checking";
/// Where it lives.
pub(super) const HOME: &str = "eu-west";

const LOCAL: Mode = Mode::Local(Local {});
const STRONG: Mode = Mode::Strong(Strong {});
/// How often a question is asked for the time it takes.
const TIMES: usize = 101;

pub(super) async fn three_regions(
    cluster: &Cluster,
    screen: &mut Screen,
    household: &Household,
) -> Result<(), Error> {
    let account = household.account(ACCOUNT);
    screen.act(&format!(
        "2. One account, asked in three regions: {}, home {HOME}",
        account.name
    ));
    let mut rows = vec![row([
        "asked in",
        "how",
        "balance",
        "answered by",
        "true at (UTC)",
        "stale by at most",
        "took",
    ])];
    let mut found = Vec::new();
    for (mode, name, times) in [(LOCAL, "local", TIMES), (STRONG, "strong", TIMES / 10)] {
        for region in ["eu-west", "us-east", "ap-south"] {
            let client = &cluster.in_region(region).client;
            let (balance, took) = timed(client, &account.id, &mode, times).await?;
            rows.push([
                region.to_owned(),
                name.to_owned(),
                money(balance.posted.as_ref()),
                served_by(&balance),
                true_at(&balance),
                staleness(&balance),
                millis(took),
            ]);
            let answered_in = balance.served_by.as_ref().map_or("", |by| &by.region);
            let expected = if name == "local" { region } else { HOME };
            holds(answered_in == expected, || {
                format!("asked {name} in {region}, answered in {expected}, not {answered_in}")
            })?;
            holds(
                (balance.staleness_bound_ms == 0) == (name == "strong"),
                || format!("a {name} answer from {region} states its age"),
            )?;
            found.push(minor_units(&balance));
        }
    }
    screen.table(&rows);
    screen.say(
        "\n  Local answers come from the region's own copy and say how stale they may be. Strong ones\n\
         \x20 travel home and wait for nothing but the distance. (Median times, this client included.)",
    );
    holds(found.iter().all(|balance| *balance == found[0]), || {
        format!("nobody writes, so all answers agree: {found:?}")
    })
}

/// A time in milliseconds, to the hundredth.
fn millis(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}

/// How old an answer may be.
pub(super) fn staleness(balance: &Balance) -> String {
    format!("{} ms", balance.staleness_bound_ms)
}

/// Asks again and again: the last answer and the median time.
async fn timed(
    client: &Client,
    account: &str,
    mode: &Mode,
    times: usize,
) -> Result<(Balance, Duration), Error> {
    let mut balance = call("balance", read(client, account, mode.clone()).await)?;
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let start = tokio::time::Instant::now();
        balance = call("balance", read(client, account, mode.clone()).await)?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok((balance, took[times / 2]))
}
