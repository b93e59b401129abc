//! Journals: debits and credits in several regions, all or none, whoever is asked and whoever leads.

use std::time::Duration;

use node::api::{
    atm::v1::{Balance, GetStatementRequest},
    teller::v1::{
        BatchCommand, BatchOutcome, CloseAccountRequest, FreezeAccountRequest, FreezeArriving,
        FreezeBlocks, FreezeType, GetJournalRequest, GetTransactionRequest, Journal, JournalLeg,
        JournalSide, JournalState, ListJournalsRequest, OpenAccountRequest, SubmitBatchRequest,
        SubmitGroupRequest, SubmitJournalRequest, TransactionKind, TransferRequest,
        TrialBalanceReply, TrialBalanceRequest, Wait, batch_command::Command,
        batch_outcome::Outcome, get_transaction_request::By, journal_leg::Party,
        list_journals_request::Of,
    },
    v1::{
        CommandContext, Money, ReadMode, Receipt, TransactionStatus,
        read_mode::{Local, Mode, Session},
    },
};
use tokio_stream::StreamExt as _;
use tonic::{Request, Status};

use crate::cluster::{Cluster, HOME_AND_ABROAD, Node, THREE_REGIONS, code, eventually, usd};

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

pub fn leg(party: Party, side: JournalSide, amount: Option<Money>) -> JournalLeg {
    JournalLeg {
        party: Some(party),
        side: side.into(),
        amount,
        ..Default::default()
    }
}

pub fn debit(account: &str, units: i64) -> JournalLeg {
    leg(
        Party::AccountId(account.to_owned()),
        JournalSide::Debit,
        usd(units),
    )
}

pub fn credit(account: &str, units: i64) -> JournalLeg {
    leg(
        Party::AccountId(account.to_owned()),
        JournalSide::Credit,
        usd(units),
    )
}

pub fn request(key: &str, legs: Vec<JournalLeg>) -> SubmitJournalRequest {
    SubmitJournalRequest {
        context: context(key),
        legs,
        ..Default::default()
    }
}

pub async fn submit(node: &Node, key: &str, legs: Vec<JournalLeg>) -> Result<Receipt, Status> {
    let reply = node.teller().submit_journal(request(key, legs)).await?;
    Ok(reply.into_inner().receipt.unwrap())
}

/// Answered when it is opened, and not only when it is decided.
pub async fn open(node: &Node, key: &str, legs: Vec<JournalLeg>) -> Receipt {
    let request = SubmitJournalRequest {
        wait: Wait::Accepted.into(),
        ..request(key, legs)
    };
    let reply = node.teller().submit_journal(request).await.unwrap();
    reply.into_inner().receipt.unwrap()
}

pub async fn show(node: &Node, id: &str) -> Result<Journal, Status> {
    let request = GetJournalRequest {
        journal_id: id.to_owned(),
    };
    let reply = node.teller().get_journal(request).await?;
    Ok(reply.into_inner().journal.unwrap())
}

async fn list(node: &Node, of: Of) -> Result<Vec<Journal>, Status> {
    let mut request = ListJournalsRequest {
        of: Some(of),
        page_size: 1,
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let reply = node.teller().list_journals(request.clone()).await?;
        let reply = reply.into_inner();
        all.extend(reply.journals);
        if reply.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = reply.next_page_token;
    }
}

pub async fn books(node: &Node) -> TrialBalanceReply {
    let request = TrialBalanceRequest::default();
    let books = node.teller().trial_balance(request).await.unwrap();
    let books = books.into_inner();
    assert!(books.balanced, "{books:?}");
    books
}

type Sum = Option<Money>;

/// What is posted, held, available, reserved, incoming and outgoing.
fn sums(balance: &Balance) -> (Sum, Sum, Sum, Sum, Sum, Sum) {
    let Balance {
        posted,
        held,
        available,
        reserved,
        incoming,
        outgoing,
        ..
    } = balance.clone();
    (posted, held, available, reserved, incoming, outgoing)
}

