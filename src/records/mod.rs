//! What a record is, and its rules: making, importing, listing, renaming, exporting.
//!
//! Owns records' rows, their sources (the bytes they came with) and how far their drafts are. A record's text
//! lives in its document's log; this module only makes the first update of it. Does not know HTTP, rooms or
//! peers.

mod draft;
mod error;
mod export;
mod make;
mod names;
mod record;

pub use draft::{Draft, DraftState, Failed, Progress, Source};
pub use error::{CreateError, ExportError, ImportError, RenameError};
pub use export::Export;
pub use make::NewRecord;
pub use record::Record;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::config::limits::{RECORDS_MAX, RECORDS_READ_ROWS};
use crate::id::RecordId;
use crate::scribe::Scribe;
use crate::store::{CommitError, Committed, ReadError, Store, Table, Write};

/// The office's records; cheap to clone.
#[derive(Clone)]
pub struct Records(Arc<Inner>);

struct Inner {
    store: Store,
    scribe: Scribe,
    clock: Clock,
    /// Held while a row is read, changed and written, so that no change is lost.
    writing: Mutex<()>,
}

impl Records {
    /// The records in this store.
    #[must_use]
    pub fn new(store: Store, scribe: Scribe, clock: Clock) -> Self {
        Self(Arc::new(Inner { store, scribe, clock, writing: Mutex::new(()) }))
    }

    /// One record; `None` when there is none of this id.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn get(&self, id: &RecordId) -> Result<Option<Record>, ReadError> {
        let id = id.clone();
        self.reading(move |store| record::load(store, &id)).await
    }

    /// All records, the last changed first.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn list(&self) -> Result<Vec<Record>, ReadError> {
        self.reading(|store| {
            let mut records = Vec::new();
            let mut from = Bytes::new();
            loop {
                let rows = store.scan(Table::Records, &from, RECORDS_READ_ROWS)?;
                let full = rows.len() == RECORDS_READ_ROWS;
                if let Some((key, _)) = rows.last() {
                    from = [key, &b"\0"[..]].concat().into(); // right behind the last one
                }
                for (_, row) in rows {
                    records.push(record::from_row(&row)?);
                }
                if !full || records.len() > RECORDS_MAX {
                    break;
                }
            }
            records.sort_by(|a: &Record, b: &Record| (b.updated_ms, &b.id).cmp(&(a.updated_ms, &a.id)));
            Ok(records)
        })
        .await
    }

    /// Reads where blocking is allowed.
    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let store = self.0.store.clone();
        let read = tokio::task::spawn_blocking(move || read(&store)).await;
        read.unwrap_or_else(|_| Err(ReadError::Disk("the server is stopping".to_owned())))
    }

    /// Writes, and waits until it is on disk.
    async fn commit(&self, writes: Vec<Write>) -> Result<Committed, CommitError> {
        let told = self.0.store.commit(writes)?;
        told.await.unwrap_or(Err(CommitError::Closed))
    }
}
