use std::{
    future, io,
    net::Ipv4Addr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{StreamExt, stream};
use replication::world::{Connecting, Connection, Incoming, Listening, Network};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use super::{Power, Wire};

/// TCP between the hosts of a simulation. Hosts are addressed by name: `eu-west-1:7000`.
///
/// It differs from the real thing in ways that matter to a caller: nothing is retransmitted, so a
/// stream that lost bytes to a cut link stays silent for ever, and a connection attempt over a cut
/// link is refused at once. Deadlines and keepalives must notice the first. Connecting takes half a
/// round trip, not a whole one.
///
/// A machine whose [`Power`] has failed sends nothing more.
#[derive(Debug, Default, Clone)]
pub struct SimNetwork {
    power: Arc<Power>,
    wire: Arc<Wire>,
}

impl SimNetwork {
    /// The network of a machine.
    #[must_use]
    pub fn new(power: Arc<Power>, wire: Arc<Wire>) -> Self {
        SimNetwork { power, wire }
    }

    /// A connection as long as there is power.
    fn powered(&self, stream: TcpStream) -> Box<dyn Connection> {
        let peer = stream.peer_addr().ok();
        let peer = peer.and_then(|address| turmoil::reverse_lookup(address.ip()));
        let (power, wire) = (self.power.clone(), self.wire.clone());
        Box::new(Powered {
            stream,
            peer,
            power,
            wire,
        })
    }
}

impl Network for SimNetwork {
    fn listen(&self, address: &str) -> Listening {
        let port = port_of(address);
        let network = self.clone();
        Box::pin(async move {
            // A host has one interface, and turmoil binds it only by its wildcard.
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port?)).await?;
            let incoming = stream::unfold(listener, |listener| async move {
                let accepted = listener.accept().await;
                Some((accepted, listener))
            });
            Ok(incoming
                .map(move |accepted| {
                    let (stream, _) = accepted?;
                    Ok(network.powered(stream))
                })
                .boxed() as Incoming)
        })
    }

    fn connect(&self, address: &str) -> Connecting {
        let address = address.to_owned();
        let network = self.clone();
        Box::pin(async move {
            if !network.power.sends() {
                return future::pending().await;
            }
            let stream = TcpStream::connect(address.as_str()).await?;
            Ok(network.powered(stream))
        })
    }
}

/// A connection as long as there is power.
struct Powered {
    stream: TcpStream,
    /// The host at its other end.
    peer: Option<String>,
    power: Arc<Power>,
    wire: Arc<Wire>,
}

impl AsyncRead for Powered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

// Without power everything is pending, and nobody is woken: the host is about to be taken down.
impl AsyncWrite for Powered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.power.sends() {
            return Poll::Pending;
        }
        self.wire.sent(self.peer.as_deref(), data);
        let spoiled = self.wire.spoiled(data);
        let data = spoiled.as_deref().unwrap_or(data);
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.power.has_failed() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn port_of(address: &str) -> io::Result<u16> {
    address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("listen on {address}: not host:port"),
            )
        })
}
