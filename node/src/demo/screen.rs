//! What the demo prints, kept so that it can be compared with the text it should be.

use std::{fs, io::IsTerminal as _, path::Path};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Error, cluster::Cluster};

/// Prints, and remembers what it printed.
#[derive(Default)]
pub(super) struct Screen {
    shown: String,
    /// Standard output is for programs: people read standard error.
    aside: bool,
}

impl Screen {
    /// A screen on standard output, or aside of it, on standard error.
    pub(super) fn new(aside: bool) -> Self {
        Self {
            aside,
            ..Self::default()
        }
    }

    fn print(&self, text: &str) {
        if self.aside {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }

    /// Prints lines.
    pub(super) fn say(&mut self, text: &str) {
        self.print(text);
        self.shown.push_str(text);
        self.shown.push('\n');
    }

    /// Prints the heading of an act.
    pub(super) fn act(&mut self, title: &str) {
        let is_terminal = std::io::stdout().is_terminal();
        let (on, off) = if is_terminal {
            ("\x1b[1m", "\x1b[0m")
        } else {
            ("", "")
        };
        self.print(&format!("\n{on}{title}{off}\n"));
        self.shown.push_str(&format!("\n{title}\n\n"));
    }

    /// Prints a table, each column as wide as its widest cell; the first row is its head.
    pub(super) fn table<const N: usize>(&mut self, rows: &[[String; N]]) {
        let mut widths = [0; N];
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in rows {
            let cells = row.iter().zip(widths);
            let line: String = cells
                .map(|(cell, width)| format!("{cell:width$}  "))
                .collect();
            self.say(&format!("  {}", line.trim_end()));
        }
    }

    /// A bar for long work, where somebody is looking.
    pub(super) fn bar(&self, length: usize) -> ProgressBar {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(length as u64), target);
        let style = ProgressStyle::with_template("  {msg:20} {wide_bar} {pos}/{len}");
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    /// What this is.
    pub(super) fn title(&mut self) {
        self.say(
            "Meridian: a banking ledger over three regions. Nine nodes start on this machine, each a\n\
             process with its own disk; what crosses between regions takes as long as it would.\n\
             \n\
             \x20 eu-west 1 2 3 ──── 80 ms ──── us-east 1 2 3\n\
             \x20        ╲                      ╱\n\
             \x20       120 ms            150 ms\n\
             \x20            ╲            ╱\n\
             \x20            ap-south 1 2 3",
        );
    }

    /// Commands to go on with.
    pub(super) fn try_it(&mut self, cluster: &Cluster) {
        let address = |region| cluster.in_region(region).address.clone();
        let (eu, us, ap) = (address("eu-west"), address("us-east"), address("ap-south"));
        self.act("The ledger is yours now. In another terminal:");
        self.say(&format!(
            "  alias meridian={program}\n\
             \x20 meridian --node {eu} status\n\
             \x20 meridian --node {eu} account open --region eu-west --currency EUR\n\
             \x20 meridian --node {us} deposit ACCOUNT 100.00 EUR\n\
             \x20 meridian --node {ap} balance ACCOUNT\n\
             \x20 meridian --node {ap} balance --strong ACCOUNT\n\
             \x20 meridian --node {us} trial-balance\n\
             \x20 meridian --node {eu} --help\n\
             \x20 curl {metrics}/metrics {metrics}/readyz\n\
             \n\
             Ctrl-C stops all nodes and removes their data.",
            metrics = cluster.in_region("eu-west").metrics,
            program = std::env::current_exe().unwrap_or_default().display(),
        ));
    }

    /// Keeps the output, numbers masked, as the golden text.
    pub(super) fn write_golden(&self, file: &Path) -> Result<(), Error> {
        fs::write(file, masked(&self.shown)).map_err(|cause| Error::Machine {
            what: format!("write {}", file.display()),
            cause,
        })
    }

    /// Compares the output, numbers masked, with the golden text.
    pub(super) fn compare_golden(&self, file: &Path) -> Result<(), Error> {
        let golden = fs::read_to_string(file).map_err(|cause| Error::Machine {
            what: format!("read {}", file.display()),
            cause,
        })?;
        let shown = masked(&self.shown);
        let lines = golden.lines().zip(shown.lines()).enumerate();
        let differs = lines
            .into_iter()
            .find(|(_, (golden, shown))| golden != shown);
        let difference = match differs {
            Some((number, (golden, shown))) => {
                format!("line {}\n  was: {golden}\n  is:  {shown}", number + 1)
            }
            None if golden == shown => return Ok(()),
            None => "one of them ends earlier".to_owned(),
        };
        Err(Error::Golden {
            file: file.to_owned(),
            difference,
        })
    }
}

/// Every run of digits as one `#`, every run of blanks as one, no name of a transaction: what does
/// not differ between runs.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_name = false;
    for c in text.chars() {
        is_name = (is_name || out.ends_with(" tx-")) && (c == '-' || c.is_ascii_alphanumeric());
        if is_name {
            continue;
        }
        let last = out.chars().next_back();
        match c {
            '0'..='9' if last == Some('#') => {}
            // Separators within a number.
            '0'..='9' if out.ends_with("#.") || out.ends_with("#,") => {
                out.pop();
            }
            '0'..='9' => out.push('#'),
            ' ' if last == Some(' ') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_the_widths_they_make_do_not_count() {
        assert_eq!(masked("in 1,234.50 USD   2.5 ms."), "in # USD # ms.");
        assert_eq!(masked("eu-west-3 at 10:15"), "eu-west-# at #:#");
        assert_eq!(masked("is tx-04y-w1, so"), "is tx-, so");
    }

    #[test]
    fn what_differs_from_the_golden_text_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("golden");
        let mut screen = Screen::default();
        screen.say("paused for 812 ms");
        screen.write_golden(&file).unwrap();
        screen.compare_golden(&file).unwrap();
        let mut other = Screen::default();
        other.say("paused for 9 s");
        let error = other.compare_golden(&file).unwrap_err();
        assert!(error.to_string().contains("is:  paused for # s"), "{error}");
    }
}
