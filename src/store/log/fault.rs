//! What goes wrong below the store, in the store's words.
//!
//! Owns which of the engine's and the system's errors is what. Does not know what is done about it.

use std::io;

use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};
use thiserror::Error;

/// What went wrong below the store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in crate::store) enum Fault {
    /// No room left on the disk, or a quota reached.
    #[error("the disk is full")]
    Full,
    /// The disk refused for another reason.
    #[error("{0}")]
    Disk(String),
    /// The bytes are not those that were written.
    #[error("{0}")]
    Damaged(String),
    /// An earlier fault closed the file: it must be opened again.
    #[error("the file is closed after an earlier fault")]
    Stale,
    /// Another process has the file.
    #[error("another process has the file open")]
    InUse,
    /// A newer program made the file.
    #[error("the file has format {0}, made by a newer Townhall: please install that version")]
    Newer(u64),
    /// The journal does not take a record; the rows themselves are not touched.
    #[error("the journal does not take it: {0}")]
    Journal(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::Full,
            Kind::UnexpectedEof | Kind::InvalidData => {
                Self::Damaged(format!("the file is cut short ({error})"))
            }
            _ => Self::Disk(error.to_string()),
        }
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Io(error) => error.into(),
            StorageError::Corrupted(what) => Self::Damaged(what),
            StorageError::PreviousIo | StorageError::DatabaseClosed | StorageError::LockPoisoned(_) => {
                Self::Stale
            }
            other => Self::Disk(other.to_string()),
        }
    }
}

impl From<TableError> for Fault {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<TransactionError> for Fault {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => error.into(),
            other => Self::Disk(other.to_string()),
        }
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            other => Self::Disk(other.to_string()),
        }
    }
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Storage(error) => error.into(),
            DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            DatabaseError::UpgradeRequired(format) => {
                Self::Damaged(format!("the file says format {format}, which this program cannot read"))
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Who failed a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum WriteFault {
    /// The caller's own closure; the engine goes on.
    Inner(Fault),
    /// The engine; it must be opened again.
    Engine(Fault),
}

impl WriteFault {
    /// What went wrong, whoever failed.
    pub(in crate::store) fn into_fault(self) -> Fault {
        match self {
            Self::Inner(fault) | Self::Engine(fault) => fault,
        }
    }
}
