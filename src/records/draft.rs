//! How far the drafts of records are behind their documents.
//!
//! Owns the follower's cursor and the list of records whose draft failed, as one row, and the writing of a
//! draft. Does not know when drafts are written.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Records;
use super::error::ExportError;
use super::record::key;
use crate::config::limits::DRAFT_BATCH;
use crate::id::{DocName, RecordId, Seq};
use crate::scribe::ScribeError;
use crate::store::{CommitError, ReadError, Table, Write};
use crate::text::{front_matter, write_over};

/// The row of the follower's cursor.
const CURSOR: &[u8] = b"drafting";

/// How far a record's draft is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DraftState {
    /// It says what the document says.
    Current,
    /// It will soon.
    Behind,
    /// It could not be written; it keeps its last text and is tried again.
    Failed,
}

/// A record's draft, for the clerk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// How far it is.
    pub state: DraftState,
    /// Why it failed.
    pub why: Option<String>,
}

/// A record whose draft failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Why, in plain words.
    pub why: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again, in milliseconds since 1970.
    pub again_ms: u64,
}

/// How far the drafts are: everything up to `cursor` was looked at, and what failed of it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The last row of the log that was looked at.
    pub cursor: Seq,
    /// What failed, and is tried again.
    pub failed: BTreeMap<RecordId, Failed>,
}

/// A record's file, in its parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Front matter, as its bytes.
    pub head: String,
    /// The text it came with.
    pub body: String,
    /// The draft, once the text changed.
    pub written: Option<String>,
}

impl Records {
    /// How far the drafts are.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn progress(&self) -> Result<Progress, ReadError> {
        let row = self.reading(|store| store.get(Table::Cursors, CURSOR)).await?;
        row.map_or_else(
            || Ok(Progress::default()),
            |row| {
                serde_json::from_slice(&row)
                    .map_err(|fault| ReadError::Damaged(format!("the drafts' cursor: {fault}")))
            },
        )
    }

    /// How far the draft of one record is.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn draft(&self, id: &RecordId) -> Result<Draft, ReadError> {
        let progress = self.progress().await?;
        if let Some(failed) = progress.failed.get(id) {
            return Ok(Draft { state: DraftState::Failed, why: Some(failed.why.clone()) });
        }
        let doc = DocName::of_record(id);
        let behind = self.reading(move |store| {
            let changed = store.changed_after(progress.cursor, DRAFT_BATCH)?;
            Ok(changed.len() == DRAFT_BATCH || changed.iter().any(|(_, changed)| *changed == doc))
        });
        let state = if behind.await? { DraftState::Behind } else { DraftState::Current };
        Ok(Draft { state, why: None })
    }

    /// A record's file in its parts.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn source(&self, id: &RecordId) -> Result<Source, ReadError> {
        let key = key(id);
        let rows = self
            .reading(move |store| Ok((store.get(Table::Sources, &key)?, store.get(Table::Drafts, &key)?)));
        let (source, written) = rows.await?;
        let text = |row: Bytes| {
            String::from_utf8(row.into())
                .map_err(|_| ReadError::Damaged("a record's text is not text".to_owned()))
        };
        let source = source.map(text).transpose()?.unwrap_or_default();
        let split = front_matter::split(&source);
        Ok(Source {
            head: split.head.to_owned(),
            body: split.body.to_owned(),
            written: written.map(text).transpose()?,
        })
    }

    /// What the document says now, written over the text the record came with.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub async fn written_now(&self, id: &RecordId) -> Result<String, ExportError> {
        let doc = DocName::of_record(id);
        let loaded = self.reading(move |store| store.load(&doc)).await?.ok_or(ExportError::NotFound)?;
        let parts: Vec<Bytes> =
            loaded.snapshot.into_iter().chain(loaded.tail).map(|(_, update)| update).collect();
        let (document, _) = self.0.scribe.read(parts).await?;
        let source = self.source(id).await?;
        let writing = tokio::task::spawn_blocking(move || write_over(&source.body, &document));
        writing.await.map_err(|_| ScribeError::Unreadable("its text cannot be written".to_owned()).into())
    }

    /// Puts a record's draft, the time of its change, and the follower's progress in one commit. Without a
    /// draft only the progress is put.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn put_progress(
        &self,
        progress: &Progress,
        draft: Option<(&RecordId, String)>,
    ) -> Result<(), CommitError> {
        let mut writes = vec![Write::put_json(Table::Cursors, Bytes::from_static(CURSOR), progress)?];
        let _writing = self.0.writing.lock().await;
        if let Some((id, text)) = draft {
            writes.push(Write::Put { table: Table::Drafts, key: key(id), value: text.into() });
            let record = self.get(id).await.map_err(|fault| CommitError::Disk(fault.to_string()))?;
            if let Some(mut record) = record {
                record.updated_ms = self.0.clock.now_ms();
                writes.push(record.write()?);
            }
        }
        self.commit(writes).await.map(drop)
    }
}
