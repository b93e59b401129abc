//! What the operating system says of this process, where it is Linux.

use std::{fs, time::Duration};

/// `/proc` counts time in these, whatever the kernel's own clock does.
const TICK: Duration = Duration::from_millis(10);

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
}

impl Usage {
    /// Of this process; `None` where there is no `/proc`.
    pub(super) fn now() -> Option<Self> {
        Some(Self {
            cpu: cpu(&fs::read_to_string("/proc/self/stat").ok()?)?,
            resident_bytes: resident(&fs::read_to_string("/proc/self/status").ok()?)?,
            open_files: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        })
    }
}

/// User and system time, the 14th and 15th field. The second, the program's name, may have blanks
/// and brackets of its own.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK.saturating_mul(user.saturating_add(system)))
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let stat = "17 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("17 (a"), None);
        let status = "Name:\tx\nVmRSS:\t    1024 kB\n";
        assert_eq!(resident(status), Some(1 << 20));
        let now = Usage::now().expect("the tests run on Linux");
        assert!(
            now.resident_bytes > 1 << 20 && now.open_files > 2,
            "{now:?}"
        );
    }
}
