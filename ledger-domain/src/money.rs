//! Integers in minor units, and the currency that says what a unit is.

use std::{fmt, str::FromStr};

/// An ISO 4217 currency this ledger keeps accounts in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Currencies whose minor unit is not a hundredth, with their number of decimals, and those that
/// are (ISO 4217:2015, table A.1, maintained by SIX).
const DECIMALS: &[(u8, &str)] = &[
    (
        0,
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    ),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD \
         CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD \
         GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL \
         MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN \
         PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP \
         SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
];

/// No currency has so many decimals.
const UNKNOWN: u8 = u8::MAX;

/// The decimals of every code of three capital letters. Codes are looked up for every event that is
/// read.
static BY_CODE: [u8; 26 * 26 * 26] = by_code();

const fn by_code() -> [u8; 26 * 26 * 26] {
    let mut all = [UNKNOWN; 26 * 26 * 26];
    let mut kind = 0;
    while kind < DECIMALS.len() {
        let (decimals, codes) = DECIMALS[kind];
        let codes = codes.as_bytes();
        let mut at = 0;
        while at < codes.len() {
            let code = [codes[at], codes[at + 1], codes[at + 2]];
            match place(code) {
                Some(place) => all[place] = decimals,
                None => panic!("a code is three capital letters"),
            }
            at += 4;
        }
        kind += 1;
    }
    all
}

/// Where in [`BY_CODE`] a code is, if it is three capital letters.
const fn place(code: [u8; 3]) -> Option<usize> {
    let [a, b, c] = code;
    if !(a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_uppercase()) {
        return None;
    }
    Some(((a - b'A') as usize * 26 + (b - b'A') as usize) * 26 + (c - b'A') as usize)
}

/// A text that is not a currency of ISO 4217.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a currency of ISO 4217, such as EUR, USD or JPY")]
pub struct UnknownCurrency(pub String);

impl Currency {
    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency code is ASCII")
    }

    /// Digits after the decimal point: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn decimals(&self) -> u8 {
        place(self.0).map_or(2, |at| BY_CODE[at])
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(s: &str) -> Result<Self, UnknownCurrency> {
        let code = s.as_bytes().try_into().ok();
        let known = code.filter(|code| place(*code).is_some_and(|at| BY_CODE[at] != UNKNOWN));
        known
            .map(Self)
            .ok_or_else(|| UnknownCurrency(s.chars().take(20).collect()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// How much a command moves: 1 to `i64::MAX` minor units. Direction is the command's, not a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

/// A number that is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Zero or less.
    #[error("an amount must be above zero")]
    NotPositive,
    /// Beyond what an account can hold.
    #[error("an amount cannot be above 9223372036854775807 minor units")]
    TooLarge,
}

impl Amount {
    /// From minor units.
    pub const fn new(minor_units: i64) -> Result<Self, InvalidAmount> {
        if minor_units > 0 {
            Ok(Self(minor_units as u64))
        } else {
            Err(InvalidAmount::NotPositive)
        }
    }

    /// As a signed number of minor units, always above zero.
    pub const fn minor_units(self) -> i64 {
        self.0 as i64
    }
}

impl TryFrom<u64> for Amount {
    type Error = InvalidAmount;

    fn try_from(minor_units: u64) -> Result<Self, InvalidAmount> {
        i64::try_from(minor_units)
            .map_err(|_| InvalidAmount::TooLarge)
            .and_then(Self::new)
    }
}

/// Minor units of a currency, of either sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// The signed count of minor units.
    pub minor_units: i64,
    /// What a minor unit is.
    pub currency: Currency,
}

/// Why a text is not money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// Not digits with at most one decimal point.
    #[error("`{0}` is not an amount: write digits with a decimal point, such as 12.50")]
    Shape(String),
    /// Finer than the currency's minor unit.
    #[error("{currency} has {decimals} decimals; `{text}` has more")]
    TooManyDecimals {
        /// What was written.
        text: String,
        /// The currency it was meant in.
        currency: Currency,
        /// How many decimals that has.
        decimals: u8,
    },
    /// More than 64 bits of minor units.
    #[error("`{0}` is more than an account can hold")]
    TooLarge(String),
}

impl Money {
    /// Reads a decimal number, exactly.
    ///
    /// ```
    /// # use ledger_domain::Money;
    /// let eur = "EUR".parse().unwrap();
    /// assert_eq!(Money::parse("-12.5", eur).unwrap().minor_units, -1250);
    /// assert!(Money::parse("0.001", eur).is_err());
    /// ```
    pub fn parse(text: &str, currency: Currency) -> Result<Self, InvalidMoney> {
        let shape = || InvalidMoney::Shape(text.chars().take(40).collect());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || unsigned.ends_with('.') {
            return Err(shape());
        }
        let decimals = currency.decimals();
        if fraction.len() > usize::from(decimals) {
            let text = text.chars().take(40).collect();
            return Err(InvalidMoney::TooManyDecimals {
                text,
                currency,
                decimals,
            });
        }
        let sign = if unsigned.len() < text.len() { "-" } else { "" };
        let width = usize::from(decimals);
        format!("{sign}{whole}{fraction:0<width$}")
            .parse()
            .map(|minor_units| Self {
                minor_units,
                currency,
            })
            .map_err(|_| InvalidMoney::TooLarge(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = usize::from(self.currency.decimals());
        let unit = 10u64.pow(width as u32);
        let (sign, units) = (
            if self.minor_units < 0 { "-" } else { "" },
            self.minor_units.unsigned_abs(),
        );
        let text = if width == 0 {
            format!("{sign}{units} {}", self.currency)
        } else {
            format!(
                "{sign}{}.{:0width$} {}",
                units / unit,
                units % unit,
                self.currency
            )
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_and_written_exactly() {
        for (text, code, minor_units, back) in [
            ("12.50", "EUR", 1250, "12.50 EUR"),
            ("-0.05", "USD", -5, "-0.05 USD"),
            ("7", "JPY", 7, "7 JPY"),
            ("1.5", "KWD", 1500, "1.500 KWD"),
            (
                "92233720368547758.07",
                "USD",
                i64::MAX,
                "92233720368547758.07 USD",
            ),
        ] {
            let money = Money::parse(text, code.parse().unwrap()).unwrap();
            assert_eq!(money.minor_units, minor_units);
            assert_eq!(money.to_string(), back);
        }
    }

    #[test]
    fn what_is_not_money_is_refused() {
        let usd = "USD".parse().unwrap();
        for bad in [
            "", "-", ".5", "1.", "1,5", "1e3", "+1", "--1", " 1", "1.2.3",
        ] {
            assert!(
                matches!(Money::parse(bad, usd), Err(InvalidMoney::Shape(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            Money::parse("1.005", usd),
            Err(InvalidMoney::TooManyDecimals { .. })
        ));
        assert!(matches!(
            Money::parse("92233720368547758.08", usd),
            Err(InvalidMoney::TooLarge(_))
        ));
        assert!(Amount::new(0).is_err() && Amount::new(-1).is_err());
        assert!("usd".parse::<Currency>().is_err() && "XXX".parse::<Currency>().is_err());
    }
}
