//! Customers: who has which accounts, in whichever regions those live.
//!
//! A customer has an id and a home region, as an account has, and is kept in the shard of that region
//! that the id hashes to. An id is a pseudonym: a sealed [profile](crate::profile) says who it is, until the
//! customer is erased. An account is attached before it is opened, so that none is ever open whose
//! customer does not know it, and detached once it is closed. It can be attached to several.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use crate::{
    AccountId, Date, InvalidAccountId, RegionName, evolve::Mismatch, profile::SealedProfile,
    state::State,
};

/// The most accounts that a customer can have: so many balances are answered at once.
pub const MOST_ACCOUNTS: usize = 1_000;

/// The identity of a customer: its home region and 80 bits.
///
/// Written `customer:eu-west.7k3m-9q2x-4h8t-z0vn-c`, with a check character over all of it. Hyphens and
/// case do not matter when it is read. It is never taken for an account's, nor the other way round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId {
    region: RegionName,
    body: [u8; AccountId::BODY_LEN],
}

/// A text that is not a customer's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCustomerId {
    /// It begins otherwise.
    #[error("a customer id reads customer:region.xxxx-xxxx-xxxx-xxxx-c")]
    Prefix,
    /// What follows is wrong, as it would be of an account.
    #[error("after `customer:` as in an account id: {0}")]
    Rest(#[from] InvalidAccountId),
}

impl CustomerId {
    /// What every customer's id begins with.
    pub const PREFIX: &str = "customer:";

    /// From its parts.
    pub const fn new(region: RegionName, body: [u8; AccountId::BODY_LEN]) -> Self {
        Self { region, body }
    }

    /// The id that is made of a key: the same whenever it is made again.
    pub fn derive(region: RegionName, key: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("meridian customer id 2026-11");
        for part in [region.as_str(), key] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut body = [0; AccountId::BODY_LEN];
        body.copy_from_slice(&hasher.finalize().as_bytes()[..AccountId::BODY_LEN]);
        Self { region, body }
    }

    /// Where the customer is kept.
    pub fn region(&self) -> RegionName {
        self.region
    }

    /// The part after the region.
    pub fn body(&self) -> &[u8; AccountId::BODY_LEN] {
        &self.body
    }

    /// The place of the customer, for commands about it and in the shard that keeps it: the one to
    /// which an account with this id would belong. No account has it.
    pub fn place(&self) -> AccountId {
        let hash = blake3::derive_key("meridian customer place 2026-11", &self.body);
        let mut body = [0; AccountId::BODY_LEN];
        body.copy_from_slice(&hash[..AccountId::BODY_LEN]);
        AccountId::new(self.region, body)
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&AccountId::written(Self::PREFIX, self.region, &self.body))
    }
}

impl fmt::Debug for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CustomerId {
    type Err = InvalidCustomerId;

    fn from_str(s: &str) -> Result<Self, InvalidCustomerId> {
        let (prefix, rest) = s
            .trim()
            .split_at_checked(Self::PREFIX.len())
            .ok_or(InvalidCustomerId::Prefix)?;
        if !prefix.eq_ignore_ascii_case(Self::PREFIX) {
            return Err(InvalidCustomerId::Prefix);
        }
        let (region, body) = AccountId::read(Self::PREFIX, rest)?;
        Ok(Self { region, body })
    }
}

/// What a book keeps of a customer. A clone is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Customer {
    /// Its accounts, in any region; one may have been attached and not opened.
    pub accounts: Arc<BTreeSet<AccountId>>,
    /// Who it is, as far as anybody has said.
    pub profile: Option<SealedProfile>,
    /// Whether it must not be erased, whatever else allows it.
    pub legal_hold: bool,
    /// When it last lost an account, as far as dates were said: business date of its shard.
    pub last_detached: Option<Date>,
    /// Whether its key is destroyed, and nothing is said of it ever again.
    pub erased: bool,
}

/// What is asked about a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerAction {
    /// Make it known.
    Register,
    /// Let it have an account; again, too.
    Attach(AccountId),
    /// Let it have an account no longer.
    Detach(AccountId),
    /// Say who it is, in place of what was said before.
    SetProfile(SealedProfile),
    /// Keep it from being erased; again, too. Privileged.
    PlaceLegalHold,
    /// Keep it from being erased no longer. Privileged.
    LiftLegalHold,
    /// Have its key destroyed. Privileged.
    Erase {
        /// For how many years after it lost its last account it is kept.
        retention_years: u16,
    },
}

