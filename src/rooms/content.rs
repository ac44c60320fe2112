//! What a document is to its room: bytes, and what they cover.
//!
//! Owns the merged state, the edits after it, and the judgement of a new edit against both. Pure: no IO, no time, no
//! peers. It never builds the document's tree.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::event::{Edited, Frames, Refusal};
use super::merge;
use super::outbox::Said;
use crate::config::limits::{
    DOCUMENT_MAX_BYTES, DOCUMENT_PARTS_MAX, ROOM_RECENT_MAX_BYTES, ROOM_TAIL_MAX_BYTES, ROOM_TAIL_MAX_EDITS,
};
use crate::id::PeerId;
use crate::wire::gate::{self, Known, Placement, Structure};

/// The update that says nothing.
pub(super) const EMPTY_UPDATE: Bytes = Bytes::from_static(&[0, 0]);

/// What an edit is to the room.
pub(super) enum Verdict {
    /// Everything in it is known.
    Nothing,
    /// It belongs in, in this form.
    New(Bytes, Box<Structure>),
    /// A part of it is known: the rest belongs in, once it is [`cut`] off.
    Overlap(Bytes),
    /// Something before it is missing.
    Gap,
    /// It does not belong in.
    Refused(Refusal),
}

/// One document's content.
pub(super) struct Content {
    known: Known,
    /// Not less than what `known` holds: counting exactly takes long.
    parts_at_most: usize,
    have: Option<Bytes>,
    /// The state up to and including edit `merged`.
    base: Bytes,
    merged: u64,
    /// The number of the newest edit. Numbers count what this room took in since it was loaded.
    last: u64,
    /// The newest edits: all after `merged`, and some before it for readers that fell behind.
    recent: VecDeque<Said>,
    recent_bytes: usize,
    tail_bytes: usize,
}

impl Content {
    pub(super) fn new(known: Known, base: Bytes) -> Self {
        Self {
            parts_at_most: known.parts(),
            known,
            have: None,
            base,
            merged: 0,
            last: 0,
            recent: VecDeque::new(),
            recent_bytes: 0,
            tail_bytes: 0,
        }
    }

    /// What becomes of an edit that is well-formed. Changes nothing.
    pub(super) fn judge(&mut self, update: Bytes, structure: Box<Structure>) -> Verdict {
        match self.known.place(&structure) {
            Placement::Nothing => Verdict::Nothing,
            Placement::Gap => Verdict::Gap,
            Placement::New => self.room_for(update, structure),
            Placement::Overlap => Verdict::Overlap(update),
        }
    }

    fn room_for(&mut self, update: Bytes, structure: Box<Structure>) -> Verdict {
        let parts = structure.parts();
        if self.parts_at_most + parts > DOCUMENT_PARTS_MAX {
            self.parts_at_most = self.known.parts();
        }
        let fits = self.parts_at_most + parts <= DOCUMENT_PARTS_MAX;
        if !fits || self.bytes() + update.len() > DOCUMENT_MAX_BYTES {
            return Verdict::Refused(Refusal::TooLarge);
        }
        Verdict::New(update, structure)
    }

    /// Takes in an edit that was judged new just now; gives it with its number.
    pub(super) fn accept(&mut self, origin: PeerId, update: Bytes, structure: &Structure) -> Said {
        self.known.absorb(structure);
        self.parts_at_most += structure.parts();
        self.have = None;
        self.last += 1;
        self.tail_bytes += update.len();
        self.recent_bytes += update.len();
        let edit = Arc::new(Edited { update, frames: Frames::default() });
        let said = Said { first: self.last, origin: Some(origin), edit };
        self.recent.push_back(said.clone());
        said
    }

    /// The room's state vector, encoded.
    pub(super) fn have(&mut self) -> Bytes {
        self.have.get_or_insert_with(|| self.known.state_vector()).clone()
    }

    /// Bytes of a state vector with every writer of the document in it, at the most.
    pub(super) fn have_at_most(&self) -> usize {
        self.known.state_vector_at_most()
    }

    /// The number of the newest edit.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The merged state, and the last edit it holds.
    pub(super) fn base(&self) -> (Bytes, u64) {
        (self.base.clone(), self.merged)
    }

