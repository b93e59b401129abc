//! Connections between nodes when one of them falls silent, goes away and comes back.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use replication::{
    peer::{self, PeerOptions, Peers},
    proto::{Ballot, VoteRequest, raft_client::RaftClient},
    raft::{Groups, RaftService},
    world::{Connecting, Connection, Listening, Network, TcpNetwork},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(30);
const PEER: u64 = 2;

/// Nobody's connections.
fn nobody(options: &PeerOptions) -> Peers {
    Peers::new(Arc::new(TcpNetwork), Arc::new(|_| None), options.clone())
}

/// A node without any shard: it says so to whoever asks for one.
struct Node {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Node {
    async fn start(address: &str) -> Self {
        let options = PeerOptions::brisk();
        let service =
            RaftService::server(Groups::default(), Arc::new(|_| Ok(())), &nobody(&options));
        let router = peer::server(&options).add_service(service);
        let incoming = TcpNetwork.listen(address).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let grace = Duration::from_millis(100);
        let serving = tokio::spawn(async move {
            peer::serve(router, incoming, stopped, grace).await.unwrap();
        });
        Self { stop, serving }
    }

    async fn stop(self) {
        drop(self.stop);
        timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

/// TCP whose connections can be made to swallow everything without ever closing.
struct Swallowing {
    silent: watch::Receiver<bool>,
    dialed: Arc<AtomicUsize>,
}

impl Network for Swallowing {
    fn listen(&self, address: &str) -> Listening {
        TcpNetwork.listen(address)
    }

    fn connect(&self, address: &str) -> Connecting {
        self.dialed.fetch_add(1, Ordering::Relaxed);
        let (connecting, silent) = (TcpNetwork.connect(address), self.silent.clone());
        Box::pin(async move {
            let (near, inner) = tokio::io::duplex(1 << 16);
            let (near_reads, near_writes) = tokio::io::split(inner);
            let (far_reads, far_writes) = tokio::io::split(connecting.await?);
            tokio::spawn(carry(near_reads, far_writes, silent.clone()));
            tokio::spawn(carry(far_reads, near_writes, silent));
            Ok(Box::new(near) as Box<dyn Connection>)
        })
    }
}

async fn fallen(silent: &mut watch::Receiver<bool>) {
    if silent.wait_for(|silent| *silent).await.is_err() {
        std::future::pending().await
    }
}

/// Carries bytes for as long as the network is not silent; then holds both ends open.
async fn carry(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut silent: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        tokio::select! {
            biased;
            () = fallen(&mut silent) => return std::future::pending().await,
            read = from.read(&mut buffer) => match read? {
                0 => return to.shutdown().await,
                n => to.write_all(&buffer[..n]).await?,
            },
        }
    }
}

struct Caller {
    peers: Peers,
    silence: watch::Sender<bool>,
    dialed: Arc<AtomicUsize>,
}

impl Caller {
    fn new(address: &str, options: PeerOptions) -> Self {
        let (silence, silent) = watch::channel(false);
        let dialed = Arc::new(AtomicUsize::new(0));
        let network = Swallowing {
            silent,
            dialed: dialed.clone(),
        };
        let known = address.to_owned();
        let addresses = Arc::new(move |node| (node == PEER).then(|| known.clone()));
        Self {
            peers: Peers::new(Arc::new(network), addresses, options),
            silence,
            dialed,
        }
    }

    /// A call as the product makes them: with a failed one the line is suspected.
    async fn call(&self) -> Status {
        let line = self.peers.line(PEER).unwrap();
        let ballot = Some(Ballot {
            epoch: 1,
            ..Default::default()
        });
        let request = VoteRequest {
            shard: 7,
            ballot,
            ..Default::default()
        };
        let answer = RaftClient::new(line.channel()).vote(request).await;
        let status = answer.expect_err("nobody has that shard");
        if status.code() != Code::NotFound {
            self.peers.suspect(&line);
        }
        status
    }
}

fn answered(status: &Status) -> bool {
    status.code() == Code::NotFound && status.message().contains("no replica of shard 7")
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn pings_find_a_peer_that_is_silent_while_a_call_waits_for_ever() {
    let address = free_address();
    let node = Node::start(&address).await;
    let options = PeerOptions::brisk();
    let found_within = options.ping_interval + options.ping_timeout;
    let caller = Caller::new(&address, options);
    assert!(answered(&caller.call().await));

    caller.silence.send_replace(true);
    let begun = Instant::now();
    // The call has no deadline of its own.
    let lost = timeout(PATIENCE, caller.call()).await.expect("it ends");
    assert!(!answered(&lost), "{lost}");
    let took = begun.elapsed();
    assert!(took < 4 * found_within, "found after {took:?}");

    caller.silence.send_replace(false);
    let again = timeout(PATIENCE, caller.call()).await.unwrap();
    assert!(answered(&again), "the line is dialed anew: {again}");
    assert_eq!(caller.dialed.load(Ordering::Relaxed), 2);
    node.stop().await;
}

#[tokio::test]
async fn pings_find_a_peer_that_is_silent_while_nothing_is_asked() {
    let address = free_address();
    let node = Node::start(&address).await;
    let options = PeerOptions::brisk();
    let found_within = options.ping_interval + options.ping_timeout;
    let caller = Caller::new(&address, options);
    assert!(answered(&caller.call().await));
    caller.silence.send_replace(true);
    sleep(4 * found_within).await;
    caller.silence.send_replace(false);
    // The old connection would never answer: the first call after the silence finds a new one.
    let first = timeout(Duration::from_secs(2), caller.call()).await;
    assert!(first.is_ok_and(|status| answered(&status)));
    node.stop().await;
}

#[tokio::test]
async fn a_peer_that_came_back_is_dialed_again() {
    let address = free_address();
    let node = Node::start(&address).await;
    let options = PeerOptions {
        connect_timeout: Duration::from_millis(200),
        ..PeerOptions::brisk()
    };
    let caller = Caller::new(&address, options);
    assert!(answered(&caller.call().await));
    node.stop().await;

    // While it is away every call fails, at once, and few of them dial.
    let away = Instant::now();
    let mut calls = 0;
    while away.elapsed() < Duration::from_secs(1) {
        let failed = timeout(Duration::from_secs(1), caller.call()).await;
        assert!(failed.is_ok_and(|status| !answered(&status)));
        calls += 1;
        sleep(Duration::from_millis(5)).await;
    }
    assert!(calls > 20, "{calls} calls");

    let node = Node::start(&address).await;
    let back = async {
        while !answered(&caller.call().await) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), back)
        .await
        .expect("calls arrive again soon after the peer came back");
    node.stop().await;
}
