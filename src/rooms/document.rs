//! A document's room: one task that owns one shared document.
//!
//! Owns its peers and the order of what happens. It takes everything that is ready, changes state without awaiting,
//! and then hands out, once for each batch (`handout`). Does not know dialects, nor what the document says.

mod edits;
mod farewell;
mod handout;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::alarm::Alarm;
use super::attendance::{Attendee, Hearing};
use super::breath::Breath;
use super::content::Content;
use super::load::{Start, load};
use super::outbox::Said;
use super::peer::{Command, Leaving};
use super::presence::{Heard, Presence, present};
use super::registry::Listing;
use super::saving::Saving;
use super::snapshot::Snapshots;
use super::work::{Asks, Bench};
use super::{OpenError, Outbox, Peer, merge, schema};
use crate::auth::Grant;
use crate::config::limits::{
    ROOM_MAILBOX, ROOM_PEERS_MAX, ROOM_PEERS_PER_PERSON_MAX, ROOM_TOLD_MAX_BYTES, ROOM_WORK_INLINE_MAX_BYTES,
    STATE_VECTOR_FREE_BYTES,
};
use crate::id::PeerId;
use crate::store::StoreState;
use crate::wire::awareness;
use crate::wire::gate::GateError;

/// Loads the document, then lives until nobody needs it.
pub(super) async fn run(listing: Listing, mut commands: mpsc::Receiver<Command>) {
    let (store, doc) = (listing.house.store.clone(), listing.doc.clone());
    let loaded = tokio::task::spawn_blocking(move || load(&store, &doc)).await;
    match loaded.unwrap_or(Err(OpenError::Unreadable)) {
        Ok(start) => Room::new(listing, start).live(commands).await,
        Err(error) => {
            drop(listing); // who comes from now on tries afresh
            commands.close();
            while let Some(command) = commands.recv().await {
                if let Command::Open { reply, .. } = command {
                    let _ = reply.send(Err(error));
                }
            }
        }
    }
}

struct Room {
    listing: Listing,
    leaving: Arc<Leaving>,
    peers: BTreeMap<PeerId, Attendee>,
    content: Content,
    saving: Saving,
    snapshots: Snapshots,
    presence: Presence,
    bench: Bench,
    disk: watch::Receiver<StoreState>,
    /// What the peers know of it.
    stored: StoreState,
    /// Whether it is a record's text with names that not every editor knows.
    beyond_base: bool,
    /// Whether an edit of anybody was refused because too much waited to be saved.
    turned_away: bool,
    /// Rings when nobody has been here for long enough.
    grace: Alarm,
    breath: Breath,
    /// What came and was not handed out yet.
    fresh: Vec<Said>,
    told: Vec<Bytes>,
    /// Who asks for what is missing beyond a state vector, or for everything.
    asks: Asks,
}

impl Room {
    fn new(listing: Listing, start: Start) -> Self {
        let (store, doc) = (listing.house.store.clone(), listing.doc.clone());
        let (metrics, realtime) = (listing.house.metrics.clone(), &listing.house.realtime);
        let snapshots = Snapshots::new(doc.clone(), metrics, realtime, start.rows, start.complete);
        let mut disk = store.state();
        let stored = *disk.borrow_and_update();
        let mut room = Self {
            disk,
            stored,
            leaving: Arc::default(),
            peers: BTreeMap::new(),
            content: start.content,
            saving: Saving::new(doc, store, start.last),
            snapshots,
            presence: Presence::default(),
            bench: Bench::default(),
            beyond_base: start.beyond_base,
            turned_away: false,
            grace: Alarm::default(),
            breath: Breath::default(),
            fresh: Vec::new(),
            told: Vec::new(),
            asks: Asks::default(),
            listing,
        };
        room.listing.holds(room.content.bytes());
        room.grace.set(room.listing.house.grace());
        room
    }

