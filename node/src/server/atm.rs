//! Reads, answered near the person who asks.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use ledger_domain::{AccountId, ShardId, Token, state::State as _};
use replication::{
    topology::{Directory as _, key_bytes},
    view::{BalanceRow, Watermark},
};
use tonic::{Request, Response, Status};

use super::{
    Server,
    deadline::{Call, Deadline},
    freshness::Bound,
    prepare, receipt, refusal, together, watching,
};
use crate::api::{
    atm::v1::{self as pb, atm_client::AtmClient, atm_server::Atm},
    v1::{
        self,
        read_mode::{Mode, as_of::At},
    },
};

#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Server>);

const MAX_BALANCES: usize = 1_000;
/// How many of several balances are asked for at a time: each may wait, or travel.
const AT_A_TIME: usize = 64;
const MAX_TOKENS: usize = 64;

#[tonic::async_trait]
impl Atm for Service {
    async fn get_balance(
        &self,
        request: Request<pb::GetBalanceRequest>,
    ) -> Result<Response<pb::GetBalanceReply>, Status> {
        let server = &self.0;
        let deadline = Deadline::of(&request);
        let id = prepare::account(&request.get_ref().account_id)?;
        let home = server.home(&id)?;
        let near = match mode(request.get_ref().mode.as_ref()) {
            Mode::Strong(_) => Near::Travels(Token::default()),
            near => {
                let answer = server.near_balance(home, id, near, deadline);
                deadline.keep(Call::Read, answer).await?
            }
        };
        let covered = match near {
            Near::Answered(balance) => {
                let balance = Some(balance);
                return Ok(Response::new(pb::GetBalanceReply { balance }));
            }
            Near::Travels(covered) => covered,
        };
        let request = request.map(|body| pb::GetBalanceRequest {
            mode: Some(v1::ReadMode {
                mode: Some(Mode::Strong(v1::read_mode::Strong {})),
            }),
            ..body
        });
        let answer = server.at_leader(
            home,
            request,
            deadline,
            |shard, _| async move { server.strong_balance(&shard, id).await },
            |channel, request| async move { AtmClient::new(channel).get_balance(request).await },
        );
        let mut reply = deadline.keep(Call::Read, answer).await?;
        if let Some(balance) = &mut reply.get_mut().balance {
            balance.token = server.covering(covered, &balance.token)?;
        }
        Ok(reply)
    }

    async fn get_balances(
        &self,
        request: Request<pb::GetBalancesRequest>,
    ) -> Result<Response<pb::GetBalancesReply>, Status> {
        let deadline = Deadline::of(&request);
        let (metadata, _, body) = request.into_parts();
        let n = body.account_ids.len();
        if n > MAX_BALANCES {
            let what = format!("{n} accounts; at most {MAX_BALANCES} are answered at once");
            return Err(refusal::invalid(what));
        }
        if let Some(wanted) = &body.at_one_time {
            if body.mode.is_some() {
                let what = "balances of one time have no other mode: leave `mode` out";
                return Err(refusal::invalid(what));
            }
            let answer = self
                .0
                .balances_at_one_time(&body.account_ids, wanted, deadline);
            return deadline.keep(Call::Read, answer).await.map(Response::new);
        }
        let outcomes = stream::iter(body.account_ids)
            .map(|account_id| {
                let one = pb::GetBalanceRequest {
                    account_id,
                    mode: body.mode.clone(),
                };
                let mut one = Request::from_parts(metadata.clone(), Default::default(), one);
                one.extensions_mut().insert(deadline);
                self.one_of_several(one)
            })
            .buffered(AT_A_TIME)
            .collect()
            .await;
        Ok(Response::new(pb::GetBalancesReply {
            outcomes,
            ..pb::GetBalancesReply::default()
        }))
    }

    async fn get_statement(
        &self,
        request: Request<pb::GetStatementRequest>,
    ) -> Result<Response<pb::GetStatementReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.statement(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn get_customer_accounts(
        &self,
        request: Request<pb::GetCustomerAccountsRequest>,
    ) -> Result<Response<pb::GetCustomerAccountsReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.customer_accounts(request.into_inner(), deadline);
        deadline.keep(Call::Read, answer).await.map(Response::new)
    }

    async fn find_account(
        &self,
        request: Request<pb::FindAccountRequest>,
    ) -> Result<Response<pb::FindAccountReply>, Status> {
        self.0.find_account(request).await
    }

    type WatchStream = watching::Replies;

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let deadline = Deadline::of(&request);
        let begun = self.0.watch(request.into_inner(), deadline);
        deadline.keep(Call::Read, begun).await.map(Response::new)
    }
}

impl Service {
    async fn one_of_several(&self, one: Request<pb::GetBalanceRequest>) -> pb::BalanceOutcome {
        match self.get_balance(one).await {
            Ok(reply) => {
                let balance = reply.into_inner().balance.unwrap_or_default();
                together::told(balance)
            }
            Err(status) => together::rejected(&status),
        }
    }
}

/// What a question comes to where it was asked.
enum Near {
    /// It is answered.
    Answered(pb::Balance),
    /// It is asked at home, and the answer must cover this, too.
    Travels(Token),
}

pub(super) fn mode(mode: Option<&v1::ReadMode>) -> Mode {
    mode.and_then(|m| m.mode.clone())
        .unwrap_or(Mode::Local(v1::read_mode::Local {}))
}

