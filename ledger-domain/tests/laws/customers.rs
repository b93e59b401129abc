//! Customers in the model, and what must hold of their accounts.

use std::collections::BTreeSet;

use ledger_domain::{
    AccountId, Action, Code, CustomerId, Event, Outcome, ShardId,
    customer::{CustomerChange, CustomerEvent, MOST_ACCOUNTS},
    state::State as _,
};

use crate::{
    generate::{account_id, command, customers, numbered},
    model::Model,
    writer::{Answer, Writer},
};

impl Model {
    /// What speaks against something about a customer.
    pub fn against_customer(
        &self,
        shard: ShardId,
        customer: CustomerId,
        change: CustomerChange,
    ) -> BTreeSet<Code> {
        let known = self.customers.get(&(shard, customer));
        let refused = match (change, known) {
            (CustomerChange::Registered, Some(_)) => Some(Code::CustomerExists),
            (CustomerChange::Registered, None) => None,
            (_, None) => Some(Code::CustomerNotFound),
            (CustomerChange::Detached(account), Some(accounts)) => {
                (!accounts.contains(&account)).then_some(Code::AccountNotAttached)
            }
            (CustomerChange::Attached(_), Some(_)) => None,
        };
        refused.into_iter().collect()
    }

    pub fn change_customer(
        &mut self,
        shard: ShardId,
        customer: CustomerId,
        change: CustomerChange,
    ) {
        let accounts = self.customers.entry((shard, customer)).or_default();
        match change {
            CustomerChange::Registered => {}
            CustomerChange::Attached(account) => drop(accounts.insert(account)),
            CustomerChange::Detached(account) => drop(accounts.remove(&account)),
        }
    }
}

fn ask(change: CustomerChange) -> ledger_domain::Command {
    let customer = customers().next().expect("one of them");
    command(Action::Customer {
        place: customer.place(),
        customer,
        change,
    })
}

fn told(writer: &mut Writer, changes: Vec<CustomerChange>) -> Vec<Result<(), Code>> {
    let answers = writer.command(numbered(changes.into_iter().map(ask)));
    let told = answers.into_iter().map(|answer| match answer {
        Answer::Decided(Outcome { result, .. }) => result.map(drop).map_err(|it| it.code),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn an_account_is_attached_until_it_is_detached() {
    use CustomerChange::{Attached, Detached, Registered};
    let [one, other] = [0, 1].map(account_id);
    let customer = customers().next().expect("one of them");
    let mut writer = Writer::new(ShardId(1));
    // All in one entry: what is in flight counts.
    let told = told(
        &mut writer,
        vec![
            Attached(one),
            Registered,
            Registered,
            Attached(one),
            Attached(one),
            Attached(other),
            Detached(one),
            Detached(one),
        ],
    );
    let expected = [
        Err(Code::CustomerNotFound),
        Ok(()),
        Err(Code::CustomerExists),
        Ok(()),
        Ok(()),
        Ok(()),
        Ok(()),
        Err(Code::AccountNotAttached),
    ];
    assert_eq!(told, expected);
    writer.apply_all();
    let all = writer.book.customers();
    let accounts: Vec<_> = all
        .iter()
        .map(|(id, it)| (*id, it.accounts.len()))
        .collect();
    assert_eq!(accounts, [(customer, 1)]);
    assert!(all[0].1.accounts.contains(&other));
    for change in [Registered, Detached(one)] {
        let mut book = writer.book.clone();
        let event = Event::Customer(CustomerEvent { customer, change });
        assert!(ledger_domain::evolve(&mut book, &event).is_err());
        assert_eq!(book.customer(&customer), writer.book.customer(&customer));
    }
}

#[test]
fn a_customer_has_so_many_accounts_and_no_more() {
    use CustomerChange::{Attached, Detached, Registered};
    let region = account_id(0).region();
    let account = |number: usize| AccountId::derive(region, "many", &number.to_string());
    let mut writer = Writer::new(ShardId(1));
    let mut changes = vec![Registered];
    changes.extend((0..MOST_ACCOUNTS).map(|number| Attached(account(number))));
    changes.extend([
        Attached(account(MOST_ACCOUNTS)),
        // It has this one.
        Attached(account(0)),
        Detached(account(0)),
        Attached(account(MOST_ACCOUNTS)),
    ]);
    let told = told(&mut writer, changes);
    let (before, last) = told.split_at(1 + MOST_ACCOUNTS);
    assert!(before.iter().all(Result::is_ok));
    let full = Err(Code::CustomerAccountsFull);
    assert_eq!(last, [full, Ok(()), Ok(()), Ok(())]);
    writer.apply_all();
    // Also as it is stored.
    let mut reader = ledger_domain::book::Reader::default();
    for chunk in writer.book.chunks([7; 32]) {
        reader.take(&chunk).expect("a chunk");
    }
    let restored = reader.finish().expect("a book").book;
    assert_eq!(restored.customers(), writer.book.customers());
}
