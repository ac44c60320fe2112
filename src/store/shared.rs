//! What the writer shares with everybody else.
//!
//! Owns who may have the open file and the journal, and when. Does not know what is done with them.

use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use tokio::sync::watch;

use super::StoreState;
use super::ledger::Ledger;
use super::log::Engine;
use crate::id::Seq;
use crate::lock::held;
use crate::telemetry::Metrics;

/// What the writer and the others share.
pub(super) struct Shared {
    /// The open file; nothing while it is being opened again, and after closing.
    engine: RwLock<Option<Engine>>,
    desk: Mutex<Desk>,
    /// Bytes handed over and not answered yet.
    pub(super) queued_bytes: AtomicUsize,
    pub(super) tip: watch::Sender<Seq>,
    pub(super) state: watch::Sender<StoreState>,
    pub(super) metrics: Metrics,
}

/// What it takes to commit. The writer has it while it commits and while it opens the file again; in between, others
/// may note something.
pub(super) struct Desk {
    /// How commits reach the disk.
    pub(super) ledger: Ledger,
    /// How often the file was opened: what was noted before the last time may be lost.
    pub(super) opening: u64,
    /// Nothing stands in the way of saving, as far as is known.
    pub(super) is_sound: bool,
}

impl Shared {
    pub(super) fn new(engine: Engine, ledger: Ledger, tip: Seq, metrics: &Metrics) -> Self {
        metrics.store_writable.set(1);
        Self {
            engine: RwLock::new(Some(engine)),
            desk: Mutex::new(Desk { ledger, opening: 0, is_sound: true }),
            queued_bytes: AtomicUsize::new(0),
            tip: watch::Sender::new(tip),
            state: watch::Sender::new(StoreState::Writable),
            metrics: metrics.clone(),
        }
    }

    /// The desk; waits for it.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        held(&self.desk)
    }

    /// The desk, if nobody has it.
    pub(super) fn free_desk(&self) -> Option<MutexGuard<'_, Desk>> {
        match self.desk.try_lock() {
            Ok(desk) => Some(desk),
            Err(TryLockError::Poisoned(desk)) => Some(desk.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The file, for as long as the guard lives. Waits while it is being opened again.
    pub(super) fn engine(&self) -> RwLockReadGuard<'_, Option<Engine>> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn replace(&self, open: impl FnOnce() -> Option<Engine>) {
        let mut place = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        // The old one goes first: it holds the file's lock.
        place.take();
        *place = open();
    }

    pub(super) fn enter(&self, state: StoreState) {
        self.metrics.store_writable.set(i64::from(state == StoreState::Writable));
        self.state.send_if_modified(|now| std::mem::replace(now, state) != state);
    }
}
