use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tonic::transport::server::{Connected, Router};
use tonic::transport::{Error, Server};

use super::{Closing, PeerOptions};
use crate::world::{Connection, Incoming};

/// A connection of the world, in the shape tonic serves. When it is cut, both directions fail.
struct Accepted {
    io: Box<dyn Connection>,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
}

impl Accepted {
    fn new(io: Box<dyn Connection>, cut: &Closing) -> Self {
        Self {
            io,
            cut: Box::pin(cut.closed()),
            is_cut: false,
        }
    }

    /// The connection, unless it is cut; whoever waits on it is woken by the cut.
    fn uncut(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut dyn Connection>> {
        self.is_cut = self.is_cut || self.cut.as_mut().poll(cx).is_ready();
        if self.is_cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(Pin::new(&mut *self.io))
    }
}

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
        self.uncut(cx)?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.uncut(cx)?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.uncut(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.uncut(cx)?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.uncut(cx)?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// A gRPC server with the peers' windows and pings, ready to take services.
pub fn server(options: &PeerOptions) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(options.ping_interval))
        .http2_keepalive_timeout(Some(options.ping_timeout))
        .initial_stream_window_size(options.stream_window)
        .initial_connection_window_size(options.connection_window)
        .max_concurrent_streams(options.streams)
}

/// Answers the connections of a listener until `stop` resolves. Then nothing new is taken, and
/// calls under way have `grace` to end; connections that are still open after it are cut.
pub async fn serve(
    router: Router,
    incoming: Incoming,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> Result<(), Error> {
    let cut = Closing::default();
    let (stopping, stopped) = oneshot::channel();
    let accepted = {
        let cut = cut.clone();
        incoming.map(move |io| io.map(|io| Accepted::new(io, &cut)))
    };
    let stop = async {
        stop.await;
        // Nobody waits for it where serving has ended by itself.
        let _ = stopping.send(());
    };
    let serving = router.serve_with_incoming_shutdown(accepted, stop);
    let grace_is_over = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(grace).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::pin!(serving);
    tokio::select! {
        biased;
        ended = &mut serving => return ended,
        () = grace_is_over => {}
    }
    tracing::warn!(
        ?grace,
        "calls are still under way: their connections are cut"
    );
    cut.close();
    serving.await
}
