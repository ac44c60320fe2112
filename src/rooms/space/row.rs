//! The form of a space's rows: keys, kept messages, sessions.
//!
//! Owns these formats. A row that does not read as its format is damage, never a guess.
//!
//! A key is the space's name with its length before it, one byte for the kind of row, then the rest.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::event::Room;
use super::kept::{Kept, Spared};
use super::session::{Mark, Session, Stay};

/// The number of these formats.
const FORMAT: u8 = 1;

const KIND_ALIVE: u8 = b'a';
const KIND_GONE: u8 = b'g';
const KIND_HEAD: u8 = b'h';
const KIND_LOST: u8 = b'l';
const KIND_MESSAGE: u8 = b'm';
const KIND_RESERVED: u8 = b'r';
const KIND_SESSION: u8 = b's';

fn key(space: &str, kind: u8, rest: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(2 + space.len() + rest.len());
    key.push(space.len() as u8);
    key.extend_from_slice(space.as_bytes());
    key.push(kind);
    key.extend_from_slice(rest);
    key.into()
}

/// The key of a kept message.
pub(super) fn key_message(space: &str, seq: u64) -> Bytes {
    key(space, KIND_MESSAGE, &seq.to_be_bytes())
}

/// The key of a session.
pub(super) fn key_session(space: &str, mark: &Mark) -> Bytes {
    key(space, KIND_SESSION, &mark.0)
}

/// The key of a room's last message that left the ring.
pub(super) fn key_gone(space: &str, room: &Room) -> Bytes {
    key(space, KIND_GONE, room.as_str().as_bytes())
}

/// The key of the last number given, and the last message of a forgotten room, or for everybody, that left the
/// ring.
pub(super) fn key_head(space: &str) -> Bytes {
    key(space, KIND_HEAD, &[])
}

/// The key of the last number that is reserved.
pub(super) fn key_reserved(space: &str) -> Bytes {
    key(space, KIND_RESERVED, &[])
}

/// The key of numbers that were lost, by the last of them.
pub(super) fn key_lost(space: &str, last: u64) -> Bytes {
    key(space, KIND_LOST, &last.to_be_bytes())
}

/// The key of when members were last known to be here.
pub(super) fn key_alive(space: &str) -> Bytes {
    key(space, KIND_ALIVE, &[])
}

/// Where rows of one kind begin.
pub(super) fn first_message(space: &str) -> Bytes {
    key(space, KIND_MESSAGE, &[])
}

/// Where lost numbers begin.
pub(super) fn first_lost(space: &str) -> Bytes {
    key(space, KIND_LOST, &[])
}

/// Where sessions begin.
pub(super) fn first_session(space: &str) -> Bytes {
    key(space, KIND_SESSION, &[])
}

/// Where rooms with messages that left begin.
pub(super) fn first_gone(space: &str) -> Bytes {
    key(space, KIND_GONE, &[])
}

/// All rows of a space.
pub(super) fn all(space: &str) -> (Bytes, Bytes) {
    (key(space, 0, &[]), key(space, u8::MAX, &[]))
}

/// Numbers as a row.
pub(super) fn numbers(numbers: &[u64]) -> Bytes {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Reads numbers.
pub(super) fn read_numbers<const N: usize>(mut row: Bytes) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = u64_of(&mut row)?;
    }
    Some(numbers)
}

/// Reads the room of a key made by [`key_gone`].
pub(super) fn read_room(rest: &[u8]) -> Option<Room> {
    Room::new(std::str::from_utf8(rest).ok()?).ok()
}

/// A kept message as a row.
pub(super) fn message(kept: &Kept) -> Bytes {
    let mut row = Vec::with_capacity(64 + kept.cost());
    row.push(FORMAT);
    row.extend_from_slice(&kept.at_ms.to_le_bytes());
    put_text(&mut row, kept.id.as_deref().unwrap_or_default());
    put_text(&mut row, &kept.name);
    put_count(&mut row, kept.to.len());
    kept.to.iter().for_each(|room| put_text(&mut row, room.as_str()));
    put_count(&mut row, kept.except.len());
    for spared in &kept.except {
        match spared {
            Spared::Sid(sid) => {
                row.push(0);
                put_text(&mut row, sid);
            }
            Spared::Room(room) => {
                row.push(1);
                put_text(&mut row, room.as_str());
            }
        }
    }
    put_count(&mut row, kept.attachments.len());
    kept.attachments.iter().for_each(|bytes| put_bytes(&mut row, bytes));
    row.extend_from_slice(&kept.body);
    row.into()
}

