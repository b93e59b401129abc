//! What accounts were, whole: as of a place, a time and a date, over real disks and sockets, from every
//! region, and by the command line.

use std::process::Command;

use node::api::{
    atm::v1::Balance,
    teller::v1::{
        Account, AccountStatus, FreezeAccountRequest, FreezeBlocks, FreezeType, GetAccountReply,
        GetAccountRequest, PlaceHoldRequest, ReleaseHoldRequest, SetLimitRequest,
        set_limit_request::Overdraft,
    },
    v1::{
        CommandContext, Money, Receipt, Time,
        read_mode::{AsOf, Mode, as_of::At},
    },
};
use node::config::Limits;
use tonic::{Code, Response, Status};

use crate::cluster::{Cluster, Node, THREE_REGIONS, usd};

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        reason: "a test".to_owned(),
        ..Default::default()
    })
}

fn as_of(at: &At) -> AsOf {
    AsOf {
        at: Some(at.clone()),
        tokens: Vec::new(),
    }
}

async fn account_as_of(node: &Node, account: &str, at: &At) -> GetAccountReply {
    ask_as_of(node, account, at).await.unwrap()
}

async fn ask_as_of(node: &Node, account: &str, at: &At) -> Result<GetAccountReply, Status> {
    let request = GetAccountRequest {
        account_id: account.to_owned(),
        as_of: Some(as_of(at)),
    };
    let reply = node.teller().get_account(request).await;
    reply.map(Response::into_inner)
}

/// What of an answer is the same whoever gives it.
fn sums(balance: &Balance) -> [Option<Money>; 6] {
    [
        balance.posted.clone(),
        balance.held.clone(),
        balance.available.clone(),
        balance.reserved.clone(),
        balance.incoming.clone(),
        balance.outgoing.clone(),
    ]
}

fn sums_of(account: &Account) -> [Option<Money>; 6] {
    [
        account.posted.clone(),
        account.held.clone(),
        account.available.clone(),
        account.reserved.clone(),
        account.incoming.clone(),
        account.outgoing.clone(),
    ]
}

/// A life of an account: what each receipt left, and what went away by then.
struct Life {
    account: String,
    receipts: Vec<(Receipt, i64)>,
}

