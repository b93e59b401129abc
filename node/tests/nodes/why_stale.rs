//! What holds a node's answers back, as real nodes tell it: three regions, real disks and sockets.

use node::api::admin::v1::{
    StaleCause, StatusRequest, WhyStaleReply, WhyStaleRequest, why_stale_request::Scope,
};

use crate::cluster::{Cluster, HOME_AND_ABROAD, Node, THREE_REGIONS, code, eventually};

async fn why(node: &Node, scope: Option<Scope>) -> WhyStaleReply {
    let asked = node.admin().why_stale(WhyStaleRequest { scope }).await;
    asked.unwrap().into_inner()
}

fn named<'a>(reply: &'a WhyStaleReply, code: &str) -> Option<&'a StaleCause> {
    reply.causes.iter().find(|cause| cause.code == code)
}

/// Is nothing in the way but that nobody asks?
fn is_well(reply: &WhyStaleReply) -> bool {
    let idle = |cause: &StaleCause| cause.code == "SHARD_IDLE";
    reply.causes.iter().all(idle) && reply.cut.as_ref().is_some_and(|cut| cut.through.is_some())
}

async fn comes_to_be_well(node: &Node) {
    eventually("nothing is in the way", async || {
        is_well(&why(node, None).await)
    })
    .await;
}

/// What time it is on a node's clock.
async fn now(node: &Node) -> i64 {
    why(node, None).await.time.unwrap().unix_nanos
}

/// A cause is known since something that was between two times, or a little before: whoever waits for
/// a word has heard the last one then.
fn began_between(cause: &StaleCause, (from, to): (i64, i64)) {
    let since = cause.since.as_ref().unwrap().unix_nanos;
    let slack = 5_000_000_000;
    assert!((from - slack..=to + slack).contains(&since), "{cause:?}");
    assert!(!cause.since_or_before, "{cause:?}");
}

