//! What becomes of what was said: heard when it is written, answered when it is on disk.
//!
//! Owns what is told to whom when a commit does not end as it should. Does not know how commits are made.

use std::sync::Arc;

use super::SpaceError;
use super::actor::Actor;
use super::event::Said;
use super::outgoing::{Came, Heard, Landed, Pending, answer};
use crate::store::CommitError;

impl Actor {
    /// Something happened to the commits under way.
    pub(super) fn came(&mut self, came: Came) {
        match came {
            Came::Written(flight, messages) => {
                let heard = messages.into_iter().map(|pending| self.hand_out(pending)).collect();
                self.outgoing.heard(flight, heard);
            }
            Came::Landed(landed) => self.landed(landed),
        }
    }

    /// A commit ended, one way or the other.
    pub(super) fn landed(&mut self, landed: Landed) {
        let Landed { messages, heard, beside, result } = landed;
        match result {
            Ok(()) => {
                let late: Vec<Heard> = messages.into_iter().map(|pending| self.hand_out(pending)).collect();
                for heard in heard.into_iter().chain(late) {
                    self.durable = self.durable.max(heard.seq);
                    answer_kept(heard);
                }
            }
            Err(ref error) => {
                self.sessions.again(beside.marks);
                if let Some(rooms) = beside.left {
                    self.ring.again(rooms);
                    self.tidy = true;
                }
                self.alive_ms = 0;
                // Members heard what may not be there: everybody comes back, and is told what that means.
                self.is_broken |= !heard.is_empty();
                let unheard = messages.into_iter().map(|pending| {
                    self.ids.forget(pending.kept.id.as_deref());
                    pending.replies
                });
                for replies in heard.into_iter().map(|heard| heard.replies).chain(unheard) {
                    self.parts.count_said("not_kept");
                    answer(replies, &Err(SpaceError::NotKept(error.to_string())));
                }
            }
        }
        if matches!(result, Err(CommitError::Busy)) {
            self.waiting.extend(beside.waiting);
            return;
        }
        beside.waiting.into_iter().for_each(|waiting| _ = waiting.send(result.is_ok()));
    }

    /// A message survives this program: from here on it is heard, now and by who comes back.
    fn hand_out(&mut self, pending: Pending) -> Heard {
        let Pending { kept, replies } = pending;
        self.pass_until(Some(kept.seq));
        let event = kept.event(self.parts.name);
        let seq = kept.seq;
        self.handed = seq;
        if let Some(mark) = &event.offset {
            self.mark = mark.clone();
        }
        let reached = self.give(&event, &kept.to, &kept.except);
        self.parts.count_said("kept");
        self.ring.add(kept, Arc::downgrade(&event));
        Heard { seq, reached, replies }
    }
}

/// It is on disk.
fn answer_kept(heard: Heard) {
    answer(heard.replies, &Ok(Said { seq: Some(heard.seq), reached: heard.reached, repeated: false }));
}
