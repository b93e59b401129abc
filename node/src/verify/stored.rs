//! Stored messages and how their fields are read.

use bytes::Bytes;
use ledger_domain::{AccountId, Currency, Date, frame};
use prost::Message;

/// The messages of `replication/proto/peer.proto`, generated for this room alone.
#[allow(missing_docs, dead_code, clippy::all, rustdoc::all)]
pub(super) mod peer {
    include!(concat!(env!("OUT_DIR"), "/verify/meridian.peer.v1.rs"));
}

/// The messages of `ledger-domain/proto/entry.proto`, generated for this room alone.
#[allow(missing_docs, dead_code, clippy::all, rustdoc::all)]
pub(super) mod ledger {
    include!(concat!(env!("OUT_DIR"), "/verify/meridian.ledger.v1.rs"));
}

/// BLAKE3, 32 bytes.
pub(super) type Hash = [u8; 32];

/// Why a stored value cannot be read, for people.
pub(super) type Read<T> = Result<T, String>;

/// The message in a frame.
pub(super) fn framed<M: Message + Default>(stored: &Bytes) -> Read<M> {
    let payload = frame::open(stored).map_err(|error| error.to_string())?;
    message(payload)
}

/// A message as it stands.
pub(super) fn message<M: Message + Default>(stored: Bytes) -> Read<M> {
    M::decode(stored).map_err(|error| format!("not the message that belongs here: {error}"))
}

/// The hash in a frame.
pub(super) fn framed_hash(stored: &Bytes) -> Read<Hash> {
    let payload = frame::open(stored).map_err(|error| error.to_string())?;
    hash(&payload)
}

pub(super) fn hash(bytes: &[u8]) -> Read<Hash> {
    let len = bytes.len();
    bytes
        .try_into()
        .map_err(|_| format!("a hash of {len} bytes instead of 32"))
}

pub(super) fn account(id: &Option<ledger::AccountId>) -> Read<AccountId> {
    let id = id.as_ref().ok_or("an account id is missing")?;
    let region = id.region.parse().map_err(|error| format!("{error}"))?;
    let body = id.body[..]
        .try_into()
        .map_err(|_| format!("an account id of {} bytes instead of 10", id.body.len()))?;
    Ok(AccountId::new(region, body))
}

pub(super) fn currency(code: &str) -> Read<Currency> {
    code.parse().map_err(|error| format!("{error}"))
}

/// An amount: above zero, within 63 bits.
pub(super) fn amount(minor_units: u64) -> Read<i64> {
    match i64::try_from(minor_units) {
        Ok(units) if units > 0 => Ok(units),
        _ => Err(format!("{minor_units} minor units are no amount")),
    }
}

/// A calendar date of the years 1900 to 9999, from days since 1970.
pub(super) fn date(days: i32) -> Read<Date> {
    Date::from_days(days).ok_or_else(|| format!("day {days} is no date"))
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
