use std::{fmt::Write, sync::Arc};

use tonic::metadata::AsciiMetadataValue;

use super::attempt::Call;
use super::discovery::Seed;
use super::error::{Error, Unknown};
use super::nodes::Nodes;
use super::options::Options;
use super::retry::Budget;
use crate::api::admin::v1::{
    ChangeVotersReply, ChangeVotersRequest, HeadsReply, HeadsRequest, RebuildViewsReply,
    RebuildViewsRequest, ReplicasReply, ReplicasRequest, StatusReply, StatusRequest, ViewsReply,
    ViewsRequest, WhyStaleReply, WhyStaleRequest, admin_client::AdminClient,
};
use crate::api::atm::v1::atm_client::AtmClient;
use crate::api::atm::v1::{
    FindAccountReply, FindAccountRequest, GetBalanceReply, GetBalanceRequest, GetBalancesReply,
    GetBalancesRequest, GetCustomerAccountsReply, GetCustomerAccountsRequest, GetStatementReply,
    GetStatementRequest,
};
use crate::api::teller::v1::teller_client::TellerClient;
use crate::api::teller::v1::{
    AttachAccountRequest, BatchCommand, ClaimReferenceRequest, ClearSuspenseReply,
    ClearSuspenseRequest, CloseAccountReply, CloseAccountRequest, CloseDayReply, CloseDayRequest,
    CustomerReply, DepositReply, DepositRequest, DetachAccountRequest, EraseCustomerRequest,
    FreezeAccountReply, FreezeAccountRequest, GetAccountReply, GetAccountRequest, GetCustomerReply,
    GetCustomerRequest, GetJournalReply, GetJournalRequest, GetTransactionReply,
    GetTransactionRequest, ListDeclinedReply, ListDeclinedRequest, ListJournalsReply,
    ListJournalsRequest, ListSuspenseReply, ListSuspenseRequest, OpenAccountReply,
    OpenAccountRequest, ReferenceReply, RegisterCustomerRequest, ReleaseReferenceRequest,
    ReverseReply, ReverseRequest, SetLegalHoldRequest, SetLimitReply, SetLimitRequest,
    SetProfileRequest, SetSpendingLimitReply, SetSpendingLimitRequest, ShowDayReply,
    ShowDayRequest, SubmitBatchReply, SubmitBatchRequest, SubmitGroupReply, SubmitGroupRequest,
    SubmitJournalReply, SubmitJournalRequest, TransferReply, TransferRequest, TrialBalanceReply,
    TrialBalanceRequest, UnfreezeAccountReply, UnfreezeAccountRequest, Wait, WithdrawReply,
    WithdrawRequest,
};
use crate::api::v1::{CommandContext, Receipt, read_mode::AsOf};

/// A handle on a deployment. Cheap to clone; clones share connections and the retry budget.
///
/// A write without an idempotency key gets one here, before its first attempt.
#[derive(Clone)]
pub struct Client {
    pub(super) options: Arc<Options>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) budget: Arc<Budget>,
    pub(super) caller: AsciiMetadataValue,
}

impl Client {
    /// A client of the nodes at these addresses, `host:port`, and no others: it asks the first until
    /// that fails, then the next. Connects when first used.
    pub fn new(addresses: Vec<String>, options: Options) -> Result<Self, Error> {
        let nodes = Nodes::given(addresses, &options)?;
        Self::of(nodes, options)
    }

    /// A client of all nodes there are, which it finds by the ones that the seeds name, and finds
    /// again from time to time. Reads go to the nearest healthy node with the fewest calls under
    /// way; writes stay with one node until it fails. Connects when first used.
    pub fn discover(seeds: Vec<Seed>, options: Options) -> Result<Self, Error> {
        let nodes = Nodes::found_by(seeds, &options)?;
        Self::of(nodes, options)
    }

