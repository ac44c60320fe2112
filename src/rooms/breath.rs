//! How often a room full of people speaks: what comes in quick succession is said together.
//!
//! Owns the pause between two fan-outs. Saying something costs by the listener, not by the letter: where fifty people
//! write at once, each of them hears some tens of messages a second instead of some hundreds, each of them later by
//! less than an eye notices. A few people never wait, and saving waits for nobody. Does not know what is said.

use std::time::Duration;

use super::alarm::Alarm;
use crate::clock::Stopwatch;
use crate::config::limits::{ROOM_BREATH_MAX, ROOM_BREATH_PER_PEER, ROOM_FEW_PEERS};

/// Until when a room keeps what is new to itself; at first it does not.
#[derive(Default)]
pub(super) struct Breath {
    /// When it spoke last to many, and how long it pauses then.
    spoke: Option<(Stopwatch, Duration)>,
    /// Rings at the end of the pause, if anything waits for it.
    alarm: Alarm,
}

impl Breath {
    /// Whether what is new may be said now.
    pub(super) fn may_speak(&self) -> bool {
        self.left().is_zero()
    }

    /// Something new waits for the end of the pause.
    pub(super) fn hold(&mut self) {
        self.alarm.set_once(self.left());
    }

    /// Something was said to so many.
    pub(super) fn spoke(&mut self, peers: usize) {
        let pause = (ROOM_BREATH_PER_PEER * peers as u32).min(ROOM_BREATH_MAX);
        self.spoke = (peers > ROOM_FEW_PEERS).then(|| (Stopwatch::start(), pause));
        self.alarm.clear();
    }

    /// Waits until what is held may be said; for ever when nothing is. May be given up and waited for again.
    pub(super) async fn drawn(&mut self) {
        self.alarm.ring().await;
    }

    fn left(&self) -> Duration {
        self.spoke.as_ref().map_or(Duration::ZERO, |(since, pause)| pause.saturating_sub(since.elapsed()))
    }
}
