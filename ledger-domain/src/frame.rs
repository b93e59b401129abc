//! The frame around everything that is stored: a version byte, a CRC32C, and the payload.
//!
//! ```text
//! ┌─────────┬───────────────────┬───────────┐
//! │ version │ CRC32C, big-endian│ payload … │
//! │ 1 byte  │ 4 bytes           │           │
//! └─────────┴───────────────────┴───────────┘
//! ```
//!
//! The checksum (RFC 3720, Castagnoli) covers the version byte and the payload. The length is
//! the length of the stored value, so a cut or padded value fails the checksum as well.

use bytes::{BufMut, Bytes, BytesMut};

/// The version of everything that has had one only: all but entries.
pub const VERSION: u8 = 1;
/// Bytes before the payload.
pub const HEADER_LEN: usize = 5;

/// Why stored bytes are not a frame this program can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than a header.
    #[error("a frame of {0} bytes is shorter than its header of {HEADER_LEN}")]
    TooShort(usize),
    /// Written by a newer program, or damaged in its first byte.
    #[error("frame version {found} is not known: this program reads up to {newest}")]
    Version {
        /// What the frame says.
        found: u8,
        /// The newest that is known for what should be in it.
        newest: u8,
    },
    /// The bytes are not those that were written.
    #[error("checksum {stored:08x} is stored, but the bytes have {computed:08x}")]
    Checksum {
        /// What the frame says.
        stored: u32,
        /// What its bytes say.
        computed: u32,
    },
}

/// Frames a payload that `write` appends.
pub fn seal(payload_len: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    seal_as(VERSION, payload_len, write)
}

/// Frames a protobuf message.
pub fn seal_message<M: prost::Message>(message: &M) -> Bytes {
    seal_message_as(VERSION, message)
}

/// The same, of something that has had more versions than one.
pub fn seal_message_as<M: prost::Message>(version: u8, message: &M) -> Bytes {
    seal_as(version, message.encoded_len(), |out| {
        message
            .encode(out)
            .expect("a growing buffer always has room");
    })
}

/// Frames a payload of a version that `write` appends.
pub fn seal_as(version: u8, payload_len: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_LEN + payload_len);
    out.put_u8(version);
    out.put_u32(0);
    write(&mut out);
    let sum = checksum(version, &out[HEADER_LEN..]);
    out[1..HEADER_LEN].copy_from_slice(&sum.to_be_bytes());
    out.freeze()
}

/// The payload of a frame, after checking it. Shares the memory of `frame`.
pub fn open(frame: &Bytes) -> Result<Bytes, Error> {
    let (_, payload) = open_up_to(VERSION, frame)?;
    Ok(payload)
}

/// The version and the payload of a frame whose version is at most `newest`, after checking it.
pub fn open_up_to(newest: u8, frame: &Bytes) -> Result<(u8, Bytes), Error> {
    if frame.len() < HEADER_LEN {
        return Err(Error::TooShort(frame.len()));
    }
    let version = frame[0];
    if version == 0 || version > newest {
        let found = version;
        return Err(Error::Version { found, newest });
    }
    let stored = u32::from_be_bytes(frame[1..HEADER_LEN].try_into().expect("four bytes"));
    let computed = checksum(version, &frame[HEADER_LEN..]);
    if stored != computed {
        return Err(Error::Checksum { stored, computed });
    }
    Ok((version, frame.slice(HEADER_LEN..)))
}

fn checksum(version: u8, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[version]), payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let frame = seal(5, |out| out.put_slice(b"money"));
        assert_eq!(open(&frame).unwrap(), "money");
        for bit in 0..frame.len() * 8 {
            let mut bytes = frame.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bytes.into()).is_err(), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn a_cut_or_padded_frame_is_found() {
        let frame = seal(5, |out| out.put_slice(b"money"));
        for len in 0..frame.len() {
            assert!(open(&frame.slice(..len)).is_err());
        }
        let mut padded = frame.to_vec();
        padded.push(0);
        assert!(open(&padded.into()).is_err());
    }

    #[test]
    fn a_newer_version_is_named() {
        let (found, newest) = (9, VERSION);
        let newer = Bytes::from_static(&[9, 0, 0, 0, 0]);
        assert_eq!(open(&newer), Err(Error::Version { found, newest }));
    }
}
