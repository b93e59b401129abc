//! Who a customer is, sealed under a key of its own.
//!
//! The profile of a customer (names, contacts, other references) stands in its events as an envelope: which
//! key, and a padded ciphertext. The key is no part of the log: it is kept beside it, by the nodes of
//! the customer's residency domain, so that destroying it makes every copy of every profile unreadable
//! for ever, backups included, and leaves the history verifiable: chains cover the ciphertext.
//!
//! Scheme 1: XChaCha20-Poly1305 under the customer's key with a random nonce; the customer's id is
//! authenticated with it, so that no envelope passes for another's.

use std::fmt;

use bytes::Bytes;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};

use crate::CustomerId;

/// The longest profile that can be sealed, in bytes.
pub const LONGEST_PROFILE: usize = 4_096;
/// Padded to a multiple of so many bytes before it is sealed: its length says little.
const BLOCK: usize = 256;
const SCHEME: u32 = 1;
const CONTEXT: &str = "meridian customer profile 2026-11";

/// A profile as everybody else holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedProfile {
    /// Which key, 8 bytes of its hash.
    pub key_id: [u8; 8],
    /// How it is sealed.
    pub scheme: u32,
    /// Never used twice with a key.
    pub nonce: [u8; 24],
    /// Padded, encrypted and authenticated.
    pub ciphertext: Bytes,
}

impl fmt::Debug for SealedProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedProfile({} bytes)", self.ciphertext.len())
    }
}

/// The key of one customer.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomerKey([u8; 32]);

/// Why a profile cannot be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotRead {
    /// Sealed under another key than the one that is given.
    #[error("the profile is sealed under a key that is not the customer's any more")]
    OtherKey,
    /// A scheme this program does not know.
    #[error("the profile is sealed by scheme {0}, which this program does not know")]
    Scheme(u32),
    /// Not what was sealed for this customer.
    #[error("the sealed profile does not authenticate: it was changed, or is another customer's")]
    Damaged,
}

/// A profile that cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the profile has {0} bytes; at most {LONGEST_PROFILE} are kept")]
pub struct TooLong(pub usize);

impl CustomerKey {
    /// From 32 secret random bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The secret bytes, to be kept where nobody else reads them.
    pub const fn secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// What names the key without revealing it.
    pub fn id(&self) -> [u8; 8] {
        let hash = blake3::derive_key("meridian customer key id 2026-11", &self.0);
        hash[..8].try_into().expect("eight of thirty-two bytes")
    }

    /// What tells two profiles of a customer apart, and nothing to whoever does not have the key: also not
    /// whether a guess is right, once the key is destroyed.
    pub fn digest(&self, profile: &[u8]) -> [u8; 32] {
        let key = blake3::derive_key("meridian customer profile digest 2026-11", &self.0);
        *blake3::keyed_hash(&key, profile).as_bytes()
    }

    /// Seals a profile with 24 random bytes.
    pub fn seal(
        &self,
        customer: &CustomerId,
        profile: &[u8],
        nonce: [u8; 24],
    ) -> Result<SealedProfile, TooLong> {
        let length = u16::try_from(profile.len()).ok();
        let length = length.filter(|it| usize::from(*it) <= LONGEST_PROFILE);
        let length = length.ok_or(TooLong(profile.len()))?;
        let mut padded = Vec::with_capacity(profile.len() + 2 + BLOCK);
        padded.extend_from_slice(&length.to_be_bytes());
        padded.extend_from_slice(profile);
        padded.resize(padded.len().next_multiple_of(BLOCK), 0);
        let payload = Payload {
            msg: &padded,
            aad: &aad(customer),
        };
        let ciphertext = XChaCha20Poly1305::new(&self.0.into())
            .encrypt(&nonce.into(), payload)
            .expect("a short text in memory can be encrypted");
        Ok(SealedProfile {
            key_id: self.id(),
            scheme: SCHEME,
            nonce,
            ciphertext: ciphertext.into(),
        })
    }

    /// Opens a customer's profile.
    ///
    /// # Errors
    ///
    /// Another key's, another scheme, or not what was sealed for this customer.
    pub fn open(
        &self,
        customer: &CustomerId,
        sealed: &SealedProfile,
    ) -> Result<Vec<u8>, CannotRead> {
        if sealed.scheme != SCHEME {
            return Err(CannotRead::Scheme(sealed.scheme));
        }
        if sealed.key_id != self.id() {
            return Err(CannotRead::OtherKey);
        }
        let payload = Payload {
            msg: &sealed.ciphertext,
            aad: &aad(customer),
        };
        let padded = XChaCha20Poly1305::new(&self.0.into())
            .decrypt(&sealed.nonce.into(), payload)
            .map_err(|_| CannotRead::Damaged)?;
        let (length, rest) = padded.split_at_checked(2).ok_or(CannotRead::Damaged)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let profile = rest.get(..length).ok_or(CannotRead::Damaged)?;
        Ok(profile.to_vec())
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKey(secret)")
    }
}

fn aad(customer: &CustomerId) -> Vec<u8> {
    let mut aad = CONTEXT.as_bytes().to_vec();
    aad.extend_from_slice(customer.to_string().as_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(key: &str) -> CustomerId {
        CustomerId::derive("eu-west".parse().unwrap(), key)
    }

    #[test]
    fn a_profile_is_read_with_its_customers_key_and_no_other() {
        let key = CustomerKey::new([7; 32]);
        let (one, other) = (customer("one"), customer("other"));
        for profile in ["", "Ada Lovelace", &"é".repeat(LONGEST_PROFILE / 2)] {
            let sealed = key.seal(&one, profile.as_bytes(), [1; 24]).unwrap();
            assert_eq!(key.open(&one, &sealed).unwrap(), profile.as_bytes());
            assert_eq!(key.open(&other, &sealed), Err(CannotRead::Damaged));
            let stranger = CustomerKey::new([8; 32]);
            assert_eq!(stranger.open(&one, &sealed), Err(CannotRead::OtherKey));
            let mut forged = sealed.clone();
            forged.key_id = stranger.id();
            assert_eq!(stranger.open(&one, &forged), Err(CannotRead::Damaged));
            let newer = SealedProfile {
                scheme: 2,
                ..sealed
            };
            assert_eq!(key.open(&one, &newer), Err(CannotRead::Scheme(2)));
        }
        let long = vec![b'x'; LONGEST_PROFILE + 1];
        assert_eq!(
            key.seal(&one, &long, [1; 24]),
            Err(TooLong(LONGEST_PROFILE + 1))
        );
    }

    #[test]
    fn every_changed_byte_is_found_and_lengths_say_little() {
        let key = CustomerKey::new([7; 32]);
        let one = customer("one");
        let sealed = key.seal(&one, b"Ada", [1; 24]).unwrap();
        for at in 0..sealed.ciphertext.len() {
            let mut bytes = sealed.ciphertext.to_vec();
            bytes[at] ^= 1;
            let changed = SealedProfile {
                ciphertext: bytes.into(),
                ..sealed.clone()
            };
            assert_eq!(key.open(&one, &changed), Err(CannotRead::Damaged));
        }
        let longer = key.seal(&one, &[b'x'; 200], [2; 24]).unwrap();
        assert_eq!(longer.ciphertext.len(), sealed.ciphertext.len());
        assert!(!format!("{key:?} {sealed:?}").contains("Ada"));
    }
}
