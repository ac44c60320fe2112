//! Titles, types and file names of records.
//!
//! Owns what is accepted as one, and what is made of text that is none. Does not know records.

use crate::config::limits::{RECORD_FILE_STEM_MAX_CHARS, RECORD_TITLE_MAX_CHARS, RECORD_WORD_MAX_BYTES};

/// The type of a record nobody gave one.
pub(super) const KIND: &str = "record";
/// The status of a new record.
pub(super) const DRAFT: &str = "draft";

/// Why a title was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TitleFault {
    Missing,
    TooLong,
}

/// A title: one line without control characters.
pub(super) fn title(text: &str) -> Result<String, TitleFault> {
    let title = line(text);
    match title.chars().count() {
        0 => Err(TitleFault::Missing),
        count if count > RECORD_TITLE_MAX_CHARS => Err(TitleFault::TooLong),
        _ => Ok(title),
    }
}

/// The same, cut where it is too long.
pub(super) fn title_cut(text: &str) -> Option<String> {
    let title: String = line(text).chars().take(RECORD_TITLE_MAX_CHARS).collect();
    (!title.trim().is_empty()).then(|| title.trim().to_owned())
}

fn line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// A type or a status: a short word; `None` when it is something else.
pub(super) fn word(text: &str) -> Option<String> {
    let word = text.trim().to_ascii_lowercase();
    let fits = (1..=RECORD_WORD_MAX_BYTES).contains(&word.len());
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    (fits && plain).then_some(word)
}

/// A file's own name, safe on every system: no folders, no control characters, with `.md`.
pub(super) fn file(text: &str) -> Option<String> {
    let name = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe = |c: char| if c.is_control() || "<>:\"|?*".contains(c) { '-' } else { c };
    let name: String = name.chars().map(safe).collect();
    let stem = strip_markdown(&name).trim_matches(['.', ' ']);
    let stem: String = stem.chars().take(RECORD_FILE_STEM_MAX_CHARS).collect();
    (!stem.is_empty()).then(|| format!("{stem}.md"))
}

/// What a file name says as a title.
pub(super) fn title_of_file(text: &str) -> Option<String> {
    let name = text.rsplit(['/', '\\']).next().unwrap_or_default();
    title_cut(&strip_markdown(name).replace(['-', '_'], " "))
}

fn strip_markdown(name: &str) -> &str {
    let ends = [".md", ".markdown", ".txt"];
    let end = ends.iter().find(|end| name.len() > end.len() && name.to_ascii_lowercase().ends_with(**end));
    end.and_then(|end| name.get(..name.len() - end.len())).unwrap_or(name)
}

/// A file name made of type and title.
pub(super) fn file_of(kind: &str, title: &str) -> Option<String> {
    let mut stem = String::new();
    for letter in title.chars().flat_map(char::to_lowercase) {
        let plain = match letter {
            'à' | 'â' | 'ä' | 'á' | 'ã' | 'å' => 'a',
            'ç' => 'c',
            'é' | 'è' | 'ê' | 'ë' => 'e',
            'î' | 'ï' | 'í' => 'i',
            'ñ' => 'n',
            'ô' | 'ö' | 'ó' | 'õ' => 'o',
            'ù' | 'û' | 'ü' | 'ú' => 'u',
            'ÿ' => 'y',
            'œ' => {
                stem.push('o');
                'e'
            }
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '-',
        };
        if plain != '-' || !stem.ends_with('-') {
            stem.push(plain);
        }
    }
    let stem = stem.trim_matches('-');
    (!stem.is_empty()).then(|| file(&format!("{kind}-{stem}")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_one_line() {
        assert_eq!(title(" a\n b\u{0} ").as_deref(), Ok("a b"));
        assert_eq!(title(" \n"), Err(TitleFault::Missing));
        assert_eq!(title(&"x".repeat(301)), Err(TitleFault::TooLong));
        assert_eq!(
            title_of_file("dir/bylaw-noise_restrictions.MD").as_deref(),
            Some("bylaw noise restrictions")
        );
    }

    #[test]
    fn file_names_are_safe_everywhere() {
        assert_eq!(file("../../etc/passwd").as_deref(), Some("passwd.md"));
        assert_eq!(file("C:\\a\\règlement: 1?.md").as_deref(), Some("règlement- 1-.md"));
        assert_eq!(file("é.md").as_deref(), Some("é.md"));
        for nothing in ["", "/", "..", "."] {
            assert_eq!(file(nothing), None, "{nothing:?}");
        }
        assert_eq!(
            file_of("bylaw", "Règlement n° 12 : Œuvres").as_deref(),
            Some("bylaw-reglement-n-12-oeuvres.md")
        );
        assert_eq!(file_of("bylaw", "…"), None);
    }

    #[test]
    fn types_are_words() {
        assert_eq!(word("Bylaw").as_deref(), Some("bylaw"));
        assert_eq!(word("two words"), None);
        assert_eq!(word(""), None);
    }
}
