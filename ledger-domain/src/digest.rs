//! What identifies a retry without revealing anything: keyed digests of keys and bodies.

use std::fmt;

use crate::{AccountId, Reference, ReferenceDigest};

/// The secret of a region under which keys and references are digested (BLAKE3, keyed mode).
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// From 32 secret bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    fn digest(&self, purpose: &str, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(purpose.as_bytes());
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }

    /// The digest of a key, scoped to the caller and the account the command names first.
    pub fn key(&self, caller: &str, account: &AccountId, key: &str) -> KeyDigest {
        let region = account.region();
        let parts = [
            caller.as_bytes(),
            region.as_str().as_bytes(),
            account.body(),
            key.as_bytes(),
        ];
        KeyDigest(first16(&self.digest("key", &parts)))
    }

    /// The digest of a caller's reference.
    pub fn reference(&self, reference: &str) -> [u8; 16] {
        first16(&self.digest("reference", &[reference.as_bytes()]))
    }

    /// The digest of a reference by which others know an account.
    pub fn account_reference(&self, reference: &Reference) -> ReferenceDigest {
        let kind = [reference.kind() as u8];
        let digest = self.digest("account reference", &[&kind, reference.as_bytes()]);
        ReferenceDigest(first16(&digest))
    }

    /// Shows that a request comes from whoever knows this secret. No digest that is told to anybody is
    /// made this way.
    pub fn proof(&self, request: &[&[u8]]) -> [u8; 32] {
        *self.digest("request between nodes", request).as_bytes()
    }

    /// Whether it is the proof of this request, in the same time whatever it is.
    pub fn proves(&self, request: &[&[u8]], proof: &[u8]) -> bool {
        let is = self.digest("request between nodes", request);
        blake3::Hash::from_slice(proof).is_ok_and(|proof| proof == is)
    }

    /// The fingerprint of a body given as its fields, in the order of their numbers.
    pub fn fingerprint(&self, fields: &[(Field, &[u8])]) -> Fingerprint {
        let mut whole = blake3::Hasher::new_keyed(&self.0);
        let mut bytes = vec![0; 16];
        for (field, value) in fields {
            let digest = self.digest("field", &[&[*field as u8], value]);
            whole.update(&[*field as u8]);
            whole.update(digest.as_bytes());
            bytes.push(*field as u8);
            bytes.extend_from_slice(&digest.as_bytes()[..4]);
        }
        bytes[..16].copy_from_slice(&whole.finalize().as_bytes()[..16]);
        Fingerprint(bytes.into())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(secret)")
    }
}

fn first16(hash: &blake3::Hash) -> [u8; 16] {
    hash.as_bytes()[..16]
        .try_into()
        .expect("sixteen of thirty-two bytes")
}

/// The keyed digest of an idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 16]);

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A field of a command's body, by its stable number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// What is asked.
    Kind = 1,
    /// The account named first.
    Account = 2,
    /// The payee.
    Counterparty = 3,
    /// Minor units.
    Amount = 4,
    /// ISO 4217.
    Currency = 5,
    /// The house account's code.
    House = 6,
    /// Overdraft limit.
    Limit = 7,
    /// The date asked for, absent where it was left to the ledger.
    EffectiveDate = 8,
    /// The caller's reference.
    Reference = 9,
    /// The memo.
    Memo = 10,
    /// The external reference.
    ExternalReference = 11,
    /// The reason.
    Reason = 12,
    /// The transaction that placed the hold.
    Hold = 20,
    /// How long a hold lasts.
    Life = 21,
    /// Whether a capture is the last.
    Last = 22,
    /// The version that the account must have.
    ExpectedVersion = 40,
    /// The least that may be left, minor units.
    MinimumBalance = 41,
    /// The most that may be left, minor units.
    MaximumBalance = 42,
    /// The type of a freeze.
    FreezeType = 43,
    /// What a freeze stops.
    FreezeBlocks = 44,
    /// What becomes of credits on their way to a frozen account.
    FreezeArriving = 45,
    /// When a freeze is over.
    FreezeUntil = 46,
    /// Whatever the balance.
    Forced = 47,
    /// The commands of a group.
    Items = 48,
    /// The transaction that put something in suspense.
    Suspended = 49,
    /// The transaction that is reversed.
    Original = 50,
    /// Also into a day that is closed.
    IntoClosedDay = 60,
    /// By which channel spending is limited.
    LimitedChannel = 61,
    /// How the command came in, where that is by card or online.
    Channel = 64,
    /// The most that may be spent in one transaction, minor units.
    PerTransaction = 62,
    /// The most that may be spent on one business day, minor units.
    PerDay = 63,
    /// The legs of a journal.
    Legs = 140,
    /// The rate of an exchange.
    Rate = 141,
    /// References by which others know the account.
    AccountReferences = 100,
    /// The customer whose account it is.
    Customer = 101,
    /// Who the customer is.
    Profile = 102,
    /// The consumer group.
    Consumer = 150,
    /// The change of a consumer group.
    ConsumerChange = 151,
}

