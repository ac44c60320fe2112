//! Somebody comes into a session: what was missed goes out a piece at a time, before whatever is said meanwhile.
//!
//! Owns when the next piece is read. Does not know where it comes from.

use std::sync::{Arc, Weak};

use super::super::Reason;
use super::super::queue::message;
use super::Session;
use crate::rooms::space::{MemberId, Missed};

impl Session {
    /// A member is in: `told` goes out, then what it missed, then what was held. `false`: the session is over.
    pub(in crate::faces::sio) fn came_in(
        self: &Arc<Self>,
        member: MemberId,
        namespace: Arc<str>,
        missed: Missed,
        told: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let told = message(&[], told);
        let (came, begins) = self.change(|out| {
            let repeated = out.repeats();
            let came = out.came_in(member, namespace, missed, told);
            (came, !repeated && out.repeats())
        });
        if begins {
            tokio::spawn(Self::repeat(Arc::downgrade(self)));
        }
        came
    }

    /// Reads what was missed, a piece at a time: the next one when the client has taken the last one.
    async fn repeat(session: Weak<Self>) {
        while let Some(session) = session.upgrade() {
            let next = session.out().next_missed().map(|(member, missed)| (*member, missed.read()));
            let Some((member, read)) = next else { return };
            match read.await {
                Ok(read) => session.change(|out| out.repeat(member, read)),
                // The client comes back, and is told.
                Err(_) => return session.close(Reason::Reconnect),
            }
            if !session.out().repeats() {
                return;
            }
            tokio::select! {
                () = session.hungry.notified() => {}
                () = session.ended() => return,
            }
        }
    }
}
