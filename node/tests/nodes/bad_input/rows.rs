//! The table: everything that can be wrong with one request.

use ledger_domain::{AccountId, Token};
use node::api::{
    teller::v1::{
        AccountName, WithdrawRequest, get_transaction_request::By, open_account_request::Identity,
        open_account_request::Overdraft,
    },
    v1::{
        ReadMode,
        read_mode::{AsOf, Mode, Strong, as_of::At},
    },
};
use tonic::Code;

use super::bench::{Ask, Bench};
use crate::running::usd;

/// A command's key is the name of its row.
pub struct Row {
    pub name: &'static str,
    pub ask: Ask,
    pub code: &'static str,
    pub grpc: Code,
    pub says: &'static str,
}

impl Bench {
    #[rustfmt::skip]
    pub fn rows(&self) -> Vec<Row> {
        use Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};
        let derived =
            |region: &str| AccountId::derive(region.parse().unwrap(), "t", "x").to_string();
        let (nobody, mars) = (derived("home"), derived("mars"));
        let (full, empty, closed) = (&self.full, &self.empty, &self.closed);
        let slip = format!(
            "{}{}",
            &full[..full.len() - 1],
            if full.ends_with('0') { '1' } else { '0' }
        );
        let long = |n: usize| "x".repeat(n);
        let position = ledger_domain::Position {
            shard: ledger_domain::ShardId(1),
            epoch: 1,
            index: 1,
        };
        let key = self.secrets.token_key();
        let of_mars = Token::at(position).sign("mars".parse().unwrap(), &key);
        let stranger = ed25519_key(7);
        let forged = Token::at(position).sign("home".parse().unwrap(), &stranger);
        let as_of = |date: &str| {
            let at = Some(At::EffectiveDate(date.to_owned()));
            let tokens = vec![];
            Ask::Balance(full.clone(), Mode::AsOf(AsOf { at, tokens }))
        };
        let strong = |account: &str| Ask::Balance(account.to_owned(), Mode::Strong(Strong {}));
        let row = |name, ask, code, grpc, says| Row {
            name,
            ask,
            code,
            grpc,
            says,
        };
        let invalid = |name, ask, says| row(name, ask, "INVALID_ARGUMENT", InvalidArgument, says);
        vec![
            // An account that nobody opened.
            row("into nowhere", self.deposit(&nobody, |_| ()), "ACCOUNT_NOT_FOUND", NotFound, "no account has this id"),
            row("paid to nobody", self.transfer(full, &nobody, 1), "ACCOUNT_NOT_FOUND", NotFound, "no account has this id"),
            row("paid by nobody", self.transfer(&nobody, full, 1), "ACCOUNT_NOT_FOUND", NotFound, "no account has this id"),
            row("close nobody", Ask::Close(nobody.clone()), "ACCOUNT_NOT_FOUND", NotFound, "no account has this id"),
            row("show nobody", Ask::Account(nobody.clone()), "ACCOUNT_NOT_FOUND", NotFound, "no account has this id"),
            row("ask for nobody", strong(&nobody), "ACCOUNT_NOT_FOUND", NotFound, "no account has this id"),
            row("ask near for nobody", Ask::Balance(nobody.clone(), Mode::Local(Default::default())), "ACCOUNT_NOT_FOUND", NotFound, "no account has this id"),
            row("nobody's statement", self.statement(|r| r.account_id = nobody.clone()), "ACCOUNT_NOT_FOUND", NotFound, "no account has this id"),
            // Amounts.
            row("euros", self.amount(1, "EUR"), "CURRENCY_MISMATCH", InvalidArgument, "another currency"),
            invalid("no such currency", self.amount(1, "XXX"), "`XXX` is not a currency of ISO 4217"),
            invalid("no currency", self.amount(1, ""), "is not a currency"),
            invalid("zero", self.amount(0, "USD"), "above zero"),
            invalid("negative", self.amount(-5, "USD"), "above zero"),
            invalid("most negative", self.amount(i64::MIN, "USD"), "above zero"),
            invalid("no amount", self.deposit(full, |r| r.amount = None), "an amount is missing"),
            row("overflow", self.amount(i64::MAX, "USD"), "BALANCE_OVERFLOW", FailedPrecondition, "cannot take this"),
            row("too much", self.transfer(full, empty, 101), "INSUFFICIENT_FUNDS", FailedPrecondition, "100 minor units are available, 101 were asked for"),
            row("too much cash", Ask::Withdraw(WithdrawRequest { account_id: full.clone(), amount: usd(101), ..Default::default() }), "INSUFFICIENT_FUNDS", FailedPrecondition, "100 minor units are available"),
            row("to oneself", self.transfer(full, full, 1), "SAME_ACCOUNT", InvalidArgument, "payer and payee are the same account"),
            // Regions.
            row("to mars", self.transfer(full, &mars, 1), "REGION_NOT_FOUND", NotFound, "no region `mars`"),
            row("on mars", self.deposit(&mars, |_| ()), "REGION_NOT_FOUND", NotFound, "no region `mars`"),
            row("how is mars", strong(&mars), "REGION_NOT_FOUND", NotFound, "no region `mars`"),
            row("open on mars", self.opening(|r| r.home_region = "mars".into()), "REGION_NOT_FOUND", NotFound, "no region `mars`"),
            invalid("no region's name", self.opening(|r| r.home_region = "Mars!".into()), "`Mars!` is not a region's name"),
            // Closed, open already, not empty.
            row("late", self.deposit(closed, |_| ()), "ACCOUNT_CLOSED", FailedPrecondition, "closed"),
            row("paid to the closed", self.transfer(full, closed, 1), "ACCOUNT_CLOSED", FailedPrecondition, "closed"),
            row("close again", Ask::Close(closed.clone()), "ACCOUNT_CLOSED", FailedPrecondition, "closed"),
            row("close the full", Ask::Close(full.clone()), "BALANCE_NOT_ZERO", FailedPrecondition, "100 minor units"),
            row("open again", self.opening(|r| r.identity = Some(Identity::AccountId(full.clone()))), "ACCOUNT_EXISTS", AlreadyExists, "exists already"),
            invalid("debt below zero", self.opening(|r| r.overdraft = Some(Overdraft::OverdraftLimitMinorUnits(-1))), "cannot be negative"),
            invalid("two homes", self.opening(|r| r.identity = Some(Identity::AccountId(mars.clone()))), "the id says mars, but home_region says home"),
            // Ids.
            invalid("a slip", self.deposit(&slip, |_| ()), "check character does not fit"),
            invalid("no id", self.deposit("", |_| ()), "an account id reads"),
            invalid("nonsense", self.deposit("nonsense", |_| ()), "an account id reads"),
            invalid("nonsense to open", self.opening(|r| r.identity = Some(Identity::AccountId("nonsense".into()))), "an account id reads"),
            invalid("a vault of one's own", self.deposit(full, |r| r.house_account = "vault".into()), "`vault` is not the code of a house account"),
            invalid("the ledger's own", self.deposit(full, |r| r.house_account = "in-transit:1".into()), "kept by the ledger itself"),
            invalid("no transaction's id", Ask::Transaction(Some(By::TransactionId("tx-1".into()))), "not a transaction id"),
            invalid("no transaction named", Ask::Transaction(None), "by its id or its key"),
            row("another shard's transaction", Ask::Transaction(Some(By::TransactionId(transaction_of_shard(9)))), "TRANSACTION_NOT_FOUND", NotFound, "no transaction has this id"),
            row("a transaction to come", Ask::Transaction(Some(By::TransactionId(transaction_of_shard(1)))), "TRANSACTION_NOT_FOUND", NotFound, "no transaction has this id"),
            // Dates and times.
            invalid("30 February", self.said(|c| c.effective_date = "2026-02-30".into()), "`2026-02-30` is not a date: write it as"),
            invalid("a day by word", self.said(|c| c.effective_date = "today".into()), "`today` is not a date"),
            row("before its opening", self.said(|c| c.effective_date = "1999-01-01".into()), "DATE_BEFORE_OPENING", FailedPrecondition, "before the account's opening"),
            row("some day", self.said(|c| c.effective_date = "2999-01-01".into()), "DATE_IN_FUTURE", FailedPrecondition, "still to come"),
            invalid("as of no day", as_of("2026-13-01"), "is not a date"),
            invalid("as of nothing", as_of(""), "is not a date"),
            invalid("a statement from no day", self.statement(|r| r.from_date = "1".into()), "is not a date"),
            row("first tried in future", self.said(|c| c.first_attempt_unix_ms = i64::MAX), "CLOCK_OUT_OF_BOUNDS", FailedPrecondition, "ahead"),
            row("first tried long ago", self.said(|c| c.first_attempt_unix_ms = 1), "FIRST_ATTEMPT_TOO_OLD", FailedPrecondition, "longer ago than keys are remembered"),
            // Tokens.
            invalid("no token", self.session(vec!["forged".into()]), "not a session token"),
            invalid("a token of mars", self.session(vec![of_mars]), "the unknown region `mars`"),
            invalid("a forged token", self.session(vec![forged]), "signature does not fit"),
            invalid("65 tokens", self.session(vec![String::new(); 65]), "at most 64 tokens"),
            invalid("no page", self.statement(|r| r.page_token = "p".into()), "not a page token"),
            // Too long, too many.
            row("a body over the limit", self.said(|c| c.memo = long(5 << 20)), "REQUEST_TOO_LARGE", InvalidArgument, "more than the 4194304 bytes"),
            invalid("a long memo", self.said(|c| c.memo = long(513)), "memo has 513 bytes; at most 512"),
            invalid("a long reference", self.said(|c| c.reference = long(129)), "reference has 129 bytes; at most 128"),
            invalid("a long reason", self.said(|c| c.reason = long(257)), "reason has 257 bytes; at most 256"),
            invalid("a long correlation", self.said(|c| c.correlation_id = long(129)), "correlation_id has 129"),
            invalid("another bank's long reference", self.said(|c| c.external_reference = long(129)), "external_reference has 129"),
            invalid("a long name", self.opening(|r| { r.identity = Some(Identity::Name(AccountName { scope: "s".into(), name: long(129) })) }), "name has 129 bytes"),
            invalid("a long scope", self.opening(|r| { r.identity = Some(Identity::Name(AccountName { scope: long(129), name: "n".into() })) }), "scope has 129 bytes"),
            invalid("a date of a megabyte", self.said(|c| c.effective_date = long(1 << 20)), "xxx"),
            invalid("an id of a megabyte", self.deposit(&long(1 << 20), |_| ()), "an account id reads"),
            invalid("a currency of a megabyte", self.amount(1, &long(1 << 20)), "xxx"),
            invalid("a large batch", Ask::Batch(1_001), "1001 commands; a batch has at most 1000"),
            invalid("many balances", Ask::Balances(1_001), "1001 accounts; at most 1000"),
            invalid("a long page", self.statement(|r| r.page_size = 1_001), "at most 1000 lines"),
            invalid("a statement of no basis", self.statement(|r| r.basis = 9), "not a basis of statements"),
            invalid("a statement as of nothing", self.statement(|r| { r.mode = Some(ReadMode { mode: Some(Mode::AsOf(AsOf::default())) }) }), "as of what is not said"),
        ]
    }
}

fn ed25519_key(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

fn transaction_of_shard(shard: u32) -> String {
    let position = ledger_domain::Position {
        shard: ledger_domain::ShardId(shard),
        epoch: 1,
        index: 1 << 40,
    };
    let ordinal = 0;
    ledger_domain::TransactionId { position, ordinal }.to_string()
}
