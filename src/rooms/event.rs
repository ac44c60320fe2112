//! What a room says to a peer.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::store::StoreState;

/// What a peer hears.
#[derive(Debug, Clone)]
pub enum Event {
    /// The answer to a sync: what the peer lacks (`None`: the room only asks), and what the room has (a state vector):
    /// the peer answers with what the room lacks.
    Synced {
        /// One update, format v1.
        update: Option<Bytes>,
        /// The room's state vector, encoded.
        have: Bytes,
    },
    /// Somebody else's edit.
    Edited(Arc<Edited>),
    /// Presence changed: the sender hears it too, since clients take it as a sign of life.
    Present(Arc<Present>),
    /// This many more of the peer's edits are on disk.
    Saved {
        /// How many.
        edits: u32,
    },
    /// This many of the peer's edits were refused and changed nothing.
    Refused {
        /// How many.
        edits: u32,
        /// Why.
        why: Refusal,
    },
    /// Text told to everybody in the room.
    Told(Bytes),
    /// Whether edits can be saved changed; also said on opening when they cannot.
    Stored(StoreState),
    /// The reader fell behind and queued edits were dropped: call `Peer::resync` once this is read.
    Lagged,
    /// The peer is out of the room.
    Gone(Gone),
}

/// An edit on its way to all peers: every dialect frames it once and shares the frame.
#[derive(Debug)]
pub struct Edited {
    /// The update, format v1.
    pub update: Bytes,
    /// Framed forms.
    pub frames: Frames,
}

/// Presence on its way to all peers.
#[derive(Debug)]
pub struct Present {
    /// The payload of a y-protocols awareness message.
    pub update: Bytes,
    /// Framed forms.
    pub frames: Frames,
}

/// The framed forms of one event. The first socket of a dialect makes the frame, the others share it.
#[derive(Debug, Default)]
pub struct Frames([OnceLock<Bytes>; Frames::SLOTS]);

impl Frames {
    /// Distinct framings that can be shared; each face that frames has one slot.
    pub const SLOTS: usize = 4;

    /// The frame of `slot`, made by `frame` at the first call.
    pub fn get(&self, slot: usize, frame: impl FnOnce() -> Bytes) -> Bytes {
        match self.0.get(slot) {
            Some(place) => place.get_or_init(frame).clone(),
            None => frame(),
        }
    }
}

/// Why an edit was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The person may read only, or the grant has ended.
    ReadOnly,
    /// The bytes are not a well-formed update.
    Malformed,
    /// It would make the document too large.
    TooLarge,
    /// The disk is full and too much already waits to be saved.
    NotSaved,
}

impl Refusal {
    /// Every refusal, each at its place.
    pub(super) const ALL: [Self; 4] = [Self::ReadOnly, Self::Malformed, Self::TooLarge, Self::NotSaved];

    /// The place in a table of counts.
    pub(super) fn place(self) -> usize {
        self as usize
    }

    /// The word it is counted by.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::NotSaved => "not_saved",
        }
    }
}

/// Why a peer is out of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The server is stopping; come back soon.
    Stopping,
    /// The room failed and starts again from disk; come back at once.
    Fault,
}
