//! Frozen trial balances.

use bytes::Bytes;

use super::{Read, currency, house};
use crate::{Damage, day::FrozenRow, proto};

pub(super) fn row_to_proto(row: &FrozenRow) -> proto::FrozenRow {
    let sum = |units: i128| Bytes::copy_from_slice(&units.to_be_bytes());
    proto::FrozenRow {
        currency: row.currency.to_string(),
        house: row
            .house
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        debit: sum(row.debit),
        credit: sum(row.credit),
    }
}

pub(super) fn row_from_proto(row: &proto::FrozenRow) -> Read<FrozenRow> {
    let sum = |bytes: &Bytes| -> Read<i128> {
        let bytes = bytes[..].try_into().map_err(|_| Damage::Field("sum"))?;
        Ok(i128::from_be_bytes(bytes))
    };
    Ok(FrozenRow {
        currency: currency(&row.currency)?,
        house: match row.house.as_str() {
            "" => None,
            code => Some(house(code)?),
        },
        debit: sum(&row.debit)?,
        credit: sum(&row.credit)?,
    })
}
