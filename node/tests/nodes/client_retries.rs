//! The client against nodes that fail in the ways nodes fail.

use std::time::Duration;
use std::{future::Future, pin::Pin, sync::Arc, sync::Mutex};

use node::api::rejection;
use node::api::teller::v1::teller_server::{Teller, TellerServer};
use node::api::teller::v1::*;
use node::api::v1::{Money, Receipt, RejectionDetail, TransactionStatus};
use node::api::{CALLER, v1};
use node::client::{Client, Error, Options};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

/// What a node does with transfers: one act for each that comes, the last one for ever.
type Script = fn(turn: usize) -> Result<TransactionStatus, Status>;

struct FakeNode {
    script: Script,
    seen: Arc<Mutex<Vec<(String, i64, String)>>>,
}

macro_rules! not_here {
    ($($name:ident: $request:ident -> $reply:ident;)+) => {
        // As the attribute below would have written it: it does not see into macros.
        $(fn $name<'a, 'b>(
            &'a self,
            _: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<$reply>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("not in this test")) })
        })+
    };
}

#[tonic::async_trait]
impl Teller for FakeNode {
    async fn transfer(
        &self,
        request: Request<TransferRequest>,
    ) -> Result<Response<TransferReply>, Status> {
        let caller = request
            .metadata()
            .get(CALLER)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let context = request.into_inner().context.unwrap();
        let turn = {
            let mut seen = self.seen.lock().unwrap();
            seen.push((
                context.idempotency_key,
                context.first_attempt_unix_ms,
                caller,
            ));
            seen.len() - 1
        };
        let status = (self.script)(turn)?;
        if status == TransactionStatus::Unspecified {
            // Hangs: the answer never comes.
            std::future::pending::<()>().await;
        }
        let receipt = Receipt {
            transaction_id: "tx-1".into(),
            status: status.into(),
            ..Receipt::default()
        };
        Ok(Response::new(TransferReply {
            receipt: Some(receipt),
        }))
    }

    type SubmitStreamStream = tokio_stream::Empty<Result<SubmitStreamReply, Status>>;

