//! Customers: made known, given accounts, asked for those.

use ledger_domain::CustomerId;
use node::{
    api::{
        teller::v1::{
            AttachAccountRequest, DetachAccountRequest, EraseCustomerRequest, Profile,
            ProfileStatus, RegisterCustomerRequest, SetLegalHoldRequest, SetProfileRequest,
        },
        v1::CommandContext,
    },
    client::{Client, Error},
};
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};

use super::{Desk, orders, some};
use crate::{
    history::{Outcome, Person, Request},
    oracle::sealed,
};

/// How many customers everybody knows.
const KNOWN: u32 = 3;

impl Desk {
    /// Does something about a customer that others know, too; or about one that nobody else knows, so
    /// that it is known which accounts it has.
    ///
    /// # Errors
    ///
    /// When an answer makes no sense.
    pub(in crate::scenario) async fn about_customers(
        &mut self,
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        let regions = &self.lobby.bank.topology().regions;
        let region = regions.choose(rng).expect("there is a region").name;
        let id = |name: &str| CustomerId::derive(region, name).to_string();
        // Only what is nobody's can be taken away: the others are open, as far as one knows.
        let nobodies = self.lobby.bank.nobodies();
        let nobody = nobodies.choose(rng).expect("a region").clone();
        if rng.random_bool(0.6) {
            let customer = id(&format!("known {}", rng.random_range(0..KNOWN)));
            let accounts = self.lobby.bank.accounts();
            let account = accounts.choose(rng).expect("there are accounts").id.clone();
            let is_here = region.as_str() == self.region;
            let request = match rng.random_range(0..8) {
                4.. if is_here => {
                    let all = [Person::Profile, Person::Hold, Person::Lift, Person::Erase];
                    let asks = *all.choose(rng).expect("one of four");
                    Request::Person { customer, asks }
                }
                0 | 4 => Request::Register { customer },
                1 | 5 => Request::Attach {
                    customer,
                    account: nobody,
                    detaches: true,
                },
                n => Request::Attach {
                    customer,
                    account: if n % 4 == 2 { account } else { nobody },
                    detaches: false,
                },
            };
            return self.serve(request, rng).await.map(drop);
        }
        let customer = id(&format!("{} {}", self.name, self.commands));
        let request = Request::Register {
            customer: customer.clone(),
        };
        // Whoever does not know what became of it cannot tell what is true.
        if !self.serve(request, rng).await? {
            return Ok(());
        }
        for detaches in [false, true] {
            let request = Request::Attach {
                customer: customer.clone(),
                account: nobody.clone(),
                detaches,
            };
            if !self.serve(request, rng).await? {
                return Ok(());
            }
            let expected = if detaches {
                Vec::new()
            } else {
                vec![nobody.clone()]
            };
            match some(&self.atms, rng).customer(&customer).await {
                Ok(reply) if reply.account_ids == expected => {
                    self.lobby.note_aside("customers' accounts looked at");
                }
                Ok(reply) => {
                    let what = format!("{customer} has {:?}", reply.account_ids);
                    return Err(Error::Malformed(what));
                }
                Err(error) => return self.unanswered("looks for a customer", error),
            }
        }
        match region.as_str() == self.region {
            true => self.about_a_person(&customer, rng).await,
            false => Ok(()),
        }
    }

