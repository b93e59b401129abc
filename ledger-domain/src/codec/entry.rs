//! Entries, their outcomes and commands.

use bytes::Bytes;

use super::{
    Read, date, digest,
    event::{event_from_proto, event_to_proto},
    field, hash, position_from_proto, position_to_proto, rejection_from_proto, rejection_to_proto,
    said::{Said, Saying},
    sealed_from_proto, sealed_to_proto, time_from_proto, time_to_proto,
};
use crate::{
    Damage, Entry, Fingerprint, KeyDigest, Outcome, ShardId,
    command::{CommandInfo, GroupPlace, Kind},
    entry::Format,
    event::CommandRecord,
    proto,
};

/// As `format` has it.
pub(crate) fn entry_to_proto(e: &Entry, format: Format) -> proto::Entry {
    let mut saying = Saying::new(format);
    let outcomes = e.outcomes.iter();
    let outcomes = outcomes.map(|o| outcome_to_proto(o, &mut saying)).collect();
    let (accounts, actors) = saying.all();
    proto::Entry {
        shard: e.shard.0,
        epoch: e.epoch,
        time: Some(time_to_proto(e.time)),
        business_date: e.business_date.days(),
        closed_through: e.closed_through.map(|date| date.days()),
        prev_hash: Bytes::copy_from_slice(&e.prev_hash),
        causes: e.causes.iter().map(|p| position_to_proto(*p)).collect(),
        outcomes,
        accounts,
        actors,
    }
}

pub(crate) fn entry_from_proto(e: proto::Entry, format: Format) -> Read<Entry> {
    let said = Said::read(format, e.accounts, e.actors)?;
    Ok(Entry {
        shard: ShardId(e.shard),
        epoch: e.epoch,
        time: time_from_proto(e.time)?,
        business_date: date(e.business_date)?,
        closed_through: e.closed_through.map(date).transpose()?,
        prev_hash: hash(&e.prev_hash, "prev_hash")?,
        causes: e.causes.into_iter().map(position_from_proto).collect(),
        outcomes: e
            .outcomes
            .into_iter()
            .map(|o| outcome_from_proto(o, &said))
            .collect::<Read<_>>()?,
    })
}

fn outcome_to_proto(o: &Outcome, saying: &mut Saying) -> proto::Outcome {
    let command = o.command.as_ref().map(|c| command_to_proto(c, saying));
    let (events, rejection) = match &o.result {
        Ok(events) => {
            let events = events.iter().map(|e| event_to_proto(e, saying));
            (events.collect(), None)
        }
        Err(rejection) => (Vec::new(), Some(rejection_to_proto(rejection))),
    };
    proto::Outcome {
        command,
        events,
        rejection,
    }
}

fn outcome_from_proto(o: proto::Outcome, said: &Said) -> Read<Outcome> {
    let result = match o.rejection {
        Some(_) if !o.events.is_empty() => return Err(Damage::Field("rejection")),
        Some(rejection) => Err(rejection_from_proto(rejection)?),
        None => Ok(o
            .events
            .into_iter()
            .map(|e| event_from_proto(e, said))
            .collect::<Read<_>>()?),
    };
    Ok(Outcome {
        command: o.command.map(|c| command_from_proto(c, said)).transpose()?,
        result,
    })
}

fn command_to_proto(c: &CommandRecord, saying: &mut Saying) -> proto::CommandInfo {
    let info = &c.info;
    let account = saying.account(c.account);
    let (actor, actor_said) = saying.actor(&info.actor);
    proto::CommandInfo {
        key: Bytes::copy_from_slice(&info.key.0),
        fingerprint: info.fingerprint.as_bytes().clone(),
        first_attempt_ms: info.first_attempt_ms,
        actor,
        authenticated: info.authenticated,
        channel: info.channel as i32,
        reference: info
            .reference
            .map_or_else(Bytes::new, |r| Bytes::copy_from_slice(&r)),
        correlation_id: info.correlation_id.clone(),
        reason: info.reason.clone(),
        effective_date: c.effective_date.days(),
        memo: info.memo.as_ref().map(sealed_to_proto),
        external_reference: info.external_reference.as_ref().map(sealed_to_proto),
        kind: c.kind as i32,
        account,
        actor_said,
        privileged: info.privileged,
        into_closed_day: info.into_closed_day,
        group_item: info.group.map_or(0, |group| group.item),
        group_of: info.group.map_or(0, |group| group.of),
    }
}

fn command_from_proto(c: proto::CommandInfo, said: &Said) -> Read<CommandRecord> {
    let reference = match c.reference.len() {
        0 => None,
        _ => Some(
            c.reference[..]
                .try_into()
                .map_err(|_| Damage::Field("reference"))?,
        ),
    };
    let effective_date = date(c.effective_date)?;
    Ok(CommandRecord {
        info: CommandInfo {
            key: KeyDigest(digest(&c.key, "key")?),
            fingerprint: field(Fingerprint::from_bytes(c.fingerprint), "fingerprint")?,
            first_attempt_ms: c.first_attempt_ms,
            actor: said.actor(c.actor, c.actor_said)?,
            authenticated: c.authenticated,
            channel: super::channel(c.channel)?,
            reference,
            correlation_id: c.correlation_id,
            reason: c.reason,
            privileged: c.privileged,
            into_closed_day: c.into_closed_day,
            effective_date: Some(effective_date),
            memo: c.memo.map(sealed_from_proto).transpose()?,
            external_reference: c.external_reference.map(sealed_from_proto).transpose()?,
            group: group_from_proto(c.group_item, c.group_of)?,
        },
        kind: field(Kind::from_number(c.kind), "kind")?,
        account: said.account(c.account)?,
        effective_date,
    })
}

fn group_from_proto(item: u32, of: u32) -> Read<Option<GroupPlace>> {
    match (item, of) {
        (0, 0) => Ok(None),
        (1.., 2..) if item <= of => Ok(Some(GroupPlace { item, of })),
        _ => Err(Damage::Field("group")),
    }
}
