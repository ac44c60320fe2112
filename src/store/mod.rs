//! What is durable: the log of every document, its snapshots, and rows.
//!
//! Owns the order of what happened ([`Seq`]) and the promise that a finished commit is on disk. Does not know
//! what bytes mean, who sent them, or that there are rooms.

mod apply;
mod folder;
mod handing;
mod journal;
mod ledger;
mod log;
pub mod private;
mod read;
mod redo;
mod row;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::watch;

use self::folder::Folder;
use self::handing::Handed;
pub use self::handing::{Receipt, Written};
use self::log::Fault;
#[cfg(test)]
pub(crate) use self::log::failing;
use self::shared::Shared;
use self::writer::Writer;
use crate::clock::Clock;
use crate::config::limits::{READ_PAUSE, READ_TRIES, STOP_DEADLINE, WRITER_QUEUE};
use crate::id::{DocName, Seq};
use crate::lock::held;
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
    /// Sessions of a space that may be taken up again.
    Sessions,
    /// Kept messages of spaces, in order, and what is known of those that left.
    Messages,
    /// What was published and the central server does not have yet, by number.
    Outgoing,
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
    /// Removes every row of a table from one key (inclusive) to another (exclusive).
    DeleteRange {
        /// Where.
        table: Table,
        /// The first key.
        from: Bytes,
        /// The first key that stays.
        to: Bytes,
    },
}

impl Write {
    /// Puts a row whose value is JSON.
    ///
    /// # Errors
    /// [`CommitError::Unwritable`] for what JSON cannot say.
    pub fn put_json(table: Table, key: Bytes, value: &impl Serialize) -> Result<Self, CommitError> {
        let value = serde_json::to_vec(value).map_err(|error| CommitError::Unwritable(error.to_string()))?;
        Ok(Self::Put { table, key, value: value.into() })
    }
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

/// Why a commit was not acknowledged: all of its changes may be handed over again, but for what cannot be written.
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
    /// A row cannot be put into bytes; nothing was tried.
    #[error("it cannot be written down: {0}")]
    Unwritable(String),
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
    /// A newer program wrote the files.
    #[error("{0}")]
    Newer(String),
}

/// A handle on the store; cheap to clone. The last handle dropped closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    /// The way to the writer; gone once the store is closed.
    queue: Mutex<Option<SyncSender<Handed>>>,
    /// Ends when the writer has finished.
    writer: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
    clock: Clock,
}

impl Store {
    /// Whether somebody has the folder open now.
    #[must_use]
    pub fn is_in_use(dir: &Path) -> bool {
        Folder::is_claimed(dir)
    }

    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, clock: &Clock, metrics: &Metrics) -> Result<Self, OpenError> {
        let folder = Folder::claim(dir)?;
        let opened = folder.open()?;
        let shared = Arc::new(Shared::new(opened.engine, opened.ledger, Seq(opened.census.tip), metrics));
        let (queue, handed) = sync_channel(WRITER_QUEUE);
        let (done, finished) = channel();
        let writer = Writer::new(Arc::clone(&shared), folder, opened.fault, handed);
        let thread = thread::Builder::new().name("store-writer".into()).spawn(move || {
            writer.run();
            let _ = done.send(());
        });
        let thread = thread.map_err(|error| OpenError::NotWritable(error.to_string()))?;
        Ok(Self(Arc::new(Inner {
            shared,
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some((thread, finished))),
            clock: clock.clone(),
        })))
    }

    /// Reads a document; `None` when it was never made. Blocks: call it where blocking is allowed.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn load(&self, doc: &DocName) -> Result<Option<Loaded>, ReadError> {
        self.read(|rows| read::document(rows, doc, &self.0.shared.metrics))
    }

    /// Reads a row. Blocks for the time of one read.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.read(|rows| read::row(rows, table, key))
    }

    /// Reads up to `most` rows from `from` (inclusive) in key order. Blocks.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn scan(&self, table: Table, from: &[u8], most: usize) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        self.read(|rows| read::scan(rows, table, from, most))
    }

    /// The documents changed after `after`, as (newest row, document), oldest first, at most `most`; each document
    /// once. Blocks.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn changed_after(&self, after: Seq, most: usize) -> Result<Vec<(Seq, DocName)>, ReadError> {
        self.read(|rows| read::changed_after(rows, after, most))
    }

    /// Reads. After a fault the file handle refuses reads too, until the writer has opened a new one: for that moment
    /// a refused read waits and tries again.
    fn read<T>(&self, f: impl Fn(&log::Reading) -> Result<T, Fault>) -> Result<T, ReadError> {
        let mut tries = 1;
        loop {
            let read = match self.0.shared.engine().as_ref() {
                Some(engine) => engine.read(&f),
                None => Err(Fault::Disk("the file is not open".into())),
            };
            match read {
                Ok(read) => return Ok(read),
                Err(Fault::Damaged(what)) => return Err(ReadError::Damaged(what)),
                Err(Fault::Disk(_) | Fault::Stale) if tries < READ_TRIES => {
                    // Handing over nothing makes the writer look at the file, and open it again.
                    let _ = self.commit(Vec::new());
                    thread::sleep(READ_PAUSE);
                }
                Err(other) => return Err(ReadError::Disk(other.to_string())),
            }
            tries += 1;
        }
    }

    /// Follows the end of the log: the last row on disk.
    #[must_use]
    pub fn tip(&self) -> watch::Receiver<Seq> {
        self.0.shared.tip.subscribe()
    }

    /// Follows whether edits can be saved.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<StoreState> {
        self.0.shared.state.subscribe()
    }

    /// Finishes what was handed over and closes the files. Blocks until that is done, within the time of a stop.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Inner {
    fn close(&self) {
        drop(held(&self.queue).take());
        let Some((thread, finished)) = held(&self.writer).take() else { return };
        match finished.recv_timeout(STOP_DEADLINE) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::error!("the disk does not answer; the store was left open")
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => drop(thread.join()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
