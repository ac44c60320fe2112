//! Whether text is JSON that browsers and engines can read, without building it.
//!
//! Owns that one question. Text that is JSON stays as its bytes: number forms, key order and escapes of half
//! emoji (`\ud83d`), which JavaScript may write, survive.

use serde::de::IgnoredAny;

/// Whether `text` is one JSON value nested at most `depth_max` deep.
#[must_use]
pub fn is_json(text: &[u8], depth_max: usize) -> bool {
    match text {
        b"null" | b"true" | b"false" | b"{}" | b"[]" => true, // nearly all formatting
        _ => depth(text) <= depth_max && serde_json::from_slice::<IgnoredAny>(text).is_ok(),
    }
}

/// How deep brackets outside strings nest.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut deepest) = (0usize, 0usize);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => _ = bytes.next(),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_javascript_writes_is_json() {
        for good in [
            "null",
            "\"\\ud83d\"",
            "1e308",
            "10000000000000000000",
            "-0",
            "{\"a\":[1,{\"b\":\"}]\\\"[\"}]}",
            "\"é😀\"",
        ] {
            assert!(is_json(good.as_bytes(), 4), "{good}");
        }
        for bad in ["", "undefined", "{", "nul", "01", "1 2", "{a:1}", "\"\n\"", "NaN", "[1,]"] {
            assert!(!is_json(bad.as_bytes(), 4), "{bad}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_parsed() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(is_json(deep(64).as_bytes(), 64));
        assert!(!is_json(deep(65).as_bytes(), 64));
        assert!(!is_json(deep(1_000_000).as_bytes(), 64));
        assert!(is_json(format!("\"{}\"", "[".repeat(100)).as_bytes(), 64), "brackets in text do not nest");
    }
}
