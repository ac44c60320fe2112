//! Handing changes over: from whoever wants them kept to the writer.
//!
//! Owns the order of what is handed over, and the bounds of what waits. Does not know how commits are made.
//!
//! Who asks to hear when changes are written often finds the writer with nothing to do. Then they are noted in the
//! journal here and now, and the writer is woken for the rest when there is nothing better to do: between a message and
//! those who hear it stands no change of threads.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::mpsc::TrySendError;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use super::apply::{Applying, Change};
use super::{CommitError, Committed, Inner, Store, Write, held, snapshot};
use crate::config::limits::{NOTE_MAX_BYTES, WRITER_QUEUE_BYTES};
use crate::telemetry::metrics::Reason;

/// Tells when a commit is written.
pub type Written = oneshot::Receiver<()>;

/// Tells when a commit is on disk; an error when the store was closed before that.
pub struct Receipt {
    told: oneshot::Receiver<Reply>,
    unhanded: Option<Unhanded>,
}

impl Receipt {
    /// Waits outside of tasks.
    ///
    /// # Errors
    /// When the store was closed before.
    pub fn blocking_recv(self) -> Result<Result<Committed, CommitError>, RecvError> {
        let Self { told, unhanded } = self;
        drop(unhanded);
        told.blocking_recv()
    }

    #[cfg(test)]
    pub(super) fn is_noted(&self) -> bool {
        self.unhanded.is_some()
    }
}

impl Future for Receipt {
    type Output = Result<Result<Committed, CommitError>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(unhanded) = &mut self.unhanded
            && !std::mem::replace(&mut unhanded.is_asked, true)
        {
            // Whoever hears what is written goes first.
            let _ = pin!(tokio::task::yield_now()).poll(context);
            return Poll::Pending;
        }
        self.unhanded = None;
        Pin::new(&mut self.told).poll(context)
    }
}

/// What is noted and still to be handed to the writer: that is done when this is dropped.
struct Unhanded {
    handed: Option<Handed>,
    store: Weak<Inner>,
    /// Somebody waits for it.
    is_asked: bool,
}

impl Drop for Unhanded {
    fn drop(&mut self) {
        let (Some(handed), Some(store)) = (self.handed.take(), self.store.upgrade()) else { return };
        if let Some(queue) = held(&store.queue).as_ref() {
            // With no place in the queue its receipt ends without a word.
            let _ = queue.try_send(handed);
        }
    }
}

/// What is told to whoever waits for a commit.
pub(super) type Reply = Result<Committed, CommitError>;

/// Changes that are committed together, and who waits for them.
pub(super) struct Handed {
    pub(super) changes: Vec<Change>,
    pub(super) bytes: usize,
    /// They are in the journal already, and not here.
    pub(super) noted: Option<Noted>,
    /// Who wants to know when it is written, until it was told.
    pub(super) written: Cell<Option<oneshot::Sender<()>>>,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// Changes that are in the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted {
    /// In which opening of the file that was.
    pub(super) opening: u64,
    /// The last row of the log after them.
    pub(super) tip: u64,
}

impl Handed {
    /// Whether somebody wanted to know.
    pub(super) fn tell_written(&self) -> bool {
        self.written.take().is_some_and(|written| written.send(()).is_ok())
    }
}

impl Store {
    /// Hands changes to the writer, in the order of the calls; the receiver tells when they are on disk.
    /// Packs snapshots before it returns (3 ms for each MB), so that nobody's edit waits for that.
    ///
    /// # Errors
    /// [`CommitError::Busy`] when too much waits already, [`CommitError::Closed`] after closing; nothing was handed
    /// over then.
    pub fn commit(&self, writes: Vec<Write>) -> Result<Receipt, CommitError> {
        self.hand_over(writes, None)
    }

    /// As [`Store::commit`], in two steps: the first receiver tells as soon as the changes are written, when they
    /// survive the end of this program but not yet a power cut; the second one as there. A large commit has no first
    /// step: its receiver ends without a word. A commit may fail after its first step. What is small may be written
    /// before this returns: it blocks for that, some ten microseconds. The second step needs somebody who waits for it.
    ///
    /// # Errors
    /// As there; what was refused may be on disk all the same.
    pub fn commit_in_steps(&self, writes: Vec<Write>) -> Result<(Written, Receipt), CommitError> {
        let (written, told) = oneshot::channel();
        Ok((told, self.hand_over(writes, Some(written))?))
    }

