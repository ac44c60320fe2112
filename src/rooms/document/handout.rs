//! What a batch leads to: one fan-out, one commit, and at most one piece of heavy work under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Room, joined};
use crate::config::limits::{ROOM_FRESH_MAX, ROOM_UNSAVED_MAX_BYTES, SAVE_FAILURES_TOLD};
use crate::id::PeerId;
use crate::rooms::attendance::{Attendee, Hearing};
use crate::rooms::event::{Edited, Frames};
use crate::rooms::outbox::Said;
use crate::rooms::work::{Shot, Work, Worked};
use crate::store::{CommitError, Committed, StoreState};

impl Room {
    /// What came goes to the store, so that the disk works while the room speaks: acknowledgements wait for nobody's
    /// eyes. It goes to the peers too, unless the room has spoken just now.
    pub(super) fn hand_out(&mut self) {
        let settled = self.saving.submit();
        if self.breath.may_speak() || self.fresh.len() + self.told.len() >= ROOM_FRESH_MAX {
            self.speak();
        } else if !self.fresh.is_empty() || !self.told.is_empty() || self.presence.has_news() {
            self.breath.hold();
        }
        self.acknowledge(settled);
        if !self.bench.is_busy() {
            let snapshot = self.snapshots.is_due() && (self.asks.is_empty() || !self.snapshots.put_off());
            self.start_work(snapshot, true);
        }
        if !self.bench.is_busy() && !self.asks.is_empty() {
            self.start_work(false, false); // one round here; further ones must not keep the room from its peers
        }
    }

    /// Says everything that is new: the edits, what was told beside them, then who is where in them.
    pub(super) fn speak(&mut self) {
        let edits = self.fan_out();
        let told = std::mem::take(&mut self.told);
        for text in &told {
            for (id, peer) in &self.peers {
                peer.outbox.told(*id, text.clone());
            }
        }
        let news = self.presence.news();
        if let Some(news) = &news {
            for (id, peer) in &self.peers {
                peer.outbox.present(*id, news.clone());
            }
        }
        if edits || !told.is_empty() || news.is_some() {
            self.breath.spoke(self.peers.len());
        }
    }

    /// Each peer gets the new edits as one update, unless it wrote part of it. False: there are none.
    fn fan_out(&mut self) -> bool {
        let fresh = std::mem::take(&mut self.fresh);
        let Some(first) = fresh.first().map(|said| said.first) else { return false };
        let whole = if fresh.len() > 1 { joined(fresh.iter()) } else { None };
        let whole = whole.map(|update| {
            let edit = Arc::new(Edited { update, frames: Frames::default() });
            Said { first, origin: None, edit }
        });
        let writers: BTreeSet<PeerId> = fresh.iter().filter_map(|said| said.origin).collect();
        let hears = |peer: &Attendee| peer.hearing == Hearing::Edits && peer.grant.holds();
        for (id, peer) in self.peers.iter().filter(|(_, peer)| hears(peer)) {
            match &whole {
                Some(whole) if !writers.contains(id) => peer.outbox.edited(*id, std::iter::once(whole)),
                _ => peer.outbox.edited(*id, fresh.iter()),
            }
        }
        true
    }

    /// Tells each peer how many of its edits are safe.
    fn acknowledge(&self, settled: Vec<(PeerId, u32)>) {
        let mut counts: BTreeMap<PeerId, u32> = BTreeMap::new();
        for (id, edits) in settled {
            let count = counts.entry(id).or_default();
            *count = count.saturating_add(edits);
        }
        for (id, edits) in counts {
            if let Some(peer) = self.peers.get(&id) {
                peer.outbox.saved(id, edits);
            }
        }
    }

    /// A commit is on disk or failed; `None`: it is time to try again.
    pub(super) fn landed(&mut self, landed: Option<Result<Committed, CommitError>>) {
        let Some(landed) = landed else { return };
        let (settled, rows) = self.saving.settle(landed);
        self.snapshots.count(rows);
        self.listing.house.metrics.edits_saved.inc_by(rows as u64);
        self.acknowledge(settled);
        self.call_back();
        let disk = *self.disk.borrow();
        match (self.saving.failures(), disk) {
            (0, state) => self.store_is(state),
            (SAVE_FAILURES_TOLD.., StoreState::Writable) => self.store_is(StoreState::Faulty),
            _ => {}
        }
    }

    /// The store says whether it takes edits; everybody here should know.
    pub(super) fn store_is(&mut self, state: StoreState) {
        if state == self.stored {
            return;
        }
        self.stored = state;
        if state == StoreState::Writable {
            self.saving.unblock();
        }
        for (id, peer) in &self.peers {
            peer.outbox.stored(*id, state);
        }
    }

    /// What was turned away because too much waited may come now.
    fn call_back(&mut self) {
        if !self.turned_away || self.saving.is_full(ROOM_UNSAVED_MAX_BYTES / 2) {
            return;
        }
        self.turned_away = false;
        for (id, peer) in &mut self.peers {
            if std::mem::take(&mut peer.turned_away) {
                peer.outbox.synced(*id, None, self.content.have());
            }
        }
    }

    /// Merges the state when somebody asks for it, when a snapshot is to be made, or when much waits to be merged.
    /// `here`: light work may be done at once.
    pub(super) fn start_work(&mut self, snapshot: bool, here: bool) {
        if self.asks.is_empty() && !snapshot && !self.content.tail_is_long() {
            return;
        }
        if snapshot {
            self.snapshots.begin();
        }
        let work = Work {
            base: self.content.base().0,
            tail: self.content.tail().map(|said| said.edit.update.clone()).collect(),
            upto: self.content.last(),
            asks: self.asks.take(),
            lent: self.listing.house.lent.clone(),
            snapshot: snapshot.then(|| Shot {
                doc: self.listing.doc.clone(),
                store: self.listing.house.store.clone(),
                upto: self.saving.last(),
            }),
        };
        if let Some(worked) = self.bench.start(work, here) {
            self.worked(worked);
        }
    }

    /// Work is done: its state replaces the older one, and who asked is answered and hears every edit from here on.
    pub(super) fn worked(&mut self, worked: Worked) {
        self.speak(); // the answers hold what is new
        if let Some(whole) = &worked.whole {
            self.content.rebase(whole.clone(), worked.upto);
            self.listing.holds(self.content.bytes());
        }
        let base = self.content.base().0;
        let have = self.content.have();
        for (id, update) in worked.answers {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let update = if worked.whole.is_some() { update } else { base.clone() };
            let missed = peer.outbox.catch_up(id);
            peer.outbox.synced(id, Some(update), have.clone());
            if peer.hearing == Hearing::Soon || missed.is_some() {
                peer.hearing = Hearing::Edits;
                peer.outbox.edited(id, self.content.tail());
            }
            if missed.is_some() {
                self.who(id); // presence was left out, too
            }
        }
        if let Some(made) = worked.snapshot {
            self.snapshots.sent(made);
        }
    }
}
