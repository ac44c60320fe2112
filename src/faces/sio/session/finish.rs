//! A session ends with its last word: who is in it is gone, and its client may still take what waits.
//!
//! Owns how long that is waited for. Does not know why it ends.

use std::sync::Arc;

use tokio::time::timeout;

use super::super::Reason;
use super::super::talk::Talk;
use super::Session;
use crate::config::limits::ENGINE_FINISH_MAX;

impl Session {
    /// Ends the session: nothing more is heard of its client or said to it, and everybody in it is gone. What waits may
    /// still be taken, for a while.
    pub(in crate::faces::sio) fn finish(self: &Arc<Self>, reason: Reason) {
        let ends_already = self.change(|out| {
            let ends_already = out.is_ending();
            out.finish.get_or_insert(reason);
            ends_already
        });
        if ends_already {
            return;
        }
        let session = self.clone();
        tokio::spawn(async move {
            Talk::over(&session, reason).await;
            let _ = timeout(ENGINE_FINISH_MAX, session.ended()).await;
            session.close(reason);
        });
    }

    /// Whether it is over, or only says what waits.
    pub(in crate::faces::sio) fn is_ending(&self) -> bool {
        self.out().is_ending()
    }
}
