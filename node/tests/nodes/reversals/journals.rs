//! Reversals of journals and exchanges.

use node::api::{
    teller::v1::{
        DepositRequest, Journal, JournalSide, JournalState, OpenAccountRequest, SubmitGroupRequest,
        SubmitJournalRequest, Wait, journal_leg::Party,
    },
    v1::{Money, TransactionStatus},
};

use super::*;
use crate::journals::{self, credit, debit, leg};

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

async fn journal(node: &Node, receipt: &Receipt) -> Journal {
    journals::show(node, &receipt.transaction_id).await.unwrap()
}

/// Accounts of three regions with so much on each, the middle one at home.
async fn three(cluster: &Cluster, units: i64) -> [String; 3] {
    let mut accounts = Vec::new();
    for (node, region) in (1..).zip(THREE_REGIONS) {
        let node = cluster.node(node);
        let account = node.open(region.name, "a").await;
        node.deposit("d", &account, units).await.unwrap();
        accounts.push(account);
    }
    accounts.try_into().unwrap()
}

async fn settle_at(cluster: &Cluster, accounts: &[String; 3], units: [i64; 3]) {
    for ((node, account), units) in (1..).zip(accounts).zip(units) {
        cluster.node(node).settles_at(account, units).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_over_three_regions_is_reversed_whole_and_once() {
    let cluster = cluster().await;
    let [near, home, far] = [1, 2, 3].map(|node| cluster.node(node));
    let accounts = three(&cluster, 100).await;
    let [one, payer, two] = &accounts;
    let fee = leg(
        Party::HouseAccount("fees".to_owned()),
        JournalSide::Credit,
        usd(5),
    );
    let legs = vec![debit(payer, 90), debit(one, 10), credit(two, 95), fee];
    let original = journals::submit(far, "j", legs).await.unwrap();
    settle_at(&cluster, &accounts, [90, 10, 195]).await;

    let part = refused(reverse(home, "part", payer, &original, Some(90)).await);
    assert_eq!(part.code, "INVALID_ARGUMENT");
    assert!(part.message.contains("whole"), "{}", part.message);
    let others = refused(reverse(home, "others", two, &original, None).await);
    assert_eq!(others.code, "INVALID_ARGUMENT");
    let group = SubmitGroupRequest {
        context: context("g"),
        commands: vec![
            BatchCommand::from(Command::Reverse(request("", payer, &original, None)));
            2
        ],
    };
    let in_group = home.teller().submit_group(group).await;
    assert_eq!(code(in_group), "GROUP_ACROSS_SHARDS");

    let reversal = reverse(near, "r", payer, &original, None).await.unwrap();
    assert_eq!(reversal.status(), TransactionStatus::Settled);
    let again = reverse(far, "r", payer, &original, None).await.unwrap();
    assert_eq!(again.transaction_id, reversal.transaction_id);
    settle_at(&cluster, &accounts, [100, 100, 100]).await;
    let twice = reverse(far, "r2", payer, &original, None).await;
    assert_eq!(code(twice), "REVERSAL_EXCEEDED");
    let of_reversal = reverse(home, "r3", payer, &reversal, None).await;
    assert_eq!(code(of_reversal), "NOT_REVERSIBLE");

    for node in [near, home, far] {
        let told = shown(node, &original).await;
        assert_eq!(told.reversed, usd(90));
        let [by] = &told.reversals[..] else {
            panic!("{:?}", told.reversals);
        };
        assert_eq!(
            (&by.transaction_id, &by.amount, by.pending),
            (&reversal.transaction_id, &usd(90), false)
        );
        assert_eq!(journal(node, &original).await.reversals, told.reversals);
        let told = shown(node, &reversal).await;
        assert_eq!(told.kind(), TransactionKind::Reverse);
        assert_eq!(told.reverses, original.transaction_id);
        assert_eq!((told.counterparty.as_str(), told.amount), ("", None));
        let opposite = journal(node, &reversal).await;
        assert_eq!(opposite.reverses, original.transaction_id);
        assert_eq!(opposite.state(), JournalState::Posted);
        let sides: Vec<_> = opposite.legs.iter().map(|leg| leg.side()).collect();
        let (debit, credit) = (JournalSide::Debit, JournalSide::Credit);
        assert_eq!(sides, [credit, credit, debit, debit]);
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_any_more_is_taken_back_from_a_journal_only_by_force() {
    let cluster = cluster().await;
    let (home, far) = (cluster.node(2), cluster.node(3));
    let accounts = three(&cluster, 100).await;
    let [one, payer, two] = &accounts;
    let legs = vec![debit(payer, 90), credit(one, 30), credit(two, 60)];
    let original = journals::submit(home, "j", legs).await.unwrap();
    settle_at(&cluster, &accounts, [130, 10, 160]).await;
    far.withdraw("w", two, 160).await.unwrap();

    let spent = reverse(home, "r1", payer, &original, None).await.unwrap();
    assert_eq!(spent.status(), TransactionStatus::Returned);
    assert_eq!(spent.rejection.unwrap().code, "INSUFFICIENT_FUNDS");
    settle_at(&cluster, &accounts, [130, 10, 0]).await;
    let told = shown(far, &original).await;
    assert_eq!((told.reversed, told.reversals.len()), (None, 0));
    // Its key has its answer; under another it can be asked for again.
    let spent = reverse(home, "r1", payer, &original, None).await.unwrap();
    assert_eq!(spent.status(), TransactionStatus::Returned);
    let forced = request("r2", payer, &original, None);
    let teller = force(home, "teller", forced.clone()).await;
    assert_eq!(code(teller), "NOT_PRIVILEGED");
    let forced = force(far, AUDITOR, forced).await.unwrap();
    assert_eq!(forced.status(), TransactionStatus::Settled);
    settle_at(&cluster, &accounts, [100, 100, -60]).await;
    assert!(shown(home, &forced).await.privileged);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_journal_is_reversed_once_it_is_posted_and_a_cancelled_one_never() {
    let cluster = cluster().await;
    let (near, home) = (cluster.node(1), cluster.node(2));
    let accounts = three(&cluster, 100).await;
    let [one, payer, two] = &accounts;
    let early = vec![debit(payer, 5), credit(one, 5)];
    let early = journals::submit(home, "early", early).await.unwrap();
    let too_much = vec![debit(one, 9_000), credit(payer, 9_000)];
    let cancelled = journals::submit(near, "cancelled", too_much).await;
    assert_eq!(code(cancelled), "INSUFFICIENT_FUNDS");
    let too_much = vec![credit(payer, 9_000), debit(one, 9_000)];
    let cancelled = journals::submit(home, "c", too_much).await.unwrap();
    assert_eq!(cancelled.status(), TransactionStatus::Returned);
    let none = reverse(home, "r1", payer, &cancelled, None).await;
    assert_eq!(code(none), "NOT_REVERSIBLE");

    cluster.cut("ap-south");
    let legs = vec![debit(payer, 40), credit(one, 30), credit(two, 10)];
    let open = journals::open(home, "j", legs).await;
    let mut hasty = Request::new(request("r2", payer, &open, None));
    hasty.set_timeout(Duration::from_secs(1));
    let hasty = refused(home.teller().reverse(hasty).await);
    assert_eq!(hasty.code, "TRANSFER_UNDER_WAY");
    assert!(hasty.retryable && hasty.message.contains("journal"));
    // A reversal counts while it waits for another shard.
    let waiting = ReverseRequest {
        wait: Wait::Accepted.into(),
        ..request("r3", payer, &early, None)
    };
    let waiting = home.teller().reverse(waiting).await.unwrap().into_inner();
    assert_eq!(
        waiting.receipt.unwrap().status(),
        TransactionStatus::Accepted
    );
    let told = shown(home, &early).await;
    assert_eq!(told.reversed, usd(5));
    assert!(told.reversals[0].pending);
    let twice = reverse(home, "r4", payer, &early, None).await;
    assert_eq!(code(twice), "REVERSAL_EXCEEDED");

    cluster.heal("ap-south");
    let reversal = reverse(home, "r2", payer, &open, None).await.unwrap();
    assert_eq!(reversal.status(), TransactionStatus::Settled);
    settle_at(&cluster, &accounts, [100, 100, 100]).await;
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reversed_exchange_leaves_no_position_and_that_of_one_shard_may_be_in_a_group() {
    let cluster = cluster().await;
    let (home, far) = (cluster.node(2), cluster.node(3));
    let giver = home.open("eu-west", "giver").await;
    home.deposit("d", &giver, 200).await.unwrap();
    let eur = |minor_units| {
        let currency = "EUR".to_owned();
        Some(Money {
            minor_units,
            currency,
        })
    };
    for (region, is_between) in [("us-east", true), ("eu-west", false)] {
        let opening = OpenAccountRequest {
            context: context(region),
            home_region: region.to_owned(),
            currency: "EUR".to_owned(),
            ..Default::default()
        };
        let getter = home.teller().open_account(opening).await.unwrap();
        let getter = getter.into_inner().account_id;
        let position = || Party::HouseAccount("fx-position".to_owned());
        let legs = vec![
            debit(&giver, 108),
            leg(position(), JournalSide::Credit, usd(108)),
            leg(position(), JournalSide::Debit, eur(100)),
            leg(
                Party::AccountId(getter.clone()),
                JournalSide::Credit,
                eur(100),
            ),
        ];
        let exchange = SubmitJournalRequest {
            rate: "0.9237".to_owned(),
            ..journals::request(&format!("x {region}"), legs)
        };
        let exchanged = far.teller().submit_journal(exchange).await.unwrap();
        let exchanged = exchanged.into_inner().receipt.unwrap();
        home.settles_at(&giver, 92).await;
        let reversal = match is_between {
            true => {
                let far = reverse(far, "r", &giver, &exchanged, None).await.unwrap();
                assert_eq!(far.status(), TransactionStatus::Settled);
                far.transaction_id
            }
            false => {
                let fee = DepositRequest {
                    account_id: giver.clone(),
                    amount: usd(1),
                    ..Default::default()
                };
                let back = request("", &giver, &exchanged, None);
                let group = SubmitGroupRequest {
                    context: context("g"),
                    commands: [Command::Reverse(back), Command::Deposit(fee)]
                        .map(BatchCommand::from)
                        .into(),
                };
                let done = far.teller().submit_group(group).await.unwrap();
                let done = done.into_inner().receipts;
                done[0].transaction_id.clone()
            }
        };
        home.settles_at(&giver, if is_between { 200 } else { 201 })
            .await;
        let told = journals::show(home, &reversal).await.unwrap();
        assert_eq!(told.state(), JournalState::Posted);
        assert_eq!(told.rate, "0.9237");
        assert_eq!(told.reverses, exchanged.transaction_id);
        assert_eq!(shown(far, &exchanged).await.reversed, usd(108));
        eventually("the other side is back", async || {
            far.strong(&getter).await.unwrap().posted == eur(0)
        })
        .await;
        let rows = journals::books(home).await.rows;
        let rows = rows.iter().filter(|row| row.account == "fx-position");
        assert!(
            rows.clone()
                .all(|row| row.credit_minor_units == row.debit_minor_units),
            "{rows:?}"
        );
    }
    cluster.stop_and_verify().await;
}
