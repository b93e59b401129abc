//! Customers in the model, and what must hold of their accounts.

use std::collections::BTreeSet;

use ledger_domain::{
    AccountId, Action, Code, CustomerId, Date, Event, Outcome, ShardId,
    customer::{Customer, CustomerAction, CustomerChange, CustomerEvent, MOST_ACCOUNTS},
    profile::{CustomerKey, SealedProfile},
    state::State as _,
};

use crate::{
    generate::{account_id, command, customers, numbered},
    model::Model,
    writer::{Answer, Writer},
};

/// What is known of a customer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    accounts: BTreeSet<AccountId>,
    profile: Option<SealedProfile>,
    has_legal_hold: bool,
    last_detached: Option<Date>,
    is_erased: bool,
}

impl From<Customer> for Known {
    fn from(customer: Customer) -> Self {
        Self {
            accounts: customer.accounts.iter().copied().collect(),
            profile: customer.profile,
            has_legal_hold: customer.legal_hold,
            last_detached: customer.last_detached,
            is_erased: customer.erased,
        }
    }
}

impl Model {
    /// What speaks against something about a customer.
    pub fn against_customer(
        &self,
        shard: ShardId,
        today: Date,
        customer: CustomerId,
        action: &CustomerAction,
    ) -> BTreeSet<Code> {
        use CustomerAction as A;
        let Some(known) = self.customers.get(&(shard, customer)) else {
            let is_new = *action == A::Register;
            return (!is_new)
                .then_some(Code::CustomerNotFound)
                .into_iter()
                .collect();
        };
        // A year of the ledger's is no shorter than any.
        let over = |years: i32| {
            let since = known.last_detached.map(|on| today.days() - on.days());
            since.is_none_or(|days| days * 4 >= years * 1_461)
        };
        let asked = |wanted: bool, code| wanted.then_some(code);
        let other = match action {
            A::Register => Some(Code::CustomerExists),
            A::Detach(account) => {
                asked(!known.accounts.contains(account), Code::AccountNotAttached)
            }
            A::LiftLegalHold => asked(!known.has_legal_hold, Code::NoLegalHold),
            _ => None,
        };
        let erasing = match action {
            A::Erase { retention_years } => [
                asked(!known.accounts.is_empty(), Code::AccountsAttached),
                asked(known.has_legal_hold, Code::LegalHold),
                asked(!over((*retention_years).into()), Code::RetentionRuns),
            ],
            _ => [None; 3],
        };
        let is_over = asked(
            known.is_erased && *action != A::Register,
            Code::CustomerErased,
        );
        let all = erasing.into_iter().chain([other, is_over]);
        all.flatten().collect()
    }

    pub fn change_customer(
        &mut self,
        shard: ShardId,
        today: Date,
        customer: CustomerId,
        action: &CustomerAction,
    ) {
        let known = self.customers.entry((shard, customer)).or_default();
        match action {
            CustomerAction::Register => {}
            CustomerAction::Attach(account) => drop(known.accounts.insert(*account)),
            CustomerAction::Detach(account) => {
                known.accounts.remove(account);
                known.last_detached = Some(today);
            }
            CustomerAction::SetProfile(profile) => known.profile = Some(profile.clone()),
            CustomerAction::PlaceLegalHold => known.has_legal_hold = true,
            CustomerAction::LiftLegalHold => known.has_legal_hold = false,
            CustomerAction::Erase { .. } => {
                known.is_erased = true;
                known.profile = None;
            }
        }
    }
}

fn ask(action: CustomerAction) -> ledger_domain::Command {
    let customer = customers().next().expect("one of them");
    command(Action::Customer {
        place: customer.place(),
        customer,
        action,
    })
}

fn told(writer: &mut Writer, actions: Vec<CustomerAction>) -> Vec<Result<(), Code>> {
    let answers = writer.command(numbered(actions.into_iter().map(ask)));
    let told = answers.into_iter().map(|answer| match answer {
        Answer::Decided(Outcome { result, .. }) => result.map(drop).map_err(|it| it.code),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn an_account_is_attached_until_it_is_detached() {
    use CustomerAction::{Attach as Attached, Detach as Detached, Register as Registered};
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
    let detached = CustomerChange::Detached {
        account: one,
        on: Some(crate::generate::date(0)),
    };
    for change in [CustomerChange::Registered, detached] {
        let mut book = writer.book.clone();
        let event = Event::Customer(CustomerEvent { customer, change });
        assert!(ledger_domain::evolve(&mut book, &event).is_err());
        assert_eq!(book.customer(&customer), writer.book.customer(&customer));
    }
}

#[test]
fn a_customer_has_so_many_accounts_and_no_more() {
    use CustomerAction::{Attach as Attached, Detach as Detached, Register as Registered};
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

#[test]
fn a_customer_is_forgotten_when_nothing_keeps_it_and_then_for_ever() {
    use CustomerAction::{Attach, Detach, Erase, LiftLegalHold, PlaceLegalHold, SetProfile};
    let customer = customers().next().expect("one of them");
    let key = CustomerKey::new([7; 32]);
    let profile = key.seal(&customer, b"Ada", [1; 24]).expect("short");
    let account = account_id(0);
    let erase = |retention_years| Erase { retention_years };
    let mut writer = Writer::new(ShardId(1));
    let told = told(
        &mut writer,
        vec![
            CustomerAction::Register,
            SetProfile(profile.clone()),
            Attach(account),
            PlaceLegalHold,
            erase(0),
            Detach(account),
            erase(1),
            LiftLegalHold,
            LiftLegalHold,
            erase(1),
            erase(0),
            erase(0),
            SetProfile(profile),
            Attach(account),
            PlaceLegalHold,
            CustomerAction::Register,
        ],
    );
    let erased = Err(Code::CustomerErased);
    let expected = [
        Ok(()),
        Ok(()),
        Ok(()),
        Ok(()),
        Err(Code::AccountsAttached),
        Ok(()),
        Err(Code::LegalHold),
        Ok(()),
        Err(Code::NoLegalHold),
        Err(Code::RetentionRuns),
        Ok(()),
        erased,
        erased,
        erased,
        erased,
        Err(Code::CustomerExists),
    ];
    assert_eq!(told, expected);
    writer.apply_all();
    let left = writer
        .book
        .customer(&customer)
        .expect("it is known that it was");
    assert!(left.erased && left.profile.is_none());
}
