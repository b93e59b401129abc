//! What `meridian export` writes, as the programs that it is for read it.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use ledger_domain::{AccountId, Currency, Date, Money};
use node::{
    client::{self, Client},
    export::{Error, Format, Journal, Names, Selection, journal},
    import::{self, Books, ImportName},
};

use crate::cluster::{Cluster, THREE_REGIONS};
use crate::stopped::{self, HOME, Store};
use crate::tools;

/// Installed by `deploy/setup.sh bookkeeping`.
const BEAN_CHECK: &str = "beancount-3.2.3/bin/bean-check";

fn bean_check() -> Option<PathBuf> {
    tools::installed(BEAN_CHECK)
}

fn hledger() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|place| place.join("hledger"));
    places.find(|program| program.is_file())
}

/// Says that something was not asked. To the handle itself: the test harness keeps back what a
/// passing test prints.
fn skipped(program: &str, test: &str) {
    let line =
        format!("SKIPPED, {program} is not installed (deploy/setup.sh bookkeeping): {test}\n");
    std::io::stderr().lock().write_all(line.as_bytes()).unwrap();
}

fn run(program: &Path, arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).arg(file);
    command.output().unwrap()
}

/// Is the journal, with these lines after it, right by Beancount? Its complaints otherwise.
fn bean_complaints(program: &Path, journal: &str, more: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("journal.beancount");
    std::fs::write(&file, format!("{journal}\n{more}")).unwrap();
    let output = run(program, &[], &file);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

/// Every account's balance before a date, by hledger.
fn hledger_balances(program: &Path, journal: &str, before: &str) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("journal.hledger");
    std::fs::write(&file, journal).unwrap();
    let checked = run(program, &["check", "--strict", "-f"], &file);
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    let arguments = [
        "balance",
        "--flat",
        "--no-total",
        "-E",
        "-O",
        "csv",
        "-e",
        before,
        "-f",
    ];
    let output = run(program, &arguments, &file);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut rows = csv::Reader::from_reader(&output.stdout[..]);
    rows.records()
        .map(|row| {
            let row = row.unwrap();
            (row[0].to_owned(), row[1].to_owned())
        })
        .collect()
}

/// A household's books of three years, imported into three regions; the directory of the last
/// region's node.
async fn household(books: &Books, name: &ImportName) -> tempfile::TempDir {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let mut options = client::Options::new("test");
    options.deadline = Duration::from_secs(60);
    let address = cluster.at("us-east").address.clone();
    let client = Client::new(vec![address], options).unwrap();
    let summary = import::run(&client, name, books, 256, &|_| {})
        .await
        .unwrap();
    assert_eq!(summary.mismatches, []);
    drop(client);
    stopped::keep(cluster, "us-east").await
}

