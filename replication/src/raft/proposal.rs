use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;

use super::types::{Applied, Callback, Types};

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// It was committed and applied here, at this index.
    Applied(u64, Applied),
    /// It is in no log and never will be: only then may it be decided again.
    NeverAppended {
        /// Who to ask, if that is known.
        leader: Option<u64>,
    },
    /// It may have been committed, or may yet be, by this leader or the next. Only the log, or a
    /// retry under the same key, can tell.
    Unknown(String),
}

impl From<ClientWriteResult<Types>> for Proposed {
    fn from(result: ClientWriteResult<Types>) -> Self {
        match result {
            Ok(written) => Self::Applied(written.log_id.index, written.data),
            Err(ClientWriteError::ForwardToLeader(forward)) => Self::NeverAppended {
                leader: forward.leader_id,
            },
            Err(other) => Self::Unknown(other.to_string()),
        }
    }
}

type Done = Box<dyn FnOnce(Proposed) + Send>;

/// Sees to it that `done` is called once, also when Raft ends without an answer.
struct Answer(Option<Done>);

impl Answer {
    fn give(mut self, proposed: Proposed) {
        if let Some(done) = self.0.take() {
            done(proposed);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Proposed::Unknown(
                "the group ended before it was decided".to_owned(),
            ));
        }
    }
}

pub(super) fn callback(
    done: impl FnOnce(Proposed) + Send + 'static,
) -> Callback<ClientWriteResult<Types>> {
    let answer = Answer(Some(Box::new(done)));
    Callback(Box::new(move |result| answer.give(result.into())))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_proposal_dropped_without_an_answer_is_unknown() {
        let (answered, answers) = mpsc::channel();
        drop(callback(move |proposed| {
            answered.send(proposed).expect("the test listens")
        }));
        assert!(matches!(answers.recv(), Ok(Proposed::Unknown(_))));
        assert!(answers.recv().is_err(), "it is answered once");
    }
}
