//! Records taken apart into columns, and put together again, byte for byte.
//!
//! A record is protobuf within protobuf. Fields of one place are alike from record to record, so each
//! place has columns of its own: what fields a message has there, the numbers, the bytes. What can be
//! computed again is left out: the checksums of frames, and the link of an entry to the one before.
//!
//! What is written says how it was taken apart, so that whoever reads it needs no table of places.
//! [`form`] only says where it pays. A value that could not be put together again as it was is kept as
//! plain bytes.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use ledger_domain::{Hash, chain, frame};

use super::column::{
    Numbers, NumbersRead, Senseless, Values, ValuesRead, byte, length, put_varint, take, varint,
};

/// How a value is kept: the low three bits of what a column of shapes has, below the field's number.
/// Those that protobuf has mean what they mean there.
mod kept {
    pub const NUMBER: u64 = 0;
    pub const FIXED_64: u64 = 1;
    pub const BYTES: u64 = 2;
    pub const MESSAGE: u64 = 3;
    /// A message in a frame whose checksum is right.
    pub const FRAMED: u64 = 4;
    pub const FIXED_32: u64 = 5;
    /// The writer's link of the last framed payload before.
    pub const LINK: u64 = 6;
    /// A digest of 16 bytes, and some of 4 bytes with a number before each.
    pub const DIGESTS: u64 = 7;
}

/// The end of a message, in a column of shapes: no field has the number 0.
const END: u64 = 0;
/// Deeper than records go.
const DEEPEST: usize = 12;
/// How many columns there can be.
const MOST_COLUMNS: usize = 1 << 16;

/// Field numbers from the record on.
type Place = Vec<u32>;

/// Whole records; what is in them is at the empty place and below it.
const WHOLE: [u32; 1] = [0];

#[derive(Clone, Copy)]
enum Form {
    Plain,
    Message,
    Framed,
    Link,
    Digests,
}

/// How it pays to keep a value of bytes (`LogRecord` and `Entry` have the numbers).
fn form(place: &[u32]) -> Form {
    match place {
        [3] => Form::Framed,
        [3, 5] => Form::Link,
        [3, 7, 1, 2] => Form::Digests,
        // Ids, times, positions, accounts; outcomes with their commands and events.
        [1] | [3, 3 | 6 | 7 | 8] | [3, 7, 1 | 2] | [3, 7, 1, 11 | 12 | 14] => Form::Message,
        [3, 7, 2, _] => Form::Message,
        // An account after a deposit, a withdrawal or a transfer within a book.
        [3, 7, 2, 3 | 4, 1] | [3, 7, 2, 5, 1 | 2] => Form::Message,
        [3, 7, 2, 3..=5, 1 | 2, 1] => Form::Message,
        _ => Form::Plain,
    }
}

/// A field as protobuf has it.
enum Field {
    Number(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Bytes),
}

type Fields = Vec<(u32, Field)>;

/// The fields of a message, if writing them again gives the same bytes.
fn fields(mut message: Bytes) -> Option<Fields> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        let field = match tag & 7 {
            kept::NUMBER => Field::Number(varint(&mut message)?),
            kept::FIXED_64 => Field::Fixed64(message.try_get_u64_le().ok()?),
            kept::FIXED_32 => Field::Fixed32(message.try_get_u32_le().ok()?),
            kept::BYTES => {
                let length = length(&mut message).ok()?;
                Field::Bytes(take(&mut message, length).ok()?)
            }
            _ => return None,
        };
        found.push((number, field));
    }
    Some(found)
}

#[derive(Default)]
struct Column {
    shapes: Numbers,
    numbers: Numbers,
    values: Values,
}

/// Records being taken apart.
#[derive(Default)]
struct Shredder {
    columns: BTreeMap<Place, Column>,
    before: Option<Hash>,
}

/// The columns of some records, in parts of which each is of one kind.
pub(super) fn shred(records: &[Bytes]) -> Vec<Vec<u8>> {
    let mut shredder = Shredder::default();
    for record in records {
        let shape = match shredder.framed(&[], record) {
            true => kept::FRAMED,
            false => {
                shredder.at(&WHOLE).values.push(record.clone());
                kept::BYTES
            }
        };
        shredder.at(&WHOLE).shapes.push(shape);
    }
    let mut head = Vec::new();
    put_varint(shredder.columns.len() as u64, &mut head);
    let mut parts = vec![head];
    for (place, column) in shredder.columns {
        let mut head = Vec::new();
        put_varint(place.len() as u64, &mut head);
        for number in place {
            put_varint(number.into(), &mut head);
        }
        parts.push(head);
        parts.append(&mut column.shapes.parts());
        parts.append(&mut column.numbers.parts());
        parts.append(&mut column.values.parts());
    }
    parts
}