    async fn live(mut self, mut commands: mpsc::Receiver<Command>) {
        let stop = self.listing.house.stop.clone();
        let mut watched = true;
        loop {
            let mut first = None;
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.farewell(commands).await,
                landed = self.saving.next() => self.landed(landed),
                worked = self.bench.done() => self.worked(worked),
                landed = self.snapshots.next() => if let Some(landed) = landed {
                    self.snapshots.settle(landed);
                },
                changed = self.disk.changed(), if watched => {
                    watched = changed.is_ok();
                    let state = *self.disk.borrow_and_update();
                    self.store_is(state);
                }
                () = self.leaving.wait() => {}
                () = self.breath.drawn() => {}
                command = commands.recv() => first = command,
                () = self.grace.ring() => {
                    if self.is_idle() && commands.is_empty() {
                        commands.close(); // who is just coming tries again and finds the next room
                        return;
                    }
                    self.grace.set(self.listing.house.grace());
                }
            }
            self.batch(first, &mut commands);
        }
    }

    /// Takes everything that is ready. Who left is let go last: what they sent before they left still counts.
    fn batch(&mut self, first: Option<Command>, commands: &mut mpsc::Receiver<Command>) {
        let left = self.leaving.take();
        let mut next = first.or_else(|| commands.try_recv().ok());
        let mut taken = 0;
        while let Some(command) = next {
            self.handle(command);
            taken += 1;
            next = if taken > ROOM_MAILBOX { None } else { commands.try_recv().ok() };
        }
        for peer in left {
            self.leave(peer);
        }
        self.hand_out();
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Open { grant, outbox, schema, reply } => self.open(grant, outbox, schema, reply),
            Command::Regrant { peer, grant, reply } => self.regrant(peer, grant, reply),
            Command::Edit { peer, update, read, whole } => self.edit(peer, update, read, whole),
            Command::Owe { peer, edits } => self.owe(peer, edits),
            Command::Ask { peer } => self.ask(peer),
            Command::Sync { peer, have } => self.sync(peer, have),
            Command::Presence { peer, entries } => self.hear(peer, entries),
            Command::Who { peer } => self.who(peer),
            Command::Resync { peer, reply } => _ = reply.send(self.resync(peer)), // whoever is gone needs none
            Command::Tell { peer, text } => self.tell(peer, text),
            Command::Rest { peer, rest, owed } => self.rest(peer, rest, owed),
            #[cfg(test)]
            Command::Panic => panic!("as asked"),
        }
    }

    fn open(
        &mut self,
        grant: Grant,
        outbox: Outbox,
        schema: Option<u32>,
        reply: oneshot::Sender<Result<Peer, OpenError>>,
    ) {
        let refused = if self.listing.house.stop.is_cancelled() {
            Some(OpenError::Stopping)
        } else if !grant.holds() {
            Some(OpenError::Forbidden)
        } else if self.peers.len() >= ROOM_PEERS_MAX {
            Some(OpenError::Full)
        } else if self.is_crowded_by(grant.person()) {
            Some(OpenError::Crowded)
        } else {
            None
        };
        if let Some(error) = refused {
            let _ = reply.send(Err(error));
            return;
        }
        let id = self.listing.next_peer();
        let house = &self.listing.house;
        let (mailbox, leaving) = (self.listing.mailbox.clone(), self.leaving.clone());
        let mut attendee =
            Attendee::new(id, &self.listing.doc, grant, outbox.clone(), &house.people, &house.metrics);
        attendee.knows_all = schema::knows_all(schema);
        let peer = Peer::new(id, mailbox, leaving, outbox, attendee.may_write(self.beyond_base));
        if self.stored != StoreState::Writable {
            attendee.outbox.stored(id, self.stored);
        }
        tracing::info!(doc = %self.listing.doc, peer = id.0, person = attendee.grant.person(), "joined");
        self.peers.insert(id, attendee);
        self.grace.clear();
        let _ = reply.send(Ok(peer)); // nobody waits any more: the peer drops, and so leaves
    }

    /// Whether what is left of the room's places is for others than this person.
    fn is_crowded_by(&self, person: &str) -> bool {
        let theirs = || self.peers.values().filter(|peer| peer.grant.person() == person).count();
        self.peers.len() >= ROOM_PEERS_MAX / 2 && theirs() >= ROOM_PEERS_PER_PERSON_MAX
    }

    fn regrant(&mut self, id: PeerId, grant: Grant, reply: oneshot::Sender<bool>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        tracing::info!(doc = %self.listing.doc, peer = id.0, person = grant.person(), "logged in anew");
        peer.regrant(&self.listing.doc, grant);
        let _ = reply.send(peer.may_write(self.beyond_base)); // nobody waits any more: the peer drops, and so leaves
    }

    fn leave(&mut self, id: PeerId) {
        let Some(attendee) = self.peers.remove(&id) else { return };
        tracing::info!(doc = %self.listing.doc, peer = id.0, person = attendee.grant.person(), "left");
        attendee.dismiss(None);
        self.presence.leave(id);
        self.asks.remove(id);
        if self.peers.is_empty() {
            self.snapshots.want();
            self.grace.set(self.listing.house.grace());
        }
    }

    fn sync(&mut self, id: PeerId, have: Result<Bytes, GateError>) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.grant.holds()) else { return };
        let Ok(have) = have else { return self.listing.house.metrics.refuse("state_vector") };
        peer.asked = false;
        if peer.hearing == Hearing::Nothing {
            peer.hearing = Hearing::Soon;
        }
        // Who names far more writers than there are gets everything: that is made for all together.
        let is_likely = have.len() <= self.content.have_at_most() + STATE_VECTOR_FREE_BYTES;
        self.asks.put(id, is_likely.then_some(have));
    }

    /// Brings a reader up to date; whether that takes an answer with an update.
    fn resync(&mut self, id: PeerId) -> bool {
        self.speak(); // what is missed ends with it
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.grant.holds()) else { return false };
        let Some(missed) = peer.outbox.catch_up(id) else { return false };
        self.listing.house.metrics.resyncs.inc();
        let lacks_edits = missed <= self.content.last() && peer.hearing == Hearing::Edits;
        if lacks_edits {
            match self.content.since(missed).and_then(joined) {
                Some(update) => peer.outbox.synced(id, Some(update), self.content.have()),
                None => {
                    peer.hearing = Hearing::Soon;
                    self.asks.put(id, None);
                }
            }
        }
        self.who(id);
        lacks_edits
    }

    fn who(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.grant.holds()) else { return };
        if let Some(all) = self.presence.everyone() {
            peer.outbox.everyone(id, all);
        }
    }

    fn hear(&mut self, id: PeerId, entries: Option<Vec<awareness::Entry>>) {
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.grant.holds()) else { return };
        let metrics = &self.listing.house.metrics;
        let Some(entries) = entries else { return metrics.refuse("presence") };
        for entry in entries {
            match self.presence.hear(id, peer.grant.person(), &entry) {
                Heard::Taken | Heard::Passed => {}
                Heard::Refused => metrics.refuse("presence"),
                Heard::Behind(clock) => {
                    let gone = awareness::Entry { client: entry.client, clock, state: None };
                    peer.outbox.present(id, present(&[gone]));
                }
            }
        }
    }

    fn tell(&mut self, id: PeerId, text: Bytes) {
        if self.peers.get(&id).is_none_or(|peer| !peer.grant.holds()) || text.len() > ROOM_TOLD_MAX_BYTES {
            return self.listing.house.metrics.refuse("told");
        }
        self.told.push(text);
    }

    /// Whether the room could end without anybody missing it.
    fn is_idle(&self) -> bool {
        self.peers.is_empty() && self.saving.is_done() && !self.bench.is_busy() && !self.snapshots.is_busy()
    }
}

/// Edits as one update, when that is quickly done.
fn joined<'a>(edits: impl Iterator<Item = &'a Said>) -> Option<Bytes> {
    let parts: Vec<Bytes> = edits.map(|said| said.edit.update.clone()).collect();
    if parts.iter().map(Bytes::len).sum::<usize>() > ROOM_WORK_INLINE_MAX_BYTES {
        return None;
    }
    merge::merge(&parts).inspect_err(|error| tracing::error!(%error, "edits could not be merged")).ok()
}
