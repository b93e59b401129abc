//! References by which others know an account: unique in their region whichever shards it has, found
//! from everywhere, and written down nowhere.

use std::{path::Path, time::Duration};

use node::api::{
    atm::v1::{FindAccountReply, FindAccountRequest},
    rejection,
    teller::v1::{
        ClaimReferenceRequest, GetTransactionRequest, OpenAccountRequest, ReleaseReferenceRequest,
        SubmitGroupRequest, TransactionKind, batch_command::Command, get_transaction_request::By,
    },
    v1::{
        AccountReference, CommandContext, Receipt, ReferenceType,
        read_mode::{Mode, Session},
    },
};
use node::config::Limits;
use replication::topology::{Shard, Topology};
use tonic::{Request, Status};

use crate::cluster::{Cluster, HOME_AND_ABROAD, Node, THREE_REGIONS, usd};

const HOME: &str = "eu-west";
const ABROAD: &str = "us-east";
const FAR: &str = "ap-south";
const IBAN: &str = "GB82 WEST 1234 5698 7654 32";
/// In every text that must not be found anywhere.
const MARK: &str = "m4rkedPlaintext";

/// Three nodes at home with four shards, so that accounts and references are rarely in the same one,
/// and one node abroad.
async fn cluster() -> Cluster {
    let more = |topology: &mut Topology| {
        let first = topology.shards.iter().find(|it| it.region.as_str() == HOME);
        let first = first.expect("it has one").clone();
        let others = (4..7).map(|id| Shard {
            id,
            ..first.clone()
        });
        topology.shards.extend(others.collect::<Vec<_>>());
    };
    let limits = Limits {
        snapshot_entries: 5,
        snapshot_bytes: 1,
        snapshot_seconds: 1,
        ..Limits::default()
    };
    Cluster::start_configured(&HOME_AND_ABROAD, (0, more), limits, |_, _| {}).await
}

fn why(refused: &Status) -> String {
    let detail = rejection::from_status(refused);
    detail.expect("a refusal has a face").code
}

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

fn iban(text: &str) -> AccountReference {
    AccountReference {
        r#type: ReferenceType::Iban.into(),
        text: text.to_owned(),
    }
}

fn external(text: &str) -> AccountReference {
    AccountReference {
        r#type: ReferenceType::External.into(),
        text: text.to_owned(),
    }
}

async fn open(
    node: &Node,
    key: &str,
    references: &[AccountReference],
) -> Result<(String, Receipt), Status> {
    let request = OpenAccountRequest {
        context: context(key),
        home_region: HOME.to_owned(),
        currency: "USD".to_owned(),
        references: references.to_vec(),
        ..Default::default()
    };
    let reply = node.teller().open_account(request).await?.into_inner();
    Ok((reply.account_id, reply.receipt.unwrap()))
}

async fn claim(
    node: &Node,
    key: &str,
    account: &str,
    reference: &AccountReference,
) -> Result<Receipt, Status> {
    let request = ClaimReferenceRequest {
        context: context(key),
        account_id: account.to_owned(),
        reference: Some(reference.clone()),
    };
    let reply = node.teller().claim_reference(request).await?;
    Ok(reply.into_inner().receipt.unwrap())
}

async fn release(
    node: &Node,
    key: &str,
    account: &str,
    reference: &AccountReference,
) -> Result<Receipt, Status> {
    let request = ReleaseReferenceRequest {
        context: context(key),
        account_id: account.to_owned(),
        reference: Some(reference.clone()),
    };
    let reply = node.teller().release_reference(request).await?;
    Ok(reply.into_inner().receipt.unwrap())
}

async fn find(
    node: &Node,
    region: &str,
    reference: &AccountReference,
) -> Result<FindAccountReply, Status> {
    let mut request = Request::new(FindAccountRequest {
        reference: Some(reference.clone()),
        region: region.to_owned(),
    });
    request.set_timeout(Duration::from_secs(4));
    Ok(node.atm().find_account(request).await?.into_inner())
}

