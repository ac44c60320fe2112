//! The kept messages of the last window, and what is known of those that left.
//!
//! Owns the bounds in time, bytes and number, the index of each room, which messages are in memory and which on disk
//! only, and the answer to "did this member miss anything that is not here any more?". Does not know members, nor what
//! messages say.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::SpaceOptions;
use super::event::{Room, SpaceEvent};
use super::kept::{Kept, Spared, event, spares};
use super::missed::Gap;
use super::row;
use crate::config::limits::{SPACE_GONE_ROOMS_MAX, SPACE_REPEAT_BYTES, SPACE_REPEAT_MESSAGES};
use crate::store::{Table, Write};
use crate::telemetry::Metrics;

/// A message's place in the ring.
struct Slot {
    seq: u64,
    at_ms: u64,
    /// What it costs in memory, and on disk only.
    cost: (usize, usize),
    to: Vec<Room>,
    except: Vec<Spared>,
    /// Name, body and attachments, while the message is in memory.
    content: Option<(Arc<str>, Bytes, Vec<Bytes>)>,
    /// The event as somebody still holds it, with its frames.
    shared: Weak<SpaceEvent>,
}

/// A message that is to be repeated.
#[derive(Debug)]
pub(super) enum Found {
    /// Here it is.
    Here(Arc<SpaceEvent>),
    /// It has to be read from disk.
    OnDisk(u64),
}

