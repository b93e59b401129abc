//! Several commands that are done together or not at all.

use node::{
    api::{
        teller::v1::{BatchCommand, SubmitGroupRequest},
        v1::CommandContext,
    },
    client::Error,
};
use rand::rngs::SmallRng;

use super::{Desk, happens, orders, some};
use crate::history::{Outcome, Request};

impl Desk {
    /// A group of commands on accounts of one shard. Each has its own place in the history, under a
    /// key that the bank knows as its correlation id only. While the answer is open, the group is sent
    /// again, as it was.
    ///
    /// # Errors
    ///
    /// As [`serve`](Desk::serve).
    pub async fn serve_group(
        &mut self,
        requests: Vec<Request>,
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        let history = self.lobby.history.clone();
        let group = self.context();
        let mut before = Vec::new();
        let (mut ids, mut commands) = (Vec::new(), Vec::new());
        for request in requests {
            let mut own = self.context();
            let key = std::mem::take(&mut own.idempotency_key);
            let grouped = Request::Grouped {
                group: group.idempotency_key.clone(),
                before: before.clone(),
                request: Box::new(request.clone()),
            };
            let id = history.invoke(&self.name, &key, grouped.clone());
            self.trace
                .record(format!("{id} asks {request:?} in a group"));
            commands.push(BatchCommand {
                command: orders::command(&grouped, &own),
            });
            ids.push((id, grouped, key.clone()));
            before.push((key, request));
        }
        let request = SubmitGroupRequest {
            context: Some(group),
            commands,
        };
        loop {
            let client = some(&self.tellers, rng);
            match client.submit_group(request.clone()).await {
                Ok(reply) => {
                    if reply.receipts.len() != ids.len() {
                        let what = format!("{} receipts of a group", reply.receipts.len());
                        return Err(Error::Malformed(what));
                    }
                    for ((id, request, key), receipt) in ids.iter().zip(&reply.receipts) {
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
                    return Ok(());
                }
                Err(Error::Rejected(refused)) if refused.recorded => {
                    let item = refused.group_item as usize;
                    let refusal = orders::recorded(Error::Rejected(refused))?;
                    let named = item.checked_sub(1).and_then(|item| ids.get(item));
                    let Some((id, ..)) = named else {
                        let what = format!("a group of {} is refused at {item}", ids.len());
                        return Err(Error::Malformed(what));
                    };
                    // What became of the others nobody says: nothing, as the log must show.
                    self.trace.record(format!("{id} is told {refusal:?}"));
                    history.complete(*id, refusal);
                    self.lobby.note_aside("groups refused");
                    return Ok(());
                }
                Err(error) => match orders::open(error)? {
                    Outcome::Unknown if happens(self.habits.gives_up, rng) => return Ok(()),
                    _ => {}
                },
            }
        }
    }
}
