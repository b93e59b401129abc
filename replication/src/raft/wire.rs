//! openraft's values as they travel and as the log stores them.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::types::{LeaderId, LogId, Term, Types, Vote};
use crate::log::record;
use crate::proto::{self, append_reply};

/// What a peer sent is not what the format says.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Malformed {
    /// A required field is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A place in the log is none.
    #[error("log id: {0}")]
    LogId(record::Malformed),
    /// A record of the log does not decode.
    #[error("record {place} of the request: {cause}")]
    Record {
        place: usize,
        cause: record::Malformed,
    },
}

pub(super) fn log_id(id: &LogId) -> proto::LogId {
    record::stored_id(record::record_id(id))
}

fn parsed_log_id(id: proto::LogId) -> Result<LogId, Malformed> {
    record::parsed_id(id)
        .map(record::log_id)
        .map_err(Malformed::LogId)
}

fn parsed_last(id: Option<proto::LogId>) -> Result<Option<LogId>, Malformed> {
    id.map(parsed_log_id).transpose()
}

pub(super) fn ballot(vote: &Vote) -> proto::Ballot {
    let LeaderId { term, node_id } = vote.leader_id;
    proto::Ballot {
        epoch: term.epoch,
        term: term.term,
        node: node_id,
        committed: vote.committed,
    }
}

pub(super) fn parsed_ballot(ballot: Option<proto::Ballot>) -> Result<Vote, Malformed> {
    let ballot = ballot.ok_or(Malformed::Missing("ballot"))?;
    if ballot.epoch == 0 {
        return Err(Malformed::Missing("epoch of the ballot"));
    }
    let term = Term {
        epoch: ballot.epoch,
        term: ballot.term,
    };
    let leader_id = LeaderId {
        term,
        node_id: ballot.node,
    };
    Ok(Vote {
        leader_id,
        committed: ballot.committed,
    })
}

/// `time` is the sender's.
pub(super) fn append_request(
    shard: u32,
    request: AppendEntriesRequest<Types>,
    time: Bytes,
) -> proto::AppendRequest {
    proto::AppendRequest {
        shard,
        ballot: Some(ballot(&request.vote)),
        prev: request.prev_log_id.as_ref().map(log_id),
        commit: request.leader_commit.as_ref().map(log_id),
        records: request.entries.iter().map(record::encode).collect(),
        time,
    }
}

pub(super) fn parsed_append(
    request: proto::AppendRequest,
) -> Result<AppendEntriesRequest<Types>, Malformed> {
    let entries = request
        .records
        .into_iter()
        .enumerate()
        .map(|(place, bytes)| {
            record::decode(bytes).map_err(|cause| Malformed::Record { place, cause })
        });
    Ok(AppendEntriesRequest {
        vote: parsed_ballot(request.ballot)?,
        prev_log_id: parsed_last(request.prev)?,
        leader_commit: parsed_last(request.commit)?,
        entries: entries.collect::<Result<_, _>>()?,
    })
}

pub(super) fn append_reply(result: &StreamAppendResult<Types>) -> proto::AppendReply {
    let result = match result {
        Ok(last) => {
            let last = last.as_ref().map(log_id);
            append_reply::Result::Appended(proto::Appended { last })
        }
        Err(StreamAppendError::Conflict(id)) => append_reply::Result::Conflict(log_id(id)),
        Err(StreamAppendError::HigherVote(vote)) => {
            append_reply::Result::HigherBallot(ballot(vote))
        }
    };
    proto::AppendReply {
        result: Some(result),
    }
}

pub(super) fn append_result(
    reply: proto::AppendReply,
) -> Result<StreamAppendResult<Types>, Malformed> {
    Ok(match reply.result.ok_or(Malformed::Missing("result"))? {
        append_reply::Result::Appended(appended) => Ok(parsed_last(appended.last)?),
        append_reply::Result::Conflict(id) => Err(StreamAppendError::Conflict(parsed_log_id(id)?)),
        append_reply::Result::HigherBallot(higher) => {
            Err(StreamAppendError::HigherVote(parsed_ballot(Some(higher))?))
        }
    })
}

pub(super) fn parsed_vote(request: &proto::VoteRequest) -> Result<VoteRequest<Types>, Malformed> {
    Ok(VoteRequest {
        vote: parsed_ballot(request.ballot)?,
        last_log_id: parsed_last(request.last)?,
        leadership_transfer: request.leadership_transfer,
    })
}

pub(super) fn vote_reply(response: &VoteResponse<Types>) -> proto::VoteReply {
    proto::VoteReply {
        ballot: Some(ballot(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(log_id),
    }
}

pub(super) fn vote_response(reply: proto::VoteReply) -> Result<VoteResponse<Types>, Malformed> {
    Ok(VoteResponse {
        vote: parsed_ballot(reply.ballot)?,
        vote_granted: reply.granted,
        last_log_id: parsed_last(reply.last)?,
    })
}

pub(super) fn transfer_request(
    shard: u32,
    request: &TransferLeaderRequest<Types>,
) -> proto::TransferLeaderRequest {
    proto::TransferLeaderRequest {
        shard,
        from: Some(ballot(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(log_id),
    }
}

pub(super) fn parsed_transfer(
    request: proto::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<Types>, Malformed> {
    let from = parsed_ballot(request.from)?;
    Ok(TransferLeaderRequest::new(
        from,
        request.to,
        parsed_last(request.last)?,
    ))
}

pub(super) fn transfer_reply(
    from: &Vote,
    response: &TransferLeaderResponse<Types>,
) -> proto::TransferLeaderReply {
    let accepted = response.is_ok();
    let (seen, last) = match response {
        Ok(()) => (from, None),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => (actual, None),
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => (from, actual.as_ref()),
    };
    proto::TransferLeaderReply {
        ballot: Some(ballot(seen)),
        accepted,
        last: last.map(log_id),
    }
}

pub(super) fn transfer_response(
    request: &TransferLeaderRequest<Types>,
    reply: proto::TransferLeaderReply,
) -> Result<TransferLeaderResponse<Types>, Malformed> {
    if reply.accepted {
        return Ok(Ok(()));
    }
    let expected = *request.from_leader();
    let actual = parsed_ballot(reply.ballot)?;
    Ok(Err(if actual == expected {
        TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: parsed_last(reply.last)?,
        }
    } else {
        TransferLeaderError::VoteChanged { expected, actual }
    }))
}
