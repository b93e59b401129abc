//! `meridian-sim`: plays a scenario under a seed, or tortures the real program, and says whether
//! every promise held.
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
    torture::{self, Progress, Survived, Torture},
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
    /// Kills processes of the real program in a loop, and judges what is left on their disks.
    Torture(TortureArgs),
}

#[derive(Debug, Args)]
struct TortureArgs {
    /// For how long nodes are killed.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// The same in seconds.
    #[arg(long, conflicts_with = "minutes")]
    seconds: Option<u64>,
    /// What the workload and the victims are drawn from.
    #[arg(long, default_value = "1")]
    seed: Seed,
    /// The program to torture. Default: `meridian` beside this one.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the nodes keep their data, a new directory; it stays after a failure. Default: a
    /// temporary one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The number that the run is a function of.
    #[arg(long)]
    seed: Seed,
    /// How many simulated seconds the workload lasts. Default: what the scenario says.
    #[arg(long)]
    seconds: Option<u64>,
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
    let done = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Torture(args) => torture(args),
    };
    match done {
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
            length: args.seconds.map(Duration::from_secs),
            plan: None,
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

/// Returns whether everything held.
fn torture(args: TortureArgs) -> anyhow::Result<bool> {
    let beside = || -> anyhow::Result<PathBuf> {
        let this = std::env::current_exe().context("find this program")?;
        Ok(this.with_file_name("meridian"))
    };
    let program = args.program.map_or_else(beside, Ok)?;
    anyhow::ensure!(program.is_file(), "{} is no program", program.display());
    let dir = args.dir.unwrap_or_else(|| {
        let name = format!("meridian-torture-{}", std::process::id());
        std::env::temp_dir().join(name)
    });
    anyhow::ensure!(!dir.exists(), "{} exists already", dir.display());
    let options = Torture {
        length: Duration::from_secs(args.seconds.unwrap_or(args.minutes * 60)),
        seed: args.seed,
        program,
        dir: dir.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let is_terminal = io::stderr().is_terminal();
    let tell = |progress: Progress| {
        let Progress {
            seconds,
            kills,
            receipts,
        } = progress;
        let line = format!(
            "{:>3}:{:02}  killed: {} leaders, {} followers, {} copies ({} times together, \
             {} without what was not synced)  receipts: {receipts}",
            seconds / 60,
            seconds % 60,
            kills.leaders,
            kills.followers,
            kills.copies,
            kills.together,
            kills.cut,
        );
        match is_terminal {
            true => eprint!("\r{line} "),
            false => eprintln!("{line}"),
        }
    };
    let survived = runtime.block_on(torture::torture(options, tell));
    if is_terminal {
        eprintln!();
    }
    match survived {
        Ok(survived) => {
            std::fs::remove_dir_all(&dir).context("remove the nodes' data")?;
            if args.json {
                println!("{}", serde_json::to_string(&survived)?);
            } else {
                print_survived(&survived);
            }
            Ok(true)
        }
        Err(failure) => {
            println!("FAILED: {failure}");
            println!("The nodes' data and logs are in {}.", dir.display());
            Ok(false)
        }
    }
}

fn print_survived(survived: &Survived) {
    println!("Every receipt is kept, no vote was taken back, all chains and books hold.");
    for (what, count) in &survived.counts {
        println!("{count:>8} {what}");
    }
    println!("{:>8} indexes verified on all disks", survived.verified);
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
