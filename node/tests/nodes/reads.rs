//! Reads that say how fresh or as of when, and sessions: three regions, real disks and sockets.

use std::time::Duration;

use ledger_domain::Token;
use node::{
    api::{
        atm::v1::{Balance, GetBalanceRequest, ModeUsed},
        rejection,
        teller::v1::DepositRequest,
        v1::{
            Position, ReadMode, Receipt, Time,
            read_mode::{AsOf, Bounded, Local, Mode, Otherwise, as_of::At},
        },
    },
    client::{Client, Options, Session},
};
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Status};

use crate::cluster::{Cluster, Node, PATIENCE, THREE_REGIONS, code, usd};

const HOME: &str = "eu-west";
const FAR: &str = "ap-south";

fn bounded(max_staleness_ms: u64, otherwise: Otherwise) -> Mode {
    Mode::Bounded(Bounded {
        max_staleness_ms,
        otherwise: otherwise.into(),
        tokens: vec![],
    })
}

fn as_of(at: At) -> Mode {
    let (at, tokens) = (Some(at), vec![]);
    Mode::AsOf(AsOf { at, tokens })
}

fn hlc(time: &Option<Time>) -> At {
    let hlc = time.as_ref().unwrap().hlc.clone();
    At::Time(Time { hlc, unix_nanos: 0 })
}

async fn within(node: &Node, account: &str, mode: Mode, time: Duration) -> Result<Balance, Status> {
    let mut request = Request::new(GetBalanceRequest {
        account_id: account.to_owned(),
        mode: Some(ReadMode { mode: Some(mode) }),
    });
    request.set_timeout(time);
    let reply = node.atm().get_balance(request).await?;
    Ok(reply.into_inner().balance.unwrap())
}

async fn until<F: Future<Output = bool>>(mut met: impl FnMut() -> F) {
    let waiting = async {
        while !met().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it comes in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_is_met_here_or_at_home_or_refused_as_the_caller_chooses() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, far) = (cluster.at(HOME), cluster.at(FAR));
    let account = &home.open(HOME, "a").await;
    let receipt = home.deposit("d", account, 700).await.unwrap();
    let receipt_token = receipt.token.clone();

    // Met here, by waiting if need be, with what a session must see.
    let covering = Mode::Bounded(Bounded {
        max_staleness_ms: 20_000,
        otherwise: Otherwise::Wait.into(),
        tokens: vec![receipt.token],
    });
    let found = far.balance(account, covering).await.unwrap();
    assert_eq!(
        (found.posted.clone(), found.mode()),
        (usd(700), ModeUsed::Bounded)
    );
    assert!(found.staleness_bound_ms <= 20_000, "{found:?}");
    assert_eq!(found.served_by.unwrap().region, FAR);
    assert!(found.position.is_some() && found.true_at.is_some());

    // While it is asked for, an idle shard keeps its readers fresh.
    let tight = 3_000;
    let begun = Instant::now();
    let mut refused_late = Vec::new();
    while begun.elapsed() < Duration::from_secs(14) {
        let answer = far.balance(account, bounded(tight, Otherwise::Error)).await;
        match answer {
            Ok(found) => assert!(found.staleness_bound_ms <= tight, "{found:?}"),
            Err(status) if begun.elapsed() > Duration::from_secs(2) => refused_late.push(status),
            Err(_) => {}
        }
        sleep(Duration::from_millis(100)).await;
    }
    // A stall of a busy machine may show; ten seconds without an entry would be most of these.
    assert!(refused_late.len() < 15, "{} refusals", refused_late.len());

    // No copy can meet a bound that clocks alone may break.
    for otherwise in [Otherwise::Unspecified, Otherwise::Error, Otherwise::Wait] {
        let refused = far.balance(account, bounded(200, otherwise)).await;
        let status = refused.unwrap_err();
        let face = rejection::from_status(&status).unwrap();
        assert_eq!(
            (face.code.as_str(), face.retryable),
            (rejection::TOO_STALE, false)
        );
    }
    let told = far
        .balance(account, bounded(200, Otherwise::Home))
        .await
        .unwrap();
    assert_eq!(
        (told.posted.clone(), told.mode()),
        (usd(700), ModeUsed::Strong)
    );
    assert_eq!(
        (
            told.staleness_bound_ms,
            told.served_by.unwrap().region.as_str()
        ),
        (0, HOME)
    );

    // Its token covers what the question's did, also of other shards: whoever goes on with it alone
    // sees no less than before.
    let other = far.open(FAR, "other").await;
    let paid = far.deposit("o", &other, 1).await.unwrap();
    let covering = Mode::Bounded(Bounded {
        max_staleness_ms: 200,
        otherwise: Otherwise::Home.into(),
        tokens: vec![paid.token.clone()],
    });
    let told = far.balance(account, covering).await.unwrap();
    assert_eq!(told.mode(), ModeUsed::Strong);
    let covered = Token::claimed(&told.token).unwrap();
    for token in [&paid.token, &receipt_token] {
        for position in Token::claimed(token).unwrap().positions {
            let own = covered
                .positions
                .iter()
                .find(|it| it.shard == position.shard);
            assert!(
                own.is_some_and(|own| own.index >= position.index),
                "{covered:?}"
            );
        }
    }

    // Home cannot be reached: the copy grows old.
    cluster.cut(HOME);
    sleep(Duration::from_millis(tight)).await;
    let begun = Instant::now();
    let status = far
        .balance(account, bounded(tight, Otherwise::Error))
        .await
        .unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "it is refused at once"
    );
    let face = rejection::from_status(&status).unwrap();
    assert_eq!(
        (face.code.as_str(), face.retryable),
        (rejection::TOO_STALE, true)
    );
    let actual: u64 = face
        .message
        .split(' ')
        .find_map(|word| word.parse().ok())
        .unwrap();
    assert!(
        (tight + 500..tight + 5_000).contains(&actual),
        "{}",
        face.message
    );
    let begun = Instant::now();
    let second = Duration::from_secs(1);
    let waited = within(far, account, bounded(tight, Otherwise::Wait), second).await;
    assert!(begun.elapsed() > second / 2, "it waits");
    assert_eq!(waited.as_ref().unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(code(waited), rejection::TOO_STALE);
    let home_trip = within(far, account, bounded(tight, Otherwise::Home), second).await;
    assert!(home_trip.is_err(), "{home_trip:?}");
    far.balance(account, Mode::Local(Local {})).await.unwrap();
    cluster.heal(HOME);
    until(|| async {
        let again = within(far, account, bounded(tight, Otherwise::Wait), second).await;
        again.is_ok_and(|found| found.mode() == ModeUsed::Bounded)
    })
    .await;
    cluster.shutdown().await;
}

