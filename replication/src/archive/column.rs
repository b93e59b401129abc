//! Columns: values of one kind together, as few bytes as they come to.
//!
//! A column of numbers keeps the bytes of its variable-length numbers in planes, all first bytes
//! together, then all second ones: what is alike in them lies side by side. Where the steps between
//! numbers are shorter than the numbers, it keeps the steps. A column of bytes keeps each value once,
//! and which it was.

use std::collections::HashMap;

use bytes::{Buf, Bytes};

/// The most bytes that a variable-length number has.
const PLANES: usize = 10;

/// Why columns are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its columns make no sense: {0}")]
pub(super) struct Senseless(pub(super) &'static str);

/// Numbers, to be written.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<u64>);

impl Numbers {
    pub(super) fn push(&mut self, number: u64) {
        self.0.push(number);
    }

    /// The planes, each with its length before it, after how the numbers are kept.
    pub(super) fn parts(&self) -> Vec<Vec<u8>> {
        let steps = steps(&self.0);
        let length = |all: &[u64]| all.iter().map(|number| width(*number)).sum::<usize>();
        let by_steps = length(&steps) < length(&self.0);
        let kept = if by_steps { &steps } else { &self.0 };
        let mut planes: [Vec<u8>; PLANES] = Default::default();
        for number in kept {
            let mut left = *number;
            for plane in &mut planes {
                let byte = (left & 0x7f) as u8;
                left >>= 7;
                plane.push(if left == 0 { byte } else { byte | 0x80 });
                if left == 0 {
                    break;
                }
            }
        }
        let used = planes.iter().take_while(|plane| !plane.is_empty()).count();
        let mut head = vec![u8::from(by_steps), used as u8];
        for plane in &planes[..used] {
            put_varint(plane.len() as u64, &mut head);
        }
        let planes = planes.into_iter().take(used);
        std::iter::once(head).chain(planes).collect()
    }
}

/// The steps between numbers, from zero, small either way.
fn steps(numbers: &[u64]) -> Vec<u64> {
    let mut before = 0_u64;
    let step = |number: &u64| {
        let step = number
            .wrapping_sub(std::mem::replace(&mut before, *number))
            .cast_signed();
        ((step << 1) ^ (step >> 63)).cast_unsigned()
    };
    numbers.iter().map(step).collect()
}

fn width(number: u64) -> usize {
    ((64 - number.leading_zeros()).max(1) as usize).div_ceil(7)
}

/// Numbers, being read.
#[derive(Debug)]
pub(super) struct NumbersRead {
    by_steps: bool,
    before: u64,
    planes: Vec<Bytes>,
}

impl NumbersRead {
    pub(super) fn open(from: &mut Bytes) -> Result<Self, Senseless> {
        let by_steps = byte(from)? == 1;
        let used = usize::from(byte(from)?);
        let lengths = (0..used)
            .map(|_| length(from))
            .collect::<Result<Vec<_>, _>>()?;
        let planes = lengths.into_iter().map(|length| take(from, length));
        Ok(Self {
            by_steps,
            before: 0,
            planes: planes.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn next(&mut self) -> Result<u64, Senseless> {
        let mut number = 0_u64;
        for (place, plane) in self.planes.iter_mut().enumerate() {
            let byte = byte(plane)?;
            let bits = u64::from(byte & 0x7f);
            if place == PLANES - 1 && bits > 1 {
                return Err(Senseless("a number is too great"));
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(self.step(number));
            }
        }
        Err(Senseless("a number has no end"))
    }

    fn step(&mut self, number: u64) -> u64 {
        if self.by_steps {
            let step = (number >> 1) ^ (number & 1).wrapping_neg();
            self.before = self.before.wrapping_add(step);
            return self.before;
        }
        number
    }

    pub(super) fn is_read(&self) -> bool {
        self.planes.iter().all(Bytes::is_empty)
    }
}

/// Values of bytes, to be written.
#[derive(Debug, Default)]
pub(super) struct Values {
    known: HashMap<Bytes, u64>,
    /// Which it was, counted from 1 in the order in which they first come; 0 for a new one.
    which: Numbers,
    lengths: Numbers,
    bytes: Vec<u8>,
}

impl Values {
    pub(super) fn push(&mut self, value: Bytes) {
        let next = self.known.len() as u64 + 1;
        if let Some(known) = self.known.get(&value) {
            return self.which.push(*known);
        }
        self.which.push(0);
        self.lengths.push(value.len() as u64);
        self.bytes.extend_from_slice(&value);
        self.known.insert(value, next);
    }

    pub(super) fn parts(self) -> Vec<Vec<u8>> {
        let mut parts = self.which.parts();
        parts.append(&mut self.lengths.parts());
        let mut length = Vec::new();
        put_varint(self.bytes.len() as u64, &mut length);
        parts.extend([length, self.bytes]);
        parts
    }
}

/// Values of bytes, being read.
#[derive(Debug)]
pub(super) struct ValuesRead {
    which: NumbersRead,
    lengths: NumbersRead,
    bytes: Bytes,
    known: Vec<Bytes>,
}

impl ValuesRead {
    pub(super) fn open(from: &mut Bytes) -> Result<Self, Senseless> {
        let (which, lengths) = (NumbersRead::open(from)?, NumbersRead::open(from)?);
        let length = length(from)?;
        Ok(Self {
            which,
            lengths,
            bytes: take(from, length)?,
            known: Vec::new(),
        })
    }

    pub(super) fn next(&mut self) -> Result<Bytes, Senseless> {
        let which = self.which.next()?;
        if let Some(known) = which.checked_sub(1) {
            let known = usize::try_from(known)
                .ok()
                .and_then(|at| self.known.get(at));
            return known.cloned().ok_or(Senseless("a value is not known"));
        }
        let length = usize::try_from(self.lengths.next()?);
        let value = take(&mut self.bytes, length.map_err(|_| Senseless("a length"))?)?;
        self.known.push(value.clone());
        Ok(value)
    }

    pub(super) fn is_read(&self) -> bool {
        self.which.is_read() && self.lengths.is_read() && self.bytes.is_empty()
    }
}

pub(super) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A number in the fewest bytes; `None` where it has more, or is none: it could not be written again
/// as it was.
pub(super) fn varint(from: &mut Bytes) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..PLANES {
        let byte = byte(from).ok()?;
        let bits = u64::from(byte & 0x7f);
        if (place == PLANES - 1 && bits > 1) || (place > 0 && byte == 0) {
            return None;
        }
        number |= bits << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

pub(super) fn length(from: &mut Bytes) -> Result<usize, Senseless> {
    let length = varint(from).and_then(|length| usize::try_from(length).ok());
    length.ok_or(Senseless("a length"))
}

pub(super) fn byte(from: &mut Bytes) -> Result<u8, Senseless> {
    from.try_get_u8().map_err(|_| Senseless("a column ends"))
}

pub(super) fn take(from: &mut Bytes, length: usize) -> Result<Bytes, Senseless> {
    if from.len() < length {
        return Err(Senseless("a column ends"));
    }
    Ok(from.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_out_as_they_went_in(numbers: Vec<u64>, from: u64) {
            let rising: Vec<u64> = (0..40).map(|step| from.wrapping_add(step * 3)).collect();
            for numbers in [numbers, rising] {
                let mut column = Numbers::default();
                numbers.iter().for_each(|number| column.push(*number));
                let mut stored = Bytes::from(column.parts().concat());
                let mut read = NumbersRead::open(&mut stored).unwrap();
                for number in numbers {
                    prop_assert_eq!(read.next(), Ok(number));
                }
                prop_assert!(read.is_read() && stored.is_empty());
                prop_assert!(read.next().is_err());
            }
        }

        #[test]
        fn values_come_out_as_they_went_in(values in prop::collection::vec("[ab]{0,3}", 0..40)) {
            let mut column = Values::default();
            values.iter().for_each(|value| column.push(Bytes::from(value.clone())));
            let mut stored = Bytes::from(column.parts().concat());
            let mut read = ValuesRead::open(&mut stored).unwrap();
            for value in values {
                prop_assert_eq!(read.next().unwrap(), value);
            }
            prop_assert!(read.is_read() && stored.is_empty());
        }

        #[test]
        fn a_number_that_is_longer_than_it_must_be_is_none(number: u64) {
            let mut stored = Vec::new();
            put_varint(number, &mut stored);
            prop_assert_eq!(varint(&mut Bytes::from(stored.clone())), Some(number));
            if stored.len() < PLANES {
                *stored.last_mut().unwrap() |= 0x80;
                stored.push(0);
                prop_assert_eq!(varint(&mut Bytes::from(stored)), None);
            }
        }
    }
}
