//! The form of rows: their keys, their checksums, and what stands in them.
//!
//! Owns the file format. Does not know where rows are kept or when they are written.
//!
//! A key is one byte for its space, then its parts, numbers in big endian so that byte order is number order.
//! A value ends with the CRC-32C of its key and itself: a row that was moved, mixed up or changed is noticed.

use super::Table;
use super::log::Fault;

/// The number of this file format. A program refuses files with a higher one. Since 2 the newest rows may be in the
/// journal, where a program that does not know of it would not find them; since 3 the journal's records say what was on
/// disk before them, and a program that does not know of that would not find these.
pub(super) const FORMAT: u32 = 3;

/// Row of the file format's number.
pub(super) const KEY_FORMAT: [u8; 2] = [0, 0];
/// Row of [`Census`].
pub(super) const KEY_CENSUS: [u8; 2] = [0, 1];
/// Row that is written to see whether the disk takes writes again.
pub(super) const KEY_PROBE: [u8; 2] = [0, 2];
/// Row of [`Mark`].
pub(super) const KEY_JOURNAL: [u8; 2] = [0, 3];

const SPACE_NAMES: u8 = 1;
const SPACE_HEADS: u8 = 2;
const SPACE_ORDER: u8 = 3;
const SPACE_LOG: u8 = 4;
const SPACE_SNAPSHOTS: u8 = 5;
const SPACE_NAMES_AGAIN: u8 = 6;
const SPACE_TABLES: u8 = 16;
const SPACE_STAMPS: u8 = 48;

/// A head counts its snapshots in one byte.
const SNAPSHOTS_MAX: usize = 255;

impl Table {
    /// The table's fixed number in the file; never give a number to another table.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Records => 0,
            Self::Sources => 1,
            Self::Drafts => 2,
            Self::Tokens => 3,
            Self::Cursors => 4,
            Self::Settings => 5,
            Self::Audit => 6,
            Self::Sessions => 7,
            Self::Messages => 8,
            Self::Outgoing => 9,
        }
    }
}

/// The key of a document's number, by its name.
pub(super) fn key_name(name: &str) -> Vec<u8> {
    joined(SPACE_NAMES, &[name.as_bytes()])
}

/// The key of a document's number once more: a name that is not found in its place must not be here either.
pub(super) fn key_name_again(name: &str) -> Vec<u8> {
    joined(SPACE_NAMES_AGAIN, &[name.as_bytes()])
}

/// The key of a document's [`Head`].
pub(super) fn key_head(doc: u64) -> Vec<u8> {
    joined(SPACE_HEADS, &[&doc.to_be_bytes()])
}

/// The key of the document whose newest row is `seq`.
pub(super) fn key_order(seq: u64) -> Vec<u8> {
    joined(SPACE_ORDER, &[&seq.to_be_bytes()])
}

/// The key of a log row.
pub(super) fn key_log(doc: u64, seq: u64) -> Vec<u8> {
    joined(SPACE_LOG, &[&doc.to_be_bytes(), &seq.to_be_bytes()])
}

/// The key of a snapshot.
pub(super) fn key_snapshot(doc: u64, upto: u64) -> Vec<u8> {
    joined(SPACE_SNAPSHOTS, &[&doc.to_be_bytes(), &upto.to_be_bytes()])
}

/// The key of a row of a table.
pub(super) fn key_table(table: Table, key: &[u8]) -> Vec<u8> {
    joined(SPACE_TABLES + table.number(), &[key])
}

/// The key of a table row's stamp: a row that is lost, or older than it should be, does not agree with it.
pub(super) fn key_stamp(table: Table, key: &[u8]) -> Vec<u8> {
    joined(SPACE_STAMPS + table.number(), &[key])
}

/// All names.
pub(super) const NAMES: ([u8; 1], [u8; 1]) = ([SPACE_NAMES], [SPACE_NAMES + 1]);
/// All heads.
pub(super) const HEADS: ([u8; 1], [u8; 1]) = ([SPACE_HEADS], [SPACE_HEADS + 1]);
/// The whole order.
pub(super) const ORDER: ([u8; 1], [u8; 1]) = ([SPACE_ORDER], [SPACE_ORDER + 1]);

/// The first key behind a table.
pub(super) fn end_of_table(table: Table) -> [u8; 1] {
    [SPACE_TABLES + table.number() + 1]
}

/// The first key behind a table's stamps.
pub(super) fn end_of_stamps(table: Table) -> [u8; 1] {
    [SPACE_STAMPS + table.number() + 1]
}

/// The number at the end of a key.
pub(super) fn seq_of(key: &[u8]) -> Result<u64, Fault> {
    key.last_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or_else(short)
}

fn joined(space: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|p| p.len()).sum::<usize>());
    key.push(space);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

fn short() -> Fault {
    Fault::Damaged("a row is too short".into())
}

fn sum(key: &[u8], value: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(key), value).to_le_bytes()
}

/// A value with its checksum, ready to be written.
pub(super) fn seal(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut value = Vec::with_capacity(4 + parts.iter().map(|p| p.len()).sum::<usize>());
    for part in parts {
        value.extend_from_slice(part);
    }
    let sum = sum(key, &value);
    value.extend_from_slice(&sum);
    value
}

