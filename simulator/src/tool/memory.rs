//! What a process has used of memory, where the system is Linux.

use std::fs;

/// The most that this process, or another one, has ever had in memory, in bytes; `None` where the system
/// does not say, or there is no such process.
#[must_use]
pub fn peak(process: Option<u32>) -> Option<u64> {
    let process = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    peak_of(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(peak_of("Name:\tx\nVmHWM:\t    1024 kB\n"), Some(1 << 20));
        assert_eq!(peak_of("Name:\tx\n"), None);
        assert!(peak(None) > Some(1 << 20), "the tests run on Linux");
    }
}
