//! A sweep through fresh seeds.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde::Serialize;

use super::{
    Stopwatch,
    child::{Children, Played, Told},
};
use crate::{Seed, plan::What, situation};

/// What to sweep through.
#[derive(Debug, Clone)]
pub struct Explore {
    /// How runs are started.
    pub children: Children,
    /// How many at a time.
    pub jobs: usize,
    /// The first seed; the others follow it.
    pub first: Seed,
    /// Where to end.
    pub end: End,
}

/// When a sweep ends, if nothing fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// No run is begun after so much real time.
    After(Duration),
    /// After so many seeds.
    Seeds(u64),
}

/// What a sweep came across.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sweep {
    /// Runs that ended.
    pub seeds: u64,
    /// Simulated time of all of them, in seconds.
    pub simulated_seconds: u64,
    /// Real time, in seconds.
    pub real_seconds: u64,
    /// How often each kind of trouble was planned.
    pub faults: BTreeMap<String, u64>,
    /// Requests by what became of them, and the like.
    pub counts: BTreeMap<String, u64>,
    /// How many things each oracle has looked at.
    pub judged: BTreeMap<String, u64>,
    /// How often each situation came up.
    pub situations: BTreeMap<String, u64>,
    /// Situations that never came up: of those the sweep has shown nothing.
    pub never_reached: Vec<String>,
    /// Runs that failed.
    pub failures: Vec<Failed>,
    #[serde(skip)]
    simulated_ms: u64,
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Its seed.
    pub seed: Seed,
    /// What went wrong.
    pub failure: String,
    /// How to see it again.
    pub command: String,
}

/// Plays one seed after the other, as many at a time as asked for, until the end or the first
/// failure. `tell` is called after each run.
///
/// # Errors
///
/// When a run cannot be started.
pub fn explore(options: &Explore, mut tell: impl FnMut(&Sweep)) -> io::Result<Sweep> {
    let started = Stopwatch::start();
    let begun = AtomicU64::new(0);
    let has_failed = AtomicBool::new(false);
    let next = || {
        let number = begun.fetch_add(1, Ordering::Relaxed);
        let goes_on = match options.end {
            End::After(length) => started.elapsed() < length,
            End::Seeds(seeds) => number < seeds,
        };
        let goes_on = goes_on && !has_failed.load(Ordering::Relaxed);
        goes_on.then(|| Seed(options.first.0.wrapping_add(number)))
    };
    let mut sweep = Sweep::default();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..options.jobs.max(1) {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while let Some(seed) = next() {
                    let told = options.children.play(&Played::Seed(seed), None);
                    let is_over = !matches!(&told, Ok(told) if told.failure.is_none());
                    has_failed.fetch_or(is_over, Ordering::Relaxed);
                    if sender.send((seed, told)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (seed, told) in receiver {
            sweep.note(seed, told?, &options.children);
            sweep.real_seconds = started.elapsed().as_secs();
            tell(&sweep);
        }
        Ok::<_, io::Error>(())
    })?;
    let reached = |situation: &str| sweep.situations.contains_key(situation);
    let never = situation::ALL.iter().filter(|(name, _)| !reached(name));
    sweep.never_reached = never.map(|(name, _)| (*name).to_owned()).collect();
    Ok(sweep)
}

impl Sweep {
    fn note(&mut self, seed: Seed, told: Told, children: &Children) {
        self.seeds += 1;
        self.simulated_ms += told.simulated_ms;
        self.simulated_seconds = self.simulated_ms / 1000;
        for (what, count) in told.counts {
            let is_fault = What::KINDS.contains(&what.as_str());
            let counts = if is_fault {
                &mut self.faults
            } else {
                &mut self.counts
            };
            *counts.entry(what).or_default() += count;
        }
        for (oracle, count) in told.judged {
            *self.judged.entry(oracle).or_default() += count;
        }
        for (situation, count) in told.situations {
            *self.situations.entry(situation).or_default() += count;
        }
        if let Some(failure) = told.failure {
            self.failures.push(Failed {
                seed,
                failure,
                command: children.command(&Played::Seed(seed)),
            });
        }
    }

    /// One line: how far it is.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{} seeds, {} simulated seconds, {} faults of {} kinds, {} of {} situations, {} failed",
            self.seeds,
            self.simulated_seconds,
            self.faults.values().sum::<u64>(),
            self.faults.len(),
            self.situations.len(),
            situation::ALL.len(),
            self.failures.len(),
        )
    }
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {} s", self.line(), self.real_seconds)?;
        let tables = [
            ("requests", &self.counts),
            ("judged by", &self.judged),
            ("faults", &self.faults),
            ("situations", &self.situations),
        ];
        for (name, table) in tables {
            writeln!(f, "\n{name}")?;
            for (what, count) in table {
                writeln!(f, "{count:>8} {what}")?;
            }
        }
        for situation in &self.never_reached {
            writeln!(f, "   never {situation}")?;
        }
        for failed in &self.failures {
            writeln!(f, "\nFAILED: {}\n  {}", failed.failure, failed.command)?;
        }
        Ok(())
    }
}
