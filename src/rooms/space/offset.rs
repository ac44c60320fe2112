//! Offsets: how a client says which kept message it heard last.
//!
//! Owns their form: the number in base 36, a dash, a check of space and number. A client library takes the last
//! text of any event for an offset; the check is what tells a real one from text that only looks like one.

use std::sync::Arc;

use crate::config::limits::SPACE_OFFSET_MAX_BYTES;

/// The offset of a message.
pub(super) fn offset(space: &str, seq: u64) -> Arc<str> {
    let mut text = String::with_capacity(21);
    base36(seq, &mut text);
    text.push('-');
    base36(check(space, seq), &mut text);
    text.into()
}

/// Reads an offset; `None` when it is none of this space.
pub(super) fn read(space: &str, text: &str) -> Option<u64> {
    if text.len() > SPACE_OFFSET_MAX_BYTES {
        return None;
    }
    let (seq, _) = text.split_once('-')?;
    let seq = u64::from_str_radix(seq, 36).ok()?;
    (*offset(space, seq) == *text).then_some(seq)
}

fn check(space: &str, seq: u64) -> u64 {
    crc32c::crc32c_append(crc32c::crc32c(space.as_bytes()), &seq.to_le_bytes()).into()
}

fn base36(mut number: u64, text: &mut String) {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = [0; 13];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = DIGITS[(number % 36) as usize];
        number /= 36;
        if number == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_reads_back_and_other_text_does_not() {
        for seq in [0, 1, 35, 36, 1_000_000, u64::MAX] {
            assert_eq!(read("a", &offset("a", seq)), Some(seq));
            assert_eq!(read("b", &offset("a", seq)), None);
        }
        for text in ["", "-", "abc", "1", "1-1", "hello-world", "zzzzzzzzzzzzzzzzzzzzz-1", "+1-1", "é-1"] {
            assert_eq!(read("a", text), None, "{text}");
        }
    }
}
