//! References by which others know an account: claimed, released and found.
//!
//! Only the nodes of a region know the secret under which its references are digested, so whoever is
//! asked elsewhere passes the question on, and a claim goes by way of the account's own shard: its
//! replicas are nodes of the region. There the reference becomes a digest, which alone goes on to the
//! shard that keeps it.

use std::sync::Arc;

use futures_util::future::join_all;
use ledger_domain::{
    AccountId, Action, Field, Reference, ReferenceDigest, ReferenceType, RegionName,
    reference::Claim, state::State as _,
};
use prost::Message as _;
use replication::topology::Directory as _;
use tonic::{Request, Response, Status};

use super::{
    Server,
    deadline::{Call, Deadline},
    opening::known,
    prepare::{self, Prepared},
    receipt, refusal, route,
};
use crate::api::{
    atm::v1 as atm,
    internal::v1::{
        DecideReferenceReply, DecideReferenceRequest, LookUpReferenceReply, LookUpReferenceRequest,
        references_client::ReferencesClient, references_server::References,
    },
    rejection,
    teller::v1::{self as pb, teller_client::TellerClient},
    v1,
};

/// How many references an account can be opened with.
const MOST: usize = 8;

/// A reference as a caller gives it.
pub(super) fn reference(given: Option<&v1::AccountReference>) -> Result<Reference, Status> {
    let given = given.ok_or_else(|| refusal::invalid("a reference is missing"))?;
    let kind = ReferenceType::from_number(given.r#type)
        .ok_or_else(|| refusal::invalid("a reference has a type: IBAN or external"))?;
    Reference::new(kind, &given.text).map_err(refusal::invalid)
}

/// Those that an account is opened with.
pub(super) fn of_opening(given: &[v1::AccountReference]) -> Result<Vec<Reference>, Status> {
    if given.len() > MOST {
        let what = format!(
            "{} references; at most {MOST} are taken at once",
            given.len()
        );
        return Err(refusal::invalid(what));
    }
    given.iter().map(|it| reference(Some(it))).collect()
}

/// References as a field of a command's body, which is digested.
pub(super) fn bytes(references: &[Reference]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for reference in references {
        bytes.push(reference.kind() as u8);
        bytes.extend((reference.as_bytes().len() as u64).to_be_bytes());
        bytes.extend(reference.as_bytes());
    }
    bytes
}

/// What is refused where a claim or a release says too much.
const CLAIM: &str = "the claim of a reference, or its release,";

/// The command about a digested reference. A key belongs to the reference's place, so that the same
/// one does for several references and the account's opening.
fn prepared(claim: Claim, context: v1::CommandContext, release: bool) -> Result<Prepared, Status> {
    let place = AccountId::of_reference(claim.account.region(), &claim.digest);
    let action = match release {
        false => Action::ClaimReference { place, claim },
        true => Action::ReleaseReference { place, claim },
    };
    let account = claim.account.to_string().into_bytes();
    prepare::prepare(action, context, vec![(Field::Counterparty, account)])
}

impl Server {
    pub(super) async fn claim_reference(
        &self,
        mut request: Request<pb::ClaimReferenceRequest>,
    ) -> Result<Response<pb::ReferenceReply>, Status> {
        let deadline = Deadline::of(&request);
        let caller = &route::caller(request.metadata())?;
        let context = request.get_mut().context.get_or_insert_default();
        prepare::complete(self, context)?;
        prepare::is_plain(context, CLAIM)?;
        let call = call(context);
        let body = request.get_ref();
        let account = prepare::account(&body.account_id)?;
        reference(body.reference.as_ref())?;
        let answer =
            self.at_leader(
                self.home(&account)?,
                request,
                deadline,
                |shard, body| async move {
                    // Accounts stay, so this is as true when the same is asked again.
                    known(&shard, account)
                        .await?
                        .ok_or_else(refusal::unknown_account)?;
                    let reference = reference(body.reference.as_ref())?;
                    let context = body.context.unwrap_or_default();
                    let claim = self.claim(&reference, account);
                    let receipt = self.decided(claim, context, false, caller, deadline);
                    receipt.await.map(replied)
                },
                |channel, request| async move {
                    TellerClient::new(channel).claim_reference(request).await
                },
            );
        deadline.keep(call, answer).await
    }

    pub(super) async fn release_reference(
        &self,
        mut request: Request<pb::ReleaseReferenceRequest>,
    ) -> Result<Response<pb::ReferenceReply>, Status> {
        let deadline = Deadline::of(&request);
        let caller = &route::caller(request.metadata())?;
        let context = request.get_mut().context.get_or_insert_default();
        prepare::complete(self, context)?;
        prepare::is_plain(context, CLAIM)?;
        let call = call(context);
        let body = request.get_ref();
        let account = prepare::account(&body.account_id)?;
        reference(body.reference.as_ref())?;
        let answer = self.at_leader(
            self.home(&account)?,
            request,
            deadline,
            // Of an account that is not there, too: an opening that was refused leaves claims.
            |_, body| async move {
                let reference = reference(body.reference.as_ref())?;
                let context = body.context.unwrap_or_default();
                let claim = self.claim(&reference, account);
                let receipt = self.decided(claim, context, true, caller, deadline);
                receipt.await.map(replied)
            },
            |channel, request| async move {
                TellerClient::new(channel).release_reference(request).await
            },
        );
        deadline.keep(call, answer).await
    }

    /// Claims what is to stand for an account that is to be opened, or releases it again.
    pub(super) async fn claim_for(
        &self,
        reference: &Reference,
        account: AccountId,
        context: v1::CommandContext,
        release: bool,
        caller: &str,
        deadline: Deadline,
    ) -> Result<v1::Receipt, Status> {
        let claim = self.claim(reference, account);
        self.decided(claim, context, release, caller, deadline)
            .await
    }

    /// The claim of a reference of this region.
    fn claim(&self, reference: &Reference, account: AccountId) -> Claim {
        Claim {
            kind: reference.kind(),
            digest: self.secrets.digest_key().account_reference(reference),
            account,
        }
    }

    /// Has a claim, or a release, decided where its reference is kept.
    async fn decided(
        &self,
        claim: Claim,
        context: v1::CommandContext,
        release: bool,
        caller: &str,
        deadline: Deadline,
    ) -> Result<v1::Receipt, Status> {
        let key = context.idempotency_key.clone();
        let mut asked = DecideReferenceRequest {
            context: Some(context),
            r#type: claim.kind as i32,
            digest: claim.digest.0.to_vec(),
            account_id: claim.account.to_string(),
            release,
            proof: Vec::new(),
        };
        let unproven = asked.encode_to_vec();
        let proof = self
            .secrets
            .digest_key()
            .proof(&[caller.as_bytes(), &unproven]);
        asked.proof = proof.to_vec();
        let mut request = Request::new(asked);
        route::set_caller(request.metadata_mut(), caller);
        let reply = self.decide_reference(request, deadline).await;
        let reply = reply.map_err(|status| refusal::on_the_way(status, &key))?;
        Ok(reply.into_inner().receipt.unwrap_or_default())
    }

    async fn decide_reference(
        &self,
        request: Request<DecideReferenceRequest>,
        deadline: Deadline,
    ) -> Result<Response<DecideReferenceReply>, Status> {
        let caller = &route::caller(request.metadata())?;
        let body = request.get_ref();
        let unproven = DecideReferenceRequest {
            proof: Vec::new(),
            ..body.clone()
        };
        let proven = [caller.as_bytes(), &unproven.encode_to_vec()];
        if !self.secrets.digest_key().proves(&proven, &body.proof) {
            let what =
                "a reference is claimed and released by its text, of an account that is there";
            return Err(refusal::invalid(what));
        }
        let claim = Claim {
            kind: ReferenceType::from_number(body.r#type)
                .ok_or_else(|| refusal::invalid("a reference has a type"))?,
            digest: digest(&body.digest)?,
            account: prepare::account(&body.account_id)?,
        };
        let place = AccountId::of_reference(claim.account.region(), &claim.digest);
        self.at_leader(
            self.home(&place)?,
            request,
            deadline,
            |shard, body| async move {
                let context = body.context.unwrap_or_default();
                let prepared = prepared(claim, context, body.release)?;
                // What it is decided by has no references to be claimed: this ends here.
                let deciding = Box::pin(self.decide(&shard, prepared, caller, deadline));
                let receipt = Some(deciding.await?);
                Ok(DecideReferenceReply { receipt })
            },
            |channel, request| async move { ReferencesClient::new(channel).decide(request).await },
        )
        .await
    }

    /// Finds for whom a reference stands, in a region or side by side in all of the residency domain
    /// that this one is in: what identifies a person leaves it only for a region that is named.
    pub(super) async fn find_account(
        &self,
        request: Request<atm::FindAccountRequest>,
    ) -> Result<Response<atm::FindAccountReply>, Status> {
        let deadline = Deadline::of(&request);
        let caller = route::caller(request.metadata())?;
        let body = request.into_inner();
        let sought = reference(body.reference.as_ref())?;
        let only = match body.region.as_str() {
            "" => None,
            name => Some(name.parse::<RegionName>().map_err(refusal::invalid)?),
        };
        let topology = self.directory.topology();
        let domain = topology.region(&self.region).map(|here| &here.domain);
        let (mut regions, mut not_asked) = (Vec::new(), Vec::new());
        for region in &topology.regions {
            let is_asked = match only {
                Some(only) => region.name == only,
                None => Some(&region.domain) == domain,
            };
            match is_asked {
                true => regions.push(region.name),
                false => not_asked.push(region.name),
            }
        }
        regions.sort_unstable();
        not_asked.sort_unstable();
        if regions.is_empty() {
            return Err(refusal::unknown_region(&body.region));
        }
        let asked = regions.into_iter().map(|region| {
            let found = self.found_in(region, &sought, &body, &caller, deadline);
            async move { (region, deadline.keep(Call::Read, found).await) }
        });
        let mut found = Vec::new();
        for (region, answer) in join_all(asked).await {
            found.push(match answer {
                Ok(answer) => answer,
                Err(status) if only.is_some() => return Err(status),
                Err(status) => atm::FoundInRegion {
                    region: region.to_string(),
                    rejection: Some(unanswered(&status)),
                    ..Default::default()
                },
            });
        }
        let missing = found.iter().filter(|it| it.rejection.is_some());
        Ok(Response::new(atm::FindAccountReply {
            regions_missing: missing.map(|it| it.region.clone()).collect(),
            regions: found,
            regions_not_asked: not_asked.iter().map(ToString::to_string).collect(),
            served_by: Some(self.served_by()),
        }))
    }

    /// What a region knows of a reference, asked here or of one of its nodes.
    async fn found_in(
        &self,
        region: RegionName,
        sought: &Reference,
        asked: &atm::FindAccountRequest,
        caller: &str,
        deadline: Deadline,
    ) -> Result<atm::FoundInRegion, Status> {
        if region != self.region {
            return self.found_there(region, asked, caller, deadline).await;
        }
        let reply = self.stands_for(sought, deadline).await?;
        Ok(atm::FoundInRegion {
            region: region.to_string(),
            account_id: reply.account_id,
            position: reply.position,
            true_at: reply.true_at,
            served_by: reply.served_by,
            rejection: None,
        })
    }

    /// For whom a reference stands in this region.
    pub(super) async fn stands_for(
        &self,
        sought: &Reference,
        deadline: Deadline,
    ) -> Result<LookUpReferenceReply, Status> {
        let digest = self.secrets.digest_key().account_reference(sought);
        let place = AccountId::of_reference(self.region, &digest);
        let request = Request::new(LookUpReferenceRequest {
            digest: digest.0.to_vec(),
        });
        let reply = self.look_up_reference(request, place, deadline).await?;
        Ok(reply.into_inner())
    }

    /// Asks the nodes of another region, one after the other, until one answers.
    async fn found_there(
        &self,
        region: RegionName,
        asked: &atm::FindAccountRequest,
        caller: &str,
        deadline: Deadline,
    ) -> Result<atm::FoundInRegion, Status> {
        let nodes = self.directory.topology().nodes.iter();
        let nodes: Vec<_> = nodes.filter(|node| node.region == region).collect();
        let mut last = Status::unavailable(format!("no node of {region} can be reached"));
        for (after, node) in (0..nodes.len()).rev().zip(&nodes) {
            let Ok(line) = self.peers.line(node.id) else {
                continue;
            };
            let mut request = Request::new(atm::FindAccountRequest {
                region: region.to_string(),
                ..asked.clone()
            });
            route::set_caller(request.metadata_mut(), caller);
            // One that hangs leaves time for those after it.
            let patience = match after {
                0 => deadline.left(),
                _ => deadline.left() / 2,
            };
            request.set_timeout(patience);
            let mut client = atm::atm_client::AtmClient::new(line.channel());
            let answering = self.elsewhere.admit(client.find_account(request));
            match tokio::time::timeout(patience, answering).await {
                Ok(Ok(Ok(reply))) => {
                    let found = reply.into_inner().regions.into_iter().next();
                    return found.ok_or_else(|| Status::internal("a region answered nothing"));
                }
                Ok(Ok(Err(status))) => {
                    if rejection::from_status(&status).is_none() {
                        self.peers.suspect(&line);
                    }
                    last = status;
                }
                Ok(Err(refused)) => return Err(refused),
                Err(_) => self.peers.suspect(&line),
            }
        }
        Err(last)
    }

    async fn look_up_reference(
        &self,
        request: Request<LookUpReferenceRequest>,
        place: AccountId,
        deadline: Deadline,
    ) -> Result<Response<LookUpReferenceReply>, Status> {
        self.at_leader(
            self.home(&place)?,
            request,
            deadline,
            |shard, body| async move {
                let digest = digest(&body.digest)?;
                let ((account, time), position) = shard
                    .strong(|book| (book.reference(&digest), book.time()))
                    .await
                    .map_err(|error| refusal::read(&error))?;
                Ok(LookUpReferenceReply {
                    account_id: account.map_or_else(String::new, |id| id.to_string()),
                    position: Some(receipt::position(position)),
                    true_at: Some(receipt::time(time)),
                    served_by: Some(self.served_by()),
                })
            },
            |channel, request| async move { ReferencesClient::new(channel).look_up(request).await },
        )
        .await
    }
}

/// The kind of call that a claim or a release is.
fn call(context: &v1::CommandContext) -> Call {
    match context.dry_run {
        true => Call::Read,
        false => Call::Write {
            key: context.idempotency_key.clone(),
        },
    }
}

fn replied(receipt: v1::Receipt) -> pb::ReferenceReply {
    pb::ReferenceReply {
        receipt: Some(receipt),
    }
}

fn digest(bytes: &[u8]) -> Result<ReferenceDigest, Status> {
    let bytes = bytes.try_into();
    bytes
        .map(ReferenceDigest)
        .map_err(|_| refusal::invalid("the digest of a reference has 16 bytes"))
}

/// Why a region is missing.
fn unanswered(status: &Status) -> v1::RejectionDetail {
    rejection::from_status(status).unwrap_or_else(|| {
        let help = "Ask again: there may be an account.";
        refusal::detail("UNAVAILABLE", status.message(), true, help)
    })
}

#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Server>);

#[tonic::async_trait]
impl References for Service {
    async fn decide(
        &self,
        request: Request<DecideReferenceRequest>,
    ) -> Result<Response<DecideReferenceReply>, Status> {
        let deadline = Deadline::of(&request);
        let context = request.get_ref().context.clone().unwrap_or_default();
        let answer = self.0.decide_reference(request, deadline);
        deadline.keep(call(&context), answer).await
    }

    async fn look_up(
        &self,
        request: Request<LookUpReferenceRequest>,
    ) -> Result<Response<LookUpReferenceReply>, Status> {
        let deadline = Deadline::of(&request);
        let digest = digest(&request.get_ref().digest)?;
        let place = AccountId::of_reference(self.0.region, &digest);
        let answer = self.0.look_up_reference(request, place, deadline);
        deadline.keep(Call::Read, answer).await
    }
}
