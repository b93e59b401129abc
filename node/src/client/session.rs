use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ledger_domain::{Position, ShardId, Token};

use super::calls::Client;
use super::error::Error;
use crate::api::atm::v1::{
    AtOneTime, Balance, GetBalanceReply, GetBalanceRequest, GetBalancesReply, GetBalancesRequest,
    GetStatementReply, GetStatementRequest, balance_outcome,
};
use crate::api::teller::v1::{
    AttachAccountRequest, BatchCommand, ClaimReferenceRequest, ClearSuspenseReply,
    ClearSuspenseRequest, CloseAccountReply, CloseAccountRequest, CustomerReply, DepositReply,
    DepositRequest, DetachAccountRequest, FreezeAccountReply, FreezeAccountRequest,
    GetTransactionReply, GetTransactionRequest, OpenAccountReply, OpenAccountRequest,
    ReferenceReply, RegisterCustomerRequest, ReleaseReferenceRequest, ReverseReply, ReverseRequest,
    SetLimitReply, SetLimitRequest, SetSpendingLimitReply, SetSpendingLimitRequest,
    SubmitBatchReply, SubmitGroupReply, SubmitGroupRequest, SubmitJournalReply,
    SubmitJournalRequest, TransferReply, TransferRequest, UnfreezeAccountReply,
    UnfreezeAccountRequest, WithdrawReply, WithdrawRequest, batch_outcome,
};
use crate::api::v1::{
    ReadMode, Receipt,
    read_mode::{self, Mode, as_of::At},
};

/// How many tokens a node takes with one question.
const MAX_TOKENS: usize = 64;

/// A client that never sees the ledger go back, whichever node of whichever region answers: it
/// remembers what its receipts and answers cover, and asks for no less. Cheap to clone; clones, and
/// handles through other clients, share what they remember.
///
/// A read without a mode, or a local one, is read `SESSION`; bounded reads and those as of a date
/// are given the tokens as well. What was at a time or a place needs none, nor does a strong read;
/// what they answer is remembered.
#[derive(Clone)]
pub struct Session {
    pub(super) client: Client,
    seen: Arc<Mutex<Seen>>,
}

/// The newest token of each shard.
#[derive(Debug, Default)]
struct Seen {
    newest: BTreeMap<ShardId, (Position, String)>,
    /// A token could not be read, so that what it covers cannot be asked for.
    unreadable: bool,
}

impl Seen {
    fn note(&mut self, token: &str) {
        if token.is_empty() {
            return;
        }
        let Ok(claimed) = Token::claimed(token) else {
            self.unreadable = true;
            return;
        };
        for position in claimed.positions {
            let known = self.newest.get(&position.shard);
            // The later of two tokens for one place covers more: what its question covered.
            if known.is_none_or(|(known, _)| position >= *known) {
                let token = token.to_owned();
                self.newest.insert(position.shard, (position, token));
            }
        }
    }

    fn tokens(&self) -> BTreeSet<String> {
        let newest = self.newest.values();
        newest.map(|(_, token)| token.clone()).collect()
    }
}

impl Client {
    /// A session that has seen nothing yet.
    pub fn session(&self) -> Session {
        self.resume(&[])
    }

    /// A session that has seen what these tokens cover: those of an earlier one, or of receipts.
    pub fn resume(&self, tokens: &[String]) -> Session {
        let mut seen = Seen::default();
        tokens.iter().for_each(|token| seen.note(token));
        Session {
            client: self.clone(),
            seen: Arc::new(Mutex::new(seen)),
        }
    }
}

impl Session {
    /// The same session through other nodes.
    pub fn through(&self, client: &Client) -> Self {
        Self {
            client: client.clone(),
            seen: self.seen.clone(),
        }
    }

    /// What it has seen, to go on from later or elsewhere.
    pub fn tokens(&self) -> Vec<String> {
        self.lock().tokens().into_iter().collect()
    }

