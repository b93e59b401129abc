//! Somebody who opens accounts that are known by references, which others want for theirs, too.

use std::{sync::Arc, time::Duration};

use node::{
    api::{
        atm::v1::FindAccountRequest,
        teller::v1::{
            AccountName, OpenAccountRequest, ReleaseReferenceRequest,
            open_account_request::Identity,
        },
        v1::{AccountReference, CommandContext, ReferenceType},
    },
    client::{Client, Error, Options},
};
use rand::{
    Rng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};
use tokio::time::{sleep, timeout};

use super::{
    bank::SCOPE,
    customer::{Hours, Lobby},
    orders::CURRENCY,
};
use crate::{
    oracle::claimed::{Asked, Opening},
    simulation::ClientContext,
    world::SimEntropy,
};

/// How all begins that clerks ask for.
const BEGINS: &str = "clerk-";
/// How many references each region's accounts are known by, and how many accounts there may be.
const REFERENCES: u32 = 5;
const ACCOUNTS: u32 = 12;
/// From one wish to the next, at most.
const THINK_MS: u64 = 1_500;
/// Before it asks again, and how often it does when the bank has closed.
const PAUSE: Duration = Duration::from_millis(500);
const AGAIN: u32 = 60;

/// Whether a command is a clerk's, or part of what one has asked for.
pub(super) fn is_clerks(key: &str) -> bool {
    key.starts_with(BEGINS)
}

struct Clerk {
    context: ClientContext,
    lobby: Lobby,
    client: Client,
    asked: u32,
}

/// Opens accounts until the bank closes; then asks again for all of which it was told nothing, and looks
/// for whom each reference stands.
///
/// # Errors
///
/// When an answer makes no sense.
pub(super) async fn clerk(context: ClientContext, lobby: Lobby) -> turmoil::Result {
    lobby.inside.set(lobby.inside.get() + 1);
    lobby.wait_for(Hours::Open).await;
    let mut rng = context.seed.rng();
    let mut addresses = lobby.bank.addresses(&context.region);
    let nodes: Vec<_> = lobby.bank.topology().nodes.iter().collect();
    addresses.extend(nodes.choose(&mut rng).map(|it| it.address.clone()));
    addresses.shuffle(&mut rng);
    let options = Options {
        clock: context.clock.clone(),
        entropy: Arc::new(SimEntropy::new(context.seed.derive("entropy"))),
        network: context.network.clone(),
        ..Options::new(&context.name)
    };
    let client = Client::new(addresses, options)?;
    let mut clerk = Clerk {
        context,
        lobby,
        client,
        asked: 0,
    };
    let mut open = Vec::new();
    while clerk.lobby.hours.get() == Hours::Open {
        clerk.wish(&mut open, &mut rng).await?;
        sleep(Duration::from_millis(rng.random_range(50..THINK_MS))).await;
    }
    for wish in open {
        clerk.insist(wish).await?;
    }
    clerk.lobby.inside.set(clerk.lobby.inside.get() - 1);
    clerk.lobby.wait_for(Hours::Audit).await;
    clerk.look().await?;
    Ok(())
}

/// What was asked for and is not known to have ended.
enum Wish {
    Open(OpenAccountRequest),
    Release(ReleaseReferenceRequest),
}

fn reference(text: &str) -> AccountReference {
    AccountReference {
        r#type: ReferenceType::External.into(),
        text: text.to_owned(),
    }
}

impl Clerk {
    fn command(&mut self) -> CommandContext {
        self.asked += 1;
        let key = format!("{BEGINS}{}/{}", self.context.name, self.asked);
        CommandContext {
            correlation_id: key.clone(),
            idempotency_key: key,
            ..self.client.context()
        }
    }