    fn hand_over(
        &self,
        writes: Vec<Write>,
        written: Option<oneshot::Sender<()>>,
    ) -> Result<Receipt, CommitError> {
        let changes: Vec<Change> = writes.into_iter().filter_map(|write| self.ready(write)).collect();
        let (reply, told) = oneshot::channel();
        let bytes = changes.iter().map(Change::len).sum();
        let shared = &self.0.shared;
        let queue = held(&self.0.queue);
        let queue = queue.as_ref().ok_or(CommitError::Closed)?;
        // Only this side adds, and it holds the lock: nobody can add in between.
        let queued = shared.queued_bytes.load(Ordering::Relaxed);
        if queued > 0 && queued + bytes > WRITER_QUEUE_BYTES {
            return Err(CommitError::Busy);
        }
        let mut handed = Handed { changes, bytes, noted: None, written: Cell::new(written), reply };
        // Nothing overtakes what was handed over before.
        let is_first = queued == 0 && bytes <= NOTE_MAX_BYTES;
        if is_first && handed.written.get_mut().is_some() && self.note(&mut handed) {
            let store = Arc::downgrade(&self.0);
            let unhanded = Unhanded { handed: Some(handed), store, is_asked: false };
            return Ok(Receipt { told, unhanded: Some(unhanded) });
        }
        let rows = handed.changes.len() as i64;
        shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        shared.metrics.writer_queue.inc_by(rows);
        queue.try_send(handed).map_err(|refused| {
            shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            shared.metrics.writer_queue.dec_by(rows);
            match refused {
                TrySendError::Full(_) => CommitError::Busy,
                TrySendError::Disconnected(_) => CommitError::Closed,
            }
        })?;
        Ok(Receipt { told, unhanded: None })
    }

    /// Writes changes into the journal, unless that has to wait for something. Faults are the writer's matter: it meets
    /// them again.
    fn note(&self, handed: &mut Handed) -> bool {
        let shared = &self.0.shared;
        let Some(mut desk) = shared.free_desk().filter(|desk| desk.is_sound) else { return false };
        let engine = shared.engine();
        let Some(engine) = engine.as_ref() else { return false };
        let noted = desk.ledger.note(engine, |rows| {
            let mut applying = Applying::new(rows)?;
            handed.changes.iter().try_for_each(|change| applying.change(change))?;
            let tip = applying.tip();
            applying.finish()?;
            Ok(tip)
        });
        let Ok(Some(tip)) = noted else { return false };
        handed.noted = Some(Noted { opening: desk.opening, tip });
        (handed.changes, handed.bytes) = (Vec::new(), 0);
        handed.tell_written();
        true
    }

    /// Makes a change ready for the writer; a snapshot that cannot be packed is left out, since the log has it all.
    fn ready(&self, write: Write) -> Option<Change> {
        Some(match write {
            Write::Append { doc, update } => Change::Append { doc, update },
            Write::Snapshot { doc, upto, state } => {
                let packed = snapshot::pack(&state, self.0.clock.now_ms());
                let reason = match &packed {
                    Ok(_) => "written",
                    Err(snapshot::PackError::TooLarge) => "too_large",
                    Err(snapshot::PackError::Compress(_)) => "failed",
                };
                self.0.shared.metrics.snapshots.get_or_create(&Reason { reason }).inc();
                if let Err(error) = &packed {
                    tracing::error!(%doc, bytes = state.len(), %error, "there is no snapshot of a state");
                }
                Change::Snapshot { doc, upto: upto.0, frame: packed.ok()? }
            }
            Write::Put { table, key, value } => Change::Put { table, key, value },
            Write::Delete { table, key } => Change::Delete { table, key },
            Write::DeleteRange { table, from, to } => Change::DeleteRange { table, from, to },
        })
    }
}
