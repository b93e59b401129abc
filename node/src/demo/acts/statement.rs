//! A month long ago, as it is known now and as it was known before.

use super::{
    Cluster, Error, Screen,
    books::Household,
    call, holds, money,
    reading::{ACCOUNT, HOME},
    receipt, row, usd,
};
use crate::{
    api::{
        atm::v1::{GetStatementReply, GetStatementRequest, StatementBasis},
        teller::v1::DepositRequest,
        v1::{
            CommandContext, ReadMode,
            read_mode::{AsOf, Local, Mode, Session, as_of::At},
        },
    },
    client::{self, Client},
};

/// Where it is asked for.
const ABROAD: &str = "us-east";
const FORGOTTEN: i64 = 4_200;

pub(super) async fn of_a_past_month(
    cluster: &Cluster,
    screen: &mut Screen,
    household: &Household,
) -> Result<(), Error> {
    let account = household.account(ACCOUNT);
    let (first, last) = household.a_month(ACCOUNT);
    screen.act(&format!(
        "6. A statement of a past month, asked in {ABROAD}: {}, {first} to {last}",
        account.name
    ));
    let client = &cluster.in_region(ABROAD).client;
    let asked = |mode| GetStatementRequest {
        account_id: account.id.clone(),
        mode: Some(ReadMode { mode: Some(mode) }),
        from_date: first.clone(),
        to_date: last.clone(),
        page_size: 1_000,
        basis: StatementBasis::Effective.into(),
        ..Default::default()
    };
    let before = statement(client, asked(Mode::Local(Local {}))).await?;
    let forgotten = DepositRequest {
        context: Some(CommandContext {
            effective_date: last.clone(),
            ..Default::default()
        }),
        account_id: account.id.clone(),
        amount: Some(usd(FORGOTTEN)),
        ..Default::default()
    };
    let booked = call(
        "deposit",
        cluster.client_near(HOME)?.deposit(forgotten).await,
    )?;
    let booked = receipt(booked.receipt)?;
    let since = Session {
        tokens: vec![booked.token.clone()],
    };
    let now = statement(client, asked(Mode::Session(since))).await?;
    let place = before.balance.clone().unwrap_or_default().position;
    let then = Mode::AsOf(AsOf {
        at: place.map(At::Position),
        tokens: vec![booked.token],
    });
    let then = statement(client, asked(then)).await?;

    let mut rows = vec![row(["", "lines", "opening", "closing"])];
    for (when, found) in [
        ("as known first", &before),
        ("after a late booking", &now),
        ("as it was known before that", &then),
    ] {
        rows.push([
            when.to_owned(),
            found.lines.len().to_string(),
            money(found.opening_balance.as_ref()),
            money(found.closing_balance.as_ref()),
        ]);
    }
    screen.table(&rows);
    screen.say(&format!(
        "\n  {} are paid in today, and count from {last}. Both answers stay: what that month was, and\n\
         \x20 what was known of it at any earlier position, to the cent.",
        money(Some(&usd(FORGOTTEN))),
    ));
    holds(!before.lines.is_empty(), || {
        "something was booked in that month".to_owned()
    })?;
    let closing = |found: &GetStatementReply| {
        let closing = found.closing_balance.as_ref();
        closing.map_or(0, |sum| sum.minor_units)
    };
    holds(
        closing(&now) == closing(&before) + FORGOTTEN && now.lines.len() == before.lines.len() + 1,
        || "the late booking is in the month that it counts for".to_owned(),
    )?;
    let told = |found: &GetStatementReply| {
        let GetStatementReply {
            lines,
            opening_balance,
            closing_balance,
            ..
        } = found.clone();
        (lines, opening_balance, closing_balance)
    };
    holds(told(&then) == told(&before), || {
        "what was known is known".to_owned()
    })
}

async fn statement(
    client: &Client,
    request: GetStatementRequest,
) -> Result<GetStatementReply, Error> {
    let reply: Result<_, client::Error> = client.statement(request).await;
    call("statement", reply)
}
