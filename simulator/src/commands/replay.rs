use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::Args;
use simulator::{tool::replay, trace::Trace};

use super::{GENERATED, Which, run::play_once};

#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    which: Which,
    /// Which scenario to play.
    #[arg(long, default_value = GENERATED, conflicts_with = "plan")]
    scenario: String,
    /// How many simulated seconds the workload lasts. Default: what the scenario or the plan says.
    #[arg(long)]
    seconds: Option<u64>,
    /// Where to write the page.
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
}

/// Returns whether every promise held.
pub fn replay(args: &ReplayArgs) -> anyhow::Result<bool> {
    let trace = Trace::in_memory();
    let report = play_once(&args.which, &args.scenario, args.seconds, &trace)?;
    let page = replay::page(&report, &trace.to_lines())?;
    fs::write(&args.trace, page).with_context(|| format!("write {}", args.trace.display()))?;
    println!("{report}");
    Ok(report.failure.is_none())
}