/// The first answer that is so: nodes are asked with little patience, and the next may lack one.
async fn answer(what: &str, node: &Node, is_so: impl Fn(&WhyStaleReply) -> bool) -> WhyStaleReply {
    let mut found = WhyStaleReply::default();
    eventually(what, async || {
        found = why(node, None).await;
        is_so(&found)
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_is_named_with_its_beginning_and_with_the_transfer_that_waits_for_it() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let asked = cluster.at("eu-west");
    let payer = asked.open("eu-west", "payer").await;
    let payee = asked.open("ap-south", "payee").await;
    asked.deposit("in", &payer, 1_000).await.unwrap();
    comes_to_be_well(asked).await;
    let (far, near) = (cluster.shard("ap-south"), cluster.shard("eu-west"));

    let before = now(asked).await;
    cluster.cut("ap-south");
    let after = now(asked).await;
    let sending = now(asked).await;
    asked.transfer("waits", &payer, &payee, 300).await.unwrap();
    let sent = (sending, now(asked).await);
    let found = answer("the link and the transfer are named", asked, |found| {
        named(found, "REGION_UNREACHABLE").is_some()
            && named(found, "TRANSFER_WAITS").is_some()
            && found.unanswered == ["ap-south-1"]
    })
    .await;
    let link = &found.causes[0];
    assert_eq!(
        (link.code.as_str(), link.shard),
        ("REGION_UNREACHABLE", Some(far))
    );
    began_between(link, (before, after));
    assert!(
        link.what.contains("ap-south") && !link.help.is_empty(),
        "{link:?}"
    );
    let waits = named(&found, "TRANSFER_WAITS").unwrap();
    assert_eq!((waits.shard, waits.to_shard), (Some(near), Some(far)));
    began_between(waits, sent);
    assert!(waits.what.contains("(see REGION_UNREACHABLE)"), "{waits:?}");
    let through = found.cut.unwrap();
    assert_eq!(through.held_back_by, [far]);
    assert_eq!(found.served_by.unwrap().node, asked.name);

    // The status says the same of this region, and that the other is not heard from.
    let status = asked.admin().status(StatusRequest {}).await.unwrap();
    let cuts = status.into_inner().cuts;
    let here = cuts.iter().find(|cut| cut.region == "eu-west").unwrap();
    assert_eq!((&here.held_back_by, here.reachable), (&vec![far], true));
    assert!(here.staleness_bound_ms.unwrap() > 3_000, "{here:?}");
    let there = cuts.iter().find(|cut| cut.region == "ap-south").unwrap();
    assert!(!there.reachable && there.through.is_none(), "{there:?}");

    // Of other shards it is not said.
    let scopes = [
        (Scope::Region("us-east".into()), false),
        (Scope::Shard(cluster.shard("us-east")), false),
        (Scope::Region("ap-south".into()), true),
        (Scope::Shard(far), true),
        (Scope::AccountId(payee.clone()), true),
    ];
    for (scope, concerned) in scopes {
        let found = why(asked, Some(scope.clone())).await;
        assert_eq!(found.shards.len(), 1, "{scope:?}");
        let named = named(&found, "REGION_UNREACHABLE").is_some();
        assert_eq!(named, concerned, "{scope:?}: {found:?}");
    }
    for scope in [Scope::Shard(77), Scope::Region("mars".into())] {
        let scope = Some(scope);
        assert!(
            code(asked.admin().why_stale(WhyStaleRequest { scope }).await).ends_with("_NOT_FOUND")
        );
    }

    cluster.heal("ap-south");
    asked.settles_at(&payer, 700).await;
    comes_to_be_well(asked).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_without_a_leader_is_named_and_so_are_those_who_did_not_answer() {
    let mut cluster = Cluster::start(&HOME_AND_ABROAD).await;
    comes_to_be_well(cluster.at("us-east")).await;
    let before = now(cluster.at("us-east")).await;
    cluster.stop(2).await;
    cluster.stop(3).await;
    let stopped = (before, now(cluster.at("us-east")).await);
    let (asked, shard) = (cluster.at("us-east"), cluster.shard("eu-west"));
    let silent: Vec<_> = [2, 3].map(|id| cluster.node(id).name.clone()).into();
    let found = answer("it is named", asked, |found| {
        named(found, "NO_LEADER").is_some() && found.unanswered == silent
    })
    .await;
    let leaderless = &found.causes[0];
    assert_eq!(
        (leaderless.code.as_str(), leaderless.shard),
        ("NO_LEADER", Some(shard))
    );
    began_between(leaderless, stopped);
    for node in silent {
        assert!(leaderless.what.contains(&node), "{leaderless:?}");
    }
    assert!(
        leaderless.what.contains("of its 3 voters 1 answered"),
        "{leaderless:?}"
    );
    // Its own node says so, too, and whom it hears of another shard all the same.
    answer("its own node names it", cluster.node(1), |found| {
        found
            .causes
            .first()
            .is_some_and(|it| it.code == "NO_LEADER")
    })
    .await;
    cluster.restart(2).await;
    comes_to_be_well(cluster.at("us-east")).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_takes_in_nothing_is_named_with_what_stops_it() {
    let cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let (asked, home) = (cluster.at("us-east"), cluster.at("eu-west"));
    comes_to_be_well(asked).await;
    let account = home.open("eu-west", "a").await;
    cluster.set_free(4, 1 << 20);
    eventually("the full disk is named", async || {
        named(&why(asked, None).await, "DISK_FULL").is_some()
    })
    .await;
    let full = now(asked).await;
    home.deposit("unheard", &account, 5).await.unwrap();
    let found = answer("the copy is named", asked, |found| {
        named(found, "COPY_SILENT").is_some() && found.causes[0].code == "DISK_FULL"
    })
    .await;
    assert!(found.causes[0].since_or_before);
    let silent = named(&found, "COPY_SILENT").unwrap();
    assert_eq!(silent.shard, Some(cluster.shard("eu-west")));
    began_between(silent, (full, now(asked).await));
    cluster.set_free(4, u64::MAX);
    comes_to_be_well(asked).await;
    cluster.shutdown().await;
}
