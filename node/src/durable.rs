//! Small files that a node cannot be without: a loss of power leaves all of one, or nothing of it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Makes a new file that only who is in `mode` may use, and the directory that it is in. Returns
/// when all of it would be there after a loss of power.
pub(crate) fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    // Under its own name only when it is whole. What an earlier start left of it goes: whoever could
    // read that could read this.
    let unfinished = path.with_added_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write(&unfinished, text, mode)?;
    fs::rename(&unfinished, path)?;
    File::open(directory)?.sync_all()
}

/// As [`write_new`], where others may make the same file at the same time: one of them is the first,
/// and the others are told that it exists.
/// It is made in another directory of the same disk, where a loss of power may leave it.
pub(crate) fn write_first(path: &Path, beside: &Path, text: &str, mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let unfinished = unfinished(path, beside);
    write(&unfinished, text, mode)?;
    // Unlike a renaming, this leaves in place what is there.
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    linked?;
    File::open(directory)?.sync_all()
}

/// Puts other text in place of a file's, made in another directory as by [`write_first`]. One that is not
/// there is not made.
pub(crate) fn replace(path: &Path, beside: &Path, text: &str, mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let unfinished = unfinished(path, beside);
    write(&unfinished, text, mode)?;
    let replaced = match path.try_exists() {
        Ok(true) => fs::rename(&unfinished, path),
        Ok(false) => Err(io::ErrorKind::NotFound.into()),
        Err(error) => Err(error),
    };
    if replaced.is_err() {
        fs::remove_file(&unfinished)?;
    }
    replaced?;
    File::open(directory)?.sync_all()
}

/// A name that begins as a file's, and that nobody else uses.
fn unfinished(path: &Path, beside: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let whose = format!("{}-{}-{number}", host.trim(), std::process::id());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    beside.join(format!("{name}.{whose}"))
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_appears_whole_and_what_a_loss_of_power_left_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a").join("node.toml");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(dir.path().join("a").join("node.toml.new"), "hal").unwrap();
        write_new(&path, "half", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "half");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(files.count(), 1, "nothing else is left");
    }

    #[test]
    fn of_several_that_make_a_file_one_is_the_first_and_what_is_gone_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, beside) = (dir.path().join("key"), dir.path().join("beside"));
        fs::create_dir(&beside).unwrap();
        let made = std::thread::scope(|scope| {
            let makers = (0..8).map(|n| {
                let (path, beside) = (&path, &beside);
                scope.spawn(move || write_first(path, beside, &n.to_string(), 0o600).map(|()| n))
            });
            let makers: Vec<_> = makers.collect();
            let made = makers.into_iter().filter_map(|it| it.join().unwrap().ok());
            made.collect::<Vec<i32>>()
        });
        assert_eq!(made.len(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), made[0].to_string());
        replace(&path, &beside, "another", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "another");
        fs::remove_file(&path).unwrap();
        assert!(replace(&path, &beside, "again", 0o600).is_err());
        let left = fs::read_dir(beside).unwrap();
        assert_eq!(left.count(), 0, "nothing is left");
    }

    #[test]
    fn a_file_that_is_there_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.toml");
        write_new(&path, "first", 0o600).unwrap();
        let again = write_new(&path, "second", 0o600).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    }
}
