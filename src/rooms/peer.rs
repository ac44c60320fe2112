//! One connection of one person in one room, as a face holds it.
//!
//! Owns the way into a room's mailbox, and leaving: dropping a [`Peer`] leaves, even when the mailbox is full. Does not
//! know what the room does with what it gets.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep;

use super::{OpenError, Outbox, Refusal};
use crate::auth::Grant;
use crate::config::limits::{
    EDIT_PART_PAUSE, EDIT_PARTS_FREE, ROOM_WORK_INLINE_MAX_BYTES, STATE_VECTOR_MAX_BYTES, UPDATE_MAX_BYTES,
};
use crate::id::PeerId;
use crate::lock::held;
use crate::wire::awareness;
use crate::wire::gate::{self, GateError, Structure};

/// The room behind a [`Peer`] is gone; its outbox has said why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the room is closed")]
pub struct RoomClosed;

/// What a room is told.
pub(super) enum Command {
    Open {
        grant: Grant,
        outbox: Outbox,
        schema: Option<u32>,
        reply: oneshot::Sender<Result<Peer, OpenError>>,
    },
    /// An edit, and what the gate read in it.
    Edit {
        peer: PeerId,
        update: Bytes,
        read: Result<Box<Structure>, GateError>,
        whole: bool,
    },
    /// The peer is here with another grant from now on; answered by whether it may write.
    Regrant {
        peer: PeerId,
        grant: Grant,
        reply: oneshot::Sender<bool>,
    },
    /// What is left of an edit after what was known is cut off.
    Rest {
        peer: PeerId,
        rest: Result<(Bytes, Box<Structure>), Refusal>,
        /// So many edits that came before it are in it too.
        owed: u32,
    },
    Owe {
        peer: PeerId,
        edits: u32,
    },
    Ask {
        peer: PeerId,
    },
    /// A question, and the state vector that was read in it.
    Sync {
        peer: PeerId,
        have: Result<Bytes, GateError>,
    },
    /// What was read in a presence message, if it is one.
    Presence {
        peer: PeerId,
        entries: Option<Vec<awareness::Entry>>,
    },
    Who {
        peer: PeerId,
    },
    /// Answered by whether an answer with an update comes.
    Resync {
        peer: PeerId,
        reply: oneshot::Sender<bool>,
    },
    Tell {
        peer: PeerId,
        text: Bytes,
    },
    #[cfg(test)]
    Panic,
}

/// Who wants out: at most everybody who is in. Leaving never waits.
#[derive(Default)]
pub(super) struct Leaving {
    peers: Mutex<Vec<PeerId>>,
    wake: Notify,
}

impl Leaving {
    fn push(&self, peer: PeerId) {
        held(&self.peers).push(peer);
        self.wake.notify_one();
    }

    /// Takes all who left so far.
    pub(super) fn take(&self) -> Vec<PeerId> {
        std::mem::take(&mut held(&self.peers))
    }

    /// Waits until somebody may have left.
    pub(super) async fn wait(&self) {
        self.wake.notified().await;
    }
}

/// One connection of one person in one room. Dropping it leaves the room.
pub struct Peer {
    id: PeerId,
    mailbox: mpsc::Sender<Command>,
    leaving: Arc<Leaving>,
    outbox: Outbox,
    writes: bool,
}

impl Peer {
    pub(super) fn new(
        id: PeerId,
        mailbox: mpsc::Sender<Command>,
        leaving: Arc<Leaving>,
        outbox: Outbox,
        writes: bool,
    ) -> Self {
        Self { id, mailbox, leaving, outbox, writes }
    }

