//! THE CORE: one task owns one shared document; everybody else holds a handle and sends.
//!
//! Owns rooms, peers, presence and outboxes. Does not know sockets, dialects, HTTP or JSON.

pub mod event;
pub mod merge;

pub use event::{Edited, Event, Frames, Gone, Present, Refusal};

use bytes::Bytes;
use thiserror::Error;

use crate::auth::Grant;
use crate::clock::Clock;
use crate::id::{DocName, PeerId};
use crate::store::Store;
use crate::telemetry::Metrics;

/// Why a document could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// There is no such record.
    #[error("there is no such document")]
    NotFound,
    /// The grant does not allow it.
    #[error("not allowed")]
    Forbidden,
    /// Too many rooms, or too many peers in this one.
    #[error("the office is full")]
    Full,
    /// The stored bytes could not be read.
    #[error("the document could not be read")]
    Unreadable,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// The room behind a [`Peer`] is gone; its outbox has said why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the room is closed")]
pub struct RoomClosed;

/// Somebody who is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// The person's id.
    pub person: String,
    /// The person's name.
    pub name: String,
    /// The document the person is in.
    pub doc: DocName,
}

/// Finds or starts rooms; cheap to clone.
#[derive(Clone)]
pub struct Rooms {}

impl Rooms {
    /// Makes an empty house. `documents_free`: whether documents other than records may be made.
    #[must_use]
    pub fn new(_store: Store, _clock: Clock, _metrics: Metrics, _documents_free: bool) -> Self {
        Self {}
    }

    /// Brings a person into a document. What happens there arrives in `outbox`, marked with the returned peer's id.
    /// Returns once the document is loaded.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(&self, _doc: &DocName, _grant: &Grant, _outbox: &Outbox) -> Result<Peer, OpenError> {
        Err(OpenError::Stopping)
    }

    /// Who is in which document now.
    pub async fn here(&self) -> Vec<Here> {
        Vec::new()
    }

    /// Says goodbye to every peer, saves last snapshots, and ends all rooms.
    pub async fn stop(&self) {}
}

/// One connection of one person in one room. Dropping it leaves the room.
pub struct Peer {}

impl Peer {
    /// This peer's id, as its events are marked.
    #[must_use]
    pub fn id(&self) -> PeerId {
        PeerId(0)
    }

    /// Hands in one edit; waits while the room's mailbox is full. Answered by exactly one counted
    /// [`Event::Saved`] or [`Event::Refused`], or, when something before it is missing, by an
    /// [`Event::Synced`] without update: "tell me what you have".
    pub async fn edit(&self, _update: Bytes) -> Result<(), RoomClosed> {
        Err(RoomClosed)
    }

    /// Asks for what is missing beyond `have`, a state vector; answered by [`Event::Synced`].
    pub async fn sync(&self, _have: Bytes) -> Result<(), RoomClosed> {
        Err(RoomClosed)
    }

    /// Hands in a presence message: the payload of a y-protocols awareness message.
    pub async fn presence(&self, _update: Bytes) -> Result<(), RoomClosed> {
        Err(RoomClosed)
    }

    /// Asks for everybody's presence; answered by [`Event::Present`] when anybody has one.
    pub async fn who(&self) -> Result<(), RoomClosed> {
        Err(RoomClosed)
    }

    /// The reader drained after [`Event::Lagged`]: asks for what it missed.
    pub async fn resync(&self) -> Result<(), RoomClosed> {
        Err(RoomClosed)
    }

    /// Sends text to every peer of this room as [`Event::Told`] (Hocuspocus' stateless message), the sender included.
    pub async fn tell(&self, _text: Bytes) -> Result<(), RoomClosed> {
        Err(RoomClosed)
    }
}

/// The bounded queue to one socket, shared by all its peers; cheap to clone.
#[derive(Clone, Default)]
pub struct Outbox {}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(_metrics: &Metrics) -> Self {
        Self {}
    }

    /// Waits until something is there, then takes all of it, in order.
    pub async fn take(&self) -> Vec<(PeerId, Event)> {
        std::future::pending().await
    }

    /// How long the reader has been behind its bound, if it is: the socket closes it after `OUTBOX_LAG_MAX`.
    #[must_use]
    pub fn lagging_for(&self) -> Option<std::time::Duration> {
        None
    }
}
