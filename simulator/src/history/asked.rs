//! What goes with requests.

use super::Request;

/// What may not happen to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freeze {
    /// Nothing goes out.
    pub debits: bool,
    /// Nothing comes in.
    pub credits: bool,
    /// Whether transfers from elsewhere stay with the bank; else they go back.
    pub keeps: bool,
    /// When it is over, in milliseconds since 1970 on the ledger's clock.
    pub until_ms: Option<u64>,
}

/// What must be so of an account for a command to be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Its version before: how often it has changed, its opening included.
    pub version: Option<u64>,
    /// The least it may have after.
    pub minimum: Option<i64>,
    /// The most it may have after.
    pub maximum: Option<i64>,
}

/// How something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// By a person at a desk: where nothing is said.
    Desk,
    /// By a payment card.
    Card,
    /// Over the network.
    Online,
}

/// What a hold is called, or something that was paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The key of the command that placed or paid it.
    pub key: String,
    /// What the receipt of that calls it.
    pub id: String,
}

impl Request {
    /// The day that it is to count from, and whether that may be closed; the business date where it
    /// does not say.
    #[must_use]
    pub fn dated(&self) -> Option<(i32, bool)> {
        match self {
            Request::Dated {
                day,
                into_closed_day,
                ..
            } => Some((*day, *into_closed_day)),
            Request::Provided { request, .. }
            | Request::Forced { request }
            | Request::Through { request, .. }
            | Request::Grouped { request, .. } => request.dated(),
            _ => None,
        }
    }

    /// By which channel it is asked. A group has one, its members have none of their own.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Request::Through { channel, .. } => *channel,
            Request::Provided { request, .. }
            | Request::Forced { request }
            | Request::Dated { request, .. } => request.channel(),
            _ => Channel::Desk,
        }
    }
}
