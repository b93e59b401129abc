//! The command that debits and credits accounts anywhere.

use ledger_domain::{
    Action, Field, HouseCode, ShardId,
    journal::{Legs, Party, PlacedLeg, Rate, Side, is_for_journals},
};
use replication::topology::Directory;
use tonic::Status;

use super::{Prepared, account, money, prepare};
use crate::{
    api::teller::v1::{self as pb, JournalSide, journal_leg::Party as Given},
    server::refusal,
};

pub(in crate::server) fn journal(
    directory: &dyn Directory,
    r: &pb::SubmitJournalRequest,
) -> Result<Prepared, Status> {
    let context = r.context.clone().unwrap_or_default();
    let mut coordinator = None;
    for leg in &r.legs {
        if let Some(Given::AccountId(id)) = &leg.party {
            coordinator = Some(home(directory, id)?);
            break;
        }
    }
    let coordinator = coordinator.ok_or_else(|| {
        refusal::invalid("no leg names a customer's account; name one, whose home decides")
    })?;
    let legs = r.legs.iter().map(|leg| placed(directory, leg, coordinator));
    let legs = legs.collect::<Result<Vec<_>, Status>>()?;
    let mut bytes = Vec::new();
    for (given, leg) in r.legs.iter().zip(&legs) {
        // As the caller said it, so that a leg that moves to another shard stays the same leg.
        let said = format!("{}\u{1f}{}\u{1f}", leg.party, given.region);
        bytes.extend(said.into_bytes());
        bytes.push(leg.side as u8);
        bytes.extend(leg.currency.code().as_bytes());
        bytes.extend(leg.amount.minor_units().to_be_bytes());
    }
    let mut fields = vec![(Field::Legs, bytes)];
    let rate: Option<Rate> = match r.rate.as_str() {
        "" => None,
        rate => Some(rate.parse().map_err(refusal::invalid)?),
    };
    fields.extend(rate.iter().map(|it| (Field::Rate, it.as_str().into())));
    let legs = Legs::new(legs).map_err(refusal::invalid)?;
    let prepared = prepare(Action::Journal { legs, rate }, context, fields)?;
    Ok(Prepared {
        waits: r.wait() != pb::Wait::Accepted,
        ..prepared
    })
}

fn home(directory: &dyn Directory, id: &str) -> Result<ShardId, Status> {
    let id = account(id)?;
    let unknown = || refusal::unknown_region(id.region().as_str());
    directory.home(&id).ok_or_else(unknown)
}

fn placed(
    directory: &dyn Directory,
    leg: &pb::JournalLeg,
    coordinator: ShardId,
) -> Result<PlacedLeg, Status> {
    let (shard, party) = match &leg.party {
        Some(Given::AccountId(_)) if !leg.region.is_empty() => {
            let what = "only a leg of a house account names a region; an account has its own";
            return Err(refusal::invalid(what));
        }
        Some(Given::AccountId(id)) => (home(directory, id)?, Party::Account(account(id)?)),
        Some(Given::HouseAccount(code)) => {
            let code: HouseCode = code.parse().map_err(refusal::invalid)?;
            if !is_for_journals(&code) {
                return Err(refusal::invalid(format!(
                    "a journal names no house account {code}; it may name cash, fees, equity and \
                     fx-position"
                )));
            }
            let shard = match leg.region.as_str() {
                "" => coordinator,
                region => first_shard(directory, region)?,
            };
            (shard, Party::House(code))
        }
        None => {
            let what = "a leg names an account_id or a house_account";
            return Err(refusal::invalid(what));
        }
    };
    let side = match leg.side() {
        JournalSide::Debit => Side::Debit,
        JournalSide::Credit => Side::Credit,
        JournalSide::Unspecified => {
            return Err(refusal::invalid("a leg is a debit or a credit"));
        }
    };
    let (amount, currency) = money(leg.amount.as_ref())?;
    Ok(PlacedLeg {
        shard,
        party,
        side,
        currency,
        amount,
    })
}

fn first_shard(directory: &dyn Directory, region: &str) -> Result<ShardId, Status> {
    let name = region.parse().map_err(refusal::invalid)?;
    let shards = directory.topology().shards.iter();
    let ours = shards.filter(|shard| shard.region == name);
    let first = ours.map(|shard| ShardId(shard.id)).min();
    first.ok_or_else(|| refusal::unknown_region(region))
}
