//! What waits for one client: frames of its own, and what spaces said.
//!
//! Owns the order in which a client hears things: answers, then what was missed, then what is said now; and the frames
//! that all readers of an event share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use super::Reason;
use super::session::Transport;
use crate::config::limits::{OUTBOX_TAKE_MAX_BYTES, SIO_OUTBOX_MAX_BYTES};
use crate::faces::line::{Voice, put_binary_frame, text_frame};
use crate::rooms::space::{Closed, MemberId, Missed, Repeated, SpaceEvent, SpaceOutbox};
use crate::wire::socketio::{ROOT, Telling, encode_event};

/// Where the frames of the root namespace are shared.
const FRAMES_ROOT: usize = 2;
/// What one waiting frame costs beside its bytes.
const SLOT_BYTES: usize = 64;

/// What waits for the client, and how it goes there.
pub(super) struct Queue {
    pub(super) transport: Transport,
    /// A request waits for something to say.
    pub(super) polling: bool,
    /// A request brings something.
    pub(super) posting: bool,
    frames: VecDeque<Bytes>,
    /// What the frames cost.
    pub(super) bytes: usize,
    /// What spaces said, not framed yet.
    events: VecDeque<(MemberId, Arc<SpaceEvent>)>,
    /// What members missed that is not here yet: it goes out before whatever is said meanwhile…
    missed: VecDeque<(MemberId, Missed)>,
    /// …of which this is here already.
    behind: VecDeque<(MemberId, Arc<SpaceEvent>)>,
    /// What spaces said to members that are just coming in.
    early: Vec<(MemberId, Arc<SpaceEvent>)>,
    joining: usize,
    members: Vec<(MemberId, Arc<str>)>,
    /// Somebody came in.
    pub(super) trusted: bool,
    /// Credentials said who it is.
    pub(super) known: bool,
    /// The session ends, for this reason, when everything was taken: nothing more is put here.
    pub(super) finish: Option<Reason>,
    /// The session has ended.
    pub(super) closed: Option<Reason>,
    /// Who takes, while nothing is there; woken once.
    pub(super) waiting: Option<Waker>,
    /// The WebSocket that carries the session.
    pub(super) voice: Option<Voice>,
}

/// A message as frames.
pub(super) fn message(attachments: &[Bytes], write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut text = vec![b'4'];
    write(&mut text);
    let mut frames = text_frame(&text);
    for bytes in attachments {
        put_binary_frame(&mut frames, bytes);
    }
    frames.into()
}

impl Queue {
    /// Nothing waits yet.
    pub(super) fn new(transport: Transport, trusted: bool) -> Self {
        Self {
            transport,
            polling: false,
            posting: false,
            frames: VecDeque::new(),
            bytes: 0,
            events: VecDeque::new(),
            missed: VecDeque::new(),
            behind: VecDeque::new(),
            early: Vec::new(),
            joining: 0,
            members: Vec::new(),
            trusted,
            known: trusted,
            finish: None,
            closed: None,
            waiting: None,
            voice: None,
        }
    }

    /// Queues a frame; `false` when it is too much. A large one fits when nothing else waits.
    #[must_use]
    pub(super) fn put(&mut self, frame: Bytes) -> bool {
        if !self.frames.is_empty() && self.bytes + frame.len() > SIO_OUTBOX_MAX_BYTES {
            return false;
        }
        self.bytes += frame.len() + SLOT_BYTES;
        self.frames.push_back(frame);
        true
    }

    pub(super) fn joining(&mut self, known: bool) {
        self.known |= known;
        self.joining += 1;
    }

    pub(super) fn not_joined(&mut self) {
        self.joining = self.joining.saturating_sub(1);
        if self.joining == 0 {
            self.early = Vec::new();
        }
    }

    pub(super) fn came_in(
        &mut self,
        member: MemberId,
        namespace: Arc<str>,
        missed: Missed,
        told: Bytes,
    ) -> bool {
        if self.closed.is_some() || !self.put(told) {
            return false;
        }
        self.members.push((member, namespace));
        let early = std::mem::take(&mut self.early);
        let (mine, others): (Vec<_>, Vec<_>) = early.into_iter().partition(|(of, _)| *of == member);
        if missed.is_empty() {
            self.events.extend(mine);
        } else {
            self.missed.push_back((member, missed));
            self.behind.extend(mine);
        }
        self.early = others;
        self.not_joined();
        self.trusted = true;
        true
    }

    /// Whether something that was missed is not here yet: nothing else is heard meanwhile.
    pub(super) fn repeats(&self) -> bool {
        !self.missed.is_empty()
    }

    /// Whether it is wanted now.
    pub(super) fn wants_missed(&self) -> bool {
        self.repeats() && self.events.is_empty()
    }

    /// Whose missed messages come next, to be read.
    pub(super) fn next_missed(&self) -> Option<&(MemberId, Missed)> {
        self.missed.front()
    }

    /// These were read.
    pub(super) fn repeat(&mut self, member: MemberId, read: Repeated) {
        let Some((_, missed)) = self.missed.front_mut().filter(|(of, _)| *of == member) else { return };
        if missed.take(&read) {
            self.events.extend(read.events.into_iter().map(|event| (member, event)));
        }
        if missed.is_empty() {
            self.missed.pop_front();
        }
        self.close_up();
    }

