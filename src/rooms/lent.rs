//! What answers to single askers cost as long as their sockets have not taken them.
//!
//! Owns the bound on all of them together. Does not know who asked, nor what is in an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::config::limits::ROOMS_ANSWERS_MAX_BYTES;

/// Bytes of the house that are out; clones are one.
#[derive(Clone, Default)]
pub(super) struct Lent(Arc<AtomicUsize>);

/// An answer that is out, until the last one who has it drops it.
struct Loan {
    bytes: Bytes,
    lent: Lent,
}

impl Lent {
    /// Gives bytes out, unless too many are out already.
    pub(super) fn lend(&self, bytes: Bytes) -> Option<Bytes> {
        let out = self.0.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        let loan = Loan { bytes, lent: self.clone() };
        (out <= ROOMS_ANSWERS_MAX_BYTES).then(|| Bytes::from_owner(loan))
    }
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lent.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_much_is_out_at_a_time_and_what_comes_back_is_lent_again() {
        let lent = Lent::default();
        let part = Bytes::from(vec![0; ROOMS_ANSWERS_MAX_BYTES / 4]);
        for _ in 0..2 {
            let out: Vec<Bytes> = std::iter::from_fn(|| lent.lend(part.clone())).collect();
            assert_eq!(out.len(), 4);
            assert!(lent.lend(Bytes::from_static(b"one more")).is_none());
            let twice = out[0].clone();
            drop(out);
            assert_eq!(lent.0.load(Ordering::Relaxed), twice.len(), "whoever has it last gives it back");
        }
        assert_eq!(lent.0.load(Ordering::Relaxed), 0);
    }
}
