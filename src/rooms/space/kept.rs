//! A kept message: whom it is for and what it says.
//!
//! Owns what it costs. Does not know where it is kept.

use std::sync::Arc;

use bytes::Bytes;

use super::event::{Room, SpaceEvent};
use super::offset::offset;
use crate::rooms::Frames;

/// Whom a message leaves out, in a form that outlives connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spared {
    /// Whoever has this public id.
    Sid(Arc<str>),
    /// Everybody in this room.
    Room(Room),
}

/// Whether a message leaves somebody out.
pub(super) fn spares(except: &[Spared], sid: &str, is_in: impl Fn(&Room) -> bool) -> bool {
    except.iter().any(|spared| match spared {
        Spared::Sid(theirs) => **theirs == *sid,
        Spared::Room(room) => is_in(room),
    })
}

/// A kept message.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) seq: u64,
    pub(super) at_ms: u64,
    pub(super) to: Vec<Room>,
    pub(super) except: Vec<Spared>,
    pub(super) id: Option<Arc<str>>,
    pub(super) name: Arc<str>,
    pub(super) body: Bytes,
    pub(super) attachments: Vec<Bytes>,
}

impl Kept {
    /// Bytes it holds, with its places in the index.
    pub(super) fn cost(&self) -> usize {
        let bytes = self.body.len() + self.attachments.iter().map(Bytes::len).sum::<usize>();
        self.index_cost() + 64 * self.attachments.len() + bytes + self.name.len()
    }

    /// What of it stays in memory as long as it is on disk.
    pub(super) fn index_cost(&self) -> usize {
        let parts = 64 * self.except.len() + 32 * self.to.len();
        256 + parts + self.id.as_ref().map_or(0, |id| id.len())
    }

    /// As members hear it.
    pub(super) fn event(&self, space: &str) -> Arc<SpaceEvent> {
        event(space, self.seq, &self.name, &self.body, &self.attachments)
    }
}

/// A kept message as members hear it.
pub(super) fn event(
    space: &str,
    seq: u64,
    name: &Arc<str>,
    body: &Bytes,
    attachments: &[Bytes],
) -> Arc<SpaceEvent> {
    Arc::new(SpaceEvent {
        seq: Some(seq),
        offset: Some(offset(space, seq)),
        after: None,
        name: name.clone(),
        body: body.clone(),
        attachments: attachments.to_vec(),
        frames: Frames::default(),
    })
}
