//! Plans, and the tools that play them, as a person uses them.

use std::collections::BTreeMap;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use simulator::{
    Seed,
    plan::{Habits, Plan, Trouble, What, distances, redundancy},
};

fn meridian_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meridian-sim"))
        .args(arguments)
        .output()
        .expect("start meridian-sim")
}

fn text(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    let progress = String::from_utf8_lossy(&output.stderr);
    format!("{said}\n{progress}")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary files have plain names")
}

#[test]
fn a_plan_is_a_function_of_its_seed_within_bounds() {
    let mut kinds = std::collections::BTreeMap::new();
    let (mut with_groups, mut with_operators, mut with_clerks) = (0, 0, 0);
    for seed in (0..300).map(Seed) {
        let plan = Plan::generate(seed);
        assert_eq!(plan, Plan::generate(seed));
        let stored = serde_json::to_string(&plan).expect("a plan is JSON");
        let read: Plan = serde_json::from_str(&stored).expect("and can be read again");
        assert_eq!(plan, read);

        assert!((1..=5).contains(&plan.regions.len()), "seed {seed}");
        let shards: u32 = plan.regions.iter().map(|region| region.shards).sum();
        assert!((1..=8).contains(&shards), "seed {seed}: {shards} shards");
        for region in &plan.regions {
            assert!([1, 3, 5].contains(&region.nodes) && region.shards > 0);
            assert!(
                distances::REGIONS
                    .iter()
                    .any(|known| known.name == region.name)
            );
        }
        let clients = plan.clients.iter();
        let groups = clients.clone().filter(|it| it.habits.consumes.is_some());
        let clerks = clients.clone().filter(|it| it.habits.opens).count();
        let (groups, operators) = (
            groups.count(),
            clients.filter(|it| it.habits.rebuilds).count(),
        );
        assert!(groups <= 2 && operators <= 1 && [0, 2].contains(&clerks));
        let others = groups + operators + clerks;
        assert!((2..=8).contains(&(plan.clients.len() - others)));
        with_groups += usize::from(groups > 0);
        with_operators += operators;
        with_clerks += clerks / 2;
        assert!(plan.lying_disks.is_empty());
        let voters = plan.voters();
        let losers = redundancy::losers(&plan, voters.keys().copied());
        redundancy::covers(&voters, &losers).expect("no more is lost than may be");
        for trouble in &plan.troubles {
            assert!(trouble.at_ms < plan.length_ms && trouble.lasts_ms > 0);
            assert!(What::KINDS.contains(&trouble.what.kind()));
        }
        for (kind, count) in plan.kinds() {
            *kinds.entry(kind).or_insert(0) += count;
        }
    }
    assert!((30..150).contains(&with_groups), "{with_groups} of 300");
    assert!(
        (50..150).contains(&with_operators),
        "{with_operators} of 300"
    );
    assert!((50..150).contains(&with_clerks), "{with_clerks} of 300");
    for kind in What::KINDS {
        assert!(kinds.contains_key(kind), "300 seeds have no {kind}");
    }
}

/// A small world with a disk that lies, in which a power cut takes what was acknowledged: a
/// failure that is planted, among troubles that have nothing to do with it.
fn planted() -> Plan {
    let mut plan = Plan::generate(Seed(1));
    plan.regions.truncate(1);
    let region = &mut plan.regions[0];
    (region.nodes, region.shards) = (1, 1);
    let home = region.name.clone();
    let node = format!("{home}-1");
    plan.round_trips.clear();
    plan.length_ms = 6_000;
    plan.clients.truncate(3);
    for client in &mut plan.clients {
        client.region.clone_from(&home);
        client.habits = Habits {
            think_ms: 20,
            ..Habits::default()
        };
    }
    let trouble = |at_ms, what| Trouble {
        at_ms,
        lasts_ms: 500,
        what,
    };
    let slow = What::Slow {
        node: node.clone(),
        millis: 3,
    };
    let jump = What::Jump {
        node: node.clone(),
        millis: 20,
    };
    let power_cut = What::PowerCut { node: node.clone() };
    plan.troubles = vec![
        trouble(500, slow.clone()),
        trouble(1_000, jump),
        trouble(3_000, power_cut),
        trouble(4_000, slow),
    ];
    plan.lying_disks = vec![node];
    plan
}

