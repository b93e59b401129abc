//! A client's network that fails as networks do, and has names of the test's own.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use replication::world::{Connecting, Connection, Listening, Network, Resolving, TcpNetwork};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A network that fails at the test's word.
#[derive(Clone, Default)]
pub struct Failing {
    names: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    silent: Arc<Mutex<Vec<String>>>,
    loses_answers: Arc<AtomicBool>,
    refuses: Arc<AtomicBool>,
    connects: Arc<AtomicU32>,
}

impl Failing {
    /// From now on a name stands for these addresses.
    pub fn name(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| (*address).to_owned());
        let addresses = addresses.collect();
        self.names
            .lock()
            .unwrap()
            .insert(name.to_owned(), addresses);
    }

    /// From now on nothing comes from an address, and nobody is told: the process there is stopped.
    pub fn silence(&self, address: &str) {
        self.silent.lock().unwrap().push(address.to_owned());
    }

    /// The next answer is lost with its connection, after the question has arrived.
    pub fn lose_an_answer(&self) {
        self.loses_answers.store(true, Ordering::SeqCst);
    }

    /// From now on there are no connections.
    pub fn refuse(&self) {
        self.refuses.store(true, Ordering::SeqCst);
    }

    /// How many connections were asked for.
    pub fn connects(&self) -> u32 {
        self.connects.load(Ordering::SeqCst)
    }
}

impl Network for Failing {
    fn listen(&self, address: &str) -> Listening {
        TcpNetwork.listen(address)
    }

    fn connect(&self, address: &str) -> Connecting {
        self.connects.fetch_add(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let connecting = TcpNetwork.connect(address);
        let (address, network) = (address.to_owned(), self.clone());
        Box::pin(async move {
            let socket = connecting.await?;
            let connection = Watched {
                socket,
                address,
                network,
            };
            Ok(Box::new(connection) as Box<dyn Connection>)
        })
    }

    fn resolve(&self, name: &str) -> Resolving {
        let found = self.names.lock().unwrap().get(name).cloned();
        let found = found.unwrap_or_else(|| vec![name.to_owned()]);
        Box::pin(async { Ok(found) })
    }
}

struct Watched {
    socket: Box<dyn Connection>,
    address: String,
    network: Failing,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if self.network.silent.lock().unwrap().contains(&self.address) {
            buffer.set_filled(before);
            return Poll::Pending;
        }
        // A frame with headers or data, not one of the transport's own: its type is the fourth byte.
        let is_answer = matches!(buffer.filled().get(before + 3), Some(0 | 1));
        if read.is_ready() && is_answer && self.network.loses_answers.swap(false, Ordering::SeqCst)
        {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
