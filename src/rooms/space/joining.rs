//! Who comes, who comes back, and who goes.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::actor::Actor;
use super::crowd::{Attendee, Member, Seat};
use super::event::{MemberId, Room};
use super::missed::{Gap, Missed};
use super::offset;
use super::session::{Mark, Place, Session, Stay, new_ids};
use super::{Closed, Join, Joined, OldRooms, Remembered, Since, SpaceError, SpaceOutbox};
use crate::config::limits::SPACE_ROOMS_PER_MEMBER_MAX;
use crate::store::StoreState;

/// Members are numbered over all spaces of the process: one outbox may serve several.
static NEXT_MEMBER: AtomicU64 = AtomicU64::new(1);

/// A session that can be taken up.
struct Resumed {
    mark: Mark,
    sid: Arc<str>,
    /// The old rooms that stay, each since the number it was entered at.
    rooms: Vec<(Room, u64)>,
    missed: Missed,
}

/// Leaves each room once, in its first place.
pub(super) fn once(rooms: &mut Vec<Room>) {
    let mut seen = HashSet::new();
    rooms.retain(|room| seen.insert(room.clone()));
}

impl Actor {
    pub(super) fn join(&mut self, mut join: Join, now_ms: u64) -> Result<Joined, SpaceError> {
        once(&mut join.rooms);
        if join.rooms.len() > SPACE_ROOMS_PER_MEMBER_MAX {
            return Err(SpaceError::TooManyRooms);
        }
        if self.crowd.len() >= self.parts.options.members_max {
            return Err(SpaceError::Full);
        }
        let since = join.since.take().filter(|_| join.recover);
        let resumed = since.as_ref().and_then(|since| match self.resume(&join, since, now_ms) {
            Ok(resumed) => {
                self.parts.count_recovery("recovered");
                Some(resumed)
            }
            Err(why) => {
                self.parts.count_recovery(why);
                None
            }
        });
        // The old connection of the same session has no say any more, whatever comes of this.
        if let Some(since) = &since {
            self.end_old(since, join.person.as_ref(), resumed.is_none(), &join.outbox);
        }
        let member = MemberId(NEXT_MEMBER.fetch_add(1, Ordering::Relaxed));
        match resumed {
            Some(resumed) => Ok(self.come_back(member, &join, resumed, since.map(|since| since.pid))),
            None => self.come(member, &join),
        }
    }

    /// Somebody new.
    fn come(&mut self, member: MemberId, join: &Join) -> Result<Joined, SpaceError> {
        let (sid, secret) = new_ids().ok_or(SpaceError::NoRandomness)?;
        let mut pid = None;
        let mut session = None;
        if join.recover && self.keeps() {
            session = Mark::of(&secret).filter(|mark| {
                let (sid, person) = (sid.clone(), join.person.clone());
                let place = Place::Here(member);
                self.sessions.add(
                    *mark,
                    Session { sid, person, joined: self.handed, left: VecDeque::new(), unheard: 0, place },
                )
            });
            pid = session.map(|_| secret);
        }
        let rooms = join.rooms.iter().map(|room| (room.clone(), self.handed)).collect();
        self.admit(member, sid.clone(), join, rooms, session, Weak::new());
        let (rooms, missed) = (join.rooms.clone(), Missed::default());
        Ok(Joined { member, sid, pid, recovered: false, rooms, missed })
    }

    /// Somebody who was here before.
    fn come_back(&mut self, member: MemberId, join: &Join, resumed: Resumed, pid: Option<String>) -> Joined {
        let Resumed { mark, sid, rooms: mut all, missed } = resumed;
        let had: HashSet<Room> = all.iter().map(|(room, _)| room.clone()).collect();
        all.extend(
            join.rooms.iter().filter(|room| !had.contains(*room)).map(|room| (room.clone(), self.handed)),
        );
        if let Some(session) = self.sessions.change(&mark) {
            session.person = join.person.clone();
            session.place = Place::Here(member);
        }
        let rooms = all.iter().map(|(room, _)| room.clone()).collect();
        self.admit(member, sid.clone(), join, all, Some(mark), missed.mark());
        Joined { member, sid, pid, recovered: true, rooms, missed }
    }

