//! What a document has, and where an update belongs.
//!
//! Owns a document's state vector and deleted ranges, compactly. Does not know the contents.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{GateError, Range, StateVector, Structure, check, vector};

/// More new deletes than this at once are merged in one pass instead of one by one.
const FEW_DELETES: usize = 8;

/// Where an update belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Everything in it is known, deletes too.
    Nothing,
    /// It follows exactly: take it as it is.
    New,
    /// Parts of it are known: cut it, then check and place what is left.
    Overlap,
    /// Something before it is missing: ask the sender to sync.
    Gap,
}

/// What a document has: its state vector and what is deleted. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    clocks: BTreeMap<u64, u32>,
    /// By client; sorted, neither touching nor overlapping.
    deleted: BTreeMap<u64, Vec<(u32, u32)>>,
}

impl Known {
    /// What a stored document has: its parts in the order they were stored.
    ///
    /// # Errors
    /// When a part is not an update, or does not follow from those before it.
    pub fn from_parts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Result<Self, GateError> {
        let mut known = Self::default();
        for part in parts {
            let structure = check(part)?;
            if known.place(&structure) == Placement::Gap {
                return Err(GateError::Missing);
            }
            known.absorb(&structure);
        }
        Ok(known)
    }

    /// Where an update belongs.
    #[must_use]
    pub fn place(&self, update: &Structure) -> Placement {
        let (mut stale, mut fresh) = (false, false);
        let mut reach = (0, 0);
        for run in update.runs.iter().map(|run| run.range) {
            if reach.0 != run.client || reach.1 == 0 {
                reach = (run.client, self.clock(run.client));
            }
            if run.start > reach.1 {
                return Placement::Gap;
            }
            stale |= run.start < reach.1;
            fresh |= run.end > reach.1;
            reach.1 = reach.1.max(run.end);
        }
        let deletes_known = update.deletes.iter().all(|range| self.is_deleted(*range));
        if !fresh && deletes_known {
            return Placement::Nothing;
        }
        if stale || update.has_gap {
            return Placement::Overlap;
        }
        let needs_known = update.needs.iter().all(|(client, clocks)| self.clock(*client) >= *clocks);
        let deletes_exist =
            update.deletes.iter().all(|range| self.clock_after(update, range.client) >= range.end);
        if needs_known && deletes_exist { Placement::New } else { Placement::Gap }
    }

    /// Takes over what an update brought. Only for updates that were placed: a run behind a hole is left out.
    pub fn absorb(&mut self, update: &Structure) {
        for run in update.runs.iter().map(|run| run.range) {
            let clock = self.clocks.entry(run.client).or_default();
            if run.start <= *clock {
                *clock = run.end.max(*clock);
            }
        }
        for ranges in update.deletes.chunk_by(|a, b| a.client == b.client) {
            let Some(client) = ranges.first().map(|range| range.client) else { continue };
            let deleted = self.deleted.entry(client).or_default();
            if ranges.len() <= FEW_DELETES {
                ranges.iter().for_each(|range| insert(deleted, (range.start, range.end)));
            } else {
                deleted.extend(ranges.iter().map(|range| (range.start, range.end)));
                unite(deleted);
            }
        }
    }

    /// The state vector, encoded.
    #[must_use]
    pub fn state_vector(&self) -> Bytes {
        vector::encode(self.clocks.len(), self.clocks.iter().rev().map(|(client, clock)| (*client, *clock)))
    }

    /// No fewer bytes than the state vector has, told at once.
    #[must_use]
    pub fn state_vector_at_most(&self) -> usize {
        vector::ENTRY_MAX_BYTES * (self.clocks.len() + 1)
    }

    /// The state vector as a value.
    #[must_use]
    pub fn clocks(&self) -> StateVector {
        StateVector::sorted(self.clocks.iter().map(|(client, clock)| (*client, *clock)).collect())
    }

    /// Whether everything that `have` counts is here.
    #[must_use]
    pub fn covers(&self, have: &StateVector) -> bool {
        have.iter().all(|(client, clock)| self.clock(client) >= clock)
    }

    #[cfg(test)]
    pub(super) fn clocks_are(&mut self, have: &StateVector) {
        self.clocks = have.iter().filter(|entry| entry.1 > 0).collect();
    }

    /// Whether nothing is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clocks.is_empty()
    }

    /// How many clients and deleted ranges are held: what this costs in memory.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.clocks.len() + self.deleted.values().map(Vec::len).sum::<usize>()
    }

    fn clock(&self, client: u64) -> u32 {
        self.clocks.get(&client).copied().unwrap_or_default()
    }

    fn clock_after(&self, update: &Structure, client: u64) -> u32 {
        let past = update.runs.partition_point(|run| run.range.client <= client);
        let own = past.checked_sub(1).and_then(|last| update.runs.get(last));
        let end = own.filter(|run| run.range.client == client).map_or(0, |run| run.range.end);
        end.max(self.clock(client))
    }

    fn is_deleted(&self, range: Range) -> bool {
        let Some(deleted) = self.deleted.get(&range.client) else { return false };
        let past = deleted.partition_point(|kept| kept.0 <= range.start);
        past.checked_sub(1).and_then(|last| deleted.get(last)).is_some_and(|kept| kept.1 >= range.end)
    }
}

/// Adds one range, joining what it touches.
fn insert(ranges: &mut Vec<(u32, u32)>, mut new: (u32, u32)) {
    let from = ranges.partition_point(|kept| kept.1 < new.0);
    let to = ranges.partition_point(|kept| kept.0 <= new.1);
    if let Some(touched) = ranges.get(from..to)
        && let (Some(first), Some(last)) = (touched.first(), touched.last())
    {
        new = (new.0.min(first.0), new.1.max(last.1));
    }
    ranges.splice(from..to, [new]);
}

/// Sorts ranges and joins those that touch.
fn unite(ranges: &mut Vec<(u32, u32)>) {
    ranges.sort(); // two sorted parts: one pass
    ranges.dedup_by(|next, kept| {
        let joins = next.0 <= kept.1;
        if joins {
            kept.1 = kept.1.max(next.1);
        }
        joins
    });
}