/// Reads a kept message; `None` when it makes no sense.
pub(super) fn read_message(seq: u64, mut row: Bytes) -> Option<Kept> {
    let row = &mut row;
    if u8_of(row)? != FORMAT {
        return None;
    }
    let at_ms = u64_of(row)?;
    let id = Some(text_of(row)?).filter(|id| !id.is_empty());
    let name = text_of(row)?;
    let to = (0..u32_of(row)?).map(|_| room_of(row)).collect::<Option<_>>()?;
    let except = (0..u32_of(row)?)
        .map(|_| match u8_of(row)? {
            0 => Some(Spared::Sid(text_of(row)?)),
            1 => Some(Spared::Room(room_of(row)?)),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let attachments = (0..u32_of(row)?).map(|_| bytes_of(row)).collect::<Option<_>>()?;
    let body = row.split_off(0);
    Some(Kept { seq, at_ms, to, except, id, name, body, attachments })
}

/// A session as a row. `away_ms`: since when it is away; 0 while its member is here.
pub(super) fn session(session: &Session, away_ms: u64, rooms: &[(Room, u64)]) -> Bytes {
    let mut row = Vec::with_capacity(64 + rooms.len() * 24);
    row.push(FORMAT);
    row.extend_from_slice(&away_ms.to_le_bytes());
    row.extend_from_slice(&session.joined.to_le_bytes());
    put_text(&mut row, &session.sid);
    row.push(u8::from(session.person.is_some()));
    put_text(&mut row, session.person.as_deref().unwrap_or_default());
    put_count(&mut row, rooms.len());
    for (room, since) in rooms {
        row.extend_from_slice(&since.to_le_bytes());
        put_text(&mut row, room.as_str());
    }
    row.extend_from_slice(&session.unheard.to_le_bytes());
    put_count(&mut row, session.left.len());
    for stay in &session.left {
        row.extend_from_slice(&stay.since.to_le_bytes());
        row.extend_from_slice(&stay.upto.to_le_bytes());
        put_text(&mut row, stay.room.as_str());
    }
    row.into()
}

/// What a session's row says.
pub(super) struct ReadSession {
    pub(super) away_ms: u64,
    pub(super) joined: u64,
    pub(super) sid: Arc<str>,
    pub(super) person: Option<Arc<str>>,
    pub(super) rooms: Vec<(Room, u64)>,
    pub(super) unheard: u64,
    pub(super) left: VecDeque<Stay>,
}

/// Reads a session; `None` when it makes no sense.
pub(super) fn read_session(mut row: Bytes) -> Option<ReadSession> {
    let row = &mut row;
    if u8_of(row)? != FORMAT {
        return None;
    }
    let (away_ms, joined, sid) = (u64_of(row)?, u64_of(row)?, text_of(row)?);
    let known = u8_of(row)? == 1;
    let person = Some(text_of(row)?).filter(|_| known);
    let rooms = (0..u32_of(row)?)
        .map(|_| {
            let since = u64_of(row)?;
            Some((room_of(row)?, since))
        })
        .collect::<Option<_>>()?;
    let (mut unheard, mut left) = (0, VecDeque::new());
    // Earlier releases end here.
    if !row.is_empty() {
        unheard = u64_of(row)?;
        for _ in 0..u32_of(row)? {
            let (since, upto) = (u64_of(row)?, u64_of(row)?);
            left.push_back(Stay { room: room_of(row)?, since, upto });
        }
    }
    Some(ReadSession { away_ms, joined, sid, person, rooms, unheard, left })
}

fn put_count(row: &mut Vec<u8>, count: usize) {
    row.extend_from_slice(&(count as u32).to_le_bytes());
}

fn put_text(row: &mut Vec<u8>, text: &str) {
    put_bytes(row, text.as_bytes());
}

fn put_bytes(row: &mut Vec<u8>, bytes: &[u8]) {
    put_count(row, bytes.len());
    row.extend_from_slice(bytes);
}

fn u8_of(row: &mut Bytes) -> Option<u8> {
    let byte = *row.first()?;
    *row = row.slice(1..);
    Some(byte)
}

fn u32_of(row: &mut Bytes) -> Option<u32> {
    let number = u32::from_le_bytes(*row.first_chunk::<4>()?);
    *row = row.slice(4..);
    Some(number)
}

fn u64_of(row: &mut Bytes) -> Option<u64> {
    let number = u64::from_le_bytes(*row.first_chunk::<8>()?);
    *row = row.slice(8..);
    Some(number)
}

fn bytes_of(row: &mut Bytes) -> Option<Bytes> {
    let length = u32_of(row)? as usize;
    if length > row.len() {
        return None;
    }
    Some(row.split_to(length))
}

fn text_of(row: &mut Bytes) -> Option<Arc<str>> {
    std::str::from_utf8(&bytes_of(row)?).ok().map(Arc::from)
}

fn room_of(row: &mut Bytes) -> Option<Room> {
    read_room(&bytes_of(row)?)
}
