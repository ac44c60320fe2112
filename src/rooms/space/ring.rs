//! The kept messages of the last window, and what is known of those that left.
//!
//! Owns the bounds in time, bytes and number, the index of each room, and the answer to "did this member miss
//! anything that is not here any more?". Does not know members, nor what messages say.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::SpaceOptions;
use super::event::{Room, SpaceEvent};
use super::offset::offset;
use super::row;
use crate::config::limits::SPACE_GONE_ROOMS_MAX;
use crate::rooms::Frames;
use crate::store::{Table, Write};
use crate::telemetry::Metrics;

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
    /// The event as somebody still holds it, with its frames.
    pub(super) shared: Weak<SpaceEvent>,
}

impl Kept {
    /// Bytes it holds, with its places in the index.
    pub(super) fn cost(&self) -> usize {
        let parts = 64 * self.attachments.len() + 64 * self.except.len() + 32 * self.to.len();
        let bytes = self.body.len() + self.attachments.iter().map(Bytes::len).sum::<usize>();
        256 + parts + bytes + self.name.len() + self.id.as_ref().map_or(0, |id| id.len())
    }

    /// As members hear it; shared with everybody who hears it at about the same time.
    pub(super) fn event(&mut self, space: &str) -> Arc<SpaceEvent> {
        self.shared.upgrade().unwrap_or_else(|| {
            let event = Arc::new(SpaceEvent {
                seq: Some(self.seq),
                offset: Some(offset(space, self.seq)),
                after: None,
                name: self.name.clone(),
                body: self.body.clone(),
                attachments: self.attachments.clone(),
                frames: Frames::default(),
            });
            self.shared = Arc::downgrade(&event);
            event
        })
    }
}

/// Something that was missed is not here any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

/// One room's part.
#[derive(Debug, Default)]
struct Place {
    /// Its messages in the ring.
    seqs: VecDeque<u64>,
    /// Its last message that left the ring.
    gone: u64,
}

/// The kept messages of one space.
pub(super) struct Ring {
    space: &'static str,
    metrics: Metrics,
    window_ms: u64,
    most_bytes: usize,
    most_messages: usize,
    messages: VecDeque<Kept>,
    bytes: usize,
    /// Messages for everybody.
    everybody: VecDeque<u64>,
    rooms: HashMap<Room, Place>,
    /// The last message for everybody, or for a room that is not listed any more, that left.
    gone: u64,
    /// How many left since that was last written to disk.
    left: usize,
    /// The rooms whose `gone` is not on disk as it is here.
    stale: HashSet<Room>,
}

impl Ring {
    pub(super) fn new(space: &'static str, options: &SpaceOptions, metrics: &Metrics) -> Self {
        Self {
            space,
            metrics: metrics.clone(),
            window_ms: options.window.as_millis() as u64,
            most_bytes: options.ring_max_bytes,
            most_messages: options.ring_max_messages,
            messages: VecDeque::new(),
            bytes: 0,
            everybody: VecDeque::new(),
            rooms: HashMap::new(),
            gone: 0,
            left: 0,
            stale: HashSet::new(),
        }
    }

    /// Takes up what the disk says of messages that left: of all rooms…
    pub(super) fn all_gone(&mut self, upto: u64) {
        self.gone = self.gone.max(upto);
    }

    /// …and of one.
    pub(super) fn room_gone(&mut self, room: Room, upto: u64) {
        self.rooms.entry(room).or_default().gone = upto;
    }

    /// Adds a message; its number is higher than all before.
    pub(super) fn add(&mut self, kept: Kept) {
        if kept.to.is_empty() {
            self.everybody.push_back(kept.seq);
        }
        for room in &kept.to {
            match self.rooms.get_mut(room) {
                Some(place) => place.seqs.push_back(kept.seq),
                None => drop(self.rooms.insert(room.clone(), Place { seqs: [kept.seq].into(), gone: 0 })),
            }
        }
        self.hold(kept.cost() as i64);
        self.messages.push_back(kept);
    }

    /// Lets go what is too old or too much.
    pub(super) fn trim(&mut self, now_ms: u64) {
        while let Some(oldest) = self.messages.front() {
            let old = now_ms.saturating_sub(oldest.at_ms) > self.window_ms;
            if !old && self.bytes <= self.most_bytes && self.messages.len() <= self.most_messages {
                break;
            }
            let Some(kept) = self.messages.pop_front() else { break };
            self.hold(-(kept.cost() as i64));
            self.left += 1;
            if kept.to.is_empty() {
                self.everybody.pop_front();
                self.gone = kept.seq;
            }
            for room in kept.to {
                if let Some(place) = self.rooms.get_mut(&room) {
                    place.seqs.pop_front();
                    place.gone = kept.seq;
                }
                self.stale.insert(room);
            }
        }
    }

