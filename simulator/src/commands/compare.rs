use std::fs;

use anyhow::Context;
use clap::Args;
use simulator::tool::compare::{self, Compared};

use super::{GENERATED, Which, children};

#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    which: Which,
    /// Which scenario to play.
    #[arg(long, default_value = GENERATED, conflicts_with = "plan")]
    scenario: String,
    /// How many simulated seconds the workload lasts. Default: what the scenario or the plan says.
    #[arg(long)]
    seconds: Option<u64>,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Returns whether the two runs were the same.
pub fn compare(args: &CompareArgs) -> anyhow::Result<bool> {
    let children = children(&args.scenario, args.seconds)?;
    let name = format!("meridian-sim-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory).with_context(|| format!("create {}", directory.display()))?;
    let compared = compare::twice(&children, &args.which.played(), &directory);
    fs::remove_dir_all(&directory).context("remove the traces")?;
    let compared = compared.context("play twice")?;
    if args.json {
        println!("{}", serde_json::to_string(&compared)?);
    } else {
        println!("{compared}");
    }
    Ok(matches!(compared, Compared::Same { .. }))
}