    fn close_up(&mut self) {
        if !self.repeats() {
            self.events.append(&mut self.behind);
        }
    }

    pub(super) fn went_out(&mut self, member: MemberId) {
        self.members.retain(|(of, _)| *of != member);
        self.missed.retain(|(of, _)| *of != member);
        self.behind.retain(|(of, _)| *of != member);
        self.events.retain(|(of, _)| *of != member);
        self.close_up();
    }

    /// Nothing more is said; what waits is dropped.
    pub(super) fn close(&mut self, reason: Reason) {
        self.closed = Some(reason);
        self.frames = VecDeque::new();
        self.events = VecDeque::new();
        self.missed = VecDeque::new();
        self.behind = VecDeque::new();
        self.early = Vec::new();
        self.bytes = 0;
    }

    pub(super) fn has_some(&self) -> bool {
        !self.frames.is_empty() || !self.events.is_empty() || self.is_ending()
    }

    /// Whether nothing more is said but what waits.
    pub(super) fn is_ending(&self) -> bool {
        self.finish.is_some() || self.closed.is_some()
    }

    /// Takes some of what waits, in order: frames, what spaces said before, and what they have said since.
    pub(super) fn take(&mut self, outbox: &SpaceOutbox) -> Result<Vec<Bytes>, Closed> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < OUTBOX_TAKE_MAX_BYTES {
            let frame = match self.frames.pop_front() {
                Some(frame) => {
                    self.bytes = self.bytes.saturating_sub(frame.len() + SLOT_BYTES);
                    frame
                }
                None => match self.events.pop_front() {
                    Some((member, event)) => match self.frame(member, &event) {
                        Some(frame) => frame,
                        None => continue,
                    },
                    None => break,
                },
            };
            bytes += frame.len();
            taken.push(frame);
        }
        if !self.frames.is_empty() || !self.events.is_empty() || self.closed.is_some() {
            return Ok(taken);
        }
        self.frames.shrink_to(0); // a burst is over
        self.events.shrink_to(0);
        if taken.is_empty() && !self.repeats() {
            self.hear(outbox.take_now()?, &mut taken);
        }
        Ok(taken)
    }

    /// Takes what spaces said; a member hears it after it was told that it is in.
    fn hear(&mut self, said: Vec<(MemberId, Arc<SpaceEvent>)>, taken: &mut Vec<Bytes>) {
        taken.reserve_exact(said.len());
        for (member, event) in said {
            match self.frame(member, &event) {
                Some(frame) => taken.push(frame),
                None if self.joining > 0 => self.early.push((member, event)),
                None => {}
            }
        }
    }

    /// Says an event at once, if nothing waits and the client takes it. `false`: it has to be queued.
    pub(super) fn say_now(&self, member: MemberId, event: &SpaceEvent) -> bool {
        let waits = !self.frames.is_empty() || !self.events.is_empty() || self.repeats();
        if waits || self.is_ending() {
            return false;
        }
        let Some(voice) = &self.voice else { return false };
        self.frame(member, event).is_some_and(|frame| voice.say(&frame))
    }

    /// An event's frames: made by the first of its readers, the same bytes for all others.
    fn frame(&self, member: MemberId, event: &SpaceEvent) -> Option<Bytes> {
        let (_, namespace) = self.members.iter().find(|(of, _)| *of == member)?;
        let made = || {
            message(&event.attachments, |out| {
                encode_event(
                    out,
                    &Telling {
                        namespace,
                        name: &event.name,
                        arguments: &event.body,
                        offset: offset(event),
                        attachments: event.attachments.len(),
                        id: None,
                    },
                );
            })
        };
        Some(if &**namespace == ROOT { event.frames.get(FRAMES_ROOT, made) } else { made() })
    }
}

/// What goes along as an event's offset. A client takes the last text of any event for one, be it an argument or, where
/// there is none, the event's own name: then a message that passes has to bring the right one.
fn offset(event: &SpaceEvent) -> Option<&str> {
    let last = event.body.trim_ascii_end().last();
    let ends_in_text = last.is_none_or(|last| *last == b'"');
    event.offset.as_deref().or(event.after.as_deref().filter(|_| ends_in_text))
}

impl From<Closed> for Reason {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Overflow => Self::Slow,
            Closed::TakenOver => Self::TakenOver,
            Closed::Ended => Self::Stopping,
            Closed::Left => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::Frames;

    #[test]
    fn no_client_takes_a_name_or_an_argument_for_an_offset() {
        let event = |offset: Option<&str>, body: &str| SpaceEvent {
            seq: None,
            offset: offset.map(Into::into),
            after: offset.is_none().then(|| "before".into()),
            name: "news".into(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            attachments: Vec::new(),
            frames: Frames::default(),
        };
        for (body, wanted) in [
            ("", Some("before")),
            (" ", Some("before")),
            (r#""a""#, Some("before")),
            ("{},\"a\" \n", Some("before")),
            (r#""a",{"b":"c"}"#, None),
            ("7", None),
        ] {
            assert_eq!(offset(&event(None, body)), wanted, "{body:?}");
            assert_eq!(
                offset(&event(Some("own"), body)),
                Some("own"),
                "a kept message has its own: {body:?}"
            );
        }
    }
}
