//! Looks into JSON text without building it: the first element of an array, and where binary data belongs.
//!
//! Everything here is asked of text that is known to be JSON.

/// A piece of JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// One of `{}[],:`.
    Mark(u8),
    /// A string, with its quotes.
    Text(&'a str),
    /// A number, `true`, `false` or `null`.
    Word(&'a str),
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        let start = self.at;
        let first = *bytes.get(start)?;
        self.at += 1;
        match first {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => return Some(Token::Mark(first)),
            b'"' => {
                loop {
                    match bytes.get(self.at)? {
                        b'\\' => self.at += 2,
                        b'"' => break,
                        _ => self.at += 1,
                    }
                }
                self.at += 1;
                return self.text.get(start..self.at).map(Token::Text);
            }
            _ => {}
        }
        while bytes.get(self.at).is_some_and(|b| !b"{}[],:\"".contains(b) && !b.is_ascii_whitespace()) {
            self.at += 1;
        }
        self.text.get(start..self.at).map(Token::Word)
    }
}

/// The first element of an array, and the text of all others, their commas between them.
pub(super) fn split_first(array: &str) -> Option<(&str, &str)> {
    let inner = array.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut tokens = Tokens { text: inner, at: 0 };
    let mut depth = 0usize;
    loop {
        let before = tokens.at;
        match tokens.next() {
            Some(Token::Mark(b'{' | b'[')) => depth += 1,
            Some(Token::Mark(b'}' | b']')) => depth = depth.checked_sub(1)?,
            Some(Token::Mark(b',')) if depth == 0 => {
                return Some((inner.get(..before)?.trim(), inner.get(tokens.at..)?.trim()));
            }
            Some(_) => {}
            None => return (!inner.trim().is_empty()).then(|| (inner.trim(), "")),
        }
    }
}

/// What an open bracket holds so far.
#[derive(Default)]
struct Open {
    object: bool,
    /// The key whose value comes next, in an object.
    key: Key,
    placeholder: bool,
    num: Option<usize>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Key {
    #[default]
    None,
    Placeholder,
    Num,
    Other,
}

/// Whether each placeholder for binary data names one of `attachments`: a client that is sent another one gives up
/// its connection.
pub(super) fn placeholders_fit(text: &str, attachments: usize) -> bool {
    let mut open: Vec<Open> = Vec::new();
    for token in (Tokens { text, at: 0 }) {
        match token {
            Token::Mark(mark @ (b'{' | b'[')) => {
                if let Some(outer) = open.last_mut() {
                    outer.value(None);
                }
                open.push(Open { object: mark == b'{', ..Open::default() });
            }
            Token::Mark(b'}' | b']') => {
                let Some(closed) = open.pop() else { return false };
                if closed.placeholder && closed.num.is_none_or(|num| num >= attachments) {
                    return false;
                }
            }
            Token::Mark(_) => {}
            Token::Text(text) => {
                if let Some(inner) = open.last_mut() {
                    inner.text(text);
                }
            }
            Token::Word(word) => {
                if let Some(inner) = open.last_mut() {
                    inner.value(Some(word));
                }
            }
        }
    }
    open.is_empty()
}

impl Open {
    fn text(&mut self, text: &str) {
        if !self.object || self.key != Key::None {
            return self.value(None);
        }
        let is = |name: &str| {
            text.get(1..text.len() - 1) == Some(name)
                || (text.contains('\\') && serde_json::from_str::<String>(text).is_ok_and(|key| key == name))
        };
        self.key = if is("_placeholder") {
            Key::Placeholder
        } else if is("num") {
            Key::Num
        } else {
            Key::Other
        };
    }

    /// A value is complete or begins; of two with one key, the last counts, as in JavaScript.
    fn value(&mut self, word: Option<&str>) {
        match self.key {
            Key::Placeholder => self.placeholder = word == Some("true"),
            Key::Num => self.num = word.and_then(|word| word.parse().ok()),
            Key::None | Key::Other => {}
        }
        self.key = Key::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_is_cut_off_and_the_rest_stays_as_it_is() {
        for (array, first, rest) in [
            ("[\"a\"]", "\"a\"", ""),
            ("[\"a\",1]", "\"a\"", "1"),
            (" [ \"a\" , {\"b\" : [1,2]} , 3 ] ", "\"a\"", "{\"b\" : [1,2]} , 3"),
            ("[\"a,]\\\"\",\"é,\"]", "\"a,]\\\"\"", "\"é,\""),
            ("[[1,2],{\"a\":3}]", "[1,2]", "{\"a\":3}"),
            ("[-1.5e3,null]", "-1.5e3", "null"),
        ] {
            assert_eq!(split_first(array), Some((first, rest)), "{array}");
        }
        for none in ["[]", "[ ]", "{}", "", "1", "[1"] {
            assert_eq!(split_first(none), None, "{none}");
        }
    }

    #[test]
    fn a_placeholder_names_what_is_there() {
        for good in [
            "[\"a\",{\"_placeholder\":true,\"num\":0},{\"num\":1,\"_placeholder\":true}]",
            "[{\"a\":[{\"b\":{\"_placeholder\":true,\"num\":1}}]}]",
            "[{\"_placeholder\":false,\"num\":9}]",
            "[{\"num\":9}]",
            "[\"_placeholder\",true]",
            "[{\"x\":\"_placeholder\",\"num\":7}]",
            "[{\"_placeholder\":[true],\"num\":7}]",
            "[{\"_placeholder\":true,\"num\":7,\"num\":0}]",
            "[]",
        ] {
            assert!(placeholders_fit(good, 2), "{good}");
        }
        for bad in [
            "[{\"_placeholder\":true,\"num\":2}]",
            "[{\"_placeholder\":true}]",
            "[{\"_placeholder\":true,\"num\":-1}]",
            "[{\"_placeholder\":true,\"num\":0.5}]",
            "[{\"_placeholder\":true,\"num\":\"0\"}]",
            "[{\"_placeholder\":true,\"num\":{\"num\":0}}]",
            "[{\"_placeholder\":true,\"num\":99999999999999999999}]",
            "[{\"\\u005fplaceholder\":true,\"num\":2}]",
            "[{\"_placeholder\":false,\"_placeholder\":true,\"num\":2}]",
            "[{\"a\":{\"_placeholder\":true,\"num\":5},\"_placeholder\":false}]",
        ] {
            assert!(!placeholders_fit(bad, 2), "{bad}");
        }
    }
}
