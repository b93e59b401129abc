//! The proof that the simulator would notice: every known bug that `docs/known-bugs.md` calls found
//! is found again within the seeds it states, and the same seeds find nothing without the bug.
//!
//! In a build without the bugs there is nothing to play.

#![cfg(feature = "planted-bugs")]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
    sync::Mutex,
    thread,
};

use ledger_domain::planted::Bug;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_meridian-sim");

/// A row of the page: seeds to play, and what they come to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    /// Which scenario, or `plan` and the name of a plan that is kept.
    scenario: String,
    /// From 1 on, so many; a plan has one of its own.
    seeds: u64,
    /// Which bug is planted.
    bug: Option<String>,
}

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/known-bugs.md");
    fs::read_to_string(page).expect("the page is there")
}

/// The rows of a table: bug, what it does, scenario, seeds, how it is told.
fn found(page: &str) -> Vec<Told> {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim().trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    };
    let rows = page
        .lines()
        .map(cells)
        .filter(|cells| cells.len() == 5 && Bug::from_name(&cells[0]).is_some());
    rows.map(|cells| Told {
        scenario: cells[2].clone(),
        seeds: cells[3].parse().expect("a number of seeds"),
        bug: Some(cells[0].clone()),
    })
    .collect()
}

fn play(told: &Told, seed: u64) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--json"]);
    match told.scenario.strip_prefix("plan ") {
        Some(plan) => command.arg("--plan").arg(format!(
            "{}/tests/plans/{plan}.json",
            env!("CARGO_MANIFEST_DIR")
        )),
        None => command.args(["--scenario", &told.scenario, "--seed", &seed.to_string()]),
    };
    if let Some(bug) = &told.bug {
        command.args(["--bug", bug]);
    }
    command.output().expect("start meridian-sim")
}

/// What is not so, if anything.
fn complaint(told: &Told) -> Option<String> {
    let mut all_said = Vec::new();
    for seed in 1..=told.seeds {
        let output = play(told, seed);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: Value = serde_json::from_str(&said).unwrap_or(Value::Null);
        // However it shows: without the bug the same seeds show nothing.
        let has_failed = output.status.code() == Some(1) && report["kind"].is_string();
        match &told.bug {
            Some(_) if has_failed => return None,
            None if !output.status.success() => {
                return Some(format!("{told:?}, seed {seed}: {said}"));
            }
            _ => all_said.push(said),
        }
    }
    let bug = told.bug.as_ref()?;
    Some(format!("{bug}: {}", all_said.join("\n")))
}

#[test]
fn every_bug_is_found_within_its_seeds_and_nothing_without_it() {
    let mut runs = found(&page());
    assert!(!runs.is_empty(), "the page tells of no bug that is found");
    let clean: BTreeSet<Told> = runs
        .iter()
        .map(|told| Told {
            bug: None,
            ..told.clone()
        })
        .collect();
    runs.extend(clean);
    let (left, complaints) = (Mutex::new(runs), Mutex::new(Vec::new()));
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("no job panics").pop();
                    let Some(told) = next else { return };
                    let complaint = complaint(&told);
                    complaints.lock().expect("no job panics").extend(complaint);
                }
            });
        }
    });
    let complaints = complaints.into_inner().expect("no job panics");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_page_tells_of_every_bug_once_and_the_program_has_its_name() {
    let page = page();
    let program = fs::read(PROGRAM).expect("read the program");
    for bug in Bug::ALL {
        let row = format!("| `{}` | {} |", bug.name(), bug.sentence());
        assert_eq!(page.matches(&row).count(), 1, "the page has no row {row}");
        let name = bug.name().as_bytes();
        let has_name = program.windows(name.len()).any(|window| window == name);
        assert!(has_name, "{} is not in the program", bug.name());
    }
}
