//! What the program's exit code means.

use serde_json::json;

use super::submit;
use crate::{backup, client, demo, export, import, keys::KeyError, server, verify};

/// It was done, or here is the answer.
pub const OK: u8 = 0;
/// The ledger refused. Nothing was booked.
pub const REJECTED: u8 = 1;
/// The command line, an input file or a node's data directory is the wrong one. Nothing was changed.
pub const USAGE: u8 = 2;
/// No node answered, or none that has all it should. Nothing was booked; it can be tried again.
pub const UNAVAILABLE: u8 = 3;
/// It is open whether the command was accepted. Ask again under the printed key.
pub const UNKNOWN: u8 = 4;
/// The ledger answered, and does not hold what it should.
pub const DIFFERS: u8 = 5;
/// This program or a node broke.
pub const BROKEN: u8 = 6;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The call failed.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The import failed.
    #[error(transparent)]
    Import(#[from] import::Error),
    /// The file was not submitted to its end.
    #[error(transparent)]
    Submit(#[from] submit::Stopped),
    /// The node cannot start, or stopped by itself.
    #[error(transparent)]
    Node(#[from] server::Error),
    /// The directory cannot be read.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// There is no journal.
    #[error(transparent)]
    Export(#[from] export::Error),
    /// There is no backup, or it is not restored.
    #[error(transparent)]
    Backup(#[from] backup::Error),
    /// The keys of customers cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The demo did not come to its end.
    #[error("the demo: {0}")]
    Demo(#[from] demo::Error),
}

impl Failure {
    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Node(error) if error.is_wrong_input() => USAGE,
            Self::Demo(demo::Error::Broken(_) | demo::Error::Golden { .. }) => DIFFERS,
            Self::Keys(
                KeyError::Io { .. } | KeyError::Unreadable { .. } | KeyError::NotRewrapped { .. },
            ) => BROKEN,
            Self::Keys(_) => USAGE,
            Self::Node(_) | Self::Demo(_) => BROKEN,
            Self::Verify(error) | Self::Export(export::Error::Directory(error)) => match error {
                verify::Error::NotADirectory { .. }
                | verify::Error::Archived { .. }
                | verify::Error::InUse(_) => USAGE,
                verify::Error::Store { .. } => BROKEN,
            },
            Self::Export(export::Error::Differs(_)) => DIFFERS,
            Self::Export(export::Error::Names(_)) => USAGE,
            Self::Client(error) | Self::Import(import::Error::Client(error)) => of(error),
            Self::Backup(backup::Error::Client(error)) => of(error),
            Self::Backup(backup::Error::Behind { .. }) => UNAVAILABLE,
            Self::Backup(error) if error.is_wrong_input() => USAGE,
            Self::Backup(error) if error.differs() => DIFFERS,
            Self::Backup(_) => BROKEN,
            Self::Import(import::Error::Row(_)) => REJECTED,
            Self::Import(import::Error::Open { error, .. }) => of(error),
            Self::Submit(submit::Stopped { error, .. }) => of(error),
        }
    }

    /// The failure for standard error.
    pub fn render(&self, json: bool) -> String {
        let error = match self {
            Self::Client(error)
            | Self::Backup(backup::Error::Client(error))
            | Self::Import(import::Error::Client(error) | import::Error::Open { error, .. })
            | Self::Submit(submit::Stopped { error, .. }) => Some(error),
            Self::Usage(_)
            | Self::Node(_)
            | Self::Verify(_)
            | Self::Export(_)
            | Self::Backup(_)
            | Self::Demo(_)
            | Self::Keys(_)
            | Self::Import(import::Error::Row(_)) => None,
        };
        let unknown = match error {
            Some(client::Error::Unknown(unknown)) => Some(unknown),
            _ => None,
        };
        if json {
            let body = json!({
                "message": self.to_string(),
                "code": error.and_then(client::Error::code),
                "retryable": error.is_some_and(client::Error::retryable),
                "key": unknown.map(|unknown| &unknown.key),
                "first_attempt_unix_ms": unknown.map(|unknown| unknown.first_attempt_unix_ms),
                "transaction_id": unknown.and_then(|unknown| unknown.transaction_id.as_ref()),
                "exit_code": self.exit_code(),
            });
            return json!({ "error": body }).to_string();
        }
        let mut text = format!("meridian: {self}");
        // An import or a file makes its own keys and is simply run again.
        if let (Some(unknown), Self::Client(_)) = (unknown, self) {
            text.push_str(&format!(
                "\nTo learn what became of it, repeat the command with\n  \
                 --key {} --first-attempt {}",
                unknown.key, unknown.first_attempt_unix_ms
            ));
        }
        text
    }
}

fn of(error: &client::Error) -> u8 {
    match error {
        client::Error::Rejected(_) => REJECTED,
        client::Error::Unavailable(_) => UNAVAILABLE,
        client::Error::Unknown(_) => UNKNOWN,
        client::Error::Options(_) => USAGE,
        client::Error::Malformed(_) => BROKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Unknown;

    #[test]
    fn an_open_command_says_how_to_ask_again() {
        let unknown = Unknown {
            key: "k1".into(),
            first_attempt_unix_ms: 7,
            ..Unknown::default()
        };
        let failure = Failure::from(client::Error::Unknown(unknown));
        assert_eq!(failure.exit_code(), UNKNOWN);
        assert!(
            failure
                .render(false)
                .ends_with("--key k1 --first-attempt 7")
        );
        let json: serde_json::Value = serde_json::from_str(&failure.render(true)).unwrap();
        assert_eq!(json["error"]["key"], "k1");
        assert_eq!(json["error"]["retryable"], true);
    }
}
