//! What is durable: the log of every document, its snapshots, and rows.
//!
//! Owns the order of what happened ([`Seq`]) and the promise that a finished commit is on disk. Does not know
//! what bytes mean, who sent them, or that there are rooms.

use std::path::Path;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use crate::clock::Clock;
use crate::id::{DocName, Seq};
use crate::telemetry::Metrics;

/// A named set of rows, each with a key in byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Records by id.
    Records,
    /// Sources of records as they were read: the bytes that an unchanged block keeps.
    Sources,
    /// Drafts of records by id.
    Drafts,
    /// Tokens by their hash.
    Tokens,
    /// Cursors of followers by name.
    Cursors,
    /// Settings of the office by name.
    Settings,
    /// What was done by whom, by time.
    Audit,
}

/// One change; all changes of one commit happen together or not at all.
#[derive(Debug, Clone)]
pub enum Write {
    /// Adds an update to a document's log; the document exists from its first one.
    Append {
        /// Whose log.
        doc: DocName,
        /// The update, format v1, already accepted by the gate.
        update: Bytes,
    },
    /// Puts a snapshot that holds everything up to and including `upto`; older generations are retired.
    Snapshot {
        /// Whose state.
        doc: DocName,
        /// The last row it holds.
        upto: Seq,
        /// The whole state as one update, format v1.
        state: Bytes,
    },
    /// Puts a row.
    Put {
        /// Where.
        table: Table,
        /// Its key.
        key: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// Removes a row; a row that is not there is no error.
    Delete {
        /// Where.
        table: Table,
        /// Its key.
        key: Bytes,
    },
}

/// A finished commit: it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The last row of the log after this commit's own rows.
    pub upto: Seq,
}

/// A document as it lies on disk.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The newest good snapshot: the last row it holds, and the state.
    pub snapshot: Option<(Seq, Bytes)>,
    /// The rows after it, in order.
    pub tail: Vec<(Seq, Bytes)>,
}

/// Whether edits can be saved at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreState {
    /// Commits work.
    Writable,
    /// The disk is full; the store tries again by itself.
    Full,
    /// The disk refuses writes for another reason; the store tries again by itself.
    Faulty,
}

/// Why a commit did not happen. Nothing of it is on disk.
#[derive(Debug, Clone, Error)]
pub enum CommitError {
    /// The writer's queue is full: try again a little later.
    #[error("the writer is busy")]
    Busy,
    /// The disk took nothing; [`Store::state`] says when it does again.
    #[error("the disk does not take writes: {0}")]
    Disk(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why something could not be read.
#[derive(Debug, Clone, Error)]
pub enum ReadError {
    /// The bytes on disk are not those that were written.
    #[error("damaged on disk: {0}")]
    Damaged(String),
    /// The disk could not be read.
    #[error("the disk could not be read: {0}")]
    Disk(String),
}

/// Why a folder could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process uses the folder.
    #[error("another Townhall already uses this folder")]
    InUse,
    /// The folder cannot be written.
    #[error("the folder cannot be written: {0}")]
    NotWritable(String),
    /// The files are damaged.
    #[error("the stored files are damaged: {0}")]
    Damaged(String),
}

/// A handle on the store; cheap to clone. The last handle dropped closes it.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens the folder, or makes it.
    pub fn open(_dir: &Path, _clock: &Clock, _metrics: &Metrics) -> Result<Self, OpenError> {
        Ok(Self {})
    }

    /// Hands changes to the writer, in the order of the calls; the receiver tells when they are on disk.
    pub fn commit(
        &self,
        _writes: Vec<Write>,
    ) -> Result<oneshot::Receiver<Result<Committed, CommitError>>, CommitError> {
        Err(CommitError::Closed)
    }

    /// Reads a document; `None` when it was never made. Blocks: call it where blocking is allowed.
    pub fn load(&self, _doc: &DocName) -> Result<Option<Loaded>, ReadError> {
        Ok(None)
    }

    /// Reads a row. Blocks for the time of one read.
    pub fn get(&self, _table: Table, _key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(None)
    }

    /// Reads up to `most` rows from `from` (inclusive) in key order. Blocks.
    pub fn scan(&self, _table: Table, _from: &[u8], _most: usize) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        Ok(Vec::new())
    }

    /// The documents changed after `after`, as (row, document), oldest first, at most `most`. Blocks.
    pub fn changed_after(&self, _after: Seq, _most: usize) -> Result<Vec<(Seq, DocName)>, ReadError> {
        Ok(Vec::new())
    }

    /// Follows the end of the log: the last row on disk.
    pub fn tip(&self) -> watch::Receiver<Seq> {
        watch::channel(Seq(0)).1
    }

    /// Follows whether edits can be saved.
    pub fn state(&self) -> watch::Receiver<StoreState> {
        watch::channel(StoreState::Writable).1
    }

    /// Finishes what was handed over and closes the files.
    pub fn close(&self) {}
}
