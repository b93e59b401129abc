use super::*;

fn account(name: &str) -> String {
    AccountId::derive("home".parse().unwrap(), "t", name).to_string()
}

/// Fields as `name=value`, with `A` and `B` for accounts and `|` for a semicolon.
fn item(text: &str) -> Result<Item, String> {
    let (a, b) = (account("a"), account("b"));
    let fields = text.split(';').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        let value = value.replace("$A", &a).replace("$B", &b).replace('|', ";");
        (name.to_owned(), value)
    });
    read(fields.collect())
}

#[test]
fn every_kind_is_read() {
    let lines = [
        "kind=open;region=home;currency=USD;overdraft_limit=10.00",
        "kind=open;region=home;currency=USD;scope=s;name=n;unlimited=true",
        "kind=open;account=$A;currency=JPY",
        "kind=close;account=$A",
        "kind=deposit;account=$A;amount=12.50;currency=USD;key=k;reference=r",
        "kind=deposit;account=$A;amount=12.50 USD;house=fees",
        "kind=withdraw;account=$A;amount=1 USD;min_balance=-5.00;if_version=3;forced=true",
        "kind=transfer;account=$A;to=$B;amount=1;currency=KWD;wait=accepted;memo=m",
        "kind=freeze;account=$A;type=court-order;blocks=debits;until=2030-01-01T00:00:00Z",
        "kind=unfreeze;account=$A;type=fraud;reason=done",
        "kind=limit;account=$A;overdraft_limit=500;currency=USD",
        "kind=limit;account=$A;unlimited=true",
        "kind=spending-limit;account=$A;by=card;per_transaction=200;per_day=0;currency=USD",
        "kind=spending-limit;account=$A;by=online;none=true",
        "kind=hold-place;account=$A;amount=80 EUR;expires_after=72h",
        "kind=journal;legs=$A debit 1.00 EUR| $B credit 0.90 EUR| fees@home credit 0.10 EUR",
        "kind=exchange;account=$A;to=$B;give=1.00 EUR;get=1.08 USD;rate=1.08;wait=accepted",
    ];
    for line in lines {
        let item = item(line);
        assert!(item.is_ok(), "{line}: {:?}", item.err());
    }
    let Some(Command::Deposit(deposit)) = item(lines[4]).unwrap().command.command else {
        panic!("not a deposit");
    };
    let context = deposit.context.unwrap();
    assert_eq!(deposit.amount.unwrap().minor_units, 1_250);
    assert_eq!(context.idempotency_key, "k");
    assert_eq!(context.channel(), crate::api::v1::Channel::Batch);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_sent() {
    for (line, says) in [
        ("kind=pay;account=$A", "kind: `pay` is none of open, close"),
        ("account=$A", "kind is missing"),
        ("kind=deposit;amount=1 USD", "account is missing"),
        ("kind=deposit;account=x;amount=1 USD", "account: "),
        ("kind=deposit;account=$A", "amount is missing"),
        (
            "kind=journal;legs=$A debit 1.00",
            "is not PARTY SIDE AMOUNT CURRENCY",
        ),
        (
            "kind=journal;legs=$A owes 1.00 EUR",
            "neither debit nor credit",
        ),
        (
            "kind=journal;legs=fees debit 1.00 EUR|cash credit 1.00 EUR",
            "none of them names an account",
        ),
        (
            "kind=journal;account=$B;legs=$A debit 1.00 EUR|cash credit 1.00 EUR",
            "the first that a leg names is",
        ),
        (
            "kind=exchange;account=$A;to=$B;give=1 EUR",
            "get is missing",
        ),
        ("kind=deposit;account=$A;amount=1", "write an amount as"),
        (
            "kind=deposit;account=$A;amount=12.505 USD",
            "USD has 2 decimals",
        ),
        ("kind=deposit;account=$A;amount=0 USD", "above zero"),
        (
            "kind=deposit;account=$A;amount=1;currency=XXX",
            "currency: ",
        ),
        (
            "kind=deposit;account=$A;amount=1 USD;to=$B",
            "`to` is no field of `deposit`",
        ),
        (
            "kind=deposit;account=$A;amount=1 USD;ammount=2",
            "`ammount` is no field",
        ),
        (
            "kind=transfer;account=$A;to=$A;amount=1 USD",
            "same account",
        ),
        ("kind=transfer;account=$A;amount=1 USD", "to is missing"),
        (
            "kind=transfer;account=$A;to=$B;amount=1 USD;wait=soon",
            "wait: `soon`",
        ),
        ("kind=open;currency=USD", "region is missing"),
        (
            "kind=open;currency=USD;region=home;name=n",
            "scope and name go together",
        ),
        (
            "kind=limit;account=$A;overdraft_limit=5",
            "currency is missing",
        ),
        ("kind=limit;account=$A", "overdraft_limit or unlimited"),
        ("kind=spending-limit;account=$A;none=true", "by is missing"),
        ("kind=spending-limit;account=$A;by=system;none=true", "by: "),
        (
            "kind=spending-limit;account=$A;by=atm",
            "per_transaction, per_day or none",
        ),
        (
            "kind=spending-limit;account=$A;by=atm;per_day=5",
            "currency is missing",
        ),
        (
            "kind=spending-limit;account=$A;by=atm;per_day=-5;currency=USD",
            "per_day: it is not negative",
        ),
        (
            "kind=hold-place;account=$A;amount=1 USD;expires_after=1000h",
            "31 days at most",
        ),
        ("kind=hold-release;account=$A;hold=tx-1", "hold: "),
        ("kind=freeze;account=$A", "type is missing"),
        ("kind=freeze;account=$A;type=angry", "type: "),
        (
            "kind=close;account=$A;effective_date=2026-02-30",
            "effective_date: ",
        ),
        ("kind=close;account=$A;min_balance=1", "currency is missing"),
    ] {
        let wrong = item(line)
            .err()
            .unwrap_or_else(|| panic!("{line} is taken"));
        assert!(wrong.contains(says), "{line}: {wrong}");
    }
    let long = format!("kind=close;account=$A;key={}", "k".repeat(129));
    assert!(item(&long).err().unwrap().contains("129 bytes"));
}
