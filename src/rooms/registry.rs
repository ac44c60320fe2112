//! Finds or starts rooms.
//!
//! Owns the list of open rooms and the promise that a document has one room at most. Does not know what happens in
//! them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attendance::People;
use super::document;
use super::lent::Lent;
use super::peer::Command;
use super::{Here, OpenError, Outbox, Peer};
use crate::auth::{Grant, Role};
use crate::config::Realtime;
use crate::config::limits::{
    ROOM_GRACE_CROWDED, ROOM_MAILBOX, ROOM_OPEN_TRIES, ROOMS_CONTENT_MAX_BYTES, ROOMS_STOP_DEADLINE,
};
use crate::id::{DocKind, DocName, PeerId};
use crate::lock::held;
use crate::store::Store;
use crate::telemetry::Metrics;

/// Finds or starts rooms; cheap to clone.
#[derive(Clone)]
pub struct Rooms(Arc<House>);

/// Which documents besides records there may be.
#[derive(Debug, Clone, Copy)]
pub struct Documents {
    /// Free ones, by editors.
    pub free: bool,
    /// Loomio's only for whom Loomio let in, one document at a time.
    pub loomio_decides: bool,
}

/// What all rooms share.
pub(super) struct House {
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    pub(super) people: People,
    pub(super) stop: CancellationToken,
    /// What the configuration says about rooms and snapshots.
    pub(super) realtime: Realtime,
    documents: Documents,
    rooms: Mutex<HashMap<DocName, mpsc::Sender<Command>>>,
    tasks: TaskTracker,
    /// Bytes of content in all rooms.
    held: AtomicUsize,
    /// Answers to single askers that are on their way.
    pub(super) lent: Lent,
    next_peer: AtomicU64,
}

impl Rooms {
    /// Makes an empty house. `documents_free`: whether documents other than records may be made.
    #[must_use]
    pub fn new(store: Store, metrics: Metrics, documents_free: bool) -> Self {
        let documents = Documents { free: documents_free, loomio_decides: false };
        Self::with(store, metrics, documents, Realtime::default())
    }

    /// The same with the configuration's numbers.
    #[must_use]
    pub fn with(store: Store, metrics: Metrics, documents: Documents, realtime: Realtime) -> Self {
        Self(Arc::new(House {
            store,
            metrics,
            people: People::default(),
            stop: CancellationToken::new(),
            realtime,
            documents,
            rooms: Mutex::default(),
            tasks: TaskTracker::new(),
            held: AtomicUsize::new(0),
            lent: Lent::default(),
            next_peer: AtomicU64::new(1),
        }))
    }

    /// Brings a person into a document. What happens there arrives in `outbox`, marked with the returned peer's id.
    /// Returns once the document is loaded.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(&self, doc: &DocName, grant: &Grant, outbox: &Outbox) -> Result<Peer, OpenError> {
        self.open_knowing(doc, grant, outbox, None).await
    }

    /// The same for a client that says which version of the record schema it knows. Who says none, or an older one,
    /// may write in a record's text only as long as every editor knows the names in it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_knowing(
        &self,
        doc: &DocName,
        grant: &Grant,
        outbox: &Outbox,
        schema: Option<u32>,
    ) -> Result<Peer, OpenError> {
        if !self.may_open(doc, grant) {
            return Err(OpenError::Forbidden);
        }
        for _ in 0..ROOM_OPEN_TRIES {
            let mailbox = self.0.room(doc)?;
            let (reply, answer) = oneshot::channel();
            let command = Command::Open { grant: grant.clone(), outbox: outbox.clone(), schema, reply };
            if mailbox.send(command).await.is_ok()
                && let Ok(opened) = answer.await
            {
                return opened;
            }
            // The room was ending: it is off the list by now, or will be when it has ended.
            self.0.forget(doc, &mailbox);
        }
        Err(OpenError::Unreadable)
    }

    /// Whether a grant opens a document, be it there or not.
    #[must_use]
    pub fn may_open(&self, doc: &DocName, grant: &Grant) -> bool {
        let free = self.0.documents.free && grant.role() >= Role::Editor;
        let allowed = match doc.kind() {
            DocKind::Record(_) => true,
            DocKind::Loomio(_) => grant.is_bound() || (free && !self.0.documents.loomio_decides),
            DocKind::Free => free,
        };
        allowed && grant.may_read() && grant.covers(doc)
    }

    /// Who is in which document now: each person once for each document.
    #[must_use]
    pub fn here(&self) -> Vec<Here> {
        self.0.people.list()
    }

    /// How many rooms are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Says goodbye to every peer, saves last snapshots, and ends all rooms, within a bounded time.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if timeout(ROOMS_STOP_DEADLINE, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(rooms = self.0.tasks.len(), "some rooms did not end in time");
        }
    }
}

