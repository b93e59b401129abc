//! `meridian-sim`: plays a scenario under a seed and says whether every promise held.
//!
//! The report goes to stdout, all else to stderr. The exit code is 0 when every promise held, 1
//! when one was broken or a host failed, and 2 when the run could not be made.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use simulator::{
    Seed,
    scenario::{self, Run, play},
    trace::Trace,
};

/// Whole Meridian nodes in a simulated world, replayable by seed.
#[derive(Debug, Parser)]
#[command(name = "meridian-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays a scenario once.
    Run(RunArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The number that the run is a function of.
    #[arg(long)]
    seed: Seed,
    /// How many simulated seconds the workload lasts.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which scenario to play; the first there is, if not given.
    #[arg(long)]
    scenario: Option<String>,
    /// Writes the trace to this file.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    match run(&args) {
        Ok(has_held) => ExitCode::from(u8::from(!has_held)),
        Err(error) => {
            eprintln!("meridian-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether every promise held.
fn run(args: &RunArgs) -> anyhow::Result<bool> {
    let (_, scenario) = scenario::ALL
        .iter()
        .find(|(name, _)| {
            args.scenario
                .as_deref()
                .is_none_or(|wanted| wanted == *name)
        })
        .context("there is no such scenario")?;
    let trace = match &args.trace {
        Some(path) => Trace::to_file(path).with_context(|| format!("create {}", path.display()))?,
        None => Trace::fingerprint_only(),
    };
    let started = Stopwatch::start();
    let report = play(
        *scenario,
        &Run {
            seed: args.seed,
            length: Duration::from_secs(args.seconds),
            trace: trace.clone(),
            progress: if io::stderr().is_terminal() {
                show
            } else {
                |_| ()
            },
        },
    );
    trace.finish().context("write the trace")?;
    started.tell(report.simulated_ms);
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(report.failure.is_none())
}

/// Shows how far a run is, on one line.
fn show(simulated: Duration) {
    eprint!("\r{:>6} simulated seconds ", simulated.as_secs());
}

/// How fast a run is in real time. That differs between runs of one seed, so it is no part of the
/// report.
struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "outside of the simulation, about the real time it takes"
    )]
    fn start() -> Self {
        Stopwatch(Instant::now())
    }

    fn tell(&self, simulated_ms: u64) {
        let real = self.0.elapsed();
        let per_second = u128::from(simulated_ms) / real.as_millis().max(1);
        let simulated = Duration::from_millis(simulated_ms);
        eprintln!("\r{simulated:?} in {real:.1?}: {per_second} simulated seconds per real second");
    }
}
