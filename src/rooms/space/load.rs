//! A space as the disk has it.
//!
//! Owns what happens when the disk's rows make no sense: the space starts empty, loudly, and never gives a
//! number twice.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::event::Room;
use super::numbers::{Lost, Numbers};
use super::ring::Ring;
use super::row::{self, ReadSession};
use super::session::{Mark, Place, Session, Sessions};
use super::{SpaceError, SpaceOptions};
use crate::config::limits::SPACE_READ_ROWS;
use crate::store::{CommitError, ReadError, Store, Table, Write};
use crate::telemetry::Metrics;

/// What a space starts from.
pub(super) struct Start {
    /// The last number given.
    pub(super) seq: u64,
    pub(super) numbers: Numbers,
    pub(super) ring: Ring,
    pub(super) sessions: Sessions,
    /// Publishers' keys: when, which, and the message.
    pub(super) ids: Vec<(u64, Arc<str>, u64)>,
}

impl Start {
    pub(super) fn empty(space: &'static str, options: &SpaceOptions, metrics: &Metrics) -> Self {
        Self {
            seq: 0,
            numbers: Numbers::new(space),
            ring: Ring::new(space, options, metrics),
            sessions: Sessions::new(options.sessions_max),
            ids: Vec::new(),
        }
    }
}

/// Reads a space. Blocks.
pub(super) fn load(
    store: &Store,
    space: &'static str,
    now_ms: u64,
    options: &SpaceOptions,
    metrics: &Metrics,
) -> Result<Start, SpaceError> {
    // Behind whatever the space's last life handed over. What the disk did not take of it is of no concern.
    match store.commit(Vec::new()) {
        Ok(behind) => drop(behind.blocking_recv()),
        Err(CommitError::Disk(_)) => {}
        Err(error @ (CommitError::Busy | CommitError::Closed | CommitError::Unwritable(_))) => {
            return Err(SpaceError::Unreadable(error.to_string()));
        }
    }
    match read(store, space, now_ms, options, metrics) {
        Ok(start) => Ok(start),
        Err(ReadError::Disk(why)) => Err(SpaceError::Unreadable(why)),
        Err(ReadError::Damaged(why)) => {
            tracing::error!(space, why, "kept messages are damaged on disk; nobody can take up a session");
            let mut start = Start::empty(space, options, metrics);
            // Nobody hands out a number a millisecond for as long as there are computers.
            start.seq = now_ms;
            wipe(store, space, start.seq);
            Ok(start)
        }
    }
}

fn read(
    store: &Store,
    space: &'static str,
    now_ms: u64,
    options: &SpaceOptions,
    metrics: &Metrics,
) -> Result<Start, ReadError> {
    let mut start = Start::empty(space, options, metrics);
    if let Some(head) = store.get(Table::Messages, &row::key_head(space))? {
        let [seq, gone] = row::read_numbers(head).ok_or_else(|| damaged("its head"))?;
        start.seq = seq;
        start.ring.all_gone(gone);
    }
    each(store, Table::Messages, &row::first_gone(space), |rest, value| {
        let room: Room = row::read_room(rest).ok_or_else(|| damaged("a room's name"))?;
        let [gone] = row::read_numbers(value).ok_or_else(|| damaged("a room"))?;
        start.ring.room_gone(room, gone);
        Ok(())
    })?;
    let mut alive_ms = 0;
    if let Some(alive) = store.get(Table::Sessions, &row::key_alive(space))? {
        [alive_ms] = row::read_numbers(alive).ok_or_else(|| damaged("its last sign of life"))?;
    }
    each(store, Table::Messages, &row::first_message(space), |rest, value| {
        let seq = rest.try_into().map(u64::from_be_bytes).map_err(|_| damaged("a message's key"))?;
        let kept = row::read_message(seq, value).ok_or_else(|| damaged("a message"))?;
        start.seq = start.seq.max(seq);
        alive_ms = alive_ms.max(kept.at_ms);
        start.ids.extend(kept.id.as_ref().map(|id| (kept.at_ms, id.clone(), seq)));
        start.ring.add(kept, Weak::new());
        start.ring.trim(now_ms);
        Ok(())
    })?;
    each(store, Table::Sessions, &row::first_session(space), |rest, value| {
        let mark = rest.try_into().map(Mark).map_err(|_| damaged("a session's key"))?;
        let read = row::read_session(value).ok_or_else(|| damaged("a session"))?;
        // Who was here when the program ended is away since it was last seen running.
        let since_ms = if read.away_ms > 0 { read.away_ms } else { alive_ms }.min(now_ms);
        let place = Place::Away { member: None, since_ms, rooms: read.rooms };
        let ReadSession { joined, left, unheard, sid, person, .. } = read;
        let session = Session { sid, person, joined, left, unheard, place };
        start.sessions.load(mark, session, read.away_ms == 0);
        Ok(())
    })?;
    let window_ms = options.window.as_millis() as u64;
    start.sessions.sweep(now_ms, window_ms);
    let mut lost = Vec::new();
    each(store, Table::Messages, &row::first_lost(space), |rest, value| {
        let last = rest.try_into().map(u64::from_be_bytes).map_err(|_| damaged("a lost number's key"))?;
        let [first, at_ms] = row::read_numbers(value).ok_or_else(|| damaged("lost numbers"))?;
        lost.push(Lost { first, last, at_ms });
        Ok(())
    })?;
    let [reserved] = match store.get(Table::Messages, &row::key_reserved(space))? {
        Some(reserved) => row::read_numbers(reserved).ok_or_else(|| damaged("its reserved number"))?,
        None => [0],
    };
    let since_ms = now_ms.saturating_sub(window_ms);
    (start.numbers, start.seq) = Numbers::load(space, reserved, lost, start.seq, now_ms, since_ms);
    Ok(start)
}

/// Shows every row whose key begins so, in order, with the rest of its key.
fn each(
    store: &Store,
    table: Table,
    first: &Bytes,
    mut show: impl FnMut(&[u8], Bytes) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut from = first.clone();
    loop {
        let page = store.scan(table, &from, SPACE_READ_ROWS)?;
        let whole = page.len() == SPACE_READ_ROWS;
        for (key, value) in page {
            let Some(rest) = key.strip_prefix(&first[..]) else { return Ok(()) };
            show(rest, value)?;
            from = [&key[..], &[0]].concat().into();
        }
        if !whole {
            return Ok(());
        }
    }
}

fn damaged(what: &str) -> ReadError {
    ReadError::Damaged(format!("{what} makes no sense"))
}

/// Takes away what makes no sense, so that the next start is a clean one.
fn wipe(store: &Store, space: &str, seq: u64) {
    let ranges = [Table::Messages, Table::Sessions].map(|table| {
        let (from, to) = row::all(space);
        Write::DeleteRange { table, from, to }
    });
    let mut writes = Vec::from(ranges);
    let (key, value) = (row::key_head(space), row::numbers(&[seq, seq]));
    writes.push(Write::Put { table: Table::Messages, key, value });
    let done =
        store.commit(writes).and_then(|receipt| receipt.blocking_recv().unwrap_or(Err(CommitError::Closed)));
    if let Err(error) = done {
        tracing::error!(space, %error, "the damaged messages stay on disk");
    }
}
