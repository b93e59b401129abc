use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use ledger_domain::planted::Bug;
use serde::Serialize;
use simulator::{
    Seed, scenario,
    tool::{
        Stopwatch,
        child::{Children, Played},
    },
};

use super::{GENERATED, children};

#[derive(Debug, Args)]
pub struct BugsArgs {
    /// Looks for these instead of listing them; for all of them where none is named.
    #[arg(long, value_name = "NAME", num_args = 0..)]
    find: Option<Vec<String>>,
    /// How many seeds of each scenario are played for each bug.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// For how long, in seconds of real time, seeds are begun for each bug and scenario.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first seed; the others follow it.
    #[arg(long, default_value = "1")]
    from: Seed,
    /// The scenarios to play, in this order.
    #[arg(long, default_values_t = [scenario::ALL[0].0.to_owned(), GENERATED.to_owned()])]
    scenario: Vec<String>,
    /// Prints what was found as JSON, a line for each bug.
    #[arg(long)]
    json: bool,
}

/// What became of the search for a bug.
#[derive(Debug, Serialize)]
struct Search {
    bug: &'static str,
    /// Seeds played in all scenarios, the one that found it included.
    played: u64,
    /// Real time, in seconds.
    seconds: u64,
    found: Option<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    scenario: String,
    seed: Seed,
    kind: Option<String>,
    failure: String,
}

/// Returns whether every bug that was looked for was found.
pub fn bugs(args: &BugsArgs) -> anyhow::Result<bool> {
    let Some(names) = &args.find else {
        for bug in Bug::ALL {
            println!("{:<24} {}", bug.name(), bug.sentence());
        }
        return Ok(true);
    };
    let named = names.iter().map(|name| find_bug(name));
    let mut wanted = named.collect::<anyhow::Result<Vec<_>>>()?;
    if wanted.is_empty() {
        wanted = Bug::ALL.to_vec();
    }
    anyhow::ensure!(cfg!(feature = "planted-bugs"), NOT_HERE);
    let mut are_all_found = true;
    for bug in wanted {
        let search = search(args, bug)?;
        are_all_found &= search.found.is_some();
        if args.json {
            println!("{}", serde_json::to_string(&search)?);
        } else {
            print_search(&search);
        }
    }
    Ok(are_all_found)
}

const NOT_HERE: &str = "this program was built without known bugs; build it with \
                        `cargo build --release --workspace --features simulator/planted-bugs \
                        --bin meridian-sim`";

/// Plants a bug in this process.
pub fn plant(name: &str) -> anyhow::Result<()> {
    let bug = find_bug(name)?;
    #[cfg(feature = "planted-bugs")]
    {
        ledger_domain::planted::choose(bug);
        Ok(())
    }
    #[cfg(not(feature = "planted-bugs"))]
    anyhow::bail!("{} cannot be planted: {NOT_HERE}", bug.name())
}

fn find_bug(name: &str) -> anyhow::Result<Bug> {
    Bug::from_name(name).with_context(|| format!("there is no known bug {name}"))
}

/// Plays seeds until one fails.
fn search(args: &BugsArgs, bug: Bug) -> anyhow::Result<Search> {
    let begun = Stopwatch::start();
    let mut played = 0;
    let mut found = None;
    'search: for scenario in &args.scenario {
        let children = Children {
            bug: Some(bug.name().to_owned()),
            ..children(scenario, None)?
        };
        let started = Stopwatch::start();
        for number in 0..args.seeds {
            if started.elapsed() >= Duration::from_secs(args.seconds) {
                break;
            }
            let seed = Seed(args.from.0.wrapping_add(number));
            if io::stderr().is_terminal() {
                eprint!("\r{}: {scenario}, seed {seed} ", bug.name());
            }
            let told = children.play(&Played::Seed(seed), None)?;
            played += 1;
            if let Some(failure) = told.failure {
                let (scenario, kind) = (scenario.clone(), told.kind);
                found = Some(Found {
                    scenario,
                    seed,
                    kind,
                    failure,
                });
                break 'search;
            }
        }
    }
    if io::stderr().is_terminal() {
        eprint!("\r");
    }
    let seconds = begun.elapsed().as_secs();
    let bug = bug.name();
    Ok(Search {
        bug,
        played,
        seconds,
        found,
    })
}

fn print_search(search: &Search) {
    let Search {
        bug,
        played,
        seconds,
        found,
    } = search;
    match found {
        Some(found) => {
            let kind = found.kind.as_deref().unwrap_or_default();
            println!(
                "{bug:<24} {} seed {} (run {played}, {seconds} s), {kind}: {}",
                found.scenario, found.seed, found.failure
            );
        }
        None => println!("{bug:<24} NOT FOUND in {played} runs, {seconds} s"),
    }
}
