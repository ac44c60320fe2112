//! The bounded queue between spaces and one connection.
//!
//! Owns the order of what a connection hears and the bound on what waits for it. Nothing is dropped in silence:
//! over the bound the queue closes with a reason, and the member takes its session up again. Does not know
//! sockets or frames.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::event::{MemberId, SpaceEvent};
use crate::config::limits::{
    OUTBOX_COUNTED_BYTES, OUTBOX_TAKE_MAX_BYTES, SPACE_OUTBOX_MAX_BYTES, SPACE_OUTBOX_SLOTS_KEPT,
};
use crate::lock::held;
use crate::telemetry::Metrics;

/// What one queued event costs beside its bytes.
const SLOT_BYTES: usize = 64;

/// Why an outbox is closed. Whatever the reason, a session that can be taken up again stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The reader was too slow for its bound.
    Overflow,
    /// The same session was taken up on another connection.
    TakenOver,
    /// The space has ended or starts again.
    Ended,
    /// The connection's own side closed it.
    Left,
}

impl Closed {
    /// The word it is counted and logged by.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Overflow => "outbox_overflow",
            Self::TakenOver => "taken_over",
            Self::Ended => "space_ended",
            Self::Left => "left",
        }
    }
}

/// Whoever reads an outbox and can often say what comes at once, without a task of its own being woken for it.
pub trait Mouth: Send + Sync {
    /// Says an event to a member now. `false`: not now, so it is queued. Called only while the outbox is empty; it must
    /// not wait, and must keep the order of what was taken from the outbox before.
    fn say(&self, member: MemberId, event: &SpaceEvent) -> bool;
}

/// The reading end of the bounded queue to one connection, shared by all its members; cheap to clone. With the
/// last clone dropped, its members are gone as if the connection was lost.
#[derive(Clone)]
pub struct SpaceOutbox(Arc<Reader>);

struct Reader(Way);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.close(Closed::Left);
    }
}

/// The writing end; cheap to clone.
#[derive(Clone)]
pub(super) struct Way(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    most: usize,
    metrics: Metrics,
}

#[derive(Default)]
struct Queue {
    slots: VecDeque<(MemberId, Arc<SpaceEvent>)>,
    bytes: usize,
    /// Of these, what is in the figures.
    counted: usize,
    closed: Option<Closed>,
    /// Who takes, while nothing is there; woken once.
    waiting: Option<Waker>,
    /// Who says at once what need not wait.
    mouth: Option<Weak<dyn Mouth>>,
}

impl SpaceOutbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self::with_bound(metrics, SPACE_OUTBOX_MAX_BYTES)
    }

    /// The same with another bound, in bytes.
    #[must_use]
    pub fn with_bound(metrics: &Metrics, most: usize) -> Self {
        let way = Way(Arc::new(Shared { queue: Mutex::default(), most, metrics: metrics.clone() }));
        Self(Arc::new(Reader(way)))
    }

    /// Waits until something is there, then takes what is there, in order: all of it, or as much as a socket
    /// should hold at once. One task takes; it may give up waiting and wait again.
    ///
    /// # Errors
    /// When the outbox is closed: nothing comes any more, and what waited was dropped.
    pub async fn take(&self) -> Result<Vec<(MemberId, Arc<SpaceEvent>)>, Closed> {
        loop {
            let taken = self.take_now()?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            poll_fn(|cx| self.poll_ready(cx)).await;
        }
    }

    /// Ready when something is there, or nothing comes any more. One task waits at a time.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.0.0.lock();
        if !queue.slots.is_empty() || queue.closed.is_some() {
            return Poll::Ready(());
        }
        if !queue.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            queue.waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// As [`SpaceOutbox::take`], without waiting: empty when nothing is there.
    ///
    /// # Errors
    /// As there.
    pub fn take_now(&self) -> Result<Vec<(MemberId, Arc<SpaceEvent>)>, Closed> {
        let mut queue = self.0.0.lock();
        if let Some(why) = queue.closed {
            return Err(why);
        }
        let mut bytes = 0;
        let mut count = 0;
        while let Some((_, event)) = queue.slots.get(count)
            && bytes < OUTBOX_TAKE_MAX_BYTES
        {
            bytes += cost(event);
            count += 1;
        }
        let taken: Vec<_> = queue.slots.drain(..count).collect();
        queue.bytes -= bytes;
        if queue.slots.is_empty() {
            queue.slots.shrink_to(SPACE_OUTBOX_SLOTS_KEPT); // a burst is over
        }
        let more = queue.count();
        drop(queue);
        self.0.0.counted(more);
        Ok(taken)
    }

    /// From now on what comes while the outbox is empty is offered here first.
    pub fn speak_through(&self, mouth: Weak<dyn Mouth>) {
        self.0.0.lock().mouth = Some(mouth);
    }

    /// Why it is closed, if it is.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.0.0.closed()
    }

    /// Closes it and drops what waits; the first reason stays.
    pub fn close(&self, why: Closed) {
        self.0.0.close(why);
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.0.0.lock().bytes
    }

    /// The writing end.
    pub(super) fn way(&self) -> Way {
        self.0.0.clone()
    }
}

