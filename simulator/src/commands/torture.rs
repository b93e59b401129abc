use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use simulator::{
    Seed,
    plan::Anomaly,
    torture::{self, Done, Failure, Ground, Progress, Survived, Tidings, Torture},
};

/// What `--help` says of it.
pub const ABOUT: &str = "\
Runs the real program in processes while everything goes wrong, and judges what is left on their \
disks.

Seven nodes of two regions run on this machine, under the simulator's workload. Processes are \
killed (kill -9) and stopped (SIGSTOP). With root, each node has a network namespace and a small \
file system of its own: regions are far apart, links are cut, slow, lossy or clogged, disks are full, \
and lose with the power what was not synced. Without, that is left out, and said. At the end all oracles of the simulator judge, and the offline verifier reads every directory.

The seed determines the workload and what goes wrong, but not when exactly. Nothing stays behind: \
no process, namespace, device or mount. After a failure the directory with data and logs does.";

#[derive(Debug, Args)]
pub struct TortureArgs {
    /// For how long things go wrong.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// The same in seconds.
    #[arg(long, conflicts_with = "minutes")]
    seconds: Option<u64>,
    /// What the workload and the troubles are drawn from.
    #[arg(long, default_value = "1")]
    seed: Seed,
    /// The program to torture. Default: `meridian` beside this one.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the nodes keep their data, a new directory; it stays after a failure. Default: a
    /// temporary one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Lets customers do nothing but try to be shown one thing that must not be seen: bank,
    /// long-fork, causal-reverse or monotonic.
    #[arg(long, value_name = "NAME")]
    workload: Option<Anomaly>,
    /// Uses nothing that needs root, even where that is allowed.
    #[arg(long)]
    without_root: bool,
    /// Power cuts take also what was synced. No redundancy covers that: it shows that the judges
    /// would notice.
    #[arg(long)]
    lying_disks: bool,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Returns whether everything held.
pub fn torture(args: TortureArgs) -> anyhow::Result<bool> {
    // Before there is any other thread.
    let ground = match args.without_root {
        true => Ground::common(),
        false => Ground::claim(),
    };
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
        ground,
        hunts: args.workload,
        disks_lie: args.lying_disks,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    eprintln!("seed {}", args.seed);
    let is_terminal = io::stderr().is_terminal();
    let mut told = None;
    let tell = |tidings: Tidings| match tidings {
        Tidings::LeftOut(what) => eprintln!("left out: {what}"),
        Tidings::Peace if is_terminal => eprintln!("\npeace; waiting for rest, then judging"),
        Tidings::Peace => eprintln!("peace; waiting for rest, then judging"),
        Tidings::Progress(progress) if is_terminal => eprint!("\r{} ", line(&progress)),
        // A line for each thing that was done, and no more.
        Tidings::Progress(progress) => {
            if told.replace(progress.done) != Some(progress.done) {
                eprintln!("{}", line(&progress));
            }
        }
    };
    let survived = runtime.block_on(torture::torture(options, tell));
    match survived {
        Ok(survived) => {
            remove(&dir)?;
            if args.json {
                println!("{}", serde_json::to_string(&survived)?);
            } else {
                print_survived(&survived);
            }
            Ok(true)
        }
        Err(Failure::Interrupted) => {
            remove(&dir)?;
            anyhow::bail!("interrupted: nothing was judged")
        }
        Err(failure) => {
            println!("FAILED with seed {}: {failure}", args.seed);
            println!(
                "The nodes' data and logs are in {}; `mount -o loop` shows what is in an .img file.",
                dir.display()
            );
            Ok(false)
        }
    }
}

/// Processes that were killed may be writing their last.
fn remove(dir: &Path) -> anyhow::Result<()> {
    const TRIES: u32 = 20;
    let mut tries = 0;
    loop {
        match std::fs::remove_dir_all(dir) {
            Err(_) if tries < TRIES => std::thread::sleep(Duration::from_millis(100)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => return removed.context("remove the nodes' data"),
        }
        tries += 1;
    }
}

fn line(progress: &Progress) -> String {
    let Progress {
        seconds,
        done,
        receipts,
    } = progress;
    let Done {
        kills,
        power_cuts,
        stops,
        cuts,
        spells,
        full_disks,
        told_full,
    } = done;
    format!(
        "{:>3}:{:02}  killed: {} leaders, {} followers, {} copies ({} times together, {power_cuts} \
         without power)  stopped: {stops}  cut: {cuts}  slow or lossy: {spells}  \
         full: {full_disks} (told {told_full} times)  receipts: {receipts}",
        seconds / 60,
        seconds % 60,
        kills.leaders,
        kills.followers,
        kills.copies,
        kills.together,
    )
}

fn print_survived(survived: &Survived) {
    let sentence = "Every receipt is kept, no vote was taken back, all chains and books hold.";
    println!("{sentence}");
    println!("{}", line(&survived.progress).trim_start());
    for what in &survived.left_out {
        println!("left out: {what}");
    }
    for (what, count) in &survived.counts {
        println!("{count:>8} {what}");
    }
    for (oracle, count) in &survived.judged {
        println!("{count:>8} judged by {oracle}");
    }
    println!("{:>8} indexes verified on all disks", survived.verified);
    let mebibytes = survived.memory >> 20;
    println!("{mebibytes:>8} MiB of memory, the most that a node has used");
}
