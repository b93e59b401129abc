use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use simulator::{
    Seed,
    oracle::bounded::{memory_is_bounded, memory_of_a_world},
    scenario::{self, Report, Run, judge, play},
    simulation::Cause,
    tool::{Stopwatch, memory},
    trace::Trace,
};

use super::{GENERATED, Which, find_scenario};

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    which: Which,
    /// How many simulated seconds the workload lasts. Default: what the scenario or the plan says.
    #[arg(long)]
    seconds: Option<u64>,
    /// Which scenario to play; the first there is, if not given. A plan is always played by the
    /// one that plays plans.
    #[arg(long, conflicts_with = "plan")]
    scenario: Option<String>,
    /// Writes the trace to this file.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Plants a known bug in every node.
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Returns whether every promise held.
pub fn run(args: &RunArgs) -> anyhow::Result<bool> {
    if let Some(bug) = &args.bug {
        super::bugs::plant(bug)?;
    }
    let trace = match &args.trace {
        Some(path) => Trace::to_file(path).with_context(|| format!("create {}", path.display()))?,
        None => Trace::fingerprint_only(),
    };
    let default = scenario::ALL[0].0;
    let scenario = args.scenario.as_deref().unwrap_or(default);
    let started = Stopwatch::start();
    let mut report = play_once(&args.which, scenario, args.seconds, &trace)?;
    judge_memory(&mut report);
    trace.finish().context("write the trace")?;
    tell_speed(started, report.simulated_ms);
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(report.failure.is_none())
}

/// Plays in this process.
pub fn play_once(
    which: &Which,
    scenario: &str,
    seconds: Option<u64>,
    trace: &Trace,
) -> anyhow::Result<Report> {
    let plan = which.read_plan()?;
    let (seed, scenario) = match &plan {
        Some(plan) => (plan.seed, GENERATED),
        None => (which.seed.unwrap_or(Seed(0)), scenario),
    };
    let run = Run {
        seed,
        length: seconds.map(Duration::from_secs),
        plan,
        trace: trace.clone(),
        progress: if io::stderr().is_terminal() {
            show
        } else {
            |_| ()
        },
    };
    Ok(play(find_scenario(scenario)?, &run))
}

/// What the process has used is no part of what a seed determines, so it is judged here, and only
/// told where it is too much.
fn judge_memory(report: &mut Report) {
    let used = memory::peak(None).map(|used| ("the world".to_owned(), used));
    let most = memory_of_a_world(Duration::from_millis(report.simulated_ms));
    let judged = memory_is_bounded(&used.into_iter().collect(), most);
    if let (Err(violation), None) = (judged, &report.failure) {
        let broken = judge::broken("bounded", violation.to_string());
        let cause = Cause::PromiseBroken(broken);
        (report.failure, report.kind) = (Some(cause.to_string()), Some(cause.kind().to_owned()));
    }
}

/// Shows how far a run is, on one line.
fn show(simulated: Duration) {
    eprint!("\r{:>6} simulated seconds ", simulated.as_secs());
}

/// How fast a run is in real time. That differs between runs of one seed, so it is no part of the
/// report.
fn tell_speed(started: Stopwatch, simulated_ms: u64) {
    let real = started.elapsed();
    let per_second = u128::from(simulated_ms) / real.as_millis().max(1);
    let simulated = Duration::from_millis(simulated_ms);
    eprintln!("\r{simulated:?} in {real:.1?}: {per_second} simulated seconds per real second");
}