    fn of(nodes: Nodes, options: Options) -> Result<Self, Error> {
        let caller = AsciiMetadataValue::try_from(options.caller.as_str())
            .ok()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Error::Options("a caller's name is printable ASCII".to_owned()))?;
        let budget = Arc::new(Budget::new(options.budget));
        Ok(Self {
            options: Arc::new(options),
            nodes: Arc::new(nodes),
            budget,
            caller,
        })
    }

    /// As [`Client::new`], and finds a live node, or fails.
    pub async fn connect(addresses: Vec<String>, options: Options) -> Result<Self, Error> {
        let client = Self::new(addresses, options)?;
        client.status().await?;
        Ok(client)
    }

    /// A client of other nodes, otherwise like this one, and with the same retry budget.
    pub fn at(&self, addresses: Vec<String>) -> Result<Self, Error> {
        let client = Self::new(addresses, Options::clone(&self.options))?;
        Ok(Self {
            budget: self.budget.clone(),
            ..client
        })
    }

    /// The addresses it knows now. A client that finds nodes by itself knows none before it is used.
    pub fn addresses(&self) -> Vec<String> {
        let all = self.nodes.all();
        all.iter().map(|node| node.address.clone()).collect()
    }

    /// A context with a new key, first attempted now.
    pub fn context(&self) -> CommandContext {
        let mut context = CommandContext::default();
        self.complete(&mut context);
        context
    }

    /// Opens an account.
    pub async fn open_account(
        &self,
        mut request: OpenAccountRequest,
    ) -> Result<OpenAccountReply, Error> {
        let call = self.write(&mut request.context, |reply: &OpenAccountReply| {
            &reply.receipt
        });
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).open_account(request).await
        })
        .await
    }

    /// Closes an account. A reply is final, as that of a transfer, where the rest is swept.
    pub async fn close_account(
        &self,
        mut request: CloseAccountRequest,
    ) -> Result<CloseAccountReply, Error> {
        let mut call = self.write(&mut request.context, |reply: &CloseAccountReply| {
            &reply.receipt
        });
        call.settle = call.writes && request.wait != Wait::Accepted as i32;
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).close_account(request).await
        })
        .await
    }

    /// Freezes an account, or replaces its freeze of the same type.
    pub async fn freeze_account(
        &self,
        mut request: FreezeAccountRequest,
    ) -> Result<FreezeAccountReply, Error> {
        let call = self.write(&mut request.context, |reply: &FreezeAccountReply| {
            &reply.receipt
        });
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).freeze_account(request).await
        })
        .await
    }

    /// Changes how far below zero an account may go. Privileged.
    pub async fn set_limit(&self, mut request: SetLimitRequest) -> Result<SetLimitReply, Error> {
        let call = self.write(&mut request.context, |reply: &SetLimitReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).set_limit(request).await
        })
        .await
    }

    /// Changes how much may be spent by a channel. Privileged.
    pub async fn set_spending_limit(
        &self,
        mut request: SetSpendingLimitRequest,
    ) -> Result<SetSpendingLimitReply, Error> {
        let call = self.write(&mut request.context, |reply: &SetSpendingLimitReply| {
            &reply.receipt
        });
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).set_spending_limit(request).await
        })
        .await
    }

    /// Lifts a freeze before its time.
    pub async fn unfreeze_account(
        &self,
        mut request: UnfreezeAccountRequest,
    ) -> Result<UnfreezeAccountReply, Error> {
        let call = self.write(&mut request.context, |reply: &UnfreezeAccountReply| {
            &reply.receipt
        });
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).unfreeze_account(request).await
        })
        .await
    }

    /// Tells what an account is.
    pub async fn account(&self, account_id: &str) -> Result<GetAccountReply, Error> {
        self.account_as_of(account_id, None).await
    }

    /// Tells what an account was, whole; what it is where nothing is said.
    pub async fn account_as_of(
        &self,
        account_id: &str,
        as_of: Option<AsOf>,
    ) -> Result<GetAccountReply, Error> {
        let is_past = as_of.is_some();
        let request = GetAccountRequest {
            account_id: account_id.to_owned(),
            as_of,
        };
        let reply = self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).get_account(request).await
        });
        let reply = reply.await?;
        if is_past && reply.true_at.is_none() {
            // It passed over the question's field, and told what the account is now.
            let what = "it does not know accounts as of a date, a time or a position: \
                        upgrade it, or ask another node";
            return Err(Error::Malformed(what.to_owned()));
        }
        Ok(reply)
    }

    /// Asks for one page of what is in suspense.
    pub async fn suspense(&self, request: ListSuspenseRequest) -> Result<ListSuspenseReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).list_suspense(request).await
        })
        .await
    }

    /// Takes an item out of suspense. A reply is final, as that of a transfer. Privileged.
    pub async fn clear_suspense(
        &self,
        mut request: ClearSuspenseRequest,
    ) -> Result<ClearSuspenseReply, Error> {
        let mut call = self.write(&mut request.context, |reply: &ClearSuspenseReply| {
            &reply.receipt
        });
        call.settle = call.writes && request.wait != Wait::Accepted as i32;
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).clear_suspense(request).await
        })
        .await
    }

    /// Makes a customer known.
    pub async fn register_customer(
        &self,
        mut request: RegisterCustomerRequest,
    ) -> Result<CustomerReply, Error> {
        let call = self.write(&mut request.context, |reply: &CustomerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).register_customer(request).await
        })
        .await
    }

    /// Lets a customer have an account.
    pub async fn attach_account(
        &self,
        mut request: AttachAccountRequest,
    ) -> Result<CustomerReply, Error> {
        let call = self.write(&mut request.context, |reply: &CustomerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).attach_account(request).await
        })
        .await
    }

    /// Lets a customer have an account no longer, which is closed.
    pub async fn detach_account(
        &self,
        mut request: DetachAccountRequest,
    ) -> Result<CustomerReply, Error> {
        let call = self.write(&mut request.context, |reply: &CustomerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).detach_account(request).await
        })
        .await
    }

    /// Says who a customer is.
    pub async fn set_profile(
        &self,
        mut request: SetProfileRequest,
    ) -> Result<CustomerReply, Error> {
        let call = self.write(&mut request.context, |reply: &CustomerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).set_profile(request).await
        })
        .await
    }

    /// Keeps a customer from being erased, or does so no longer. Privileged.
    pub async fn set_legal_hold(
        &self,
        mut request: SetLegalHoldRequest,
    ) -> Result<CustomerReply, Error> {
        let call = self.write(&mut request.context, |reply: &CustomerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).set_legal_hold(request).await
        })
        .await
    }

    /// Destroys the key of a customer, for ever. Privileged.
    pub async fn erase_customer(
        &self,
        mut request: EraseCustomerRequest,
    ) -> Result<CustomerReply, Error> {
        let call = self.write(&mut request.context, |reply: &CustomerReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).erase_customer(request).await
        })
        .await
    }

    /// Tells which accounts a customer has.
    pub async fn customer(&self, customer_id: &str) -> Result<GetCustomerReply, Error> {
        let request = GetCustomerRequest {
            customer_id: customer_id.to_owned(),
            without_profile: false,
        };
        self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).get_customer(request).await
        })
        .await
    }

    /// Asks what the accounts of a customer have at one time.
    pub async fn customer_accounts(
        &self,
        request: GetCustomerAccountsRequest,
    ) -> Result<GetCustomerAccountsReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            AtmClient::new(channel).get_customer_accounts(request).await
        })
        .await
    }

    /// Lets a reference stand for an account.
    pub async fn claim_reference(
        &self,
        mut request: ClaimReferenceRequest,
    ) -> Result<ReferenceReply, Error> {
        let call = self.write(&mut request.context, |reply: &ReferenceReply| {
            &reply.receipt
        });
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).claim_reference(request).await
        })
        .await
    }

    /// Lets a reference of an account stand for nobody.
    pub async fn release_reference(
        &self,
        mut request: ReleaseReferenceRequest,
    ) -> Result<ReferenceReply, Error> {
        let call = self.write(&mut request.context, |reply: &ReferenceReply| {
            &reply.receipt
        });
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).release_reference(request).await
        })
        .await
    }

    /// Asks for the account that a reference stands for, in each region or in one.
    pub async fn find(&self, request: FindAccountRequest) -> Result<FindAccountReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            AtmClient::new(channel).find_account(request).await
        })
        .await
    }

    /// Moves back what a transaction moved, or a part of it.
    pub async fn reverse(&self, mut request: ReverseRequest) -> Result<ReverseReply, Error> {
        let call = self.write(&mut request.context, |reply: &ReverseReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).reverse(request).await
        })
        .await
    }

    /// Debits and credits accounts anywhere, all or none. A reply is final, as that of a transfer.
    pub async fn submit_journal(
        &self,
        mut request: SubmitJournalRequest,
    ) -> Result<SubmitJournalReply, Error> {
        let mut call = self.write(&mut request.context, |reply: &SubmitJournalReply| {
            &reply.receipt
        });
        call.settle = call.writes && request.wait != Wait::Accepted as i32;
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).submit_journal(request).await
        })
        .await
    }

    /// Asks how far a journal is.
    pub async fn journal(&self, journal_id: &str) -> Result<GetJournalReply, Error> {
        let request = GetJournalRequest {
            journal_id: journal_id.to_owned(),
        };
        self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).get_journal(request).await
        })
        .await
    }

    /// Asks for one page of the journals that are not decided.
    pub async fn journals(&self, request: ListJournalsRequest) -> Result<ListJournalsReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).list_journals(request).await
        })
        .await
    }

    /// Asks for one page of the commands of an account that were refused.
    pub async fn declined(&self, request: ListDeclinedRequest) -> Result<ListDeclinedReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).list_declined(request).await
        })
        .await
    }

    /// Takes money in.
    pub async fn deposit(&self, mut request: DepositRequest) -> Result<DepositReply, Error> {
        let call = self.write(&mut request.context, |reply: &DepositReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).deposit(request).await
        })
        .await
    }

    /// Pays money out.
    pub async fn withdraw(&self, mut request: WithdrawRequest) -> Result<WithdrawReply, Error> {
        let call = self.write(&mut request.context, |reply: &WithdrawReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).withdraw(request).await
        })
        .await
    }

    /// Moves money. A reply is final: settled or returned, or accepted if only that was asked for.
    pub async fn transfer(&self, mut request: TransferRequest) -> Result<TransferReply, Error> {
        let mut call = self.write(&mut request.context, |reply: &TransferReply| &reply.receipt);
        call.settle = call.writes && request.wait != Wait::Accepted as i32;
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).transfer(request).await
        })
        .await
    }

    /// Tells how far a transaction is.
    pub async fn transaction(
        &self,
        request: GetTransactionRequest,
    ) -> Result<GetTransactionReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).get_transaction(request).await
        })
        .await
    }

    /// Submits several commands. All of them are sent again where an answer is lost, under their
    /// keys. An outcome whose status is unknown is left to the caller.
    pub async fn submit_batch(
        &self,
        mut commands: Vec<BatchCommand>,
    ) -> Result<SubmitBatchReply, Error> {
        for context in commands.iter_mut().filter_map(BatchCommand::context_mut) {
            self.complete(context);
        }
        let call = Call::batch();
        let request = SubmitBatchRequest { commands };
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).submit_batch(request).await
        })
        .await
    }

    /// Does several commands on accounts of one shard, all or none. A reply is final for each, as that
    /// of the command alone would be.
    pub async fn submit_group(
        &self,
        mut request: SubmitGroupRequest,
    ) -> Result<SubmitGroupReply, Error> {
        const NONE: &Option<Receipt> = &None;
        let mut call = self.write(&mut request.context, |_: &SubmitGroupReply| NONE);
        call.receipt = None;
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).submit_group(request).await
        })
        .await
    }

    /// Sums all books at one time: a `Time`'s `hlc`, or empty for the newest possible.
    pub async fn trial_balance(&self, at_hlc: &str) -> Result<TrialBalanceReply, Error> {
        self.trial_balance_of(TrialBalanceRequest {
            at_hlc: at_hlc.to_owned(),
            ..TrialBalanceRequest::default()
        })
        .await
    }

    /// Sums books at one time, of all shards or some.
    pub async fn trial_balance_of(
        &self,
        request: TrialBalanceRequest,
    ) -> Result<TrialBalanceReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).trial_balance(request).await
        })
        .await
    }

    /// Closes a business day in every shard of a region. Privileged. The reply tells which of them
    /// have closed it; where not all have, it can be asked for again, and changes nothing twice.
    pub async fn close_day(&self, mut request: CloseDayRequest) -> Result<CloseDayReply, Error> {
        const NONE: &Option<Receipt> = &None;
        let mut call = self.write(&mut request.context, |_: &CloseDayReply| NONE);
        call.receipt = None;
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).close_day(request).await
        })
        .await
    }

    /// Tells what day it is in a region, and what was frozen when one was closed.
    pub async fn show_day(&self, request: ShowDayRequest) -> Result<ShowDayReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).show_day(request).await
        })
        .await
    }

    /// Asks for one balance.
    pub async fn balance(&self, request: GetBalanceRequest) -> Result<GetBalanceReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            AtmClient::new(channel).get_balance(request).await
        })
        .await
    }

    /// Asks for several balances.
    pub async fn balances(&self, request: GetBalancesRequest) -> Result<GetBalancesReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            AtmClient::new(channel).get_balances(request).await
        })
        .await
    }

    /// Asks for one page of a statement.
    pub async fn statement(
        &self,
        request: GetStatementRequest,
    ) -> Result<GetStatementReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            AtmClient::new(channel).get_statement(request).await
        })
        .await
    }

    /// Asks what the deployment is and how it is.
    pub async fn status(&self) -> Result<StatusReply, Error> {
        self.call(
            Call::read(),
            &StatusRequest {},
            |channel, request| async move { AdminClient::new(channel).status(request).await },
        )
        .await
    }

    /// Asks a node why what it answers is as old as it is.
    pub async fn why_stale(&self, request: WhyStaleRequest) -> Result<WhyStaleReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            AdminClient::new(channel).why_stale(request).await
        })
        .await
    }

    /// Asks for the read models of all nodes.
    pub async fn views(&self) -> Result<ViewsReply, Error> {
        self.call(
            Call::read(),
            &ViewsRequest {},
            |channel, request| async move { AdminClient::new(channel).views(request).await },
        )
        .await
    }

    /// Begins to make a node's read models again.
    pub async fn rebuild_views(
        &self,
        request: RebuildViewsRequest,
    ) -> Result<RebuildViewsReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            AdminClient::new(channel).rebuild_views(request).await
        })
        .await
    }

    /// Asks for the signed heads that a node knows.
    pub async fn heads(&self) -> Result<HeadsReply, Error> {
        self.call(
            Call::read(),
            &HeadsRequest {},
            |channel, request| async move { AdminClient::new(channel).heads(request).await },
        )
        .await
    }

    /// Asks for the replicas of a shard, or of all.
    pub async fn replicas(&self, request: ReplicasRequest) -> Result<ReplicasReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            AdminClient::new(channel).replicas(request).await
        })
        .await
    }

    /// Asks once for the voters of a shard to be changed. To be asked again until it is done: what
    /// is done already is not done twice, so that a lost answer is no reason to wonder.
    pub async fn change_voters(
        &self,
        request: ChangeVotersRequest,
    ) -> Result<ChangeVotersReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            AdminClient::new(channel).change_voters(request).await
        })
        .await
    }

    /// Describes a write, and gives it what it lacks to be retried safely.
    pub(super) fn write<Rep>(
        &self,
        context: &mut Option<CommandContext>,
        receipt: fn(&Rep) -> &Option<Receipt>,
    ) -> Call<Rep> {
        let context = context.get_or_insert_default();
        self.complete(context);
        if context.dry_run {
            return Call::read();
        }
        let unknown = Unknown {
            key: context.idempotency_key.clone(),
            first_attempt_unix_ms: context.first_attempt_unix_ms,
            ..Unknown::default()
        };
        Call {
            writes: true,
            unknown,
            receipt: Some(receipt),
            settle: false,
        }
    }

    pub(super) fn complete(&self, context: &mut CommandContext) {
        if context.idempotency_key.is_empty() {
            let mut random = [0; 16];
            self.options.entropy.fill(&mut random);
            for byte in random {
                let _ = write!(context.idempotency_key, "{byte:02x}");
            }
        }
        if context.first_attempt_unix_ms == 0 {
            let millis = self.options.clock.wall_nanos() / 1_000_000;
            context.first_attempt_unix_ms = i64::try_from(millis).unwrap_or(i64::MAX);
        }
    }
}
