//! `meridian journal` and `meridian exchange`, against nodes in three regions.

use std::{fs, path::Path};

use node::api::{teller::v1::OpenAccountRequest, v1::CommandContext};
use serde_json::{Value, json};

use super::program::{OK, REJECTED, USAGE, failing, run};
use crate::cluster::{Cluster, Node, THREE_REGIONS, eventually};

/// What the program answers as JSON, and how it ends.
fn asked(node: &Node, arguments: &[&str]) -> (Value, i32) {
    let connection = ["--node", &node.address, "--json"];
    let output = run(&[arguments, &connection].concat());
    let answer = serde_json::from_slice(&output.stdout);
    let answer = answer.unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"));
    (answer, output.status.code().expect("it ended by itself"))
}

fn answer(node: &Node, arguments: &[&str]) -> Value {
    let (answer, exit_code) = asked(node, arguments);
    assert_eq!(exit_code, OK, "{arguments:?}: {answer}");
    answer
}

/// What the program says to people.
fn said(node: &Node, arguments: &[&str]) -> String {
    let output = run(&[arguments, &["--node", &node.address]].concat());
    assert_eq!(output.status.code(), Some(OK), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A file of legs in a folder; its path.
fn file(folder: &Path, name: &str, legs: &[(&str, &str, &str)]) -> String {
    let mut text = "party,side,amount,currency\n".to_owned();
    for (party, side, amount) in legs {
        text.push_str(&format!("{party},{side},{amount},USD\n"));
    }
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_submits_a_journal_shows_it_and_lists_what_is_open() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (near, home, far) = (cluster.node(1), cluster.node(2), cluster.node(3));
    let payer = home.open("eu-west", "payer").await;
    let one = near.open("ap-south", "one").await;
    let two = far.open("us-east", "two").await;
    home.deposit("d", &payer, 1_000).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let legs = [
        (&payer[..], "debit", "5.00"),
        (&two, "credit", "4.00"),
        ("fees@us-east", "credit", "1.00"),
    ];
    let payroll = file(folder.path(), "payroll.csv", &legs);

    let submit = ["journal", "submit", &payroll, "--key", "june"];
    let receipt = answer(home, &submit);
    assert_eq!(receipt["status"], "settled");
    let id = receipt["transaction_id"].as_str().unwrap();
    let again = answer(far, &submit);
    assert_eq!(
        (&again["duplicate"], again["transaction_id"].as_str()),
        (&json!(true), Some(id))
    );
    let shown = answer(far, &["journal", "show", id]);
    assert_eq!(
        (&shown["state"], &shown["coordinator"]),
        (&json!("posted"), &json!(2))
    );
    let told: Vec<_> = shown["legs"].as_array().unwrap().iter().collect();
    let expected = [
        (&payer[..], "debit", 2),
        (&two, "credit", 3),
        ("fees", "credit", 3),
    ];
    assert_eq!(told.len(), expected.len());
    for (leg, (party, side, shard)) in told.into_iter().zip(expected) {
        assert_eq!(leg["party"], party);
        assert_eq!((&leg["side"], &leg["shard"]), (&json!(side), &json!(shard)));
    }
    let text = said(home, &["journal", "show", id]);
    assert!(
        text.contains("posted") && text.contains("5.00 USD"),
        "{text}"
    );
    let part = ["reverse", id, "--amount", "5", "--node", &far.address];
    let part = run(&part);
    assert_eq!(part.status.code(), Some(USAGE), "{part:?}");
    let reversal = answer(far, &["reverse", id, "--key", "back"]);
    assert_eq!(reversal["status"], "settled");
    let by = reversal["transaction_id"].as_str().unwrap();
    let shown = answer(near, &["journal", "show", id]);
    assert_eq!(shown["reversals"][0]["transaction_id"], by);
    assert_eq!(answer(near, &["journal", "show", by])["reverses"], id);
    let text = said(home, &["journal", "show", id]);
    assert!(text.contains(&format!("5.00 USD, by {by}")), "{text}");
    let text = said(home, &["journal", "show", by]);
    assert!(text.contains(&format!("reverses     {id}")), "{text}");
    let none = answer(home, &["journal", "list", "eu-west"]);
    assert_eq!(
        (&none["journals"], &none["more"]),
        (&json!([]), &json!(false))
    );
    let text = said(home, &["journal", "list", "eu-west"]);
    assert!(text.contains("every journal is decided"), "{text}");

    // One that cannot be decided yet, and a second.
    cluster.cut("ap-south");
    let legs = [(&payer[..], "debit", "1.00"), (&one, "credit", "1.00")];
    let abroad = file(folder.path(), "abroad.csv", &legs);
    let mut open = Vec::new();
    for key in ["first", "second"] {
        let submit = ["journal", "submit", &abroad, "--key", key, "--accepted"];
        let receipt = answer(home, &submit);
        assert_eq!(receipt["status"], "accepted");
        open.push(receipt["transaction_id"].clone());
    }
    let pending = answer(home, &["journal", "show", open[0].as_str().unwrap()]);
    assert_eq!(
        (&pending["state"], &pending["waiting_for"]),
        (&json!("pending"), &json!([1]))
    );
    for of in [&["eu-west"][..], &["--account", &payer]] {
        let list = [&["journal", "list"][..], of].concat();
        let listed = answer(home, &list);
        let ids = listed["journals"].as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|it| it["journal_id"].clone()).collect();
        assert_eq!(ids, open);
        let limited = answer(home, &[&list[..], &["--limit", "1"]].concat());
        assert_eq!(limited["journals"].as_array().map(Vec::len), Some(1));
        assert_eq!(limited["more"], true);
    }
    let text = said(home, &["journal", "list", "eu-west", "--limit", "1"]);
    assert!(
        text.contains("shard 1") && text.contains("and more"),
        "{text}"
    );
    cluster.heal("ap-south");
    eventually("all is decided", async || {
        answer(home, &["journal", "list", "eu-west"])["journals"] == json!([])
    })
    .await;
    near.settles_at(&one, 200).await;
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_refused_ends_the_program_with_its_code() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, far) = (cluster.node(2), cluster.node(3));
    let rich = home.open("eu-west", "rich").await;
    let poor = far.open("us-east", "poor").await;
    home.deposit("d", &rich, 1_000).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let legs = [(&rich[..], "credit", "9.00"), (&poor, "debit", "9.00")];
    let legs = file(folder.path(), "legs.csv", &legs);
    let (receipt, exit_code) = asked(home, &["journal", "submit", &legs, "--key", "j"]);
    assert_eq!(
        (exit_code, &receipt["status"]),
        (REJECTED, &json!("returned"))
    );
    assert_eq!(receipt["rejection"]["code"], "INSUFFICIENT_FUNDS");
    let id = receipt["transaction_id"].as_str().unwrap();
    let shown = answer(far, &["journal", "show", id]);
    assert_eq!(
        (&shown["state"], &shown["refused_by"], &shown["refused_leg"]),
        (&json!("cancelled"), &json!(3), &json!(2))
    );

    let node = ["--node", &home.address];
    let odd = file(folder.path(), "odd.csv", &[(&rich, "sideways", "9.00")]);
    let why = failing(&[&["journal", "submit", &odd][..], &node].concat(), USAGE);
    assert!(why.contains("line 2: `sideways`"), "{why}");
    let nowhere = folder.path().join("none.csv");
    let nowhere = nowhere.to_str().unwrap();
    let why = failing(
        &[&["journal", "submit", nowhere][..], &node].concat(),
        USAGE,
    );
    assert!(why.contains("none.csv"), "{why}");
    failing(&[&["journal", "list"][..], &node].concat(), USAGE);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_exchanges_through_the_banks_position() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, far) = (cluster.node(2), cluster.node(3));
    let giver = home.open("eu-west", "giver").await;
    let opening = OpenAccountRequest {
        context: Some(CommandContext {
            idempotency_key: "getter".to_owned(),
            ..CommandContext::default()
        }),
        home_region: "us-east".to_owned(),
        currency: "EUR".to_owned(),
        ..OpenAccountRequest::default()
    };
    let getter = far.teller().open_account(opening).await.unwrap();
    let getter = getter.into_inner().account_id;
    home.deposit("d", &giver, 200).await.unwrap();
    let exchange = |give: &str| {
        let words = ["exchange", &giver, &getter, "--give", give];
        let more = ["--get", "1.00 EUR", "--rate", "0.9237", "--key", "x"];
        let all = words.into_iter().chain(more).map(str::to_owned);
        all.collect::<Vec<_>>()
    };
    let words = exchange("1.08 USD");
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let receipt = answer(home, &words);
    assert_eq!(receipt["status"], "settled");
    let id = receipt["transaction_id"].as_str().unwrap();
    let shown = answer(far, &["journal", "show", id]);
    assert_eq!(
        (&shown["state"], &shown["rate"]),
        (&json!("posted"), &json!("0.9237"))
    );
    let legs = shown["legs"].as_array().unwrap().iter();
    let legs: Vec<_> = legs
        .map(|leg| {
            (
                leg["party"].as_str().unwrap(),
                leg["side"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        (&giver[..], "debit"),
        ("fx-position", "credit"),
        ("fx-position", "debit"),
        (&getter, "credit"),
    ];
    assert_eq!(legs, expected);
    home.settles_at(&giver, 92).await;

    let words = exchange("1.08");
    let words = words.iter().map(String::as_str);
    let words: Vec<_> = words.chain(["--node", &home.address]).collect();
    let why = failing(&words, USAGE);
    assert!(why.contains("12.50 USD"), "{why}");
    cluster.stop_and_verify().await;
}
