//! Whether the blocks of an update can be put in order, and what they need from before it.
//!
//! Owns references between clients. A struct may refer to another client's struct in the same update wherever that
//! stands, as long as nothing waits for itself: editors would keep such structs waiting for ever.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::GateError;
use super::parse::Id;

/// All structs of one client in one update.
pub(super) struct Section {
    pub(super) client: u64,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Its references to other clients, in the order of its structs.
    pub(super) references: Range<usize>,
}

/// A struct of some section at `clock` refers to another client's struct `to`.
pub(super) struct Reference {
    pub(super) clock: u32,
    pub(super) to: Id,
}

/// What must be known before: `(client, clocks)`, by client. `sections` are sorted by client.
pub(super) fn needs(sections: &[Section], references: &[Reference]) -> Result<Vec<(u64, u32)>, GateError> {
    let mut needs: Vec<(u64, u32)> = Vec::new();
    let mut inner = false;
    for reference in references {
        let (client, clock) = reference.to;
        match find(sections, client).and_then(|place| sections.get(place)) {
            Some(section) if clock < section.start => {} // there when the section has no hole before it
            Some(section) if clock < section.end => inner = true,
            _ => match needs.last_mut() {
                Some(last) if last.0 == client => last.1 = last.1.max(clock + 1),
                _ => needs.push((client, clock + 1)),
            },
        }
    }
    needs.sort_unstable_by_key(|need| (need.0, Reverse(need.1)));
    needs.dedup_by_key(|need| need.0);
    if inner && !has_order(sections, references) {
        return Err(GateError::Circle);
    }
    Ok(needs)
}

fn find(sections: &[Section], client: u64) -> Option<usize> {
    sections.binary_search_by_key(&client, |section| section.client).ok()
}

/// One section while its structs are put in order.
struct Progress {
    /// The next reference to look at.
    at: usize,
    /// Every struct below this clock is in its place.
    done: u32,
    /// Sections that wait for one of this section's clocks.
    waiting: BinaryHeap<Reverse<(u32, usize)>>,
}

/// Walks each section as far as it goes; what stops at another section is woken when that has come far enough.
/// Each reference is looked at most twice, so this is `n log n`.
fn has_order(sections: &[Section], references: &[Reference]) -> bool {
    let mut progress: Vec<Progress> = sections
        .iter()
        .map(|s| Progress { at: s.references.start, done: s.start, waiting: BinaryHeap::new() })
        .collect();
    let mut ready: Vec<usize> = (0..sections.len()).collect();
    let mut finished = 0;
    while let Some(mine) = ready.pop() {
        let Some(section) = sections.get(mine) else { continue };
        let stop = advance(section, mine, sections, references, &mut progress);
        finished += usize::from(stop.is_none());
        let Some(own) = progress.get_mut(mine) else { continue };
        own.done = stop.unwrap_or(section.end);
        while own.waiting.peek().is_some_and(|Reverse((clock, _))| *clock < own.done) {
            ready.extend(own.waiting.pop().map(|Reverse((_, woken))| woken));
        }
    }
    finished == sections.len()
}

/// Goes on with one section; says at which of its clocks it has to wait, if it has to.
fn advance(
    section: &Section,
    mine: usize,
    sections: &[Section],
    references: &[Reference],
    progress: &mut [Progress],
) -> Option<u32> {
    let from = progress.get(mine).map_or(section.references.end, |own| own.at);
    for at in from..section.references.end {
        let reference = references.get(at)?;
        let (client, clock) = reference.to;
        let Some(other) = find(sections, client) else { continue };
        if sections.get(other).is_none_or(|s| clock >= s.end) {
            continue;
        }
        if let Some(other) = progress.get_mut(other)
            && clock >= other.done
        {
            other.waiting.push(Reverse((clock, mine)));
            if let Some(own) = progress.get_mut(mine) {
                own.at = at;
            }
            return Some(reference.clock);
        }
    }
    None
}
