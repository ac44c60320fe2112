//! THE CORE: one task owns one shared document; everybody else holds a handle and sends.
//!
//! Owns rooms, peers, presence and outboxes. Does not know sockets, dialects, HTTP or JSON.

mod alarm;
mod attendance;
mod breath;
mod content;
mod document;
pub mod event;
mod lent;
mod load;
pub mod merge;
mod outbox;
mod peer;
mod presence;
mod registry;
mod saving;
mod schema;
mod snapshot;
pub mod space;
mod work;

pub use event::{Edited, Event, Frames, Gone, Present, Refusal};
pub use outbox::{Mouth, Outbox};
pub use peer::{Peer, RoomClosed};
pub use registry::{Documents, Rooms};

pub use crate::store::StoreState;

use thiserror::Error;

use crate::id::DocName;

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
    /// The person has so many peers in this room that the places left are others'.
    #[error("too many connections of one person")]
    Crowded,
    /// The stored bytes could not be read.
    #[error("the document could not be read")]
    Unreadable,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

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
