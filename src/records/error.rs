//! Why something could not be done with a record, in plain words.

use thiserror::Error;

use crate::config::limits::{RECORD_BODY_MAX_BYTES, RECORD_TITLE_MAX_CHARS, RECORDS_MAX};
use crate::scribe::ScribeError;
use crate::store::{CommitError, ReadError};
use crate::text::front_matter::FrontMatterError;

/// Why a record was not made.
#[derive(Debug, Clone, Error)]
pub enum CreateError {
    /// The person may not write.
    #[error("you may read, but not write here")]
    Forbidden,
    /// There is no title.
    #[error("a record needs a title")]
    TitleMissing,
    /// The title is too long.
    #[error("a title has at most {RECORD_TITLE_MAX_CHARS} characters")]
    TitleTooLong,
    /// The type is no word.
    #[error("a type is a short word of letters, digits and dashes")]
    Kind,
    /// There are too many records.
    #[error("an office has at most {RECORDS_MAX} records")]
    TooMany,
    /// It could not be saved.
    #[error("the record could not be saved: {0}")]
    NotSaved(#[from] CommitError),
    /// What is there could not be read.
    #[error("the records could not be read: {0}")]
    NotRead(#[from] ReadError),
}

/// Why a file was not imported.
#[derive(Debug, Clone, Error)]
pub enum ImportError {
    /// The person may not write.
    #[error("you may read, but not write here")]
    Forbidden,
    /// The file is not UTF-8 text.
    #[error("the file is not UTF-8 text; save it as UTF-8 and import it again")]
    NotUtf8,
    /// There is nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// The file is too large.
    #[error("the file is too large: at most {} MB", RECORD_BODY_MAX_BYTES / 1024 / 1024)]
    TooLarge,
    /// The front matter cannot be understood.
    #[error("{0}")]
    FrontMatter(#[from] FrontMatterError),
    /// There are too many records.
    #[error("an office has at most {RECORDS_MAX} records")]
    TooMany,
    /// It could not be saved.
    #[error("the record could not be saved: {0}")]
    NotSaved(#[from] CommitError),
    /// What is there could not be read.
    #[error("the records could not be read: {0}")]
    NotRead(#[from] ReadError),
}

/// Why a record was not renamed.
#[derive(Debug, Clone, Error)]
pub enum RenameError {
    /// The person may not write.
    #[error("you may read, but not write here")]
    Forbidden,
    /// There is no such record.
    #[error("there is no such record")]
    NotFound,
    /// There is no title.
    #[error("a record needs a title")]
    TitleMissing,
    /// The title is too long.
    #[error("a title has at most {RECORD_TITLE_MAX_CHARS} characters")]
    TitleTooLong,
    /// It could not be saved.
    #[error("the title could not be saved: {0}")]
    NotSaved(#[from] CommitError),
    /// The record could not be read.
    #[error("the record could not be read: {0}")]
    NotRead(#[from] ReadError),
}

/// Why a record was not exported.
#[derive(Debug, Clone, Error)]
pub enum ExportError {
    /// There is no such record.
    #[error("there is no such record")]
    NotFound,
    /// The record could not be read.
    #[error("the record could not be read: {0}")]
    NotRead(#[from] ReadError),
    /// Its text could not be turned into Markdown.
    #[error("the text could not be turned into Markdown: {0}")]
    NotWritten(#[from] ScribeError),
}
