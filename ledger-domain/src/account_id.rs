use std::{fmt, str::FromStr};

use crate::{ReferenceDigest, RegionName, ShardId, base32};

/// The identity of a customer's account: its home region and 80 bits.
///
/// Written `eu-west.7k3m-9q2x-4h8t-z0vn-c`: the region, 16 characters of base32, and a check
/// character over all of it. Hyphens and case do not matter when it is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    region: RegionName,
    body: [u8; Self::BODY_LEN],
}

/// Why a text is not an account id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccountId {
    /// No dot between region and body.
    #[error("an account id reads region.xxxx-xxxx-xxxx-xxxx-c")]
    Shape,
    /// The part before the dot.
    #[error(transparent)]
    Region(#[from] crate::InvalidRegion),
    /// A character outside base32.
    #[error("`{0}` does not occur in account ids")]
    Character(char),
    /// Too many or too few characters.
    #[error("an account id has 17 characters after the dot, this one {0}")]
    Length(usize),
    /// The check character does not fit: something was misread.
    #[error("the check character does not fit: please read the id again")]
    Check,
}

impl AccountId {
    /// Bytes after the region.
    pub const BODY_LEN: usize = 10;

    /// From its parts.
    pub const fn new(region: RegionName, body: [u8; Self::BODY_LEN]) -> Self {
        Self { region, body }
    }

    /// The id that a name has within a scope: the same for everyone, so that no directory is
    /// needed to find an imported account again.
    pub fn derive(region: RegionName, scope: &str, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("meridian account id 2026-11");
        for part in [region.as_str(), scope, name] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut body = [0; Self::BODY_LEN];
        body.copy_from_slice(&hasher.finalize().as_bytes()[..Self::BODY_LEN]);
        Self { region, body }
    }

    /// The name of a shard's books, for commands that are about no account: no account has it.
    pub fn of_books(region: RegionName, shard: ShardId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("meridian books id 2026-11");
        hasher.update(&shard.0.to_be_bytes());
        let mut body = [0; Self::BODY_LEN];
        body.copy_from_slice(&hasher.finalize().as_bytes()[..Self::BODY_LEN]);
        Self { region, body }
    }

    /// The place of a reference, for commands about it and in the shard that keeps it: the one to
    /// which an account with this id would belong. No account has it.
    pub fn of_reference(region: RegionName, digest: &ReferenceDigest) -> Self {
        let hash = blake3::derive_key("meridian reference id 2026-11", &digest.0);
        let mut body = [0; Self::BODY_LEN];
        body.copy_from_slice(&hash[..Self::BODY_LEN]);
        Self { region, body }
    }

    /// Where the account was opened.
    pub fn region(&self) -> RegionName {
        self.region
    }

    /// The part after the region.
    pub fn body(&self) -> &[u8; Self::BODY_LEN] {
        &self.body
    }

    /// The text of an id that begins with a prefix: the check character is over that, too.
    pub(crate) fn written(prefix: &str, region: RegionName, body: &[u8; Self::BODY_LEN]) -> String {
        let mut symbols = base32::encode(body);
        symbols.push(base32::check(&format!("{prefix}{region}"), &symbols));
        format!("{prefix}{region}.{}", base32::render(&symbols))
    }

    /// The parts of an id out of its text after the prefix.
    pub(crate) fn read(
        prefix: &str,
        s: &str,
    ) -> Result<(RegionName, [u8; Self::BODY_LEN]), InvalidAccountId> {
        let (region, rest) = s.split_once('.').ok_or(InvalidAccountId::Shape)?;
        let region: RegionName = region.to_ascii_lowercase().parse()?;
        let mut symbols = base32::symbols(rest).map_err(InvalidAccountId::Character)?;
        if symbols.len() != 17 {
            return Err(InvalidAccountId::Length(symbols.len()));
        }
        let check = symbols.pop();
        if check != Some(base32::check(&format!("{prefix}{region}"), &symbols)) {
            return Err(InvalidAccountId::Check);
        }
        let body = base32::decode(&symbols).ok_or(InvalidAccountId::Check)?;
        let body = body.try_into().map_err(|_| InvalidAccountId::Check)?;
        Ok((region, body))
    }

    /// A number that spreads accounts evenly over the shards of a region.
    pub fn spread(&self) -> u64 {
        let hash = blake3::derive_key("meridian account spread 2026-11", &self.body);
        u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&Self::written("", self.region, &self.body))
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AccountId {
    type Err = InvalidAccountId;

    fn from_str(s: &str) -> Result<Self, InvalidAccountId> {
        let (region, body) = Self::read("", s.trim())?;
        Ok(Self { region, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> AccountId {
        AccountId::derive("eu-west".parse().unwrap(), "household", "Assets:Cash")
    }

    #[test]
    fn an_id_read_aloud_comes_back() {
        let text = id().to_string();
        assert_eq!(text.parse::<AccountId>().unwrap(), id());
        let aloud = text
            .to_uppercase()
            .replace('-', "")
            .replacen("EUWEST", "EU-WEST", 1);
        assert_eq!(aloud.parse::<AccountId>().unwrap(), id());
    }

    #[test]
    fn what_is_misread_is_named() {
        let text = id().to_string();
        assert_eq!("eu-west".parse::<AccountId>(), Err(InvalidAccountId::Shape));
        assert_eq!(
            "eu-west.abc".parse::<AccountId>(),
            Err(InvalidAccountId::Length(3))
        );
        assert!(matches!(
            text.replace('.', ".u").parse::<AccountId>(),
            Err(InvalidAccountId::Character('u'))
        ));
        let other = text.replace("eu-west", "eu-east");
        assert_eq!(other.parse::<AccountId>(), Err(InvalidAccountId::Check));
    }
}
