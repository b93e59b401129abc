//! The proof that a run is a function of its seed: twice, in fresh processes, line by line.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use super::child::{Children, Played};

/// What comparing two runs showed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum Compared {
    /// They were the same.
    Same {
        /// So many lines of them.
        lines: u64,
    },
    /// They parted.
    Differ {
        /// In this line, from 1.
        line: u64,
        /// What the first run had there.
        first: Option<String>,
        /// What the second had.
        second: Option<String>,
    },
}

/// Plays twice, and compares the traces, which are kept in `directory`.
///
/// # Errors
///
/// When a run cannot be made, or its trace cannot be read.
pub fn twice(children: &Children, played: &Played, directory: &Path) -> io::Result<Compared> {
    let traces = ["first", "second"].map(|name| directory.join(name));
    let mut told = Vec::new();
    for trace in &traces {
        told.push(children.play(played, Some(trace))?);
    }
    let compared = compare(lines(&traces[0])?, lines(&traces[1])?)?;
    match compared {
        // The traces hold all there is, so this would be a mistake of the report's.
        Compared::Same { lines } if told[0] != told[1] => Ok(Compared::Differ {
            line: lines + 1,
            first: Some(format!("{:?}", told[0])),
            second: Some(format!("{:?}", told[1])),
        }),
        compared => Ok(compared),
    }
}

fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    Ok(BufReader::new(File::open(path)?).lines())
}

fn compare(
    mut first: impl Iterator<Item = io::Result<String>>,
    mut second: impl Iterator<Item = io::Result<String>>,
) -> io::Result<Compared> {
    let mut line = 0;
    loop {
        line += 1;
        let (first, second) = (first.next().transpose()?, second.next().transpose()?);
        match (first, second) {
            (None, None) => return Ok(Compared::Same { lines: line - 1 }),
            (first, second) if first != second => {
                return Ok(Compared::Differ {
                    line,
                    first,
                    second,
                });
            }
            _ => {}
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compared::Same { lines } => write!(f, "twice the same {lines} lines"),
            Compared::Differ {
                line,
                first,
                second,
            } => {
                let shown = |line: &Option<String>| line.clone().unwrap_or("(its end)".to_owned());
                writeln!(f, "the runs part at line {line}")?;
                writeln!(f, "  first:  {}", shown(first))?;
                write!(f, "  second: {}", shown(second))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = io::Result<String>> + 'a {
        lines.iter().map(|line| Ok((*line).to_owned()))
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        let same = compare(of(&["a", "b"]), of(&["a", "b"])).unwrap();
        assert_eq!(same, Compared::Same { lines: 2 });
        let differ = compare(of(&["a", "b"]), of(&["a", "c"])).unwrap();
        assert!(matches!(differ, Compared::Differ { line: 2, .. }));
        let shorter = compare(of(&["a"]), of(&["a", "c"])).unwrap();
        assert!(matches!(
            shorter,
            Compared::Differ {
                line: 2,
                first: None,
                ..
            }
        ));
    }
}
