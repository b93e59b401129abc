//! A write-ahead log without its end: what a power cut leaves of what was not synced.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::probe;

/// How many synced writes a node counts.
const SYNCS: &str = "meridian_log_syncs_total";
const PATIENCE: Duration = Duration::from_secs(2);
const MOMENT: Duration = Duration::from_millis(10);

/// A length up to which a write-ahead log was synced.
#[derive(Debug)]
pub(super) struct Synced {
    file: PathBuf,
    length: u64,
}

impl Synced {
    /// Looks how long a node's log is, and waits until it has synced twice more: the second of these
    /// writes began after the look, and whatever it syncs includes all that was there. `None` where
    /// that does not come soon.
    pub(super) async fn look(data: &Path, metrics: &str) -> Option<Self> {
        let looking = async {
            let before = syncs(metrics).await?;
            let file = newest(data).ok()?;
            let length = fs::metadata(&file).ok()?.len();
            while syncs(metrics).await? < before + 2 {
                sleep(MOMENT).await;
            }
            Some(Self { file, length })
        };
        timeout(PATIENCE, looking).await.ok()?
    }

    /// Cuts off part of what a killed node has written since; `part` of 1000 stays. Returns how many
    /// bytes are gone: none where the node has begun another file.
    pub(super) fn cut(&self, data: &Path, part: u64) -> io::Result<u64> {
        if newest(data)? != self.file {
            return Ok(0);
        }
        cut(&self.file, self.length, part)
    }
}

/// The same for a disk that lies: what was synced can go, too.
pub(super) fn cut_what_was_synced(data: &Path, part: u64) -> io::Result<u64> {
    match newest(data) {
        Ok(file) => cut(&file, 0, part),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn cut(file: &Path, from: u64, part: u64) -> io::Result<u64> {
    let file = fs::OpenOptions::new().write(true).open(file)?;
    let length = file.metadata()?.len();
    let kept = from + length.saturating_sub(from) * part / 1000;
    file.set_len(kept)?;
    Ok(length - kept)
}

/// The write-ahead log that is written now.
fn newest(data: &Path) -> io::Result<PathBuf> {
    let files = fs::read_dir(data.join("log"))?;
    let paths = files.map(|file| Ok(file?.path()));
    let paths = paths.collect::<io::Result<Vec<_>>>()?;
    let logs = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "log"));
    // Their names are numbers of equal length.
    logs.max()
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

async fn syncs(metrics: &str) -> Option<u64> {
    let text = probe::get(metrics, "/metrics").await?;
    let line = text.lines().find(|line| line.starts_with(SYNCS))?;
    line.rsplit(' ').next()?.parse().ok()
}
