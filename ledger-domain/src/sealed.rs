//! Personal data, readable only in its residency domain.
//!
//! Anyone may seal for a domain (with its public key); only nodes that hold the domain's secret
//! can open. Scheme 1: an ephemeral X25519 key agrees on a secret with the domain's key (RFC
//! 7748), BLAKE3 derives the message key, XChaCha20-Poly1305 seals the text, padded to a multiple
//! of 32 bytes so that its length says little. Hash chains cover the ciphertext: destroying a key
//! makes the text unreadable for ever and leaves the history verifiable.

use std::fmt;

use bytes::Bytes;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce, aead::Aead};
use x25519_dalek::{PublicKey, StaticSecret};

/// The longest text that can be sealed, in bytes.
pub const MAX_TEXT: usize = 1024;
const BLOCK: usize = 32;
/// X25519 agreement, BLAKE3 derivation, XChaCha20-Poly1305.
pub const SCHEME: u32 = 1;

/// A sealed text: what every store, log line and message outside the domain holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The residency domain that can open it.
    pub domain: String,
    /// Which of the domain's keys.
    pub key_id: [u8; 8],
    /// How it is sealed.
    pub scheme: u32,
    /// The sender's ephemeral public key.
    pub ephemeral: Bytes,
    /// The padded text, encrypted and authenticated.
    pub ciphertext: Bytes,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Sealed(for {}, {} bytes)",
            self.domain,
            self.ciphertext.len()
        )
    }
}

/// What anyone needs to seal for a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainPublicKey {
    /// The domain's name.
    pub domain: String,
    /// The X25519 public key.
    pub key: [u8; 32],
}

/// What the nodes of a domain need to open what was sealed for it.
#[derive(Clone)]
pub struct DomainSecretKey {
    domain: String,
    secret: StaticSecret,
}

/// Why a sealed text cannot be read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// Another domain's, or an older key.
    #[error("sealed for {0}, whose key is not held here")]
    OtherKey(String),
    /// A scheme this program does not know.
    #[error("sealed by scheme {0}, which this program does not know")]
    Scheme(u32),
    /// Not what was sealed.
    #[error("the sealed text does not authenticate: it was changed or damaged")]
    Damaged,
}

/// A text that cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes of text are more than the {MAX_TEXT} that can be sealed")]
pub struct TextTooLong(pub usize);

fn key_id(public: &[u8; 32]) -> [u8; 8] {
    blake3::hash(public).as_bytes()[..8]
        .try_into()
        .expect("eight bytes")
}

fn message_cipher(shared: &[u8; 32], ephemeral: &[u8; 32], public: &[u8; 32]) -> XChaCha20Poly1305 {
    let mut material = [0; 96];
    material[..32].copy_from_slice(shared);
    material[32..64].copy_from_slice(ephemeral);
    material[64..].copy_from_slice(public);
    let key = blake3::derive_key("meridian sealed text scheme 1 2026-11", &material);
    XChaCha20Poly1305::new(&key.into())
}

impl DomainPublicKey {
    /// Seals a text with 32 random bytes, which must never be used twice.
    pub fn seal(&self, text: &str, random: [u8; 32]) -> Result<Sealed, TextTooLong> {
        if text.len() > MAX_TEXT {
            return Err(TextTooLong(text.len()));
        }
        let ephemeral = StaticSecret::from(random);
        let ephemeral_public = PublicKey::from(&ephemeral).to_bytes();
        let shared = ephemeral.diffie_hellman(&PublicKey::from(self.key));
        let mut padded = Vec::with_capacity(text.len() + 2 + BLOCK);
        padded.extend_from_slice(&(text.len() as u16).to_be_bytes());
        padded.extend_from_slice(text.as_bytes());
        padded.resize(padded.len().next_multiple_of(BLOCK), 0);
        // The key is used once, so the nonce may be constant.
        let ciphertext = message_cipher(shared.as_bytes(), &ephemeral_public, &self.key)
            .encrypt(&XNonce::default(), &padded[..])
            .expect("a short text in memory can be encrypted");
        Ok(Sealed {
            domain: self.domain.clone(),
            key_id: key_id(&self.key),
            scheme: SCHEME,
            ephemeral: Bytes::copy_from_slice(&ephemeral_public),
            ciphertext: ciphertext.into(),
        })
    }
}

impl DomainSecretKey {
    /// From the domain's name and 32 secret bytes.
    pub fn new(domain: impl Into<String>, secret: [u8; 32]) -> Self {
        Self {
            domain: domain.into(),
            secret: StaticSecret::from(secret),
        }
    }

    /// The half that everyone may know.
    pub fn public(&self) -> DomainPublicKey {
        let key = PublicKey::from(&self.secret).to_bytes();
        DomainPublicKey {
            domain: self.domain.clone(),
            key,
        }
    }

    /// The text.
    pub fn open(&self, sealed: &Sealed) -> Result<String, CannotOpen> {
        let public = PublicKey::from(&self.secret).to_bytes();
        if sealed.domain != self.domain || sealed.key_id != key_id(&public) {
            return Err(CannotOpen::OtherKey(sealed.domain.clone()));
        }
        if sealed.scheme != SCHEME {
            return Err(CannotOpen::Scheme(sealed.scheme));
        }
        let ephemeral: [u8; 32] = sealed.ephemeral[..]
            .try_into()
            .map_err(|_| CannotOpen::Damaged)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(ephemeral));
        let padded = message_cipher(shared.as_bytes(), &ephemeral, &public)
            .decrypt(&XNonce::default(), &sealed.ciphertext[..])
            .map_err(|_| CannotOpen::Damaged)?;
        let (len, text) = padded.split_first_chunk::<2>().ok_or(CannotOpen::Damaged)?;
        let text = text
            .get(..usize::from(u16::from_be_bytes(*len)))
            .ok_or(CannotOpen::Damaged)?;
        String::from_utf8(text.to_vec()).map_err(|_| CannotOpen::Damaged)
    }
}

impl fmt::Debug for DomainSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainSecretKey({}, secret)", self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_domain_reads_it_and_its_length_says_little() {
        let eu = DomainSecretKey::new("eu", [1; 32]);
        let us = DomainSecretKey::new("us", [2; 32]);
        let sealed = eu.public().seal("Rent, March", [9; 32]).unwrap();
        assert_eq!(eu.open(&sealed).unwrap(), "Rent, March");
        assert_eq!(us.open(&sealed), Err(CannotOpen::OtherKey("eu".into())));
        let longer = eu.public().seal("Rent, March, again", [8; 32]).unwrap();
        assert_eq!(sealed.ciphertext.len(), longer.ciphertext.len());
        let mut changed = sealed.ciphertext.to_vec();
        changed[3] ^= 1;
        let changed = Sealed {
            ciphertext: changed.into(),
            ..sealed.clone()
        };
        assert_eq!(eu.open(&changed), Err(CannotOpen::Damaged));
        assert!(!format!("{sealed:?}").contains("Rent"));
        assert!(
            eu.public()
                .seal(&"x".repeat(MAX_TEXT + 1), [7; 32])
                .is_err()
        );
    }
}