    /// As [`Client::open_account`].
    pub async fn open_account(
        &self,
        request: OpenAccountRequest,
    ) -> Result<OpenAccountReply, Error> {
        let reply = self.client.open_account(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::close_account`].
    pub async fn close_account(
        &self,
        request: CloseAccountRequest,
    ) -> Result<CloseAccountReply, Error> {
        let reply = self.client.close_account(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::clear_suspense`].
    pub async fn clear_suspense(
        &self,
        request: ClearSuspenseRequest,
    ) -> Result<ClearSuspenseReply, Error> {
        let reply = self.client.clear_suspense(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::register_customer`].
    pub async fn register_customer(
        &self,
        request: RegisterCustomerRequest,
    ) -> Result<CustomerReply, Error> {
        let reply = self.client.register_customer(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::attach_account`].
    pub async fn attach_account(
        &self,
        request: AttachAccountRequest,
    ) -> Result<CustomerReply, Error> {
        let reply = self.client.attach_account(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::detach_account`].
    pub async fn detach_account(
        &self,
        request: DetachAccountRequest,
    ) -> Result<CustomerReply, Error> {
        let reply = self.client.detach_account(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::claim_reference`].
    pub async fn claim_reference(
        &self,
        request: ClaimReferenceRequest,
    ) -> Result<ReferenceReply, Error> {
        let reply = self.client.claim_reference(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::release_reference`].
    pub async fn release_reference(
        &self,
        request: ReleaseReferenceRequest,
    ) -> Result<ReferenceReply, Error> {
        let reply = self.client.release_reference(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::reverse`].
    pub async fn reverse(&self, request: ReverseRequest) -> Result<ReverseReply, Error> {
        let reply = self.client.reverse(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::submit_journal`].
    pub async fn submit_journal(
        &self,
        request: SubmitJournalRequest,
    ) -> Result<SubmitJournalReply, Error> {
        let reply = self.client.submit_journal(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::freeze_account`].
    pub async fn freeze_account(
        &self,
        request: FreezeAccountRequest,
    ) -> Result<FreezeAccountReply, Error> {
        let reply = self.client.freeze_account(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::set_limit`].
    pub async fn set_limit(&self, request: SetLimitRequest) -> Result<SetLimitReply, Error> {
        let reply = self.client.set_limit(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::set_spending_limit`].
    pub async fn set_spending_limit(
        &self,
        request: SetSpendingLimitRequest,
    ) -> Result<SetSpendingLimitReply, Error> {
        let reply = self.client.set_spending_limit(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::unfreeze_account`].
    pub async fn unfreeze_account(
        &self,
        request: UnfreezeAccountRequest,
    ) -> Result<UnfreezeAccountReply, Error> {
        let reply = self.client.unfreeze_account(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::deposit`].
    pub async fn deposit(&self, request: DepositRequest) -> Result<DepositReply, Error> {
        let reply = self.client.deposit(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::withdraw`].
    pub async fn withdraw(&self, request: WithdrawRequest) -> Result<WithdrawReply, Error> {
        let reply = self.client.withdraw(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::transfer`].
    pub async fn transfer(&self, request: TransferRequest) -> Result<TransferReply, Error> {
        let reply = self.client.transfer(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::submit_group`].
    pub async fn submit_group(
        &self,
        request: SubmitGroupRequest,
    ) -> Result<SubmitGroupReply, Error> {
        let reply = self.client.submit_group(request).await?;
        let mut seen = self.lock();
        for receipt in &reply.receipts {
            seen.note(&receipt.token);
        }
        drop(seen);
        Ok(reply)
    }

    /// As [`Client::submit_batch`].
    pub async fn submit_batch(
        &self,
        commands: Vec<BatchCommand>,
    ) -> Result<SubmitBatchReply, Error> {
        let reply = self.client.submit_batch(commands).await?;
        let mut seen = self.lock();
        for outcome in &reply.outcomes {
            let receipts = match &outcome.outcome {
                Some(batch_outcome::Outcome::Receipt(receipt)) => std::slice::from_ref(receipt),
                Some(batch_outcome::Outcome::Group(group)) => &group.receipts,
                Some(batch_outcome::Outcome::Rejection(_)) | None => &[],
            };
            receipts.iter().for_each(|it| seen.note(&it.token));
        }
        drop(seen);
        Ok(reply)
    }

    /// As [`Client::transaction`].
    pub async fn transaction(
        &self,
        request: GetTransactionRequest,
    ) -> Result<GetTransactionReply, Error> {
        let reply = self.client.transaction(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::balance`], and not older than what the session has seen.
    pub async fn balance(&self, request: GetBalanceRequest) -> Result<GetBalanceReply, Error> {
        loop {
            let (mode, tokens) = self.mode(request.mode.clone())?;
            let request = GetBalanceRequest {
                mode,
                ..request.clone()
            };
            let reply = self.client.balance(request).await?;
            self.note_balance(&reply.balance);
            if self.is_asked_with_all(tokens) {
                return Ok(reply);
            }
        }
    }

    /// As [`Client::balances`], and not older than what the session has seen.
    pub async fn balances(&self, request: GetBalancesRequest) -> Result<GetBalancesReply, Error> {
        loop {
            let (request, tokens) = self.of_several(request.clone())?;
            let reply = self.client.balances(request).await?;
            let mut noted = false;
            for outcome in &reply.outcomes {
                if let Some(balance_outcome::Outcome::Balance(balance)) = &outcome.outcome {
                    self.lock().note(&balance.token);
                    noted = true;
                }
            }
            // Where none is answered there is nothing to go back.
            if !noted || self.is_asked_with_all(tokens) {
                return Ok(reply);
            }
        }
    }

    /// The question with what the session has seen, and how many tokens that is.
    fn of_several(
        &self,
        request: GetBalancesRequest,
    ) -> Result<(GetBalancesRequest, usize), Error> {
        let Some(at_one_time) = request.at_one_time else {
            let (mode, tokens) = self.mode(request.mode)?;
            return Ok((GetBalancesRequest { mode, ..request }, tokens));
        };
        let session = Mode::Session(read_mode::Session {
            tokens: at_one_time.tokens,
        });
        let (mode, count) = self.mode(Some(ReadMode {
            mode: Some(session),
        }))?;
        let tokens = match mode.and_then(|mode| mode.mode) {
            Some(Mode::Session(session)) => session.tokens,
            _ => Vec::new(),
        };
        let request = GetBalancesRequest {
            at_one_time: Some(AtOneTime {
                tokens,
                ..at_one_time
            }),
            ..request
        };
        Ok((request, count))
    }

    /// As [`Client::statement`], and not older than what the session has seen.
    pub async fn statement(
        &self,
        request: GetStatementRequest,
    ) -> Result<GetStatementReply, Error> {
        loop {
            let (mode, tokens) = self.mode(request.mode.clone())?;
            let request = GetStatementRequest {
                mode,
                ..request.clone()
            };
            let reply = self.client.statement(request).await?;
            self.note_balance(&reply.balance);
            if self.is_asked_with_all(tokens) {
                return Ok(reply);
            }
        }
    }

    /// The mode to ask with, and how many tokens cover what the session has seen. If they are more
    /// than are taken at once, the answer's token stands for all that were sent, and the rest comes
    /// with the next question.
    fn mode(&self, asked: Option<ReadMode>) -> Result<(Option<ReadMode>, usize), Error> {
        let mut seen = self.lock();
        let asked = asked.and_then(|asked| asked.mode);
        let own = match &asked {
            Some(Mode::Session(session)) => session.tokens.as_slice(),
            Some(Mode::Bounded(bounded)) => &bounded.tokens,
            Some(Mode::AsOf(as_of)) => &as_of.tokens,
            _ => &[],
        };
        own.iter().for_each(|token| seen.note(token));
        if seen.unreadable {
            let message = "the session has a token that this client cannot read".to_owned();
            return Err(Error::Malformed(message));
        }
        let tokens = seen.tokens();
        let count = tokens.len();
        let tokens = tokens.into_iter().take(MAX_TOKENS).collect();
        let mode = match asked {
            None | Some(Mode::Local(_) | Mode::Session(_)) => {
                Mode::Session(read_mode::Session { tokens })
            }
            Some(Mode::Bounded(bounded)) => Mode::Bounded(read_mode::Bounded { tokens, ..bounded }),
            Some(Mode::AsOf(as_of)) if matches!(as_of.at, Some(At::EffectiveDate(_))) => {
                Mode::AsOf(read_mode::AsOf { tokens, ..as_of })
            }
            Some(other) => return Ok((Some(ReadMode { mode: Some(other) }), 0)),
        };
        Ok((Some(ReadMode { mode: Some(mode) }), count))
    }

    /// Was a question that was to carry so many tokens asked with all of them, or does asking again
    /// bring no other token in? A strong answer's stands for itself alone.
    fn is_asked_with_all(&self, tokens: usize) -> bool {
        tokens <= MAX_TOKENS || self.lock().tokens().len() >= tokens
    }

    pub(super) fn note(&self, receipt: &Option<Receipt>) {
        if let Some(receipt) = receipt {
            self.lock().note(&receipt.token);
        }
    }

    fn note_balance(&self, balance: &Option<Balance>) {
        if let Some(balance) = balance {
            self.lock().note(&balance.token);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    fn token(places: &[(u32, u64)]) -> String {
        let positions = places.iter().map(|(shard, index)| Position {
            shard: ShardId(*shard),
            epoch: 1,
            index: *index,
        });
        let positions = positions.collect();
        let key = SigningKey::from_bytes(&[3; 32]);
        Token { positions }.sign("eu-west".parse().unwrap(), &key)
    }

    #[test]
    fn a_session_keeps_the_newest_of_each_shard_and_no_more() {
        let mut seen = Seen::default();
        let (old, new, other) = (token(&[(1, 5)]), token(&[(1, 9)]), token(&[(2, 1)]));
        for given in [&new, &old, &other, ""] {
            seen.note(given);
        }
        assert_eq!(seen.tokens(), BTreeSet::from([new, other]));
        let both = token(&[(1, 9), (2, 1)]);
        seen.note(&both);
        assert_eq!(seen.tokens(), BTreeSet::from([both]));
        assert!(!seen.unreadable);
        seen.note("nonsense");
        assert!(seen.unreadable);
    }
}
