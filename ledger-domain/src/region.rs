use std::{fmt, str::FromStr};

/// The name of a region: 1 to 16 of `a-z`, `0-9` and inner hyphens, beginning with a letter.
///
/// A plain value of 17 bytes: it is part of every account id and is copied, not shared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionName {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

/// A text that is not the name of a region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a region's name: 1 to 16 of a-z, 0-9 and inner hyphens, a letter first")]
pub struct InvalidRegion(pub String);

impl RegionName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 16;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("a name is ASCII")
    }
}

impl FromStr for RegionName {
    type Err = InvalidRegion;

    fn from_str(s: &str) -> Result<Self, InvalidRegion> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = (1..=Self::MAX_LEN).contains(&s.len())
            && s.bytes().all(legal)
            && s.as_bytes()[0].is_ascii_lowercase()
            && !s.ends_with('-');
        if !good {
            return Err(InvalidRegion(s.chars().take(40).collect()));
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..s.len()].copy_from_slice(s.as_bytes());
        Ok(Self {
            bytes,
            len: s.len() as u8,
        })
    }
}

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for RegionName {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for RegionName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["eu-west", "a", "us-east-1", "abcdefghijklmnop"] {
            assert_eq!(good.parse::<RegionName>().unwrap().as_str(), good);
        }
        for bad in ["", "EU", "1a", "-a", "a-", "a b", "abcdefghijklmnopq", "é"] {
            assert!(bad.parse::<RegionName>().is_err(), "{bad}");
        }
    }
}
