//! Which numbers may be heard before the disk has their messages, and which were perhaps heard in vain.
//!
//! Owns the promise that a number is given once. A message is heard when it is written, a moment before the disk has
//! confirmed it. Should the power fail in that moment, somebody has heard a number whose message is gone. So numbers
//! are reserved on disk before they are heard; what was reserved and is not there at the next start is lost: it is
//! never given again, and who says that it heard one of these is told that it cannot go on from there.

use bytes::Bytes;

use super::row;
use crate::config::limits::{SPACE_LOST_MAX, SPACE_NUMBERS_AHEAD};
use crate::store::{Table, Write};

/// Numbers that may have been heard and are not on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) first: u64,
    pub(super) last: u64,
    /// When that was found out.
    pub(super) at_ms: u64,
}

/// The numbers of one space.
#[derive(Debug)]
pub(super) struct Numbers {
    space: &'static str,
    /// Up to this one they are reserved on disk.
    reserved: u64,
    /// Oldest first.
    lost: Vec<Lost>,
    /// Rows of `lost` that the disk has and that are of no more use.
    forgotten: Vec<u64>,
    /// The disk does not have `lost` as it is here.
    is_stale: bool,
}

impl Numbers {
    /// Of a space that begins.
    pub(super) fn new(space: &'static str) -> Self {
        Self { space, reserved: 0, lost: Vec::new(), forgotten: Vec::new(), is_stale: false }
    }

    /// As the disk has them, when `last` is the last one on disk; also the number to go on from. Nobody who could have
    /// heard a number that was lost before `since_ms` comes back.
    pub(super) fn load(
        space: &'static str,
        reserved: u64,
        lost: Vec<Lost>,
        last: u64,
        now_ms: u64,
        since_ms: u64,
    ) -> (Self, u64) {
        let mut all = Self { reserved, ..Self::new(space) };
        for lost in lost {
            if lost.at_ms < since_ms {
                all.forgotten.push(lost.last);
            } else {
                all.lost.push(lost);
            }
        }
        all.is_stale = !all.forgotten.is_empty();
        if reserved <= last {
            return (all, last);
        }
        all.lost.push(Lost { first: last + 1, last: reserved, at_ms: now_ms });
        all.is_stale = true;
        if all.lost.len() > SPACE_LOST_MAX {
            // What lies between them is refused too: that costs a session, and nothing is silently missed.
            let oldest = all.lost.remove(0);
            all.forgotten.push(oldest.last);
            all.lost.iter_mut().take(1).for_each(|next| next.first = oldest.first);
        }
        // One that nobody was given: what passes carries it for "everything before here".
        (all, reserved + 1)
    }

    /// Whether a message with this number may be heard before the disk has it.
    pub(super) fn covers(&self, seq: u64) -> bool {
        seq <= self.reserved
    }

    /// Whether a message with this number is gone although it may have been heard.
    pub(super) fn is_lost(&self, seq: u64) -> bool {
        self.lost.iter().any(|lost| (lost.first..=lost.last).contains(&seq))
    }

    /// Reserves with the next commit what will soon be needed behind `last`; up to which number.
    pub(super) fn claim(&self, last: u64, writes: &mut Vec<Write>) -> Option<u64> {
        let is_short = last.saturating_add(SPACE_NUMBERS_AHEAD / 2) > self.reserved;
        if !is_short && !self.is_stale {
            return None;
        }
        let upto = self.reserved.max(last.saturating_add(SPACE_NUMBERS_AHEAD));
        writes.push(self.reserve(upto));
        let (table, space) = (Table::Messages, self.space);
        let keys = self.forgotten.iter().map(|last| row::key_lost(space, *last));
        writes.extend(keys.map(|key| Write::Delete { table, key }));
        writes.extend(self.lost.iter().filter(|_| self.is_stale).map(|lost| Write::Put {
            table,
            key: row::key_lost(space, lost.last),
            value: row::numbers(&[lost.first, lost.at_ms]),
        }));
        Some(upto)
    }

    /// A commit with what [`Numbers::claim`] gave is on disk.
    pub(super) fn claimed(&mut self, upto: u64) {
        self.reserved = self.reserved.max(upto);
        self.forgotten.clear();
        self.is_stale = false;
    }

    /// Gives back what was not needed, when the space ends and `last` is on disk.
    pub(super) fn release(&self, last: u64) -> Option<Write> {
        (self.reserved > last).then(|| self.reserve(last))
    }

    fn reserve(&self, upto: u64) -> Write {
        let (key, value): (Bytes, Bytes) = (row::key_reserved(self.space), row::numbers(&[upto]));
        Write::Put { table: Table::Messages, key, value }
    }
}
