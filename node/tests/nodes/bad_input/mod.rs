//! Whatever is wrong with a request: a code, a status and a sentence, and nothing has changed.

mod bench;
mod rows;

use bench::{Bench, named_first};
use node::api::{CALLER, teller::v1::DepositRequest};
use rows::Row;
use tonic::{Code, Request, metadata::MetadataValue};

use crate::running::{face, strong, usd};

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_clear_refusal_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(data.path()).await;
    let before = bench.state().await;
    // The codes after which the same command can succeed without anybody correcting it.
    let passing = [
        "INSUFFICIENT_FUNDS",
        "BALANCE_NOT_ZERO",
        "DATE_IN_FUTURE",
        "CLOCK_OUT_OF_BOUNDS",
    ];
    for Row {
        name,
        ask,
        code,
        grpc,
        says,
    } in bench.rows()
    {
        let command_of = named_first(&ask);
        let status = bench.send(name, ask).await.expect_err(name);
        let face = face(&status);
        assert_eq!(
            (face.code.as_str(), status.code()),
            (code, grpc),
            "{name}: {status}"
        );
        assert!(face.message.contains(says), "{name}: {}", face.message);
        assert_eq!(face.message, status.message(), "{name}");
        assert_eq!(face.retryable, passing.contains(&code), "{name}: {status}");
        assert!(
            !face.help.is_empty() && face.message.len() < 600,
            "{name}: {face:?}"
        );
        assert_eq!(bench.state().await, before, "{name} changed something");
        if let Some(account) = command_of {
            let recorded = bench.under(&account, name).await;
            let recorded = recorded.map(|found| found.code);
            assert_eq!(recorded, face.recorded.then_some(face.code), "{name}");
        }
    }
    bench.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_command_and_has_a_length_and_no_control_characters() {
    let data = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(data.path()).await;
    let before = bench.state().await;
    let status = bench
        .send("seed", bench.amount(101, "USD"))
        .await
        .unwrap_err();
    assert_eq!(
        (face(&status).code.as_str(), status.code()),
        ("KEY_CONFLICT", Code::AlreadyExists)
    );
    assert!(status.message().contains("amount"), "{status}");
    let key = "k".repeat(129);
    let status = bench.send(&key, bench.amount(1, "USD")).await.unwrap_err();
    assert_eq!(face(&status).code, "INVALID_ARGUMENT");
    assert!(
        status
            .message()
            .contains("idempotency_key has 129 bytes; at most 128"),
        "{status}"
    );
    // As the ledger makes of a group's key for its second command.
    let key = "group\u{1f}2";
    let status = bench.send(key, bench.amount(1, "USD")).await.unwrap_err();
    assert_eq!(face(&status).code, "INVALID_ARGUMENT");
    assert!(
        status.message().contains("no control characters"),
        "{status}"
    );
    assert_eq!(bench.state().await, before);
    bench.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_a_name_or_none() {
    let data = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(data.path()).await;
    let before = bench.state().await;
    for (name, says) in [
        (b"".to_vec(), "1 to 64 characters"),
        (vec![b'x'; 65], "1 to 64 characters"),
        (vec![0xe9, 0xff], "the caller's name is no text"),
    ] {
        let mut request = Request::new(DepositRequest {
            account_id: bench.full.clone(),
            amount: usd(1),
            ..Default::default()
        });
        let name = MetadataValue::try_from(&name[..]).unwrap();
        request.metadata_mut().insert(CALLER, name);
        let status = bench.node.teller.deposit(request).await.unwrap_err();
        assert_eq!(
            (face(&status).code.as_str(), status.code()),
            ("INVALID_ARGUMENT", Code::InvalidArgument)
        );
        assert!(status.message().contains(says), "{status}");
    }
    assert_eq!(bench.state().await, before);
    bench.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_with_a_code() {
    /// Its first field is a number where a deposit has a message.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Odd {
        #[prost(uint64, tag = "1")]
        number: u64,
    }
    let data = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(data.path()).await;
    let mut raw = tonic::client::Grpc::new(bench.node.channel.clone());
    raw.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/meridian.teller.v1.Teller/Deposit");
    let codec = tonic_prost::ProstCodec::<Odd, Odd>::default();
    let status = raw
        .unary(Request::new(Odd { number: 7 }), path, codec)
        .await
        .unwrap_err();
    assert_eq!(
        (face(&status).code.as_str(), status.code()),
        ("INVALID_ARGUMENT", Code::InvalidArgument)
    );
    assert!(
        status
            .message()
            .contains("not the message that this call takes"),
        "{status}"
    );
    assert_eq!(
        strong(&mut bench.node.atm, &bench.full)
            .await
            .unwrap()
            .posted,
        usd(100)
    );
    drop(raw);
    bench.node.stop().await;
}
