//! One timer of a room: set, cleared, and waited for beside everything else.
//!
//! Owns when to wake. Does not know why.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// A timer that rings once; one that is not set never rings.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Rings after this long, whatever was set before.
    pub(super) fn set(&mut self, after: Duration) {
        self.0 = Some(Box::pin(sleep(after)));
    }

    /// Rings after this long unless it is set already.
    pub(super) fn set_once(&mut self, after: Duration) {
        if self.0.is_none() {
            self.set(after);
        }
    }

    /// Does not ring any more.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Whether it is going to ring.
    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for it. May be given up and waited for again.
    pub(super) async fn ring(&mut self) {
        match &mut self.0 {
            Some(timer) => timer.as_mut().await,
            None => pending().await,
        }
        self.0 = None;
    }
}
