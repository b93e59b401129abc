//! Good files, and every kind of bad line.

use super::*;

const GOOD: [(&str, &str); 3] = [
    (
        ACCOUNTS,
        "account,home_region,currency,may_go_negative,opened_on\n\
         a,eu-west,USD,true,2024-01-01\nb,us-east,USD,false,2024-01-01\n\
         e,us-east,EUR,false,2024-01-01\n",
    ),
    (
        TRANSFERS,
        "seq,effective_date,transaction,memo,from_account,to_account,currency,amount_minor\n\
         1,2024-01-02,t1,\"Rent, and more\",a,b,USD,100\n",
    ),
    (
        BALANCES,
        "as_of_date,account,currency,amount_minor\n2024-01-03,a,USD,-100\n",
    ),
];

fn read(edit: &str, from: &str, to: &str) -> Result<Books, Problem> {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in GOOD {
        let text = if file == edit {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        } else {
            text.to_owned()
        };
        fs::write(folder.path().join(file), text).unwrap();
    }
    Books::read(folder.path())
}

#[test]
fn good_files_are_read() {
    let books = read("", "", "").unwrap();
    assert_eq!(books.accounts.len(), 3);
    assert_eq!(books.transfers[0].memo, "Rent, and more");
    assert_eq!((books.transfers[0].from, books.transfers[0].to), (0, 1));
    assert_eq!(books.balances[0].minor_units, -100);
}

#[test]
fn a_bad_line_is_named_by_file_and_line() {
    let row = "a,b,USD,100";
    for (file, from, to, line, message) in [
        (
            ACCOUNTS,
            "home_region",
            "home",
            1,
            "the header is not account,home_region",
        ),
        (
            ACCOUNTS,
            "eu-west",
            "EU",
            2,
            "home_region: `EU` is not a region's name",
        ),
        (
            ACCOUNTS,
            "USD,false",
            "DOLLAR,false",
            3,
            "currency: `DOLLAR` is not a currency",
        ),
        (
            ACCOUNTS,
            "USD,true",
            "USD,yes",
            2,
            "may_go_negative: `yes` is not true or false",
        ),
        (
            ACCOUNTS,
            "b,us-east",
            "a,us-east",
            3,
            "account `a` is there twice",
        ),
        (ACCOUNTS, "b,us-east", ",us-east", 3, "account is empty"),
        (
            ACCOUNTS,
            "true,2024-01-01",
            "true,20240101",
            2,
            "`20240101` is not a date",
        ),
        (TRANSFERS, row, "a,b,USD", 2, "7 fields instead of 8"),
        (
            TRANSFERS,
            row,
            "a,b,USD,1.00",
            2,
            "`1.00` is not a whole number",
        ),
        (
            TRANSFERS,
            row,
            "a,b,USD,99999999999999999999",
            2,
            "is not a whole number",
        ),
        (
            TRANSFERS,
            row,
            "a,b,USD,0",
            2,
            "amount_minor 0 is not above zero",
        ),
        (
            TRANSFERS,
            row,
            "a,b,USD,-5",
            2,
            "amount_minor -5 is not above zero",
        ),
        (
            TRANSFERS,
            row,
            "a,x,USD,100",
            2,
            "account `x` is not in accounts.csv",
        ),
        (
            TRANSFERS,
            row,
            "a,a,USD,100",
            2,
            "payer and payee are the same account",
        ),
        (
            TRANSFERS,
            row,
            "a,e,USD,100",
            2,
            "`e` is kept in EUR, not USD",
        ),
        (
            TRANSFERS,
            "2024-01-02",
            "2023-12-31",
            2,
            "before the opening of `a`",
        ),
        (
            TRANSFERS,
            "2024-01-02",
            "2024-02-30",
            2,
            "`2024-02-30` is not a date",
        ),
        (
            BALANCES,
            "2024-01-03,a",
            "2024-01-03,z",
            2,
            "account `z` is not in accounts.csv",
        ),
        (BALANCES, "a,USD", "a,EUR", 2, "`a` is kept in USD, not EUR"),
        (BALANCES, "-100", "", 2, "`` is not a whole number"),
    ] {
        let problem = read(file, from, to).unwrap_err();
        assert!(problem.message.contains(message), "{message}: {problem}");
        assert!(problem.file.ends_with(file), "{problem}");
        assert_eq!(problem.line, line, "{problem}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let problem = Books::read(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(
        problem.starts_with("/nowhere/accounts.csv: No such file"),
        "{problem}"
    );
}

#[test]
fn a_seq_may_not_repeat_and_bytes_must_be_text() {
    let twice = "100\n\n1,2024-01-02,t1,m,a,b,USD,7";
    let problem = read(TRANSFERS, "100", twice).unwrap_err();
    assert_eq!(
        (problem.line, problem.message.as_str()),
        (4, "seq 1 is there twice")
    );

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(ACCOUNTS), b"acc\xffount\n").unwrap();
    assert_eq!(Books::read(folder.path()).unwrap_err().line, 1);
}

#[test]
fn the_household_is_read_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/household-7");
    let books = Books::read(&folder).unwrap();
    assert_eq!(
        (
            books.accounts.len(),
            books.transfers.len(),
            books.balances.len()
        ),
        (48, 2_037, 132)
    );
    assert_eq!(
        books
            .accounts
            .iter()
            .filter(|account| account.unlimited)
            .count(),
        13
    );
}
