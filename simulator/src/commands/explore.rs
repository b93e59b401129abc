use std::{
    io::{self, IsTerminal as _},
    thread,
    time::Duration,
};

use clap::Args;
use replication::world::{Entropy as _, SystemEntropy};
use simulator::{
    Seed,
    tool::explore::{self, End, Explore},
};

use super::{GENERATED, children};

/// Fresh seeds are below this, so that a person can type them.
const SEEDS: u64 = 1 << 40;

#[derive(Debug, Args)]
pub struct ExploreArgs {
    /// For how long runs are begun, in minutes of real time.
    #[arg(long, default_value_t = 5, conflicts_with = "seeds")]
    minutes: u64,
    /// Plays so many seeds instead.
    #[arg(long)]
    seeds: Option<u64>,
    /// How many at a time. Default: one on each core.
    #[arg(long)]
    jobs: Option<usize>,
    /// The first seed; the others follow it. Default: one that nobody has seen.
    #[arg(long)]
    from: Option<Seed>,
    /// Which scenario to play.
    #[arg(long, default_value = GENERATED)]
    scenario: String,
    /// How many simulated seconds each workload lasts. Default: what its plan says.
    #[arg(long)]
    seconds: Option<u64>,
    /// Prints the sweep as JSON.
    #[arg(long)]
    json: bool,
}

/// Returns whether every promise held in every run.
pub fn explore(args: &ExploreArgs) -> anyhow::Result<bool> {
    let fresh = || Seed(SystemEntropy.next_u64() % SEEDS);
    let options = Explore {
        children: children(&args.scenario, args.seconds)?,
        jobs: args
            .jobs
            .or_else(|| thread::available_parallelism().ok().map(Into::into))
            .unwrap_or(1),
        first: args.from.unwrap_or_else(fresh),
        end: match args.seeds {
            Some(seeds) => End::Seeds(seeds),
            None => End::After(Duration::from_secs(args.minutes * 60)),
        },
    };
    eprintln!("seeds from {} on", options.first);
    let is_terminal = io::stderr().is_terminal();
    let sweep = explore::explore(&options, |sweep| match is_terminal {
        true => eprint!("\r{} ", sweep.line()),
        false => eprintln!("{}", sweep.line()),
    })?;
    if is_terminal {
        eprintln!();
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&sweep)?);
    } else {
        print!("{sweep}");
    }
    Ok(sweep.failures.is_empty())
}
