//! The words of a space: rooms, messages, and what a member hears.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::config::limits::SPACE_ROOM_NAME_MAX_BYTES;
use crate::rooms::Frames;

/// A member of a space: one connection of one person. Unique in this process, over all spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub(super) u64);

/// The name of a room: 1 to 255 bytes of text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Room(Arc<str>);

/// A room's name is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a room's name has 1 to {SPACE_ROOM_NAME_MAX_BYTES} bytes")]
pub struct RoomNameError;

impl Room {
    /// Takes a name.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn new(name: &str) -> Result<Self, RoomNameError> {
        let fits = (1..=SPACE_ROOM_NAME_MAX_BYTES).contains(&name.len());
        if fits { Ok(Self(name.into())) } else { Err(RoomNameError) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Room {
    type Error = RoomNameError;
    fn try_from(name: &str) -> Result<Self, RoomNameError> {
        Self::new(name)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a message leaves out although it is in a target room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Except {
    /// This member: usually the one who said it.
    Member(MemberId),
    /// Everybody in this room.
    Room(Room),
}

/// A message to say.
#[derive(Debug, Clone)]
pub struct Say {
    /// The rooms it is for; each member hears it once. Empty: everybody.
    pub to: Vec<Room>,
    /// Who of them does not hear it.
    pub except: Vec<Except>,
    /// The event's name.
    pub name: Arc<str>,
    /// What follows the name, in the dialect's form; never opened.
    pub body: Bytes,
    /// Binary parts that the body refers to.
    pub attachments: Vec<Bytes>,
    /// Kept: gets a number, survives the program before anybody hears it, and is repeated for who was away.
    /// Otherwise it passes.
    pub keep: bool,
    /// The publisher's key: said again with the same one within the window, it is answered and not said again.
    pub id: Option<String>,
}

/// What came of saying something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Its number, when it is kept.
    pub seq: Option<u64>,
    /// How many members heard it now.
    pub reached: usize,
    /// It had been said before with the same key, and was not said again.
    pub repeated: bool,
}

/// A message as members hear it; shared by all of them.
#[derive(Debug)]
pub struct SpaceEvent {
    /// Its number, when it is kept.
    pub seq: Option<u64>,
    /// What a client sends back to hear what came after it; only a kept message has one. Opaque.
    pub offset: Option<Arc<str>>,
    /// For a message that passes: the offset of the last kept one before it. A client that takes the last text
    /// of any event for an offset is safe when this is appended.
    pub after: Option<Arc<str>>,
    /// The event's name.
    pub name: Arc<str>,
    /// What follows the name, as the publisher wrote it.
    pub body: Bytes,
    /// Binary parts.
    pub attachments: Vec<Bytes>,
    /// Framed forms.
    pub frames: Frames,
}

impl SpaceEvent {
    /// Bytes of the message itself.
    #[must_use]
    pub fn len(&self) -> usize {
        self.name.len() + self.body.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether it says nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