    /// Size of the content, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.base.len() + self.tail_bytes
    }

    /// The edits numbered `from` and later, or nothing when some of them are no longer at hand.
    pub(super) fn since(&self, from: u64) -> Option<impl Iterator<Item = &Said>> {
        let oldest = self.recent.front().map_or(self.last + 1, |said| said.first);
        (from >= oldest).then(|| self.recent.iter().skip((from - oldest) as usize))
    }

    /// The edits after the merged state.
    pub(super) fn tail(&self) -> impl Iterator<Item = &Said> {
        let from = self.merged + 1;
        self.recent.iter().skip_while(move |said| said.first < from)
    }

    /// Whether so much waits to be merged that it should be done now.
    pub(super) fn tail_is_long(&self) -> bool {
        self.tail_bytes > ROOM_TAIL_MAX_BYTES || self.last - self.merged > ROOM_TAIL_MAX_EDITS as u64
    }

    /// Puts the state that was merged up to edit `upto` in place of the older one.
    pub(super) fn rebase(&mut self, state: Bytes, upto: u64) {
        if upto < self.merged {
            return;
        }
        self.base = state;
        self.merged = upto;
        self.tail_bytes = self.tail().map(|said| said.edit.update.len()).sum();
        while self.recent_bytes > ROOM_RECENT_MAX_BYTES || self.recent.len() > ROOM_TAIL_MAX_EDITS {
            if self.recent.front().is_none_or(|said| said.first > upto) {
                break;
            }
            if let Some(old) = self.recent.pop_front() {
                self.recent_bytes -= old.edit.update.len();
            }
        }
    }
}

/// Cuts off an edit what is known already: nobody rewrites an old clock.
pub(super) fn cut(update: &Bytes, have: &[u8]) -> Result<(Bytes, Box<Structure>), Refusal> {
    let rest = merge::cut(update, have).map_err(|_| Refusal::Malformed)?;
    let structure = gate::check(&rest).map_err(|_| Refusal::Malformed)?;
    Ok((rest, Box::new(structure)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::{MIB, UPDATE_MAX_BYTES};
    use crate::wire::varint::write_uint;

    /// Client 1 types `len` letters after its first `clock` ones.
    fn typed(clock: u64, len: usize) -> Bytes {
        let mut out = vec![1, 1, 1];
        write_uint(&mut out, clock);
        if clock == 0 {
            out.extend([4, 1, 1, b't']);
        } else {
            out.extend([0x84, 1]);
            write_uint(&mut out, clock - 1);
        }
        write_uint(&mut out, len as u64);
        out.resize(out.len() + len, b'x');
        out.push(0);
        out.into()
    }

    fn judged(content: &mut Content, update: &Bytes) -> Verdict {
        let structure = gate::check(update).unwrap();
        content.judge(update.clone(), Box::new(structure))
    }

    /// Takes in an edit, if it belongs in.
    fn take(content: &mut Content, update: &Bytes) -> Option<Refusal> {
        match judged(content, update) {
            Verdict::New(update, structure) => drop(content.accept(PeerId(1), update, &structure)),
            Verdict::Refused(why) => return Some(why),
            Verdict::Nothing | Verdict::Gap | Verdict::Overlap(_) => panic!("not new"),
        }
        None
    }

    fn empty() -> Content {
        Content::new(Known::default(), EMPTY_UPDATE)
    }

    #[test]
    fn a_document_grows_to_its_bound_and_no_further() {
        let mut content = empty();
        let len = UPDATE_MAX_BYTES - 64;
        let mut clock = 0;
        let refused = loop {
            if let Some(why) = take(&mut content, &typed(clock, len)) {
                break why;
            }
            clock += len as u64;
        };
        assert_eq!(refused, Refusal::TooLarge);
        assert!(content.bytes() <= DOCUMENT_MAX_BYTES && content.bytes() > DOCUMENT_MAX_BYTES - 8 * MIB);
    }

    #[test]
    fn readers_that_fell_behind_find_the_newest_edits_by_their_number() {
        let mut content = empty();
        for n in 0..10 {
            assert_eq!(take(&mut content, &typed(n, 1)), None);
        }
        let numbers = |content: &Content, from| {
            content.since(from).map(|edits| edits.map(|said| said.first).collect::<Vec<_>>())
        };
        assert_eq!(numbers(&content, 8), Some(vec![8, 9, 10]));
        let whole = merge::merge(&content.tail().map(|s| s.edit.update.clone()).collect::<Vec<_>>()).unwrap();
        content.rebase(whole, 9);
        assert_eq!(content.tail().map(|said| said.first).collect::<Vec<_>>(), [10]);
        assert_eq!(numbers(&content, 2).map(|edits| edits.len()), Some(9), "few bytes stay at hand");
        for n in 0..3 {
            assert_eq!(take(&mut content, &typed(10 + n * MIB as u64, MIB)), None);
        }
        content.rebase(EMPTY_UPDATE, 13);
        assert_eq!(numbers(&content, 2), None, "who missed much gets the whole document");
        assert_eq!(numbers(&content, 14), Some(vec![]));
    }

    #[test]
    fn nobody_writes_an_old_clock_again() {
        let mut content = empty();
        assert_eq!(take(&mut content, &typed(0, 5)), None);
        assert!(matches!(judged(&mut content, &typed(0, 5)), Verdict::Nothing));
        assert!(matches!(judged(&mut content, &typed(6, 5)), Verdict::Gap));
        let Verdict::Overlap(update) = judged(&mut content, &typed(3, 5)) else { panic!("it overlaps") };
        let (rest, _) = cut(&update, &content.have()).unwrap();
        assert_eq!(take(&mut content, &rest), None);
        assert_eq!(content.have(), Bytes::from_static(&[1, 1, 8]));
    }
}
