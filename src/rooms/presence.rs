//! Who is in a room, as everybody there sees it.
//!
//! Owns the rule that presence belongs to the connection that sent it: one entry for each peer, under the first client
//! id it used, gone when it leaves. Does not know what a state says, nor sockets.
//!
//! Facts: y-protocols' awareness takes a higher clock, or an equal one that removes; y-websocket clients send back
//! whatever they hear, so entries of others are normal and are passed over in silence.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::event::Present;
use crate::config::limits::{PRESENCE_DEPARTED_MAX, PRESENCE_STATE_MAX_BYTES};
use crate::id::PeerId;
use crate::wire::awareness::{Entry, encode};

struct Held {
    client: u64,
    clock: u32,
    state: Option<Bytes>,
    person: Arc<str>,
}

struct Departed {
    client: u64,
    clock: u32,
    person: Arc<str>,
}

/// Everybody's presence in one room.
#[derive(Default)]
pub(super) struct Presence {
    held: HashMap<PeerId, Held>,
    owners: HashMap<u64, PeerId>,
    departed: VecDeque<Departed>,
    /// Whose presence changed; who left, at which clock.
    changed: BTreeMap<u64, Option<u32>>,
    everyone: Option<Arc<Present>>,
}

/// What became of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is this peer's presence now.
    Taken,
    /// It was known, older, or somebody else's.
    Passed,
    /// Its state is larger than a presence may be, or not JSON, which would break browsers.
    Refused,
    /// The peer is back under an id that others were told is gone at this clock: it has to count on from there.
    Behind(u32),
}

impl Presence {
    /// Takes one entry that `peer` sent.
    pub(super) fn hear(&mut self, peer: PeerId, person: &str, entry: &Entry) -> Heard {
        if let Some(own) = self.held.get_mut(&peer) {
            let newer = entry.clock > own.clock
                || (entry.clock == own.clock && entry.state.is_none() && own.state.is_some());
            if own.client != entry.client || !newer {
                return Heard::Passed;
            }
            if !fit(entry) {
                return Heard::Refused;
            }
            own.clock = entry.clock;
            own.state.clone_from(&entry.state);
            self.change(entry.client, None);
            return Heard::Taken;
        }
        if entry.state.is_none() {
            return Heard::Passed; // nobody begins by leaving: an echo
        }
        if let Some(&owner) = self.owners.get(&entry.client) {
            let may = self.held.get(&owner).is_none_or(|o| *o.person == *person && entry.clock > o.clock);
            if !may {
                return Heard::Passed;
            }
        } else if let Some(past) = self.departed.iter().find(|d| d.client == entry.client)
            && entry.clock <= past.clock
        {
            return if *past.person == *person { Heard::Behind(past.clock) } else { Heard::Passed };
        }
        if !fit(entry) {
            return Heard::Refused;
        }
        self.begin(peer, person, entry);
        Heard::Taken
    }

    fn begin(&mut self, peer: PeerId, person: &str, entry: &Entry) {
        if let Some(before) = self.owners.insert(entry.client, peer) {
            self.held.remove(&before);
        }
        self.departed.retain(|d| d.client != entry.client);
        let person = Arc::from(person);
        let held = Held { client: entry.client, clock: entry.clock, state: entry.state.clone(), person };
        self.held.insert(peer, held);
        self.change(entry.client, None);
    }

    /// The peer is out: its entry goes with it.
    pub(super) fn leave(&mut self, peer: PeerId) {
        let Some(held) = self.held.remove(&peer) else { return };
        self.owners.remove(&held.client);
        if self.departed.len() == PRESENCE_DEPARTED_MAX {
            self.departed.pop_front();
        }
        // Who took leave before going may not have been told of yet.
        if held.state.is_some() || self.changed.contains_key(&held.client) {
            self.change(held.client, Some(held.clock));
        }
        self.departed.push_back(Departed { client: held.client, clock: held.clock, person: held.person });
    }

