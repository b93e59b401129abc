//! Programs that tests ask, installed by `deploy/setup.sh`.

use std::path::PathBuf;

/// A program, if it is installed.
pub fn installed(program: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or(home)?;
    let program = cache.join("meridian-tools").join(program);
    program.is_file().then_some(program)
}