    async fn submit_stream(
        &self,
        _: Request<Streaming<BatchCommand>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    not_here! {
        open_account: OpenAccountRequest -> OpenAccountReply;
        close_account: CloseAccountRequest -> CloseAccountReply;
        list_suspense: ListSuspenseRequest -> ListSuspenseReply;
        clear_suspense: ClearSuspenseRequest -> ClearSuspenseReply;
        register_customer: RegisterCustomerRequest -> CustomerReply;
        attach_account: AttachAccountRequest -> CustomerReply;
        detach_account: DetachAccountRequest -> CustomerReply;
        set_profile: SetProfileRequest -> CustomerReply;
        set_legal_hold: SetLegalHoldRequest -> CustomerReply;
        erase_customer: EraseCustomerRequest -> CustomerReply;
        get_customer: GetCustomerRequest -> GetCustomerReply;
        claim_reference: ClaimReferenceRequest -> ReferenceReply;
        release_reference: ReleaseReferenceRequest -> ReferenceReply;
        reverse: ReverseRequest -> ReverseReply;
        submit_journal: SubmitJournalRequest -> SubmitJournalReply;
        get_journal: GetJournalRequest -> GetJournalReply;
        list_journals: ListJournalsRequest -> ListJournalsReply;
        freeze_account: FreezeAccountRequest -> FreezeAccountReply;
        set_limit: SetLimitRequest -> SetLimitReply;
        set_spending_limit: SetSpendingLimitRequest -> SetSpendingLimitReply;
        submit_group: SubmitGroupRequest -> SubmitGroupReply;
        unfreeze_account: UnfreezeAccountRequest -> UnfreezeAccountReply;
        get_account: GetAccountRequest -> GetAccountReply;
        deposit: DepositRequest -> DepositReply;
        withdraw: WithdrawRequest -> WithdrawReply;
        get_transaction: GetTransactionRequest -> GetTransactionReply;
        place_hold: PlaceHoldRequest -> HoldReply;
        raise_hold: RaiseHoldRequest -> HoldReply;
        capture_hold: CaptureHoldRequest -> HoldReply;
        release_hold: ReleaseHoldRequest -> HoldReply;
        list_holds: ListHoldsRequest -> ListHoldsReply;
        list_declined: ListDeclinedRequest -> ListDeclinedReply;
        submit_batch: SubmitBatchRequest -> SubmitBatchReply;
        trial_balance: TrialBalanceRequest -> TrialBalanceReply;
        close_day: CloseDayRequest -> CloseDayReply;
        show_day: ShowDayRequest -> ShowDayReply;
    }
}

struct Started {
    address: String,
    seen: Arc<Mutex<Vec<(String, i64, String)>>>,
}

async fn start(script: Script) -> Started {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::default();
    let teller = TellerServer::new(FakeNode {
        script,
        seen: Arc::clone(&seen),
    });
    let serving = Server::builder()
        .add_service(teller)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    Started { address, seen }
}

/// An address where nobody listens.
async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

fn client(addresses: &[&str]) -> Client {
    let addresses = addresses
        .iter()
        .map(|address| (*address).to_owned())
        .collect();
    let options = Options {
        deadline: Duration::from_secs(3),
        attempt: Duration::from_millis(500),
        ..Options::new("tester")
    };
    Client::new(addresses, options).unwrap()
}

fn transfer() -> TransferRequest {
    TransferRequest {
        amount: Some(Money {
            minor_units: 1,
            currency: "USD".into(),
        }),
        ..TransferRequest::default()
    }
}

fn rejected(code: Code, retryable: bool, recorded: bool) -> Status {
    let detail = RejectionDetail {
        code: "WHY".into(),
        message: "because".into(),
        retryable,
        recorded,
        ..RejectionDetail::default()
    };
    rejection::to_status(code, &detail)
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_elsewhere_under_the_same_key() {
    let dead = dead().await;
    let loses = start(|_| Err(Status::unavailable("connection reset"))).await;
    let hangs = start(|_| Ok(TransactionStatus::Unspecified)).await;
    let waits = start(|_| Ok(TransactionStatus::Unknown)).await;
    let knows = start(|_| Ok(TransactionStatus::Settled)).await;
    let addresses = [
        &dead,
        &loses.address,
        &hangs.address,
        &waits.address,
        &knows.address,
    ]
    .map(String::as_str);
    let reply = client(&addresses).transfer(transfer()).await.unwrap();
    assert_eq!(reply.receipt.unwrap().status(), TransactionStatus::Settled);

    let first = loses.seen.lock().unwrap().clone();
    assert_eq!((first.len(), first[0].2.as_str()), (1, "tester"));
    assert!(first[0].0.len() == 32 && first[0].1 > 0);
    for other in [&hangs, &waits, &knows] {
        assert_eq!(*other.seen.lock().unwrap(), first);
    }
}

#[tokio::test]
async fn a_recorded_refusal_is_final() {
    let node = start(|_| Err(rejected(Code::FailedPrecondition, true, true))).await;
    let error = client(&[&node.address])
        .transfer(transfer())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("WHY"));
    assert_eq!(node.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_overloaded_node_is_asked_again_later() {
    let node = start(|turn| match turn {
        0 | 1 => Err(rejected(Code::ResourceExhausted, true, false)),
        _ => Ok(TransactionStatus::Settled),
    })
    .await;
    client(&[&node.address]).transfer(transfer()).await.unwrap();
    assert_eq!(node.seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn what_stays_open_is_told_with_its_key_at_the_deadline() {
    let node = start(|_| Ok(TransactionStatus::Unknown)).await;
    let began = Instant::now();
    let error = client(&[&node.address])
        .transfer(transfer())
        .await
        .unwrap_err();
    let Error::Unknown(unknown) = error else {
        panic!("{error}")
    };
    assert_eq!(unknown.transaction_id.as_deref(), Some("tx-1"));
    assert_eq!(unknown.key, node.seen.lock().unwrap()[0].0);
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn nobody_there_means_nothing_was_done() {
    let (one, two) = (dead().await, dead().await);
    let error = client(&[&one, &two])
        .transfer(transfer())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(why) if why.contains("refused")),
        "{error}"
    );
}

#[tokio::test]
async fn acceptance_is_an_answer_only_to_those_who_asked_for_it() {
    let node = start(|_| Ok(TransactionStatus::Accepted)).await;
    let client = client(&[&node.address]);
    let accepted = TransferRequest {
        wait: Wait::Accepted.into(),
        ..transfer()
    };
    let reply = client.transfer(accepted).await.unwrap();
    assert_eq!(
        reply.receipt.unwrap().status(),
        v1::TransactionStatus::Accepted
    );
    assert!(matches!(
        client.transfer(transfer()).await,
        Err(Error::Unknown(_))
    ));
}
