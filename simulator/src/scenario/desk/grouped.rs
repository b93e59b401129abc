//! Several commands that are done together or not at all.

use node::{
    api::{
        teller::v1::{BatchCommand, SubmitGroupRequest},
        v1::{CommandContext, Receipt},
    },
    client::{Error, Rejection},
};
use rand::rngs::SmallRng;

use super::{Desk, happens, orders, some};
use crate::history::{Outcome, Request};

/// A group that is asked for.
pub(super) struct Group {
    /// As it is sent, each time.
    pub(super) request: SubmitGroupRequest,
    /// Its commands, in their order.
    pub(super) members: Vec<Member>,
}

/// A command of a group.
pub(super) struct Member {
    /// Its place in the history.
    id: usize,
    pub(super) request: Request,
    key: String,
}

impl Desk {
    /// A group of commands on accounts of one shard, sent by itself. While the answer is open, the
    /// group is sent again, as it was.
    ///
    /// # Errors
    ///
    /// As [`serve`](Desk::serve).
    pub async fn serve_group(
        &mut self,
        requests: Vec<Request>,
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        let group = self.group(requests);
        loop {
            let client = some(&self.tellers, rng);
            match client.submit_group(group.request.clone()).await {
                Ok(reply) => {
                    self.group_is_done(&group, &reply.receipts)?;
                    return Ok(());
                }
                Err(Error::Rejected(refused)) if refused.recorded => {
                    self.group_is_refused(&group, refused)?;
                    return Ok(());
                }
                Err(error) => match orders::open(error)? {
                    Outcome::Unknown if happens(self.habits.gives_up, rng) => return Ok(()),
                    _ => {}
                },
            }
        }
    }

    /// Writes down that a group is asked for. Each of its commands has its own place in the history,
    /// under a key that the bank knows as its correlation id only.
    pub(super) fn group(&mut self, requests: Vec<Request>) -> Group {
        let context = self.context();
        let mut before = Vec::new();
        let (mut members, mut commands) = (Vec::new(), Vec::new());
        for request in requests {
            let mut own = self.context();
            let key = std::mem::take(&mut own.idempotency_key);
            let grouped = Request::Grouped {
                group: context.idempotency_key.clone(),
                before: before.clone(),
                request: Box::new(request.clone()),
            };
            let history = &self.lobby.history;
            let id = history.invoke(&self.name, &key, grouped.clone());
            self.trace
                .record(format!("{id} asks {request:?} in a group"));
            commands.push(BatchCommand {
                command: orders::command(&grouped, &own),
            });
            members.push(Member {
                id,
                request: grouped,
                key: key.clone(),
            });
            before.push((key, request));
        }
        let context = Some(context);
        Group {
            request: SubmitGroupRequest { context, commands },
            members,
        }
    }

    /// A group was done: each of its commands has a receipt.
    pub(super) fn group_is_done(
        &mut self,
        group: &Group,
        receipts: &[Receipt],
    ) -> Result<(), Error> {
        if receipts.len() != group.members.len() {
            let what = format!("{} receipts of a group", receipts.len());
            return Err(Error::Malformed(what));
        }
        let history = self.lobby.history.clone();
        for (member, receipt) in group.members.iter().zip(receipts) {
            let Member { id, request, key } = member;
            let outcome = self.accepted(request, receipt)?;
            self.trace.record(format!("{id} is told {outcome:?}"));
            let context = CommandContext {
                idempotency_key: key.clone(),
                ..CommandContext::default()
            };
            self.note_hold(request, &context, &outcome);
            if !history.is_completed(*id) {
                history.complete(*id, outcome);
            }
        }
        self.lobby.note_aside("groups done");
        Ok(())
    }

    /// A group was refused, for one of its commands.
    pub(super) fn group_is_refused(&self, group: &Group, refused: Rejection) -> Result<(), Error> {
        let item = refused.group_item as usize;
        let refusal = orders::recorded(Error::Rejected(refused))?;
        let named = item.checked_sub(1).and_then(|it| group.members.get(it));
        let Some(Member { id, .. }) = named else {
            let size = group.members.len();
            let what = format!("a group of {size} is refused at {item}");
            return Err(Error::Malformed(what));
        };
        // What became of the others nobody says: nothing, as the log must show.
        self.trace.record(format!("{id} is told {refusal:?}"));
        self.lobby.history.complete(*id, refusal);
        self.lobby.note_aside("groups refused");
        Ok(())
    }
}
