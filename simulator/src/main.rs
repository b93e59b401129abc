//! `meridian-sim`: plays a scenario under a seed, sweeps through fresh ones, shows, compares and
//! shrinks runs, or tortures the real program; and says whether every promise held.
//!
//! The report goes to stdout, all else to stderr. The exit code is 0 when every promise held, 1
//! when one was broken or a host failed (or two runs of a seed differ), and 2 when the run could not
//! be made.

mod commands;

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use simulator::{
    Seed,
    torture::{self, Progress, Survived, Torture},
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
    Run(commands::run::RunArgs),
    /// Plays fresh seeds on all cores until the time is up or a promise is broken.
    Explore(commands::explore::ExploreArgs),
    /// Plays a seed twice, in processes of its own, and compares the traces line by line.
    CheckDeterminism(commands::compare::CompareArgs),
    /// Makes the plan of a failing run small.
    Shrink(commands::shrink::ShrinkArgs),
    /// Plays a seed and writes it down as a page for people.
    Replay(commands::replay::ReplayArgs),
    /// Lists the known bugs that can be planted, or looks for them.
    Bugs(commands::bugs::BugsArgs),
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

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => commands::run::run(&args),
        Command::Explore(args) => commands::explore::explore(&args),
        Command::CheckDeterminism(args) => commands::compare::compare(&args),
        Command::Shrink(args) => commands::shrink::shrink(&args),
        Command::Replay(args) => commands::replay::replay(&args),
        Command::Bugs(args) => commands::bugs::bugs(&args),
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