impl CustomerAction {
    /// The account that it is about.
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::Attach(account) | Self::Detach(account) => Some(*account),
            _ => None,
        }
    }
}

/// Something happened to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerEvent {
    /// Whom.
    pub customer: CustomerId,
    /// What.
    pub change: CustomerChange,
}

/// What happened to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerChange {
    /// It is known from now on.
    Registered,
    /// It has an account; it may have before.
    Attached(AccountId),
    /// It has an account no longer.
    Detached {
        /// Which.
        account: AccountId,
        /// The business date; unknown where it happened before dates were said.
        on: Option<Date>,
    },
    /// This is who it is.
    ProfileSet(SealedProfile),
    /// It must not be erased; that may have been so before.
    LegalHoldPlaced,
    /// It may be erased, as far as the law goes.
    LegalHoldLifted,
    /// Its key is to be destroyed: nobody reads again who it was.
    Erased,
}

impl CustomerChange {
    /// The account that it is about.
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::Attached(account) | Self::Detached { account, .. } => Some(*account),
            _ => None,
        }
    }
}

/// Applies an event.
pub(crate) fn evolve<S: State>(state: &mut S, event: &CustomerEvent) -> Result<(), Mismatch> {
    let id = event.customer;
    let mismatch = || Mismatch::Customer(id);
    let known = state.customer(&id);
    let customer = match event.change {
        CustomerChange::Registered if known.is_none() => Customer::default(),
        CustomerChange::Registered => return Err(mismatch()),
        _ => after(known.ok_or_else(mismatch)?, &event.change).ok_or_else(mismatch)?,
    };
    state.set_customer(id, customer);
    Ok(())
}

/// What becomes of a customer that is known; `None` where that cannot happen to it.
fn after(mut customer: Customer, change: &CustomerChange) -> Option<Customer> {
    if customer.erased {
        return None;
    }
    match change {
        CustomerChange::Registered => return None,
        CustomerChange::Attached(account) => {
            let accounts = Arc::make_mut(&mut customer.accounts);
            accounts.insert(*account);
            (accounts.len() <= MOST_ACCOUNTS).then_some(())?;
        }
        CustomerChange::Detached { account, on } => {
            let accounts = Arc::make_mut(&mut customer.accounts);
            accounts.remove(account).then_some(())?;
            customer.last_detached = on.or(customer.last_detached);
        }
        CustomerChange::ProfileSet(profile) => customer.profile = Some(profile.clone()),
        CustomerChange::LegalHoldPlaced => customer.legal_hold = true,
        CustomerChange::LegalHoldLifted => {
            customer.legal_hold.then_some(())?;
            customer.legal_hold = false;
        }
        CustomerChange::Erased => {
            let is_kept = customer.legal_hold || !customer.accounts.is_empty();
            (!is_kept).then_some(())?;
            customer.erased = true;
            customer.profile = None;
        }
    }
    Some(customer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> CustomerId {
        CustomerId::derive("eu-west".parse().unwrap(), "a key")
    }

    #[test]
    fn an_id_read_aloud_comes_back() {
        let text = id().to_string();
        assert!(text.starts_with("customer:eu-west."), "{text}");
        assert_eq!(text.parse::<CustomerId>().unwrap(), id());
        let aloud = text.to_uppercase().replace("-", "");
        let aloud = aloud.replacen("EUWEST", "EU-WEST", 1);
        assert_eq!(aloud.parse::<CustomerId>().unwrap(), id());
    }

    #[test]
    fn a_customer_is_no_account_and_what_is_misread_is_named() {
        use InvalidCustomerId as E;
        let text = id().to_string();
        let bare = text.trim_start_matches(CustomerId::PREFIX);
        // The check character is over the prefix, too.
        assert_eq!(bare.parse::<AccountId>(), Err(InvalidAccountId::Check));
        assert!(text.parse::<AccountId>().is_err());
        assert_eq!(bare.parse::<CustomerId>(), Err(E::Prefix));
        assert_eq!("ü".parse::<CustomerId>(), Err(E::Prefix));
        let account = AccountId::new(id().region(), *id().body());
        let account = format!("{}{account}", CustomerId::PREFIX);
        let check = E::Rest(InvalidAccountId::Check);
        assert_eq!(account.parse::<CustomerId>(), Err(check));
        assert_ne!(id().place(), AccountId::new(id().region(), *id().body()));
    }
}
