use bytes::Bytes;
use ledger_domain::{ShardId, SignedHead};

use crate::proto;

pub(super) fn sent(head: &SignedHead) -> proto::SignedHead {
    proto::SignedHead {
        shard: head.shard.0,
        index: head.index,
        head: Bytes::copy_from_slice(&head.head),
        region: head.region.to_string(),
        signature: Bytes::copy_from_slice(&head.signature),
    }
}

/// `None` where it is no signed head at all.
pub(super) fn received(head: &proto::SignedHead) -> Option<SignedHead> {
    Some(SignedHead {
        shard: ShardId(head.shard),
        index: head.index,
        head: head.head[..].try_into().ok()?,
        region: head.region.parse().ok()?,
        signature: head.signature[..].try_into().ok()?,
    })
}
