//! Reads an update strictly: every struct, every delete, nothing besides.
//!
//! Owns the grammar of format v1 (`readClientsStructRefs` and `readDeleteSet` of Yjs 13). Refused although some
//! engine reads it: legacy JSON content, weak links, moves, empty blocks, a client twice. Structs that are
//! skipped are told apart, not refused: an honest client that merged its own updates writes them.

use super::content::{self, GC, SKIP, clocks, fits};
use super::order::{self, Reference, Section};
use super::{CLOCK_END, GateError, Range, Run, Structure};
use crate::wire::varint::Reader;

/// Bits of a struct's first byte; the low five are the kind of its content.
const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_PARENT_SUB: u8 = 0x20;
const KIND: u8 = 0x1f;

/// Fewest bytes of a client's block: count, client and clock.
const SECTION_MIN_BYTES: usize = 3;

/// The name of one struct: client and clock.
pub(super) type Id = (u64, u32);

/// One struct, read over.
pub(super) struct Struct {
    pub(super) info: u8,
    pub(super) len: u32,
    pub(super) right_origin: Option<Id>,
    /// Everything it refers to: origin, right origin, parent.
    pub(super) refers: [Option<Id>; 3],
    /// Where its key in its parent starts, when it says it; otherwise 0.
    pub(super) key_at: usize,
    /// Where its content starts.
    pub(super) content_at: usize,
}

impl Struct {
    pub(super) fn kind(&self) -> u8 {
        self.info & KIND
    }
}

/// Whether a struct's first byte says that it has an origin; the same byte for the rest of a cut struct.
pub(super) fn with_origin(info: u8) -> u8 {
    info | HAS_ORIGIN
}

/// Whether a struct's first byte says that it belongs to a key of its parent.
pub(super) fn has_parent_sub(info: u8) -> bool {
    info & HAS_PARENT_SUB != 0
}

/// Reads one struct.
#[inline]
pub(super) fn read_struct(reader: &mut Reader<'_>) -> Result<Struct, GateError> {
    let info = reader.byte()?;
    let kind = info & KIND;
    if kind == GC || kind == SKIP {
        if info != kind {
            return Err(GateError::Content(info));
        }
        let len = clocks(reader.uint()?)?;
        return Ok(Struct {
            info,
            len,
            right_origin: None,
            refers: [None; 3],
            key_at: 0,
            content_at: reader.at(),
        });
    }
    let origin = if info & HAS_ORIGIN == 0 { None } else { Some(read_id(reader)?) };
    let right_origin = if info & HAS_RIGHT_ORIGIN == 0 { None } else { Some(read_id(reader)?) };
    let (mut parent, mut key_at) = (None, 0);
    if origin.is_none() && right_origin.is_none() {
        match reader.byte()? {
            1 => _ = reader.str()?,
            0 => parent = Some(read_id(reader)?),
            _ => return Err(GateError::Content(info)),
        }
        if info & HAS_PARENT_SUB != 0 {
            key_at = reader.at();
            reader.str()?;
        }
    }
    let content_at = reader.at();
    let len = content::skip(reader, kind)?;
    Ok(Struct { info, len, right_origin, refers: [origin, right_origin, parent], key_at, content_at })
}

#[inline]
fn read_id(reader: &mut Reader<'_>) -> Result<Id, GateError> {
    let client = reader.uint()?;
    Ok((client, clock(reader.uint()?)?))
}

#[inline]
fn clock(value: u64) -> Result<u32, GateError> {
    match u32::try_from(value) {
        Ok(clock) if clock < CLOCK_END => Ok(clock),
        _ => Err(GateError::Clock),
    }
}

/// The clock `len` after `start`.
#[inline]
fn after(start: u32, len: u32) -> Result<u32, GateError> {
    match start.checked_add(len) {
        Some(end) if end <= CLOCK_END => Ok(end),
        _ => Err(GateError::Clock),
    }
}

