//! What waits in an outbox: the order of places, what counts against the bound, and what gives way over it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use super::Mouth;
use crate::clock::Stopwatch;
use crate::config::limits::{OUTBOX_COUNTED_BYTES, OUTBOX_MAX_BYTES};
use crate::id::PeerId;
use crate::rooms::event::{Edited, Event, Gone, Present, Refusal};
use crate::store::StoreState;

/// What one queued event costs beside its bytes.
const SLOT_BYTES: usize = 64;

#[derive(Default)]
pub(super) struct Queue {
    pub(super) slots: VecDeque<(PeerId, Slot)>,
    /// What the slots that may be dropped cost together.
    pub(super) bytes: usize,
    /// Of these, what is in the figures.
    pub(super) counted: usize,
    /// Few: one, for most sockets.
    pub(super) peers: Vec<(PeerId, Due)>,
    pub(super) behind: Option<Stopwatch>,
    /// Who takes, while nothing is there; woken once.
    pub(super) waiting: Option<Waker>,
}

/// A place in the queue; what is counted or can be replaced lies in [`Due`].
pub(super) enum Slot {
    Synced,
    Everyone,
    Edited { first: u64, edit: Arc<Edited> },
    Present(Arc<Present>),
    Saved,
    Refused(Refusal),
    Told(Bytes),
    Stored,
    Lagged,
    Gone(Gone),
}

/// What waits for one peer in places already queued.
#[derive(Default)]
pub(super) struct Due {
    pub(super) synced: Option<(Option<Bytes>, Bytes)>,
    pub(super) everyone: Option<Arc<Present>>,
    pub(super) saved: u32,
    pub(super) refused: [u32; Refusal::ALL.len()],
    pub(super) stored: Option<StoreState>,
    /// The first edit that was dropped; `u64::MAX` when only presence was.
    pub(super) missed: Option<u64>,
    pub(super) mouth: Option<Box<dyn Mouth>>,
}

impl Slot {
    pub(super) fn cost(&self) -> usize {
        SLOT_BYTES
            + match self {
                Self::Edited { edit, .. } => edit.update.len(),
                Self::Present(present) => present.update.len(),
                Self::Told(text) => text.len(),
                Self::Synced
                | Self::Everyone
                | Self::Saved
                | Self::Refused(_)
                | Self::Stored
                | Self::Lagged
                | Self::Gone(_) => 0,
            }
    }

    /// Says it at once, if that can be.
    fn said_by(&self, mouth: &dyn Mouth) -> bool {
        match self {
            Self::Edited { edit, .. } => mouth.edited(edit),
            Self::Present(present) => mouth.present(present),
            _ => false,
        }
    }

    /// Whether the slot counts against the bound. The others exist at most once for each peer.
    pub(super) fn counts(&self) -> bool {
        matches!(self, Self::Edited { .. } | Self::Present(_) | Self::Told(_))
    }
}

impl Queue {
    pub(super) fn due(&mut self, peer: PeerId) -> Option<&mut Due> {
        due(&mut self.peers, peer)
    }

    /// How many bytes more than before are to be counted.
    pub(super) fn count(&mut self) -> i64 {
        let before = self.counted;
        self.counted = self.bytes - self.bytes % OUTBOX_COUNTED_BYTES;
        self.counted as i64 - before as i64
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        self.peers.retain(|(of, _)| *of != peer);
    }

    /// Queues something that counts against the bound, if it cannot be said at once.
    pub(super) fn put(&mut self, peer: PeerId, slot: Slot) {
        let nothing_waits = self.slots.is_empty();
        let Some(due) = self.due(peer) else { return };
        if let (Some(missed), Slot::Edited { first, .. }) = (&mut due.missed, &slot) {
            *missed = (*missed).min(*first);
        }
        if due.missed.is_some() && !matches!(slot, Slot::Told(_)) {
            return; // it hears all of it in its resync
        }
        if nothing_waits && due.mouth.as_ref().is_some_and(|mouth| slot.said_by(&**mouth)) {
            return;
        }
        self.bytes += slot.cost();
        self.slots.push_back((peer, slot));
        if self.bytes > OUTBOX_MAX_BYTES {
            self.fall_behind();
        }
    }

    /// Queues something that exists at most once for a peer; `note` says whether it needs a place.
    pub(super) fn once(&mut self, peer: PeerId, slot: Slot, note: impl FnOnce(&mut Due) -> bool) {
        let Some(due) = self.due(peer) else { return };
        if note(due) {
            self.slots.push_back((peer, slot));
        }
    }

    /// Drops what a resync brings again, and tells each peer concerned, once.
    pub(super) fn fall_behind(&mut self) {
        let mut concerned = Vec::new();
        let (peers, bytes) = (&mut self.peers, &mut self.bytes);
        self.slots.retain(|(peer, slot)| {
            let first = match slot {
                Slot::Edited { first, .. } => *first,
                Slot::Present(_) => u64::MAX,
                _ => return true,
            };
            *bytes -= slot.cost();
            if let Some(due) = due(peers, *peer) {
                if due.missed.is_none() {
                    concerned.push(*peer);
                }
                due.missed = Some(due.missed.map_or(first, |before| before.min(first)));
            }
            false
        });
        self.slots.extend(concerned.into_iter().map(|peer| (peer, Slot::Lagged)));
        while self.bytes > OUTBOX_MAX_BYTES {
            // Only told text is left, which promises nothing to who does not read.
            let Some(place) = self.slots.iter().position(|(_, slot)| slot.counts()) else { break };
            if let Some((_, slot)) = self.slots.remove(place) {
                self.bytes -= slot.cost();
            }
        }
        if self.peers.iter().any(|(_, due)| due.missed.is_some()) {
            self.behind.get_or_insert_with(Stopwatch::start);
        }
    }

    pub(super) fn settle_behind(&mut self) {
        if self.peers.iter().all(|(_, due)| due.missed.is_none()) {
            self.behind = None;
        }
    }

    pub(super) fn event(&mut self, peer: PeerId, slot: Slot) -> Option<Event> {
        let due = self.due(peer)?;
        Some(match slot {
            Slot::Synced => due.synced.take().map(|(update, have)| Event::Synced { update, have })?,
            Slot::Everyone => Event::Present(due.everyone.take()?),
            Slot::Edited { edit, .. } => Event::Edited(edit),
            Slot::Present(news) => Event::Present(news),
            Slot::Saved => Event::Saved { edits: std::mem::take(&mut due.saved) },
            Slot::Refused(why) => {
                Event::Refused { edits: std::mem::take(&mut due.refused[why.place()]), why }
            }
            Slot::Told(text) => Event::Told(text),
            Slot::Stored => Event::Stored(due.stored.take()?),
            Slot::Lagged => Event::Lagged,
            Slot::Gone(why) => Event::Gone(why),
        })
    }
}

fn due(peers: &mut [(PeerId, Due)], peer: PeerId) -> Option<&mut Due> {
    peers.iter_mut().find_map(|(of, due)| (*of == peer).then_some(due))
}