    /// Whether anything changed since the last call of [`Presence::news`].
    pub(super) fn has_news(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What changed since the last call, the latest of each, for everybody.
    pub(super) fn news(&mut self) -> Option<Arc<Present>> {
        let entries: Vec<Entry> = std::mem::take(&mut self.changed)
            .into_iter()
            .filter_map(|(client, left)| self.entry(client).or_else(|| farewell(client, left)))
            .collect();
        (!entries.is_empty()).then(|| present(&entries))
    }

    /// Everybody who has a presence, for somebody who asks.
    pub(super) fn everyone(&mut self) -> Option<Arc<Present>> {
        if self.everyone.is_none() {
            let mut clients: Vec<u64> =
                self.held.values().filter(|h| h.state.is_some()).map(|h| h.client).collect();
            clients.sort_unstable();
            let entries: Vec<Entry> = clients.into_iter().filter_map(|client| self.entry(client)).collect();
            self.everyone = (!entries.is_empty()).then(|| present(&entries));
        }
        self.everyone.clone()
    }

    fn change(&mut self, client: u64, left: Option<u32>) {
        self.changed.insert(client, left);
        self.everyone = None;
    }

    fn entry(&self, client: u64) -> Option<Entry> {
        let held = self.held.get(self.owners.get(&client)?)?;
        Some(Entry { client, clock: held.clock, state: held.state.clone() })
    }
}

/// "Gone" at the clock that was last seen: an equal clock removes, and a client that comes back needs one step only to
/// be seen again.
fn farewell(client: u64, left: Option<u32>) -> Option<Entry> {
    left.map(|clock| Entry { client, clock, state: None })
}

fn fit(entry: &Entry) -> bool {
    entry.state.as_ref().is_none_or(|state| state.len() <= PRESENCE_STATE_MAX_BYTES) && entry.is_json()
}

/// A presence message of our own making.
pub(super) fn present(entries: &[Entry]) -> Arc<Present> {
    Arc::new(Present { update: encode(entries), frames: super::Frames::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(client: u64, clock: u32, state: Option<&'static str>) -> Entry {
        Entry { client, clock, state: state.map(|s| Bytes::from_static(s.as_bytes())) }
    }

    const ANNE: PeerId = PeerId(1);
    const BOB: PeerId = PeerId(2);

    #[test]
    fn nobody_speaks_for_another() {
        let mut room = Presence::default();
        assert_eq!(room.hear(ANNE, "anne", &entry(10, 1, Some("{}"))), Heard::Taken);
        assert_eq!(room.hear(BOB, "bob", &entry(20, 1, Some("{}"))), Heard::Taken);
        for forged in [entry(10, 9, Some("{\"x\":1}")), entry(10, u32::MAX, None), entry(30, 1, Some("{}"))] {
            assert_eq!(room.hear(BOB, "bob", &forged), Heard::Passed);
        }
        let stranger = PeerId(3);
        assert_eq!(room.hear(stranger, "carl", &entry(10, 9, Some("{}"))), Heard::Passed);
        assert_eq!(room.entry(10), Some(entry(10, 1, Some("{}"))));
    }

    #[test]
    fn everybody_who_leaves_is_told_however_many_at_once() {
        let mut room = Presence::default();
        let all = PRESENCE_DEPARTED_MAX as u64 * 2;
        for n in 0..all {
            room.hear(PeerId(n), "anne", &entry(1_000 + n, 3, Some("{}")));
        }
        room.news();
        (0..all).for_each(|n| room.leave(PeerId(n)));
        let told = crate::wire::awareness::decode(&room.news().unwrap().update).unwrap();
        assert_eq!(told, (0..all).map(|n| entry(1_000 + n, 3, None)).collect::<Vec<_>>());
    }

    #[test]
    fn who_says_goodbye_and_goes_in_the_same_moment_is_gone_for_everybody() {
        let mut room = Presence::default();
        room.hear(ANNE, "anne", &entry(10, 4, Some("{}")));
        room.news();
        room.hear(ANNE, "anne", &entry(10, 5, None));
        room.leave(ANNE);
        let told = crate::wire::awareness::decode(&room.news().unwrap().update).unwrap();
        assert_eq!(told, [entry(10, 5, None)]);
    }

    #[test]
    fn echoes_are_not_news() {
        let mut room = Presence::default();
        room.hear(ANNE, "anne", &entry(10, 4, Some("{}")));
        assert!(room.news().is_some());
        assert_eq!(room.hear(ANNE, "anne", &entry(10, 4, Some("{}"))), Heard::Passed);
        assert_eq!(room.hear(BOB, "bob", &entry(10, 4, Some("{}"))), Heard::Passed);
        assert!(room.news().is_none());
    }

    #[test]
    fn a_person_who_reconnects_takes_the_entry_over() {
        let mut room = Presence::default();
        room.hear(ANNE, "anne", &entry(10, 4, Some("{}")));
        let again = PeerId(7);
        assert_eq!(room.hear(again, "anne", &entry(10, 4, Some("{}"))), Heard::Passed);
        assert_eq!(room.hear(again, "anne", &entry(10, 5, Some("{}"))), Heard::Taken);
        let _ = room.news();
        room.leave(ANNE); // the old connection ends later and takes nothing with it
        assert!(room.news().is_none());
        assert_eq!(room.entry(10), Some(entry(10, 5, Some("{}"))));
    }

    #[test]
    fn who_left_is_gone_and_an_echo_does_not_bring_them_back() {
        let mut room = Presence::default();
        room.hear(ANNE, "anne", &entry(10, 4, Some("{}")));
        let _ = room.news();
        room.leave(ANNE);
        let news = room.news().unwrap();
        assert_eq!(news.update, encode(&[entry(10, 4, None)]));
        assert!(room.everyone().is_none());
        assert_eq!(room.hear(BOB, "bob", &entry(10, 4, Some("{}"))), Heard::Passed);
        assert_eq!(room.hear(PeerId(7), "anne", &entry(10, 4, Some("{}"))), Heard::Behind(4));
        assert_eq!(room.hear(PeerId(7), "anne", &entry(10, 5, Some("{}"))), Heard::Taken);
    }

    #[test]
    fn a_swollen_state_is_refused_and_memory_stays_flat() {
        let mut room = Presence::default();
        let big = Bytes::from(vec![b' '; PRESENCE_STATE_MAX_BYTES + 1]);
        assert_eq!(room.hear(ANNE, "anne", &Entry { client: 1, clock: 1, state: Some(big) }), Heard::Refused);
        for n in 0..100_000 {
            room.hear(PeerId(n), "anne", &entry(n, 1, Some("{}")));
            room.leave(PeerId(n));
            let _ = room.news();
        }
        assert!(
            room.departed.len() <= PRESENCE_DEPARTED_MAX && room.held.is_empty() && room.owners.is_empty()
        );
    }

    #[test]
    fn many_moves_become_one_word() {
        let mut room = Presence::default();
        for clock in 1..100 {
            room.hear(ANNE, "anne", &entry(10, clock, Some("{}")));
        }
        assert_eq!(room.news().unwrap().update, encode(&[entry(10, 99, Some("{}"))]));
    }
}