impl Server {
    async fn strong_balance(
        &self,
        shard: &replication::shard::Shard,
        id: AccountId,
    ) -> Result<pb::GetBalanceReply, Status> {
        let (read, position) = shard
            .strong(|book| (book.account(&id), book.time()))
            .await
            .map_err(|error| refusal::read(&error))?;
        let account = read.0.ok_or_else(refusal::unknown_account)?;
        let row = BalanceRow {
            account,
            shard: position.shard,
            watermark: Watermark {
                position,
                time: read.1,
            },
        };
        let balance = self.balance(id, &row, Token::default(), pb::ModeUsed::Strong);
        let balance = pb::Balance {
            staleness_bound_ms: 0,
            ..balance
        };
        Ok(pb::GetBalanceReply {
            balance: Some(balance),
        })
    }

    /// What the views here answer, or that the question has to travel home.
    async fn near_balance(
        self: &Arc<Self>,
        home: ShardId,
        id: AccountId,
        mode: Mode,
        deadline: Deadline,
    ) -> Result<Near, Status> {
        let found = match mode {
            Mode::Session(session) => {
                let covered = self.wait_for(&session.tokens, deadline).await?;
                let row = self.views().balance(&id).map_err(refusal::unreadable)?;
                row.map(|row| self.balance(id, &row, covered, pb::ModeUsed::Session))
            }
            Mode::Bounded(bounded) => {
                let bound = Bound::of(&bounded);
                let covered = self.verified(&bounded.tokens)?;
                loop {
                    if !self.meets(home, bound, &covered, deadline).await? {
                        return Ok(Near::Travels(covered));
                    }
                    self.wait_until(&covered, deadline).await?;
                    let row = self.views().balance(&id).map_err(refusal::unreadable)?;
                    let covered = covered.clone();
                    let found =
                        row.map(|row| self.balance(id, &row, covered, pb::ModeUsed::Bounded));
                    let age = found.as_ref().map_or(0, |found| found.staleness_bound_ms);
                    // Time has gone by since the bound was met.
                    if age <= bounded.max_staleness_ms {
                        break found;
                    }
                }
            }
            Mode::AsOf(as_of) => match as_of.at {
                Some(At::EffectiveDate(date)) => {
                    let covered = self.wait_for(&as_of.tokens, deadline).await?;
                    self.as_of_date(home, id, &date, covered).await?
                }
                Some(At::Time(time)) => {
                    let moment = self.moment(&time)?;
                    self.as_of_moment(home, id, moment, deadline).await?
                }
                Some(At::Position(position)) => {
                    let moment = self.place(home, &position)?;
                    self.as_of_moment(home, id, moment, deadline).await?
                }
                None => return Err(refusal::invalid("as of what is not said")),
            },
            Mode::Local(_) | Mode::Strong(_) => {
                let row = self.views().balance(&id).map_err(refusal::unreadable)?;
                row.map(|row| self.balance(id, &row, Token::default(), pb::ModeUsed::Local))
            }
        };
        found
            .map(Near::Answered)
            .ok_or_else(refusal::unknown_account)
    }

    /// A balance out of the views, or out of the book. Its token covers what the question's did.
    pub(super) fn balance(
        &self,
        id: AccountId,
        row: &BalanceRow,
        covered: Token,
        mode: pb::ModeUsed,
    ) -> pb::Balance {
        let account = row.account;
        let money = |units| receipt::money(units, account.currency);
        pb::Balance {
            account_id: id.to_string(),
            posted: Some(money(account.posted)),
            held: Some(money(account.held)),
            available: account.available().map(money),
            reserved: Some(money(account.reserved)),
            incoming: Some(money(account.accepted)),
            outgoing: Some(money(account.outgoing)),
            currency: account.currency.to_string(),
            position: Some(receipt::position(row.watermark.position)),
            true_at: Some(receipt::time(row.watermark.time)),
            staleness_bound_ms: self.staleness_bound_ms(row.shard, row.watermark.time),
            served_by: Some(self.served_by()),
            mode: mode.into(),
            effective_date: String::new(),
            token: self.token(&covered.merge(Token::at(row.watermark.position))),
        }
    }

    /// Waits until the views here hold everything that the tokens cover, and gives what that is.
    pub(super) async fn wait_for(
        &self,
        tokens: &[String],
        deadline: Deadline,
    ) -> Result<Token, Status> {
        let wanted = self.verified(tokens)?;
        self.wait_until(&wanted, deadline).await?;
        Ok(wanted)
    }

    pub(super) async fn wait_until(
        &self,
        wanted: &Token,
        deadline: Deadline,
    ) -> Result<(), Status> {
        for position in &wanted.positions {
            self.viewed(*position, deadline).await?;
        }
        Ok(())
    }

    /// A token of what another one covers, and something besides: an answer from home does not know
    /// what the question's tokens covered.
    pub(super) fn covering(&self, covered: Token, token: &str) -> Result<String, Status> {
        if covered == Token::default() {
            return Ok(token.to_owned());
        }
        let told = self.verified(&[token.to_owned()])?;
        Ok(self.token(&covered.merge(told)))
    }

    /// What tokens cover that this ledger has signed; nothing of it is lost, as far as is known here.
    pub(super) fn verified(&self, tokens: &[String]) -> Result<Token, Status> {
        if tokens.len() > MAX_TOKENS {
            return Err(refusal::invalid(format!(
                "at most {MAX_TOKENS} tokens are taken"
            )));
        }
        let topology = self.directory.topology();
        let key_of = |region: &ledger_domain::RegionName| {
            let key = key_bytes(&topology.region(region)?.token_key)?;
            ed25519_dalek::VerifyingKey::from_bytes(&key).ok()
        };
        let mut wanted = Token::default();
        for token in tokens {
            let token = Token::verify(token, key_of).map_err(refusal::invalid)?;
            // Of two positions of a shard only the newer is kept below, and the other may be the lost one.
            for position in &token.positions {
                self.still_there(*position)?;
            }
            wanted = wanted.merge(token);
        }
        Ok(wanted)
    }
}
