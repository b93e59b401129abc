//! Somebody looks on while an account changes, whoever dies.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{Error, call, holds};
use crate::{
    api::atm::v1::{WatchChange, WatchRequest},
    client::{Client, Watching},
};

/// How long what was booked may take to be told.
const PATIENCE: Duration = Duration::from_secs(30);

/// An account that is watched.
pub(super) struct Watch {
    told: JoinHandle<Result<Vec<WatchChange>, Error>>,
    end: oneshot::Sender<i64>,
}

impl Watch {
    /// Begins with what the account is.
    pub(super) async fn begin(client: &Client, account: &str) -> Result<Self, Error> {
        let mut replies = client.watch(WatchRequest {
            account_ids: vec![account.to_owned()],
            ..Default::default()
        });
        let first = replies.next().await;
        let first = first.ok_or_else(|| Error::Broken("watching begins".to_owned()))?;
        let first = call("watch", first)?.changes;
        let (end, until) = oneshot::channel();
        let told = tokio::spawn(listen(first, replies, until));
        Ok(Self { told, end })
    }

    /// How many bookings were told, once they have come to `posted` minor units. No change may be
    /// missing, and none told twice.
    pub(super) async fn end(self, posted: i64) -> Result<usize, Error> {
        let lost = |what: &str| Error::Broken(format!("whoever watches is told: {what}"));
        self.end.send(posted).map_err(|_| lost("it has ended"))?;
        let told = self
            .told
            .await
            .map_err(|error| lost(&error.to_string()))??;
        let is_next = |pair: &[WatchChange]| pair[1].version == pair[0].version + 1;
        holds(told.windows(2).all(is_next), || {
            "every change is told once, in its order".to_owned()
        })?;
        Ok(told.iter().filter(|change| change.line.is_some()).count())
    }
}

/// What is told after what was, until it comes to what it is to come to.
async fn listen(
    mut told: Vec<WatchChange>,
    mut replies: Watching,
    mut until: oneshot::Receiver<i64>,
) -> Result<Vec<WatchChange>, Error> {
    let mut target = None;
    let mut end = Instant::now();
    loop {
        let posted = told.last().and_then(|change| change.posted.as_ref());
        if target.is_some() && target == posted.map(|sum| sum.minor_units) {
            return Ok(told);
        }
        tokio::select! {
            reply = replies.next() => match reply {
                Some(reply) => told.extend(call("watch", reply)?.changes),
                None => return Err(Error::Broken("watching goes on".to_owned())),
            },
            found = &mut until, if target.is_none() => {
                let Ok(found) = found else {
                    return Ok(told);
                };
                (target, end) = (Some(found), Instant::now() + PATIENCE);
            }
            () = sleep_until(end), if target.is_some() => {
                return Err(Error::NotReady("what was booked is not told".to_owned()));
            }
        }
    }
}