    /// What somebody missed who was in `rooms`, each since a number, and in the space since `joined`, and who
    /// heard everything up to `heard`.
    pub(super) fn missed(
        &mut self,
        rooms: &[(Room, u64)],
        joined: u64,
        heard: u64,
        sid: &str,
        is_in: impl Fn(&Room) -> bool,
    ) -> Result<Vec<Arc<SpaceEvent>>, Lost> {
        let since = heard.max(joined);
        if self.gone > since {
            return Err(Lost);
        }
        let mut seqs: Vec<u64> = after(&self.everybody, since).collect();
        for (room, entered) in rooms {
            let Some(place) = self.rooms.get(room) else { continue };
            let since = heard.max(*entered);
            if place.gone > since {
                return Err(Lost);
            }
            seqs.extend(after(&place.seqs, since));
        }
        seqs.sort_unstable();
        seqs.dedup();
        let mut missed = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let at = self.messages.partition_point(|kept| kept.seq < seq);
            let Some(kept) = self.messages.get_mut(at) else { continue };
            if !spares(&kept.except, sid, &is_in) {
                missed.push(kept.event(self.space));
            }
        }
        Ok(missed)
    }

    /// Whether something that left the ring stands between a member and taking its session up, as far as the
    /// ring can tell.
    pub(super) fn is_in_doubt(&self, rooms: &[(Room, u64)], joined: u64) -> bool {
        let of_room =
            |(room, since): &(Room, u64)| self.rooms.get(room).is_some_and(|place| place.gone > *since);
        self.gone > joined || rooms.iter().any(of_room)
    }

    /// Forgets what nobody can ask about: no session is older than `floor`. When still too many rooms are
    /// known, forgets those longest ago, which from then on counts against everybody.
    pub(super) fn forget(&mut self, floor: u64) {
        let mut gone: Vec<u64> =
            self.rooms.values().map(|place| place.gone).filter(|gone| *gone > floor).collect();
        let mut upto = floor;
        if gone.len() > SPACE_GONE_ROOMS_MAX {
            let middle = gone.len() / 2;
            upto = *gone.select_nth_unstable(middle).1;
            self.gone = self.gone.max(upto);
        }
        let stale = &mut self.stale;
        self.rooms.retain(|room, place| {
            if place.gone > 0 && place.gone <= upto {
                place.gone = 0;
                stale.insert(room.clone());
            }
            place.gone > 0 || !place.seqs.is_empty()
        });
    }

    /// How many messages left and are still on disk.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Whether the disk is to be brought up to date.
    pub(super) fn is_behind(&self) -> bool {
        self.left > 0 || !self.stale.is_empty()
    }

    /// Brings the disk up to date, in one commit: messages that left must not be gone there before it is known
    /// that they were there. `last`: the last number given. The rooms are given back to [`Ring::again`] when
    /// the commit fails.
    pub(super) fn leave_disk(&mut self, last: u64, writes: &mut Vec<Write>) -> Vec<Room> {
        let keep_from = self.messages.front().map_or(last + 1, |kept| kept.seq);
        let (from, to) = (row::first_message(self.space), row::key_message(self.space, keep_from));
        writes.push(Write::DeleteRange { table: Table::Messages, from, to });
        let (key, value) = (row::key_head(self.space), row::numbers(&[last, self.gone]));
        writes.push(Write::Put { table: Table::Messages, key, value });
        let stale: Vec<Room> = self.stale.drain().collect();
        writes.extend(stale.iter().map(|room| {
            let (table, key) = (Table::Messages, row::key_gone(self.space, room));
            match self.rooms.get(room).map(|place| place.gone).filter(|gone| *gone > 0) {
                Some(gone) => Write::Put { table, key, value: row::numbers(&[gone]) },
                None => Write::Delete { table, key },
            }
        }));
        self.left = 0;
        stale
    }

    /// What [`Ring::leave_disk`] wrote did not reach the disk.
    pub(super) fn again(&mut self, rooms: Vec<Room>) {
        self.stale.extend(rooms);
        self.left += 1;
    }

    fn hold(&mut self, more: i64) {
        self.bytes = self.bytes.wrapping_add_signed(more as isize);
        self.metrics.ring_bytes.inc_by(more);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.metrics.ring_bytes.dec_by(self.bytes as i64);
    }
}

fn after(seqs: &VecDeque<u64>, since: u64) -> impl Iterator<Item = u64> + '_ {
    seqs.range(seqs.partition_point(|seq| *seq <= since)..).copied()
}