/// Messages that are to be repeated next.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) found: Vec<Found>,
    /// With these, everything up to here was heard.
    pub(super) heard: u64,
    /// There is more.
    pub(super) more: bool,
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
    most_memory: usize,
    slots: VecDeque<Slot>,
    /// So many of them, the oldest, are on disk only.
    on_disk: usize,
    /// All messages.
    bytes: usize,
    /// What is in memory of them: the index of all…
    memory: usize,
    /// …and the content of some.
    contents: usize,
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
            most_memory: options.ring_max_memory,
            slots: VecDeque::new(),
            on_disk: 0,
            bytes: 0,
            memory: 0,
            contents: 0,
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

    /// Adds a message; its number is higher than all before. `shared`: it, as members hear it now.
    pub(super) fn add(&mut self, kept: Kept, shared: Weak<SpaceEvent>) {
        let cost = (kept.cost(), kept.index_cost());
        let Kept { seq, at_ms, mut to, except, name, body, attachments, .. } = kept;
        if to.is_empty() {
            self.everybody.push_back(seq);
        }
        for room in &mut to {
            // A room's name is in memory once.
            if let Some((known, _)) = self.rooms.get_key_value(room) {
                *room = known.clone();
            }
            self.rooms.entry(room.clone()).or_default().seqs.push_back(seq);
        }
        self.bytes += cost.0;
        self.hold(cost.0 as i64);
        let content = Some((name, body, attachments));
        self.slots.push_back(Slot { seq, at_ms, cost, to, except, content, shared });
        self.contents += cost.0 - cost.1;
        while self.contents > self.most_memory
            && let Some(slot) = self.slots.get_mut(self.on_disk)
        {
            slot.content = None;
            if slot.shared.strong_count() == 0 {
                slot.shared = Weak::new(); // its place in memory is free with the last one that points there
            }
            let content = slot.cost.0 - slot.cost.1;
            self.on_disk += 1;
            self.contents -= content;
            self.hold(-(content as i64));
        }
    }

    /// Lets go what is too old or too much.
    pub(super) fn trim(&mut self, now_ms: u64) {
        while let Some(oldest) = self.slots.front() {
            let old = now_ms.saturating_sub(oldest.at_ms) > self.window_ms;
            if !old && self.bytes <= self.most_bytes && self.slots.len() <= self.most_messages {
                break;
            }
            let Some(kept) = self.slots.pop_front() else { break };
            let (whole, index) = kept.cost;
            self.bytes -= whole;
            if self.on_disk > 0 {
                self.on_disk -= 1;
                self.hold(-(index as i64));
            } else {
                self.contents -= whole - index;
                self.hold(-(whole as i64));
            }
            self.left += 1;
            if kept.to.is_empty() {
                self.everybody.pop_front();
                self.gone = kept.seq.max(self.gone);
            }
            for room in kept.to {
                if let Some(place) = self.rooms.get_mut(&room) {
                    place.seqs.pop_front();
                    place.gone = kept.seq.max(place.gone);
                }
                self.stale.insert(room);
            }
        }
    }

    /// The first messages, at most so many, that somebody missed who heard everything up to `heard`: their numbers, in
    /// order.
    pub(super) fn missed(&self, gap: &Gap, mut heard: u64, most: usize) -> Result<Vec<u64>, Lost> {
        let is_for = |seq: &u64| {
            let slot = self.slot(*seq);
            slot.is_some_and(|slot| !spares(&slot.except, &gap.sid, |room| gap.was_in.contains(room)))
        };
        let mut missed = Vec::new();
        loop {
            let seqs = self.said_after(gap, heard, most.max(SPACE_REPEAT_MESSAGES))?;
            let Some(last) = seqs.last().filter(|_| missed.len() < most) else { break };
            heard = *last;
            missed.extend(seqs.into_iter().filter(is_for));
        }
        missed.truncate(most);
        Ok(missed)
    }

    /// The same with those that leave this one out.
    fn said_after(&self, gap: &Gap, heard: u64, most: usize) -> Result<Vec<u64>, Lost> {
        let since = heard.max(gap.joined);
        if self.gone > since {
            return Err(Lost);
        }
        let mut seqs: Vec<u64> = after(&self.everybody, since).take(most).collect();
        for stay in &gap.stays {
            let Some(place) = self.rooms.get(&stay.room) else { continue };
            let since = heard.max(stay.since);
            if place.gone > since && stay.upto > since {
                return Err(Lost);
            }
            seqs.extend(after(&place.seqs, since).take_while(|seq| *seq <= stay.upto).take(most));
        }
        seqs.retain(|seq| *seq <= gap.upto);
        seqs.sort_unstable();
        seqs.dedup();
        seqs.truncate(most);
        Ok(seqs)
    }

    /// What is repeated next to somebody who heard everything up to `heard`, as much as is repeated at once.
    pub(super) fn next_piece(&mut self, gap: &Gap, heard: u64) -> Result<Piece, Lost> {
        // One more, to know whether there is more.
        let seqs = self.missed(gap, heard, SPACE_REPEAT_MESSAGES + 1)?;
        let found = self.find(seqs.iter().copied().take(SPACE_REPEAT_MESSAGES))?;
        let heard = found.len().checked_sub(1).and_then(|last| seqs.get(last)).copied().unwrap_or(gap.upto);
        let more = found.len() < seqs.len();
        Ok(Piece { found, heard, more })
    }

    /// The last message in a room for somebody who has been there since a number; 0 when there was none.
    pub(super) fn last_said(&self, room: &Room, since: u64, sid: &str, is_in: impl Fn(&Room) -> bool) -> u64 {
        let Some(place) = self.rooms.get(room) else { return 0 };
        let heard = |seq: &u64| self.slot(*seq).is_some_and(|slot| !spares(&slot.except, sid, &is_in));
        let last = place.seqs.iter().rev().copied().take_while(|seq| *seq > since).find(heard);
        last.unwrap_or(if place.gone > since { place.gone } else { 0 })
    }

    /// The first of these messages, about as many as are repeated at once.
    pub(super) fn find(&mut self, seqs: impl Iterator<Item = u64>) -> Result<Vec<Found>, Lost> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for seq in seqs {
            if bytes >= SPACE_REPEAT_BYTES {
                break;
            }
            let at = self.at(seq).ok_or(Lost)?;
            let slot = self.slots.get_mut(at).ok_or(Lost)?;
            bytes += slot.cost.0;
            found.push(match (slot.shared.upgrade(), &slot.content) {
                (Some(event), _) => Found::Here(event),
                (None, Some((name, body, attachments))) => {
                    let event = event(self.space, seq, name, body, attachments);
                    slot.shared = Arc::downgrade(&event);
                    Found::Here(event)
                }
                (None, None) => Found::OnDisk(seq),
            });
        }
        Ok(found)
    }

    /// These were read from disk, and are shared with whoever repeats them at about the same time.
    pub(super) fn share(&mut self, events: &[Arc<SpaceEvent>]) {
        for event in events {
            if let Some(at) = event.seq.and_then(|seq| self.at(seq))
                && let Some(slot) = self.slots.get_mut(at)
            {
                slot.shared = Arc::downgrade(event);
            }
        }
    }

    /// A message that the disk should have and has not: whoever missed it is told so.
    pub(super) fn lose(&mut self, seq: u64) {
        let Some(slot) = self.slot(seq) else { return };
        let to = slot.to.clone();
        if to.is_empty() {
            self.gone = self.gone.max(seq);
        }
        for room in to {
            if let Some(place) = self.rooms.get_mut(&room) {
                place.gone = place.gone.max(seq);
            }
            self.stale.insert(room);
        }
    }

    fn at(&self, seq: u64) -> Option<usize> {
        self.slots.binary_search_by_key(&seq, |slot| slot.seq).ok()
    }

    fn slot(&self, seq: u64) -> Option<&Slot> {
        self.slots.get(self.at(seq)?)
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
        let keep_from = self.slots.front().map_or(last + 1, |kept| kept.seq);
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
        self.memory = self.memory.wrapping_add_signed(more as isize);
        self.metrics.ring_bytes.inc_by(more);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.metrics.ring_bytes.dec_by(self.memory as i64);
    }
}

fn after(seqs: &VecDeque<u64>, since: u64) -> impl Iterator<Item = u64> + '_ {
    seqs.range(seqs.partition_point(|seq| *seq <= since)..).copied()
}
