//! The acts, in their order. Each shows something out of the API and states what must hold.

mod books;
mod card;
mod day;
mod link;
mod outage;
mod reading;
mod statement;
mod transfer;
mod watch;

use super::{Error, cluster::Cluster, holds, screen::Screen};
use crate::{
    api::{
        atm::v1::{Balance, GetBalanceRequest},
        v1::{self, ReadMode, read_mode::Mode},
    },
    client::{self, Client},
};

/// Plays them.
pub(super) async fn all(cluster: &mut Cluster, screen: &mut Screen) -> Result<(), Error> {
    let household = books::import(cluster, screen).await?;
    reading::three_regions(cluster, screen, &household).await?;
    link::cut(cluster, screen, &household).await?;
    transfer::under_way(cluster, screen, &household).await?;
    card::in_a_hotel(cluster, screen).await?;
    statement::of_a_past_month(cluster, screen, &household).await?;
    outage::of_a_leader(cluster, screen).await?;
    day::is_closed(cluster, screen).await?;
    books::trial_balance(cluster, screen).await
}

/// Names what was asked when a call fails that must not.
fn call<T>(what: &'static str, reply: Result<T, client::Error>) -> Result<T, Error> {
    reply.map_err(|cause| Error::Call { what, cause })
}

/// A receipt that must be there.
fn receipt(receipt: Option<v1::Receipt>) -> Result<v1::Receipt, Error> {
    receipt.ok_or_else(|| Error::Broken("an accepted command has a receipt".to_owned()))
}

async fn read(client: &Client, account: &str, mode: Mode) -> Result<Balance, client::Error> {
    let request = GetBalanceRequest {
        account_id: account.to_owned(),
        mode: Some(ReadMode { mode: Some(mode) }),
    };
    Ok(client.balance(request).await?.balance.unwrap_or_default())
}

fn minor_units(balance: &Balance) -> i64 {
    balance.posted.as_ref().map_or(0, |money| money.minor_units)
}

fn money(money: Option<&v1::Money>) -> String {
    money.map(crate::cli::render).unwrap_or_default()
}

fn dollars(minor_units: i64) -> String {
    money(Some(&usd(minor_units)))
}

fn usd(minor_units: i64) -> v1::Money {
    v1::Money {
        minor_units,
        currency: "USD".to_owned(),
    }
}

fn served_by(balance: &Balance) -> String {
    balance
        .served_by
        .as_ref()
        .map_or(String::new(), |by| by.node.clone())
}

/// The time of day that an answer is true for, in UTC.
fn true_at(balance: &Balance) -> String {
    let nanos = balance.true_at.as_ref().map_or(0, |time| time.unix_nanos);
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    time.strftime("%H:%M:%S%.3f").to_string()
}

/// A row of a table out of texts.
fn row<const N: usize>(cells: [&str; N]) -> [String; N] {
    cells.map(str::to_owned)
}
