//! The form of the journal's records: which rows a transaction put and removed, so that it can be done again.
//!
//! Owns the bytes of a record, and which records after which others are whole. Does not know files, nor what rows mean.
//!
//! A record is its mark, the bytes of its content, the life of the journal that it belongs to, its number, the last
//! number that was on disk when it was written, a CRC-32C of all of these and the content. Numbers follow each other
//! without a gap. The life is random and stays on this computer: bytes that strangers put into rows cannot pass for a
//! record.

use super::log::{Fault, Writing};
use crate::config::limits::JOURNAL_RECORD_MAX_BYTES;

/// How a record begins.
const MARK: [u8; 4] = *b"\xC7ro2";
/// How one begins that does not say what was on disk: everything before it counts as that.
const MARK_BEFORE: [u8; 4] = *b"\xC7row";
/// Bytes before a record's content.
const HEAD: usize = 36;
/// Records begin at multiples of this many bytes, so that looking for one is quick.
const STEP: usize = 16;
/// Bytes before a change's own.
const CHANGE_HEAD: usize = 9;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;

/// What one transaction changes, as the content of a record that has no number yet.
#[derive(Debug)]
pub(super) struct Redo {
    bytes: Vec<u8>,
    rows: usize,
    is_whole: bool,
}

impl Redo {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEAD], rows: 0, is_whole: true }
    }

    /// Whether it holds everything; what grows too large for the journal is not written down to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Bytes of the record.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many changes it holds.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What it holds, in the form of [`again`].
    pub(super) fn content(&self) -> &[u8] {
        self.bytes.get(HEAD..).unwrap_or_default()
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.change(PUT, key, value);
    }

    pub(super) fn delete(&mut self, key: &[u8]) {
        self.change(DELETE, key, &[]);
    }

    pub(super) fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        self.change(DELETE_RANGE, from, to);
    }

    fn change(&mut self, kind: u8, first: &[u8], second: &[u8]) {
        let length = CHANGE_HEAD + first.len() + second.len();
        self.is_whole &= self.bytes.len() + length <= JOURNAL_RECORD_MAX_BYTES;
        if !self.is_whole {
            return;
        }
        self.rows += 1;
        self.bytes.push(kind);
        for part in [first, second] {
            self.bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        }
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
    }

    /// The finished record. `synced`: the last number that is on disk.
    pub(super) fn record(&mut self, life: u64, serial: u64, synced: u64) -> &[u8] {
        let length = (self.bytes.len() - HEAD) as u32;
        let sum = sum(&[life, serial, synced], length, self.content());
        let [life, serial, synced] = [life, serial, synced].map(u64::to_le_bytes);
        let head = [&MARK[..], &length.to_le_bytes(), &life, &serial, &synced, &sum].concat();
        self.bytes.splice(..HEAD, head);
        &self.bytes
    }
}

/// How much room a record of so many bytes takes.
pub(super) fn place(record: usize) -> usize {
    record.next_multiple_of(STEP)
}

fn sum(numbers: &[u64], length: u32, content: &[u8]) -> [u8; 4] {
    let sum = numbers.iter().fold(0, |sum, number| crc32c::crc32c_append(sum, &number.to_le_bytes()));
    let sum = crc32c::crc32c_append(sum, &length.to_le_bytes());
    crc32c::crc32c_append(sum, content).to_le_bytes()
}

/// A record that is whole.
struct Record<'a> {
    serial: u64,
    /// The last number that was on disk when it was written.
    synced: u64,
    content: &'a [u8],
    /// Bytes before the next one.
    place: usize,
}

impl<'a> Record<'a> {
    /// The one that begins here, if it is of this life.
    fn read(life: u64, from: &'a [u8]) -> Option<Self> {
        let (mark, rest) = from.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (its_life, rest) = rest.split_first_chunk::<8>()?;
        let (serial, rest) = rest.split_first_chunk::<8>()?;
        let (synced, rest) = match *mark {
            MARK => rest
                .split_first_chunk::<8>()
                .map(|(synced, rest)| (Some(u64::from_le_bytes(*synced)), rest))?,
            MARK_BEFORE => (None, rest),
            _ => return None,
        };
        let (found, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        let serial = u64::from_le_bytes(*serial);
        if u64::from_le_bytes(*its_life) != life {
            return None;
        }
        let content = rest.get(..length as usize)?;
        let sum = match synced {
            Some(synced) => sum(&[life, serial, synced], length, content),
            None => sum(&[life, serial], length, content),
        };
        let place = place(from.len() - rest.len() + content.len());
        let synced = synced.unwrap_or(serial.saturating_sub(1));
        (*found == sum).then_some(Self { serial, synced, content, place })
    }
}

/// What is to be done again: the contents of the records behind number `after`, and the last number that was given.
///
/// Records stand one behind the other from the beginning; behind the last one lies what is left of older ones. What was
/// not on disk when the computer stopped was never acknowledged, and the disk may have kept any of it: a record that is
/// not whole is the end, unless a later one says that it was on disk. Then it is damage. What stands behind the end
/// keeps its number, so that nothing that is written in the place of what is missing makes it follow again.
pub(super) fn tail(life: u64, after: u64, area: &[u8]) -> Result<(Vec<&[u8]>, u64), Fault> {
    let mut tail = Vec::new();
    let mut last: Option<u64> = None;
    let mut at = 0;
    while let Some(record) = area.get(at..).and_then(|from| Record::read(life, from)) {
        let serial = record.serial;
        let follows = last.map_or(serial <= after.saturating_add(1), |last| serial == last + 1);
        if !follows {
            break;
        }
        if serial > after {
            tail.push(record.content);
        }
        last = Some(serial);
        at += record.place;
    }
    let end = last.unwrap_or(0).max(after);
    let mut given = end;
    let rest = area.get(at..).unwrap_or_default();
    for start in (0..rest.len()).step_by(STEP) {
        let record = rest.get(start..).and_then(|from| Record::read(life, from));
        let Some(Record { serial, synced, .. }) = record.filter(|record| record.serial > end) else {
            continue;
        };
        if synced > end {
            return Err(Fault::Damaged(format!(
                "the journal is not whole: record {} cannot be read, and record {serial} follows it",
                end + 1
            )));
        }
        given = given.max(serial);
    }
    Ok((tail, given))
}

/// Does the changes of a record again.
pub(super) fn again(mut content: &[u8], rows: &mut Writing<'_>) -> Result<(), Fault> {
    let unclear = || Fault::Damaged("a record of the journal makes no sense".into());
    while let Some((head, rest)) = content.split_first_chunk::<CHANGE_HEAD>() {
        let [kind, first @ .., s0, s1, s2, s3] = *head;
        let (first, second) = (u32::from_le_bytes(first), u32::from_le_bytes([s0, s1, s2, s3]));
        let (first, rest) = rest.split_at_checked(first as usize).ok_or_else(unclear)?;
        let (second, rest) = rest.split_at_checked(second as usize).ok_or_else(unclear)?;
        match kind {
            PUT => rows.put(first, second)?,
            DELETE => rows.delete(first)?,
            DELETE_RANGE => rows.delete_range(first, second)?,
            _ => return Err(unclear()),
        }
        content = rest;
    }
    if content.is_empty() { Ok(()) } else { Err(unclear()) }
}
