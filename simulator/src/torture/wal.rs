//! A write-ahead log without its end.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Cuts a log back, whether it was synced or not, as a disk does that lies: `part` of 1000 stays.
/// No node has to survive that.
pub(super) fn cut(data: &Path, part: u64) -> io::Result<()> {
    let file = match newest(data) {
        Ok(file) => fs::OpenOptions::new().write(true).open(file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.set_len(length.saturating_mul(part) / 1000)
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
