//! References of accounts: claimed, given back, and asked for.

use node::{
    api::{
        atm::v1::FindAccountRequest,
        teller::v1::{ClaimReferenceRequest, ReleaseReferenceRequest},
        v1::{AccountReference, CommandContext, ReferenceType},
    },
    client::Error,
};
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};

use super::{Desk, orders, some};
use crate::history::{Outcome, Request};

/// How many references of each region everybody wants.
const WANTED: u32 = 4;

fn reference(text: &str) -> AccountReference {
    AccountReference {
        r#type: ReferenceType::External.into(),
        text: text.to_owned(),
    }
}

impl Desk {
    /// Claims a reference that others want, too, or gives it back; or one that nobody else knows, so
    /// that it is known for whom it stands.
    ///
    /// # Errors
    ///
    /// When an answer makes no sense.
    pub(in crate::scenario) async fn about_references(
        &mut self,
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        let accounts = self.lobby.bank.accounts();
        let account = accounts.choose(rng).expect("there are accounts").id.clone();
        if rng.random_bool(0.6) {
            let number = rng.random_range(0..WANTED);
            let request = Request::Refer {
                account,
                reference: format!("wanted {number}"),
                releases: rng.random_bool(0.3),
            };
            return self.serve(request, rng).await.map(drop);
        }
        let text = format!("{} {}", self.name, self.commands);
        for releases in [false, true] {
            let request = Request::Refer {
                account: account.clone(),
                reference: text.clone(),
                releases,
            };
            // Whoever does not know what became of it cannot tell what is true.
            if !self.serve(request, rng).await? {
                return Ok(());
            }
            let expected = if releases { "" } else { account.as_str() };
            self.finds(&account, &text, expected, rng).await?;
            if rng.random_bool(0.5) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Asks anybody for whom a reference of an account's region stands.
    async fn finds(
        &mut self,
        account: &str,
        text: &str,
        expected: &str,
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        let region = account.split_once('.').map_or("", |(region, _)| region);
        let request = FindAccountRequest {
            reference: Some(reference(text)),
            region: region.to_owned(),
        };
        let reply = match some(&self.atms, rng).find(request).await {
            Ok(reply) => reply,
            Err(error) => return self.unanswered("looks for a reference", error),
        };
        let told: Vec<_> = reply
            .regions
            .iter()
            .map(|it| it.account_id.as_str())
            .collect();
        if told != [expected] {
            let what = format!("the reference {text} of {account} stands for {told:?}");
            return Err(Error::Malformed(what));
        }
        self.lobby.note_aside("references found");
        Ok(())
    }

    /// Asks for a claim, or for a reference to be given back.
    pub(super) async fn refer(
        &mut self,
        request: &Request,
        context: &CommandContext,
        rng: &mut SmallRng,
    ) -> Result<Outcome, Error> {
        let Request::Refer {
            account,
            reference: text,
            releases,
        } = request
        else {
            return Err(Error::Malformed(format!(
                "{request:?} is about no reference"
            )));
        };
        let client = some(&self.tellers, rng);
        let context = Some(CommandContext {
            memo: String::new(),
            external_reference: String::new(),
            ..context.clone()
        });
        let (account_id, reference) = (account.clone(), Some(reference(text)));
        let reply = match releases {
            false => {
                let asked = ClaimReferenceRequest {
                    context,
                    account_id,
                    reference,
                };
                client.claim_reference(asked).await
            }
            true => {
                let asked = ReleaseReferenceRequest {
                    context,
                    account_id,
                    reference,
                };
                client.release_reference(asked).await
            }
        };
        match reply {
            Ok(reply) => {
                let receipt = reply.receipt.ok_or_else(orders::no_place)?;
                self.lobby.note_aside("references claimed or given back");
                self.accepted(request, &receipt)
            }
            Err(error) => orders::recorded(error),
        }
    }
}
