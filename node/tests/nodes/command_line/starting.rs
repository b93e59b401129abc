//! A node that cannot start says why, and leaves what it found as it was.

use std::{fs, path::Path};

use super::program::{BROKEN, Node, USAGE, failing, failing_in_json, free_address};

/// Every file of a directory with what is in it.
fn contents(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

const NO_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A topology of three nodes, whose one shard has these voters.
fn topology(ledger: &str, voters: &str) -> String {
    let mut text = format!(
        "ledger = \"{ledger}\"\n[[regions]]\nname = \"home\"\ntime_zone = \"UTC\"\ndomain = \"home\"\n\
         domain_key = \"{NO_KEY}\"\ntoken_key = \"{NO_KEY}\"\n\
         [[shards]]\nid = 1\nregion = \"home\"\nvoters = {voters}\n"
    );
    for id in 1..=3 {
        text += &format!(
            "[[nodes]]\nid = {id}\nname = \"n{id}\"\nregion = \"home\"\naddress = \"127.0.0.1:{id}\"\n"
        );
    }
    text
}

#[test]
fn a_node_does_not_start_on_what_is_not_its_own() {
    let dirs = tempfile::tempdir().unwrap();
    let data = dirs.path().join("data");
    Node::start(&data).stop();
    let before = contents(&data);
    let (data_text, free) = (data.to_str().unwrap(), free_address());
    let write = |name: &str, text: &str| {
        let path = dirs.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = |topology: &str| format!("data = \"{data_text}\"\ntopology = \"{topology}\"\n");
    let other_node = write("node2.toml", &format!("node = 2\ndata = \"{data_text}\"\n"));
    let second = "[[shards]]\nid = 2\nregion = \"home\"\nvoters = [1]\n";
    let shards = write("shards", &(topology("meridian", "[1]") + second));
    let shards = write("shards.toml", &config(&shards));
    let ledger = write("ledger", &topology("another", "[1]"));
    let ledger = write("ledger.toml", &config(&ledger));
    let broken = write("broken", &topology("meridian", "[1, 2]"));
    let broken = write("broken.toml", &config(&broken));
    let no_node = write("four", &topology("meridian", "[1]"));
    let no_node = write("four.toml", &format!("node = 4\n{}", config(&no_node)));
    let unknown = write("unknown.toml", "dta = \"x\"\n");
    let zero = write("zero.toml", "[limits]\nqueue = 0\n");
    let lost = write("lost.toml", &config("/nowhere/topology.toml"));
    for (arguments, says) in [
        (
            vec!["--config", &other_node],
            "belongs to node `1`, not `2`: nothing was changed",
        ),
        (
            vec!["--data", data_text, "--region", "other", "--listen", &free],
            "belongs to region `home`, not `other`",
        ),
        (
            vec!["--config", &ledger],
            "belongs to ledger `meridian`, not `another`",
        ),
        (
            vec!["--config", &shards],
            "begun with the shards `1 of home`, and the topology has `1 of home, 2 of home`",
        ),
        (
            vec!["--config", &broken],
            "shard 1 needs an odd number of voters",
        ),
        (vec!["--config", &no_node], "the topology has no node 4"),
        (vec!["--config", &unknown], "unknown field `dta`"),
        (vec!["--config", &zero], "zero.toml"),
        (vec!["--config", &lost], "/nowhere/topology.toml"),
        (vec!["--config", "/nowhere/node.toml"], "/nowhere/node.toml"),
    ] {
        let said = failing(&[&["node"], &arguments[..]].concat(), USAGE);
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert_eq!(contents(&data), before, "{arguments:?} changed something");
    }

    // A directory without secrets gets none from a node that it does not belong to.
    fs::rename(data.join("secrets.toml"), dirs.path().join("secrets.toml")).unwrap();
    failing(&["node", "--config", &other_node], USAGE);
    assert!(!data.join("secrets.toml").exists());
    fs::rename(dirs.path().join("secrets.toml"), data.join("secrets.toml")).unwrap();

    let marker = data.join("node.toml");
    fs::write(&marker, "format = 3\nnews = true\n").unwrap();
    let newer = contents(&data);
    let said = failing(&["node", "--data", data_text, "--listen", &free], USAGE);
    assert!(
        said.contains("has format 3; this program knows 2: use a newer one"),
        "{said}"
    );
    fs::write(&marker, "not a marker\n").unwrap();
    let said = failing(&["node", "--data", data_text, "--listen", &free], USAGE);
    assert!(said.contains("is not a node's marker"), "{said}");
    assert_eq!(contents(&data).len(), newer.len());
}

#[test]
fn a_port_in_use_and_a_directory_in_use_are_named() {
    let dirs = tempfile::tempdir().unwrap();
    let data = dirs.path().join("data");
    let node = Node::start(&data);
    let other = dirs.path().join("other");
    let said = failing(
        &[
            "node",
            "--data",
            other.to_str().unwrap(),
            "--listen",
            &node.address,
        ],
        BROKEN,
    );
    assert!(
        said.contains(&format!("cannot listen on {}", node.address)),
        "{said}"
    );
    let error = failing_in_json(
        &[
            "node",
            "--data",
            other.to_str().unwrap(),
            "--listen",
            &node.address,
        ],
        BROKEN,
    );
    assert_eq!(error["retryable"], false);
    let said = failing(
        &[
            "node",
            "--data",
            data.to_str().unwrap(),
            "--listen",
            &free_address(),
        ],
        BROKEN,
    );
    assert!(said.contains("the log cannot be opened"), "{said}");
    assert_eq!(node.balance(), 0, "it serves on");
    node.stop();
}
