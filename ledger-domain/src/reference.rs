//! References by which others know an account: an IBAN, or a text that a bank or a customer chose.
//!
//! A reference identifies a person, so it enters no log: it is normalised, and what is kept is its
//! digest under the secret of the account's home region. Within a region a reference stands for one
//! account at most. To keep that without asking every shard, it is claimed in the shard that its
//! digest hashes to ([`AccountId::of_reference`]), whichever shard its account lives in.
//!
//! A claim is not part of an account: it is made before an account is opened, stays when that is
//! closed (a payment to an old number must not reach a stranger), and ends when it is released.

use std::fmt;

use crate::AccountId;

/// What sort of reference it is. Part of what is digested: an IBAN is never taken for another text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum ReferenceType {
    /// An international bank account number, by ISO 13616.
    Iban = 1,
    /// A text of whoever uses the ledger.
    External = 2,
}

impl ReferenceType {
    /// All.
    pub const ALL: [Self; 2] = [Self::Iban, Self::External];

    /// The type with a stored number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it as i32 == number)
    }
}

/// The longest external reference, in bytes.
pub const LONGEST_REFERENCE: usize = 64;

/// A reference in the one form in which it is digested. Its text is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference {
    kind: ReferenceType,
    text: String,
}

/// Why a text is no reference. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// An IBAN has another length.
    #[error("an IBAN has 15 to 34 characters, this one {0}; check it for a slip")]
    IbanLength(usize),
    /// An IBAN begins otherwise, or has other characters.
    #[error("an IBAN begins with two letters and two digits, and goes on with letters and digits")]
    IbanShape,
    /// The check digits do not fit.
    #[error("the check digits of the IBAN do not fit; check it for a slip")]
    IbanCheck,
    /// An external reference has another length.
    #[error("an external reference has 1 to {LONGEST_REFERENCE} bytes, this one {0}")]
    Length(usize),
    /// An external reference has control characters.
    #[error("an external reference has no control characters")]
    Control,
    /// An external reference has characters that nobody sees.
    #[error(
        "an external reference has no characters that are not seen, such as zero-width spaces: it is \
         compared byte for byte; type it again"
    )]
    Invisible,
}

impl Reference {
    /// A text as a reference: of an IBAN spaces and case do not matter, of an external reference only
    /// the spaces around it.
    ///
    /// # Errors
    ///
    /// An IBAN that is not well-formed or whose check digits are wrong (how long those of a country
    /// are is not known here); an external reference that is empty, too long, or has control or format
    /// characters: it is compared byte for byte, and two that look alike are two as it is.
    pub fn new(kind: ReferenceType, text: &str) -> Result<Self, InvalidReference> {
        let text = match kind {
            ReferenceType::Iban => iban(text)?,
            ReferenceType::External => external(text)?,
        };
        Ok(Self { kind, text })
    }

    /// What sort it is.
    pub const fn kind(&self) -> ReferenceType {
        self.kind
    }

    /// The text, for nothing but to be digested.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reference({:?}, secret)", self.kind)
    }
}

fn external(text: &str) -> Result<String, InvalidReference> {
    let text = text.trim();
    if !(1..=LONGEST_REFERENCE).contains(&text.len()) {
        return Err(InvalidReference::Length(text.len()));
    }
    if text.contains(char::is_control) {
        return Err(InvalidReference::Control);
    }
    match text.contains(is_format) {
        true => Err(InvalidReference::Invisible),
        false => Ok(text.to_owned()),
    }
}

/// Unicode's general category Cf: what joins, parts and turns around other characters, and is not seen.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
        | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

fn iban(text: &str) -> Result<String, InvalidReference> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let text = text.to_ascii_uppercase();
    let shape = |bytes: &[u8]| {
        let (country, rest) = bytes.split_at(2);
        let (check, rest) = rest.split_at(2);
        country.iter().all(u8::is_ascii_uppercase)
            && check.iter().all(u8::is_ascii_digit)
            && rest.iter().all(u8::is_ascii_alphanumeric)
    };
    let length = text.chars().count();
    if !(15..=34).contains(&length) {
        return Err(InvalidReference::IbanLength(length));
    }
    if !shape(text.as_bytes()) {
        return Err(InvalidReference::IbanShape);
    }
    // The remainder of 97 is right for 00, 01 and 99, too, which no bank computes.
    let is_computed = ("02"..="98").contains(&&text[2..4]);
    match is_computed && remainder_of_97(&text) == 1 {
        true => Ok(text),
        false => Err(InvalidReference::IbanCheck),
    }
}

/// ISO 7064, MOD 97-10: the first four characters go to the end, letters are numbers from 10.
fn remainder_of_97(iban: &str) -> u32 {
    let (head, tail) = iban.split_at(4);
    let digits = tail.chars().chain(head.chars());
    digits.fold(0, |sum, c| match c.to_digit(36) {
        Some(value @ 10..) => (sum * 100 + value) % 97,
        Some(digit) => (sum * 10 + digit) % 97,
        None => sum,
    })
}