    /// Whether it could write when it came in: its grant allows it, and its client knows what is in the document.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.writes
    }

    /// This peer's id, as its events are marked.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// From now on the peer is here with this grant, be it another person's: it goes on hearing, and what it waits for
    /// comes.
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn regrant(&mut self, grant: Grant) -> Result<(), RoomClosed> {
        let (reply, writes) = oneshot::channel();
        self.send(Command::Regrant { peer: self.id, grant, reply }).await?;
        self.writes = writes.await.map_err(|_| RoomClosed)?;
        Ok(())
    }

    /// Hands in one edit; waits while the room's mailbox is full. Answered by exactly one counted
    /// [`Event::Saved`](super::Event::Saved) or [`Event::Refused`](super::Event::Refused), or, when something before
    /// it is missing, by an [`Event::Synced`](super::Event::Synced) without update: "tell me what you have".
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn edit(&self, update: Bytes) -> Result<(), RoomClosed> {
        self.hand_in(update, false).await
    }

    /// Hands in the answer to the room's own question (an [`Event::Synced`](super::Event::Synced)): everything that the
    /// room lacks. Counted as an edit; once it is saved, edits count as saved too that came before something missing
    /// or were turned away, since it holds them.
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn answer(&self, update: Bytes) -> Result<(), RoomClosed> {
        self.hand_in(update, true).await
    }

    /// So many edits of the client never came this far: they count as saved with the next [`Peer::answer`].
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn owe(&self, edits: u32) -> Result<(), RoomClosed> {
        self.send(Command::Owe { peer: self.id, edits }).await
    }

    /// Asks to be asked: answered by an [`Event::Synced`](super::Event::Synced) without update.
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn ask(&self) -> Result<(), RoomClosed> {
        self.send(Command::Ask { peer: self.id }).await
    }

    /// Asks for what is missing beyond `have`, a state vector; answered by [`Event::Synced`](super::Event::Synced).
    /// Edits of others are heard from the first answer on. `false`: it is no state vector, and no answer comes.
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn sync(&self, have: Bytes) -> Result<bool, RoomClosed> {
        let read = read(&have, check_vector).await;
        let comes = read.is_ok();
        self.send(Command::Sync { peer: self.id, have: read.map(|()| have) }).await?;
        Ok(comes)
    }

    /// Hands in a presence message: the payload of a y-protocols awareness message.
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn presence(&self, update: Bytes) -> Result<(), RoomClosed> {
        self.send(Command::Presence { peer: self.id, entries: awareness::decode(&update).ok() }).await
    }

    /// Asks for everybody's presence; answered by [`Event::Present`](super::Event::Present) when anybody has one.
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn who(&self) -> Result<(), RoomClosed> {
        self.send(Command::Who { peer: self.id }).await
    }

    /// The reader drained after [`Event::Lagged`](super::Event::Lagged): asks for what it missed. `true`: an answer
    /// with an update comes.
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn resync(&self) -> Result<bool, RoomClosed> {
        let (reply, comes) = oneshot::channel();
        self.send(Command::Resync { peer: self.id, reply }).await?;
        comes.await.map_err(|_| RoomClosed)
    }

    /// Sends text to every peer of this room as [`Event::Told`](super::Event::Told) (Hocuspocus' stateless message),
    /// the sender included.
    ///
    /// # Errors
    /// When the room is gone.
    pub async fn tell(&self, text: Bytes) -> Result<(), RoomClosed> {
        self.send(Command::Tell { peer: self.id, text }).await
    }

    /// Makes the room fail, as a fault in an engine would.
    #[cfg(test)]
    pub(super) async fn panic(&self) {
        let _ = self.send(Command::Panic).await;
    }

    async fn hand_in(&self, update: Bytes, whole: bool) -> Result<(), RoomClosed> {
        let read = read(&update, check).await;
        let parts = read.as_ref().map_or(0, |structure| structure.parts());
        self.send(Command::Edit { peer: self.id, update, read, whole }).await?;
        if parts > EDIT_PARTS_FREE {
            sleep(EDIT_PART_PAUSE * u32::try_from(parts).unwrap_or(u32::MAX)).await;
        }
        Ok(())
    }

    async fn send(&self, command: Command) -> Result<(), RoomClosed> {
        self.mailbox.send(command).await.map_err(|_| RoomClosed)
    }
}

/// Reads what a client sent where it waits, so that what is large or hostile takes nobody else's time.
async fn read<T: Send + 'static>(
    bytes: &Bytes,
    how: fn(&[u8]) -> Result<T, GateError>,
) -> Result<T, GateError> {
    if bytes.len() <= ROOM_WORK_INLINE_MAX_BYTES {
        return how(bytes);
    }
    let bytes = bytes.clone();
    let reading = tokio::task::spawn_blocking(move || how(&bytes));
    reading.await.unwrap_or(Err(GateError::Circle))
}

fn check_vector(have: &[u8]) -> Result<(), GateError> {
    if have.len() > STATE_VECTOR_MAX_BYTES {
        return Err(GateError::Count);
    }
    gate::state_vector(have).map(drop)
}

fn check(update: &[u8]) -> Result<Box<Structure>, GateError> {
    if update.len() > UPDATE_MAX_BYTES {
        return Err(GateError::Count);
    }
    gate::check(update).map(Box::new)
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.outbox.forget(self.id);
        self.leaving.push(self.id);
    }
}
