//! Tokens: the signed positions a client carries to read its own writes anywhere.

use std::collections::BTreeMap;

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use prost::Message as _;

use crate::{Position, RegionName, base32, codec, proto};

/// Positions that a reader must have seen, one per shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Token {
    /// In the order of shards.
    pub positions: Vec<Position>,
}

/// Why a text is not a token this ledger gave out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Not a token at all.
    #[error("not a session token: send it exactly as it was received")]
    Shape,
    /// Signed in the name of a region this ledger does not have.
    #[error("the session token is signed by the unknown region `{0}`")]
    Region(String),
    /// Changed, or never signed.
    #[error("the session token's signature does not fit: send it exactly as it was received")]
    Signature,
}

fn signed_bytes(region: &str, token: &[u8]) -> Vec<u8> {
    [b"meridian token 1\0", region.as_bytes(), b"\0", token].concat()
}

impl Token {
    /// A token for one position.
    pub fn at(position: Position) -> Self {
        Self {
            positions: vec![position],
        }
    }

    /// The token that asks for everything either asks for.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let mut newest = BTreeMap::new();
        for p in self.positions.into_iter().chain(other.positions) {
            let best = newest.entry(p.shard).or_insert(p);
            *best = p.max(*best);
        }
        Self {
            positions: newest.into_values().collect(),
        }
    }

    /// The text that a client carries.
    pub fn sign(&self, region: RegionName, key: &SigningKey) -> String {
        let positions = self
            .positions
            .iter()
            .map(|p| codec::position_to_proto(*p))
            .collect();
        let token = proto::Token { positions }.encode_to_vec();
        let signature = key.sign(&signed_bytes(region.as_str(), &token)).to_bytes();
        let signed = proto::SignedToken {
            token: token.into(),
            region: region.to_string(),
            signature: Bytes::copy_from_slice(&signature),
        };
        base32::render(&base32::encode(&signed.encode_to_vec())).replace('-', "")
    }

    /// Reads and checks what a client sent. `key_of` knows the regions' public keys.
    pub fn verify(
        text: &str,
        key_of: impl Fn(&RegionName) -> Option<VerifyingKey>,
    ) -> Result<Self, InvalidToken> {
        let signed = signed(text)?;
        let key = signed
            .region
            .parse()
            .ok()
            .and_then(|region| key_of(&region));
        let key = key.ok_or_else(|| InvalidToken::Region(signed.region.clone()))?;
        let signature =
            Signature::from_slice(&signed.signature).map_err(|_| InvalidToken::Signature)?;
        key.verify_strict(&signed_bytes(&signed.region, &signed.token), &signature)
            .map_err(|_| InvalidToken::Signature)?;
        Self::of(signed)
    }

    /// What a token says it covers, its signature unchecked: for a client, which only carries what
    /// the ledger gave it.
    pub fn claimed(text: &str) -> Result<Self, InvalidToken> {
        Self::of(signed(text)?)
    }

    fn of(signed: proto::SignedToken) -> Result<Self, InvalidToken> {
        let token = proto::Token::decode(signed.token).map_err(|_| InvalidToken::Shape)?;
        let positions = token.positions.into_iter();
        Ok(Self {
            positions: positions.map(codec::position_from_proto).collect(),
        })
    }
}

fn signed(text: &str) -> Result<proto::SignedToken, InvalidToken> {
    let symbols = base32::symbols(text.trim()).map_err(|_| InvalidToken::Shape)?;
    let bytes = base32::decode(&symbols).ok_or(InvalidToken::Shape)?;
    proto::SignedToken::decode(&bytes[..]).map_err(|_| InvalidToken::Shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShardId;

    fn at(shard: u32, index: u64) -> Position {
        Position {
            shard: ShardId(shard),
            epoch: 1,
            index,
        }
    }

    #[test]
    fn a_token_is_believed_only_as_it_was_signed() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let eu: RegionName = "eu-west".parse().unwrap();
        let know = |r: &RegionName| (*r == eu).then(|| key.verifying_key());
        let token = Token::at(at(1, 7))
            .merge(Token::at(at(2, 9)))
            .merge(Token::at(at(1, 5)));
        assert_eq!(token.positions, [at(1, 7), at(2, 9)]);
        let text = token.sign(eu, &key);
        assert_eq!(Token::verify(&text, know), Ok(token.clone()));
        let forged = token.sign(eu, &SigningKey::from_bytes(&[4; 32]));
        assert_eq!(Token::verify(&forged, know), Err(InvalidToken::Signature));
        let foreign = token.sign("mars".parse().unwrap(), &key);
        assert_eq!(
            Token::verify(&foreign, know),
            Err(InvalidToken::Region("mars".into()))
        );
        for bad in ["", "u", "0000", &text[..text.len() / 2]] {
            assert!(Token::verify(bad, know).is_err(), "{bad}");
        }
    }
}
