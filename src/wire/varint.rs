//! The integers, strings and buffers of lib0, which every Yjs message is made of.
//!
//! Owns the cursor that reads them and the functions that write them. Does not know what they mean.
//! An integer is 7 bits a byte, low bits first; a string or buffer is its length in bytes, then its bytes
//! (`lib0/encoding.js`). Nothing is allocated by a length that was only declared.

use bytes::{BufMut, Bytes};
use thiserror::Error;

/// Largest integer on the wire: JavaScript's largest safe integer, 2^53 - 1.
pub const UINT_MAX: u64 = (1 << 53) - 1;
/// Bytes of the longest integer: 53 bits at 7 bits each.
const UINT_MAX_BYTES: u32 = 8;

/// Why bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The bytes end before the value does.
    #[error("the message ends too early")]
    Short,
    /// An integer beyond 53 bits, or one written with needless bytes.
    #[error("an integer is too large or badly written")]
    Number,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// A kind of message or value that this side does not know.
    #[error("unknown kind {0}")]
    Kind(u64),
    /// More entries, or a larger one, than is accepted.
    #[error("more than is accepted")]
    TooLarge,
    /// Bytes follow the end of the value.
    #[error("bytes follow the end")]
    Trailing,
}

/// Reads lib0 values from borrowed bytes; nothing is copied.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.all.len().saturating_sub(self.at)
    }

    /// The bytes read since position `from`.
    #[must_use]
    pub fn since(&self, from: usize) -> &'a [u8] {
        self.all.get(from..self.at).unwrap_or_default()
    }

    /// One byte.
    ///
    /// # Errors
    /// [`WireError::Short`].
    #[inline]
    pub fn byte(&mut self) -> Result<u8, WireError> {
        let byte = *self.all.get(self.at).ok_or(WireError::Short)?;
        self.at += 1;
        Ok(byte)
    }

    /// An unsigned integer of at most 53 bits.
    ///
    /// # Errors
    /// [`WireError::Short`] or [`WireError::Number`].
    #[inline]
    pub fn uint(&mut self) -> Result<u64, WireError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for place in 1..UINT_MAX_BYTES {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return if byte == 0 || value > UINT_MAX { Err(WireError::Number) } else { Ok(value) };
            }
        }
        Err(WireError::Number)
    }

    /// A signed integer: the first byte holds the sign and 6 bits (`writeVarInt` of lib0).
    ///
    /// # Errors
    /// [`WireError::Short`] or [`WireError::Number`].
    pub fn int(&mut self) -> Result<i64, WireError> {
        let first = self.byte()?;
        let mut size = u64::from(first & 0x3f);
        let mut more = first >= 0x80;
        let mut shift = 6;
        while more {
            if shift > 48 {
                return Err(WireError::Number);
            }
            let byte = self.byte()?;
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            more = byte >= 0x80;
        }
        let size = i64::try_from(size).map_err(|_| WireError::Number)?;
        if size.unsigned_abs() > UINT_MAX {
            return Err(WireError::Number);
        }
        Ok(if first & 0x40 == 0 { size } else { -size })
    }

    /// Exactly `count` bytes.
    ///
    /// # Errors
    /// [`WireError::Short`].
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(count).ok_or(WireError::Short)?;
        let bytes = self.all.get(self.at..end).ok_or(WireError::Short)?;
        self.at = end;
        Ok(bytes)
    }

    /// A buffer: its length, then its bytes.
    ///
    /// # Errors
    /// [`WireError::Short`] or [`WireError::Number`].
    #[inline]
    pub fn buf(&mut self) -> Result<&'a [u8], WireError> {
        let count = usize::try_from(self.uint()?).map_err(|_| WireError::Short)?;
        self.bytes(count)
    }

    /// A string: its length in bytes, then UTF-8.
    ///
    /// # Errors
    /// [`WireError::Short`], [`WireError::Number`] or [`WireError::Text`].
    #[inline]
    pub fn str(&mut self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.buf()?).map_err(|_| WireError::Text)
    }

    /// Says that nothing may be left.
    ///
    /// # Errors
    /// [`WireError::Trailing`].
    pub fn end(&self) -> Result<(), WireError> {
        if self.left() == 0 { Ok(()) } else { Err(WireError::Trailing) }
    }
}

/// Writes an unsigned integer. Values beyond 53 bits do not occur on this side of the wire.
#[inline]
pub fn write_uint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Writes a buffer: its length, then its bytes.
pub fn write_buf(out: &mut impl BufMut, bytes: &[u8]) {
    write_uint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Writes a string: its length in bytes, then UTF-8.
pub fn write_str(out: &mut impl BufMut, text: &str) {
    write_buf(out, text.as_bytes());
}

/// The part of `frame` that `part` was read from, shared instead of copied.
#[must_use]
pub fn shared(frame: &Bytes, part: &[u8]) -> Bytes {
    if part.is_empty() { Bytes::new() } else { frame.slice_ref(part) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_stop_at_what_javascript_can_count() {
        let mut out = Vec::new();
        write_uint(&mut out, UINT_MAX);
        assert_eq!(Reader::new(&out).uint(), Ok(UINT_MAX));
        out.clear();
        write_uint(&mut out, UINT_MAX + 1);
        assert_eq!(Reader::new(&out).uint(), Err(WireError::Number));
        assert_eq!(Reader::new(&[0xff; 40]).uint(), Err(WireError::Number));
        assert_eq!(Reader::new(&[0x80, 0x00]).uint(), Err(WireError::Number), "needless bytes");
        assert_eq!(Reader::new(&[0x80]).uint(), Err(WireError::Short));
    }

    #[test]
    fn a_declared_length_allocates_nothing() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f, 1]).buf(), Err(WireError::Short));
        assert_eq!(Reader::new(&[2, 0xc3, 0x28]).str(), Err(WireError::Text));
    }

    #[test]
    fn signed_integers_read_as_lib0_writes_them() {
        for (bytes, value) in
            [(&[0x00][..], 0), (&[0x41], -1), (&[0x3f], 63), (&[0x80, 0x01], 64), (&[0xc0, 0x01], -64)]
        {
            assert_eq!(Reader::new(bytes).int(), Ok(value));
        }
        assert!(Reader::new(&[0xff; 20]).int().is_err());
    }

    proptest! {
        #[test]
        fn integers_and_buffers_come_back(value in 0..=UINT_MAX, bytes: Vec<u8>, text: String) {
            let mut out = Vec::new();
            write_uint(&mut out, value);
            write_buf(&mut out, &bytes);
            write_str(&mut out, &text);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uint(), Ok(value));
            prop_assert_eq!(reader.buf(), Ok(&bytes[..]));
            prop_assert_eq!(reader.str(), Ok(&text[..]));
            prop_assert_eq!(reader.end(), Ok(()));
        }
    }
}
