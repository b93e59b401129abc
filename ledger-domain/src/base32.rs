//! Bytes in a form a person can read out: Crockford's base32 with a check character.
//!
//! The alphabet has no I, L, O or U; a reader may still say them, and a different case, and
//! hyphens anywhere. The check character is the hybrid system of ISO 7064 (the scheme behind
//! MOD 11,10 and MOD 37,36) with a modulus of 32: it finds every single wrong character, and all
//! but a few swaps of neighbours.

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The value of a character, or `None` where it has none.
fn value(c: u8) -> Option<u8> {
    let c = match c.to_ascii_lowercase() {
        b'o' => b'0',
        b'i' | b'l' => b'1',
        c => c,
    };
    ALPHABET.iter().position(|a| *a == c).map(|p| p as u8)
}

/// Groups of five bits, the last padded with zeros.
pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut acc, mut bits) = (0u32, 0);
    for byte in bytes {
        acc = (acc << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push((acc >> bits) as u8 & 31);
        }
        acc &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push((acc << (5 - bits)) as u8 & 31);
    }
    out
}

/// The bytes behind groups of five bits; `None` where the padding is not zero.
pub(crate) fn decode(symbols: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(symbols.len() * 5 / 8);
    let (mut acc, mut bits) = (0u32, 0);
    for symbol in symbols {
        acc = (acc << 5) | u32::from(*symbol);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((acc >> bits) as u8);
        }
        acc &= (1 << bits) - 1;
    }
    (acc == 0 && bits < 5).then_some(out)
}

/// The check symbol over a prefix (as text) and symbols.
pub(crate) fn check(prefix: &str, symbols: &[u8]) -> u8 {
    let prefix = prefix.bytes().flat_map(|b| [b >> 5, b & 31]);
    let mut p = 32u32;
    for symbol in prefix.chain(symbols.iter().copied()) {
        let mut s = (p + u32::from(symbol)) % 32;
        if s == 0 {
            s = 32;
        }
        p = (2 * s) % 33;
    }
    ((33 - p) % 32) as u8
}

/// Symbols as text in groups of four.
pub(crate) fn render(symbols: &[u8]) -> String {
    let mut out = String::with_capacity(symbols.len() * 5 / 4 + 1);
    for (i, symbol) in symbols.iter().enumerate() {
        if i > 0 && i % 4 == 0 {
            out.push('-');
        }
        out.push(char::from(ALPHABET[usize::from(*symbol)]));
    }
    out
}

/// The symbols of a text, hyphens left out; the first character that has no value otherwise.
pub(crate) fn symbols(text: &str) -> Result<Vec<u8>, char> {
    text.chars()
        .filter(|c| *c != '-')
        .map(|c| u8::try_from(c).ok().and_then(value).ok_or(c))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        for len in 0..20u8 {
            let bytes: Vec<u8> = (0..len).map(|i| i.wrapping_mul(37)).collect();
            assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
        }
    }

    #[test]
    fn every_single_wrong_character_is_found() {
        let symbols = encode(b"0123456789");
        let sum = check("eu-west", &symbols);
        for i in 0..symbols.len() {
            for wrong in (0..32).filter(|w| *w != symbols[i]) {
                let mut other = symbols.clone();
                other[i] = wrong;
                assert_ne!(check("eu-west", &other), sum);
            }
        }
        assert_ne!(check("eu-wast", &symbols), sum);
    }
}
