//! A leader is killed while money moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{
    Cluster, Error, Screen, call, dollars, holds, minor_units, read, receipt, usd, watch::Watch,
};
use crate::{
    api::{
        teller::v1::{DepositRequest, OpenAccountRequest, TransferRequest},
        v1::read_mode::{Mode, Strong},
    },
    client::Client,
};

const REGION: &str = "eu-west";
/// How many tellers transfer at a time, each the next when the last is answered.
const TELLERS: usize = 8;
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(4);
/// The longest pause that is still taken for a failover. Not a promise of speed.
const CEILING: Duration = Duration::from_secs(10);
const FUNDS: i64 = 100_000_000;
const HOW_LONG_A_RETURN_MAY_TAKE: Duration = Duration::from_secs(60);

/// When transfers were acknowledged.
#[derive(Default)]
struct Tally {
    sent: AtomicI64,
    acknowledged: Mutex<Vec<Instant>>,
}

pub(super) async fn of_a_leader(cluster: &mut Cluster, screen: &mut Screen) -> Result<(), Error> {
    screen.act(&format!("7. A leader in {REGION} dies while money moves"));
    let client = cluster.client_near(REGION)?;
    let (shard, payer, payee) = two_of_one_shard(&client).await?;
    let deposit = DepositRequest {
        account_id: payer.clone(),
        amount: Some(usd(FUNDS)),
        ..Default::default()
    };
    call("deposit", client.deposit(deposit).await)?;

    let leader = leader(cluster, shard).await?;
    let watch = Watch::begin(&client, &payee).await?;
    let tally = Arc::new(Tally::default());
    let stop = Arc::new(AtomicBool::new(false));
    let tellers = (0..TELLERS).map(|_| {
        let (tally, stop) = (tally.clone(), stop.clone());
        let (payer, payee) = (payer.clone(), payee.clone());
        let client = cluster.client_near(REGION);
        tokio::spawn(async move { teller(client?, &payer, &payee, &tally, &stop).await })
    });
    let tellers: Vec<_> = tellers.collect();
    sleep(BEFORE).await;
    let before = tally.acknowledged.lock().await.len();
    let killed_at = Instant::now();
    cluster.kill(&leader).await?;
    sleep(AFTER).await;
    stop.store(true, Ordering::Relaxed);
    for teller in join_all(tellers).await {
        teller.map_err(|e| Error::Broken(e.to_string()))??;
    }
    let acknowledged = tally.acknowledged.lock().await.clone();
    let pause = longest_pause(&acknowledged, killed_at);
    let count = acknowledged.len() as i64;
    let sent = tally.sent.load(Ordering::Relaxed);
    let successor = self::leader(cluster, shard).await?;
    screen.say(&format!(
        "  {TELLERS} tellers transfer one dollar at a time, shard {shard}, leader {leader}: {} a second.",
        before as u64 / BEFORE.as_secs(),
    ));
    screen.say(&format!(
        "  kill -9 {leader}. {successor} takes over; writes pause for {} ms.",
        pause.as_millis()
    ));

    let strong = Mode::Strong(Strong {});
    let payer_has = minor_units(&call(
        "balance",
        read(&client, &payer, strong.clone()).await,
    )?);
    let payee_has = minor_units(&call("balance", read(&client, &payee, strong).await)?);
    screen.say(&format!(
        "  {sent} transfers sent, {count} acknowledged: the payee has {}, the payer {} less.\n\
         \x20 None lost, none doubled, though calls were cut short and asked again.",
        dollars(payee_has),
        dollars(FUNDS - payer_has),
    ));
    let told = watch.end(payee_has).await?;
    screen.say(&format!(
        "  Whoever watched the payee's account meanwhile was told of {told} credits: each once, in order."
    ));
    cluster.start(&leader)?;
    let restarted = Instant::now();
    caught_up(cluster, &leader).await?;
    screen.say(&format!(
        "  {leader} is started again and has caught up after {:.1} s.",
        restarted.elapsed().as_secs_f64()
    ));
    holds(successor != leader, || {
        format!("another node leads than {leader}")
    })?;
    holds(before > 0, || {
        "transfers run before the leader dies".to_owned()
    })?;
    holds(
        payee_has == count * 100 && payer_has == FUNDS - payee_has,
        || {
            format!(
                "{count} acknowledged transfers, but the payee has {payee_has} cents and the payer {payer_has}"
            )
        },
    )?;
    holds(told as i64 == count, || {
        format!("{count} credits were acknowledged, and {told} were told")
    })?;
    holds(count == sent, || {
        format!("{sent} transfers were sent and each came to an answer, but {count}")
    })?;
    holds(pause < CEILING, || format!("writes paused for {pause:?}"))
}

