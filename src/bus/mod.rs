//! Keys with expiry, as bytes: what a central Redis would hold, kept in this office.
//!
//! Owns the embedded store of things that can be made again. Does not know what the bytes mean.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::clock::Clock;

/// Why the bus could not do what was asked. Nothing that matters is lost with it.
#[derive(Debug, Clone, Error)]
#[error("the embedded bus failed: {0}")]
pub struct BusError(pub String);

/// A handle on the bus; cheap to clone.
#[derive(Clone)]
pub struct Bus {}

impl Bus {
    /// Opens the folder; one that cannot be read is set aside, and an empty one is made.
    pub fn open(_dir: &Path, _clock: &Clock) -> Result<Self, BusError> {
        Ok(Self {})
    }

    /// Puts a key, for ever or for `life`.
    pub fn set(&self, _key: &str, _value: &[u8], _life: Option<Duration>) -> Result<(), BusError> {
        Ok(())
    }

    /// Reads a key that has not expired.
    pub fn get(&self, _key: &str) -> Result<Option<Bytes>, BusError> {
        Ok(None)
    }

    /// Removes a key; says whether it was there.
    pub fn delete(&self, _key: &str) -> Result<bool, BusError> {
        Ok(false)
    }

    /// Reads up to `most` keys that begin with `prefix` and have not expired.
    pub fn scan(&self, _prefix: &str, _most: usize) -> Result<Vec<(String, Bytes)>, BusError> {
        Ok(Vec::new())
    }

    /// Writes what is in memory to disk and closes the files.
    pub fn close(&self) {}
}
