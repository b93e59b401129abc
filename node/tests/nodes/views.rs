//! Read models that are made again while real nodes serve, write and are watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use node::api::{
    admin::v1::{NodeViews, RebuildViewsRequest, ViewsRequest},
    atm::v1::WatchRequest,
    v1::read_mode::{Local, Mode},
};

use crate::cluster::{Cluster, Node, PATIENCE, THREE_REGIONS, code, eventually};

/// The read models of a node, as another tells of them.
async fn views(asked: &Node, of: &str) -> NodeViews {
    let reply = asked.admin().views(ViewsRequest {}).await.unwrap();
    let mut nodes = reply.into_inner().nodes.into_iter();
    nodes.find(|it| it.node == of).unwrap()
}

fn rebuild(node: &str) -> RebuildViewsRequest {
    RebuildViewsRequest {
        node: node.to_owned(),
        reason: "a test".to_owned(),
    }
}

async fn posted(node: &Node, account: &str) -> i64 {
    let found = node.balance(account, Mode::Local(Local {})).await.unwrap();
    found.posted.unwrap().minor_units
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_change_places_under_readers_and_watchers_and_nobody_sees_it() {
    let mut cluster = Cluster::start(&THREE_REGIONS).await;
    let home = cluster.at("eu-west");
    let far = cluster.at("ap-south");
    let (name, id) = (far.name.clone(), far.id);
    let account = home.open("eu-west", "account").await;
    for n in 1..=20 {
        home.deposit(&format!("before {n}"), &account, 1)
            .await
            .unwrap();
    }
    let request = WatchRequest {
        account_ids: vec![account.clone()],
        ..WatchRequest::default()
    };
    let mut watching = far.atm().watch(request).await.unwrap().into_inner();
    let first = watching.next().await.unwrap().unwrap();
    let mut told = first.changes[0].posted.as_ref().unwrap().minor_units;

    let written = Arc::new(AtomicBool::new(false));
    let writes = async {
        let mut n = 20;
        while !written.load(Ordering::Relaxed) {
            n += 1;
            home.deposit(&format!("while {n}"), &account, 1)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        n
    };
    let reads = async {
        assert_eq!(views(home, &name).await.generation, 0);
        let mut admin = home.admin();
        let begun = admin.rebuild_views(rebuild(&name)).await.unwrap();
        let begun = begun.into_inner().views.unwrap();
        assert_eq!((begun.node.as_str(), begun.generation), (&*name, 0));
        let building = begun.building.unwrap();
        assert!(building.why.contains("a test"), "{building:?}");
        assert!(building.records >= 20, "{building:?}");
        let mut seen = 0;
        eventually("others serve", async || {
            let found = posted(far, &account).await;
            assert!(found >= seen, "{seen} was seen, and now {found} is");
            seen = found;
            views(home, &name).await.generation == 1
        })
        .await;
        let now = views(home, &name).await;
        assert!(now.reachable && now.building.is_none(), "{now:?}");
        // They go on, and the watch with them.
        let found = posted(far, &account).await;
        eventually("the new ones go on", async || {
            posted(far, &account).await > found
        })
        .await;
        written.store(true, Ordering::Relaxed);
    };
    let (last, ()) = tokio::join!(writes, reads);
    let hearing = async {
        while told < last {
            let reply = watching.next().await.unwrap().unwrap();
            for change in reply.changes {
                let Some(line) = change.line else { continue };
                let after = line.balance_after.unwrap().minor_units;
                assert_eq!(after, told + 1, "each line once, in order");
                told = after;
            }
        }
    };
    tokio::time::timeout(PATIENCE, hearing).await.unwrap();
    drop(watching);

    // The new ones are what the node starts with.
    cluster.stop(id).await;
    cluster.restart(id).await;
    let (home, far) = (cluster.at("eu-west"), cluster.at("ap-south"));
    assert_eq!(views(home, &name).await.generation, 1);
    eventually("all is there", async || posted(far, &account).await == last).await;
    let unknown = home.admin().rebuild_views(rebuild("nobody")).await;
    assert_eq!(code(unknown), "INVALID_ARGUMENT");
    cluster.stop(id).await;
    let home = cluster.at("eu-west");
    assert!(!views(home, &name).await.reachable);
    let gone = home.admin().rebuild_views(rebuild(&name)).await;
    assert_eq!(code(gone), "UNAVAILABLE");
    cluster.shutdown().await;
}
