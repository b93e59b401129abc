//! More than a node takes on: refused at once, nothing done, and it serves on.

use std::time::Duration;

use node::config::{Config, Limits};
use tokio::time::Instant;
use tonic::Code;

use crate::running::{PATIENCE, config, deposit, face, open, start_with, strong, usd};

fn limited(data: &std::path::Path, requests: u32, queue: u32) -> Config {
    let limits = Limits {
        requests: requests.try_into().unwrap(),
        queue: queue.try_into().unwrap(),
        ..Limits::default()
    };
    let config = config(data);
    Config { limits, ..config }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_too_many_is_refused_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut node = start_with(limited(data.path(), 2, 16)).await;
    let account = open(&mut node.teller, "a").await;
    let long_read = || node.long_call(data.path(), &account, Some(PATIENCE));
    let mut reads = [long_read(), long_read()];
    let mut atm = node.atm.clone();
    // Until both are under way: a short read may have taken the place of one of them.
    let full = async {
        loop {
            for read in reads.iter_mut().filter(|read| read.is_finished()) {
                *read = long_read();
            }
            match strong(&mut atm, &account).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(status) => break status,
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, full).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);

    let begun = Instant::now();
    for n in 0..100 {
        let status = deposit(&mut node.teller, &format!("d{n}"), &account, 1)
            .await
            .unwrap_err();
        let face = face(&status);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!((face.code.as_str(), face.retryable), ("OVERLOADED", true));
        assert!(!face.recorded && !face.help.is_empty(), "{face:?}");
        assert!(status.message().contains("as many requests under way"));
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "100 refusals took {took:?}");

    // A caller that goes away makes room.
    for read in reads {
        read.abort();
        let _ = read.await;
    }
    let served = async {
        while let Err(status) = deposit(&mut node.teller, "d0", &account, 1).await {
            assert_eq!(face(&status).code, "OVERLOADED");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    let balance = strong(&mut node.atm, &account).await.unwrap();
    assert_eq!(balance.posted, usd(1), "what was refused was not done");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_the_ledger_holds_what_was_accepted() {
    let data = tempfile::tempdir().unwrap();
    let mut node = start_with(limited(data.path(), 4_096, 1)).await;
    let account = open(&mut node.teller, "a").await;
    let sending: Vec<_> = (0..1_000)
        .map(|n| {
            let (mut teller, account) = (node.teller.clone(), account.clone());
            tokio::spawn(async move { deposit(&mut teller, &n.to_string(), &account, 1).await })
        })
        .collect();
    let (mut accepted, mut refused) = (0, 0);
    for sent in sending {
        match sent.await.unwrap() {
            Ok(_) => accepted += 1,
            Err(status) => {
                let face = face(&status);
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                assert_eq!((face.code.as_str(), face.retryable), ("OVERLOADED", true));
                refused += 1;
            }
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} and {refused}");
    let balance = strong(&mut node.atm, &account).await.unwrap();
    assert_eq!(balance.posted, usd(accepted));
    // What was refused can be sent again under its key, and is then done once.
    for n in 0..1_000 {
        while deposit(&mut node.teller, &n.to_string(), &account, 1)
            .await
            .is_err()
        {}
    }
    let balance = strong(&mut node.atm, &account).await.unwrap();
    assert_eq!(balance.posted, usd(1_000));
    node.stop().await;
}

#[test]
fn limits_have_defaults_and_are_never_zero() {
    let config: Config = toml::from_str("[limits]\nqueue = 5\n").unwrap();
    assert_eq!(config.limits.queue.get(), 5);
    assert_eq!(config.limits.requests.get(), 4_096);
    assert_eq!(config.limits.stop_seconds, 10);
    for wrong in ["queue = 0", "requests = 0", "requests = -1", "reqests = 7"] {
        let text = format!("[limits]\n{wrong}\n");
        assert!(toml::from_str::<Config>(&text).is_err(), "{wrong}");
    }
}