    /// Opens an account, or has one that may be there give a reference back.
    async fn wish(&mut self, open: &mut Vec<Wish>, rng: &mut SmallRng) -> Result<(), Error> {
        let regions = &self.lobby.bank.topology().regions;
        let region = match regions.choose(rng) {
            Some(any) if rng.random_bool(0.3) => any.name.to_string(),
            _ => self.context.region.clone(),
        };
        let mut texts: Vec<_> = (1..=REFERENCES).map(|it| format!("house {it}")).collect();
        texts.shuffle(rng);
        let known = self.lobby.openings.borrow().openings.clone();
        let known: Vec<_> = known.iter().filter(|it| !it.account.is_empty()).collect();
        let wish = match known.choose(rng) {
            Some(known) if rng.random_bool(0.2) => Wish::Release(ReleaseReferenceRequest {
                context: Some(self.command()),
                account_id: known.account.clone(),
                reference: known.references.choose(rng).map(|text| reference(text)),
            }),
            _ => {
                let name = format!("household {}", rng.random_range(1..=ACCOUNTS));
                texts.truncate(rng.random_range(1..=2));
                Wish::Open(OpenAccountRequest {
                    context: Some(self.command()),
                    home_region: region,
                    currency: CURRENCY.to_owned(),
                    identity: Some(Identity::Name(AccountName {
                        scope: SCOPE.to_owned(),
                        name,
                    })),
                    references: texts.iter().map(|text| reference(text)).collect(),
                    ..OpenAccountRequest::default()
                })
            }
        };
        // Whoever goes away is not told, and asks again later.
        let patience = Duration::from_millis(match rng.random_bool(0.3) {
            true => rng.random_range(1..400),
            false => 60_000,
        });
        let is_over = match timeout(patience, self.ask(&wish)).await {
            Ok(is_over) => is_over?,
            Err(_) => false,
        };
        if !is_over {
            open.push(wish);
        }
        Ok(())
    }

    /// Asks again until it is told.
    async fn insist(&mut self, wish: Wish) -> Result<(), Error> {
        for _ in 0..AGAIN {
            if self.ask(&wish).await? {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        self.lobby.openings.borrow_mut().unknown += 1;
        Ok(())
    }

    /// Asks once. Whether it is known what became of it.
    async fn ask(&self, wish: &Wish) -> Result<bool, Error> {
        let (told, request) = match wish {
            Wish::Open(request) => {
                let told = self.client.open_account(request.clone()).await;
                (told.map(|reply| reply.account_id), request.clone())
            }
            Wish::Release(request) => {
                let told = self.client.release_reference(request.clone()).await;
                return match told {
                    Ok(_) => Ok(true),
                    Err(error) => self.is_over(error).map(|it| it.is_some()),
                };
            }
        };
        let (account, code) = match told {
            Ok(account) => (account, String::new()),
            Err(error) => match self.is_over(error)? {
                Some(code) => (String::new(), code),
                None => return Ok(false),
            },
        };
        let what = match account.is_empty() {
            true => "openings with references refused",
            false => "accounts opened with references",
        };
        self.lobby.note_aside(what);
        self.lobby.openings.borrow_mut().openings.push(Opening {
            region: request.home_region,
            account,
            code,
            references: request.references.into_iter().map(|it| it.text).collect(),
        });
        Ok(true)
    }

    /// The code under which something was refused for good, if it was.
    fn is_over(&self, error: Error) -> Result<Option<String>, Error> {
        match error {
            Error::Malformed(_) | Error::Options(_) => Err(error),
            error if error.retryable() => Ok(None),
            error => {
                self.context.trace.record(format!("clerk: {error}"));
                Ok(Some(error.code().unwrap_or_default().to_owned()))
            }
        }
    }

    /// Looks for whom each reference of its region stands.
    async fn look(&self) -> Result<(), Error> {
        let mut answers = 0;
        for number in 1..=REFERENCES {
            let text = format!("house {number}");
            for _ in 0..AGAIN {
                let request = FindAccountRequest {
                    reference: Some(reference(&text)),
                    region: self.context.region.clone(),
                };
                match self.client.find(request).await {
                    Ok(reply) => {
                        let mut answered = reply.regions.into_iter();
                        let Some(found) = answered.next().filter(|it| it.rejection.is_none())
                        else {
                            sleep(PAUSE).await;
                            continue;
                        };
                        answers += 1;
                        self.lobby.openings.borrow_mut().found.push(Asked {
                            region: self.context.region.clone(),
                            reference: text.clone(),
                            account: found.account_id,
                        });
                        break;
                    }
                    Err(error) => drop(self.is_over(error)?),
                }
                sleep(PAUSE).await;
            }
        }
        if answers == REFERENCES {
            let region = self.context.region.clone();
            self.lobby.openings.borrow_mut().looked.insert(region);
        }
        Ok(())
    }
}
