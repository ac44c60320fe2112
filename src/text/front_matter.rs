//! Front matter: the YAML head of a record's file.
//!
//! Owns where it starts and ends and the few values that the office reads from it. The bytes stay as they
//! are, comments, key order, line endings and byte order mark included. Does not know what a record is.

use serde_json::Value;
use thiserror::Error;

use crate::config::limits::{FRONT_MATTER_MAX_BYTES, FRONT_MATTER_VALUE_MAX_CHARS};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A file cut in two; `head` and `body` together are the file, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split<'a> {
    /// Byte order mark and front matter with both its `---` lines; empty when there is none.
    pub head: &'a str,
    /// Everything after it.
    pub body: &'a str,
    /// The YAML between the two lines.
    pub yaml: &'a str,
}

/// What the office reads from front matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrontMatter {
    /// `id`.
    pub id: Option<String>,
    /// `title`.
    pub title: Option<String>,
    /// `type`.
    pub kind: Option<String>,
    /// `status`.
    pub status: Option<String>,
    /// `author`.
    pub author: Option<String>,
    /// `created`, as it is written.
    pub created: Option<String>,
    /// `updated`, as it is written.
    pub updated: Option<String>,
}

/// Why front matter was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrontMatterError {
    /// It is longer than any record's.
    #[error("the front matter is longer than {FRONT_MATTER_MAX_BYTES} bytes")]
    TooLong,
}

/// Cuts a file into front matter and body. Front matter has a closing line and keys with values between the two, from
/// the line after the first one on. Anything else is text that happens to start with a rule, and is shown as such.
#[must_use]
pub fn split(source: &str) -> Split<'_> {
    let mark = if source.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    let none = Split { head: &source[..mark], body: &source[mark..], yaml: "" };
    let mut lines = source[mark..].split_inclusive('\n');
    let Some(first) = lines.next() else { return none };
    if first.trim_end() != "---" || !first.ends_with('\n') {
        return none;
    }
    let start = mark + first.len();
    let mut at = start;
    for line in lines {
        let end = at + line.len();
        if matches!(line.trim_end(), "---" | "...") {
            let cut = Split { head: &source[..end], body: &source[end..], yaml: &source[start..at] };
            return if is_metadata(cut.yaml) { cut } else { none };
        }
        at = end;
    }
    none
}

/// Front matter and text as one file, which [`split`] cuts between the two.
#[must_use]
pub fn join(head: &str, body: &str) -> String {
    let front = head.trim_start_matches(BYTE_ORDER_MARK);
    if front.is_empty() && !split(body).head.trim_start_matches(BYTE_ORDER_MARK).is_empty() {
        // The text starts with a rule, which would open front matter.
        return format!("{head}{}", body.replacen("---", "***", 1));
    }
    let line_end = match front {
        _ if front.is_empty() || front.ends_with('\n') || body.is_empty() => "",
        _ if front.contains("\r\n") => "\r\n",
        _ => "\n",
    };
    format!("{head}{line_end}{body}")
}

/// Whether what stands between two lines `---` is keys with values, or nothing at all. Writers know front matter by its
/// first line: a blank one follows a rule.
fn is_metadata(yaml: &str) -> bool {
    let Some(first) = yaml.lines().next() else { return true };
    if first.trim().is_empty() {
        return false;
    }
    if yaml.len() > FRONT_MATTER_MAX_BYTES {
        return has_keys(yaml);
    }
    match parsed(yaml) {
        Ok(value) => matches!(value, Some(Value::Object(_))),
        Err(_) => has_keys(yaml),
    }
}

/// Whether YAML that no parser takes starts with a key, and has nothing but keys and items at the start of its lines.
fn has_keys(yaml: &str) -> bool {
    let said = |line: &&str| !line.trim().is_empty() && !line.starts_with(['#', ' ', '\t']);
    let is_key = |line: &str| {
        let (key, value) = line.split_once(':').unwrap_or_default();
        let word = !key.is_empty() && !key.trim_end().contains(char::is_whitespace);
        word && (value.is_empty() || value.starts_with([' ', '\t']))
    };
    let mut lines = yaml.lines().filter(said);
    lines.next().is_some_and(is_key) && lines.all(|line| is_key(line) || line.starts_with(['-', ']', '}']))
}

