//! Who customers are: sealed before it enters a log, read in the customer's residency domain alone, and
//! forgotten for ever.

use std::time::Duration;

use ledger_domain::{
    CustomerId, Field, Position, TransactionId,
    command::Kind,
    customer::{Customer, CustomerAction},
    profile::CustomerKey,
    state::State as _,
};
use prost::Message as _;
use replication::{
    shard::{Answer, Shard},
    topology::Directory as _,
};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::{
    Server, customers,
    deadline::{Call, Deadline},
    prepare, refusal,
    route::{self, Asker},
    settlement::Progress,
};
use crate::api::teller::v1::{self as pb, ProfileStatus, teller_client::TellerClient};

const GONE: &str =
    "the customer's key is not there: it was destroyed or lost after this was written";

const SILENT: &str = "the place of the customers' keys does not answer";
/// How long to wait for a key: without it there is an answer, too.
const KEY_PATIENCE: Duration = Duration::from_secs(2);

/// What is told of a profile.
pub(super) struct Told {
    pub(super) status: ProfileStatus,
    pub(super) profile: Option<pb::Profile>,
    /// Why it cannot be read.
    pub(super) why: String,
}

impl Told {
    pub(super) const fn only(status: ProfileStatus) -> Self {
        Self {
            status,
            profile: None,
            why: String::new(),
        }
    }
}

impl Server {
    /// Says who a customer is. It is sealed at the leader of the customer's shard, which is at home.
    pub(super) async fn set_profile(
        &self,
        mut request: Request<pb::SetProfileRequest>,
    ) -> Result<Response<pb::CustomerReply>, Status> {
        let deadline = Deadline::of(&request);
        let caller = &route::caller(request.metadata())?;
        let context = request.get_mut().context.get_or_insert_default();
        prepare::complete(self, context)?;
        let call = match context.dry_run {
            true => Call::Read,
            false => Call::Write {
                key: context.idempotency_key.clone(),
            },
        };
        let id = customers::customer(&request.get_ref().customer_id)?;
        let home = self.home(&id.place())?;
        self.in_its_domain(id, self.asker(&request))?;
        let answer = self.at_leader(
            home,
            request,
            deadline,
            |shard, body| async move {
                let profile = body.profile.unwrap_or_default().encode_to_vec();
                let context = body.context.unwrap_or_default();
                let (mut secret, mut nonce) = ([0; 32], [0; 24]);
                self.world.entropy.fill(&mut secret);
                self.world.entropy.fill(&mut nonce);
                let fresh = CustomerKey::new(secret);
                let dry_run = context.dry_run;
                let named = &context.idempotency_key;
                let answered = self.answered(&shard, id, caller, named, deadline);
                let answered = answered.await?.filter(|_| !dry_run);
                let again = |answer: &Answer| {
                    let receipt = self.receipt(&shard, answer, named, &Progress::Decided)?;
                    Ok(customers::replied(receipt, id))
                };
                // What was refused was sealed under no key that is kept, and what was accepted under one
                // that may be destroyed: neither can be compared then, and both are answered as ever.
                if let Some(refused) = answered.as_ref().filter(|it| it.outcome.result.is_err()) {
                    return again(refused);
                }
                let key = self.key_for(&shard, id, fresh.clone(), dry_run).await?;
                if let Some(accepted) = answered.as_ref().filter(|_| key.is_none()) {
                    return again(accepted);
                }
                // Without a key it is refused, and that is recorded.
                let key = key.unwrap_or(fresh);
                let sealed = key.seal(&id, &profile, nonce).map_err(refusal::invalid)?;
                let mut prepared =
                    customers::prepared(id, CustomerAction::SetProfile(sealed), context)?;
                prepared.say(Field::Profile, key.digest(&profile).to_vec());
                let receipt = self.decide(&shard, prepared, caller, deadline).await?;
                Ok(customers::replied(receipt, id))
            },
            |channel, request| async move { TellerClient::new(channel).set_profile(request).await },
        );
        deadline.keep(call, answer).await
    }

    /// Refuses personal data that was brought to a node of another residency domain.
    fn in_its_domain(&self, id: CustomerId, Asker(asker): Asker) -> Result<(), Status> {
        let topology = self.directory.topology();
        let home = topology.region(&id.region());
        let domain = home.map_or("", |it| it.domain.as_str());
        let (inside, outside): (Vec<_>, Vec<_>) =
            topology.regions.iter().partition(|it| it.domain == domain);
        if !outside.iter().any(|it| it.name == asker) {
            return Ok(());
        }
        let regions: Vec<_> = inside.iter().map(|it| it.name.as_str()).collect();
        Err(refusal::other_domain(domain, &regions))
    }

