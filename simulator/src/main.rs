//! `meridian-sim`: plays a scenario under a seed, sweeps through fresh ones, shows, compares and
//! shrinks runs, or tortures the real program; and says whether every promise held.
//!
//! The report goes to stdout, all else to stderr. The exit code is 0 when every promise held, 1
//! when one was broken or a host failed (or two runs of a seed differ), and 2 when the run could not
//! be made.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Runs the real program in processes while everything goes wrong, and judges what is left on
    /// their disks.
    #[command(long_about = commands::torture::ABOUT)]
    Torture(commands::torture::TortureArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => commands::run::run(&args),
        Command::Explore(args) => commands::explore::explore(&args),
        Command::CheckDeterminism(args) => commands::compare::compare(&args),
        Command::Shrink(args) => commands::shrink::shrink(&args),
        Command::Replay(args) => commands::replay::replay(&args),
        Command::Bugs(args) => commands::bugs::bugs(&args),
        Command::Torture(args) => commands::torture::torture(args),
    };
    match done {
        Ok(has_held) => ExitCode::from(u8::from(!has_held)),
        Err(error) => {
            eprintln!("meridian-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}
