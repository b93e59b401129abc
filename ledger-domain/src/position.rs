use std::{fmt, str::FromStr};

use crate::base32;

/// The number of a shard, unique in the whole ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a shard's history. The index goes on rising over all reigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Whose history.
    pub shard: ShardId,
    /// Which reign of the shard's home wrote the entry there.
    pub epoch: u64,
    /// The index in the shard's log.
    pub index: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.shard, self.epoch, self.index)
    }
}

/// A transaction's id is its place, so that looking one up needs no index.
///
/// Written as `tx` and groups of base32 with a check character.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    /// The entry.
    pub position: Position,
    /// The outcome's place in the entry, from 0.
    pub ordinal: u32,
}

/// A text that is not a transaction's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a transaction id: it reads tx-xxxx-…, and its last character checks the others")]
pub struct InvalidTransactionId;

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(24);
        let Position {
            shard,
            epoch,
            index,
        } = self.position;
        for number in [u64::from(shard.0), epoch, index, u64::from(self.ordinal)] {
            prost::encoding::encode_varint(number, &mut bytes);
        }
        let mut symbols = base32::encode(&bytes);
        symbols.push(base32::check("tx", &symbols));
        f.pad(&format!("tx-{}", base32::render(&symbols)))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TransactionId {
    type Err = InvalidTransactionId;

    fn from_str(s: &str) -> Result<Self, InvalidTransactionId> {
        let text = s.trim();
        let head = text.get(..3).ok_or(InvalidTransactionId)?;
        if !head.eq_ignore_ascii_case("tx-") {
            return Err(InvalidTransactionId);
        }
        let mut symbols = base32::symbols(&text[3..]).map_err(|_| InvalidTransactionId)?;
        let check = symbols.pop();
        if check != Some(base32::check("tx", &symbols)) {
            return Err(InvalidTransactionId);
        }
        let bytes = base32::decode(&symbols).ok_or(InvalidTransactionId)?;
        let mut rest = &bytes[..];
        let mut next =
            || prost::encoding::decode_varint(&mut rest).map_err(|_| InvalidTransactionId);
        let (shard, epoch, index, ordinal) = (next()?, next()?, next()?, next()?);
        let narrow = |n: u64| u32::try_from(n).map_err(|_| InvalidTransactionId);
        let position = Position {
            shard: ShardId(narrow(shard)?),
            epoch,
            index,
        };
        Ok(Self {
            position,
            ordinal: narrow(ordinal)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_and_slips_are_found() {
        for (shard, epoch, index, ordinal) in [
            (1, 1, 1, 0),
            (7, 2, 123_456_789, 31),
            (u32::MAX, u64::MAX, u64::MAX, u32::MAX),
        ] {
            let position = Position {
                shard: ShardId(shard),
                epoch,
                index,
            };
            let id = TransactionId { position, ordinal };
            let text = id.to_string();
            assert_eq!(text.to_uppercase().parse::<TransactionId>(), Ok(id));
            let slip = if text.ends_with('0') { "1" } else { "0" };
            assert!(
                format!("{}{slip}", &text[..text.len() - 1])
                    .parse::<TransactionId>()
                    .is_err()
            );
        }
        for bad in ["", "tx", "tx-", "é", "tx-zz"] {
            assert!(bad.parse::<TransactionId>().is_err());
        }
    }
}
