//! Groups: commands on accounts of one shard that are done in their order, all or none.

use std::collections::BTreeSet;

use ledger_domain::{
    Command, Field, Rejection, TransactionId,
    command::{GroupPlace, LONGEST_GROUP},
};
use replication::{
    shard::{Answer, Shard, Submission},
    topology::Directory,
};
use tonic::{Request, Response, Status};

use super::{
    Server,
    deadline::{Call, Deadline},
    freeze,
    prepare::{self, Prepared},
    refusal, route,
    settlement::Progress,
    spending,
};
use crate::api::{
    longest,
    teller::v1::{self as pb, teller_client::TellerClient},
    v1,
};

impl Server {
    /// Takes a group to its shard's leader.
    pub(super) async fn submit_group(
        &self,
        mut request: Request<pb::SubmitGroupRequest>,
    ) -> Result<Response<pb::SubmitGroupReply>, Status> {
        let deadline = Deadline::of(&request);
        let caller = &route::caller(request.metadata())?;
        prepare::complete(self, request.get_mut().context.get_or_insert_default())?;
        let context = request.get_ref().context.clone().unwrap_or_default();
        let members = self.members(request.get_ref())?;
        let shards = members.iter().map(|it| self.home(&it.action.account()));
        let shards = shards.collect::<Result<BTreeSet<_>, _>>()?;
        let (Some(home), 1) = (shards.first(), shards.len()) else {
            return Err(refusal::group_across_shards(&shards));
        };
        let call = match context.dry_run {
            true => Call::Read,
            false => Call::Write {
                key: context.idempotency_key,
            },
        };
        let answer = self.at_leader(
            *home,
            request,
            deadline,
            |shard, body| async move {
                let members = self.members(&body)?;
                let context = body.context.unwrap_or_default();
                let receipts = self
                    .decide_group(&shard, members, &context, caller, deadline)
                    .await?;
                Ok(pb::SubmitGroupReply { receipts })
            },
            |channel, request| async move {
                TellerClient::new(channel).submit_group(request).await
            },
        );
        deadline.keep(call, answer).await
    }

    /// The commands of a group, each with what the group says for all.
    fn members(&self, group: &pb::SubmitGroupRequest) -> Result<Vec<Prepared>, Status> {
        let count = group.commands.len();
        if !(1..=LONGEST_GROUP).contains(&count) {
            return Err(refusal::invalid(format!(
                "{count} commands; a group has one to {LONGEST_GROUP}"
            )));
        }
        let key = group.context.as_ref().map(|it| it.idempotency_key.len());
        if key.is_some_and(|length| length > longest::GROUP_KEY) {
            return Err(refusal::invalid(format!(
                "the idempotency_key of a group has at most {} bytes",
                longest::GROUP_KEY
            )));
        }
        let of = u32::try_from(count).unwrap_or(u32::MAX);
        let members = (1..).zip(commands(group)).map(|(item, command)| {
            let member = command.and_then(|it| prepared(&self.directory, &it));
            member.map_err(|status| refusal::in_group(status, place(item, of)))
        });
        members.collect()
    }

    async fn decide_group(
        &self,
        shard: &Shard,
        members: Vec<Prepared>,
        context: &v1::CommandContext,
        caller: &str,
        deadline: Deadline,
    ) -> Result<Vec<v1::Receipt>, Status> {
        if members.iter().any(Prepared::is_privileged) && !self.privileged.contains(caller) {
            return Err(refusal::not_privileged(caller));
        }
        let key = &context.idempotency_key;
        let waits: Vec<_> = members.iter().map(|member| member.waits).collect();
        let commands = members.into_iter().map(|it| it.command(self, caller));
        let mut commands = self.bound_together(commands.collect::<Result<_, _>>()?);
        self.look_up(shard, &mut commands, context.dry_run, deadline)
            .await?;
        let command = commands.remove(0);
        if context.dry_run {
            return self.dry_run(shard, &command, &commands, key).await;
        }
        let submission = Submission {
            command,
            rest: commands,
            after: None,
        };
        let answer = shard.submit(submission).await;
        let answer = answer.map_err(|error| refusal::submit(&error, key))?;
        if let Err(rejection) = &answer.outcome.result {
            return Err(refused(&answer, rejection, key));
        }
        let mut receipts = Vec::with_capacity(waits.len());
        for (answer, waits) in one_by_one(answer).into_iter().zip(waits) {
            let progress = match waits {
                true => self.wait(shard, &answer.outcome, deadline).await,
                false => Progress::Decided,
            };
            receipts.push(self.receipt(shard, &answer, key, &progress)?);
        }
        Ok(receipts)
    }

    /// Gives every command its place, and the fingerprint of the whole group.
    fn bound_together(&self, mut commands: Vec<Command>) -> Vec<Command> {
        let prints = commands.iter();
        let prints: Vec<_> = prints
            .flat_map(|it| it.info.fingerprint.as_bytes().to_vec())
            .collect();
        let fields = [(Field::Kind, &b"group"[..]), (Field::Items, &prints)];
        let whole = self.secrets.digest_key().fingerprint(&fields);
        let of = u32::try_from(commands.len()).unwrap_or(u32::MAX);
        for (item, command) in (1..).zip(&mut commands) {
            command.info.fingerprint = whole.clone();
            command.info.group = place(item, of);
        }
        commands
    }
}

