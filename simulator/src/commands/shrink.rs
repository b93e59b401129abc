use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use simulator::{
    plan::Plan,
    tool::{
        Stopwatch,
        child::{Children, Played},
        shrink,
    },
};

use super::{GENERATED, Which, children};

#[derive(Debug, Args)]
pub struct ShrinkArgs {
    #[command(flatten)]
    which: Which,
    /// Where to write the smallest plan that fails.
    #[arg(long, value_name = "FILE", default_value = "shrunk.json")]
    out: PathBuf,
    /// For how long smaller plans are tried, in minutes of real time.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
}

/// Returns false: what it leaves behind fails.
pub fn shrink(args: &ShrinkArgs) -> anyhow::Result<bool> {
    let children = children(GENERATED, None)?;
    let plan = match (args.which.read_plan()?, args.which.seed) {
        (Some(plan), _) => plan,
        (None, seed) => Plan::generate(seed.context("neither a plan nor a seed")?),
    };
    let played = Played::Plan(args.out.clone());
    let kind = play(&children, &played, &args.out, &plan)?;
    let kind = kind.context("every promise holds: there is nothing to shrink")?;
    let started = Stopwatch::start();
    let mut tried = 0;
    let mut broken = None;
    let fails = |smaller: &Plan| {
        tried += 1;
        match play(&children, &played, &args.out, smaller) {
            Ok(found) => {
                let fails = found.as_deref() == Some(kind.as_str());
                if fails {
                    eprintln!("after {tried} runs: {}", size(smaller));
                }
                fails
            }
            Err(error) => {
                broken.get_or_insert(error);
                false
            }
        }
    };
    let goes_on = || started.elapsed() < Duration::from_secs(args.minutes * 60);
    let smallest = shrink::shrink(plan, fails, goes_on);
    if let Some(error) = broken {
        return Err(error);
    }
    write(&args.out, &smallest)?;
    println!("{} ({kind}), after {tried} runs", size(&smallest));
    println!("{}", children.command(&played));
    Ok(false)
}

/// Plays a plan, and returns how it fails, if it does.
fn play(
    children: &Children,
    played: &Played,
    file: &PathBuf,
    plan: &Plan,
) -> anyhow::Result<Option<String>> {
    write(file, plan)?;
    let told = children.play(played, None).context("start a run")?;
    Ok(told.kind)
}

fn write(file: &PathBuf, plan: &Plan) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(plan)?;
    fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))
}

fn size(plan: &Plan) -> String {
    format!(
        "{} troubles, {} clients, {:.1} s",
        plan.troubles.len(),
        plan.clients.len(),
        Duration::from_millis(plan.length_ms).as_secs_f64(),
    )
}
