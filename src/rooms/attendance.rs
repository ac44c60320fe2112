//! Who is in which room, for the whole house.
//!
//! Owns the list of everybody who is in and the promise that nobody leaves it, or loses a room, without being told.
//! Does not know documents' content.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Semaphore;

use super::event::{Gone, Refusal};
use super::{Here, Outbox};
use crate::auth::Grant;
use crate::config::limits::EDITS_OWED_MAX;
use crate::id::{DocName, PeerId};
use crate::lock::held;
use crate::telemetry::Metrics;

/// Everybody who is in, by peer; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct People(Arc<Mutex<BTreeMap<PeerId, Here>>>);

impl People {
    /// Everybody, each person once for each document.
    pub(super) fn list(&self) -> Vec<Here> {
        let mut list: Vec<Here> = self.lock().values().cloned().collect();
        list.sort_by(|a, b| (&a.doc, &a.person).cmp(&(&b.doc, &b.person)));
        list.dedup_by(|a, b| a.doc == b.doc && a.person == b.person);
        list
    }

    fn note(&self, id: PeerId, doc: &DocName, grant: &Grant) {
        let here = Here { person: grant.person().into(), name: grant.name().into(), doc: doc.clone() };
        self.lock().insert(id, here);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Here>> {
        held(&self.0)
    }
}

/// What a peer hears of others' edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Nothing: it has not asked for the document yet.
    Nothing,
    /// Nothing yet: its answer is being made and brings everything.
    Soon,
    /// Every edit.
    Edits,
}

/// A peer in a room. However the room ends, dropping it takes the peer off the list and tells it.
pub(super) struct Attendee {
    pub(super) id: PeerId,
    pub(super) grant: Grant,
    pub(super) outbox: Outbox,
    pub(super) hearing: Hearing,
    /// Its client knows every name that a record's text may have.
    pub(super) knows_all: bool,
    /// It was asked to sync and has not brought anything new since.
    pub(super) asked: bool,
    /// Edits of it that were neither saved nor refused for good: the answer to the room's question brings them.
    pub(super) owed: u32,
    /// An edit of it was refused because too much waited to be saved.
    pub(super) turned_away: bool,
    /// The refusals that are in the log: one line for each kind is enough.
    pub(super) complained: BTreeSet<Refusal>,
    /// The turn to have a large edit cut.
    pub(super) cutting: Arc<Semaphore>,
    farewell: Option<Gone>,
    people: People,
    metrics: Metrics,
}

impl Attendee {
    pub(super) fn new(
        id: PeerId,
        doc: &DocName,
        grant: Grant,
        outbox: Outbox,
        people: &People,
        metrics: &Metrics,
    ) -> Self {
        people.note(id, doc, &grant);
        metrics.peers.inc();
        outbox.admit(id);
        Self {
            id,
            grant,
            outbox,
            hearing: Hearing::Nothing,
            knows_all: false,
            asked: false,
            owed: 0,
            turned_away: false,
            complained: BTreeSet::new(),
            cutting: Arc::new(Semaphore::new(1)),
            farewell: Some(Gone::Fault),
            people: people.clone(),
            metrics: metrics.clone(),
        }
    }

    /// It is here with another grant from now on.
    pub(super) fn regrant(&mut self, doc: &DocName, grant: Grant) {
        self.people.note(self.id, doc, &grant);
        self.grant = grant;
    }

    /// Whether it may write in a document. `beyond_base`: a record's text with names that not every editor knows.
    pub(super) fn may_write(&self, beyond_base: bool) -> bool {
        self.grant.may_write() && (self.knows_all || !beyond_base)
    }

    /// Remembers that the client counts edits which are not acknowledged yet.
    pub(super) fn owe(&mut self, edits: u32) {
        self.owed = self.owed.saturating_add(edits).min(EDITS_OWED_MAX);
    }

    /// Takes the peer out: told `why`, or nothing when it left by itself.
    pub(super) fn dismiss(mut self, why: Option<Gone>) {
        self.farewell = why;
    }
}

impl Drop for Attendee {
    fn drop(&mut self) {
        self.people.lock().remove(&self.id);
        self.metrics.peers.dec();
        if let Some(why) = self.farewell {
            self.outbox.gone(self.id, why);
        }
    }
}