async fn held(node: &Node, account: &str) -> Option<Money> {
    node.strong(account).await.unwrap().held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_booked_in_all_regions_and_found_from_any() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (near, home, far) = (cluster.node(1), cluster.node(2), cluster.node(3));
    let payer = home.open("eu-west", "payer").await;
    let one = near.open("ap-south", "one").await;
    let two = far.open("us-east", "two").await;
    home.deposit("d", &payer, 100).await.unwrap();
    near.deposit("d", &one, 10).await.unwrap();
    let fee = JournalLeg {
        region: "us-east".to_owned(),
        ..leg(
            Party::HouseAccount("fees".to_owned()),
            JournalSide::Credit,
            usd(5),
        )
    };
    let legs = || {
        vec![
            debit(&payer, 90),
            debit(&one, 10),
            credit(&two, 95),
            fee.clone(),
        ]
    };
    // Asked where neither its coordinator nor its first account is.
    let receipt = submit(far, "j", legs()).await.unwrap();
    assert_eq!(receipt.status(), TransactionStatus::Settled);
    assert_eq!(receipt.balances_after[0].posted, usd(10));
    home.settles_at(&payer, 10).await;
    near.settles_at(&one, 0).await;
    far.settles_at(&two, 95).await;
    let again = submit(near, "j", legs()).await.unwrap();
    assert!(again.duplicate && again.status() == TransactionStatus::Settled);
    assert_eq!(again.transaction_id, receipt.transaction_id);
    let mut other = legs();
    other[0] = debit(&payer, 80);
    other[2] = credit(&two, 85);
    assert_eq!(code(submit(home, "j", other).await), "KEY_CONFLICT");

    for node in [near, home, far] {
        let told = show(node, &receipt.transaction_id).await.unwrap();
        assert_eq!(told.state(), JournalState::Posted);
        assert_eq!((told.coordinator, told.legs.len()), (2, 4));
        let shards: Vec<_> = told.legs.iter().map(|leg| leg.shard).collect();
        assert_eq!(shards, [2, 1, 3, 3]);
        assert!(
            list(node, Of::Region("eu-west".to_owned()))
                .await
                .unwrap()
                .is_empty()
        );
    }
    let by = Some(By::TransactionId(receipt.transaction_id.clone()));
    let reply = far
        .teller()
        .get_transaction(GetTransactionRequest { by })
        .await;
    let told = reply.unwrap().into_inner();
    assert_eq!(told.kind(), TransactionKind::Journal);
    assert_eq!(told.receipt.unwrap().status(), TransactionStatus::Settled);

    // The statement names the other side, wherever that is.
    let tokens = vec![
        far.strong(&two)
            .await
            .map(|_| receipt.token.clone())
            .unwrap(),
    ];
    let mode = Some(Mode::Session(Session { tokens }));
    let request = GetStatementRequest {
        account_id: payer.clone(),
        mode: Some(ReadMode { mode }),
        ..Default::default()
    };
    let lines = home.atm().get_statement(request).await.unwrap();
    let line = lines
        .into_inner()
        .lines
        .into_iter()
        .find(|line| line.kind == "journal");
    let line = line.unwrap();
    assert_eq!((line.counterparty, line.amount), (two.clone(), usd(-90)));

    let rows = books(home).await.rows;
    let between: Vec<_> = rows
        .iter()
        .filter(|row| row.account.starts_with("clearing:"))
        .map(|row| row.credit_minor_units - row.debit_minor_units)
        .collect();
    assert_eq!(between.len(), 4);
    assert_eq!(between.iter().sum::<i64>(), 0, "{rows:?}");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_one_shard_refuses_leaves_nothing_anywhere() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (near, home, far) = (cluster.node(1), cluster.node(2), cluster.node(3));
    let payer = home.open("eu-west", "payer").await;
    let one = near.open("ap-south", "one").await;
    let two = far.open("us-east", "two").await;
    home.deposit("d", &payer, 100).await.unwrap();
    far.deposit("d", &two, 9).await.unwrap();
    let legs = || vec![debit(&payer, 50), debit(&two, 10), credit(&one, 60)];
    let receipt = submit(near, "j", legs()).await.unwrap();
    assert_eq!(receipt.status(), TransactionStatus::Returned);
    assert_eq!(receipt.rejection.unwrap().code, "INSUFFICIENT_FUNDS");
    assert_eq!(receipt.balances_after[0].available, usd(100));
    let told = show(far, &receipt.transaction_id).await.unwrap();
    assert_eq!(told.state(), JournalState::Cancelled);
    assert_eq!((told.refused_by, told.refused_leg), (3, 2));
    assert_eq!(told.rejection.unwrap().code, "INSUFFICIENT_FUNDS");
    let again = submit(home, "j", legs()).await.unwrap();
    assert!(again.duplicate && again.status() == TransactionStatus::Returned);
    for (node, account, units) in [(home, &payer, 100), (far, &two, 9), (near, &one, 0)] {
        eventually("nothing is set aside", async || {
            held(node, account).await == usd(0)
        })
        .await;
        node.settles_at(account, units).await;
    }

    // What its coordinator can tell is refused at once, and so is what is no journal at all.
    let poor = submit(home, "p", vec![debit(&payer, 101), credit(&one, 101)]).await;
    assert_eq!(code(poor), "INSUFFICIENT_FUNDS");
    let odd = submit(home, "o", vec![debit(&payer, 2), credit(&one, 1)]).await;
    assert_eq!(code(odd), "INVALID_ARGUMENT");
    let twice = vec![debit(&payer, 1), debit(&payer, 1), credit(&one, 2)];
    assert_eq!(code(submit(home, "t", twice).await), "INVALID_ARGUMENT");
    let suspense = leg(
        Party::HouseAccount("suspense".to_owned()),
        JournalSide::Credit,
        usd(1),
    );
    let kept = submit(home, "s", vec![debit(&payer, 1), suspense]).await;
    assert_eq!(code(kept), "INVALID_ARGUMENT");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_journal_shows_as_held_and_keeps_its_accounts_until_all_can_be_reached() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (near, home, far) = (cluster.node(1), cluster.node(2), cluster.node(3));
    let payer = home.open("eu-west", "payer").await;
    let one = near.open("ap-south", "one").await;
    let two = far.open("us-east", "two").await;
    home.deposit("d", &payer, 100).await.unwrap();
    cluster.cut("ap-south");
    let legs = vec![debit(&payer, 60), credit(&two, 50), credit(&one, 10)];
    let id = open(home, "j", legs.clone()).await.transaction_id;
    let of = |account: &str| Of::AccountId(account.to_owned());
    eventually("the other shard has set its leg aside", async || {
        list(far, of(&two)).await.is_ok_and(|all| all.len() == 1)
    })
    .await;
    eventually("its coordinator knows", async || {
        show(home, &id).await.is_ok_and(|it| it.waiting_for == [1])
    })
    .await;
    let sent = TransferRequest {
        context: context("t"),
        from_account_id: payer.clone(),
        to_account_id: one.clone(),
        amount: usd(7),
        wait: Wait::Accepted.into(),
    };
    home.teller().transfer(sent).await.unwrap();
    let of_payer = (usd(93), usd(60), usd(33), usd(60), usd(0), usd(7));
    let of_two = (usd(0), usd(0), usd(0), usd(0), usd(50), usd(0));
    assert_eq!(sums(&home.strong(&payer).await.unwrap()), of_payer);
    assert_eq!(sums(&far.strong(&two).await.unwrap()), of_two);
    eventually("another region knows of all of it", async || {
        let local = |account| far.balance(account, Mode::Local(Local {}));
        let (payer, two) = (local(&payer).await.unwrap(), local(&two).await.unwrap());
        (sums(&payer), sums(&two)) == (of_payer.clone(), of_two.clone())
    })
    .await;
    let [listed] = &list(far, of(&two)).await.unwrap()[..] else {
        panic!("one journal is open");
    };
    assert_eq!(
        (&listed.journal_id, listed.state()),
        (&id, JournalState::Pending)
    );
    assert_eq!((&listed.waiting_for[..], listed.legs.len()), (&[2][..], 1));
    let [listed] = &list(home, Of::Region("eu-west".to_owned())).await.unwrap()[..] else {
        panic!("one journal is open");
    };
    assert_eq!(
        (&listed.journal_id, &listed.waiting_for[..]),
        (&id, &[1][..])
    );

    // A caller with little time is told that it is open.
    let mut request = Request::new(request("j", legs));
    request.set_timeout(Duration::from_secs(1));
    let reply = home.teller().submit_journal(request).await.unwrap();
    let receipt = reply.into_inner().receipt.unwrap();
    assert_eq!(receipt.status(), TransactionStatus::Unknown);
    assert_eq!(receipt.transaction_id, id);

    let close = |account: &str| CloseAccountRequest {
        context: context("close"),
        account_id: account.to_owned(),
        ..Default::default()
    };
    let closed = far.teller().close_account(close(&two)).await;
    assert_eq!(code(closed), "JOURNALS_OPEN");
    let closed = home.teller().close_account(close(&payer)).await;
    assert_eq!(code(closed), "TRANSFERS_UNDER_WAY");
    let freeze = FreezeAccountRequest {
        context: context("freeze"),
        account_id: two.clone(),
        r#type: FreezeType::Fraud.into(),
        blocks: FreezeBlocks::Credits.into(),
        arriving: FreezeArriving::Returns.into(),
        until_unix_ms: 0,
    };
    let frozen = far.teller().freeze_account(freeze).await;
    assert_eq!(code(frozen), "JOURNALS_OPEN");
    assert_eq!(
        code(home.withdraw("w", &payer, 34).await),
        "INSUFFICIENT_FUNDS"
    );

    cluster.heal("ap-south");
    home.settles_at(&payer, 33).await;
    far.settles_at(&two, 50).await;
    near.settles_at(&one, 17).await;
    eventually(
        "the payer's region knows that all has arrived",
        async || {
            let left = (usd(33), usd(0), usd(33), usd(0), usd(0), usd(0));
            sums(&home.strong(&payer).await.unwrap()) == left
        },
    )
    .await;
    let left = sums(&far.strong(&two).await.unwrap());
    assert_eq!(left, (usd(50), usd(0), usd(50), usd(0), usd(0), usd(0)));
    assert_eq!(show(far, &id).await.unwrap().state(), JournalState::Posted);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_goes_on_under_another_leader() {
    let mut cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let (payer, payee) = {
        let home = cluster.node(1);
        let payer = home.open("eu-west", "payer").await;
        home.deposit("d", &payer, 100).await.unwrap();
        (payer, cluster.node(4).open("us-east", "payee").await)
    };
    cluster.cut("us-east");
    let legs = || vec![debit(&payer, 60), credit(&payee, 60)];
    let receipt = open(cluster.node(1), "j", legs()).await;
    let id = receipt.transaction_id;
    let request = GetJournalRequest {
        journal_id: id.clone(),
    };
    let served = cluster.node(1).teller().get_journal(request).await.unwrap();
    let served = served.into_inner().served_by.unwrap().node;
    let leader = cluster.nodes().iter().find(|node| node.name == served);
    let leader = leader.expect("a node of the cluster").id;
    cluster.stop(leader).await;
    let left = cluster.node(if leader == 1 { 2 } else { 1 });
    eventually("another one leads", async || {
        left.strong(&payer).await.is_ok()
    })
    .await;
    assert_eq!(held(left, &payer).await, usd(60));
    assert_eq!(
        show(left, &id).await.unwrap().state(),
        JournalState::Pending
    );
    cluster.heal("us-east");
    left.settles_at(&payer, 40).await;
    cluster.node(4).settles_at(&payee, 60).await;
    let again = submit(left, "j", legs()).await.unwrap();
    assert!(again.duplicate && again.status() == TransactionStatus::Settled);
    assert_eq!(again.transaction_id, id);
    let away = leader;
    cluster.restart(away).await;
    cluster.node(away).settles_at(&payer, 40).await;
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_goes_through_the_banks_positions() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, far) = (cluster.node(2), cluster.node(3));
    let giver = home.open("eu-west", "giver").await;
    let opening = OpenAccountRequest {
        context: context("getter"),
        home_region: "us-east".to_owned(),
        currency: "EUR".to_owned(),
        ..Default::default()
    };
    let getter = far.teller().open_account(opening).await.unwrap();
    let getter = getter.into_inner().account_id;
    home.deposit("d", &giver, 200).await.unwrap();
    let eur = |minor_units| {
        let currency = "EUR".to_owned();
        Some(Money {
            minor_units,
            currency,
        })
    };
    let position = || Party::HouseAccount("fx-position".to_owned());
    let request = SubmitJournalRequest {
        rate: "0.9237".to_owned(),
        ..request(
            "x",
            vec![
                debit(&giver, 108),
                leg(position(), JournalSide::Credit, usd(108)),
                leg(position(), JournalSide::Debit, eur(100)),
                leg(
                    Party::AccountId(getter.clone()),
                    JournalSide::Credit,
                    eur(100),
                ),
            ],
        )
    };
    let reply = far.teller().submit_journal(request).await.unwrap();
    let receipt = reply.into_inner().receipt.unwrap();
    assert_eq!(receipt.status(), TransactionStatus::Settled);
    eventually("it has arrived", async || {
        far.strong(&getter).await.unwrap().posted == eur(100)
    })
    .await;
    let told = show(home, &receipt.transaction_id).await.unwrap();
    assert_eq!(
        (told.rate.as_str(), told.state()),
        ("0.9237", JournalState::Posted)
    );
    let rows = books(home).await.rows;
    let rows = rows.iter().filter(|row| row.account == "fx-position");
    let mut positions: Vec<_> = rows
        .map(|row| {
            let units = row.credit_minor_units - row.debit_minor_units;
            (row.shard, row.currency.as_str(), units)
        })
        .collect();
    positions.sort_unstable();
    assert_eq!(positions, [(2, "EUR", -100), (2, "USD", 108)]);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_a_command_of_a_batch_and_a_stream_and_none_of_a_group() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (near, home) = (cluster.node(1), cluster.node(2));
    let payer = home.open("eu-west", "payer").await;
    let payee = near.open("ap-south", "payee").await;
    home.deposit("d", &payer, 100).await.unwrap();
    let journal = |key: &str, units| {
        let legs = vec![debit(&payer, units), credit(&payee, units)];
        BatchCommand::from(Command::SubmitJournal(request(key, legs)))
    };
    let batch = SubmitBatchRequest {
        commands: vec![journal("j1", 30), journal("j2", 200)],
    };
    let outcomes = near.teller().submit_batch(batch).await.unwrap();
    let outcomes = outcomes.into_inner().outcomes;
    match &outcomes[..] {
        [
            BatchOutcome {
                outcome: Some(Outcome::Receipt(done)),
                ..
            },
            BatchOutcome {
                outcome: Some(Outcome::Rejection(refused)),
                ..
            },
        ] => {
            assert_eq!(done.status(), TransactionStatus::Settled);
            assert_eq!(refused.code, "INSUFFICIENT_FUNDS");
        }
        other => panic!("{other:?}"),
    }
    // Of a stream the second waits for the first: they name the same accounts.
    let stream = tokio_stream::iter([journal("j3", 60), journal("j4", 20)]);
    let replies = home.teller().submit_stream(stream).await.unwrap();
    let replies: Vec<_> = replies.into_inner().collect().await;
    let codes =
        replies.into_iter().map(
            |reply| match reply.unwrap().outcome.unwrap().outcome.unwrap() {
                Outcome::Receipt(receipt) => format!("{:?}", receipt.status()),
                Outcome::Rejection(refused) => refused.code,
                Outcome::Group(_) => panic!("a group, where none was sent"),
            },
        );
    assert_eq!(codes.collect::<Vec<_>>(), ["Settled", "INSUFFICIENT_FUNDS"]);
    near.settles_at(&payee, 90).await;
    let group = SubmitGroupRequest {
        context: context("g"),
        commands: vec![journal("", 1)],
    };
    assert_eq!(
        code(home.teller().submit_group(group).await),
        "INVALID_ARGUMENT"
    );
    cluster.stop_and_verify().await;
}
