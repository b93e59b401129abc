//! Amounts as people write them: `12.50 USD`.

use ledger_domain::{Currency, Money};

use super::args::AmountArguments;
use super::exit::Failure;
use crate::api::v1;

/// Reads the amount of a command line. The sign is kept: refusing it is the ledger's part.
pub fn read(given: &AmountArguments) -> Result<v1::Money, Failure> {
    let words: Vec<&str> = given
        .positional
        .iter()
        .flat_map(|text| text.split_whitespace())
        .collect();
    let (number, currency) = match (words.as_slice(), &given.amount, &given.currency) {
        ([number, currency], None, None) => (*number, *currency),
        ([number], None, Some(currency)) => (*number, currency.as_str()),
        ([], Some(number), Some(currency)) => (number.trim(), currency.as_str()),
        _ => {
            let how = "write an amount as `12.50 USD`, or as --amount 12.50 --currency USD";
            return Err(Failure::Usage(how.to_owned()));
        }
    };
    in_currency(number, currency)
}

/// Reads an amount of one argument: `12.50 USD`.
pub fn of(text: &str) -> Result<v1::Money, Failure> {
    let given = AmountArguments {
        positional: vec![text.to_owned()],
        amount: None,
        currency: None,
    };
    read(&given)
}

/// Reads a number of a currency's units, exactly.
pub fn in_currency(number: &str, currency: &str) -> Result<v1::Money, Failure> {
    let currency: Currency = currency
        .parse()
        .map_err(|error| Failure::Usage(format!("{error}")))?;
    let money =
        Money::parse(number, currency).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(v1::Money {
        minor_units: money.minor_units,
        currency: currency.code().to_owned(),
    })
}

/// The number alone, with the decimals of its currency.
pub fn decimal(money: &v1::Money) -> String {
    let text = render(money);
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Writes money for people. A currency that this program does not know keeps its minor units.
pub fn render(money: &v1::Money) -> String {
    match money.currency.parse() {
        Ok(currency) => Money {
            minor_units: money.minor_units,
            currency,
        }
        .to_string(),
        Err(_) => format!("{} minor units of {}", money.minor_units, money.currency),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(positional: &[&str], amount: Option<&str>, currency: Option<&str>) -> AmountArguments {
        AmountArguments {
            positional: positional.iter().map(|text| (*text).to_owned()).collect(),
            amount: amount.map(str::to_owned),
            currency: currency.map(str::to_owned),
        }
    }

    #[test]
    fn an_amount_can_be_written_in_three_ways() {
        for (given, minor_units, currency) in [
            (given(&["12.50 USD"], None, None), 1250, "USD"),
            (given(&["12.50", "USD"], None, None), 1250, "USD"),
            (given(&["12.5"], None, Some("USD")), 1250, "USD"),
            (given(&[], Some("12"), Some("USD")), 1200, "USD"),
            (given(&["7 JPY"], None, None), 7, "JPY"),
            (given(&["0.001 KWD"], None, None), 1, "KWD"),
            (given(&["-1.00 EUR"], None, None), -100, "EUR"),
            (given(&["0 EUR"], None, None), 0, "EUR"),
        ] {
            let money = read(&given).unwrap();
            assert_eq!(
                (money.minor_units, money.currency.as_str()),
                (minor_units, currency)
            );
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_before_anything_is_sent() {
        for (given, message) in [
            (given(&[], None, None), "write an amount as"),
            (given(&["12.50"], None, None), "write an amount as"),
            (
                given(&["1 USD"], Some("2"), Some("USD")),
                "write an amount as",
            ),
            (given(&["1 2 USD"], None, None), "write an amount as"),
            (
                given(&["12.505 USD"], None, None),
                "USD has 2 decimals; `12.505` has more",
            ),
            (given(&["1.5 JPY"], None, None), "JPY has 0 decimals"),
            (given(&["1e3 USD"], None, None), "is not an amount"),
            (given(&["1,50 USD"], None, None), "is not an amount"),
            (given(&["5 usd"], None, None), "is not a currency"),
            (given(&["5 XXX"], None, None), "is not a currency"),
            (
                given(&["99999999999999999999 USD"], None, None),
                "more than an account can hold",
            ),
        ] {
            let failure = read(&given).unwrap_err();
            assert!(failure.to_string().contains(message), "{failure}");
            assert_eq!(failure.exit_code(), super::super::exit::USAGE);
        }
    }

    #[test]
    fn money_is_written_for_people() {
        let money = |minor_units, currency: &str| v1::Money {
            minor_units,
            currency: currency.to_owned(),
        };
        assert_eq!(render(&money(-1250, "USD")), "-12.50 USD");
        assert_eq!(render(&money(3, "QQQ")), "3 minor units of QQQ");
    }
}
