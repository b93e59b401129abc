//! Every key of the views' store.
//!
//! Numbers are big-endian. An account takes 26 bytes: its region padded with zero bytes to 16, then
//! its body.
//!
//! | byte 0 | then | value |
//! |---|---|---|
//! | `0x01` | – | `Format` |
//! | `0x10` | shard, u32 | `Cursor` |
//! | `0x11` | shard, u32; destination, u32; number, u64 | `ItemUnderWay` |
//! | `0x12` | shard, u32; destination, u32; number, u64 | `ItemEnded` |
//! | `0x13` | shard, u32; source, u32; number, u64 | `ItemRecorded` |
//! | `0x14` | shard, u32; index, u64 | `VoidEntry` |
//! | `0x15` | shard, u32; original: index, u64; ordinal, u32; reversal: index, u64; ordinal, u32 | `ReversalRow` |
//! | `0x16` | shard, u32; number, u64 | `JournalDecided` |
//! | `0x20` | account | `AccountRow` |
//! | `0x21` | account; version of the first, u64 | lines, packed (`lines`) |
//! | `0x22` | account; version of the first, u64 | those of them that are late, packed |
//! | `0x23` | account | `AccountOpening` |
//! | `0x24` | account; number, u64 | `HoldRow` |
//! | `0x25` | account; number, u64 | `DeclinedRow` |
//! | `0x26` | account; index of the first, u64 | states, packed (`states`) |
//!
//! Every value is in a frame (`ledger_domain::frame`).

use std::ops::Range;

use ledger_domain::{AccountId, RegionName, ShardId, TransactionId};

pub(super) const FORMAT: [u8; 1] = [0x01];
const CURSOR: u8 = 0x10;
const ITEM: u8 = 0x11;
const ENDED: u8 = 0x12;
const RECORDED: u8 = 0x13;
const VOID: u8 = 0x14;
const REVERSAL: u8 = 0x15;
const JOURNAL: u8 = 0x16;
const ACCOUNT: u8 = 0x20;
const LINE: u8 = 0x21;
const LATE: u8 = 0x22;
const OPENING: u8 = 0x23;
const HOLD: u8 = 0x24;
const DECLINED: u8 = 0x25;
const STATE: u8 = 0x26;

/// Bytes of an account within a key.
pub(super) const ACCOUNT_LEN: usize = RegionName::MAX_LEN + AccountId::BODY_LEN;

pub(super) fn cursor(shard: ShardId) -> Vec<u8> {
    key(CURSOR, &[&shard.0.to_be_bytes()])
}

pub(super) fn item(shard: ShardId, destination: ShardId, number: u64) -> Vec<u8> {
    of_channel(ITEM, shard, destination, number)
}

/// In the view of its source.
pub(super) fn ended(shard: ShardId, destination: ShardId, number: u64) -> Vec<u8> {
    of_channel(ENDED, shard, destination, number)
}

/// In the view of its destination.
pub(super) fn recorded(shard: ShardId, source: ShardId, number: u64) -> Vec<u8> {
    of_channel(RECORDED, shard, source, number)
}

fn of_channel(kind: u8, shard: ShardId, peer: ShardId, number: u64) -> Vec<u8> {
    let (shard, peer) = (shard.0.to_be_bytes(), peer.0.to_be_bytes());
    key(kind, &[&shard, &peer, &number.to_be_bytes()])
}

pub(super) fn void(shard: ShardId, index: u64) -> Vec<u8> {
    key(VOID, &[&shard.0.to_be_bytes(), &index.to_be_bytes()])
}

/// In the view of its coordinator.
pub(super) fn journal(shard: ShardId, number: u64) -> Vec<u8> {
    key(JOURNAL, &[&shard.0.to_be_bytes(), &number.to_be_bytes()])
}

/// A reversal of a transaction of the same shard.
pub(super) fn reversal(original: &TransactionId, reversal: &TransactionId) -> Vec<u8> {
    let TransactionId { position, ordinal } = reversal;
    let (index, ordinal) = (position.index.to_be_bytes(), ordinal.to_be_bytes());
    let mut key = reversals_of(original);
    key.extend(index);
    key.extend(ordinal);
    key
}

fn reversals_of(original: &TransactionId) -> Vec<u8> {
    let TransactionId { position, ordinal } = original;
    let (shard, index) = (position.shard.0.to_be_bytes(), position.index.to_be_bytes());
    key(REVERSAL, &[&shard, &index, &ordinal.to_be_bytes()])
}

/// All reversals of a transaction, the first first.
pub(super) fn reversals(original: &TransactionId) -> Range<Vec<u8>> {
    let mut end = reversals_of(original);
    end.extend([0xff; 13]);
    reversals_of(original)..end
}

pub(super) fn items(shard: ShardId) -> Range<Vec<u8>> {
    let end = match shard.0.checked_add(1) {
        Some(next) => key(ITEM, &[&next.to_be_bytes()]),
        None => vec![ITEM + 1],
    };
    key(ITEM, &[&shard.0.to_be_bytes()])..end
}

