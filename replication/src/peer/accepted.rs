use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::{Connected, Router};
use tonic::transport::{Error, Server};

use super::PeerOptions;
use crate::world::{Connection, Incoming};

/// A connection of the world, in the shape tonic serves.
struct Accepted(Box<dyn Connection>);

impl Connected for Accepted {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// A gRPC server with the peers' windows and pings, ready to take services.
pub fn server(options: &PeerOptions) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(options.ping_interval))
        .http2_keepalive_timeout(Some(options.ping_timeout))
        .initial_stream_window_size(options.stream_window)
        .initial_connection_window_size(options.connection_window)
}

/// Answers the connections of a listener until `stop` resolves, then lets calls under way end.
///
/// An append stream ends only when its sender closes it: a node that stops must not wait for
/// this future longer than it is ready to.
pub async fn serve(
    router: Router,
    incoming: Incoming,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    router
        .serve_with_incoming_shutdown(incoming.map(|io| io.map(Accepted)), stop)
        .await
}