    /// Says who a customer is that nobody else knows, and has it forgotten again.
    async fn about_a_person(&mut self, customer: &str, rng: &mut SmallRng) -> Result<(), Error> {
        let steps = [
            (Person::Profile, ProfileStatus::Read),
            (Person::Hold, ProfileStatus::Read),
            (Person::Erase, ProfileStatus::Read),
            (Person::Lift, ProfileStatus::Read),
            (Person::Erase, ProfileStatus::Erased),
        ];
        let mut name = String::new();
        for (asks, status) in steps {
            let request = Request::Person {
                customer: customer.to_owned(),
                asks,
            };
            if !self.serve(request, rng).await? {
                return Ok(());
            }
            if asks == Person::Profile {
                name = sealed::memo(&format!("{}/{}", self.name, self.commands));
            }
            let reply = match self.nearby(rng).customer(customer).await {
                Ok(reply) => reply,
                Err(error) => return self.unanswered("looks for a customer", error),
            };
            let expected = (status == ProfileStatus::Read).then(|| name.clone());
            let told = reply.profile.as_ref().map(|it| it.name.clone());
            if (reply.profile_status(), told) != (status, expected) {
                let what = format!("{customer} after {asks:?}: {reply:?}");
                return Err(Error::Malformed(what));
            }
            self.lobby.note_aside("profiles looked at");
        }
        Ok(())
    }

    /// Somebody of the client's own region.
    fn nearby(&self, rng: &mut SmallRng) -> Client {
        let here = self.lobby.bank.addresses(&self.region).len();
        some(&self.tellers[..here.min(self.tellers.len())], rng)
    }

    /// Asks for what is done about who a customer is, in its own residency domain.
    pub(super) async fn person(
        &mut self,
        request: &Request,
        customer: &str,
        asks: Person,
        context: &CommandContext,
        rng: &mut SmallRng,
    ) -> Result<Outcome, Error> {
        let client = self.nearby(rng);
        let name = context.memo.clone();
        let context = Some(CommandContext {
            memo: String::new(),
            external_reference: String::new(),
            ..context.clone()
        });
        let customer_id = customer.to_owned();
        let reply = match asks {
            Person::Profile => {
                let profile = Some(Profile {
                    name,
                    ..Profile::default()
                });
                let asked = SetProfileRequest {
                    context,
                    customer_id,
                    profile,
                };
                client.set_profile(asked).await
            }
            Person::Hold | Person::Lift => {
                let asked = SetLegalHoldRequest {
                    context,
                    customer_id,
                    lift: asks == Person::Lift,
                };
                client.set_legal_hold(asked).await
            }
            Person::Erase => {
                let asked = EraseCustomerRequest {
                    context,
                    customer_id,
                };
                client.erase_customer(asked).await
            }
        };
        match reply {
            Ok(reply) => {
                let receipt = reply.receipt.ok_or_else(orders::no_place)?;
                self.lobby.note_aside("said about who customers are");
                self.accepted(request, &receipt)
            }
            Err(error) => orders::recorded(error),
        }
    }

    /// Asks for what is done about a customer.
    pub(super) async fn attach(
        &mut self,
        request: &Request,
        context: &CommandContext,
        rng: &mut SmallRng,
    ) -> Result<Outcome, Error> {
        let client = some(&self.tellers, rng);
        let context = Some(CommandContext {
            memo: String::new(),
            external_reference: String::new(),
            ..context.clone()
        });
        let reply = match request.clone() {
            Request::Register { customer } => {
                let asked = RegisterCustomerRequest {
                    context,
                    customer_id: customer,
                    home_region: String::new(),
                };
                client.register_customer(asked).await
            }
            Request::Attach {
                customer,
                account,
                detaches: false,
            } => {
                let asked = AttachAccountRequest {
                    context,
                    customer_id: customer,
                    account_id: account,
                };
                client.attach_account(asked).await
            }
            Request::Attach {
                customer, account, ..
            } => {
                let asked = DetachAccountRequest {
                    context,
                    customer_id: customer,
                    account_id: account,
                };
                client.detach_account(asked).await
            }
            other => return Err(Error::Malformed(format!("{other:?} is about no customer"))),
        };
        match reply {
            Ok(reply) => {
                let receipt = reply.receipt.ok_or_else(orders::no_place)?;
                self.lobby.note_aside("done about customers");
                self.accepted(request, &receipt)
            }
            Err(error) => orders::recorded(error),
        }
    }
}
