use tonic::Code;

use crate::api::v1::RejectionDetail;

/// Why a call has no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The ledger refused. Nothing was booked.
    #[error("{0}")]
    Rejected(Rejection),
    /// No node could take the request. Nothing was booked.
    #[error("no node answered: {0}")]
    Unavailable(String),
    /// It is open whether the command was accepted. Ask again under the same key.
    #[error("{0}")]
    Unknown(Unknown),
    /// The options make no client.
    #[error("{0}")]
    Options(String),
    /// A node answered with something that this client cannot read.
    #[error("the node's answer makes no sense: {0}")]
    Malformed(String),
}

/// A refusal by the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The stable code, `INSUFFICIENT_FUNDS`; a gRPC code's name where the refusal is not the
    /// ledger's own.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// Whether the same command can succeed later without anybody correcting it: under the same
    /// key, or under a new one if the refusal is recorded.
    pub retryable: bool,
    /// Whether this is the recorded outcome of the command's key, for good.
    pub recorded: bool,
    /// What to do about it; may be empty.
    pub help: String,
    /// The key of the refused command; may be empty.
    pub key: String,
    /// Which command of a group it is about, from 1; zero where it is about no group.
    pub group_item: u32,
}

/// A command whose fate is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unknown {
    /// The key to ask under. Empty for a batch, whose commands have their own.
    pub key: String,
    /// The time of the first attempt, to be sent again with the key.
    pub first_attempt_unix_ms: i64,
    /// Set if the command was accepted and only its settlement is open.
    pub transaction_id: Option<String>,
    /// What the last attempt met.
    pub message: String,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if self.help.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.help)
        }
    }
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.transaction_id {
            Some(id) => write!(f, "transaction {id} is accepted, its settlement is open"),
            None => f.write_str("it is open whether the command was accepted"),
        }?;
        write!(f, ": {}", self.message)
    }
}

impl Rejection {
    /// A refusal that the transport or a proxy made.
    pub(super) fn of_status(code: Code, message: &str) -> Self {
        Self {
            code: format!("{code:?}"),
            message: message.to_owned(),
            retryable: false,
            recorded: false,
            help: String::new(),
            key: String::new(),
            group_item: 0,
        }
    }
}

impl From<RejectionDetail> for Rejection {
    fn from(detail: RejectionDetail) -> Self {
        Self {
            code: detail.code,
            message: detail.message,
            retryable: detail.retryable,
            recorded: detail.recorded,
            help: detail.help,
            key: detail.idempotency_key,
            group_item: detail.group_item,
        }
    }
}

impl Error {
    /// The stable code of a rejection.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Rejected(rejection) => Some(&rejection.code),
            _ => None,
        }
    }

    /// Whether the same command can succeed later without anybody correcting it.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Rejected(rejection) => rejection.retryable,
            Self::Unavailable(_) | Self::Unknown(_) => true,
            Self::Options(_) | Self::Malformed(_) => false,
        }
    }
}