/// Transfers one dollar after the other until told to stop; each is repeated under its key until
/// it is answered.
async fn teller(
    client: Client,
    payer: &str,
    payee: &str,
    tally: &Tally,
    stop: &AtomicBool,
) -> Result<(), Error> {
    while !stop.load(Ordering::Relaxed) {
        let request = TransferRequest {
            context: Some(client.context()),
            from_account_id: payer.to_owned(),
            to_account_id: payee.to_owned(),
            amount: Some(usd(100)),
            ..Default::default()
        };
        tally.sent.fetch_add(1, Ordering::Relaxed);
        loop {
            match client.transfer(request.clone()).await {
                Ok(_) => break,
                Err(error) if error.retryable() => {}
                Err(cause) => {
                    return Err(Error::Call {
                        what: "transfer",
                        cause,
                    });
                }
            }
        }
        tally.acknowledged.lock().await.push(Instant::now());
    }
    Ok(())
}

/// The longest time without an acknowledgement, from just before the kill on.
fn longest_pause(acknowledged: &[Instant], killed_at: Instant) -> Duration {
    let around = acknowledged
        .windows(2)
        .filter(|pair| pair[1] >= killed_at)
        .map(|pair| pair[1] - pair[0]);
    around.max().unwrap_or(Duration::MAX)
}

/// Two new accounts of one shard, and that shard.
async fn two_of_one_shard(client: &Client) -> Result<(u32, String, String), Error> {
    let mut first = std::collections::BTreeMap::new();
    loop {
        let request = OpenAccountRequest {
            home_region: REGION.to_owned(),
            currency: "USD".to_owned(),
            ..Default::default()
        };
        let reply = call("open account", client.open_account(request).await)?;
        let shard = receipt(reply.receipt)?.position.unwrap_or_default().shard;
        if let Some(other) = first.insert(shard, reply.account_id.clone()) {
            return Ok((shard, other, reply.account_id));
        }
    }
}

/// Who leads a shard, as the nodes of its region tell.
async fn leader(cluster: &Cluster, shard: u32) -> Result<String, Error> {
    let client = cluster.client_near(REGION)?;
    let status = call("status", client.status().await)?;
    let found = status.shards.iter().find(|s| s.number == shard);
    let leader = found
        .map(|s| s.leader.clone())
        .filter(|name| !name.is_empty());
    leader.ok_or_else(|| Error::Broken(format!("shard {shard} has a leader")))
}

/// Waits until a node reads all shards about as freshly as its neighbours.
async fn caught_up(cluster: &Cluster, name: &str) -> Result<(), Error> {
    let deadline = Instant::now() + HOW_LONG_A_RETURN_MAY_TAKE;
    while Instant::now() < deadline {
        let asked = tokio::time::timeout(Duration::from_secs(2), cluster.status(name)).await;
        if let Ok(Ok(status)) = asked
            && status.nodes.iter().all(|node| node.reachable)
            && status.shards.iter().all(|shard| !shard.leader.is_empty())
        {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(Error::NotReady(format!("{name} did not come back")))
}