/// What the home region knows, as a node of any region tells it.
async fn found(node: &Node, reference: &AccountReference) -> String {
    let reply = find(node, HOME, reference).await.unwrap();
    let [found] = &reply.regions[..] else {
        panic!("{reply:?}");
    };
    assert_eq!((found.region.as_str(), &found.rejection), (HOME, &None));
    assert!(found.position.is_some() && found.true_at.is_some());
    found.account_id.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_stands_for_one_account_of_its_region_and_is_found_from_everywhere() {
    let cluster = cluster().await;
    let (home, abroad) = (cluster.at(HOME), cluster.at(ABROAD));
    let [one, other] = [home.open(HOME, "one").await, home.open(HOME, "other").await];
    let all: Vec<_> = (0..8).map(|n| external(&format!("customer {n}"))).collect();
    for (n, reference) in all.iter().enumerate() {
        let node = if n % 2 == 0 { home } else { abroad };
        let claimed = claim(node, "claim", &one, reference).await.unwrap();
        let again = claim(abroad, "claim", &one, reference).await.unwrap();
        assert_eq!(claimed.transaction_id, again.transaction_id);
        assert!(again.duplicate);
        let taken = claim(node, "claim", &other, reference).await.unwrap_err();
        // The same key, and another body.
        assert_eq!(why(&taken), "KEY_CONFLICT");
        let taken = claim(node, "other", &other, reference).await.unwrap_err();
        assert!(!taken.message().contains(&one), "{taken:?}");
        let details = rejection::from_status(&taken).unwrap();
        assert!(details.recorded && !details.message.contains(&one));
        assert_eq!(why(&taken), "REFERENCE_TAKEN");
        assert_eq!(found(home, reference).await, one);
        assert_eq!(found(abroad, reference).await, one);
    }
    // They are kept in more shards than one.
    let mut shards = Vec::new();
    for reference in &all {
        let reply = find(abroad, HOME, reference).await.unwrap();
        shards.push(reply.regions[0].position.unwrap().shard);
    }
    shards.sort_unstable();
    shards.dedup();
    assert!(shards.len() > 1, "{shards:?}");

    let claimed = claim(abroad, "iban", &other, &iban(IBAN)).await.unwrap();
    let by = By::TransactionId(claimed.transaction_id);
    let told = GetTransactionRequest { by: Some(by) };
    let told = abroad.teller().get_transaction(told).await.unwrap();
    assert_eq!(told.get_ref().kind(), TransactionKind::ClaimReference);
    let spoken = iban("gb82west12345698765432");
    assert_eq!(found(abroad, &spoken).await, other);
    // Another type, another region, another reference.
    let text = external("GB82WEST12345698765432");
    assert_eq!(found(home, &text).await, "");
    let reply = find(abroad, ABROAD, &spoken).await.unwrap();
    assert_eq!(reply.regions[0].account_id, "");

    let theirs = release(home, "not mine", &one, &spoken).await.unwrap_err();
    assert_eq!(why(&theirs), "REFERENCE_NOT_CLAIMED");
    release(abroad, "mine", &other, &spoken).await.unwrap();
    assert_eq!(found(home, &spoken).await, "");
    claim(home, "mine now", &one, &spoken).await.unwrap();
    assert_eq!(found(abroad, &spoken).await, one);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_opened_with_all_of_its_references_or_not_at_all() {
    let cluster = cluster().await;
    let (home, abroad) = (cluster.at(HOME), cluster.at(ABROAD));
    let both = [iban(IBAN), external("household 7")];
    let (one, receipt) = open(abroad, "open", &both).await.unwrap();
    for reference in &both {
        assert_eq!(found(home, reference).await, one);
    }
    let (again, same) = open(home, "open", &both).await.unwrap();
    assert_eq!(
        (&again, &same.transaction_id),
        (&one, &receipt.transaction_id)
    );
    assert!(same.duplicate);
    let fewer = open(home, "open", &both[..1]).await.unwrap_err();
    assert_eq!(why(&fewer), "KEY_CONFLICT");

    // The second is taken: nothing is claimed, and nothing recorded.
    let mixed = [external("free"), both[1].clone()];
    let refused = open(abroad, "second", &mixed).await.unwrap_err();
    assert_eq!(why(&refused), "REFERENCE_TAKEN");
    assert!(!rejection::from_status(&refused).unwrap().recorded);
    assert!(!refused.message().contains(&one), "{refused:?}");
    assert_eq!(found(abroad, &mixed[0]).await, "");
    let (second, _) = open(home, "second", &mixed[..1]).await.unwrap();
    assert_eq!(refused.message().matches(&second).count(), 1);
    assert_eq!(found(home, &mixed[0]).await, second);
    // So it is where the account itself cannot be opened.
    let early = OpenAccountRequest {
        context: Some(CommandContext {
            effective_date: "2999-12-31".to_owned(),
            ..context("early").unwrap()
        }),
        home_region: HOME.to_owned(),
        currency: "USD".to_owned(),
        references: vec![external("early")],
        ..Default::default()
    };
    let refused = home.teller().open_account(early).await.unwrap_err();
    assert_eq!(why(&refused), "DATE_IN_FUTURE");
    assert!(!rejection::from_status(&refused).unwrap().recorded);
    assert_eq!(found(home, &external("early")).await, "");

    // What would be done is not done.
    let mut dry = context("dry").unwrap();
    dry.dry_run = true;
    let request = OpenAccountRequest {
        context: Some(dry),
        home_region: HOME.to_owned(),
        currency: "USD".to_owned(),
        references: vec![external("not yet")],
        ..Default::default()
    };
    home.teller().open_account(request).await.unwrap();
    assert_eq!(found(home, &external("not yet")).await, "");

    // Books that are restored know them.
    let mut cluster = cluster;
    let home = cluster.at(HOME).id;
    cluster.stop(home).await;
    cluster.restart(home).await;
    assert_eq!(found(cluster.at(ABROAD), &both[0]).await, one);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_a_region_that_does_not_answer_is_named() {
    // Two of the three are in one residency domain.
    let together = |topology: &mut Topology| {
        let regions = topology.regions.iter_mut();
        for region in regions.filter(|it| it.name.as_str() != FAR) {
            region.domain = "atlantic".to_owned();
        }
    };
    let cluster = Cluster::start_shaped(&THREE_REGIONS, 0, together).await;
    let (home, abroad) = (cluster.at(HOME), cluster.at(ABROAD));
    let one = home.open(HOME, "one").await;
    for wrong in [
        iban("GB82 WEST 1234 5698 7654 33"),
        external(" "),
        external(&"x".repeat(65)),
        AccountReference::default(),
    ] {
        let refused = claim(abroad, "wrong", &one, &wrong).await.unwrap_err();
        // It may be another's: it is not repeated.
        assert!(wrong.text.len() < 3 || !refused.message().contains(&wrong.text));
        assert_eq!(why(&refused), "INVALID_ARGUMENT");
        let refused = find(abroad, "", &wrong).await.unwrap_err();
        assert_eq!(why(&refused), "INVALID_ARGUMENT");
        let refused = open(abroad, "wrong", &[wrong]).await.unwrap_err();
        assert_eq!(why(&refused), "INVALID_ARGUMENT");
    }
    let nine = vec![external("x"); 9];
    let refused = open(abroad, "nine", &nine).await.unwrap_err();
    assert_eq!(why(&refused), "INVALID_ARGUMENT");
    let nobody = ledger_domain::AccountId::derive(HOME.parse().unwrap(), "t", "nobody");
    let refused = claim(abroad, "k", &nobody.to_string(), &iban(IBAN)).await;
    assert_eq!(why(&refused.unwrap_err()), "ACCOUNT_NOT_FOUND");
    let refused = find(home, "mars", &iban(IBAN)).await.unwrap_err();
    assert_eq!(why(&refused), "REGION_NOT_FOUND");
    let in_group = OpenAccountRequest {
        home_region: HOME.to_owned(),
        currency: "USD".to_owned(),
        references: vec![iban(IBAN)],
        ..Default::default()
    };
    let group = SubmitGroupRequest {
        context: context("group"),
        commands: vec![Command::OpenAccount(in_group).into()],
    };
    let refused = home.teller().submit_group(group).await.unwrap_err();
    assert_eq!(why(&refused), "INVALID_ARGUMENT");

    claim(home, "k", &one, &iban(IBAN)).await.unwrap();
    let all = find(abroad, "", &iban(IBAN)).await.unwrap();
    assert_eq!(all.regions_missing, [""; 0]);
    let told: Vec<_> = all
        .regions
        .iter()
        .map(|it| it.account_id.as_str())
        .collect();
    assert_eq!(told, [one.as_str(), ""]);
    assert_eq!(all.regions_not_asked, [FAR]);
    // Of another domain nobody is asked, until a region is named.
    let far = cluster.at(FAR);
    let alone = find(far, "", &iban(IBAN)).await.unwrap();
    assert_eq!(
        (alone.regions.len(), &alone.regions[0].region[..]),
        (1, FAR)
    );
    assert_eq!(alone.regions_not_asked, [HOME, ABROAD]);
    assert_eq!(found(far, &iban(IBAN)).await, one);

    cluster.cut(HOME);
    let some = find(abroad, "", &iban(IBAN)).await.unwrap();
    assert_eq!(some.regions_missing, [HOME]);
    assert!(some.regions[0].rejection.is_some());
    let other = &some.regions[1];
    assert_eq!((&other.rejection, other.account_id.as_str()), (&None, ""));
    assert!(find(abroad, HOME, &iban(IBAN)).await.is_err());
    assert_eq!(found(home, &iban(IBAN)).await, one);
    cluster.heal(HOME);
    cluster.shutdown().await;
}

/// Whether a file, or one of those in a folder, has the mark in it.
fn holds_mark(path: &Path) -> Option<String> {
    if path.is_dir() {
        let mut inside = std::fs::read_dir(path).unwrap();
        return inside.find_map(|it| holds_mark(&it.unwrap().path()));
    }
    let bytes = std::fs::read(path).unwrap();
    let found = bytes.windows(MARK.len()).any(|it| it == MARK.as_bytes());
    found.then(|| path.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_identifies_a_person_is_in_no_file_of_any_node() {
    let mut cluster = cluster().await;
    let (home, abroad) = (cluster.at(HOME), cluster.at(ABROAD));
    let marked = |what: &str| external(&format!("{MARK} {what}"));
    let (one, _) = open(abroad, "open", &[marked("opened")]).await.unwrap();
    claim(home, "claim", &one, &marked("claimed"))
        .await
        .unwrap();
    let twice = [marked("opened")];
    assert!(open(abroad, "refused", &twice).await.is_err());
    find(abroad, "", &marked("sought")).await.unwrap();
    release(abroad, "release", &one, &marked("claimed"))
        .await
        .unwrap();
    let deposit = node::api::teller::v1::DepositRequest {
        context: Some(CommandContext {
            idempotency_key: "deposit".to_owned(),
            memo: format!("{MARK} memo"),
            reference: format!("{MARK} reference"),
            external_reference: format!("{MARK} external"),
            ..Default::default()
        }),
        account_id: one.clone(),
        amount: usd(100),
        ..Default::default()
    };
    abroad.teller().deposit(deposit).await.unwrap();
    let metrics = cluster.nodes().iter().map(|node| node.metrics.clone());
    for address in metrics.collect::<Vec<_>>() {
        let page = get(&address).await;
        assert!(page.contains("meridian_") && !page.contains(MARK));
    }
    // Everybody has all of it, and has written it down.
    let strong = home.strong(&one).await.unwrap().token;
    for node in cluster.nodes() {
        let tokens = vec![strong.clone()];
        node.balance(&one, Mode::Session(Session { tokens }))
            .await
            .unwrap();
    }
    let ids: Vec<_> = cluster.nodes().iter().map(|node| node.id).collect();
    for id in ids {
        cluster.stop(id).await;
        let data = cluster.data(cluster.node(id));
        assert_eq!(holds_mark(&data), None);
        std::fs::write(data.join("a-proof"), format!("…{MARK}…")).unwrap();
        assert!(
            holds_mark(&data).is_some(),
            "the search finds what is there"
        );
    }
}

async fn get(address: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}
