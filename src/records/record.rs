//! One record's row.
//!
//! Owns what is kept of a record beside its text, and how the row is written. Does not know where the values
//! come from.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::RecordId;
use crate::store::{CommitError, ReadError, Store, Table, Write};

/// A record without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: RecordId,
    /// Its title, on one line.
    pub title: String,
    /// What it is: `bylaw`, `policy`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// How far it is: `draft`, `published`, …
    pub status: String,
    /// Who made it.
    pub author: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When its text or title last changed, in milliseconds since 1970.
    pub updated_ms: u64,
    /// The name of its file.
    pub file_name: String,
}

impl Record {
    /// The change that puts this record's row.
    pub(super) fn write(&self) -> Result<Write, CommitError> {
        Write::put_json(Table::Records, key(&self.id), self)
    }
}

/// The key of a record's rows.
pub(super) fn key(id: &RecordId) -> Bytes {
    Bytes::copy_from_slice(id.as_str().as_bytes())
}

/// Reads one record.
pub(super) fn load(store: &Store, id: &RecordId) -> Result<Option<Record>, ReadError> {
    store.get(Table::Records, &key(id))?.map(|row| from_row(&row)).transpose()
}

pub(super) fn from_row(row: &[u8]) -> Result<Record, ReadError> {
    serde_json::from_slice(row).map_err(|fault| ReadError::Damaged(format!("a record's row: {fault}")))
}
