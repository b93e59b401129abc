//! The ledger that everything is tried on, and how it is asked.

use ledger_domain::AccountId;
use node::{
    api::{
        atm::v1::{GetBalancesRequest, GetStatementRequest},
        teller::v1::{
            BatchCommand, CloseAccountRequest, DepositRequest, GetAccountRequest,
            GetTransactionRequest, OpenAccountRequest, SubmitBatchRequest, TransactionKey,
            TransferRequest, WithdrawRequest, get_transaction_request::By,
        },
        v1::{
            CommandContext, Money, RejectionDetail, TransactionStatus,
            read_mode::{Mode, Session},
        },
    },
    secrets::Secrets,
};
use tonic::Status;

use crate::running::{self, Running, context, deposit, face, open, start, usd};

/// What is sent.
pub enum Ask {
    Open(OpenAccountRequest),
    Close(String),
    Deposit(DepositRequest),
    Withdraw(WithdrawRequest),
    Transfer(TransferRequest),
    Account(String),
    Transaction(Option<By>),
    Batch(usize),
    Balance(String, Mode),
    Balances(usize),
    Statement(GetStatementRequest),
}

/// The ledger that everything is tried on.
pub struct Bench {
    pub node: Running,
    pub secrets: Secrets,
    pub full: String,
    pub empty: String,
    pub closed: String,
}

impl Bench {
    pub async fn new(data: &std::path::Path) -> Self {
        let mut node = start(data).await;
        let full = open(&mut node.teller, "full").await;
        let empty = open(&mut node.teller, "empty").await;
        let closed = open(&mut node.teller, "closed").await;
        deposit(&mut node.teller, "seed", &full, 100).await.unwrap();
        let close = CloseAccountRequest {
            context: context("closing"),
            account_id: closed.clone(),
            ..CloseAccountRequest::default()
        };
        node.teller.close_account(close).await.unwrap();
        Self {
            node,
            secrets: Secrets::read(&data.join("secrets.toml")).unwrap().unwrap(),
            full,
            empty,
            closed,
        }
    }

    pub async fn send(&mut self, key: &str, ask: Ask) -> Result<(), Status> {
        let (teller, atm) = (&mut self.node.teller, &mut self.node.atm);
        let with_key = |given: Option<CommandContext>| {
            Some(CommandContext {
                idempotency_key: key.to_owned(),
                ..given.unwrap_or_default()
            })
        };
        match ask {
            Ask::Open(mut r) => {
                r.context = with_key(r.context);
                teller.open_account(r).await.map(drop)
            }
            Ask::Close(account_id) => {
                let context = with_key(None);
                let close = CloseAccountRequest {
                    context,
                    account_id,
                    ..CloseAccountRequest::default()
                };
                teller.close_account(close).await.map(drop)
            }
            Ask::Deposit(mut r) => {
                r.context = with_key(r.context);
                teller.deposit(r).await.map(drop)
            }
            Ask::Withdraw(mut r) => {
                r.context = with_key(r.context);
                teller.withdraw(r).await.map(drop)
            }
            Ask::Transfer(mut r) => {
                r.context = with_key(r.context);
                teller.transfer(r).await.map(drop)
            }
            Ask::Account(account_id) => teller
                .get_account(GetAccountRequest {
                    account_id,
                    as_of: None,
                })
                .await
                .map(drop),
            Ask::Transaction(by) => teller
                .get_transaction(GetTransactionRequest { by })
                .await
                .map(drop),
            Ask::Batch(size) => {
                let commands = vec![BatchCommand::default(); size];
                let batch = SubmitBatchRequest { commands };
                teller.submit_batch(batch).await.map(drop)
            }
            Ask::Balance(account, mode) => running::read(atm, &account, Some(mode)).await.map(drop),
            Ask::Balances(size) => {
                let account_ids = vec![self.full.clone(); size];
                let mode = None;
                let ask = GetBalancesRequest {
                    account_ids,
                    mode,
                    at_one_time: None,
                };
                atm.get_balances(ask).await.map(drop)
            }
            Ask::Statement(r) => atm.get_statement(r).await.map(drop),
        }
    }

