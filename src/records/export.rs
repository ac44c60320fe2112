//! A record as a Markdown file.
//!
//! Owns that an export is the newest saved text: the draft when it is as new as the log, else what the scribe
//! reads now. Does not know how a file is sent.

use bytes::Bytes;

use super::Records;
use super::draft::DraftState;
use super::error::ExportError;
use crate::id::RecordId;
use crate::text::front_matter;

/// A record's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub file_name: String,
    /// Front matter and text.
    pub markdown: Bytes,
}

impl Records {
    /// The newest saved text of a record as a file.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub async fn export(&self, id: &RecordId) -> Result<Export, ExportError> {
        let record = self.get(id).await?.ok_or(ExportError::NotFound)?;
        let draft = self.draft(id).await?;
        let source = self.source(id).await?;
        let body = if draft.state == DraftState::Current {
            source.written.unwrap_or(source.body)
        } else {
            self.written_now(id).await?
        };
        let markdown = front_matter::join(&source.head, &body).into();
        Ok(Export { file_name: record.file_name, markdown })
    }
}
