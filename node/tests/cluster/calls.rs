//! What tests ask of a node, in a line each.

use node::api::{
    atm::v1::{Balance, GetBalanceRequest},
    rejection,
    teller::v1::{DepositRequest, OpenAccountRequest, TransferRequest, WithdrawRequest},
    v1::{
        CommandContext, Money, ReadMode, Receipt,
        read_mode::{Mode, Strong},
    },
};
use tonic::{Code, Status};

use super::Node;

pub fn usd(minor_units: i64) -> Option<Money> {
    Some(Money {
        minor_units,
        currency: "USD".to_owned(),
    })
}

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

impl Node {
    /// Opens a USD account in a region and gives its id.
    pub async fn open(&self, region: &str, key: &str) -> String {
        let request = OpenAccountRequest {
            context: context(key),
            home_region: region.to_owned(),
            currency: "USD".to_owned(),
            ..Default::default()
        };
        let reply = self.teller().open_account(request).await.unwrap();
        reply.into_inner().account_id
    }

    pub async fn deposit(&self, key: &str, account: &str, units: i64) -> Result<Receipt, Status> {
        let request = DepositRequest {
            context: context(key),
            account_id: account.to_owned(),
            amount: usd(units),
            ..Default::default()
        };
        let reply = self.teller().deposit(request).await?.into_inner();
        Ok(reply.receipt.unwrap())
    }

    pub async fn withdraw(&self, key: &str, account: &str, units: i64) -> Result<Receipt, Status> {
        let request = WithdrawRequest {
            context: context(key),
            account_id: account.to_owned(),
            amount: usd(units),
            ..Default::default()
        };
        let reply = self.teller().withdraw(request).await?.into_inner();
        Ok(reply.receipt.unwrap())
    }

    pub async fn transfer(
        &self,
        key: &str,
        from: &str,
        to: &str,
        units: i64,
    ) -> Result<Receipt, Status> {
        let request = TransferRequest {
            context: context(key),
            from_account_id: from.to_owned(),
            to_account_id: to.to_owned(),
            amount: usd(units),
            ..Default::default()
        };
        let reply = self.teller().transfer(request).await?.into_inner();
        Ok(reply.receipt.unwrap())
    }

    pub async fn balance(&self, account: &str, mode: Mode) -> Result<Balance, Status> {
        let request = GetBalanceRequest {
            account_id: account.to_owned(),
            mode: Some(ReadMode { mode: Some(mode) }),
        };
        let reply = self.atm().get_balance(request).await?.into_inner();
        Ok(reply.balance.unwrap())
    }

    pub async fn strong(&self, account: &str) -> Result<Balance, Status> {
        self.balance(account, Mode::Strong(Strong {})).await
    }

    /// Waits until a strong read shows a booked sum.
    pub async fn settles_at(&self, account: &str, units: i64) {
        let waiting = async {
            while self.strong(account).await.ok().and_then(|b| b.posted) != usd(units) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(super::PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{account} does not come to {units}");
    }

    pub(super) async fn refuses(&self, account: &str, code: Code) -> bool {
        self.strong(account).await.is_err_and(|s| s.code() == code)
    }
}

/// The code of a refusal.
pub fn code<T>(result: Result<T, Status>) -> String {
    let status = result.err().expect("it is refused");
    rejection::from_status(&status)
        .expect("a refusal has a face")
        .code
}
