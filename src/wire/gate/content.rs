//! The contents of structs: read over, never built.
//!
//! Owns how long each kind of content is, in bytes and in clocks. Kinds are numbered as in Yjs 13
//! (`src/structs/Content*.js`). Does not know where a struct belongs.

use super::{CLOCK_END, GateError, json};
use crate::config::limits::UPDATE_NESTING_MAX;
use crate::wire::varint::{Reader, WireError};

pub(super) const GC: u8 = 0;
pub(super) const DELETED: u8 = 1;
const BINARY: u8 = 3;
pub(super) const STRING: u8 = 4;
pub(super) const EMBED: u8 = 5;
pub(super) const FORMAT: u8 = 6;
pub(super) const TYPE: u8 = 7;
pub(super) const ANY: u8 = 8;
const DOC: u8 = 9;
pub(super) const SKIP: u8 = 10;

/// Types by their number in `Y.ContentType`: array, map, text, element, fragment, hook, XML text.
pub(super) const TYPE_ELEMENT: u64 = 3;
pub(super) const TYPE_HOOK: u64 = 5;
const TYPE_LAST: u64 = 6;

/// A length in clocks that is neither nothing nor beyond what engines count.
pub(super) fn clocks(value: u64) -> Result<u32, GateError> {
    match u32::try_from(value) {
        Ok(0) => Err(GateError::Empty),
        Ok(len) if len <= CLOCK_END => Ok(len),
        _ => Err(GateError::Clock),
    }
}

/// Reads over the content of kind `kind` and says how many clocks it takes.
#[inline]
pub(super) fn skip(reader: &mut Reader<'_>, kind: u8) -> Result<u32, GateError> {
    match kind {
        STRING => clocks(utf16_len(reader.str()?)),
        DELETED => clocks(reader.uint()?),
        FORMAT => {
            reader.str()?;
            skip_json(reader)?;
            Ok(1)
        }
        EMBED => {
            skip_json(reader)?;
            Ok(1)
        }
        ANY => {
            let count = reader.uint()?;
            for _ in 0..fits(count, reader, 1)? {
                skip_any(reader, 1)?;
            }
            clocks(count)
        }
        TYPE => skip_type(reader),
        BINARY => {
            reader.buf()?;
            Ok(1)
        }
        DOC => skip_doc(reader),
        other => Err(GateError::Content(other)),
    }
}

/// A declared count whose entries of at least `each` bytes fit in what is left.
pub(super) fn fits(count: u64, reader: &Reader<'_>, each: usize) -> Result<usize, GateError> {
    match usize::try_from(count) {
        Ok(count) if count <= reader.left() / each => Ok(count),
        _ => Err(GateError::Count),
    }
}

/// Length as JavaScript counts it. A half emoji travels as U+FFFD, so no lone halves arrive.
#[inline]
pub(super) fn utf16_len(text: &str) -> u64 {
    if text.is_ascii() {
        return text.len() as u64;
    }
    // every byte that starts a character counts once, a byte that starts four counts twice
    text.bytes().map(|byte| u64::from((byte & 0xc0) != 0x80) + u64::from(byte >= 0xf0)).sum()
}

fn skip_json(reader: &mut Reader<'_>) -> Result<(), GateError> {
    let text = reader.str()?;
    if json::is_json(text.as_bytes(), UPDATE_NESTING_MAX) { Ok(()) } else { Err(GateError::Json) }
}

fn skip_type(reader: &mut Reader<'_>) -> Result<u32, GateError> {
    match reader.uint()? {
        TYPE_ELEMENT | TYPE_HOOK => _ = reader.str()?,
        0..=TYPE_LAST => {}
        other => return Err(GateError::Wire(WireError::Kind(other))),
    }
    Ok(1)
}

/// A subdocument: its id and its options. Only the options that Yjs writes pass, since it hands them to a
/// constructor that believes them.
fn skip_doc(reader: &mut Reader<'_>) -> Result<u32, GateError> {
    reader.str()?;
    if reader.byte()? != 118 {
        return Err(GateError::Content(DOC));
    }
    let count = reader.uint()?;
    for _ in 0..fits(count, reader, 2)? {
        match reader.str()? {
            "gc" | "autoLoad" => match reader.byte()? {
                120 | 121 => {}
                _ => return Err(GateError::Content(DOC)),
            },
            "meta" => skip_any(reader, 2)?,
            _ => return Err(GateError::Content(DOC)),
        }
    }
    Ok(1)
}

/// Reads over one value (`readAny` of lib0), at most as deep as the limit.
pub(super) fn skip_any(reader: &mut Reader<'_>, depth: usize) -> Result<(), GateError> {
    match reader.byte()? {
        127 | 126 | 121 | 120 => {}
        125 => _ = reader.int()?,
        124 => _ = reader.bytes(4)?,
        123 | 122 => _ = reader.bytes(8)?,
        119 => _ = reader.str()?,
        116 => _ = reader.buf()?,
        118 => {
            let count = reader.uint()?;
            deeper(depth)?;
            for _ in 0..fits(count, reader, 2)? {
                reader.str()?;
                skip_any(reader, depth + 1)?;
            }
        }
        117 => {
            let count = reader.uint()?;
            deeper(depth)?;
            for _ in 0..fits(count, reader, 1)? {
                skip_any(reader, depth + 1)?;
            }
        }
        other => return Err(GateError::Wire(WireError::Kind(u64::from(other)))),
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<(), GateError> {
    if depth > UPDATE_NESTING_MAX { Err(GateError::Nesting) } else { Ok(()) }
}
