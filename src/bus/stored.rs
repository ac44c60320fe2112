//! What is stored of a key: the time it expires, then its value.
//!
//! Owns these forms. Does not know the engine, nor what values mean.

use bytes::Bytes;

/// The time a key expires (milliseconds, big endian; 0: never), then its value.
pub(super) fn with_expiry(expires: u64, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(8 + value.len());
    stored.extend_from_slice(&expires.to_be_bytes());
    stored.extend_from_slice(value);
    stored
}

/// The time first, so that what is due first stands first; then the key.
pub(super) fn entry(expires: u64, key: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(8 + key.len());
    entry.extend_from_slice(&expires.to_be_bytes());
    entry.extend_from_slice(key);
    entry
}

pub(super) fn expiry_of(stored: &[u8]) -> u64 {
    stored.first_chunk::<8>().map_or(0, |time| u64::from_be_bytes(*time))
}

pub(super) fn lives(stored: &[u8], now: u64) -> bool {
    expiry_of(stored) == 0 || expiry_of(stored) > now
}

pub(super) fn value_of(stored: &[u8]) -> Bytes {
    Bytes::copy_from_slice(stored.get(8..).unwrap_or_default())
}
