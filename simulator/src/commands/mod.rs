//! The commands that play runs, one file each: their arguments, and what they print.

pub mod bugs;
pub mod compare;
pub mod explore;
pub mod replay;
pub mod run;
pub mod shrink;
pub mod torture;

use std::{fs, path::Path};

use anyhow::Context;
use clap::Args;
use simulator::{
    Seed,
    plan::Plan,
    scenario::{self, Scenario},
    tool::child::{Children, Played},
};

/// Which run is meant: one that follows from a seed, or a plan's.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// The number that the run is a function of.
    #[arg(long)]
    pub seed: Option<Seed>,
    /// A file with a plan, as `shrink` writes it.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<std::path::PathBuf>,
}

/// The scenario that plays plans.
const GENERATED: &str = "generated";

impl Which {
    fn played(&self) -> Played {
        match (&self.plan, self.seed) {
            (Some(file), _) => Played::Plan(file.clone()),
            (None, seed) => Played::Seed(seed.expect("clap asks for one of the two")),
        }
    }

    fn read_plan(&self) -> anyhow::Result<Option<Plan>> {
        self.plan.as_deref().map(read_plan).transpose()
    }
}

fn read_plan(file: &Path) -> anyhow::Result<Plan> {
    let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no plan", file.display()))
}

fn find_scenario(name: &str) -> anyhow::Result<Scenario> {
    let found = scenario::ALL.iter().find(|(known, _)| *known == name);
    let (_, scenario) = found.with_context(|| format!("there is no scenario {name}"))?;
    Ok(*scenario)
}

fn children(scenario: &str, seconds: Option<u64>) -> anyhow::Result<Children> {
    find_scenario(scenario)?;
    Ok(Children {
        program: std::env::current_exe().context("find this program")?,
        scenario: scenario.to_owned(),
        seconds,
        bug: None,
    })
}