/// The place of one of several; a command alone has none.
fn place(item: u32, of: u32) -> Option<GroupPlace> {
    (of > 1).then_some(GroupPlace { item, of })
}

/// The commands of a group, each with what the group says for all where it says nothing itself.
///
/// # Errors
///
/// An empty command, a group, or one that says what only the group may.
pub(super) fn commands(
    group: &pb::SubmitGroupRequest,
) -> impl Iterator<Item = Result<pb::BatchCommand, Status>> {
    let shared = group.context.clone().unwrap_or_default();
    let commands = (1..).zip(&group.commands);
    commands.map(move |(item, command)| with_shared(command, &shared, item))
}

fn with_shared(
    command: &pb::BatchCommand,
    shared: &v1::CommandContext,
    item: u32,
) -> Result<pb::BatchCommand, Status> {
    if let Some(pb::batch_command::Command::SubmitGroup(_)) = command.command {
        let what = "a group is no command of a group: put its commands into the outer one";
        return Err(refusal::invalid(what));
    }
    let mut command = command.clone();
    let own = command.context_mut().ok_or_else(empty)?;
    if !own.idempotency_key.is_empty() || own.dry_run {
        return Err(refusal::invalid(
            "idempotency_key and dry_run are the group's, and not its commands'",
        ));
    }
    own.idempotency_key = match item {
        1 => shared.idempotency_key.clone(),
        item => format!("{}\u{1f}{item}", shared.idempotency_key),
    };
    own.first_attempt_unix_ms = shared.first_attempt_unix_ms;
    own.channel = shared.channel;
    own.into_closed_day |= shared.into_closed_day;
    for (own, shared) in [
        (&mut own.reference, &shared.reference),
        (&mut own.correlation_id, &shared.correlation_id),
        (&mut own.reason, &shared.reason),
        (&mut own.effective_date, &shared.effective_date),
    ] {
        if own.is_empty() {
            own.clone_from(shared);
        }
    }
    Ok(command)
}

fn prepared(directory: &dyn Directory, command: &pb::BatchCommand) -> Result<Prepared, Status> {
    use pb::batch_command::Command as C;
    match &command.command {
        Some(C::OpenAccount(body))
            if !body.references.is_empty() || !body.customer_id.is_empty() =>
        {
            Err(refusal::invalid(
                "customers and references are kept in other shards: open the account by itself, or \
                 attach it and claim them after",
            ))
        }
        Some(C::OpenAccount(body)) => prepare::open(directory, body),
        Some(C::CloseAccount(body)) => prepare::close(directory, body),
        Some(C::Deposit(body)) => prepare::deposit(body),
        Some(C::Withdraw(body)) => prepare::withdraw(body),
        Some(C::Transfer(body)) => prepare::transfer(directory, body),
        Some(C::PlaceHold(body)) => prepare::place_hold(body),
        Some(C::RaiseHold(body)) => prepare::raise_hold(body),
        Some(C::CaptureHold(body)) => prepare::capture_hold(directory, body),
        Some(C::ReleaseHold(body)) => prepare::release_hold(body),
        Some(C::FreezeAccount(body)) => freeze::freeze(body),
        Some(C::UnfreezeAccount(body)) => freeze::unfreeze(body),
        Some(C::SetLimit(body)) => prepare::set_limit(body),
        Some(C::Reverse(body)) => prepare::reverse(directory, body),
        Some(C::SubmitJournal(_)) => Err(refusal::invalid(
            "a journal is no command of a group: it is all or none by itself, and over shards",
        )),
        Some(C::SetSpendingLimit(body)) => spending::set_spending_limit(body),
        Some(C::ClearSuspense(body)) => prepare::clear_suspense(directory, body),
        // A group is refused before.
        Some(C::SubmitGroup(_)) | None => Err(empty()),
    }
}

fn empty() -> Status {
    refusal::invalid("the group has an empty command")
}

/// The answers to the commands of a group that was done.
fn one_by_one(answer: Answer) -> Vec<Answer> {
    let TransactionId { position, ordinal } = answer.transaction;
    let outcomes = [answer.outcome].into_iter().chain(answer.others);
    let answers = (ordinal..).zip(outcomes).map(|(ordinal, outcome)| Answer {
        transaction: TransactionId { position, ordinal },
        time: answer.time,
        outcome,
        others: Vec::new(),
        repeated: answer.repeated,
    });
    answers.collect()
}

/// The status of a group that was refused: which command of it, and why.
fn refused(answer: &Answer, rejection: &Rejection, key: &str) -> Status {
    let command = answer.outcome.command.as_ref();
    let place = command.and_then(|command| command.info.group);
    refusal::in_group(refusal::rejected(rejection, key), place)
}
