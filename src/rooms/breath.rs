//! How often a room full of people speaks: what comes in quick succession is said together.
//!
//! Owns the pause between two fan-outs. Saying something costs by the listener, not by the letter: where fifty people
//! write at once, each of them hears some tens of messages a second instead of some hundreds, each of them later by
//! less than an eye notices. A few people never wait, and saving waits for nobody. Does not know what is said.

use super::alarm::Alarm;
use crate::config::limits::{ROOM_BREATH_MAX, ROOM_BREATH_PER_PEER, ROOM_FEW_PEERS};

/// Until when a room keeps what is new to itself; at first it does not.
#[derive(Default)]
pub(super) struct Breath(Alarm);

impl Breath {
    /// Whether what is new may be said now.
    pub(super) fn may_speak(&self) -> bool {
        !self.0.is_set()
    }

    /// Something was said to so many.
    pub(super) fn spoke(&mut self, peers: usize) {
        if peers > ROOM_FEW_PEERS {
            self.0.set((ROOM_BREATH_PER_PEER * peers as u32).min(ROOM_BREATH_MAX));
        } else {
            self.0.clear();
        }
    }

    /// Waits until the room may speak again; for ever when it may. May be given up and waited for again.
    pub(super) async fn drawn(&mut self) {
        self.0.ring().await;
    }
}