impl Shredder {
    fn at(&mut self, place: &[u32]) -> &mut Column {
        if !self.columns.contains_key(place) {
            self.columns.insert(place.to_vec(), Column::default());
        }
        self.columns.get_mut(place).expect("it was put there")
    }

    /// Keeps a value as a message in a frame, if that is what it is.
    fn framed(&mut self, place: &[u32], value: &Bytes) -> bool {
        let Ok((version, message)) = frame::open_up_to(u8::MAX, value) else {
            return false;
        };
        let Some(fields) = fields(message) else {
            return false;
        };
        self.at(place).numbers.push(version.into());
        self.message(place, fields);
        true
    }

    fn message(&mut self, place: &[u32], fields: Fields) {
        for (number, field) in fields {
            let below = [place, &[number]].concat();
            let shape = match field {
                Field::Number(value) => {
                    self.at(&below).numbers.push(value);
                    kept::NUMBER
                }
                Field::Fixed64(value) => {
                    self.at(&below).numbers.push(value);
                    kept::FIXED_64
                }
                Field::Fixed32(value) => {
                    self.at(&below).numbers.push(value.into());
                    kept::FIXED_32
                }
                Field::Bytes(value) => self.bytes(&below, value),
            };
            self.at(place).shapes.push(u64::from(number) << 3 | shape);
        }
        self.at(place).shapes.push(END);
    }

    /// Keeps a value of bytes in the form that pays, where it has it, and says how.
    fn bytes(&mut self, place: &[u32], value: Bytes) -> u64 {
        match form(place) {
            Form::Message => {
                if let Some(fields) = fields(value.clone()) {
                    self.message(place, fields);
                    return kept::MESSAGE;
                }
            }
            Form::Framed => {
                if self.framed(place, &value) {
                    self.before = Some(chain::writer_link(&value));
                    return kept::FRAMED;
                }
            }
            Form::Link if self.before.is_some_and(|link| link[..] == value) => return kept::LINK,
            Form::Digests if value.len() >= 16 && value.len() % 5 == 1 => {
                self.at(place).values.push(value.slice(..16));
                self.at(place).numbers.push((value.len() as u64 - 16) / 5);
                for at in (16..value.len()).step_by(5) {
                    let number = value[at];
                    self.at(place).shapes.push(number.into());
                    let below = [place, &[number.into()]].concat();
                    self.at(&below).values.push(value.slice(at + 1..at + 5));
                }
                return kept::DIGESTS;
            }
            Form::Plain | Form::Link | Form::Digests => {}
        }
        self.at(place).values.push(value);
        kept::BYTES
    }
}

struct ColumnRead {
    shapes: NumbersRead,
    numbers: NumbersRead,
    values: ValuesRead,
}

/// Columns being put together.
struct Joiner {
    columns: BTreeMap<Place, ColumnRead>,
    before: Option<Hash>,
}

/// The records that columns were made of. Nothing may be left over.
pub(super) fn join(mut stored: Bytes, records: usize) -> Result<Vec<Bytes>, Senseless> {
    let mut columns = BTreeMap::new();
    let number = length(&mut stored)?;
    if number > MOST_COLUMNS {
        return Err(Senseless("there are too many"));
    }
    for _ in 0..number {
        let depth = length(&mut stored)?;
        if depth > DEEPEST {
            return Err(Senseless("they are too deep"));
        }
        let place = (0..depth)
            .map(|_| number_of(&mut stored))
            .collect::<Result<Place, _>>()?;
        let column = ColumnRead {
            shapes: NumbersRead::open(&mut stored)?,
            numbers: NumbersRead::open(&mut stored)?,
            values: ValuesRead::open(&mut stored)?,
        };
        columns.insert(place, column);
    }
    let mut joiner = Joiner {
        columns,
        before: None,
    };
    let mut joined = Vec::new();
    for _ in 0..records {
        let whole = joiner.at(&WHOLE)?;
        joined.push(match whole.shapes.next()? {
            kept::BYTES => whole.values.next()?,
            kept::FRAMED => joiner.framed(&[])?,
            _ => return Err(Senseless("a record is neither")),
        });
    }
    let is_read = |column: &ColumnRead| {
        column.shapes.is_read() && column.numbers.is_read() && column.values.is_read()
    };
    match stored.is_empty() && joiner.columns.values().all(is_read) {
        true => Ok(joined),
        false => Err(Senseless("something is left over")),
    }
}