    /// The key of a customer who is known and not erased; made where there is none, and no profile either.
    /// Refused where a profile is sealed under a key that is not there: another would hide that it is lost.
    async fn key_for(
        &self,
        shard: &Shard,
        id: CustomerId,
        fresh: CustomerKey,
        dry_run: bool,
    ) -> Result<Option<CustomerKey>, Status> {
        let Some(before) = known(shard, id).await?.filter(|known| !known.erased) else {
            return Ok(None);
        };
        let found = self.keys.get(id).await;
        let found = found.map_err(|error| refusal::no_key(&error))?;
        if let Some(sealed) = &before.profile
            && found.as_ref().map(CustomerKey::id) != Some(sealed.key_id)
        {
            // It may have been destroyed between the two.
            let now = known(shard, id).await?;
            return match now.is_some_and(|known| known.erased) {
                true => Ok(None),
                false => Err(refusal::lost_key(id, found.is_some())),
            };
        }
        if found.is_some() || dry_run {
            return Ok(Some(found.unwrap_or(fresh)));
        }
        let made = self.keys.create(id, fresh).await;
        let made = made.map_err(|error| refusal::no_key(&error))?;
        // Erased meanwhile: then this is not the key that was.
        match known(shard, id).await? {
            Some(known) if known.erased => {
                self.destroy(id).await;
                Ok(None)
            }
            _ => Ok(Some(made)),
        }
    }

    /// What was decided when a profile was to be set under an idempotency key, where that is known.
    async fn answered(
        &self,
        shard: &Shard,
        id: CustomerId,
        caller: &str,
        key: &str,
        deadline: Deadline,
    ) -> Result<Option<Answer>, Status> {
        let digest = self.secrets.digest_key().key(caller, &id.place(), key);
        let read = shard.strong(|book| book.key(&digest)).await;
        let (record, now) = read.map_err(|error| refusal::read(&error))?;
        let Some(record) = record else {
            return Ok(None);
        };
        let position = Position {
            index: record.index,
            ..now
        };
        let transaction = TransactionId {
            position,
            ordinal: record.ordinal,
        };
        let (entry, outcome) = self.outcome_at(transaction, now, deadline).await?;
        let kind = outcome.command.as_ref().map(|it| it.kind);
        if kind != Some(Kind::SetProfile) {
            return Ok(None);
        }
        Ok(Some(Answer {
            transaction,
            time: entry.time,
            outcome,
            others: Vec::new(),
            repeated: true,
        }))
    }

    /// A customer's profile, as far as whoever asks may read it.
    pub(super) async fn profile(
        &self,
        shard: &Shard,
        id: CustomerId,
        read: &Customer,
        Asker(asker): &Asker,
    ) -> Told {
        let Some(sealed) = read.profile.clone() else {
            return Told::only(match read.erased {
                true => ProfileStatus::Erased,
                false => ProfileStatus::None,
            });
        };
        let topology = self.directory.topology();
        let domain = |region| topology.region(region).map(|it| it.domain.as_str());
        if domain(asker) != domain(&id.region()) {
            return Told::only(ProfileStatus::Elsewhere);
        }
        let opened = match timeout(KEY_PATIENCE, self.keys.get(id)).await {
            Err(_) => Err(SILENT.to_owned()),
            Ok(Ok(Some(key))) => key.open(&id, &sealed).map_err(|error| error.to_string()),
            Ok(Ok(None)) => match known(shard, id).await {
                Ok(Some(known)) if known.erased => return Told::only(ProfileStatus::Erased),
                _ => Err(GONE.to_owned()),
            },
            Ok(Err(error)) => Err(error.to_string()),
        };
        let read = opened.and_then(|bytes| {
            pb::Profile::decode(&bytes[..]).map_err(|error| format!("it is no profile: {error}"))
        });
        match read {
            Ok(profile) => Told {
                profile: Some(profile),
                ..Told::only(ProfileStatus::Read)
            },
            Err(why) => {
                tracing::error!(customer = %id, why, "a profile cannot be read");
                Told {
                    why,
                    ..Told::only(ProfileStatus::Unreadable)
                }
            }
        }
    }
}

/// A customer of a shard that is led here.
async fn known(shard: &Shard, id: CustomerId) -> Result<Option<Customer>, Status> {
    let read = shard.strong(|book| book.customer(&id)).await;
    let (customer, _) = read.map_err(|error| refusal::read(&error))?;
    Ok(customer)
}
