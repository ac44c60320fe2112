//! Keys with expiry, as bytes: what a central Redis would hold, kept in this office.
//!
//! Owns the embedded store of things that can be made again. Does not know what the bytes mean.

mod embedded;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use self::embedded::Embedded;
use crate::clock::Clock;
use crate::config::limits::{BUS_KEY_MAX_BYTES, BUS_VALUE_MAX_BYTES};

/// Why the bus could not do what was asked. Nothing that matters is lost with it.
#[derive(Debug, Clone, Error)]
#[error("the embedded bus failed: {0}")]
pub struct BusError(pub String);

/// A handle on the bus; cheap to clone. The last handle dropped closes it.
#[derive(Clone)]
pub struct Bus(Arc<Embedded>);

impl Bus {
    /// Opens the folder; one that cannot be read is set aside, and an empty one is made.
    ///
    /// # Errors
    /// When the folder is in use by somebody else, or cannot be written at all.
    pub fn open(dir: &Path, clock: &Clock) -> Result<Self, BusError> {
        Embedded::open(dir, clock).map(|bus| Self(Arc::new(bus)))
    }

    /// Puts a key, for ever or for `life`.
    ///
    /// # Errors
    /// When it is too large, too many keys are there, or the disk refuses.
    pub fn set(&self, key: &str, value: &[u8], life: Option<Duration>) -> Result<(), BusError> {
        if key.len() > BUS_KEY_MAX_BYTES || value.len() > BUS_VALUE_MAX_BYTES {
            return Err(BusError("the key or its value is too large".into()));
        }
        self.0.set(key, value, life)
    }

    /// Reads a key that has not expired.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn get(&self, key: &str) -> Result<Option<Bytes>, BusError> {
        self.0.get(key)
    }

    /// Removes a key; says whether it was there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn delete(&self, key: &str) -> Result<bool, BusError> {
        self.0.delete(key)
    }

    /// Reads up to `most` keys that begin with `prefix` and have not expired.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn scan(&self, prefix: &str, most: usize) -> Result<Vec<(String, Bytes)>, BusError> {
        self.0.scan(prefix, most)
    }

    /// Writes what is in memory to disk and closes the files.
    pub fn close(&self) {
        self.0.close();
    }
}
