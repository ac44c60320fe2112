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

#[cfg(test)]
mod tests {
    use yrs::Update;
    use yrs::updates::decoder::Decode;

    use super::*;
    use crate::wire::gate::plain;

    /// "ab" typed by client 7, then "c" behind it by client 8, then "b" deleted.
    fn parts() -> [Bytes; 3] {
        [
            Bytes::from_static(&[1, 1, 7, 0, 4, 1, 1, b't', 2, b'a', b'b', 0]),
            Bytes::from_static(&[1, 1, 8, 0, 0x84, 7, 1, 1, b'c', 0]),
            Bytes::from_static(&[0, 1, 7, 1, 1, 1]),
        ]
    }

    #[test]
    fn an_engine_puts_the_same_parts_together_alike() {
        let engine = yrs::merge_updates_v1(parts()).unwrap();
        assert_eq!(merge(&parts()).unwrap(), engine);
        for have in [&[0][..], &[1, 7, 1], &[2, 8, 1, 7, 2]] {
            let lacks = yrs::diff_updates_v1(&engine, have).unwrap();
            assert_eq!(diff(&engine.clone().into(), have).unwrap(), lacks);
            assert_eq!(diff_parts(&parts(), have).unwrap(), lacks);
        }
    }

    #[test]
    fn rubbish_is_an_error_and_nothing_worse() {
        let rubbish = Bytes::from_static(&[1, 0, 7, 0, 0]);
        assert!(matches!(merge(std::slice::from_ref(&rubbish)), Err(MergeError::Part(_))));
        assert!(matches!(diff(&parts()[0], &[9]), Err(MergeError::Part(_))));
        assert_eq!(guarded(|| panic!("on purpose")), Err(MergeError::Fault));
    }

    #[test]
    fn json_that_an_engine_cannot_read_is_joined_and_can_be_made_plain() {
        let half = Bytes::from_static(b"\x01\x01\x07\x00\x05\x01\x01t\x08\"\\ud83d\"\x00");
        let joined = merge(&[half.clone(), parts()[1].clone()]).unwrap();
        assert!(
            Update::decode_v1(&joined).is_err(),
            "the engine has learnt it: plain is not needed any more"
        );
        assert!(Update::decode_v1(&plain(&joined).unwrap()).is_ok());
    }
}