/// Books that went through three regions, exported and asked by their own assertions.
async fn is_right_by_its_own_assertions(books: &Books, name: &ImportName) {
    let directory = household(books, name).await;

    let names = books.accounts.iter().map(|account| {
        let id: AccountId = name.account(account.home, &account.name).parse().unwrap();
        (id, account.name.clone())
    });
    let names = Names::new(names);
    let write = |format| {
        journal(
            directory.path(),
            None,
            format,
            &Selection::default(),
            &names,
            &|_| {},
        )
        .unwrap()
    };
    let beancount = write(Format::Beancount);
    let across = books
        .transfers
        .iter()
        .filter(|transfer| books.accounts[transfer.from].home != books.accounts[transfer.to].home);
    // Sent, received and settled: each in one book.
    assert_eq!(
        beancount.transactions,
        books.transfers.len() + 2 * across.count()
    );

    let money = |balance: &import::Balance| {
        let account = &books.accounts[balance.account];
        let money = Money {
            minor_units: balance.minor_units,
            currency: account.currency,
        };
        (account.name.clone(), money)
    };
    let assertions: Vec<String> = books
        .balances
        .iter()
        .map(|balance| {
            let (account, money) = money(balance);
            format!("{} balance {account} {money}\n", balance.as_of)
        })
        .collect();
    match bean_check() {
        Some(program) => {
            let right = assertions.concat();
            assert_eq!(bean_complaints(&program, &beancount.text, &right), "");
            let wrong = right.replace(&assertions[0], &assertions[0].replace(".", "1."));
            assert!(!bean_complaints(&program, &beancount.text, &wrong).is_empty());
        }
        None => skipped("bean-check", "a household's assertions"),
    }

    let journal = write(Format::Hledger);
    match hledger() {
        Some(program) => {
            let end = books.balances.iter().map(|it| it.as_of).max().unwrap();
            let found = hledger_balances(&program, &journal.text, &end.to_string());
            let closing: Vec<_> = books.balances.iter().filter(|it| it.as_of == end).collect();
            assert_eq!(closing.len(), books.accounts.len());
            for balance in closing {
                let (account, money) = money(balance);
                let expected = match money.minor_units {
                    0 => "0".to_owned(),
                    _ => money.to_string(),
                };
                assert_eq!(found.get(&account), Some(&expected), "{account}");
            }
        }
        None => skipped("hledger", "a household's closing balances"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_household_that_went_through_three_regions_is_right_by_its_own_assertions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/household-7");
    let books = Books::read(&folder).unwrap();
    assert_eq!((books.accounts.len(), books.balances.len()), (48, 132));
    let name: ImportName = "household-7".parse().unwrap();
    is_right_by_its_own_assertions(&books, &name).await;
}

/// Made by the generator that comes with Beancount.
#[tokio::test(flavor = "multi_thread")]
async fn other_households_are_right_by_their_own_assertions() {
    let Some(python) = bean_check().map(|program| program.with_file_name("python")) else {
        return skipped("beancount", "three other households");
    };
    let maker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/household.py");
    for seed in ["11", "12", "13"] {
        let folder = tempfile::tempdir().unwrap();
        let mut making = Command::new(&python);
        making.arg(&maker).arg(seed).arg(folder.path());
        let made = making.output().unwrap();
        let complaints = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{complaints}");
        let books = Books::read(folder.path()).unwrap();
        assert!(books.transfers.len() > 1_000 && books.balances.len() > 100);
        let name: ImportName = format!("household-{seed}").parse().unwrap();
        is_right_by_its_own_assertions(&books, &name).await;
    }
}

fn export(directory: &Path, format: Format, selection: &Selection) -> Result<Journal, Error> {
    journal(
        directory,
        None,
        format,
        selection,
        &Names::default(),
        &|_| {},
    )
}

/// The legs of each transaction of a journal: account and text of the amount.
fn transactions(journal: &str) -> Vec<Vec<(String, String)>> {
    let blocks = journal.split("\n\n").map(|block| {
        let legs = block.lines().filter(|line| line.starts_with("  "));
        legs.filter_map(|line| {
            let (account, amount) = line.trim().split_once("  ")?;
            Some((account.to_owned(), amount.to_owned()))
        })
        .collect::<Vec<_>>()
    });
    blocks.filter(|legs| !legs.is_empty()).collect()
}

fn units(amount: &str) -> i64 {
    let (number, currency) = amount.split_once(' ').unwrap();
    let currency: Currency = currency.parse().unwrap();
    Money::parse(number, currency).unwrap().minor_units
}

#[test]
fn every_transaction_balances_whatever_happened() {
    let all = Selection::default();
    for format in [Format::Beancount, Format::Hledger] {
        let journal = export(stopped::pristine(), format, &all).unwrap();
        let transactions = transactions(&journal.text);
        assert_eq!(transactions.len(), journal.transactions);
        for legs in &transactions {
            let sum: i64 = legs.iter().map(|(_, amount)| units(amount)).sum();
            assert_eq!((legs.len(), sum), (2, 0), "{legs:?}");
        }
        // Everything has arrived or come back: nothing is under way, and what one book owes another
        // is what that one has to get.
        let ends_at = |part: &str| -> i64 {
            let legs = transactions.iter().flatten();
            let of_part = legs.filter(|(account, _)| account.contains(part));
            of_part.map(|(_, amount)| units(amount)).sum()
        };
        assert_eq!((ends_at(":In-Transit-"), ends_at(":Due-")), (0, 0));
        for account in [
            "Equity:Meridian:Eu-west:House:Cash",
            "Equity:Meridian:Eu-west:House:In-Transit-3",
            "Equity:Meridian:Eu-west:House:Due-To-3",
            "Equity:Meridian:Us-east:House:Due-From-2",
        ] {
            assert!(journal.text.contains(account), "{account}");
        }
        assert!(journal.text.contains("transfer returned"));
        if format == Format::Beancount {
            match bean_check() {
                Some(program) => assert_eq!(bean_complaints(&program, &journal.text, ""), ""),
                None => skipped("bean-check", "everything that can happen"),
            }
        }
    }
}

#[test]
fn a_selection_is_by_date_and_by_account() {
    let whole = Selection::default();
    let journal = export(stopped::pristine(), Format::Hledger, &whole).unwrap();
    let tomorrow: Date = "9999-01-01".parse().unwrap();
    for (from, to, count) in [
        (Some(tomorrow), None, 0),
        (None, Some(tomorrow), journal.transactions),
        (None, Some(Date::MIN), 0),
    ] {
        let selection = Selection {
            from,
            to,
            ..Selection::default()
        };
        let part = export(stopped::pristine(), Format::Hledger, &selection).unwrap();
        assert_eq!(part.transactions, count);
    }
    let called = transactions(&journal.text)
        .into_iter()
        .flatten()
        .map(|(account, _)| account)
        .find(|account| !account.contains(":House:"))
        .unwrap();
    let id = called.replace("Equity:Meridian:", "").replace(':', ".");
    let selection = Selection {
        accounts: [id.parse().unwrap()].into(),
        ..Selection::default()
    };
    let part = export(stopped::pristine(), Format::Hledger, &selection).unwrap();
    assert!(0 < part.transactions && part.transactions < journal.transactions);
    for legs in transactions(&part.text) {
        assert!(
            legs.iter().any(|(account, _)| *account == called),
            "{legs:?}"
        );
    }
}

#[test]
fn no_books_are_made_of_a_directory_that_does_not_hold() {
    let dir = stopped::copy();
    Store::open(dir.path()).flip(stopped::key(stopped::RECORD, HOME, 4), 100);
    let refused = export(dir.path(), Format::Hledger, &Selection::default());
    let why = refused.unwrap_err().to_string();
    assert!(why.contains("shard 2, index 4"), "{why}");
}