fn number_of(from: &mut Bytes) -> Result<u32, Senseless> {
    u32::try_from(length(from)?).map_err(|_| Senseless("a field's number"))
}

impl Joiner {
    fn at(&mut self, place: &[u32]) -> Result<&mut ColumnRead, Senseless> {
        let found = self.columns.get_mut(place);
        found.ok_or(Senseless("one is not there"))
    }

    fn framed(&mut self, place: &[u32]) -> Result<Bytes, Senseless> {
        let version = u8::try_from(self.at(place)?.numbers.next()?);
        let version = version.map_err(|_| Senseless("a frame's version"))?;
        let message = self.message(place)?;
        let framed = frame::seal_as(version, message.len(), |out| {
            out.extend_from_slice(&message)
        });
        Ok(framed)
    }

    fn message(&mut self, place: &[u32]) -> Result<Vec<u8>, Senseless> {
        if place.len() > DEEPEST {
            return Err(Senseless("they are too deep"));
        }
        let mut out = Vec::new();
        loop {
            let shape = self.at(place)?.shapes.next()?;
            if shape == END {
                return Ok(out);
            }
            let number = u32::try_from(shape >> 3).map_err(|_| Senseless("a field's number"))?;
            let below = [place, &[number]].concat();
            let how = shape & 7;
            let wire = match how {
                kept::NUMBER | kept::FIXED_64 | kept::FIXED_32 => how,
                _ => kept::BYTES,
            };
            put_varint(u64::from(number) << 3 | wire, &mut out);
            match how {
                kept::NUMBER => put_varint(self.at(&below)?.numbers.next()?, &mut out),
                kept::FIXED_64 => {
                    let value = self.at(&below)?.numbers.next()?;
                    out.extend_from_slice(&value.to_le_bytes());
                }
                kept::FIXED_32 => {
                    let value = u32::try_from(self.at(&below)?.numbers.next()?);
                    let value = value.map_err(|_| Senseless("a number is too great"))?;
                    out.extend_from_slice(&value.to_le_bytes());
                }
                how => {
                    let value = self.bytes(&below, how)?;
                    put_varint(value.len() as u64, &mut out);
                    out.extend_from_slice(&value);
                }
            }
        }
    }

    fn bytes(&mut self, place: &[u32], how: u64) -> Result<Bytes, Senseless> {
        Ok(match how {
            kept::BYTES => self.at(place)?.values.next()?,
            kept::MESSAGE => self.message(place)?.into(),
            kept::FRAMED => {
                let framed = self.framed(place)?;
                self.before = Some(chain::writer_link(&framed));
                framed
            }
            kept::LINK => {
                let link = self.before.ok_or(Senseless("there is no entry before"))?;
                Bytes::copy_from_slice(&link)
            }
            _ => self.digests(place)?,
        })
    }

    fn digests(&mut self, place: &[u32]) -> Result<Bytes, Senseless> {
        let column = self.at(place)?;
        let mut value = column.values.next()?.to_vec();
        for _ in 0..column.numbers.next()? {
            let number = u8::try_from(self.at(place)?.shapes.next()?);
            let number = number.map_err(|_| Senseless("a digest's number"))?;
            let below = [place, &[number.into()]].concat();
            value.push(number);
            value.extend_from_slice(&self.at(&below)?.values.next()?);
        }
        Ok(value.into())
    }
}

/// Records one after the other, each with its length before it: what never fails to come out again.
pub(super) fn rows(records: &[Bytes]) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    for record in records {
        put_varint(record.len() as u64, &mut rows);
        rows.extend_from_slice(record);
    }
    vec![rows]
}

/// The records of [`rows`].
pub(super) fn split(mut stored: Bytes, records: usize) -> Result<Vec<Bytes>, Senseless> {
    let mut found = Vec::new();
    for _ in 0..records {
        let length = length(&mut stored)?;
        found.push(take(&mut stored, length)?);
    }
    match byte(&mut stored) {
        Err(_) => Ok(found),
        Ok(_) => Err(Senseless("something is left over")),
    }
}