impl Life {
    async fn lived(cluster: &Cluster) -> Self {
        let home = cluster.at("eu-west");
        let account = home.open("eu-west", "whole").await;
        let abroad = home.open("ap-south", "abroad").await;
        let mut receipts = vec![(home.deposit("d", &account, 1_000).await.unwrap(), 0)];
        let place = PlaceHoldRequest {
            context: context("h"),
            account_id: account.clone(),
            amount: usd(300),
            expires_after_ms: 0,
        };
        let held = home.teller().place_hold(place).await.unwrap().into_inner();
        let hold_id = held.hold_id.clone();
        receipts.push((held.receipt.unwrap(), 0));
        let limit = SetLimitRequest {
            context: context("l"),
            account_id: account.clone(),
            overdraft: Some(Overdraft::OverdraftLimitMinorUnits(50)),
        };
        let limited = home.teller().set_limit(limit).await.unwrap().into_inner();
        receipts.push((limited.receipt.unwrap(), 0));
        let sent = home.transfer("t", &account, &abroad, 70).await.unwrap();
        receipts.push((sent, 70));
        let freeze = FreezeAccountRequest {
            context: context("f"),
            account_id: account.clone(),
            r#type: FreezeType::Fraud.into(),
            blocks: FreezeBlocks::Debits.into(),
            ..Default::default()
        };
        let frozen = home.teller().freeze_account(freeze).await.unwrap();
        receipts.push((frozen.into_inner().receipt.unwrap(), -1));
        let release = ReleaseHoldRequest {
            context: context("r"),
            account_id: account.clone(),
            hold_id,
        };
        let released = home.teller().release_hold(release).await.unwrap();
        receipts.push((released.into_inner().receipt.unwrap(), -1));
        Self { account, receipts }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_tells_all_that_an_account_was_at_any_place_and_time() {
    let shaped = (0, |_: &mut _| {});
    let cluster =
        Cluster::start_configured(&THREE_REGIONS, shaped, Limits::default(), |_, config| {
            config.privileged.insert("anonymous".to_owned());
        })
        .await;
    let Life { account, receipts } = Life::lived(&cluster).await;
    for (n, (receipt, outgoing)) in receipts.iter().enumerate() {
        let left = &receipt.balances_after[0];
        let hlc = receipt.time.clone().unwrap().hlc;
        let moments = [
            At::Position(receipt.position.unwrap()),
            At::Time(Time { hlc, unix_nanos: 0 }),
        ];
        for at in &moments {
            let mut all = Vec::new();
            for node in cluster.nodes() {
                let balance = node.balance(&account, Mode::AsOf(as_of(at))).await.unwrap();
                let [posted, held, available, reserved, incoming, out] = sums(&balance);
                assert_eq!(
                    (posted, held, available),
                    (
                        left.posted.clone(),
                        left.held.clone(),
                        left.available.clone()
                    ),
                    "{n}: {at:?} at {}",
                    node.name
                );
                assert_eq!((reserved, incoming), (usd(0), usd(0)));
                // When it is heard that it has arrived is nobody's to say.
                assert!(*outgoing < 0 || out == usd(*outgoing), "{n}: {out:?}");
                assert_eq!(balance.position, receipt.position);
                let told = account_as_of(node, &account, at).await;
                let whole = told.account.unwrap();
                assert_eq!(sums_of(&whole), sums(&balance));
                assert_eq!(whole.version, left.version);
                assert_eq!(whole.status(), AccountStatus::Open);
                assert_eq!(whole.freezes.len(), usize::from(n >= 4), "{n}");
                assert_eq!(told.position, balance.position);
                all.push(whole);
            }
            assert!(all.iter().all(|it| *it == all[0]), "{all:?}");
        }
    }
    by_date(&cluster, &account, &receipts).await;
    by_command(&cluster, &account, &receipts[1].0);
    cluster.shutdown().await;
}

/// At the close of a date: what was booked by then, and what counts from then.
async fn by_date(cluster: &Cluster, account: &str, receipts: &[(Receipt, i64)]) {
    let last = receipts.last().unwrap().0.clone();
    let nanos = last.time.unwrap().unix_nanos;
    let today = jiff::Timestamp::from_nanosecond(nanos.into()).unwrap();
    let date = |days: i64| {
        let zone = jiff::tz::TimeZone::UTC;
        let day = today.to_zoned(zone).date();
        day.saturating_add(jiff::Span::new().days(days)).to_string()
    };
    let left = &last.balances_after[0];
    for node in cluster.nodes() {
        let covering = |days| AsOf {
            at: Some(At::EffectiveDate(date(days))),
            tokens: vec![last.token.clone()],
        };
        let after = node
            .balance(account, Mode::AsOf(covering(2)))
            .await
            .unwrap();
        assert_eq!(
            (&after.posted, &after.held, &after.available),
            (&left.posted, &left.held, &left.available)
        );
        assert_eq!(after.effective_date, date(2));
        let before = node
            .balance(account, Mode::AsOf(covering(-3)))
            .await
            .unwrap();
        // It was not opened yet: nothing had been posted, and nothing else is known of it.
        assert_eq!(sums(&before), [usd(0), None, None, None, None, None]);
        let whole = account_as_of(node, account, &At::EffectiveDate(date(2))).await;
        assert_eq!(whole.account.unwrap().freezes.len(), 1);
        let none = ask_as_of(node, account, &At::EffectiveDate(date(-3))).await;
        assert_eq!(none.unwrap_err().code(), Code::NotFound);
    }
}

/// The hold was placed then, and no more.
fn by_command(cluster: &Cluster, account: &str, held: &Receipt) {
    let at = held.position.unwrap();
    let at = format!("{}:{}:{}", at.shard, at.epoch, at.index);
    let said = |command: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_meridian"))
            .args(["--node", &cluster.at("ap-south").address])
            .args(command)
            .args([account, "--as-of-position", &at])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for command in [&["balance"][..], &["account", "show"]] {
        let text = said(command);
        for line in ["held", "3.00", "7.00", "10.00"] {
            assert!(text.contains(line), "{text}");
        }
        let json = said(&[&["--json"], command].concat());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let told = json.get(0).unwrap_or(&json);
        assert_eq!(
            told["held"]["minor_units"].to_string().trim_matches('"'),
            "300",
            "{json}"
        );
        assert_eq!(
            told["available"]["minor_units"]
                .to_string()
                .trim_matches('"'),
            "700"
        );
    }
}
