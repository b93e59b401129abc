//! A card payment's life: held in one region, captured in part into another, the rest given back.

use super::{
    Cluster, Error, Screen, books::Household, call, dollars, holds, money, reading::ACCOUNT,
    receipt, row, usd,
};
use crate::{
    api::{
        teller::v1::{
            CaptureHoldRequest, HoldReply, OpenAccountRequest, PlaceHoldRequest,
            capture_hold_request::Payee,
        },
        v1::{BalanceAfter, Receipt},
    },
    client::Error as CallError,
};

/// Where the guest is, far from the account.
const ABROAD: &str = "ap-south";
const DEPOSIT: i64 = 40_000;
const ROOM: i64 = 18_000;
const BREAKFAST: i64 = 2_450;

pub(super) async fn in_a_hotel(
    cluster: &Cluster,
    screen: &mut Screen,
    household: &Household,
) -> Result<(), Error> {
    let guest = household.account(ACCOUNT);
    screen.act(&format!(
        "5. A hotel in {ABROAD} takes a card: {} (eu-west)",
        guest.name
    ));
    let terminal = cluster.client_near(ABROAD)?;
    let opening = OpenAccountRequest {
        home_region: ABROAD.to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    let hotel = call("open account", terminal.open_account(opening).await)?.account_id;
    let place = PlaceHoldRequest {
        account_id: guest.id.clone(),
        amount: Some(usd(DEPOSIT)),
        ..Default::default()
    };
    let placed = call("hold", terminal.place_hold(place).await)?;
    let capture = |units, is_final| CaptureHoldRequest {
        account_id: guest.id.clone(),
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
        let own = side(&receipt, &guest.id).unwrap_or_default();
        let theirs = side(&receipt, &hotel).unwrap_or_default();
        rows.push([
            what,
            money(own.posted.as_ref()),
            money(own.held.as_ref()),
            own.available
                .map_or("any".to_owned(), |available| money(Some(&available))),
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
    let held = side(&last, &guest.id).and_then(|side| side.held);
    holds(held.is_some_and(|held| held.minor_units == 0), || {
        "nothing is held after the last capture".to_owned()
    })?;
    holds(
        posted(&first, &guest.id) - posted(&last, &guest.id) == ROOM + BREAKFAST,
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