#[test]
fn a_disk_that_lies_is_found_out_and_the_plan_shrinks_to_what_it_needs() {
    let directory = tempfile::tempdir().expect("a directory for plans");
    let (big, small) = (directory.path().join("big"), directory.path().join("small"));
    let plan = planted();
    fs::write(&big, serde_json::to_string(&plan).expect("JSON")).expect("write the plan");

    let honest = Plan {
        lying_disks: Vec::new(),
        ..plan
    };
    fs::write(&small, serde_json::to_string(&honest).expect("JSON")).expect("write a plan");
    let held = meridian_sim(&["run", "--plan", path(&small)]);
    assert!(held.status.success(), "{}", text(&held));

    let shrunk = meridian_sim(&["shrink", "--plan", path(&big), "--out", path(&small)]);
    assert_eq!(shrunk.status.code(), Some(1), "{}", text(&shrunk));
    let smallest: Plan = serde_json::from_slice(&fs::read(&small).expect("it was written"))
        .expect("a shrunk plan is a plan");
    assert_eq!(smallest.lying_disks.len(), 1, "{}", text(&shrunk));
    let is_power_cut = |trouble: &Trouble| matches!(trouble.what, What::PowerCut { .. });
    assert!(smallest.troubles.len() == 1, "{}", text(&shrunk));
    assert!(smallest.troubles.iter().all(is_power_cut));
    assert!(smallest.clients.len() <= 1, "{}", text(&shrunk));

    let again = meridian_sim(&["run", "--plan", path(&small), "--json"]);
    let report: Value = serde_json::from_slice(&again.stdout).expect("a report is JSON");
    assert_eq!(again.status.code(), Some(1), "{report}");
    assert_ne!(report["failure"], Value::Null);
}

#[test]
fn a_generated_run_replays_line_by_line() {
    let compared = meridian_sim(&["check-determinism", "--seed", "3", "--seconds", "10"]);
    assert!(compared.status.success(), "{}", text(&compared));
    assert!(text(&compared).contains("twice the same"));
}

#[test]
fn journals_of_all_customers_end_in_both_ways_whatever_befalls_their_shards() {
    let directory = tempfile::tempdir().expect("a directory for the plan");
    let file = directory.path().join("plan");
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in [1, 2, 3].map(Seed) {
        let mut plan = Plan::generate(seed);
        for client in &mut plan.clients {
            client.habits.journals = 700;
            client.habits.deposits = 500;
        }
        fs::write(&file, serde_json::to_string(&plan).expect("JSON")).expect("write the plan");
        let output = meridian_sim(&["run", "--plan", path(&file), "--json"]);
        assert!(output.status.success(), "{}", text(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report is JSON");
        for kind in [
            "journals posted between shards",
            "journals cancelled",
            "journals told to be posted",
            "journals told to be cancelled",
            "journals seen pending",
            "exchanges taken",
            "reversals of journals",
        ] {
            *counts.entry(kind).or_default() += report["counts"][kind].as_u64().unwrap_or(0);
        }
    }
    assert!(counts.values().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn a_sweep_says_what_it_reached_and_what_it_did_not() {
    let sweep = [
        "explore",
        "--seeds",
        "3",
        "--from",
        "1",
        "--seconds",
        "8",
        "--json",
    ];
    let output = meridian_sim(&sweep);
    assert!(output.status.success(), "{}", text(&output));
    let sweep: Value = serde_json::from_slice(&output.stdout).expect("a sweep is JSON");
    assert_eq!(sweep["seeds"], 3);
    assert!(sweep["simulated_seconds"].as_u64() > Some(24), "{sweep}");
    assert!(sweep["counts"]["accepted"].as_u64() > Some(0), "{sweep}");
    assert!(sweep["situations"]["a leader came to lead"].as_u64() > Some(0));
    let never = sweep["never_reached"].as_array().expect("a list");
    assert!(
        !never.is_empty(),
        "three short runs cannot reach everything"
    );
}

#[test]
fn a_run_is_one_page_that_fetches_nothing() {
    let directory = tempfile::tempdir().expect("a directory for the page");
    let file = directory.path().join("page.html");
    let replay = [
        "replay",
        "--seed",
        "2",
        "--seconds",
        "5",
        "--trace",
        path(&file),
    ];
    let output = meridian_sim(&replay);
    assert!(output.status.success(), "{}", text(&output));
    let page = fs::read_to_string(&file).expect("a page was written");
    for part in ["<svg", "leads shard", "request 1,"] {
        assert!(page.contains(part), "the page has no {part}");
    }
    for fetches in ["src=", "href=", "@import", "fetch("] {
        assert!(!page.contains(fetches), "the page has {fetches}");
    }
}

/// Plans that once failed, each named for what went wrong.
#[test]
fn every_kept_plan_holds() {
    let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut played = 0;
    for entry in fs::read_dir(plans).expect("the plans are there") {
        let file = entry.expect("and can be listed").path();
        let output = meridian_sim(&["run", "--plan", path(&file)]);
        assert!(
            output.status.success(),
            "{}: {}",
            file.display(),
            text(&output)
        );
        played += 1;
    }
    assert!(played > 0);
}