/// Reads the values that the office knows. YAML that is odd but has readable `key: value` lines is still
/// read.
///
/// # Errors
/// When it is too long.
pub fn values(yaml: &str) -> Result<FrontMatter, FrontMatterError> {
    if yaml.len() > FRONT_MATTER_MAX_BYTES {
        return Err(FrontMatterError::TooLong);
    }
    Ok(match parsed(yaml) {
        Ok(Some(Value::Object(map))) => collect(|key| map.get(key).and_then(scalar)),
        Ok(_) => FrontMatter::default(),
        Err(_) => collect(|key| by_line(yaml, key)),
    })
}

fn parsed(yaml: &str) -> Result<Option<Value>, serde_saphyr::Error> {
    serde_saphyr::from_str(yaml)
}

fn collect(value: impl Fn(&str) -> Option<String>) -> FrontMatter {
    FrontMatter {
        id: value("id"),
        title: value("title"),
        kind: value("type"),
        status: value("status"),
        author: value("author"),
        created: value("created"),
        updated: value("updated"),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => tidy(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The value of the first line `key: value`, for YAML that no parser takes (doubled keys, tabs, stray
/// quotes).
fn by_line(yaml: &str, key: &str) -> Option<String> {
    let rest = yaml.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'))?.trim();
    let quoted = |mark: char| rest.strip_prefix(mark).and_then(|inner| inner.split(mark).next());
    let plain = || rest.split(" #").next().unwrap_or_default();
    tidy(quoted('"').or_else(|| quoted('\'')).unwrap_or_else(plain))
}

fn tidy(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then(|| line.chars().take(FRONT_MATTER_VALUE_MAX_CHARS).collect())
}

/// A YAML scalar in double quotes: JSON's form, which every YAML parser reads the same.
#[must_use]
pub fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// The front matter with another title and every other byte as it was; `None` when that cannot be done
/// safely.
#[must_use]
pub fn with_title(head: &str, title: &str) -> Option<String> {
    let mut at = 0;
    let mut first_end = None;
    for line in head.split_inclusive('\n') {
        let end = at + line.len();
        let value = line.strip_prefix("title").map(str::trim_start).and_then(|rest| rest.strip_prefix(':'));
        if let Some(value) = value {
            // a value over several lines, or one that others refer to
            let odd = value.trim_start().starts_with(['>', '|', '&', '*', '!', '{', '[']);
            if odd || head[end..].starts_with([' ', '\t']) {
                return None;
            }
            let line_end = &line[line.trim_end().len()..];
            let (_, comment) = cut_comment(value);
            let renamed =
                format!("{}title: {}{comment}{line_end}{}", &head[..at], quoted(title), &head[end..]);
            return says(&renamed, title).then_some(renamed);
        }
        first_end.get_or_insert((end, &line[line.trim_end().len()..]));
        at = end;
    }
    let (end, line_end) = first_end?;
    let renamed = format!("{}title: {}{line_end}{}", &head[..end], quoted(title), &head[end..]);
    says(&renamed, title).then_some(renamed)
}

/// Whether front matter still reads, with this title.
fn says(head: &str, title: &str) -> bool {
    let cut = split(head);
    cut.body.is_empty() && values(cut.yaml).is_ok_and(|found| found.title.as_deref() == Some(title))
}

/// A scalar on one line and the comment behind it, with the blank before it.
fn cut_comment(value: &str) -> (&str, &str) {
    let value = value.trim_end();
    let text = value.trim_start();
    let start = value.len() - text.len();
    let mark = text.chars().next().filter(|mark| matches!(mark, '"' | '\''));
    let from = match mark {
        Some(mark) => text[1..].find(mark).map_or(value.len(), |at| start + at + 2),
        None => start,
    };
    let comment =
        value[from..].find(" #").map_or(value.len(), |at| value[..from + at].trim_end().len().max(from));
    value.split_at(comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_and_nothing_is_lost() {
        let bom = "\u{feff}---\r\ntitle: x # why\r\n---\r\n\r\n# Text\r\n";
        for (source, head) in [
            (bom, "\u{feff}---\r\ntitle: x # why\r\n---\r\n"),
            ("---\na: 1\n...\nb", "---\na: 1\n...\n"),
            ("---\nnever closed\n", ""),
            ("# no head\n", ""),
            ("---", ""),
            ("", ""),
            ("\u{feff}text", "\u{feff}"),
            ("---\n---\ntext", "---\n---\n"),
            (
                "---\ntitle: \"Budget\" 2025\nid: a\nid: b\n---\n",
                "---\ntitle: \"Budget\" 2025\nid: a\nid: b\n---\n",
            ),
        ] {
            let cut = split(source);
            assert_eq!(cut.head, head, "{source:?}");
            assert_eq!(format!("{}{}", cut.head, cut.body), source);
        }
        assert_eq!(split(bom).yaml, "title: x # why\r\n");
    }

    #[test]
    fn text_between_two_rules_is_text() {
        for source in [
            "---\n\nDate : 3 mai\nLieu : salle\n\n---\n# Ordre\n",
            "---\nOrdre du jour\n---\ntext\n",
            "---\nLe conseil note : ceci : cela.\nPuis il vote.\n---\ntext\n",
            "---\nNote: ceci: cela\nest de la prose.\n---\ntext\n",
            "---\n- a\n- b\n---\ntext\n",
            "---\n# Ordre du jour\n---\ntext\n",
            &format!("---\nOrdre\n{}\n---\ntext\n", "mot ".repeat(20_000)),
        ] {
            let cut = split(source);
            assert_eq!((cut.head, cut.body), ("", source));
            assert_eq!(join(cut.head, cut.body), source);
        }
    }

    #[test]
    fn front_matter_and_text_stay_apart_in_one_file() {
        for (head, body, file) in [
            ("---\na: 1\n---", "Text\n", "---\na: 1\n---\nText\n"),
            ("---\r\na: 1\r\n---", "Text\r\n", "---\r\na: 1\r\n---\r\nText\r\n"),
            ("---\na: 1\n---", "", "---\na: 1\n---"),
            ("---\na: 1\n---\n", "---\nb: 1\n---\n", "---\na: 1\n---\n---\nb: 1\n---\n"),
            ("", "---\nb: 1\n---\n", "***\nb: 1\n---\n"),
            ("\u{feff}", "---\nb: 1\n---\n", "\u{feff}***\nb: 1\n---\n"),
            ("", "---\n\nb: 1\n---\n", "---\n\nb: 1\n---\n"),
            ("", "Text\n", "Text\n"),
        ] {
            assert_eq!(join(head, body), file);
            assert_eq!(split(file).head.trim_end(), head.trim_end(), "{file:?}");
        }
    }

    #[test]
    fn the_known_values_are_read_and_odd_yaml_does_not_stop_a_clerk() {
        let read = values("# head\nid: \"r-1\"\ntitle: 'Règlement'\ntype: bylaw\nstatus: draft\ntags: [a]\n")
            .unwrap();
        assert_eq!(
            (read.id.as_deref(), read.title.as_deref(), read.kind.as_deref(), read.status.as_deref()),
            (Some("r-1"), Some("Règlement"), Some("bylaw"), Some("draft"))
        );
        assert_eq!(values("title: 2025\n").unwrap().title.as_deref(), Some("2025"));
        assert_eq!(values("").unwrap(), FrontMatter::default());
        let odd = values("title: \"Budget\" 2025\nid: a\nid: b\n\tx: [\n").unwrap();
        assert_eq!((odd.title.as_deref(), odd.id.as_deref()), (Some("Budget"), Some("a")));
        assert_eq!(values(&"a".repeat(70_000)), Err(FrontMatterError::TooLong));
    }

    #[test]
    fn a_new_title_changes_one_line() {
        let head = "\u{feff}---\r\n# who\r\ntitle: 'Old # one'  # keep me\r\ntype: bylaw\r\n---\r\n";
        let renamed = head.replace("'Old # one' ", "\"New: \\\"one\\\"\" ");
        assert_eq!(with_title(head, "New: \"one\"").as_deref(), Some(renamed.as_str()));
        assert_eq!(
            with_title("---\ntype: x\n---\n", "T").as_deref(),
            Some("---\ntitle: \"T\"\ntype: x\n---\n")
        );
        assert_eq!(with_title("---\ntitle: >\n  folded\n  text\n---\n", "T"), None, "too odd to touch");
        assert_eq!(with_title("", "T"), None);
    }

    #[test]
    fn quoted_titles_read_back() {
        for title in ["plain", "a \"b\" \\ c", "é: #1", "- x"] {
            let yaml = format!("title: {}\n", quoted(title));
            assert_eq!(values(&yaml).unwrap().title.as_deref(), Some(title));
        }
    }
}
