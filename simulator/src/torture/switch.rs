//! The thread that carries packets between the hosts' devices, through the
//! [`Exchange`](super::exchange::Exchange).

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::time::Instant;

use super::{exchange::Exchange, linux};
use crate::simulation::links::Change;

/// The longest that a change of links or the end may go unseen.
const LOOK: Duration = Duration::from_millis(2);
/// The largest packet there is.
const LARGEST: usize = 65_536;
/// Packets taken from one device before the others get their turn.
const TURN: usize = 64;

/// A running switch. It stops when this is dropped.
pub(super) struct Switch {
    exchange: Arc<Mutex<Exchange>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Switch {
    /// Carries packets between devices, which are numbered as they come.
    pub(super) fn start(devices: Vec<File>, exchange: Exchange) -> io::Result<Self> {
        let exchange = Arc::new(Mutex::new(exchange));
        let is_over = Arc::new(AtomicBool::new(false));
        let (shared, told) = (exchange.clone(), is_over.clone());
        let thread = thread::Builder::new()
            .name("switch".to_owned())
            .spawn(move || carry(&devices, &shared, &told))?;
        Ok(Self {
            exchange,
            is_over,
            thread: Some(thread),
        })
    }

    /// Links change.
    pub(super) fn change(&self, changes: &[Change]) {
        lock(&self.exchange).change(changes, Instant::now());
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the switch of the torture's network: {error}");
        }
    }
}

fn lock(exchange: &Mutex<Exchange>) -> MutexGuard<'_, Exchange> {
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry(devices: &[File], exchange: &Mutex<Exchange>, is_over: &AtomicBool) -> io::Result<()> {
    let files: Vec<&File> = devices.iter().collect();
    let mut buffer = vec![0; LARGEST];
    while !is_over.load(Ordering::Relaxed) {
        let next = lock(exchange).next();
        let until = next.map_or(LOOK, |next| next.saturating_duration_since(Instant::now()));
        let ready = linux::wait(&files, until.min(LOOK))?;
        let sent = files.iter().zip(ready).filter(|(_, is_ready)| *is_ready);
        for (device, _) in sent {
            let mut device = *device;
            for _ in 0..TURN {
                match device.read(&mut buffer) {
                    Ok(length) => {
                        let packet = buffer[..length].to_vec();
                        lock(exchange).take(packet, Instant::now());
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        let arrived = lock(exchange).arrived(Instant::now());
        for (device, packet) in arrived {
            // A device that takes no more loses it, as networks do; TCP sends again.
            let _ = (&devices[device]).write(&packet);
        }
    }
    Ok(())
}