    fn admit(
        &mut self,
        id: MemberId,
        sid: Arc<str>,
        join: &Join,
        rooms: Vec<(Room, u64)>,
        session: Option<Mark>,
        repeating: Weak<()>,
    ) {
        let member = Member { id, sid, person: join.person.clone() };
        let seat = Arc::new(Seat { member, way: join.outbox.way() });
        self.crowd.add(Attendee { seat, rooms, session, came: self.sweeps, repeating, confirm_from: 0 });
        self.parts.metrics.members.inc();
        self.parts.metrics.arrivals.inc();
    }

    /// Looks whether a session can be taken up, and what was missed; changes nothing. Otherwise says why not.
    fn resume(&self, join: &Join, since: &Since, now_ms: u64) -> Result<Resumed, &'static str> {
        let mark = Mark::of(&since.pid).ok_or("unknown")?;
        let session = self.sessions.get(&mark).ok_or("unknown")?;
        if differs(session.person.as_ref(), join.person.as_ref()) {
            return Err("other_person");
        }
        let had = match &session.place {
            Place::Here(member) => self.crowd.get(*member).map_or(&[][..], |attendee| &attendee.rooms),
            Place::Away { since_ms, rooms, .. } => {
                if now_ms.saturating_sub(*since_ms) > self.window_ms() {
                    return Err("too_old");
                }
                rooms
            }
        };
        let heard = match &since.offset {
            None => 0,
            Some(text) => {
                let is_known = |seq: &u64| *seq <= self.handed && !self.outgoing.numbers.is_lost(*seq);
                offset::read(self.parts.name, text).filter(is_known).ok_or("bad_offset")?
            }
        };
        let stays: HashSet<&Room> = match &join.old_rooms {
            OldRooms::Dropped => join.rooms.iter().collect(),
            OldRooms::Kept => had.iter().map(|(room, _)| room).collect(),
            OldRooms::These(these) => join.rooms.iter().chain(these).collect(),
        };
        let was_in: HashSet<Room> = had.iter().map(|(room, _)| room.clone()).collect();
        let rooms: Vec<(Room, u64)> = had.iter().filter(|(room, _)| stays.contains(room)).cloned().collect();
        if rooms.len() + join.rooms.len() > 2 * SPACE_ROOMS_PER_MEMBER_MAX {
            return Err("too_many_rooms");
        }
        let (sid, joined) = (session.sid.clone(), session.joined);
        if session.unheard > heard.max(joined) {
            return Err("lost");
        }
        let back = |room: &Room| join.rooms.contains(room) || rooms.iter().any(|(stays, _)| stays == room);
        let left = session.left.iter().filter(|stay| stay.upto > heard.max(joined) && back(&stay.room));
        let left = left.map(|stay| Stay { since: stay.since.max(joined), ..stay.clone() });
        let here =
            rooms.iter().map(|(room, since)| Stay { room: room.clone(), since: *since, upto: u64::MAX });
        let stays = here.chain(left).collect();
        let gap = Gap { stays, was_in, joined, upto: self.handed, sid: sid.clone() };
        let first = self.ring.missed(&gap, heard, 1).map_err(|_| "lost")?;
        let missed = if first.is_empty() { Missed::default() } else { Missed::new(gap, heard) };
        Ok(Resumed { mark, sid, rooms, missed })
    }

    /// Ends the connection that still holds this session, and forgets the session when it is of no more use.
    /// Somebody else who knows the secret ends nothing.
    fn end_old(&mut self, since: &Since, person: Option<&Arc<str>>, forget: bool, new: &SpaceOutbox) {
        let Some(mark) = Mark::of(&since.pid) else { return };
        let Some(session) = self.sessions.get(&mark) else { return };
        if differs(session.person.as_ref(), person) {
            return;
        }
        if let Place::Here(old) = session.place
            && let Some(attendee) = self.crowd.remove(old)
        {
            self.parts.metrics.members.dec();
            if !attendee.seat.way.is(&new.way()) {
                attendee.seat.way.close(Closed::TakenOver);
            }
        }
        if forget {
            self.sessions.remove(&mark);
        }
    }

    pub(super) fn remembered(&self, pid: &str, now_ms: u64) -> Option<Remembered> {
        let session = self.sessions.get(&Mark::of(pid)?)?;
        let rooms = match &session.place {
            Place::Here(member) => &self.crowd.get(*member)?.rooms,
            Place::Away { since_ms, .. } if now_ms.saturating_sub(*since_ms) > self.window_ms() => {
                return None;
            }
            Place::Away { rooms, .. } => rooms,
        };
        let rooms = rooms.iter().map(|(room, _)| room.clone()).collect();
        Some(Remembered { person: session.person.clone(), rooms })
    }

    pub(super) fn enter(&mut self, member: MemberId, rooms: &[Room], reply: oneshot::Sender<bool>) {
        let since = self.handed;
        let changed = rooms.iter().filter(|room| self.crowd.enter(member, room, since)).count() > 0;
        self.changed(member, changed, reply);
    }

    pub(super) fn exit(&mut self, member: MemberId, rooms: &[Room], reply: oneshot::Sender<bool>) {
        let left = self.stays(member, rooms);
        let changed = rooms.iter().filter(|room| self.crowd.exit(member, room)).count() > 0;
        let mark = self.crowd.get(member).and_then(|attendee| attendee.session);
        if changed && let Some(session) = mark.and_then(|mark| self.sessions.change(&mark)) {
            left.into_iter().for_each(|stay| session.has_left(stay));
        }
        self.changed(member, changed, reply);
    }

    /// A member's stays in these rooms, as far as anything was said. Whether it has received that is not known.
    fn stays(&self, member: MemberId, rooms: &[Room]) -> Vec<Stay> {
        let Some(attendee) = self.crowd.get(member) else { return Vec::new() };
        let sid = &attendee.seat.member.sid;
        let is_in = |room: &Room| self.crowd.is_in(member, room);
        let these = attendee.rooms.iter().filter(|(room, _)| rooms.contains(room));
        let stays = these.map(|(room, since)| Stay {
            room: room.clone(),
            since: *since,
            upto: self.ring.last_said(room, *since, sid, is_in),
        });
        stays.filter(|stay| stay.upto > 0).collect()
    }

    fn changed(&mut self, member: MemberId, changed: bool, reply: oneshot::Sender<bool>) {
        let session = self.crowd.get(member).and_then(|attendee| attendee.session);
        match session.filter(|_| changed) {
            Some(mark) => {
                let _ = self.sessions.change(&mark);
                self.waiting.push(reply);
            }
            None => drop(reply.send(true)),
        }
    }

    /// A member leaves. One that was cut off before may still say that it does not come back.
    pub(super) fn leave(&mut self, member: MemberId, recoverable: bool, now_ms: u64) {
        let Some(attendee) = self.crowd.remove(member) else {
            if !recoverable && let Some(mark) = self.sessions.of_absent(member) {
                self.sessions.remove(&mark);
            }
            return;
        };
        self.parts.metrics.members.dec();
        let Some(mark) = attendee.session else { return };
        if !recoverable {
            self.sessions.remove(&mark);
        } else if let Some(session) = self.sessions.change(&mark) {
            session.place = Place::Away { member: Some(member), since_ms: now_ms, rooms: attendee.rooms };
        }
    }

    /// Those whose outbox is closed are not here any more.
    pub(super) fn part_cut_off(&mut self, now_ms: u64) {
        for member in std::mem::take(&mut self.cut_off) {
            self.leave(member, true, now_ms);
        }
    }

    /// The session's secret was not given out: it is of no use.
    pub(super) fn forget_session(&mut self, member: MemberId) {
        let mark = match self.crowd.get_mut(member) {
            Some(attendee) => attendee.session.take(),
            None => self.sessions.of_absent(member),
        };
        if let Some(mark) = mark {
            self.sessions.remove(&mark);
        }
    }

    /// The public id of somebody who went away.
    pub(super) fn sid_of_absent(&self, member: MemberId) -> Option<Arc<str>> {
        let mark = self.sessions.of_absent(member)?;
        self.sessions.get(&mark).map(|session| session.sid.clone())
    }

    /// Whether a session can be promised now.
    fn keeps(&self) -> bool {
        let writable = |store: &crate::store::Store| *store.state().borrow() == StoreState::Writable;
        self.parts.store.as_ref().is_some_and(writable) && !self.outgoing.is_sick()
    }
}

/// Whether both are known and are not the same.
fn differs(one: Option<&Arc<str>>, other: Option<&Arc<str>>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}
