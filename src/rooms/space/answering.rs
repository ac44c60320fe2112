//! What is said: numbered, kept or passing, and handed out.

use std::sync::Arc;

use super::actor::{Actor, Command};
use super::event::{Except, Said, Say, SpaceEvent};
use super::kept::{Kept, Spared};
use super::outgoing::SaidReply;
use super::{SpaceError, joining};
use crate::config::limits::{
    SPACE_ID_MAX_BYTES, SPACE_MESSAGE_MAX_BYTES, SPACE_PASSING_MAX, SPACE_TARGETS_MAX,
    SPACE_UNSAVED_MAX_BYTES,
};
use crate::rooms::Frames;

/// What is not kept, and waits for what was said before it to be heard.
pub(super) struct Passing {
    /// The last number given before it.
    after: u64,
    say: Say,
    reply: SaidReply,
}

impl Actor {
    /// Does one thing that is asked.
    pub(super) fn command(&mut self, command: Command, now_ms: u64) {
        match command {
            Command::Join { join, reply, kept } => {
                let joined = self.join(*join, now_ms);
                let has_session = joined.as_ref().is_ok_and(|joined| joined.pid.is_some());
                if let Err(Ok(joined)) = reply.send(joined) {
                    // Nobody waits for it any more.
                    self.leave(joined.member, true, now_ms);
                }
                if has_session {
                    self.waiting.push(kept);
                } else {
                    let _ = kept.send(true);
                }
            }
            Command::Forget { member } => self.forget_session(member),
            Command::Remembered { pid, reply } => drop(reply.send(self.remembered(&pid, now_ms))),
            Command::Enter { member, rooms, reply } => self.enter(member, &rooms, reply),
            Command::Exit { member, rooms, reply } => self.exit(member, &rooms, reply),
            Command::Leave { member, recoverable } => self.leave(member, recoverable, now_ms),
            Command::Say { say, reply } => self.say(*say, reply, now_ms),
            Command::Repeat { gap, heard, reply } => {
                let piece = self.ring.next_piece(&gap, heard).ok();
                drop(reply.send(piece.map(|piece| (piece, self.parts.store.clone()))));
            }
            Command::Share { events } => self.ring.share(&events),
            Command::Lose { seq } => self.ring.lose(seq),
            Command::Members { room, reply } => drop(reply.send(self.crowd.members(&room))),
            Command::Rooms { reply } => drop(reply.send(self.crowd.rooms())),
            Command::Fullest { most, reply } => drop(reply.send(self.crowd.fullest(most))),
            #[cfg(test)]
            Command::Fail => panic!("a test asked for it"),
        }
    }

    fn say(&mut self, say: Say, reply: SaidReply, now_ms: u64) {
        if let Some(id) = &say.id
            && let Some(before) = self.ids.get(id)
        {
            self.parts.count_said("repeated");
            if let Some(replies) = before.and_then(|seq| self.outgoing.find(seq)) {
                return replies.push(reply);
            }
            return drop(reply.send(Ok(Said { seq: before, reached: 0, repeated: true })));
        }
        if let Err(error) = self.admits(&say) {
            self.parts.count_said("refused");
            return drop(reply.send(Err(error)));
        }
        let keep = say.keep && self.parts.store.is_some();
        let seq = keep.then_some(self.seq + 1);
        let id: Option<Arc<str>> = say.id.as_deref().map(Arc::from);
        if let Some(id) = &id {
            self.ids.add(now_ms, id.clone(), seq);
        }
        match seq {
            Some(seq) => {
                self.seq = seq;
                let kept = self.kept(say, seq, now_ms, id);
                self.outgoing.add(kept, reply);
            }
            None => {
                self.passing.push_back(Passing { after: self.seq, say, reply });
                self.pass_until(self.outgoing.first_unheard());
            }
        }
    }

    /// Hands out what passes, as far as no kept message before it is still to be heard. `unheard`: the first of those.
    pub(super) fn pass_until(&mut self, unheard: Option<u64>) {
        let is_due = |passing: &Passing| unheard.is_none_or(|unheard| passing.after < unheard);
        while let Some(Passing { say, reply, .. }) = self.passing.pop_front_if(|passing| is_due(passing)) {
            let reached = self.pass(say);
            let _ = reply.send(Ok(Said { seq: None, reached, repeated: false }));
        }
    }

    /// Whether a message is within its bounds, and can be kept if it should be.
    fn admits(&self, say: &Say) -> Result<(), SpaceError> {
        if say.to.len() > SPACE_TARGETS_MAX || say.except.len() > SPACE_TARGETS_MAX {
            return Err(SpaceError::TooManyRooms);
        }
        let bytes =
            say.name.len() + say.body.len() + say.attachments.iter().map(|a| 64 + a.len()).sum::<usize>();
        let id = say.id.as_ref().map_or(0, String::len);
        if bytes > SPACE_MESSAGE_MAX_BYTES || id > SPACE_ID_MAX_BYTES {
            return Err(SpaceError::TooLarge);
        }
        if !say.keep && self.passing.len() >= SPACE_PASSING_MAX {
            return Err(SpaceError::Busy);
        }
        if say.keep && (self.outgoing.bytes() + bytes > SPACE_UNSAVED_MAX_BYTES || self.outgoing.is_stuck()) {
            return Err(SpaceError::Busy);
        }
        Ok(())
    }

    fn spared(&self, except: &[Except]) -> Vec<Spared> {
        let spared = except.iter().filter_map(|except| match except {
            Except::Member(member) => {
                let sid = self.crowd.get(*member).map(|attendee| attendee.seat.member.sid.clone());
                sid.or_else(|| self.sid_of_absent(*member)).map(Spared::Sid)
            }
            Except::Room(room) => Some(Spared::Room(room.clone())),
        });
        spared.collect()
    }

    fn kept(&self, mut say: Say, seq: u64, at_ms: u64, id: Option<Arc<str>>) -> Kept {
        joining::once(&mut say.to);
        Kept {
            seq,
            at_ms,
            except: self.spared(&say.except),
            to: say.to,
            id: id.filter(|id| !id.is_empty()),
            name: say.name,
            body: say.body,
            attachments: say.attachments,
        }
    }

    /// A message that passes goes out.
    fn pass(&mut self, say: Say) -> usize {
        let except = self.spared(&say.except);
        let event = Arc::new(SpaceEvent {
            seq: None,
            offset: None,
            after: Some(self.mark.clone()),
            name: say.name,
            body: say.body,
            attachments: say.attachments,
            frames: Frames::default(),
        });
        self.parts.count_said("passing");
        self.give(&event, &say.to, &except)
    }

    pub(super) fn give(&mut self, event: &Arc<SpaceEvent>, to: &[super::Room], except: &[Spared]) -> usize {
        let reached = self.crowd.give(event, to, except, &mut self.cut_off);
        self.parts.metrics.delivered.inc_by(reached as u64);
        reached
    }
}
