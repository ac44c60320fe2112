//! The bounded queue between rooms and one socket.
//!
//! Owns the order of what a socket hears and the bound on what waits for it. A reader that falls behind loses queued
//! edits and is told so, once; answers to its own edits are never lost. Does not know sockets, frames or documents.

mod queue;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::event::{Edited, Event, Gone, Present, Refusal};
use crate::config::limits::{OUTBOX_SLOTS_KEPT, OUTBOX_TAKE_MAX_BYTES};
use crate::id::PeerId;
use crate::lock::held;
use crate::store::StoreState;
use crate::telemetry::Metrics;
use queue::{Due, Queue, Slot};

/// An edit as the room numbers it: `first` is the number of the first edit inside.
#[derive(Clone)]
pub(super) struct Said {
    pub(super) first: u64,
    pub(super) origin: Option<PeerId>,
    pub(super) edit: Arc<Edited>,
}

/// Whoever reads an outbox and can often say to a peer's client what comes, without a task of its own being woken for
/// it. Called only while the outbox is empty, with it locked: it must not wait, and must keep the order of what was
/// taken from the outbox before. `false`: not now, so it is queued.
pub trait Mouth: Send + Sync {
    /// Says somebody else's edit.
    fn edited(&self, edited: &Edited) -> bool;

    /// Says who is here.
    fn present(&self, present: &Present) -> bool;
}

