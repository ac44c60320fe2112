//! From "shown" to "on disk": the edits of one room that are not durable yet, and who waits for them.
//!
//! Owns the order of acknowledgements: an edit is acknowledged when it and everything before it in this room is on
//! disk. A commit that failed is made again, in order, which is harmless because edits are idempotent. Does not know
//! what edits say.

use std::collections::VecDeque;
use std::future::pending;

use bytes::Bytes;

use super::alarm::Alarm;
use crate::config::limits::{COMMIT_ROWS_MAX, ROOM_UNSAVED_MAX_BYTES, SAVE_RETRY, SAVE_RETRY_DISK};
use crate::id::{DocName, PeerId, Seq};
use crate::store::{CommitError, Committed, Receipt, Store, Write};

struct Waiting {
    peer: PeerId,
    /// How many edits of the peer it acknowledges.
    edits: u32,
    /// `None`: nothing of its own to save, but what it repeats may be on its way.
    update: Option<Bytes>,
}

/// What an edit costs in the queue beside its bytes.
const WAITING_BYTES: usize = 64;

impl Waiting {
    fn cost(&self) -> usize {
        WAITING_BYTES + self.update.as_ref().map_or(0, Bytes::len)
    }
}

/// The edits of one room on their way to the disk.
pub(super) struct Saving {
    doc: DocName,
    store: Store,
    /// Everything that is not acknowledged yet, in order.
    queue: VecDeque<Waiting>,
    /// How many at the front of the queue are handed to the store.
    sent: usize,
    /// For each commit under way: how many of the queue it settles.
    flights: VecDeque<(usize, Receipt)>,
    bytes: usize,
    /// Set while the store does not take commits.
    retry: Alarm,
    failures: u32,
    last: Seq,
}

impl Saving {
    pub(super) fn new(doc: DocName, store: Store, last: Seq) -> Self {
        Self {
            doc,
            store,
            queue: VecDeque::new(),
            sent: 0,
            flights: VecDeque::new(),
            bytes: 0,
            retry: Alarm::default(),
            failures: 0,
            last,
        }
    }

    /// Whether so much waits that no further edit is taken.
    pub(super) fn is_full(&self, more: usize) -> bool {
        self.bytes + more + WAITING_BYTES > ROOM_UNSAVED_MAX_BYTES
    }

    /// Whether everything is on disk and acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many commits in a row the disk did not take.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The last row of this document on disk, as far as this room knows.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// An edit to save and to acknowledge as so many; without `update`, an acknowledgement that waits its turn.
    pub(super) fn add(&mut self, peer: PeerId, edits: u32, update: Option<Bytes>) {
        let waiting = Waiting { peer, edits, update };
        self.bytes += waiting.cost();
        self.queue.push_back(waiting);
    }

    /// Hands everything new to the store; gives who need not wait at all.
    pub(super) fn submit(&mut self) -> Vec<(PeerId, u32)> {
        let mut settled = Vec::new();
        while !self.retry.is_set() && self.sent < self.queue.len() {
            let upto = self.queue.len().min(self.sent + COMMIT_ROWS_MAX);
            let writes: Vec<Write> = self
                .queue
                .range(self.sent..upto)
                .filter_map(|waiting| waiting.update.clone())
                .map(|update| Write::Append { doc: self.doc.clone(), update })
                .collect();
            let count = upto - self.sent;
            if writes.is_empty() {
                match self.flights.back_mut() {
                    Some((settles, _)) => {
                        *settles += count;
                        self.sent = upto;
                    }
                    None => settled.extend(self.release(count)),
                }
                continue;
            }
            match self.store.commit(writes) {
                Ok(receipt) => {
                    self.flights.push_back((count, receipt));
                    self.sent = upto;
                }
                // What is under way goes on; what is not handed over keeps its place.
                Err(CommitError::Busy) => self.retry.set_once(SAVE_RETRY),
                Err(error) => self.fail(&error),
            }
        }
        settled
    }

    /// Waits for the oldest commit under way, or until it is time to try again (`None`). May be given up and waited
    /// for again.
    pub(super) async fn next(&mut self) -> Option<Result<Committed, CommitError>> {
        let oldest = self.flights.front_mut();
        tokio::select! {
            landed = receipt(oldest.map(|(_, receipt)| receipt)) => Some(landed),
            () = self.retry.ring() => None,
        }
    }

    /// Settles what [`Saving::next`] gave: who is acknowledged now, and how many edits reached the disk.
    pub(super) fn settle(&mut self, landed: Result<Committed, CommitError>) -> (Vec<(PeerId, u32)>, usize) {
        let Some((count, _)) = self.flights.pop_front() else { return (Vec::new(), 0) };
        match landed {
            Ok(committed) => {
                self.failures = 0;
                self.last = self.last.max(committed.upto);
                let edits = self.queue.iter().take(count).filter(|w| w.update.is_some()).count();
                self.sent -= count;
                (self.release(count), edits)
            }
            Err(error) => {
                self.fail(&error);
                (Vec::new(), 0)
            }
        }
    }

    /// The store takes commits again.
    pub(super) fn unblock(&mut self) {
        self.retry.clear();
    }

    /// Everything under way counts as not done: later commits may have worked, but an acknowledgement promises
    /// that nothing before it is missing.
    fn fail(&mut self, error: &CommitError) {
        self.flights.clear();
        self.sent = 0;
        if self.failures == 0 {
            tracing::warn!(doc = %self.doc, %error, waiting = self.queue.len(), "edits are not saved yet");
        }
        self.failures += 1;
        self.retry.set_once(SAVE_RETRY_DISK);
    }

    fn release(&mut self, count: usize) -> Vec<(PeerId, u32)> {
        let done: Vec<Waiting> = self.queue.drain(..count).collect();
        self.bytes -= done.iter().map(Waiting::cost).sum::<usize>();
        done.into_iter().map(|waiting| (waiting.peer, waiting.edits)).collect()
    }
}

/// Waits for one commit's receipt, or for ever when there is none.
pub(super) async fn receipt(receipt: Option<&mut Receipt>) -> Result<Committed, CommitError> {
    match receipt {
        Some(receipt) => receipt.await.unwrap_or(Err(CommitError::Closed)),
        None => pending().await,
    }
}