impl Way {
    /// Why it is closed, if it is.
    pub(super) fn closed(&self) -> Option<Closed> {
        self.lock().closed
    }

    /// Closes it and drops what waits; the first reason stays.
    pub(super) fn close(&self, why: Closed) {
        let mut queue = self.lock();
        let more = queue.close(why);
        wake(queue);
        self.counted(more);
    }

    /// Whether a kept message up to this number still waits.
    pub(super) fn holds(&self, upto: u64) -> bool {
        let queue = self.lock();
        queue.slots.iter().find_map(|(_, event)| event.seq).is_some_and(|first| first <= upto)
    }

    /// Whether both are the same one.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Queues an event; `false` when it is closed, now or before. One that is larger than the bound fits when
    /// nothing else waits.
    pub(super) fn push(&self, member: MemberId, event: &Arc<SpaceEvent>) -> bool {
        let more = cost(event);
        let mut queue = self.lock();
        if queue.closed.is_some() {
            return false;
        }
        // One space says all that a member hears, one thing after the other, so nothing is overtaken meanwhile.
        if queue.slots.is_empty()
            && let Some(mouth) = queue.mouth.as_ref().and_then(Weak::upgrade)
        {
            drop(queue);
            let said = mouth.say(member, event);
            drop(mouth); // it may be the last of its connection, whose end is told here
            if said {
                return true;
            }
            queue = self.lock();
            if queue.closed.is_some() {
                return false;
            }
        }
        if !queue.slots.is_empty() && queue.bytes + more > self.0.most {
            let more = queue.close(Closed::Overflow);
            wake(queue);
            self.counted(more);
            self.0.metrics.refuse(Closed::Overflow.word());
            return false;
        }
        queue.bytes += more;
        queue.slots.push_back((member, event.clone()));
        let more = queue.count();
        wake(queue);
        self.counted(more);
        true
    }

    fn counted(&self, more: i64) {
        if more != 0 {
            self.0.metrics.outbox_bytes.inc_by(more);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        held(&self.0.queue)
    }
}

impl Queue {
    fn close(&mut self, why: Closed) -> i64 {
        self.closed.get_or_insert(why);
        self.slots = VecDeque::new();
        self.mouth = None;
        self.bytes = 0;
        self.count()
    }

    /// How many bytes more than before are to be counted.
    fn count(&mut self) -> i64 {
        let before = self.counted;
        self.counted = self.bytes - self.bytes % OUTBOX_COUNTED_BYTES;
        self.counted as i64 - before as i64
    }
}

/// Wakes who waits, once the queue is free.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let waiting = queue.waiting.take();
    drop(queue);
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

fn cost(event: &SpaceEvent) -> usize {
    SLOT_BYTES + event.len()
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
    use crate::rooms::Frames;

    fn event(bytes: usize) -> Arc<SpaceEvent> {
        Arc::new(SpaceEvent {
            seq: None,
            offset: None,
            after: None,
            name: "n".into(),
            body: vec![b'1'; bytes].into(),
            attachments: Vec::new(),
            frames: Frames::default(),
        })
    }

    #[test]
    fn a_slow_reader_is_cut_off_with_a_reason_and_its_memory_is_freed() {
        let metrics = Metrics::new();
        let outbox = SpaceOutbox::with_bound(&metrics, 10_000);
        let me = MemberId(1);
        let way = outbox.way();
        assert!(way.push(me, &event(20_000)), "a large message fits when nothing waits");
        assert!(!way.push(me, &event(1)));
        assert_eq!(outbox.closed(), Some(Closed::Overflow));
        assert_eq!(outbox.take_now().unwrap_err(), Closed::Overflow);
        assert!(!way.push(me, &event(1)));
        outbox.close(Closed::Left);
        assert_eq!(outbox.closed(), Some(Closed::Overflow), "the first reason stays");
        assert_eq!((outbox.waiting_bytes(), metrics.outbox_bytes.get()), (0, 0));
    }

    #[test]
    fn a_reader_takes_in_order_and_in_pieces() {
        let metrics = Metrics::new();
        let outbox = SpaceOutbox::new(&metrics);
        for n in 0..300 {
            assert!(outbox.way().push(MemberId(n), &event(1_000)));
        }
        let (mut heard, mut largest) = (Vec::new(), 0);
        loop {
            let taken = outbox.take_now().unwrap();
            if taken.is_empty() {
                break;
            }
            largest = largest.max(taken.len());
            heard.extend(taken.iter().map(|(member, _)| member.0));
        }
        assert!(heard.iter().copied().eq(0..300));
        assert!(largest < 100, "{largest} at once");
        assert_eq!(metrics.outbox_bytes.get(), 0);
    }
}