pub(super) fn account(id: &AccountId) -> Vec<u8> {
    key(ACCOUNT, &[&account_bytes(id)])
}

pub(super) fn opening(id: &AccountId) -> Vec<u8> {
    key(OPENING, &[&account_bytes(id)])
}

pub(super) fn accounts() -> Range<Vec<u8>> {
    vec![ACCOUNT]..vec![ACCOUNT + 1]
}

pub(super) fn cursors() -> Range<Vec<u8>> {
    vec![CURSOR]..vec![CURSOR + 1]
}

pub(super) fn line(account: &AccountId, version: u64) -> Vec<u8> {
    key(LINE, &[&account_bytes(account), &version.to_be_bytes()])
}

pub(super) fn late(account: &AccountId, version: u64) -> Vec<u8> {
    key(LATE, &[&account_bytes(account), &version.to_be_bytes()])
}

pub(super) fn hold(account: &AccountId, number: u64) -> Vec<u8> {
    key(HOLD, &[&account_bytes(account), &number.to_be_bytes()])
}

pub(super) fn declined(account: &AccountId, number: u64) -> Vec<u8> {
    key(DECLINED, &[&account_bytes(account), &number.to_be_bytes()])
}

/// The states of an account from an index of its shard's log on.
pub(super) fn state(account: &AccountId, index: u64) -> Vec<u8> {
    key(STATE, &[&account_bytes(account), &index.to_be_bytes()])
}

/// Those of all accounts.
#[cfg(test)]
pub(super) fn states() -> Range<Vec<u8>> {
    vec![STATE]..vec![STATE + 1]
}

/// An account as it stands in keys.
pub(super) fn account_bytes(id: &AccountId) -> [u8; ACCOUNT_LEN] {
    let mut bytes = [0; ACCOUNT_LEN];
    let region = id.region();
    let name = region.as_str().as_bytes();
    bytes[..name.len()].copy_from_slice(name);
    bytes[RegionName::MAX_LEN..].copy_from_slice(id.body());
    bytes
}

/// The account that 26 bytes stand for, if they stand for one.
pub(super) fn account_from(bytes: &[u8]) -> Option<AccountId> {
    let bytes: &[u8; ACCOUNT_LEN] = bytes.try_into().ok()?;
    let (region, body) = bytes.split_at(RegionName::MAX_LEN);
    let region = std::str::from_utf8(region).ok()?;
    let region = region.trim_end_matches('\0').parse().ok()?;
    Some(AccountId::new(region, body.try_into().ok()?))
}

/// The account of a key of [`accounts`].
pub(super) fn account_of(key: &[u8]) -> Option<AccountId> {
    account_from(key.get(1..)?)
}

/// The shard of a key of [`cursors`].
pub(super) fn shard_of(key: &[u8]) -> Option<ShardId> {
    Some(ShardId(number(key, 1..5)?))
}

/// The destination and number of a key of [`items`].
pub(super) fn item_of(key: &[u8]) -> Option<(ShardId, u64)> {
    let number_bytes = key.get(9..)?.try_into().ok()?;
    Some((
        ShardId(number(key, 5..9)?),
        u64::from_be_bytes(number_bytes),
    ))
}

/// The version of a key of [`line`] or [`late`], the number of one of [`hold`] or [`declined`], or the
/// index of one of [`state`].
pub(super) fn version_of(key: &[u8]) -> Option<u64> {
    let version = key.get(1 + ACCOUNT_LEN..)?.try_into().ok()?;
    Some(u64::from_be_bytes(version))
}

fn number(key: &[u8], at: Range<usize>) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(at)?.try_into().ok()?))
}

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(region: &str) -> AccountId {
        AccountId::new(region.parse().unwrap(), *b"0123456789")
    }

    #[test]
    fn the_layout_is_fixed() {
        let mut expected = vec![0x21];
        expected.extend(b"eu-west\0\0\0\0\0\0\0\0\x000123456789");
        expected.extend([0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(line(&id("eu-west"), 258), expected);
        assert_eq!(version_of(&expected), Some(258));
        assert_eq!(
            item(ShardId(1), ShardId(2), 3),
            [0x11, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]
        );
        assert_eq!(
            void(ShardId(1), 2),
            [0x14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]
        );
        assert_eq!(
            journal(ShardId(1), 2),
            [0x16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]
        );
    }

    #[test]
    fn parts_come_back() {
        for region in ["a", "eu-west", "a-region-with-16"] {
            assert_eq!(account_of(&account(&id(region))), Some(id(region)));
        }
        assert_eq!(account_of(&account(&id("a"))[1..]), None);
        assert_eq!(
            item_of(&item(ShardId(1), ShardId(2), 3)),
            Some((ShardId(2), 3))
        );
        assert_eq!(shard_of(&cursor(ShardId(9))), Some(ShardId(9)));
    }

    #[test]
    fn ranges_end_where_they_say() {
        assert!(items(ShardId(1)).contains(&item(ShardId(1), ShardId(u32::MAX), u64::MAX)));
        assert!(!items(ShardId(1)).contains(&item(ShardId(2), ShardId(0), 0)));
    }
}
