//! Names that are valid by construction: once one of these exists, nobody checks it again.
//!
//! Owns the grammar of every identifier. Knows nothing of where names come from or what they open.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Longest document name in bytes.
pub const DOC_NAME_MAX_BYTES: usize = 255;
/// Longest record id in bytes.
pub const RECORD_ID_MAX_BYTES: usize = 64;

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// The name is empty.
    #[error("the name is empty")]
    Empty,
    /// The name is longer than its kind allows.
    #[error("the name is longer than {0} bytes")]
    TooLong(usize),
    /// The name holds a character that its kind does not allow.
    #[error("the name holds a character that is not allowed")]
    Character,
}

/// The id of a record: `[A-Za-z0-9_-]{1,64}`, so that it can be a key, a URL segment and a file name anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(Arc<str>);

impl RecordId {
    /// Parses an id.
    ///
    /// # Errors
    /// When it is empty, too long, or holds anything but ASCII letters, digits, `_` and `-`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > RECORD_ID_MAX_BYTES {
            return Err(NameError::TooLong(RECORD_ID_MAX_BYTES));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(NameError::Character);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RecordId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a shared document: 1 to 255 bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocName(Arc<str>);

/// What a document name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocKind {
    /// `record:<id>`: the text of that record. It exists once the record was made.
    Record(RecordId),
    /// `<type>-<id>-<field>` or `<type>-new-<owner>-…`: a text of one of Loomio's records, or a draft of one.
    Loomio(LoomioDoc),
    /// Any other name: it exists from its first edit.
    Free,
}

/// Loomio's types of records that have texts (Loomio's Rails app).
const LOOMIO_TYPES: &[&str] = &[
    "comment",
    "discussion",
    "poll",
    "stance",
    "outcome",
    "pollTemplate",
    "discussionTemplate",
    "group",
    "user",
];

/// What the name of a Loomio document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoomioDoc {
    /// The type of its record: one of nine.
    pub of: &'static str,
    /// Which record.
    pub which: LoomioRecord,
}

/// Which record a Loomio document belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoomioRecord {
    /// One that is there.
    Saved(u64),
    /// One that somebody is making: whose it is, then what it is for, as the name has it.
    New(String),
}

impl LoomioDoc {
    fn parse(name: &str) -> Option<Self> {
        let (of, rest) = name.split_once('-')?;
        let of = LOOMIO_TYPES.iter().find(|known| **known == of)?;
        let (id, rest) = rest.split_once('-').filter(|(_, rest)| !rest.is_empty())?;
        let which = match id {
            "new" => LoomioRecord::New(rest.to_owned()),
            id if id.bytes().all(|byte| byte.is_ascii_digit()) => LoomioRecord::Saved(id.parse().ok()?),
            _ => return None,
        };
        Some(Self { of, which })
    }

    /// Whether it is a draft of this owner: a user's id, or a visitor's token, which may hold hyphens itself.
    #[must_use]
    pub fn is_draft_of(&self, owner: &str) -> bool {
        match &self.which {
            LoomioRecord::New(rest) => {
                !owner.is_empty() && rest.strip_prefix(owner).is_some_and(|rest| rest.starts_with('-'))
            }
            LoomioRecord::Saved(_) => false,
        }
    }
}

impl DocName {
    /// Parses a document name.
    ///
    /// # Errors
    /// When it is empty, longer than 255 bytes, holds a control character, or says `record:` without a valid id.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > DOC_NAME_MAX_BYTES {
            return Err(NameError::TooLong(DOC_NAME_MAX_BYTES));
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::Character);
        }
        if let Some(id) = text.strip_prefix("record:") {
            RecordId::parse(id)?;
        }
        Ok(Self(text.into()))
    }

    /// The document that holds a record's text.
    #[must_use]
    pub fn of_record(id: &RecordId) -> Self {
        Self(format!("record:{id}").into())
    }

    /// What the name stands for.
    #[must_use]
    pub fn kind(&self) -> DocKind {
        match self.0.strip_prefix("record:").map(RecordId::parse) {
            Some(Ok(id)) => DocKind::Record(id),
            _ => LoomioDoc::parse(&self.0).map_or(DocKind::Free, DocKind::Loomio),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As logs have it: a draft's name may hold a visitor's token, and is told from others by a hash.
impl fmt::Display for DocName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            DocKind::Loomio(LoomioDoc { of, which: LoomioRecord::New(rest) }) => {
                let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(rest));
                write!(f, "{of}-new-#{a:02x}{b:02x}{c:02x}{d:02x}")
            }
            _ => f.write_str(&self.0),
        }
    }
}

/// One connection of one person to one room; unique while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// The place of a row in the log: one counter for the whole office, starting at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Seq(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_ids_are_safe_everywhere() {
        assert!(RecordId::parse("record-1705276800000").is_ok());
        for bad in ["", "a/b", "..", "a b", "é", "a\0", &"x".repeat(65)] {
            assert!(RecordId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn document_names_know_their_kind() {
        let record = DocName::parse("record:a-1").unwrap();
        assert_eq!(record.kind(), DocKind::Record(RecordId::parse("a-1").unwrap()));
        assert_eq!(DocName::parse("notes").unwrap().kind(), DocKind::Free);
        let saved = LoomioDoc { of: "comment", which: LoomioRecord::Saved(456) };
        assert_eq!(DocName::parse("comment-456-body").unwrap().kind(), DocKind::Loomio(saved));
        for free in [
            "comment",
            "comment-456",
            "comment-456-",
            "comment-x-body",
            "user-guide",
            "user-new-",
            "Poll-1-x",
        ] {
            assert_eq!(DocName::parse(free).unwrap().kind(), DocKind::Free, "{free}");
        }
        let DocKind::Loomio(draft) = DocName::parse("group-new-a-b-c-description").unwrap().kind() else {
            panic!()
        };
        assert!(draft.is_draft_of("a-b-c") && draft.is_draft_of("a"));
        assert!(!draft.is_draft_of("a-b-c-description") && !draft.is_draft_of("") && !draft.is_draft_of("b"));
        let shown = |name: &str| DocName::parse(name).unwrap().to_string();
        assert_eq!(shown("group-1-description"), "group-1-description");
        let draft = shown("group-new-canary-description");
        assert!(draft.starts_with("group-new-#") && !draft.contains("canary"), "{draft}");
        assert_ne!(draft, shown("group-new-another-description"));
        for bad in ["", "a\nb", "record:", "record:../x", &"x".repeat(256)] {
            assert!(DocName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