/// Checks an update and tells its structure.
///
/// # Errors
/// See [`GateError`].
pub fn check(update: &[u8]) -> Result<Structure, GateError> {
    if u32::try_from(update.len()).is_err() {
        return Err(GateError::Count);
    }
    let mut reader = Reader::new(update);
    let mut blocks = Blocks::default();
    let count = reader.uint()?;
    for _ in 0..fits(count, &reader, SECTION_MIN_BYTES)? {
        blocks.read_section(&mut reader)?;
    }
    let deletes = read_deletes(&mut reader)?;
    reader.end()?;
    blocks.finish(deletes)
}

/// What is gathered while the blocks of all clients are read.
#[derive(Default)]
struct Blocks {
    runs: Vec<Run>,
    sections: Vec<Section>,
    references: Vec<Reference>,
    has_gap: bool,
}

impl Blocks {
    fn read_section(&mut self, reader: &mut Reader<'_>) -> Result<(), GateError> {
        let structs = reader.uint()?;
        let client = reader.uint()?;
        let start = clock(reader.uint()?)?;
        let structs = fits(structs, reader, 2)?;
        if structs == 0 {
            return Err(GateError::Empty);
        }
        let first_reference = self.references.len();
        let mut end = start;
        let mut open = false;
        for _ in 0..structs {
            let from = reader.at();
            let one = read_struct(reader)?;
            let next = after(end, one.len)?;
            if one.info == SKIP {
                self.has_gap = true;
                open = false;
            } else {
                let to = reader.at() as u32;
                match self.runs.last_mut() {
                    Some(run) if open => {
                        run.range.end = next;
                        run.to = to;
                        run.structs += 1;
                    }
                    _ => {
                        let range = Range { client, start: end, end: next };
                        self.runs.push(Run { range, from: from as u32, to, structs: 1 });
                        open = true;
                    }
                }
                self.refer(first_reference, (client, end), &one)?;
            }
            end = next;
        }
        let references = first_reference..self.references.len();
        self.sections.push(Section { client, start, end, references });
        Ok(())
    }

    /// Notes what a struct refers to, unless the one before it already said so.
    #[inline]
    fn refer(&mut self, first: usize, of: Id, one: &Struct) -> Result<(), GateError> {
        for to in one.refers.iter().flatten().copied() {
            if to.0 == of.0 {
                if to.1 >= of.1 {
                    return Err(GateError::Circle);
                }
                continue; // its own past is there when its blocks have no hole
            }
            let said = self.references.get(first..).and_then(<[_]>::last);
            if said.is_some_and(|last| last.to.0 == to.0 && last.to.1 >= to.1) {
                continue;
            }
            self.references.push(Reference { clock: of.1, to });
        }
        Ok(())
    }

    fn finish(mut self, deletes: Vec<Range>) -> Result<Structure, GateError> {
        self.sections.sort_unstable_by_key(|section| section.client);
        if self.sections.windows(2).any(|pair| pair[0].client == pair[1].client) {
            return Err(GateError::Twice);
        }
        self.runs.sort_unstable_by_key(|run| run.range);
        let needs = order::needs(&self.sections, &self.references)?;
        Ok(Structure { runs: self.runs, needs, deletes, has_gap: self.has_gap })
    }
}

fn read_deletes(reader: &mut Reader<'_>) -> Result<Vec<Range>, GateError> {
    let mut ranges: Vec<Range> = Vec::new();
    let count = reader.uint()?;
    let count = fits(count, reader, 2)?;
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = reader.uint()?;
        let deletes = reader.uint()?;
        if count > 1 {
            clients.push(client);
        }
        for _ in 0..fits(deletes, reader, 2)? {
            let start = clock(reader.uint()?)?;
            let end = after(start, clocks(reader.uint()?)?)?;
            ranges.push(Range { client, start, end });
        }
    }
    clients.sort_unstable();
    if clients.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(GateError::Twice);
    }
    united(&mut ranges);
    Ok(ranges)
}

/// Sorts ranges and joins those that touch or overlap.
pub(super) fn united(ranges: &mut Vec<Range>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let joins = next.client == kept.client && next.start <= kept.end;
        if joins {
            kept.end = kept.end.max(next.end);
        }
        joins
    });
}
