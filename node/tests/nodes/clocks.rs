//! Clocks that are wrong, of real nodes: who cannot tell how old an answer is says so, and meets no
//! bound by it.

use std::time::Duration;

use node::api::{
    UNKNOWN_AGE_MS,
    atm::v1::{GetBalanceRequest, ModeUsed},
    rejection,
    v1::{
        ReadMode,
        read_mode::{Bounded, Local, Mode, Otherwise},
    },
};
use tonic::{Code, Request, Status};

use crate::cluster::{Cluster, Node, THREE_REGIONS, eventually, usd};

const HOME: &str = "eu-west";
const FAR: &str = "ap-south";
/// Wide: an idle shard closes its time every ten seconds.
const MAX_STALENESS_MS: u64 = 20_000;

fn bounded(otherwise: Otherwise) -> Mode {
    Mode::Bounded(Bounded {
        max_staleness_ms: MAX_STALENESS_MS,
        otherwise: otherwise.into(),
        tokens: vec![],
    })
}

/// Does the node say how old its answer is?
async fn knows_its_age(node: &Node, account: &str) -> bool {
    let found = node.balance(account, Mode::Local(Local {})).await;
    found.is_ok_and(|found| found.staleness_bound_ms <= MAX_STALENESS_MS)
}

async fn waiting_for_a_bound(node: &Node, account: &str) -> Status {
    let mut request = Request::new(GetBalanceRequest {
        account_id: account.to_owned(),
        mode: Some(ReadMode {
            mode: Some(bounded(Otherwise::Wait)),
        }),
    });
    request.set_timeout(Duration::from_millis(500));
    node.atm().get_balance(request).await.unwrap_err()
}

/// What a node still answers that does not know how old its answers are, and how it refuses.
async fn refuses_bounds_only(node: &Node, account: &str, why: &str) {
    let local = node.balance(account, Mode::Local(Local {})).await.unwrap();
    assert_eq!(local.staleness_bound_ms, UNKNOWN_AGE_MS);
    assert_eq!(local.posted, usd(700));
    let refused = node.balance(account, bounded(Otherwise::Error)).await;
    for status in [
        refused.unwrap_err(),
        waiting_for_a_bound(node, account).await,
    ] {
        let face = rejection::from_status(&status).unwrap();
        assert_eq!(
            (status.code(), face.code.as_str(), face.retryable),
            (Code::Unavailable, rejection::AGE_UNKNOWN, true)
        );
        assert!(face.message.contains(why), "{}", face.message);
        assert!(face.help.contains("another node"), "{}", face.help);
    }
    // Home knows the truth, whatever the time is.
    let told = node.balance(account, bounded(Otherwise::Home)).await;
    assert_eq!(told.unwrap().mode(), ModeUsed::Strong);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_wrong_says_no_age_and_meets_no_bound() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, far) = (cluster.at(HOME), cluster.at(FAR));
    let account = &home.open(HOME, "a").await;
    home.deposit("d", account, 700).await.unwrap();
    far.settles_at(account, 700).await;
    eventually("the far node says how old its answer is", async || {
        knows_its_age(far, account).await
    })
    .await;

    for ahead in [-4_000, 4_000] {
        cluster.set_clock_ahead_ms(far.id, ahead);
        // It is doubted at once; when peers have been asked, it is known to be wrong.
        refuses_bounds_only(far, account, "this node's clock").await;
        eventually("it learns from its peers", async || {
            let refused = far.balance(account, bounded(Otherwise::Error)).await;
            refused.is_err_and(|status| status.message().contains("with 2 of 2 peers"))
        })
        .await;
        refuses_bounds_only(far, account, "out of bounds").await;
        // Everybody else's is right.
        assert!(knows_its_age(home, account).await);
        cluster.set_clock_ahead_ms(far.id, 0);
        eventually("its clock is confirmed", async || {
            let met = far.balance(account, bounded(Otherwise::Error)).await;
            met.is_ok() && knows_its_age(far, account).await
        })
        .await;
    }

    // Nobody can be asked: a clock that has jumped stays in doubt, though it has jumped back.
    cluster.cut(FAR);
    cluster.set_clock_ahead_ms(far.id, -4_000);
    assert!(!knows_its_age(far, account).await);
    cluster.set_clock_ahead_ms(far.id, 0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!knows_its_age(far, account).await);
    cluster.heal(FAR);
    eventually("its clock is confirmed", async || {
        knows_its_age(far, account).await
    })
    .await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stamped_by_a_clock_that_is_ahead_has_no_age_elsewhere() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, far) = (cluster.at(HOME), cluster.at(FAR));
    let account = &home.open(HOME, "a").await;
    cluster.set_clock_ahead_ms(home.id, 30_000);
    home.deposit("d", account, 700).await.unwrap();
    eventually("the far node has it", async || {
        let found = far.balance(account, Mode::Local(Local {})).await;
        found.is_ok_and(|found| found.posted == usd(700))
    })
    .await;
    refuses_bounds_only(far, account, "ahead of this node's clock").await;
    cluster.shutdown().await;
}
