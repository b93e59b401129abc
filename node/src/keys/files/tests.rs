use std::os::unix::fs::PermissionsExt as _;

use replication::world::SystemEntropy;

use super::*;

fn customer(key: &str) -> CustomerId {
    CustomerId::derive("eu-west".parse().unwrap(), key)
}

fn key(number: u8) -> CustomerKey {
    CustomerKey::new([number; 32])
}

fn keys(path: &Path, domain: &str, wrapping: &[u8]) -> Directory {
    Directory {
        path: path.to_owned(),
        region: "eu-west".parse().unwrap(),
        domain: domain.to_owned(),
        wrapping: wrapping.iter().copied().map(key).collect(),
        entropy: Arc::new(SystemEntropy),
    }
}

fn why<T: std::fmt::Debug>(result: Result<T, KeyError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_key_is_made_once_is_nobody_elses_and_is_gone_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(&dir.path().join("keys"), "eu", &[1]);
    keys.prepare().unwrap();
    let (one, other) = (customer("one"), customer("other"));
    assert_eq!(keys.get(&one).unwrap(), None);
    assert_eq!(keys.create(&one, &key(8)).unwrap(), key(8));
    assert_eq!(keys.create(&one, &key(9)).unwrap(), key(8));
    assert_eq!(keys.create(&other, &key(9)).unwrap(), key(9));
    let path = keys.file(&one);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&hex(key(8).secret())));
    // What a loss of power leaves while it is made goes with it, and another's does not.
    let left = |name: String| keys.unfinished().join(format!("{name}.here-1-1"));
    for whose in [one, other] {
        fs::write(left(Directory::name(&whose)), &text).unwrap();
    }
    for _ in 0..2 {
        keys.destroy(&one).unwrap();
    }
    assert_eq!(keys.get(&one).unwrap(), None);
    assert!(!left(Directory::name(&one)).exists());
    assert!(left(Directory::name(&other)).exists());
    assert_eq!(keys.get(&other).unwrap(), Some(key(9)));
}

#[test]
fn a_damaged_key_is_named_and_is_not_taken_for_one_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path(), "eu", &[1]);
    keys.prepare().unwrap();
    let (one, other) = (customer("one"), customer("other"));
    for whose in [&one, &other] {
        keys.create(whose, &key(8)).unwrap();
    }
    let path = keys.file(&one);
    let sound = fs::read_to_string(&path).unwrap();
    let theirs = fs::read_to_string(keys.file(&other)).unwrap();
    let broken = [
        String::new(),
        "what is this?".to_owned(),
        sound[..sound.len() / 2].to_owned(),
        sound.replace("format = 1", "format = 2"),
        theirs.replace(&other.to_string(), &one.to_string()),
        theirs,
    ];
    for text in broken {
        fs::write(&path, &text).unwrap();
        let told = why(keys.get(&one));
        assert!(told.contains(path.to_str().unwrap()), "{told}");
        assert!(keys.create(&one, &key(9)).is_err(), "it is not lost");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert!(keys.rewrap().is_err() || text.contains(&other.to_string()));
    }
    keys.destroy(&one).unwrap();
    assert_eq!(keys.get(&one).unwrap(), None);
}

#[test]
fn a_directory_that_is_not_the_one_is_not_taken_for_one_without_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let ours = keys(&path, "eu", &[1]);
    let one = customer("one");
    for _ in 0..2 {
        let all = [
            why(ours.get(&one)),
            why(ours.create(&one, &key(8))),
            why(ours.destroy(&one)),
            why(ours.rewrap()),
        ];
        for told in all {
            assert!(told.contains("meridian keys prepare"), "{told}");
        }
        assert!(!path.join("unfinished").exists());
        // As if the disk that it is on were not mounted.
        fs::create_dir_all(&path).unwrap();
    }
    ours.prepare().unwrap();
    ours.create(&one, &key(8)).unwrap();
    ours.prepare().unwrap();
    assert_eq!(ours.get(&one).unwrap(), Some(key(8)));
    let theirs = keys(&path, "us", &[1]);
    for told in [why(theirs.prepare()), why(theirs.get(&one))] {
        assert!(told.contains("eu") && told.contains("us"), "{told}");
    }
}

#[test]
fn the_wrapping_key_is_changed_and_the_old_one_can_go() {
    let dir = tempfile::tempdir().unwrap();
    let keys = |wrapping: &[u8]| keys(dir.path(), "eu", wrapping);
    let (one, other) = (customer("one"), customer("other"));
    let old = keys(&[1]);
    old.prepare().unwrap();
    old.create(&one, &key(8)).unwrap();
    let both = keys(&[2, 1]);
    assert_eq!(both.get(&one).unwrap(), Some(key(8)));
    both.create(&other, &key(9)).unwrap();
    let new = keys(&[2]);
    assert!(why(new.get(&one)).contains("wrapping key"));
    assert_eq!(new.get(&other).unwrap(), Some(key(9)));
    // Of a region whose secrets this one does not have.
    let abroad = "eu-west-9-00.key";
    fs::write(dir.path().join(abroad), "theirs").unwrap();
    let done = both.rewrap().unwrap();
    assert_eq!((done.keys, done.rewrapped), (2, 1));
    assert_eq!(both.rewrap().unwrap().rewrapped, 0);
    assert_eq!(new.get(&one).unwrap(), Some(key(8)));
    assert!(old.get(&one).is_err());
    assert_eq!(fs::read_dir(both.unfinished()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_sealed_anew_is_named_and_all_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let keys = |wrapping: &[u8]| keys(dir.path(), "eu", wrapping);
    let old = keys(&[1]);
    old.prepare().unwrap();
    let all: Vec<_> = (0..8).map(|n| customer(&n.to_string())).collect();
    for whose in &all {
        old.create(whose, &key(8)).unwrap();
    }
    let broken = [old.file(&all[0]), old.file(&all[5])];
    for path in &broken {
        fs::write(path, "what is this?").unwrap();
    }
    let both = keys(&[2, 1]);
    for rewrapped in [6, 0] {
        let error = both.rewrap().unwrap_err();
        let KeyError::NotRewrapped { done, failures } = &error else {
            panic!("{error}");
        };
        assert_eq!((done.keys, done.rewrapped), (6, rewrapped));
        assert_eq!(failures.len(), broken.len());
        for path in &broken {
            assert!(error.to_string().contains(path.to_str().unwrap()));
        }
    }
    let new = keys(&[2]);
    for (n, whose) in all.iter().enumerate() {
        assert_eq!(new.get(whose).is_ok(), n != 0 && n != 5);
    }
}
