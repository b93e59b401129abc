//! The keys of customers as files: lost, damaged, changed; and what of them a backup has.

use std::{fs, path::Path};

use node::{
    api::teller::v1::ProfileStatus,
    config::Config,
    secrets::{Secrets, hex},
};

use super::{
    CLERK, HOME, MARK, cluster, erase, key_files, keys_in, person, register, set_profile, shown,
    why,
};
use crate::{
    backup::{done, refused},
    cluster::Cluster,
};

/// Writes down what the first node of a region is configured with, for the program.
fn configuration(cluster: &Cluster, region: &str) -> String {
    let config = Config {
        node: cluster.at(region).id,
        topology: Some(cluster.topology_file()),
        secrets: Some(cluster.secrets(region)),
        customer_keys: Some(keys_in(cluster, region)),
        ..Config::default()
    };
    let path = cluster.directory().join(format!("{region}.node.toml"));
    fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_key_is_named_and_a_missing_directory_says_what_to_do() {
    let cluster = cluster().await;
    let home = cluster.at(HOME);
    let customer = register(home, "customer").await;
    let set = async |key: &str| set_profile(home, key, &customer, &person("ada")).await;
    set("profile").await.unwrap();
    let file = key_files(&cluster).remove(0);
    let sound = fs::read(&file).unwrap();
    fs::write(&file, &sound[..sound.len() / 2]).unwrap();
    let told = shown(home, &customer).await;
    assert_eq!(told.profile_status(), ProfileStatus::Unreadable);
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(told.profile_unreadable_because.contains(name), "{told:?}");
    let refused_to = set("again").await.unwrap_err();
    assert_eq!(why(&refused_to), "KEYS_UNAVAILABLE");
    assert!(refused_to.message().contains(name), "{refused_to}");
    // Where it is lost none is made in its place.
    fs::remove_file(&file).unwrap();
    for refused in [set("again"), set("profile")] {
        assert_eq!(why(&refused.await.unwrap_err()), "KEYS_UNAVAILABLE");
    }
    assert_eq!(key_files(&cluster).len(), 0);
    fs::write(&file, &sound).unwrap();
    let told = shown(home, &customer).await;
    assert_eq!(told.profile_status(), ProfileStatus::Read);

    // As if its disk were not mounted: nothing is taken for erased, made anew, or said to be destroyed.
    let keys = keys_in(&cluster, HOME);
    let aside = keys.with_extension("aside");
    fs::rename(&keys, &aside).unwrap();
    fs::create_dir(&keys).unwrap();
    let told = shown(home, &customer).await;
    assert_eq!(told.profile_status(), ProfileStatus::Unreadable);
    let why_not = told.profile_unreadable_because;
    assert!(why_not.contains("meridian keys prepare"), "{why_not}");
    for refused in [set("again"), set("profile")] {
        assert_eq!(why(&refused.await.unwrap_err()), "KEYS_UNAVAILABLE");
    }
    let refused_to = erase(home, "erase", &customer).await.unwrap_err();
    assert_eq!(why(&refused_to), "KEYS_UNAVAILABLE");
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 0);
    let config = configuration(&cluster, HOME);
    let said = refused(2, &["keys", "rewrap", "--config", &config]).await;
    assert!(said.contains("meridian keys prepare"), "{said}");
    fs::remove_dir(&keys).unwrap();
    fs::rename(&aside, &keys).unwrap();
    erase(home, "erase", &customer).await.unwrap();
    assert_eq!(key_files(&cluster).len(), 0);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrapping_key_is_changed_under_running_nodes() {
    let mut cluster = cluster().await;
    let customer = register(cluster.at(HOME), "customer").await;
    let ada = person("ada");
    set_profile(cluster.at(HOME), "profile", &customer, &ada)
        .await
        .unwrap();
    let file = key_files(&cluster).remove(0);
    let before = fs::read_to_string(&file).unwrap();
    let path = cluster.secrets(HOME);
    let new = format!("wrapping_keys = [\"{}\"]\n", hex(&[7; 32]));
    let text = fs::read_to_string(&path).unwrap() + &new;
    fs::write(&path, text).unwrap();
    assert!(Secrets::read(&path).unwrap().is_some());
    cluster.restart_in_turn().await;
    let home = cluster.at(HOME);
    assert_eq!(shown(home, &customer).await.profile, Some(ada.clone()));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let config = configuration(&cluster, HOME);
    done(&["keys", "prepare", "--config", &config]).await;
    for rewrapped in [1, 0] {
        let told = done(&["keys", "rewrap", "--config", &config]).await;
        assert_eq!(
            (&told["keys"], &told["rewrapped"]),
            (&1.into(), &rewrapped.into())
        );
    }
    assert_ne!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(shown(home, &customer).await.profile, Some(ada));
    cluster.shutdown().await;
}

/// By the program: who it is is said, shown, backed up, and erased; and no backup brings it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_from_before_the_erasing_does_not_bring_it_back() {
    let mut cluster = cluster().await;
    let address = cluster.at(HOME).address.clone();
    let at_home = ["--node", &address, "--as", CLERK];
    let ask = async |what: &[&str]| done(&[what, &at_home].concat()).await;
    let opened = ask(&["customer", "open", "--region", HOME, "--key", "customer"]).await;
    let customer = opened["customer"].as_str().unwrap().to_owned();
    let name = format!("Ada {MARK}");
    let profile = ["customer", "profile", &customer, "--name", &name];
    ask(&[
        &profile[..],
        &["--contact", "a", "--contact", "b", "--known-as", "x"],
    ]
    .concat())
    .await;
    let show = ["customer", "show", &customer];
    let told = ask(&show).await;
    assert_eq!(told["profile_status"], "read");
    let expected = serde_json::json!({ "name": name, "contacts": ["a", "b"], "references": ["x"] });
    assert_eq!(told["profile"], expected);

    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backups").to_str().unwrap().to_owned();
    done(&["backup", "--to", &to, "--node", &address]).await;
    ask(&["customer", "legal-hold", &customer, "--key", "hold"]).await;
    let erase = ["customer", "erase", &customer, "--key", "erase"];
    let said = refused(1, &[&erase[..], &at_home].concat()).await;
    assert!(said.contains("LEGAL_HOLD"), "{said}");
    ask(&[
        "customer",
        "legal-hold",
        &customer,
        "--lift",
        "--key",
        "lift",
    ])
    .await;
    ask(&["customer", "erase", &customer, "--key", "now"]).await;
    assert_eq!(ask(&show).await["profile_status"], "erased");
    assert_eq!(key_files(&cluster).len(), 0);
    assert_eq!(super::residency::with(MARK, Path::new(&to)).len(), 0);

    cluster.lose_everything("restored").await;
    let data = cluster.directory().to_str().unwrap().to_owned();
    let file = cluster.topology_file().to_str().unwrap().to_owned();
    let restore = [
        "restore",
        "--from",
        &to,
        "--to",
        "latest",
        "--topology",
        &file,
        "--data",
        &data,
    ];
    done(&restore).await;
    cluster.start_all().await;
    let told = ask(&show).await;
    assert_eq!(told["profile_status"], "unreadable", "{told}");
    assert_eq!(told["profile"], serde_json::Value::Null);
    assert_eq!(key_files(&cluster).len(), 0);
    cluster.shutdown().await;
}
