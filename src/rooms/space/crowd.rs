//! Who is in which room.
//!
//! Owns members and the way a message takes to each of them, once. Does not know what is kept, nor sessions'
//! ages.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};

use super::event::{MemberId, Room, SpaceEvent};
use super::kept::{Spared, spares};
use super::outbox::Way;
use super::session::Mark;
use super::spaces::{Crowded, Fullest};
use crate::config::limits::SPACE_ROOMS_PER_MEMBER_MAX;

/// Somebody who is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which connection.
    pub id: MemberId,
    /// Its public id.
    pub sid: Arc<str>,
    /// Whose, if that is known.
    pub person: Option<Arc<str>>,
}

/// A member and the way to it.
pub(super) struct Seat {
    pub(super) member: Member,
    pub(super) way: Way,
}

/// A member's own things.
pub(super) struct Attendee {
    pub(super) seat: Arc<Seat>,
    /// The rooms it is in, each since a number.
    pub(super) rooms: Vec<(Room, u64)>,
    pub(super) session: Option<Mark>,
    /// Since which sweep it is here.
    pub(super) came: u64,
    /// There while what it missed is being repeated to it.
    pub(super) repeating: Weak<()>,
    /// From which sweep on its session may be brought up to date with what it surely received.
    pub(super) confirm_from: u64,
}

/// Everybody.
#[derive(Default)]
pub(super) struct Crowd {
    all: BTreeMap<MemberId, Attendee>,
    rooms: HashMap<Room, BTreeMap<MemberId, Arc<Seat>>>,
}

impl Crowd {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, id: MemberId) -> Option<&Attendee> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: MemberId) -> Option<&mut Attendee> {
        self.all.get_mut(&id)
    }

    pub(super) fn add(&mut self, mut attendee: Attendee) {
        let id = attendee.seat.member.id;
        for (room, _) in &mut attendee.rooms {
            *room = self.seat(room, &attendee.seat);
        }
        self.all.insert(id, attendee);
    }

    pub(super) fn remove(&mut self, id: MemberId) -> Option<Attendee> {
        let attendee = self.all.remove(&id)?;
        for (room, _) in &attendee.rooms {
            self.unseat(room, id);
        }
        Some(attendee)
    }

    /// Brings a member into a room; whether that changed anything.
    pub(super) fn enter(&mut self, id: MemberId, room: &Room, since: u64) -> bool {
        let Some(attendee) = self.all.get(&id) else { return false };
        let has = attendee.rooms.iter().any(|(has, _)| has == room);
        if has || attendee.rooms.len() >= SPACE_ROOMS_PER_MEMBER_MAX {
            return false;
        }
        let seat = attendee.seat.clone();
        let room = self.seat(room, &seat);
        if let Some(attendee) = self.all.get_mut(&id) {
            attendee.rooms.push((room, since));
        }
        true
    }

    /// Takes a member out of a room; whether that changed anything.
    pub(super) fn exit(&mut self, id: MemberId, room: &Room) -> bool {
        let Some(attendee) = self.all.get_mut(&id) else { return false };
        let before = attendee.rooms.len();
        attendee.rooms.retain(|(has, _)| has != room);
        let changed = attendee.rooms.len() < before;
        if changed {
            self.unseat(room, id);
        }
        changed
    }

    /// Gives an event to everybody in any of the rooms (none: to all), once, but not to whom it leaves out. How
    /// many have it now; those whose outbox is closed are added to `cut_off`.
    pub(super) fn give(
        &self,
        event: &Arc<SpaceEvent>,
        to: &[Room],
        except: &[Spared],
        cut_off: &mut Vec<MemberId>,
    ) -> usize {
        let mut reached = 0;
        let mut give = |seat: &Seat| {
            let id = seat.member.id;
            if !except.is_empty() && spares(except, &seat.member.sid, |room| self.is_in(id, room)) {
                return;
            }
            if seat.way.push(id, event) { reached += 1 } else { cut_off.push(id) }
        };
        match to {
            [] => self.all.values().for_each(|attendee| give(&attendee.seat)),
            [room] => self.rooms.get(room).into_iter().flatten().for_each(|(_, seat)| give(seat)),
            rooms => {
                let listed = rooms.iter().filter_map(|room| self.rooms.get(room)).flatten();
                let once: BTreeMap<MemberId, &Arc<Seat>> = listed.map(|(id, seat)| (*id, seat)).collect();
                once.values().for_each(|seat| give(seat));
            }
        }
        reached
    }

    /// Everybody, whatever the room.
    pub(super) fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.all.values().map(|attendee| &*attendee.seat)
    }

    /// Every member's own things.
    pub(super) fn attendees(&mut self) -> impl Iterator<Item = &mut Attendee> {
        self.all.values_mut()
    }

    /// Who is in a room.
    pub(super) fn members(&self, room: &Room) -> Vec<Member> {
        self.rooms.get(room).into_iter().flatten().map(|(_, seat)| seat.member.clone()).collect()
    }

    /// The rooms that somebody is in, with how many.
    pub(super) fn rooms(&self) -> Vec<(Room, usize)> {
        self.rooms.iter().map(|(room, members)| (room.clone(), members.len())).collect()
    }

    /// The rooms with the most members, the fullest first; of equals, by name.
    pub(super) fn fullest(&self, most: usize) -> Fullest {
        let mut rooms: Vec<_> = self.rooms.iter().collect();
        let more = rooms.len().saturating_sub(most);
        let order = |(a, some): &(&Room, &BTreeMap<_, _>), (b, others): &(&Room, &BTreeMap<_, _>)| {
            others.len().cmp(&some.len()).then_with(|| a.cmp(b))
        };
        if more > 0 && most > 0 {
            rooms.select_nth_unstable_by(most - 1, order);
        }
        rooms.truncate(most);
        rooms.sort_unstable_by(order);
        let crowded = rooms.into_iter().map(|(room, members)| {
            let known: HashSet<_> = members.values().filter_map(|seat| seat.member.person.as_ref()).collect();
            let unknown = members.values().filter(|seat| seat.member.person.is_none()).count();
            Crowded { room: room.clone(), members: members.len(), people: known.len() + unknown }
        });
        Fullest { rooms: crowded.collect(), more }
    }

    /// Whether a member is in a room.
    pub(super) fn is_in(&self, id: MemberId, room: &Room) -> bool {
        self.rooms.get(room).is_some_and(|members| members.contains_key(&id))
    }

    /// Gives the room back as it is named here already, so that its name is in memory once.
    fn seat(&mut self, room: &Room, seat: &Arc<Seat>) -> Room {
        let named = self.rooms.get_key_value(room).map_or_else(|| room.clone(), |(named, _)| named.clone());
        self.rooms.entry(named.clone()).or_default().insert(seat.member.id, seat.clone());
        named
    }

    fn unseat(&mut self, room: &Room, id: MemberId) {
        if let Some(members) = self.rooms.get_mut(room) {
            members.remove(&id);
            if members.is_empty() {
                self.rooms.remove(room);
            }
        }
    }
}