impl House {
    /// Whether the rooms hold as much as they may together.
    pub(super) fn is_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) > ROOMS_CONTENT_MAX_BYTES
    }

    /// How long a room that nobody is in stays: shorter when there are many.
    pub(super) fn grace(&self) -> Duration {
        let crowded = self.lock().len() > self.realtime.max_rooms / 2;
        if crowded { ROOM_GRACE_CROWDED.min(self.realtime.room_grace) } else { self.realtime.room_grace }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DocName, mpsc::Sender<Command>>> {
        held(&self.rooms)
    }

    /// The room of a document. A new one loads by itself; meanwhile commands wait in its mailbox.
    fn room(self: &Arc<Self>, doc: &DocName) -> Result<mpsc::Sender<Command>, OpenError> {
        let mut rooms = self.lock();
        if self.stop.is_cancelled() {
            return Err(OpenError::Stopping);
        }
        if let Some(mailbox) = rooms.get(doc).filter(|mailbox| !mailbox.is_closed()) {
            return Ok(mailbox.clone());
        }
        if rooms.len() >= self.realtime.max_rooms || self.is_full() {
            return Err(OpenError::Full);
        }
        let (mailbox, commands) = mpsc::channel(ROOM_MAILBOX);
        rooms.insert(doc.clone(), mailbox.clone());
        drop(rooms); // a runtime that is shutting down drops the task, and its listing, right here
        let listing = Listing { house: self.clone(), doc: doc.clone(), mailbox: mailbox.clone(), held: 0 };
        self.metrics.rooms.inc();
        self.tasks.spawn(document::run(listing, commands));
        Ok(mailbox)
    }

    /// Takes a room off the list, unless another has taken its place.
    fn forget(&self, doc: &DocName, mailbox: &mpsc::Sender<Command>) {
        let mut rooms = self.lock();
        if rooms.get(doc).is_some_and(|listed| listed.same_channel(mailbox)) {
            rooms.remove(doc);
        }
    }
}

/// A room's place on the list; dropping it, however the room ends, makes way for the next one.
pub(super) struct Listing {
    pub(super) house: Arc<House>,
    pub(super) doc: DocName,
    pub(super) mailbox: mpsc::Sender<Command>,
    held: usize,
}

impl Listing {
    /// Says how many bytes of content the room holds now.
    pub(super) fn holds(&mut self, bytes: usize) {
        self.house.held.fetch_add(bytes.wrapping_sub(self.held), Ordering::Relaxed); // wraps both ways
        self.held = bytes;
    }

    /// An id for a new peer.
    pub(super) fn next_peer(&self) -> PeerId {
        PeerId(self.house.next_peer.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.holds(0);
        self.house.forget(&self.doc, &self.mailbox);
        self.house.metrics.rooms.dec();
        if std::thread::panicking() {
            self.house.metrics.refuse("room_fault");
            tracing::error!(doc = %self.doc, "a room failed; it starts again from disk");
        }
    }
}