impl Field {
    /// The field's name as the API spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kind => "command",
            Self::Account => "account",
            Self::Counterparty => "to_account",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::House => "house_account",
            Self::Limit => "limit",
            Self::EffectiveDate => "effective_date",
            Self::Reference => "reference",
            Self::Memo => "memo",
            Self::ExternalReference => "external_reference",
            Self::Reason => "reason",
            Self::Hold => "hold",
            Self::Life => "expires_after",
            Self::Last => "final",
            Self::ExpectedVersion => "expected_version",
            Self::MinimumBalance => "minimum_balance",
            Self::MaximumBalance => "maximum_balance",
            Self::FreezeType => "type",
            Self::FreezeBlocks => "blocks",
            Self::FreezeArriving => "arriving",
            Self::FreezeUntil => "until",
            Self::Forced => "forced",
            Self::Suspended | Self::Original => "transaction",
            Self::Items => "commands",
            Self::IntoClosedDay => "into_closed_day",
            Self::LimitedChannel | Self::Channel => "channel",
            Self::PerTransaction => "per_transaction",
            Self::PerDay => "per_day",
            Self::Legs => "legs",
            Self::Rate => "rate",
            Self::AccountReferences => "references",
            Self::Customer => "customer",
            Self::Profile => "profile",
            Self::Consumer => "consumer",
            Self::ConsumerChange => "consumer_change",
        }
    }

    /// The field with a number.
    pub fn from_number(number: u8) -> Option<Self> {
        use Field::*;
        [
            Kind,
            Account,
            Counterparty,
            Amount,
            Currency,
            House,
            Limit,
            EffectiveDate,
            Reference,
            Memo,
            ExternalReference,
            Reason,
            Hold,
            Life,
            Last,
            ExpectedVersion,
            MinimumBalance,
            MaximumBalance,
            FreezeType,
            FreezeBlocks,
            FreezeArriving,
            FreezeUntil,
            Forced,
            Items,
            Suspended,
            Original,
            IntoClosedDay,
            LimitedChannel,
            Channel,
            PerTransaction,
            PerDay,
            Legs,
            Rate,
            AccountReferences,
            Customer,
            Profile,
            Consumer,
            ConsumerChange,
        ]
        .into_iter()
        .find(|f| *f as u8 == number)
    }
}

/// The digest of a body: 16 bytes over all of it, then 5 per field (number, 4 of digest), so that
/// a conflict is certain to be found and its field can be named.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint(bytes::Bytes);

impl Fingerprint {
    /// From stored bytes; `None` where their length is not that of a fingerprint.
    pub fn from_bytes(bytes: bytes::Bytes) -> Option<Self> {
        (bytes.len() >= 16 && (bytes.len() - 16).is_multiple_of(5)).then_some(Self(bytes))
    }

    /// The stored bytes.
    pub fn as_bytes(&self) -> &bytes::Bytes {
        &self.0
    }

    /// The digest of the whole body.
    pub fn whole(&self) -> [u8; 16] {
        self.0[..16].try_into().expect("at least sixteen bytes")
    }

    /// The first field in which two bodies differ.
    pub fn first_difference(&self, other: &Self) -> Option<Field> {
        let fields = |f: &Self| -> std::collections::BTreeMap<u8, [u8; 4]> {
            let digest = |c: &[u8]| [c[1], c[2], c[3], c[4]];
            f.0[16..]
                .chunks_exact(5)
                .map(|c| (c[0], digest(c)))
                .collect()
        };
        let (ours, theirs) = (fields(self), fields(other));
        ours.keys()
            .chain(theirs.keys())
            .filter(|n| ours.get(n) != theirs.get(n))
            .min()
            .and_then(|n| Field::from_number(*n))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:?})", KeyDigest(self.whole()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_its_field() {
        let key = DigestKey::new([7; 32]);
        let a = key.fingerprint(&[(Field::Kind, b"deposit"), (Field::Amount, b"100")]);
        let b = key.fingerprint(&[(Field::Kind, b"deposit"), (Field::Amount, b"101")]);
        let c = key.fingerprint(&[
            (Field::Kind, b"deposit"),
            (Field::Amount, b"100"),
            (Field::Memo, b"x"),
        ]);
        assert_eq!(a.first_difference(&a), None);
        assert_eq!(a.first_difference(&b), Some(Field::Amount));
        assert_eq!(a.first_difference(&c), Some(Field::Memo));
        assert_ne!(a.whole(), b.whole());
        assert_eq!(Fingerprint::from_bytes(a.as_bytes().clone()), Some(a));
    }

    #[test]
    fn only_the_secret_proves_a_request_and_nothing_else_of_it() {
        let (key, other) = (DigestKey::new([7; 32]), DigestKey::new([8; 32]));
        let proof = key.proof(&[b"who", b"what"]);
        assert!(key.proves(&[b"who", b"what"], &proof));
        assert!(!other.proves(&[b"who", b"what"], &proof));
        assert!(!key.proves(&[b"whow", b"hat"], &proof));
        assert!(!key.proves(&[b"who", b"what"], &proof[..31]));
        assert!(!key.proves(&[b"who", b"what"], &[]));
        assert_ne!(key.reference("what")[..], key.proof(&[b"what"])[..16]);
    }

    #[test]
    fn a_key_belongs_to_its_caller_and_account() {
        let key = DigestKey::new([7; 32]);
        let (a, b) = (
            AccountId::derive("eu".parse().unwrap(), "t", "a"),
            AccountId::derive("eu".parse().unwrap(), "t", "b"),
        );
        assert_eq!(key.key("x", &a, "1"), key.key("x", &a, "1"));
        assert_ne!(key.key("x", &a, "1"), key.key("y", &a, "1"));
        assert_ne!(key.key("x", &a, "1"), key.key("x", &b, "1"));
        assert_ne!(
            key.key("x", &a, "1"),
            DigestKey::new([8; 32]).key("x", &a, "1")
        );
    }
}
