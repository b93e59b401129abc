//! The link home is cut: local answers go on and say how old they are.

use std::time::Duration;

use super::{
    Cluster, Error, Screen,
    books::Household,
    call, holds, minor_units, money, read,
    reading::{ACCOUNT, HOME, staleness},
    receipt, row, served_by, true_at, usd,
};
use crate::api::{
    teller::v1::DepositRequest,
    v1::read_mode::{Local, Mode, Session, Strong},
};

/// The region that loses its link.
const FAR: &str = "ap-south";
/// How long the strong read may try.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn cut(
    cluster: &Cluster,
    screen: &mut Screen,
    household: &Household,
) -> Result<(), Error> {
    let account = household.account(ACCOUNT);
    let far = cluster.in_region(FAR);
    screen.act(&format!("3. The link between {HOME} and {FAR} is cut"));
    cluster.set_link(HOME, FAR, true).await?;
    let cut = cut_off(cluster, screen, &account.id).await;
    cluster.set_link(HOME, FAR, false).await?;
    let (before, token) = cut?;
    let session = Mode::Session(Session {
        tokens: vec![token],
    });
    let after = call("balance", read(&far.client, &account.id, session).await)?;
    screen.say(&format!(
        "\n  The link is mended. Asked at {} with the token of that receipt: {}.",
        far.name,
        money(after.posted.as_ref()),
    ));
    holds(minor_units(&after) == before + DEPOSIT, || {
        "with the receipt's token the deposit is seen".to_owned()
    })
}

const DEPOSIT: i64 = 10_000;

/// What is seen while the link is cut: the local balance, and the token of a deposit at home.
async fn cut_off(
    cluster: &Cluster,
    screen: &mut Screen,
    account: &str,
) -> Result<(i64, String), Error> {
    let far = cluster.in_region(FAR);
    let local = || read(&far.client, account, Mode::Local(Local {}));
    let first = call("balance", local().await)?;
    let request = DepositRequest {
        account_id: account.to_owned(),
        amount: Some(usd(DEPOSIT)),
        ..Default::default()
    };
    let deposited = call("deposit", cluster.client_near(HOME)?.deposit(request).await)?;
    let deposited = receipt(deposited.receipt)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = call("balance", local().await)?;

    let mut rows = vec![row([
        "asked at",
        "how",
        "balance",
        "answered by",
        "true at (UTC)",
        "stale by at most",
    ])];
    for (when, balance) in [("local", &first), ("local, 2 s later", &second)] {
        rows.push([
            far.name.clone(),
            when.to_owned(),
            money(balance.posted.as_ref()),
            served_by(balance),
            true_at(balance),
            staleness(balance),
        ]);
    }
    screen.table(&rows);
    screen.say(&format!(
        "\n  Meanwhile at home, in {HOME}: {} are paid in, safe on a majority there. {FAR} cannot\n\
         \x20 know yet, and its answer says up to when it does.",
        money(Some(&usd(DEPOSIT))),
    ));
    let hurried = cluster.client_at(far, PATIENCE)?;
    let strong = read(&hurried, account, Mode::Strong(Strong {})).await;
    screen.say(&format!(
        "  A strong read at {} is not answered from a guess: it is refused, and may be asked again.",
        far.name
    ));
    holds(strong.is_err_and(|error| error.retryable()), || {
        "no strong answer across a cut link".to_owned()
    })?;
    holds(minor_units(&first) == minor_units(&second), || {
        "the answer is the same while nothing arrives".to_owned()
    })?;
    holds(
        second.staleness_bound_ms >= first.staleness_bound_ms + 1_500,
        || {
            format!(
                "two seconds later the answer states an age two seconds higher: {} ms, then {} ms",
                first.staleness_bound_ms, second.staleness_bound_ms
            )
        },
    )?;
    Ok((minor_units(&second), deposited.token))
}