/// The bounded queue to one socket, shared by all its peers; cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    metrics: Metrics,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new(&Metrics::default())
    }
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self(Arc::new(Shared { queue: Mutex::default(), metrics: metrics.clone() }))
    }

    /// Waits until something is there, then takes what is there, in order: all of it, or as much as a socket should
    /// hold at once; the next call goes on with the rest.
    pub async fn take(&self) -> Vec<(PeerId, Event)> {
        loop {
            poll_fn(|cx| self.poll_ready(cx)).await;
            let events = self.take_now();
            if !events.is_empty() {
                return events;
            }
        }
    }

    /// Ready when something is there. One task waits at a time.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.lock();
        if !queue.slots.is_empty() {
            return Poll::Ready(());
        }
        if !queue.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            queue.waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// As [`Outbox::take`], without waiting: empty when nothing is there.
    #[must_use]
    pub fn take_now(&self) -> Vec<(PeerId, Event)> {
        let mut queue = self.lock();
        let mut events = Vec::new();
        let (mut taken, mut freed) = (0, 0);
        while taken < OUTBOX_TAKE_MAX_BYTES {
            let Some((peer, slot)) = queue.slots.pop_front() else { break };
            taken += slot.cost();
            if slot.counts() {
                freed += slot.cost();
            }
            if let Some(event) = queue.event(peer, slot) {
                events.push((peer, event));
            }
        }
        queue.bytes -= freed;
        if queue.slots.is_empty() {
            queue.slots.shrink_to(OUTBOX_SLOTS_KEPT); // a burst is over
        }
        let more = queue.count();
        drop(queue);
        self.counted(more);
        events
    }

    /// From now on, what this peer hears of others is said at once where that can be.
    pub fn speak_through(&self, peer: PeerId, mouth: Box<dyn Mouth>) {
        if let Some(due) = self.lock().due(peer) {
            due.mouth = Some(mouth);
        }
    }

    /// How long the reader has been behind its bound, if it is: the socket closes it after `OUTBOX_LAG_MAX`.
    #[must_use]
    pub fn lagging_for(&self) -> Option<Duration> {
        self.lock().behind.map(|since| since.elapsed())
    }

    /// Bytes that wait, as they count against the bound.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// From now on things may be queued for this peer.
    pub(super) fn admit(&self, peer: PeerId) {
        let mut queue = self.lock();
        queue.forget(peer);
        queue.peers.reserve_exact(1);
        queue.peers.push((peer, Due::default()));
    }

    /// Drops everything queued for this peer; later words to it go nowhere.
    pub(super) fn forget(&self, peer: PeerId) {
        self.change(|queue| {
            queue.forget(peer);
            let mut freed = 0;
            queue.slots.retain(|(of, slot)| {
                if *of == peer && slot.counts() {
                    freed += slot.cost();
                }
                *of != peer
            });
            queue.bytes -= freed;
            queue.settle_behind();
        });
    }

    /// Edits of others; those of `peer` itself are left out.
    pub(super) fn edited<'a>(&self, peer: PeerId, edits: impl Iterator<Item = &'a Said>) {
        self.change(|queue| {
            for said in edits.filter(|said| said.origin != Some(peer)) {
                queue.put(peer, Slot::Edited { first: said.first, edit: said.edit.clone() });
            }
        });
    }

    /// News about who is here.
    pub(super) fn present(&self, peer: PeerId, news: Arc<Present>) {
        self.change(|queue| queue.put(peer, Slot::Present(news)));
    }

    /// Text told to everybody.
    pub(super) fn told(&self, peer: PeerId, text: Bytes) {
        self.change(|queue| queue.put(peer, Slot::Told(text)));
    }

    /// Everybody's presence; a queued answer is replaced by the newer one.
    pub(super) fn everyone(&self, peer: PeerId, all: Arc<Present>) {
        self.change(|queue| {
            queue.once(peer, Slot::Everyone, |due| due.everyone.replace(all).is_none());
        });
    }

    /// An answer to a sync. One that still waits is replaced in its place: the newer one holds more.
    pub(super) fn synced(&self, peer: PeerId, update: Option<Bytes>, have: Bytes) {
        self.change(|queue| {
            queue.once(peer, Slot::Synced, |due| {
                let before = due.synced.take();
                let first = before.is_none();
                let update = update.or(before.and_then(|(update, _)| update));
                due.synced = Some((update, have));
                first
            });
        });
    }

    /// This many more edits are on disk.
    pub(super) fn saved(&self, peer: PeerId, edits: u32) {
        self.change(|queue| {
            queue.once(peer, Slot::Saved, |due| {
                let first = due.saved == 0;
                due.saved = due.saved.saturating_add(edits);
                first
            });
        });
    }

    /// One more edit was refused.
    pub(super) fn refused(&self, peer: PeerId, why: Refusal) {
        self.change(|queue| {
            queue.once(peer, Slot::Refused(why), |due| {
                let count = &mut due.refused[why.place()];
                *count = count.saturating_add(1);
                *count == 1
            });
        });
    }

    /// Whether edits can be saved.
    pub(super) fn stored(&self, peer: PeerId, state: StoreState) {
        self.change(|queue| queue.once(peer, Slot::Stored, |due| due.stored.replace(state).is_none()));
    }

    /// The peer is out.
    pub(super) fn gone(&self, peer: PeerId, why: Gone) {
        self.change(|queue| queue.once(peer, Slot::Gone(why), |_| true));
    }

    /// The reader is going to hear everything from here on: which edit was the first it missed, if it missed any.
    pub(super) fn catch_up(&self, peer: PeerId) -> Option<u64> {
        let mut queue = self.lock();
        let missed = queue.due(peer).and_then(|due| due.missed.take());
        queue.settle_behind();
        missed
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        held(&self.0.queue)
    }

    fn counted(&self, more: i64) {
        if more != 0 {
            self.0.metrics.outbox_bytes.inc_by(more);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        change(&mut queue);
        let more = queue.count();
        let waiting = if queue.slots.is_empty() { None } else { queue.waiting.take() };
        drop(queue);
        self.counted(more);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let left = self.queue.get_mut().unwrap_or_else(PoisonError::into_inner).counted;
        self.metrics.outbox_bytes.dec_by(left as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::{OUTBOX_COUNTED_BYTES, OUTBOX_MAX_BYTES};
    use crate::rooms::Frames;

    const ME: PeerId = PeerId(1);
    const OTHER: PeerId = PeerId(2);

    fn said(first: u64, bytes: usize) -> Said {
        let edit = Edited { update: vec![0; bytes].into(), frames: Frames::default() };
        Said { first, origin: None, edit: Arc::new(edit) }
    }

    fn outbox() -> Outbox {
        let outbox = Outbox::default();
        outbox.admit(ME);
        outbox.admit(OTHER);
        outbox
    }

    fn all(outbox: &Outbox) -> Vec<(PeerId, Event)> {
        std::iter::repeat_with(|| outbox.take_now())
            .take_while(|events| !events.is_empty())
            .flatten()
            .collect()
    }

    #[test]
    fn a_reader_that_falls_behind_is_told_once_and_what_it_missed_is_known() {
        let outbox = outbox();
        outbox.saved(ME, 2);
        for number in 1..=5_000 {
            outbox.edited(ME, std::iter::once(&said(number, 1_000)));
            assert!(outbox.waiting_bytes() <= OUTBOX_MAX_BYTES);
        }
        outbox.saved(ME, 3);
        outbox.edited(OTHER, std::iter::once(&said(5_000, 10)));
        assert!(outbox.lagging_for().is_some());
        let events = all(&outbox);
        let mine: Vec<&Event> =
            events.iter().filter(|(peer, _)| *peer == ME).map(|(_, event)| event).collect();
        assert!(matches!(mine[..], [Event::Saved { edits: 5 }, Event::Lagged]), "{mine:?}");
        assert!(events.iter().any(|(peer, event)| *peer == OTHER && matches!(event, Event::Edited(_))));
        assert_eq!(outbox.catch_up(ME), Some(1), "from the first edit that was not taken");
        assert_eq!(outbox.catch_up(OTHER), None);
        assert!(outbox.lagging_for().is_none());
        outbox.edited(ME, std::iter::once(&said(5_001, 10)));
        assert_eq!(all(&outbox).len(), 1, "it hears everything again");
    }

    #[test]
    fn what_was_taken_was_not_missed() {
        let outbox = outbox();
        outbox.edited(ME, (1..=3).map(|n| said(n, 10)).collect::<Vec<_>>().iter());
        assert_eq!(all(&outbox).len(), 3);
        outbox.edited(ME, std::iter::once(&said(4, OUTBOX_MAX_BYTES)));
        assert_eq!(outbox.catch_up(ME), Some(4));
    }

    #[test]
    fn answers_and_refusals_are_counted_and_never_dropped() {
        let outbox = outbox();
        for _ in 0..10_000 {
            outbox.saved(ME, 1);
            outbox.refused(ME, Refusal::Malformed);
            outbox.refused(ME, Refusal::NotSaved);
            outbox.told(ME, Bytes::from_static(&[0; 1_000]));
        }
        assert!(outbox.waiting_bytes() <= OUTBOX_MAX_BYTES);
        let events = all(&outbox);
        let count = |so: fn(&Event) -> bool| events.iter().filter(|(_, event)| so(event)).count();
        assert_eq!(count(|event| matches!(event, Event::Saved { edits: 10_000 })), 1);
        assert_eq!(count(|event| matches!(event, Event::Refused { edits: 10_000, .. })), 2);
        assert_eq!(count(|event| matches!(event, Event::Lagged)), 0, "nothing was missed but talk");
    }

    #[test]
    fn an_answer_that_waits_is_replaced_where_it_stands() {
        let outbox = outbox();
        let have = Bytes::from_static(&[0]);
        outbox.synced(ME, Some(Bytes::from_static(b"old")), have.clone());
        outbox.edited(ME, std::iter::once(&said(1, 10)));
        outbox.synced(ME, Some(Bytes::from_static(b"new")), have.clone());
        outbox.synced(ME, None, have);
        let events = all(&outbox);
        assert!(
            matches!(&events[0].1, Event::Synced { update: Some(update), .. } if update.as_ref() == b"new"),
            "the document comes before its edits, and a question does not take it away"
        );
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn a_socket_takes_little_at_a_time_and_who_left_leaves_nothing() {
        let metrics = Metrics::default();
        let outbox = Outbox::new(&metrics);
        outbox.admit(ME);
        for number in 1..=500 {
            outbox.edited(ME, std::iter::once(&said(number, 1_000)));
        }
        assert!(outbox.take_now().len() * 1_000 <= OUTBOX_TAKE_MAX_BYTES + 1_000);
        let waiting = outbox.waiting_bytes();
        assert_eq!(metrics.outbox_bytes.get() as usize, waiting - waiting % OUTBOX_COUNTED_BYTES);
        outbox.forget(ME);
        outbox.edited(ME, std::iter::once(&said(501, 1_000)));
        assert!(outbox.take_now().is_empty());
        assert_eq!((outbox.waiting_bytes(), metrics.outbox_bytes.get()), (0, 0));
    }
}
