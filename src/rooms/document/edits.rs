//! What a room does with an edit: take it in, repeat that it is known, ask for what is before it, or refuse it.

use bytes::Bytes;

use super::Room;
use crate::config::limits::{ROOM_WORK_INLINE_MAX_BYTES, UPDATE_MAX_BYTES};
use crate::id::{DocKind, PeerId};
use crate::rooms::Refusal;
use crate::rooms::content::{Verdict, cut};
use crate::rooms::peer::Command;
use crate::rooms::schema::is_beyond_base;
use crate::wire::gate::{GateError, Structure};

impl Room {
    pub(super) fn edit(
        &mut self,
        id: PeerId,
        update: Bytes,
        read: Result<Box<Structure>, GateError>,
        whole: bool,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.grant.holds() {
            return self.refuse(id, Refusal::ReadOnly);
        }
        if update.len() > UPDATE_MAX_BYTES {
            return self.refuse(id, Refusal::TooLarge);
        }
        let Ok(structure) = read else { return self.refuse(id, Refusal::Malformed) };
        // The answer to the room's question holds what came before it, and nothing that comes from here on.
        let owed = if whole { std::mem::take(&mut peer.owed) } else { 0 };
        match self.content.judge(update, structure) {
            Verdict::Overlap(update) if peer.may_write(self.beyond_base) => self.edit_rest(id, update, owed),
            verdict => self.enact(id, verdict, owed),
        }
    }

    /// An edit of which a part is known. A large one is cut elsewhere, one at a time for each peer, and comes again. If
    /// its sender leaves meanwhile it was never acknowledged, and comes when the client does.
    fn edit_rest(&mut self, id: PeerId, update: Bytes, owed: u32) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let have = self.content.have();
        if update.len() <= ROOM_WORK_INLINE_MAX_BYTES {
            return self.rest(id, cut(&update, &have), owed);
        }
        let Ok(turn) = peer.cutting.clone().try_acquire_owned() else {
            return self.enact(id, Verdict::Gap, owed);
        };
        // What comes with a gap while this is being cut is asked for again.
        peer.asked = false;
        let mailbox = self.listing.mailbox.clone();
        tokio::spawn(async move {
            let cut = tokio::task::spawn_blocking(move || cut(&update, &have));
            let rest = cut.await.unwrap_or(Err(Refusal::Malformed));
            let _ = mailbox.send(Command::Rest { peer: id, rest, owed }).await;
            drop(turn);
        });
    }

    /// What is left of such an edit.
    pub(super) fn rest(&mut self, id: PeerId, rest: Result<(Bytes, Box<Structure>), Refusal>, owed: u32) {
        let verdict = match rest {
            Ok((rest, structure)) => self.content.judge(rest, structure),
            Err(why) => Verdict::Refused(why),
        };
        self.enact(id, verdict, owed);
    }

    /// Does to an edit what was judged. `owed`: so many that came before it are in it too.
    fn enact(&mut self, id: PeerId, verdict: Verdict, owed: u32) {
        if !self.takes(id, verdict, owed) {
            self.owe(id, owed);
        }
    }

    /// Takes an edit in, if that is what was judged.
    fn takes(&mut self, id: PeerId, verdict: Verdict, owed: u32) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        let update = match verdict {
            Verdict::Refused(why) => {
                self.refuse(id, why);
                return false;
            }
            Verdict::Nothing => None,
            _ if !peer.may_write(self.beyond_base) => {
                self.refuse(id, Refusal::ReadOnly);
                return false;
            }
            Verdict::Gap | Verdict::Overlap(_) => {
                peer.owe(1);
                if !peer.asked {
                    peer.asked = true;
                    peer.outbox.synced(id, None, self.content.have());
                }
                return false;
            }
            Verdict::New(update, structure) => Some((update, structure)),
        };
        if self.saving.is_full(update.as_ref().map_or(0, |(update, _)| update.len())) {
            peer.turned_away = true;
            self.turned_away = true;
            peer.owe(1);
            self.refuse(id, Refusal::NotSaved);
            return false;
        }
        if update.is_some() && self.listing.house.is_full() {
            self.refuse(id, Refusal::TooLarge);
            return false;
        }
        peer.asked = false;
        let update = update.map(|(update, structure)| {
            self.fresh.push(self.content.accept(id, update.clone(), &structure));
            if !self.beyond_base && matches!(self.listing.doc.kind(), DocKind::Record(_)) {
                self.beyond_base = is_beyond_base(&update);
            }
            update
        });
        self.listing.holds(self.content.bytes());
        self.saving.add(id, 1 + owed, update);
        true
    }

    /// Remembers what a peer's client counts beyond what it sent.
    pub(super) fn owe(&mut self, id: PeerId, edits: u32) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.owe(edits);
        }
    }

    /// Asks a peer that wants to be asked.
    pub(super) fn ask(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get(&id).filter(|peer| peer.grant.holds()) {
            peer.outbox.synced(id, None, self.content.have());
        }
    }

    fn refuse(&mut self, id: PeerId, why: Refusal) {
        self.listing.house.metrics.refuse(why.word());
        if let Some(peer) = self.peers.get_mut(&id) {
            if peer.complained.insert(why) {
                let person = peer.grant.person();
                tracing::info!(doc = %self.listing.doc, peer = id.0, person, why = why.word(), "an edit was refused");
            }
            peer.outbox.refused(id, why);
        }
    }
}