/// What an answer says of the past: the same from every node.
fn told(balance: Balance) -> (i64, Position, String, ModeUsed) {
    let mode = balance.mode();
    let posted = balance.posted.unwrap().minor_units;
    (
        posted,
        balance.position.unwrap(),
        balance.true_at.unwrap().hlc,
        mode,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn as_of_a_time_or_a_place_every_node_gives_what_the_receipts_come_to() {
    const DEPOSITS: usize = 60;
    let cluster = Cluster::start_apart(&THREE_REGIONS, 40).await;
    let home = cluster.at(HOME);
    let before = home.open(HOME, "another").await;
    let account = &home.open(HOME, "a").await;
    // The account's history, as its receipts tell it.
    let mut history: Vec<Receipt> = Vec::new();
    let mut random: u64 = 7;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % below
    };
    for n in 0..DEPOSITS {
        // Entries of others lie between.
        home.deposit(&format!("o{n}"), &before, 1).await.unwrap();
        history.push(
            home.deposit(&format!("d{n}"), account, 1 + n as i64)
                .await
                .unwrap(),
        );
        // Asked at once: what far nodes do not hold yet they wait for.
        let asked = &history[next(history.len())];
        let expected = asked.balances_after[0].posted.as_ref().unwrap().minor_units;
        let at = asked.position.unwrap();
        let time = asked.time.clone().unwrap();
        let node = &cluster.nodes()[next(3)];
        let by_time = told(
            node.balance(account, as_of(hlc(&asked.time)))
                .await
                .unwrap(),
        );
        assert_eq!(
            by_time,
            (expected, at, time.hlc, ModeUsed::AsOf),
            "{}",
            node.name
        );
        let by_place = node
            .balance(account, as_of(At::Position(at)))
            .await
            .unwrap();
        assert_eq!(told(by_place), by_time, "{}", node.name);
    }
    // Any time and any place between the first and the last.
    let nanos = |receipt: &Receipt| receipt.time.as_ref().unwrap().unix_nanos;
    let index = |receipt: &Receipt| receipt.position.unwrap().index;
    let (first, last) = (&history[0], &history[DEPOSITS - 1]);
    for _ in 0..40 {
        let span = (nanos(last) - nanos(first)) as usize;
        let time = nanos(first) + next(span) as i64;
        let place = index(first) + next((index(last) - index(first)) as usize) as u64;
        let known = |counts: &dyn Fn(&Receipt) -> bool| {
            let then = history
                .iter()
                .rev()
                .find(|receipt| counts(receipt))
                .unwrap();
            then.balances_after[0].posted.as_ref().unwrap().minor_units
        };
        let at_time = known(&|receipt| nanos(receipt) <= time);
        let at_place = known(&|receipt| index(receipt) <= place);
        let position = Position {
            index: place,
            ..first.position.unwrap()
        };
        let unix_nanos = time;
        let time = Time {
            unix_nanos,
            ..Time::default()
        };
        for (at, expected) in [
            (At::Time(time), at_time),
            (At::Position(position), at_place),
        ] {
            let mut answers = Vec::new();
            for node in cluster.nodes() {
                let answer = node.balance(account, as_of(at.clone())).await.unwrap();
                assert_eq!((&answer.held, &answer.available), (&usd(0), &answer.posted));
                answers.push(told(answer));
            }
            assert_eq!(answers[0].0, expected, "{at:?}");
            assert!(
                answers.iter().all(|answer| *answer == answers[0]),
                "{answers:?}"
            );
        }
    }
    // Before the account was: there was none. What is yet to come is not guessed.
    let far = cluster.at(FAR);
    let place = |index| {
        At::Position(Position {
            index,
            ..last.position.unwrap()
        })
    };
    assert_eq!(
        code(far.balance(account, as_of(place(1))).await),
        "ACCOUNT_NOT_FOUND"
    );
    let yet = within(
        far,
        account,
        as_of(place(1 << 40)),
        Duration::from_millis(400),
    )
    .await;
    assert_eq!(code(yet), rejection::NOT_HERE_YET);
    let hour = 3_600_000_000_000;
    let future = Time {
        unix_nanos: nanos(last) + hour,
        ..Time::default()
    };
    assert_eq!(
        code(far.balance(account, as_of(At::Time(future))).await),
        "INVALID_ARGUMENT"
    );
    let nonsense = Time {
        hlc: "now".to_owned(),
        ..Time::default()
    };
    assert_eq!(
        code(far.balance(account, as_of(At::Time(nonsense))).await),
        "INVALID_ARGUMENT"
    );
    let elsewhere = Position {
        shard: 77,
        ..last.position.unwrap()
    };
    let elsewhere = as_of(At::Position(elsewhere));
    assert_eq!(
        code(far.balance(account, elsewhere).await),
        "INVALID_ARGUMENT"
    );
    cluster.shutdown().await;
}

async fn pay_in(session: &Session, account: &str, units: i64) {
    let request = DepositRequest {
        account_id: account.to_owned(),
        amount: usd(units),
        ..DepositRequest::default()
    };
    session.deposit(request).await.unwrap();
}

async fn seen(session: &Session, account: &str) -> i64 {
    let request = GetBalanceRequest {
        account_id: account.to_owned(),
        mode: None,
    };
    let balance = session.balance(request).await.unwrap().balance.unwrap();
    assert_eq!(balance.mode(), ModeUsed::Session);
    balance.posted.unwrap().minor_units
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_never_goes_back_over_nodes_regions_and_restarts() {
    // Far apart, so that copies lag behind what was just seen elsewhere.
    let mut cluster = Cluster::start_apart(&THREE_REGIONS, 120).await;
    let account = cluster.at(HOME).open(HOME, "a").await;
    let addresses: Vec<_> = cluster.nodes().iter().map(|n| n.address.clone()).collect();
    let clients: Vec<_> = addresses
        .iter()
        .map(|address| Client::new(vec![address.clone()], Options::new("t")).unwrap())
        .collect();
    // Another caller, so that there is something new to see at every moment.
    let (other, others) = (clients[1].session(), account.clone());
    let busy = tokio::spawn(async move {
        loop {
            pay_in(&other, &others, 1).await;
            sleep(Duration::from_millis(10)).await;
        }
    });
    let session = clients[1].session();
    let mut newest = 0;
    for round in 0..24 {
        // Home's node has the newest; the others follow in turn.
        for at in [1, 0, 1, 2] {
            let session = session.through(&clients[at]);
            let found = seen(&session, &account).await;
            assert!(
                found >= newest,
                "{found} after {newest}, round {round} at {at}"
            );
            newest = found;
        }
        let writer = session.through(&clients[round % 3]);
        pay_in(&writer, &account, 1_000).await;
        let found = seen(&session.through(&clients[(round + 1) % 3]), &account).await;
        assert!(
            found >= newest + 1_000,
            "{found} after {newest} and 1000, round {round}"
        );
        newest = found;
        if round % 8 == 4 {
            // A node that comes back is asked at once, and knows what it must wait for.
            let id = [1, 3][round / 8 % 2];
            cluster.stop(id).await;
            let all = Client::new(addresses.clone(), Options::new("t")).unwrap();
            let found = seen(&session.through(&all), &account).await;
            assert!(
                found >= newest,
                "{found} after {newest}, with node {id} away"
            );
            newest = found;
            cluster.restart(id).await;
        }
    }
    // Gone on with from its tokens, as another process would.
    let resumed = clients[2].resume(&session.tokens());
    assert!(
        session.tokens().len() <= 3,
        "answers' tokens stand for those before"
    );
    assert!(seen(&resumed, &account).await >= newest);
    busy.abort();
    cluster.shutdown().await;
}
