use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use crate::world::Connection;

/// What the connections to a peer tell of its process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Presence {
    /// Nothing is known: no connection was opened, or none stands and nobody knows why.
    #[default]
    Unknown,
    /// A connection stands. The process may be stopped, or out of reach.
    Here,
    /// The peer's side closed the connection, and nobody has called again yet.
    HungUp,
    /// The peer's side closed the connection, and its machine refuses new ones: no process is
    /// there. Silence never leads here, however long: a stopped process keeps its connections,
    /// a lost link answers nothing.
    Gone,
}

/// A peer's presence, and which connection tells of it: the one that was opened last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) presence: Presence,
    opened: u64,
}

impl Sighting {
    /// A connection was opened; returns its number.
    fn open(&mut self) -> u64 {
        self.opened += 1;
        self.presence = Presence::Here;
        self.opened
    }

    /// A connection has ended: the peer closed it, or it was given up on this side.
    fn end(&mut self, connection: u64, by_peer: bool) {
        if connection == self.opened && self.presence == Presence::Here {
            self.presence = match by_peer {
                true => Presence::HungUp,
                false => Presence::Unknown,
            };
        }
    }

    /// No connection could be opened. Only a refusal that follows a hang-up says that nobody is
    /// there: some networks refuse for a link that is cut.
    fn fail(&mut self, refused: bool) {
        self.presence = match (self.presence, refused) {
            (Presence::HungUp | Presence::Gone, true) => Presence::Gone,
            (Presence::Here, _) => Presence::Here,
            _ => Presence::Unknown,
        };
    }
}

/// Where the connections to one peer report.
#[derive(Clone, Default)]
pub(super) struct Witness(Arc<watch::Sender<Sighting>>);

impl Witness {
    /// What is known, from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Sighting> {
        self.0.subscribe()
    }

    /// What is known now.
    pub(super) fn presence(&self) -> Presence {
        self.0.borrow().presence
    }

    /// Resolves when nobody watches.
    pub(super) async fn unwatched(&self) {
        self.0.closed().await;
    }

    /// Does anybody watch?
    pub(super) fn is_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Notes how an attempt to connect ended, and keeps an eye on the connection.
    pub(super) fn dialed(&self, outcome: io::Result<Box<dyn Connection>>) -> io::Result<Witnessed> {
        match outcome {
            Ok(io) => {
                let mut number = 0;
                self.0.send_modify(|sighting| number = sighting.open());
                Ok(Witnessed {
                    io,
                    number,
                    witness: self.clone(),
                })
            }
            Err(error) => {
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                self.note(|sighting| sighting.fail(refused));
                Err(error)
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut Sighting)) {
        self.0.send_if_modified(|sighting| {
            let before = *sighting;
            change(sighting);
            *sighting != before
        });
    }
}

/// A connection whose end is noted.
pub(super) struct Witnessed {
    io: Box<dyn Connection>,
    number: u64,
    witness: Witness,
}

impl Witnessed {
    fn seen<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome
            && matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        {
            self.hung_up();
        }
        outcome
    }

    fn hung_up(&self) {
        self.witness
            .note(|sighting| sighting.end(self.number, true));
    }
}

impl Drop for Witnessed {
    fn drop(&mut self) {
        self.witness
            .note(|sighting| sighting.end(self.number, false));
    }
}

impl AsyncRead for Witnessed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut *self.io).poll_read(cx, buf);
        let at_end = buf.remaining() > 0 && buf.filled().len() == before;
        if at_end && matches!(polled, Poll::Ready(Ok(()))) {
            self.hung_up();
        }
        polled.map(|outcome| self.seen(outcome))
    }
}

impl AsyncWrite for Witnessed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.io).poll_write(cx, buf);
        polled.map(|outcome| self.seen(outcome))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.io).poll_write_vectored(cx, bufs);
        polled.map(|outcome| self.seen(outcome))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    enum Seen {
        Opened,
        HungUp(u64),
        GivenUp(u64),
        Refused,
        TimedOut,
    }

    #[test]
    fn presence_as_a_table() {
        use Presence::*;
        use Seen::*;
        for (seen, expected) in [
            (vec![], Unknown),
            (vec![Opened], Here),
            (vec![Opened, Seen::HungUp(1)], Presence::HungUp),
            (vec![Opened, Seen::HungUp(1), Refused], Gone),
            (vec![Opened, Seen::HungUp(1), Refused, Refused], Gone),
            (vec![Opened, Seen::HungUp(1), Refused, Opened], Here),
            // It may be a lost link all along.
            (vec![Opened, Seen::HungUp(1), TimedOut], Unknown),
            (vec![Opened, Seen::HungUp(1), TimedOut, Refused], Unknown),
            (vec![Opened, GivenUp(1), Refused], Unknown),
            (vec![Refused], Unknown),
            // A connection that is given up after its end changes nothing any more.
            (vec![Opened, Seen::HungUp(1), GivenUp(1), Refused], Gone),
            // Only the newest connection tells.
            (vec![Opened, Opened, Seen::HungUp(1), Refused], Here),
            (
                vec![Opened, Opened, Seen::HungUp(2), GivenUp(1), Refused],
                Gone,
            ),
            // The listener went first: the connection that still stands has not been heard yet.
            (vec![Opened, Refused, Seen::HungUp(1)], Presence::HungUp),
        ] {
            let mut sighting = Sighting::default();
            for event in seen {
                match event {
                    Opened => drop(sighting.open()),
                    Seen::HungUp(number) => sighting.end(number, true),
                    GivenUp(number) => sighting.end(number, false),
                    Refused => sighting.fail(true),
                    TimedOut => sighting.fail(false),
                }
            }
            assert_eq!(sighting.presence, expected);
        }
    }

    #[tokio::test]
    async fn an_end_of_the_stream_is_a_hang_up_and_a_drop_is_none() {
        let witness = Witness::default();
        let dial = || {
            let (near, far) = tokio::io::duplex(64);
            (witness.dialed(Ok(Box::new(near))).expect("it is open"), far)
        };
        let (mut near, mut far) = dial();
        far.write_all(b"x").await.expect("it is open");
        assert_eq!(near.read_u8().await.expect("it came"), b'x');
        assert_eq!(witness.presence(), Presence::Here);
        drop(far);
        assert_eq!(near.read(&mut [0; 1]).await.expect("it ends"), 0);
        assert_eq!(witness.presence(), Presence::HungUp);
        drop(near);
        assert_eq!(witness.presence(), Presence::HungUp);

        let (near, _far) = dial();
        drop(near);
        assert_eq!(witness.presence(), Presence::Unknown);
    }
}