    /// All that a command could have changed: both accounts as their home has them.
    pub async fn state(&mut self) -> Vec<node::api::teller::v1::Account> {
        let mut state = Vec::new();
        for account_id in [&self.full, &self.empty, &self.closed] {
            let account_id = account_id.clone();
            let shown = self.node.teller.get_account(GetAccountRequest {
                account_id,
                as_of: None,
            });
            state.push(shown.await.unwrap().into_inner().account.unwrap());
        }
        state
    }

    /// What stands under a key: nothing, or a recorded refusal.
    pub async fn under(&mut self, account: &str, key: &str) -> Option<RejectionDetail> {
        let by = Some(By::Key(TransactionKey {
            account_id: account.to_owned(),
            idempotency_key: key.to_owned(),
        }));
        let found = self
            .node
            .teller
            .get_transaction(GetTransactionRequest { by });
        match found.await {
            Err(status) => {
                assert_eq!(face(&status).code, "TRANSACTION_NOT_FOUND", "{key}");
                None
            }
            Ok(reply) => {
                let receipt = reply.into_inner().receipt.unwrap();
                assert_eq!(receipt.status(), TransactionStatus::Rejected, "{key}");
                receipt.rejection
            }
        }
    }

    pub fn deposit(&self, account: &str, edit: impl FnOnce(&mut DepositRequest)) -> Ask {
        let mut request = DepositRequest {
            account_id: account.to_owned(),
            amount: usd(1),
            context: Some(CommandContext::default()),
            ..Default::default()
        };
        edit(&mut request);
        Ask::Deposit(request)
    }

    /// A good deposit but for its context.
    pub fn said(&self, edit: impl FnOnce(&mut CommandContext)) -> Ask {
        self.deposit(&self.full, |r| edit(r.context.get_or_insert_default()))
    }

    pub fn amount(&self, minor_units: i64, currency: &str) -> Ask {
        let currency = currency.to_owned();
        self.deposit(&self.full, |r| {
            r.amount = Some(Money {
                minor_units,
                currency,
            });
        })
    }

    pub fn transfer(&self, from: &str, to: &str, amount: i64) -> Ask {
        Ask::Transfer(TransferRequest {
            from_account_id: from.to_owned(),
            to_account_id: to.to_owned(),
            amount: usd(amount),
            ..Default::default()
        })
    }

    pub fn opening(&self, edit: impl FnOnce(&mut OpenAccountRequest)) -> Ask {
        let mut request = OpenAccountRequest {
            home_region: "home".to_owned(),
            currency: "USD".to_owned(),
            ..Default::default()
        };
        edit(&mut request);
        Ask::Open(request)
    }

    pub fn session(&self, tokens: Vec<String>) -> Ask {
        Ask::Balance(self.full.clone(), Mode::Session(Session { tokens }))
    }

    pub fn statement(&self, edit: impl FnOnce(&mut GetStatementRequest)) -> Ask {
        let mut request = GetStatementRequest {
            account_id: self.full.clone(),
            ..Default::default()
        };
        edit(&mut request);
        Ask::Statement(request)
    }
}

/// The account that a command names first: its key belongs to it.
pub fn named_first(ask: &Ask) -> Option<String> {
    match ask {
        Ask::Deposit(r) => Some(r.account_id.clone()),
        Ask::Withdraw(r) => Some(r.account_id.clone()),
        Ask::Transfer(r) => Some(r.from_account_id.clone()),
        Ask::Close(account) => Some(account.clone()),
        _ => None,
    }
    .filter(|id| {
        id.parse::<AccountId>()
            .is_ok_and(|id| id.region().as_str() == "home")
    })
}
