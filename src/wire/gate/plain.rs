//! An update for engines that read less than JavaScript writes.
//!
//! Owns one translation, for reading only: what is stored and relayed stays as it came. JavaScript writes half an
//! emoji as an escape (`"\ud83d"`), and numbers beyond what others count to (`10000000000000000000`, `1e999`); one of
//! them in a link's attributes would make a whole document unreadable elsewhere, and so would an XML hook, since
//! engines forget that it has a name.

use std::ops::Range;

use bytes::Bytes;
use serde_json::Value;

use super::GateError;
use super::content::{EMBED, FORMAT, TYPE, TYPE_ELEMENT, TYPE_HOOK};
use super::parse::read_struct;
use crate::wire::varint::Reader;

/// The same update with every half emoji in JSON as U+FFFD, JSON that is still beyond other engines as `null`, and
/// hooks as elements of their name. Nothing moves: a replacement is as long as what it replaces.
///
/// # Errors
/// When `update` does not pass the gate.
pub fn plain(update: &Bytes) -> Result<Bytes, GateError> {
    let mut changed: Option<Vec<u8>> = None;
    for place in places(update)? {
        let range = match &place {
            Place::Json(range) | Place::Hook(range) => range.clone(),
        };
        let bytes = update.get(range.clone()).unwrap_or_default();
        if matches!(place, Place::Json(_)) && is_plain(bytes) {
            continue;
        }
        let copy = changed.get_or_insert_with(|| update.to_vec());
        match (place, copy.get_mut(range)) {
            (Place::Json(_), Some(text)) => make_plain(text),
            (Place::Hook(_), Some(kind)) => kind.fill(TYPE_ELEMENT as u8),
            (_, None) => {}
        }
    }
    Ok(changed.map_or_else(|| update.clone(), Bytes::from))
}

/// What may have to be translated, and where it stands.
enum Place {
    Json(Range<usize>),
    /// The number of the type; its name follows.
    Hook(Range<usize>),
}

fn places(update: &[u8]) -> Result<Vec<Place>, GateError> {
    let mut places = Vec::new();
    let mut reader = Reader::new(update);
    for _ in 0..reader.uint()? {
        let structs = reader.uint()?;
        reader.uint()?;
        reader.uint()?;
        for _ in 0..structs {
            let one = read_struct(&mut reader)?;
            let content = one.content_at..reader.at();
            places.extend(place(update, one.kind(), content)?);
        }
    }
    Ok(places)
}

fn place(update: &[u8], kind: u8, content: Range<usize>) -> Result<Option<Place>, GateError> {
    let mut reader = Reader::new(update.get(content.clone()).unwrap_or_default());
    match kind {
        FORMAT => _ = reader.str()?, // its key
        EMBED => {}
        TYPE if reader.uint()? == TYPE_HOOK => {
            return Ok(Some(Place::Hook(content.start..content.start + 1)));
        }
        _ => return Ok(None),
    }
    let text = reader.str()?;
    Ok(Some(Place::Json(content.end - text.len()..content.end)))
}

fn is_plain(text: &[u8]) -> bool {
    matches!(text, b"null" | b"true" | b"false")
        || serde_json::from_slice::<Value>(text).is_ok_and(|value| counts_as_others_do(&value))
}

/// Whether every number is a signed integer of 64 bits or a float.
fn counts_as_others_do(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_f64(),
        Value::Array(values) => values.iter().all(counts_as_others_do),
        Value::Object(entries) => entries.values().all(counts_as_others_do),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn make_plain(text: &mut [u8]) {
    fill_halves(text);
    if !is_plain(text) && text.len() >= 4 {
        text.fill(b' ');
        if let Some(start) = text.get_mut(..4) {
            start.copy_from_slice(b"null");
        }
    }
}

/// Makes each escape of half an emoji one of U+FFFD.
fn fill_halves(text: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        at += match escape(rest) {
            Some(0xd800..=0xdbff) if matches!(rest.get(6..).and_then(escape), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                if let Some(half) = text.get_mut(at + 2..at + 6) {
                    half.copy_from_slice(b"fffd");
                }
                6
            }
            _ if rest.starts_with(b"\\") => 2,
            _ => 1,
        };
    }
}

/// The unit that an escape `\uXXXX` at the start stands for.
fn escape(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An embed in the root type "t".
    fn embed(json: &str) -> Bytes {
        let head = [1, 1, 7, 0, 5, 1, 1, b't', json.len() as u8];
        [&head[..], json.as_bytes(), &[0]].concat().into()
    }

    #[test]
    fn what_only_javascript_reads_is_translated_in_its_place() {
        for (written, read) in [
            (r#"{"a":"\ud83d","b":1}"#, r#"{"a":"\ufffd","b":1}"#),
            (r#""\ude00\ud83d\ude00\uD83D""#, r#""\ufffd\ud83d\ude00\ufffd""#),
            (r#""\\ud83d\ud83d\n""#, r#""\\ud83d\ufffd\n""#),
            ("[10000000000000000000]", "null                  "),
            ("1e999", "null "),
            (
                r#"{"n":1e19,"m":-9223372036854775808,"é":"😀"}"#,
                r#"{"n":1e19,"m":-9223372036854775808,"é":"😀"}"#,
            ),
        ] {
            assert_eq!(plain(&embed(written)).unwrap(), embed(read));
        }
    }

    #[test]
    fn formatting_is_translated_too_and_its_key_is_not() {
        let format = |json: &str| {
            let key = br"\ud83d";
            let head = [&[1, 1, 7, 0, 6, 1, 1, b't', 6][..], key, &[json.len() as u8]].concat();
            Bytes::from([&head[..], json.as_bytes(), &[0]].concat())
        };
        assert_eq!(plain(&format(r#""\udc00""#)).unwrap(), format(r#""\ufffd""#));
    }

    #[test]
    fn a_hook_is_read_as_an_element_of_its_name() {
        let named = |kind: u8| Bytes::from(vec![1, 1, 7, 0, 7, 1, 1, b't', kind, 1, b'h', 0]);
        assert_eq!(plain(&named(5)).unwrap(), named(3));
        assert_eq!(plain(&named(3)).unwrap(), named(3));
    }
}
