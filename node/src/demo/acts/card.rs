//! A card payment's life: held in one region, captured in part into another, the rest given back.

use super::{Cluster, Error, Screen, call, dollars, holds, money, receipt, row, usd};
use crate::{
    api::{
        teller::v1::{
            CaptureHoldRequest, DepositRequest, HoldReply, OpenAccountRequest, PlaceHoldRequest,
            capture_hold_request::Payee,
        },
        v1::{BalanceAfter, Receipt},
    },
    client::{Client, Error as CallError},
};

/// Where the card's account is.
const HOME: &str = "eu-west";
/// Where the guest is.
const ABROAD: &str = "ap-south";
const FUNDS: i64 = 50_000;
const DEPOSIT: i64 = 40_000;
const ROOM: i64 = 18_000;
const BREAKFAST: i64 = 2_450;

pub(super) async fn in_a_hotel(cluster: &Cluster, screen: &mut Screen) -> Result<(), Error> {
    screen.act(&format!("5. A hotel in {ABROAD} takes a card from {HOME}"));
    let terminal = cluster.client_near(ABROAD)?;
    let hotel = open(&terminal, ABROAD).await?;
    let guest = open(&terminal, HOME).await?;
    let pay_in = DepositRequest {
        account_id: guest.clone(),
        amount: Some(usd(FUNDS)),
        ..Default::default()
    };
    call("deposit", terminal.deposit(pay_in).await)?;
    let place = PlaceHoldRequest {
        account_id: guest.clone(),
        amount: Some(usd(DEPOSIT)),
        ..Default::default()
    };
    let placed = call("hold", terminal.place_hold(place).await)?;
    let capture = |units, is_final| CaptureHoldRequest {
        account_id: guest.clone(),
        hold_id: placed.hold_id.clone(),
        amount: Some(usd(units)),
        payee: Some(Payee::ToAccountId(hotel.clone())),
        r#final: is_final,
        ..Default::default()
    };
    let room = call("capture", terminal.capture_hold(capture(ROOM, false)).await)?;
    let too_much = terminal.capture_hold(capture(DEPOSIT, false)).await;
    let breakfast = call(
        "capture",
        terminal.capture_hold(capture(BREAKFAST, true)).await,
    )?;
    let after_the_end = terminal.capture_hold(capture(1, false)).await;

    let mut rows = vec![row(["", "posted", "held", "available", "the hotel has"])];
    for (what, reply) in [
        (format!("hold {}", dollars(DEPOSIT)), &placed),
        (format!("capture {}, the room", dollars(ROOM)), &room),
        (
            format!("capture {}, breakfast, final", dollars(BREAKFAST)),
            &breakfast,
        ),
    ] {
        let receipt = receipt_of(reply)?;
        let own = side(&receipt, &guest).unwrap_or_default();
        let theirs = side(&receipt, &hotel).unwrap_or_default();
        rows.push([
            what,
            money(own.posted.as_ref()),
            money(own.held.as_ref()),
            money(own.available.as_ref()),
            money(theirs.posted.as_ref()),
        ]);
    }
    screen.table(&rows);
    screen.say(&format!(
        "\n  What is held is not available and still posted. The last capture gives back the {} that\n\
         \x20 nobody took. Beyond the hold: {}. After its end: {}.",
        dollars(DEPOSIT - ROOM - BREAKFAST),
        code(&too_much),
        code(&after_the_end),
    ));
    let (first, last) = (receipt_of(&placed)?, receipt_of(&breakfast)?);
    let posted = |receipt: &Receipt, id: &str| {
        let side = side(receipt, id).unwrap_or_default();
        side.posted.unwrap_or_default().minor_units
    };
    let held = side(&last, &guest).and_then(|side| side.held);
    holds(held.is_some_and(|held| held.minor_units == 0), || {
        "nothing is held after the last capture".to_owned()
    })?;
    holds(
        posted(&first, &guest) - posted(&last, &guest) == ROOM + BREAKFAST,
        || "the guest has paid for the room and the breakfast".to_owned(),
    )?;
    holds(posted(&last, &hotel) == ROOM + BREAKFAST, || {
        "and the hotel has it".to_owned()
    })?;
    holds(
        code(&too_much) == "HOLD_EXCEEDED" && code(&after_the_end) == "HOLD_ENDED",
        || "no more is captured than was held".to_owned(),
    )
}

async fn open(client: &Client, region: &str) -> Result<String, Error> {
    let opening = OpenAccountRequest {
        home_region: region.to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    Ok(call("open account", client.open_account(opening).await)?.account_id)
}

fn receipt_of(reply: &HoldReply) -> Result<Receipt, Error> {
    receipt(reply.receipt.clone())
}

/// What a receipt tells of an account.
fn side(receipt: &Receipt, account: &str) -> Option<BalanceAfter> {
    let mut all = receipt.balances_after.iter();
    all.find(|after| after.account_id == account).cloned()
}

/// The code of a refusal; nothing for what was done.
fn code(reply: &Result<HoldReply, CallError>) -> &str {
    let refused = reply.as_ref().err();
    refused.and_then(CallError::code).unwrap_or_default()
}
