//! Locks whose content is never half changed.
//!
//! Owns what a panic of somebody who held one means for the others: nothing. Does not know what is behind a lock; who
//! puts something there changes it in one go.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is behind the lock, also after somebody else panicked with it.
pub fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
