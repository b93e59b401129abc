//! What a region's nodes know and nobody else.

use std::{fmt, path::Path};

use ed25519_dalek::SigningKey;
use ledger_domain::{DigestKey, profile::CustomerKey, sealed::DomainSecretKey};
use replication::{topology::key_bytes, world::Entropy};
use serde::{Deserialize, Serialize};

use crate::{config::Error, durable};

/// Nobody else may read them.
const ONLY_MINE: u32 = 0o600;
const NOT_SECRETS: &str = "this is not a file of secrets: it has `digest_key`, `domain_key` and `token_key`, each \
     64 hexadecimal digits in quotes, and `wrapping_keys`, a list of such, or none (what stands there \
     is not shown)";

/// The secrets of a region: all its nodes have the same file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    digest_key: String,
    domain_key: String,
    token_key: String,
    /// Under which customers' keys are wrapped, the newest first; one made of the domain's key where there
    /// is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wrapping_keys: Vec<String>,
}

impl Secrets {
    /// Three new keys.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let key = || {
            let mut bytes = [0; 32];
            entropy.fill(&mut bytes);
            hex(&bytes)
        };
        Self {
            digest_key: key(),
            domain_key: key(),
            token_key: key(),
            wrapping_keys: Vec::new(),
        }
    }

    /// Reads a file of secrets, if there is one.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        let parsed = Self::parse(&crate::config::read(path)?);
        parsed.map(Some).map_err(|cause| Error::Syntax {
            path: path.to_owned(),
            cause,
        })
    }

    /// Writes them into a new file that nobody else may read.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = toml::to_string(self).expect("three texts are TOML");
        durable::write_new(path, &text, ONLY_MINE).map_err(|cause| Error::File {
            path: path.to_owned(),
            cause,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        // What the parser says can quote what stands there, which is a key.
        let secrets: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|at| text.get(..at.start));
            let line = before.map_or(1, |it| it.split('\n').count());
            format!("line {line}: {NOT_SECRETS}")
        })?;
        let wrapping = secrets.wrapping_keys.iter();
        let all = [
            ("digest_key", &secrets.digest_key),
            ("domain_key", &secrets.domain_key),
            ("token_key", &secrets.token_key),
        ];
        for (name, key) in all
            .into_iter()
            .chain(wrapping.map(|it| ("a wrapping key", it)))
        {
            if key_bytes(key).is_none() {
                return Err(format!("{name} is not 64 hexadecimal digits"));
            }
        }
        Ok(secrets)
    }

    /// Digests keys and references.
    pub fn digest_key(&self) -> DigestKey {
        DigestKey::new(self.bytes(&self.digest_key))
    }

    /// Opens what is sealed for the domain.
    pub fn domain_key(&self, domain: &str) -> DomainSecretKey {
        DomainSecretKey::new(domain, self.bytes(&self.domain_key))
    }

    /// Wraps customers' keys: the first seals, all open.
    pub fn wrapping_keys(&self) -> Vec<CustomerKey> {
        let first = blake3::derive_key(
            "meridian wrapping of customer keys 2026-11",
            &self.bytes(&self.domain_key),
        );
        // What was sealed before there was any is opened for ever.
        let given = self.wrapping_keys.iter().map(|key| self.bytes(key));
        given.chain([first]).map(CustomerKey::new).collect()
    }

    /// Signs tokens.
    pub fn token_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.bytes(&self.token_key))
    }

    fn bytes(&self, key: &str) -> [u8; 32] {
        key_bytes(key).expect("checked when it was read")
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(secret)")
    }
}

/// Two hexadecimal digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digits that make a key, and can be told from all else.
    const KEY: &str = "5ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7";

    #[test]
    fn what_is_wrong_with_secrets_is_said_without_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.toml");
        let sound = ["digest_key", "domain_key", "token_key"];
        let sound = sound.map(|name| format!("{name} = \"{KEY}\"\n")).concat();
        let read = |more: &str| {
            std::fs::write(&path, format!("{sound}{more}")).unwrap();
            Secrets::read(&path)
        };
        assert!(read(&format!("wrapping_keys = [\"{KEY}\"]")).is_ok());
        for (more, line) in [
            (format!("wrapping_keys = \"{KEY}\""), Some(4)),
            (format!("\nwrapping_keys = {KEY}"), None),
            (format!("wrapping_keys = [\"{KEY}]"), None),
            (format!("{KEY} = 1"), None),
            (format!("token_key = \"{KEY}\""), None),
            (format!("wrapping_keys = [\"{KEY}0\"]"), None),
        ] {
            let error = read(&more).unwrap_err();
            for told in [error.to_string(), format!("{error:?}")] {
                assert!(!told.contains(&KEY[..8]), "{told}");
                assert!(told.contains("secrets.toml"), "{told}");
                let line = line.map(|line| format!("line {line}:"));
                assert!(line.is_none_or(|line| told.contains(&line)), "{told}");
            }
        }
    }
}
