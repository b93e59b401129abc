//! Reads, answered near the person who asks.

use std::{sync::Arc, time::Duration};

use ledger_domain::{
    AccountId, Date, HybridTime, Token,
    movement::{Counterparty, MovementKind},
    state::State as _,
};
use replication::{
    topology::{Directory as _, key_bytes},
    view::{Span, StatementQuery, Watermark},
};
use tonic::{Request, Response, Status};

use super::{
    CLOCK_BOUND, Server,
    deadline::{Call, Deadline},
    prepare, receipt, refusal,
};
use crate::api::{
    atm::v1::{self as pb, atm_client::AtmClient, atm_server::Atm},
    rejection,
    v1::{self, read_mode::Mode},
};

#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Server>);

const MAX_BALANCES: usize = 1_000;
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1_000;
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
        match mode(request.get_ref().mode.as_ref()) {
            Mode::Strong(_) => {
                let home = server.home(&id)?;
                let answer =
                    server.at_leader(
                        home,
                        request,
                        deadline,
                        |shard, _| async move { server.strong_balance(&shard, id).await },
                        |channel, request| async move {
                            AtmClient::new(channel).get_balance(request).await
                        },
                    );
                deadline.keep(Call::Read, answer).await
            }
            near => {
                let answer = server.near_balance(id, near, deadline);
                let balance = Some(deadline.keep(Call::Read, answer).await?);
                Ok(Response::new(pb::GetBalanceReply { balance }))
            }
        }
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
        let mut outcomes = Vec::with_capacity(n);
        for account_id in body.account_ids {
            let one = pb::GetBalanceRequest {
                account_id,
                mode: body.mode.clone(),
            };
            let mut one = Request::from_parts(metadata.clone(), Default::default(), one);
            one.extensions_mut().insert(deadline);
            use pb::balance_outcome::Outcome as O;
            let outcome = match self.get_balance(one).await {
                Ok(reply) => O::Balance(reply.into_inner().balance.unwrap_or_default()),
                Err(status) => O::Rejection(rejection::from_status(&status).unwrap_or_else(|| {
                    refusal::detail("UNAVAILABLE", status.message(), true, "Ask again.")
                })),
            };
            outcomes.push(pb::BalanceOutcome {
                outcome: Some(outcome),
            });
        }
        Ok(Response::new(pb::GetBalancesReply { outcomes }))
    }

    async fn get_statement(
        &self,
        request: Request<pb::GetStatementRequest>,
    ) -> Result<Response<pb::GetStatementReply>, Status> {
        let server = &self.0;
        let deadline = Deadline::of(&request);
        let body = request.into_inner();
        let account = prepare::account(&body.account_id)?;
        match mode(body.mode.as_ref()) {
            Mode::Local(_) => {}
            Mode::Session(session) => server.wait_for(&session.tokens, deadline).await?,
            Mode::AsOf(_) | Mode::Strong(_) => {
                return Err(refusal::invalid(
                    "a statement is read LOCAL or with a SESSION token",
                ));
            }
        }
        let first = prepare::date(&body.from_date)?.unwrap_or(Date::MIN);
        let last = prepare::date(&body.to_date)?.unwrap_or(Date::MAX);
        let limit = if body.page_size == 0 {
            DEFAULT_PAGE
        } else {
            body.page_size
        };
        if limit > MAX_PAGE {
            return Err(refusal::invalid(format!(
                "a page has at most {MAX_PAGE} lines"
            )));
        }
        let after = match body.page_token.as_str() {
            "" => None,
            token => Some(
                token
                    .parse()
                    .map_err(|_| refusal::invalid("not a page token"))?,
            ),
        };
        let query = StatementQuery {
            account,
            span: Span::Effective(first..=last),
            after,
            limit: limit as usize,
        };
        let page = server
            .views
            .statement(&query)
            .map_err(refusal::unreadable)?;
        let page = page.ok_or_else(refusal::unknown_account)?;
        let currency = page.account.account.currency;
        let lines = page
            .lines
            .iter()
            .map(|line| pb::StatementLine {
                transaction_id: line.transaction.to_string(),
                position: Some(receipt::position(line.transaction.position)),
                booked_at: Some(receipt::time(line.booked)),
                effective_date: line.effective_date.to_string(),
                amount: Some(receipt::money(line.amount, currency)),
                balance_after: Some(receipt::money(line.posted, currency)),
                counterparty: match &line.counterparty {
                    Counterparty::House(code) => code.to_string(),
                    Counterparty::Account(id) => id.to_string(),
                },
                memo: server.memo(line.transaction),
                kind: match line.kind {
                    MovementKind::Deposit => "deposit",
                    MovementKind::Withdrawal => "withdrawal",
                    MovementKind::TransferOut => "transfer-out",
                    MovementKind::TransferIn => "transfer-in",
                    MovementKind::Return => "return",
                }
                .to_owned(),
            })
            .collect();
        let balance = server.balance(account, &page.account, pb::ModeUsed::Local);
        Ok(Response::new(pb::GetStatementReply {
            lines,
            next_page_token: page.next.map(|n| n.to_string()).unwrap_or_default(),
            balance: Some(balance),
        }))
    }
}

