//! A room's stored bytes, put together and taken apart.
//!
//! Owns joining a document's parts and telling what somebody lacks. Does not know where the parts are kept.
//! The work is done by [`crate::wire::gate::splice`]: an engine's functions over bytes re-encode every value, which
//! refuses JSON that JavaScript may write and splits half an emoji at the wrong clock.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use thiserror::Error;

use crate::wire::gate::{GateError, splice, state_vector};

/// Why updates could not be joined or cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MergeError {
    /// One of the parts, or the state vector, is not well-formed.
    #[error("a part of the document cannot be read: {0}")]
    Part(#[from] GateError),
    /// The code that does it failed.
    #[error("joining the document's parts failed")]
    Fault,
}

/// One update that says what all `parts` say, and shorter.
///
/// # Errors
/// See [`MergeError`].
pub fn merge(parts: &[Bytes]) -> Result<Bytes, MergeError> {
    guarded(|| splice::join(parts))
}

/// What of `state` is beyond `have`, a state vector.
///
/// # Errors
/// See [`MergeError`].
pub fn diff(state: &Bytes, have: &[u8]) -> Result<Bytes, MergeError> {
    guarded(|| splice::cut(state, &state_vector(have)?))
}

/// What of all `parts` together is beyond `have`, a state vector.
///
/// # Errors
/// See [`MergeError`].
pub fn diff_parts(parts: &[Bytes], have: &[u8]) -> Result<Bytes, MergeError> {
    guarded(|| splice::join_beyond(parts, &state_vector(have)?))
}

/// What of a client's `update` is new to a room that has `have`, a state vector.
///
/// # Errors
/// See [`MergeError`].
pub fn cut(update: &Bytes, have: &[u8]) -> Result<Bytes, MergeError> {
    diff(update, have)
}

/// A fault here must not take the room with it.
fn guarded(work: impl FnOnce() -> Result<Bytes, GateError>) -> Result<Bytes, MergeError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Ok(done?),
        Err(_) => Err(MergeError::Fault),
    }
}
