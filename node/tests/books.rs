//! Three regions of real nodes: what they tell about the whole ledger.

mod cluster;

use cluster::{Cluster, THREE_REGIONS};

#[tokio::test(flavor = "multi_thread")]
async fn money_crosses_regions_whoever_is_asked() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let asked = cluster.at("us-east");
    let mut accounts = Vec::new();
    for region in THREE_REGIONS {
        let account = asked.open(region.name, "open").await;
        asked.deposit("deposit", &account, 1_000).await.unwrap();
        accounts.push(account);
    }
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let (from, to) = (&accounts[from], &accounts[to]);
        asked.transfer("around", from, to, 300).await.unwrap();
    }
    for account in &accounts {
        asked.settles_at(account, 1_000).await;
    }
    cluster.shutdown().await;
}