/// The value without its checksum, once that was found right.
pub(super) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], Fault> {
    let (value, found) = sealed.split_last_chunk::<4>().ok_or_else(short)?;
    if *found == sum(key, value) { Ok(value) } else { Err(Fault::Damaged("a checksum is wrong".into())) }
}

/// Takes numbers off a value.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn u64(&mut self) -> Result<u64, Fault> {
        let (number, rest) = self.0.split_first_chunk::<8>().ok_or_else(short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }
    fn u8(&mut self) -> Result<u8, Fault> {
        let (number, rest) = self.0.split_first().ok_or_else(short)?;
        self.0 = rest;
        Ok(*number)
    }
}

/// What the whole file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// The last row of the log.
    pub(super) tip: u64,
    /// Documents, which are numbered from 1 to this.
    pub(super) docs: u64,
    /// The newest stamp of a table's row.
    pub(super) stamp: u64,
}

impl Census {
    /// The sealed row.
    pub(super) fn seal(&self) -> Vec<u8> {
        let numbers = [self.tip.to_le_bytes(), self.docs.to_le_bytes(), self.stamp.to_le_bytes()];
        seal(&KEY_CENSUS, &[numbers.as_flattened()])
    }

    /// Reads a sealed row.
    pub(super) fn unseal(sealed: &[u8]) -> Result<Self, Fault> {
        let mut parts = Parts(unseal(&KEY_CENSUS, sealed)?);
        Ok(Self { tip: parts.u64()?, docs: parts.u64()?, stamp: parts.u64()? })
    }
}

/// How far the rows are with the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Which of the journal's lives the numbers are of.
    pub(super) life: u64,
    /// The last record that is in the rows.
    pub(super) serial: u64,
    /// Whether the journal may hold later ones.
    pub(super) is_open: bool,
}

impl Mark {
    /// The sealed row.
    pub(super) fn seal(&self) -> Vec<u8> {
        let numbers = [self.life.to_le_bytes(), self.serial.to_le_bytes()];
        seal(&KEY_JOURNAL, &[numbers.as_flattened(), &[u8::from(self.is_open)]])
    }

    /// Reads a sealed row.
    pub(super) fn unseal(sealed: &[u8]) -> Result<Self, Fault> {
        let mut parts = Parts(unseal(&KEY_JOURNAL, sealed)?);
        Ok(Self { life: parts.u64()?, serial: parts.u64()?, is_open: parts.u8()? != 0 })
    }
}

/// What a document has: it tells when a row that should be there is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The document's name.
    pub(super) name: String,
    /// Its newest log row.
    pub(super) last: u64,
    /// Every row up to this one was removed; 0 while all are there.
    pub(super) floor: u64,
    /// Its snapshots, oldest first: the last row each one holds.
    pub(super) snapshots: Vec<u64>,
}

impl Head {
    /// The sealed row.
    pub(super) fn seal(&self, key: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(32 + 8 * self.snapshots.len() + self.name.len());
        value.extend_from_slice(&self.last.to_le_bytes());
        value.extend_from_slice(&self.floor.to_le_bytes());
        value.push(self.snapshots.len().min(SNAPSHOTS_MAX) as u8);
        for upto in self.snapshots.iter().take(SNAPSHOTS_MAX) {
            value.extend_from_slice(&upto.to_le_bytes());
        }
        value.extend_from_slice(self.name.as_bytes());
        seal(key, &[&value])
    }

    /// Reads a sealed row.
    pub(super) fn unseal(key: &[u8], sealed: &[u8]) -> Result<Self, Fault> {
        let mut parts = Parts(unseal(key, sealed)?);
        let (last, floor) = (parts.u64()?, parts.u64()?);
        let count = parts.u8()?;
        let mut snapshots = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            snapshots.push(parts.u64()?);
        }
        let name =
            String::from_utf8(parts.0.to_vec()).map_err(|_| Fault::Damaged("a name is not text".into()))?;
        Ok(Self { name, last, floor, snapshots })
    }
}

/// A sealed number.
pub(super) fn seal_number(key: &[u8], number: u64) -> Vec<u8> {
    seal(key, &[&number.to_le_bytes()])
}

/// Reads a sealed number.
pub(super) fn unseal_number(key: &[u8], sealed: &[u8]) -> Result<u64, Fault> {
    Parts(unseal(key, sealed)?).u64()
}

/// A sealed number with bytes. In the log it is the document's row before this one (0: none), with an update; in a
/// table it is the row's stamp, with its value.
pub(super) fn seal_numbered(key: &[u8], number: u64, bytes: &[u8]) -> Vec<u8> {
    seal(key, &[&number.to_le_bytes(), bytes])
}

/// Reads a sealed number with bytes.
pub(super) fn unseal_numbered<'a>(key: &[u8], sealed: &'a [u8]) -> Result<(u64, &'a [u8]), Fault> {
    let mut parts = Parts(unseal(key, sealed)?);
    let number = parts.u64()?;
    Ok((number, parts.0))
}