/// The keyed digest of a reference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferenceDigest(pub [u8; 16]);

impl fmt::Debug for ReferenceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// For which account a reference stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// What sort of reference.
    pub kind: ReferenceType,
    /// Which.
    pub digest: ReferenceDigest,
    /// The account, in any shard of the region.
    pub account: AccountId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DigestKey;

    fn iban(text: &str) -> Result<Reference, InvalidReference> {
        Reference::new(ReferenceType::Iban, text)
    }

    #[test]
    fn an_iban_is_checked_and_its_spaces_and_case_do_not_matter() {
        let one = iban("GB82 WEST 1234 5698 7654 32").unwrap();
        assert_eq!(iban("gb82west12345698765432").unwrap(), one);
        for good in [
            "DE89 3704 0044 0532 0130 00",
            "NO93 8601 1117 947",
            "MT84MALT011000012345MTLCAST001S",
        ] {
            assert!(iban(good).is_ok(), "{good}");
        }
        use InvalidReference as E;
        for (bad, why) in [
            ("GB82 WEST 1234 5698 7654 23", E::IbanCheck),
            ("GB28 WEST 1234 5698 7654 32", E::IbanCheck),
            ("NO93 8601 1117 94", E::IbanLength(14)),
            ("", E::IbanLength(0)),
            ("8282 WEST 1234 5698 7654 32", E::IbanShape),
            ("GBXX WEST 1234 5698 7654 32", E::IbanShape),
            ("GB82 WEST-1234 5698 7654 32", E::IbanShape),
            ("GB82 WÉST 1234 5698 7654 32", E::IbanShape),
        ] {
            assert_eq!(iban(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn every_single_wrong_digit_is_found_and_so_are_check_digits_that_nobody_computes() {
        let good = "GB82WEST12345698765432";
        for at in 8..good.len() {
            for digit in '0'..='9' {
                let mut other = good.to_owned();
                other.replace_range(at..=at, &digit.to_string());
                assert_eq!(iban(&other).is_ok(), other == good, "{other}");
            }
        }
        // 97 is 00 and 98 is 01 to the remainder, and 02 is 99.
        let mut seen = Vec::new();
        for number in 0..5_000 {
            let tail = format!("WEST{number:014}");
            for check in ["00", "01", "99"] {
                let text = format!("GB{check}{tail}");
                if remainder_of_97(&text) == 1 {
                    seen.push(check);
                    assert_eq!(iban(&text), Err(InvalidReference::IbanCheck));
                }
            }
        }
        for check in ["00", "01", "99"] {
            assert!(seen.contains(&check), "{check}");
        }
    }

    #[test]
    fn an_external_reference_is_short_and_printable() {
        let external = |text: &str| Reference::new(ReferenceType::External, text);
        assert_eq!(
            external(" Customer 7 ").unwrap(),
            external("Customer 7").unwrap()
        );
        assert_ne!(
            external("customer 7").unwrap(),
            external("Customer 7").unwrap()
        );
        assert_eq!(external(&"é".repeat(32)).unwrap().as_bytes().len(), 64);
        assert_eq!(external(&"é".repeat(33)), Err(InvalidReference::Length(66)));
        assert_eq!(external("  "), Err(InvalidReference::Length(0)));
        assert_eq!(external("a\nb"), Err(InvalidReference::Control));
        for unseen in [
            '\u{ad}',
            '\u{200b}',
            '\u{200f}',
            '\u{202e}',
            '\u{2060}',
            '\u{feff}',
            '\u{e0061}',
        ] {
            let text = format!("customer{unseen} 7");
            assert_eq!(
                external(&text),
                Err(InvalidReference::Invisible),
                "{unseen:?}"
            );
        }
        assert!(external("Škoda – 顧客 ७").is_ok());
    }

    #[test]
    fn digests_differ_by_key_type_and_text_and_nothing_shows_the_text() {
        let text = "GB82WEST12345698765432";
        let key = DigestKey::new([7; 32]);
        let an_iban = iban(text).unwrap();
        let a_text = Reference::new(ReferenceType::External, text).unwrap();
        let digest = key.account_reference(&an_iban);
        assert_eq!(key.account_reference(&iban(text).unwrap()), digest);
        assert_ne!(key.account_reference(&a_text), digest);
        assert_ne!(DigestKey::new([8; 32]).account_reference(&an_iban), digest);
        assert_ne!(key.reference(text), digest.0);
        assert!(!format!("{an_iban:?}").contains("WEST"));
        let region = "eu-west".parse().unwrap();
        let place = AccountId::of_reference(region, &digest);
        assert_eq!(place.region(), region);
        assert_ne!(
            place,
            AccountId::of_reference(region, &key.account_reference(&a_text))
        );
    }
}
