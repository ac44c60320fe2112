//! The query of a request, as browsers and the stock clients write it. Most of it holds no escapes, and is not copied.

use std::borrow::Cow;

/// The first value of this name in a query; `None` also when it cannot be read.
pub(super) fn value<'a>(text: &'a str, name: &str) -> Option<Cow<'a, str>> {
    text.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(key)? == name).then(|| plain(value)).flatten()
    })
}

/// Undoes the escapes of a query; `None` when there is no text behind them.
fn plain(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_browsers_write_it() {
        let text = "EIO=4&channel_token=a%20b%2Bc+d&empty=&bad=%zz&cut=%4&t=%C3%A9&EIO=3&bare";
        for (name, wanted) in [
            ("EIO", Some("4")),
            ("channel_token", Some("a b+c d")),
            ("empty", Some("")),
            ("bad", None),
            ("cut", None),
            ("t", Some("é")),
            ("bare", Some("")),
            ("none", None),
        ] {
            assert_eq!(value(text, name).as_deref(), wanted, "{name}");
        }
    }
}
