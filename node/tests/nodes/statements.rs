//! Statements: between dates of either kind, in pages that stay as they are, as they were known then.

use node::api::{
    atm::v1::{GetStatementReply, GetStatementRequest, StatementBasis, StatementLine},
    teller::v1::{DepositRequest, OpenAccountRequest},
    v1::{
        CommandContext, Money, ReadMode, Receipt, Time,
        read_mode::{AsOf, Bounded, Mode, Otherwise, Session, Strong, as_of::At},
    },
};
use tonic::Status;

use crate::cluster::{Cluster, Node, THREE_REGIONS, code, usd};

const HOME: &str = "eu-west";
const FAR: &str = "ap-south";

fn on(key: &str, date: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        effective_date: date.to_owned(),
        correlation_id: format!("c-{key}"),
        external_reference: format!("e-{key}"),
        reason: format!("because {key}"),
        memo: format!("memo {key}"),
        ..CommandContext::default()
    })
}

async fn deposit(node: &Node, account: &str, units: i64, date: &str) -> Receipt {
    let request = DepositRequest {
        context: on(&format!("{units}"), date),
        account_id: account.to_owned(),
        amount: usd(units),
        ..DepositRequest::default()
    };
    let reply = node.teller().deposit(request).await.unwrap();
    reply.into_inner().receipt.unwrap()
}

/// An account since the first of January, with what was paid in: 1 today, 2 as of the 5th, 4 today, 8
/// as of the 3rd, 16 as of the 5th, 32 today.
async fn account(node: &Node) -> (String, Vec<Receipt>) {
    let request = OpenAccountRequest {
        context: on("open", "2026-01-01"),
        home_region: HOME.to_owned(),
        currency: "USD".to_owned(),
        ..OpenAccountRequest::default()
    };
    let account = node.teller().open_account(request).await.unwrap();
    let account = account.into_inner().account_id;
    let mut receipts = Vec::new();
    for (units, date) in [
        (1, ""),
        (2, "2026-01-05"),
        (4, ""),
        (8, "2026-01-03"),
        (16, "2026-01-05"),
        (32, ""),
    ] {
        receipts.push(deposit(node, &account, units, date).await);
    }
    (account, receipts)
}

async fn ask(
    node: &Node,
    account: &str,
    mode: Mode,
    edit: impl FnOnce(&mut GetStatementRequest),
) -> Result<GetStatementReply, Status> {
    let mut request = GetStatementRequest {
        account_id: account.to_owned(),
        mode: Some(ReadMode { mode: Some(mode) }),
        ..GetStatementRequest::default()
    };
    edit(&mut request);
    Ok(node.atm().get_statement(request).await?.into_inner())
}

fn session(receipt: &Receipt) -> Mode {
    let tokens = vec![receipt.token.clone()];
    Mode::Session(Session { tokens })
}

fn known_at(at: At) -> Mode {
    let (at, tokens) = (Some(at), vec![]);
    Mode::AsOf(AsOf { at, tokens })
}

fn units(money: &Option<Money>) -> i64 {
    money.as_ref().unwrap().minor_units
}

/// Amounts and running balances.
fn lines(reply: &GetStatementReply) -> Vec<(i64, i64)> {
    let lines = reply.lines.iter();
    lines
        .map(|line| (units(&line.amount), units(&line.balance_after)))
        .collect()
}

