//! MessagePack, read in place, and turned into JSON text as JavaScript would write it.
//!
//! Owns the formats of the public specification and its bounds: no count is believed before its bytes are there,
//! nesting and the written text are bounded.

use std::fmt::Write as _;

use bytes::Bytes;
use time::OffsetDateTime;

use super::EmitterError;
use crate::config::limits::{EMITTER_JSON_MAX_BYTES, SOCKETIO_ATTACHMENTS_MAX, SOCKETIO_NESTING_MAX};

/// The specification's type of a time.
const TIMESTAMP: i8 = -1;

/// What kind of value comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nil,
    Text,
    Map,
    Other,
}

/// A value's head: what it is, and how much belongs to it.
enum Head {
    Nil,
    Truth(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(usize),
    Binary(usize),
    Array(usize),
    Map(usize),
    Extension(i8, usize),
}

/// Reads from the front.
pub(super) struct Reader<'a> {
    all: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(all: &'a Bytes) -> Self {
        Self { all, rest: all }
    }

    pub(super) fn end(&self) -> Result<(), EmitterError> {
        if self.rest.is_empty() { Ok(()) } else { Err(EmitterError::Malformed) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], EmitterError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(EmitterError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], EmitterError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(EmitterError::Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A length or count of one, two or four bytes.
    fn length(&mut self, width: u8) -> Result<usize, EmitterError> {
        Ok(match width {
            0 => usize::from(u8::from_be_bytes(self.number()?)),
            1 => usize::from(u16::from_be_bytes(self.number()?)),
            _ => u32::from_be_bytes(self.number()?) as usize,
        })
    }

    fn head(&mut self) -> Result<Head, EmitterError> {
        let [first] = self.number::<1>()?;
        Ok(match first {
            0x00..=0x7f => Head::Unsigned(u64::from(first)),
            0x80..=0x8f => Head::Map(usize::from(first & 0x0f)),
            0x90..=0x9f => Head::Array(usize::from(first & 0x0f)),
            0xa0..=0xbf => Head::Text(usize::from(first & 0x1f)),
            0xc0 => Head::Nil,
            0xc1 => return Err(EmitterError::Malformed),
            0xc2 => Head::Truth(false),
            0xc3 => Head::Truth(true),
            0xc4..=0xc6 => Head::Binary(self.length(first - 0xc4)?),
            0xc7..=0xc9 => {
                let length = self.length(first - 0xc7)?;
                Head::Extension(i8::from_be_bytes(self.number()?), length)
            }
            0xca => Head::Float(f64::from(f32::from_be_bytes(self.number()?))),
            0xcb => Head::Float(f64::from_be_bytes(self.number()?)),
            0xcc => Head::Unsigned(u64::from(u8::from_be_bytes(self.number()?))),
            0xcd => Head::Unsigned(u64::from(u16::from_be_bytes(self.number()?))),
            0xce => Head::Unsigned(u64::from(u32::from_be_bytes(self.number()?))),
            0xcf => Head::Unsigned(u64::from_be_bytes(self.number()?)),
            0xd0 => Head::Negative(i64::from(i8::from_be_bytes(self.number()?))),
            0xd1 => Head::Negative(i64::from(i16::from_be_bytes(self.number()?))),
            0xd2 => Head::Negative(i64::from(i32::from_be_bytes(self.number()?))),
            0xd3 => Head::Negative(i64::from_be_bytes(self.number()?)),
            0xd4..=0xd8 => Head::Extension(i8::from_be_bytes(self.number()?), 1 << (first - 0xd4)),
            0xd9..=0xdb => Head::Text(self.length(first - 0xd9)?),
            0xdc | 0xdd => Head::Array(self.length(first - 0xdb)?),
            0xde | 0xdf => Head::Map(self.length(first - 0xdd)?),
            0xe0..=0xff => Head::Negative(i64::from(first as i8)),
        })
    }

    /// What comes next, left where it is.
    pub(super) fn peek(&self) -> Result<Kind, EmitterError> {
        Ok(match self.rest.first().ok_or(EmitterError::Malformed)? {
            0xc0 => Kind::Nil,
            0xa0..=0xbf | 0xd9..=0xdb => Kind::Text,
            0x80..=0x8f | 0xde | 0xdf => Kind::Map,
            _ => Kind::Other,
        })
    }

    pub(super) fn array(&mut self) -> Result<usize, EmitterError> {
        match self.head()? {
            Head::Array(count) => Ok(count),
            _ => Err(EmitterError::Unknown),
        }
    }

    pub(super) fn map(&mut self) -> Result<usize, EmitterError> {
        match self.head()? {
            Head::Map(count) => Ok(count),
            _ => Err(EmitterError::Unknown),
        }
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, EmitterError> {
        match self.head()? {
            Head::Unsigned(number) => Ok(number),
            _ => Err(EmitterError::Unknown),
        }
    }

    pub(super) fn truth(&mut self) -> Result<bool, EmitterError> {
        match self.head()? {
            Head::Truth(truth) => Ok(truth),
            Head::Nil => Ok(false),
            _ => Err(EmitterError::Unknown),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, EmitterError> {
        match self.head()? {
            Head::Text(length) => self.utf8(length),
            _ => Err(EmitterError::Unknown),
        }
    }

    fn utf8(&mut self, length: usize) -> Result<&'a str, EmitterError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| EmitterError::Malformed)
    }

    /// Passes over one value.
    pub(super) fn skip(&mut self) -> Result<(), EmitterError> {
        // Values still to pass over; a count that is not there runs out of bytes soon.
        let mut left: u64 = 1;
        while left > 0 {
            left -= 1;
            match self.head()? {
                Head::Text(length) | Head::Binary(length) | Head::Extension(_, length) => {
                    self.take(length)?;
                }
                Head::Array(count) => left += count as u64,
                Head::Map(count) => left += 2 * count as u64,
                Head::Nil | Head::Truth(_) | Head::Unsigned(_) | Head::Negative(_) | Head::Float(_) => {}
            }
        }
        Ok(())
    }

    /// Writes a map's key as JavaScript names a property: what other languages have for keys besides text becomes text.
    fn name(&mut self, out: &mut String) -> Result<(), EmitterError> {
        match self.head()? {
            Head::Text(length) => string(out, self.utf8(length)?),
            Head::Unsigned(number) => write(out, &format_args!("\"{number}\"")),
            Head::Negative(number) => write(out, &format_args!("\"{number}\"")),
            Head::Truth(truth) => write(out, &format_args!("\"{truth}\"")),
            Head::Nil => write(out, &"\"null\""),
            _ => Err(EmitterError::Unknown),
        }
    }

    /// Writes one value as JSON; binary parts become placeholders (Socket.IO 5, "BINARY_EVENT").
    pub(super) fn json(&mut self, out: &mut String, parts: &mut Vec<Bytes>) -> Result<(), EmitterError> {
        self.value(out, parts, SOCKETIO_NESTING_MAX)
    }

    fn value(&mut self, out: &mut String, parts: &mut Vec<Bytes>, depth: usize) -> Result<(), EmitterError> {
        if out.len() > EMITTER_JSON_MAX_BYTES {
            return Err(EmitterError::TooLarge);
        }
        match self.head()? {
            Head::Nil => out.push_str("null"),
            Head::Truth(truth) => out.push_str(if truth { "true" } else { "false" }),
            Head::Unsigned(number) => write(out, &number)?,
            Head::Negative(number) => write(out, &number)?,
            Head::Float(number) => float(out, number)?,
            Head::Text(length) => string(out, self.utf8(length)?)?,
            Head::Binary(length) => {
                if parts.len() >= SOCKETIO_ATTACHMENTS_MAX {
                    return Err(EmitterError::TooLarge);
                }
                let part = self.all.slice_ref(self.take(length)?);
                write(out, &format_args!("{{\"_placeholder\":true,\"num\":{}}}", parts.len()))?;
                parts.push(part);
            }
            Head::Array(count) => {
                let depth = depth.checked_sub(1).ok_or(EmitterError::TooLarge)?;
                out.push('[');
                for index in 0..count {
                    if index > 0 {
                        out.push(',');
                    }
                    self.value(out, parts, depth)?;
                }
                out.push(']');
            }
            Head::Map(count) => {
                let depth = depth.checked_sub(1).ok_or(EmitterError::TooLarge)?;
                out.push('{');
                for index in 0..count {
                    if index > 0 {
                        out.push(',');
                    }
                    self.name(out)?;
                    out.push(':');
                    self.value(out, parts, depth)?;
                }
                out.push('}');
            }
            Head::Extension(TIMESTAMP, length) => timestamp(out, self.take(length)?)?,
            // JavaScript's `undefined`, as older emitters write it.
            Head::Extension(0, 1) => {
                self.take(1)?;
                out.push_str("null");
            }
            Head::Extension(..) => return Err(EmitterError::Unknown),
        }
        Ok(())
    }
}

fn write(out: &mut String, value: &dyn std::fmt::Display) -> Result<(), EmitterError> {
    write!(out, "{value}").map_err(|_| EmitterError::TooLarge)
}

fn string(out: &mut String, text: &str) -> Result<(), EmitterError> {
    if out.len() + text.len() > EMITTER_JSON_MAX_BYTES {
        return Err(EmitterError::TooLarge);
    }
    out.push_str(&serde_json::to_string(text).map_err(|_| EmitterError::Malformed)?);
    Ok(())
}

/// JSON knows neither infinities nor NaN: JavaScript writes `null`. Whole numbers have no point.
fn float(out: &mut String, number: f64) -> Result<(), EmitterError> {
    if !number.is_finite() {
        out.push_str("null");
        return Ok(());
    }
    let exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    if exact {
        return write(out, &(number as i64));
    }
    out.push_str(&serde_json::to_string(&number).map_err(|_| EmitterError::Malformed)?);
    Ok(())
}

/// A time as JavaScript's `Date` writes itself: ISO 8601 in UTC with milliseconds.
fn timestamp(out: &mut String, bytes: &[u8]) -> Result<(), EmitterError> {
    let malformed = |_| EmitterError::Malformed;
    let (seconds, nanos) = match bytes.len() {
        4 => (i64::from(u32::from_be_bytes(bytes.try_into().map_err(malformed)?)), 0),
        8 => {
            let packed = u64::from_be_bytes(bytes.try_into().map_err(malformed)?);
            ((packed & 0x3_ffff_ffff) as i64, (packed >> 34) as u32)
        }
        12 => {
            let (nanos, seconds) = bytes.split_at(4);
            let nanos = u32::from_be_bytes(nanos.try_into().map_err(malformed)?);
            (i64::from_be_bytes(seconds.try_into().map_err(malformed)?), nanos)
        }
        _ => return Err(EmitterError::Malformed),
    };
    let at = OffsetDateTime::from_unix_timestamp(seconds)
        .and_then(|at| at.replace_nanosecond(nanos))
        .map_err(|_| EmitterError::Unknown)?;
    let (date, millis) = (at.date(), at.millisecond());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    if !(0..=9999).contains(&year) {
        return Err(EmitterError::Unknown);
    }
    let (hour, minute, second) = at.to_hms();
    let text =
        format_args!("\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z\"");
    write(out, &text)
}
