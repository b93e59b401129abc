//! Books that are not those of the first run.
//!
//! A key is scoped to the account that its command names first. A row with another amount, payee,
//! date or memo therefore meets its key and is refused. A row with another payer, or an account in
//! another region, would be a new command, booked beside the old one. So the first run leaves a
//! digest of the scopes of all its keys, and a later run with another digest ends here, before
//! anything is sent.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt};
use ledger_domain::Code;

use super::files::{ACCOUNTS, Books, Problem, TRANSFERS};
use super::names::ImportName;
use crate::api::rejection::TRANSACTION_NOT_FOUND;
use crate::api::teller::v1::{GetTransactionRequest, TransactionKey, get_transaction_request::By};
use crate::client::{Client, Error};

/// What must not change between runs and has no key of its own to tell: which accounts there are,
/// and who pays under which number. The order of the rows does not count.
pub(super) fn digest(name: &ImportName, books: &Books) -> String {
    let ids = ids(name, books);
    let accounts: BTreeMap<_, _> = ids.iter().map(|id| (id, ())).collect();
    let payers: BTreeMap<_, _> = books.transfers.iter().map(|it| (it.seq, it.from)).collect();
    let mut hasher = blake3::Hasher::new_derive_key("meridian import books 2026-11");
    hasher.update(&(accounts.len() as u64).to_be_bytes());
    for id in accounts.keys() {
        hasher.update(id.as_bytes()).update(b"\n");
    }
    for (seq, payer) in payers {
        hasher
            .update(&seq.to_be_bytes())
            .update(ids[payer].as_bytes())
            .update(b"\n");
    }
    hasher.finalize().to_hex().to_string()
}

/// The first row that the ledger does not know under its account.
pub(super) async fn find(
    client: &Client,
    name: &ImportName,
    books: &Books,
    concurrency: usize,
) -> Result<Problem, Error> {
    let ids = ids(name, books);
    let accounts = books
        .accounts
        .iter()
        .zip(&ids)
        .map(|(account, id)| async move {
            let found = client.account(id).await.map(drop);
            known(found).map(|known| (!known).then_some((ACCOUNTS, account.line)))
        });
    let mut answers = stream::iter(accounts).buffered(concurrency.max(1));
    while let Some(answer) = answers.next().await {
        if let Some((file, line)) = answer? {
            return Ok(books.problem(file, line, CHANGED));
        }
    }
    let transfers = books.transfers.iter().map(|transfer| {
        let by = By::Key(TransactionKey {
            account_id: ids[transfer.from].clone(),
            idempotency_key: name.transfer_key(transfer.seq),
        });
        async move {
            let found = client
                .transaction(GetTransactionRequest { by: Some(by) })
                .await
                .map(drop);
            known(found).map(|known| (!known).then_some((TRANSFERS, transfer.line)))
        }
    });
    let mut answers = stream::iter(transfers).buffered(concurrency.max(1));
    while let Some(answer) = answers.next().await {
        if let Some((file, line)) = answer? {
            return Ok(books.problem(file, line, CHANGED));
        }
    }
    Ok(books.problem(
        TRANSFERS,
        1,
        "rows that were imported under this name are missing",
    ))
}

const CHANGED: &str = "this row was not in the books when the import began; \
     other books need a name of their own";

fn known(found: Result<(), Error>) -> Result<bool, Error> {
    match found {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(Code::AccountNotFound.name()) => Ok(false),
        Err(Error::Rejected(rejection)) if rejection.code == TRANSACTION_NOT_FOUND => Ok(false),
        Err(error) => Err(error),
    }
}

fn ids(name: &ImportName, books: &Books) -> Vec<String> {
    books
        .accounts
        .iter()
        .map(|account| name.account(account.home, &account.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_digest_tells_other_scopes_and_nothing_else() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/household-7");
        let books = Books::read(&folder).unwrap();
        let name: ImportName = "household-7".parse().unwrap();
        let of = |edit: fn(&mut Books)| {
            let mut books = books.clone();
            edit(&mut books);
            digest(&name, &books)
        };
        let whole = of(|_| {});
        assert_eq!(whole, of(|books| books.transfers.swap(3, 4)));
        // These meet their keys.
        assert_eq!(whole, of(|books| books.transfers[3].minor_units += 1));
        assert_eq!(whole, of(|books| books.transfers[3].to = 0));
        // These would not.
        assert_ne!(whole, of(|books| books.transfers[3].from = 7));
        assert_ne!(
            whole,
            of(|books| books.accounts[5].home = "mars".parse().unwrap())
        );
        assert_ne!(whole, of(|books| drop(books.transfers.pop())));
    }
}
