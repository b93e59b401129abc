use std::{future::Future, io, pin::Pin};

use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, lookup_host};

/// One open byte stream to a peer.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for T {}

/// Accepted connections, in the order they came.
pub type Incoming = Pin<Box<dyn Stream<Item = io::Result<Box<dyn Connection>>> + Send>>;
/// A listener being opened.
pub type Listening = Pin<Box<dyn Future<Output = io::Result<Incoming>> + Send>>;
/// A connection being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>>;

/// A name being looked up.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<String>>> + Send>>;

/// How to listen and to connect. Addresses are `host:port`.
pub trait Network: Send + Sync + 'static {
    /// Opens a listener.
    fn listen(&self, address: &str) -> Listening;
    /// Opens a connection.
    fn connect(&self, address: &str) -> Connecting;
    /// All addresses that a name stands for. Where a network has no names, each stands for itself.
    fn resolve(&self, address: &str) -> Resolving {
        let itself = vec![address.to_owned()];
        Box::pin(async { Ok(itself) })
    }
}

/// TCP of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn listen(&self, address: &str) -> Listening {
        let address = address.to_owned();
        Box::pin(async move {
            let listener = TcpListener::bind(&address).await?;
            let incoming = stream::unfold(listener, |listener| async move {
                let accepted = listener.accept().await;
                Some((accepted, listener))
            });
            Ok(incoming
                .map(|accepted| {
                    let (socket, _) = accepted?;
                    socket.set_nodelay(true)?;
                    Ok(Box::new(socket) as Box<dyn Connection>)
                })
                .boxed() as Incoming)
        })
    }

    fn connect(&self, address: &str) -> Connecting {
        let address = address.to_owned();
        Box::pin(async move {
            let socket = TcpStream::connect(&address).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(socket) as Box<dyn Connection>)
        })
    }

    fn resolve(&self, address: &str) -> Resolving {
        let address = address.to_owned();
        Box::pin(async move {
            let found = lookup_host(&address).await?;
            Ok(found.map(|found| found.to_string()).collect())
        })
    }
}
