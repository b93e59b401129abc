//! References.

use bytes::Bytes;

use super::{
    Read, digest, field,
    said::{Said, Saying},
};
use crate::{ReferenceDigest, ReferenceType, proto, reference::Claim};

pub(super) fn claimed_to_proto(claim: &Claim, saying: &mut Saying) -> proto::ReferenceClaimed {
    proto::ReferenceClaimed {
        r#type: claim.kind as i32,
        digest: Bytes::copy_from_slice(&claim.digest.0),
        account: saying.account(claim.account),
    }
}

pub(super) fn released_to_proto(claim: &Claim, saying: &mut Saying) -> proto::ReferenceReleased {
    proto::ReferenceReleased {
        r#type: claim.kind as i32,
        digest: Bytes::copy_from_slice(&claim.digest.0),
        account: saying.account(claim.account),
    }
}

pub(super) fn from_proto(
    kind: i32,
    bytes: &Bytes,
    account: Option<proto::AccountId>,
    said: &Said,
) -> Read<Claim> {
    Ok(Claim {
        kind: field(ReferenceType::from_number(kind), "type")?,
        digest: ReferenceDigest(digest(bytes, "digest")?),
        account: said.account(account)?,
    })
}