fn sums(reply: &GetStatementReply) -> (i64, i64) {
    (units(&reply.opening_balance), units(&reply.closing_balance))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_by_either_date_in_either_order_and_as_it_was_known_then() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, far) = (cluster.at(HOME), cluster.at(FAR));
    let (account, receipts) = account(home).await;
    let last = receipts.last().unwrap();
    let effective = |r: &mut GetStatementRequest| r.basis = StatementBasis::Effective.into();

    // As it was booked: all of it today.
    let booked = ask(far, &account, session(last), |_| ()).await.unwrap();
    let expected = [(1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, 63)];
    assert_eq!(
        (lines(&booked), sums(&booked)),
        (expected.to_vec(), (0, 63))
    );
    let today = booked.lines[0].effective_date.clone();
    assert!(booked.lines.iter().all(|line| line.booked_on == today));
    assert_eq!(booked.lines[3].effective_date, "2026-01-03");
    let none = ask(far, &account, session(last), |r| {
        r.to_date = "2026-01-31".into()
    });
    let none = none.await.unwrap();
    assert_eq!((lines(&none), sums(&none)), (vec![], (0, 0)));

    // By when it counts, whichever node is asked, however fresh it must be.
    let by_date = [(8, 8), (2, 10), (16, 26), (1, 27), (4, 31), (32, 63)];
    let bounded = Mode::Bounded(Bounded {
        max_staleness_ms: 0,
        otherwise: Otherwise::Home.into(),
        tokens: vec![],
    });
    for (node, mode) in [
        (home, session(last)),
        (far, session(last)),
        (far, Mode::Strong(Strong {})),
        (home, Mode::Strong(Strong {})),
        (far, bounded),
    ] {
        let all = ask(node, &account, mode, effective).await.unwrap();
        assert_eq!((lines(&all), sums(&all)), (by_date.to_vec(), (0, 63)));
    }
    let january = |newest_first: bool| {
        move |r: &mut GetStatementRequest| {
            effective(r);
            (r.from_date, r.to_date) = ("2026-01-04".into(), "2026-01-31".into());
            r.newest_first = newest_first;
        }
    };
    let some = ask(far, &account, session(last), january(false))
        .await
        .unwrap();
    assert_eq!(
        (lines(&some), sums(&some)),
        (vec![(2, 10), (16, 26)], (8, 26))
    );
    let back = ask(far, &account, session(last), january(true))
        .await
        .unwrap();
    assert_eq!(
        (lines(&back), sums(&back)),
        (vec![(16, 26), (2, 10)], (8, 26))
    );

    // January as it was known when 8 had come in and 16 had not.
    let then = At::Position(receipts[3].position.unwrap());
    let time = receipts[3].time.clone().unwrap();
    for at in [
        then,
        At::Time(Time {
            unix_nanos: 0,
            ..time
        }),
    ] {
        let known = ask(far, &account, known_at(at), january(false))
            .await
            .unwrap();
        assert_eq!((lines(&known), sums(&known)), (vec![(2, 10)], (8, 10)));
        let balance = known.balance.unwrap();
        assert_eq!(balance.posted, usd(15), "booked by then");
    }
    let date = known_at(At::EffectiveDate("2026-01-31".into()));
    let refused = ask(far, &account, date, |_| ()).await;
    assert_eq!(code(refused), "INVALID_ARGUMENT");

    // What the caller said of it is told where it may be read, to whom it is about.
    let line = ask(home, &account, session(last), |_| ())
        .await
        .unwrap()
        .lines
        .remove(1);
    assert_eq!(
        (line.memo.as_str(), line.external_reference.as_str()),
        ("memo 2", "e-2")
    );
    assert_eq!(
        (line.correlation_id.as_str(), line.reason.as_str()),
        ("c-2", "because 2")
    );
    let line = &booked.lines[1];
    assert_eq!(
        (line.memo.as_str(), line.external_reference.as_str()),
        ("", "")
    );
    assert_eq!(line.correlation_id, "c-2");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_belong_together_whatever_is_booked_meanwhile_and_whoever_is_asked() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let nodes = [cluster.at(HOME), cluster.at(FAR), cluster.at("us-east")];
    let (account, mut receipts) = account(nodes[0]).await;
    let session = |receipts: &[Receipt]| session(receipts.last().unwrap());
    for basis in [StatementBasis::Booked, StatementBasis::Effective] {
        for newest_first in [false, true] {
            let whole = |r: &mut GetStatementRequest| {
                (r.basis, r.newest_first) = (basis.into(), newest_first);
            };
            let all = ask(nodes[1], &account, session(&receipts), whole)
                .await
                .unwrap();
            let (mut told, mut token) = (Vec::new(), String::new());
            for page in 0.. {
                // The first page has what the whole had: nothing came in between. Later ones go
                // anywhere.
                let mode = session(&receipts);
                let reply = ask(nodes[page % 3], &account, mode, |r| {
                    whole(r);
                    (r.page_size, r.page_token) = (4, token.clone());
                });
                let reply = reply.await.unwrap();
                assert_eq!(sums(&reply), sums(&all), "{basis:?} {newest_first} {page}");
                told.extend(reply.lines);
                token = reply.next_page_token;
                if token.is_empty() {
                    break;
                }
                // What comes in between, as of any day, is not in it.
                let key = 100 * (1 + basis as i64) + 10 * i64::from(newest_first);
                let page = i64::try_from(page).unwrap();
                let receipt = deposit(nodes[2], &account, key + page, "2026-01-04").await;
                receipts.push(receipt);
            }
            let ids = |lines: &[StatementLine]| -> Vec<String> {
                lines
                    .iter()
                    .map(|line| line.transaction_id.clone())
                    .collect()
            };
            assert_eq!(ids(&told), ids(&all.lines), "{basis:?} {newest_first}");
        }
    }
    cluster.stop_and_verify().await;
}
