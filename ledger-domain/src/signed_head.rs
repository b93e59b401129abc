//! Signed chain heads: what a region says that a shard's history comes to.
//!
//! A head stands for all before it. So whoever has kept one that a region signed can show later, to
//! anybody, that the region's history was another: it cannot be made anew without being found out.

use ed25519_dalek::{SIGNATURE_LENGTH, Signature, Signer as _, SigningKey, VerifyingKey};

use crate::{Hash, RegionName, ShardId};

/// The audited head of a shard after an index, signed by the shard's home region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// Whose history.
    pub shard: ShardId,
    /// After which index.
    pub index: u64,
    /// The audited chain's head there.
    pub head: Hash,
    /// In whose name it is signed.
    pub region: RegionName,
    /// Ed25519, over [`signed_bytes`].
    pub signature: [u8; SIGNATURE_LENGTH],
}

/// What is signed: a tag, the region's name, a zero byte, and shard, index (both big-endian) and
/// head.
pub fn signed_bytes(region: &str, shard: ShardId, index: u64, head: &Hash) -> Vec<u8> {
    [
        b"meridian head 1\0",
        region.as_bytes(),
        b"\0",
        &shard.0.to_be_bytes(),
        &index.to_be_bytes(),
        head,
    ]
    .concat()
}

impl SignedHead {
    /// Signs a head with a region's key.
    pub fn sign(
        (shard, index, head): (ShardId, u64, Hash),
        region: RegionName,
        key: &SigningKey,
    ) -> Self {
        let signed = signed_bytes(region.as_str(), shard, index, &head);
        Self {
            shard,
            index,
            head,
            region,
            signature: key.sign(&signed).to_bytes(),
        }
    }

    /// Is it what the owner of this key signed?
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let signed = signed_bytes(self.region.as_str(), self.shard, self.index, &self.head);
        let signature = Signature::from_bytes(&self.signature);
        key.verify_strict(&signed, &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_believed_only_as_it_was_signed() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let eu: RegionName = "eu-west".parse().unwrap();
        let signed = SignedHead::sign((ShardId(7), 258, [9; 32]), eu, &key);
        let known = key.verifying_key();
        assert!(signed.is_signed_by(&known));
        assert!(!signed.is_signed_by(&SigningKey::from_bytes(&[4; 32]).verifying_key()));
        let altered: [fn(&mut SignedHead); 5] = [
            |it| it.shard = ShardId(8),
            |it| it.index += 1,
            |it| it.head[5] ^= 1,
            |it| it.region = "us-east".parse().unwrap(),
            |it| it.signature[5] ^= 1,
        ];
        for alter in altered {
            let mut forged = signed.clone();
            alter(&mut forged);
            assert!(!forged.is_signed_by(&known), "{forged:?}");
        }
    }

    #[test]
    fn what_is_signed_is_fixed() {
        let expected = b"meridian head 1\0eu\0\0\0\0\x07\0\0\0\0\0\0\x01\x02";
        let bytes = signed_bytes("eu", ShardId(7), 258, &[9; 32]);
        assert_eq!(bytes, [&expected[..], &[9; 32]].concat());
    }
}
