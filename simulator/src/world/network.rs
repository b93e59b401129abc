use std::{io, net::Ipv4Addr};

use futures_util::{StreamExt, stream};
use replication::world::{Connecting, Connection, Incoming, Listening, Network};
use turmoil::net::{TcpListener, TcpStream};

/// TCP between the hosts of a simulation. Hosts are addressed by name: `eu-west-1:7000`.
///
/// It differs from the real thing in ways that matter to a caller: nothing is retransmitted, so a
/// stream that lost bytes to a cut link stays silent for ever, and a connection attempt over a cut
/// link is refused at once. Deadlines and keepalives must notice the first. Connecting takes half a
/// round trip, not a whole one.
#[derive(Debug, Default, Clone, Copy)]
pub struct SimNetwork;

impl Network for SimNetwork {
    fn listen(&self, address: &str) -> Listening {
        let port = port_of(address);
        Box::pin(async move {
            // A host has one interface, and turmoil binds it only by its wildcard.
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port?)).await?;
            let incoming = stream::unfold(listener, |listener| async move {
                let accepted = listener.accept().await;
                Some((accepted, listener))
            });
            Ok(incoming
                .map(|accepted| accepted.map(|(stream, _)| Box::new(stream) as Box<dyn Connection>))
                .boxed() as Incoming)
        })
    }

    fn connect(&self, address: &str) -> Connecting {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(address.as_str()).await?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
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