fn mode(mode: Option<&v1::ReadMode>) -> Mode {
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
        let row = replication::view::BalanceRow {
            account,
            shard: position.shard,
            watermark: Watermark {
                position,
                time: read.1,
            },
        };
        let balance = self.balance(id, &row, pb::ModeUsed::Strong);
        let balance = pb::Balance {
            staleness_bound_ms: 0,
            ..balance
        };
        Ok(pb::GetBalanceReply {
            balance: Some(balance),
        })
    }

    async fn near_balance(
        &self,
        id: AccountId,
        mode: Mode,
        deadline: Deadline,
    ) -> Result<pb::Balance, Status> {
        self.home(&id)?;
        let found = match mode {
            Mode::Session(session) => {
                self.wait_for(&session.tokens, deadline).await?;
                let row = self.views.balance(&id).map_err(refusal::unreadable)?;
                row.map(|row| self.balance(id, &row, pb::ModeUsed::Session))
            }
            Mode::AsOf(as_of) => {
                self.wait_for(&as_of.tokens, deadline).await?;
                let date = as_of
                    .effective_date
                    .parse::<Date>()
                    .map_err(refusal::invalid)?;
                let found = self.views.as_of(&id, date).map_err(refusal::unreadable)?;
                match found {
                    None => None,
                    Some(found) => {
                        let units = i64::try_from(found.posted).map_err(|_| {
                            refusal::invalid("the balance as of that date leaves 64 bits")
                        })?;
                        let now = self.balance(id, &found.now, pb::ModeUsed::AsOf);
                        Some(pb::Balance {
                            posted: Some(receipt::money(units, found.now.account.currency)),
                            held: None,
                            available: None,
                            effective_date: date.to_string(),
                            ..now
                        })
                    }
                }
            }
            _ => {
                let row = self.views.balance(&id).map_err(refusal::unreadable)?;
                row.map(|row| self.balance(id, &row, pb::ModeUsed::Local))
            }
        };
        found.ok_or_else(refusal::unknown_account)
    }

    fn balance(
        &self,
        id: AccountId,
        row: &replication::view::BalanceRow,
        mode: pb::ModeUsed,
    ) -> pb::Balance {
        let account = row.account;
        let money = |units| receipt::money(units, account.currency);
        pb::Balance {
            account_id: id.to_string(),
            posted: Some(money(account.posted)),
            held: Some(money(account.held)),
            available: account.available().map(money),
            currency: account.currency.to_string(),
            position: Some(receipt::position(row.watermark.position)),
            true_at: Some(receipt::time(row.watermark.time)),
            staleness_bound_ms: self.staleness_bound_ms(row.watermark.time),
            served_by: Some(self.served_by()),
            mode: mode.into(),
            effective_date: String::new(),
            token: self.token(&Token::at(row.watermark.position)),
        }
    }

    /// By how much the truth may be newer than what is complete up to a time.
    pub(super) fn staleness_bound_ms(&self, complete: HybridTime) -> u64 {
        let now = self.world.clock.wall_nanos();
        let age = now.saturating_sub(complete.wall_nanos);
        let bound = Duration::from_nanos(age) + CLOCK_BOUND;
        u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits until the views here hold everything that the tokens cover.
    async fn wait_for(&self, tokens: &[String], deadline: Deadline) -> Result<(), Status> {
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
            wanted = wanted.merge(Token::verify(token, key_of).map_err(refusal::invalid)?);
        }
        for position in wanted.positions {
            self.viewed(position, deadline).await?;
        }
        Ok(())
    }
}
