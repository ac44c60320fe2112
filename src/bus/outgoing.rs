//! What the office publishes and the central server does not have yet: rows on disk, in order.
//!
//! Owns the rows, their numbers and how many may wait. Does not know when the server is there; a follower sends them.
//!
//! A row is removed in the commit that moves the cursor past it, after the server took it. A crash in between sends
//! it once more: at least once, in order.

use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::Notify;

use super::BusError;
use super::message::{Message, PublishError};
use crate::config::limits::{
    OUTGOING_BATCH, OUTGOING_BATCH_BYTES, OUTGOING_MAX_BYTES, OUTGOING_MAX_MESSAGES, OUTGOING_READ_ROWS,
};
use crate::lock::held;
use crate::store::{CommitError, Store, Table, Write};
use crate::telemetry::Metrics;

/// The follower's cursor, in [`Table::Cursors`].
const CURSOR: &[u8] = b"relay";

/// The rows that wait.
pub(super) struct Outgoing {
    store: Store,
    metrics: Metrics,
    waiting: Arc<Mutex<Waiting>>,
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    /// The number of the next row.
    next: u64,
    /// Rows, those on their way to the disk included.
    rows: usize,
    /// Rows and places.
    messages: usize,
    bytes: usize,
}

/// Room for one message that was asked for in time; given back unless the message is put.
pub(super) struct Place {
    waiting: Arc<Mutex<Waiting>>,
    bytes: usize,
    taken: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.taken {
            let mut waiting = held(&self.waiting);
            waiting.messages -= 1;
            waiting.bytes -= self.bytes;
        }
    }
}

/// Rows on their way.
pub(super) struct Batch {
    /// The messages, in order.
    pub(super) messages: Vec<Message>,
    /// The number of each one's row.
    numbers: Vec<u64>,
}

impl Outgoing {
    /// Counts what waits from the last time. Blocks.
    pub(super) fn open(store: Store, metrics: Metrics) -> Result<Self, BusError> {
        let unread = |error: crate::store::ReadError| BusError(error.to_string());
        let cursor = store.get(Table::Cursors, CURSOR).map_err(unread)?;
        let mut waiting = Waiting {
            next: cursor.as_deref().and_then(number).map_or(1, |sent| sent + 1),
            ..Waiting::default()
        };
        loop {
            let rows = store
                .scan(Table::Outgoing, &waiting.next.to_be_bytes(), OUTGOING_READ_ROWS)
                .map_err(unread)?;
            let full = rows.len() == OUTGOING_READ_ROWS;
            for (key, row) in rows {
                waiting.next = number(&key).map_or(waiting.next, |number| number + 1);
                waiting.rows += 1;
                waiting.messages += 1;
                waiting.bytes += row.len();
            }
            if !full {
                break;
            }
        }
        metrics.bus_waiting.set(waiting.messages as i64);
        Ok(Self { store, metrics, waiting: Arc::new(Mutex::new(waiting)), more: Notify::new() })
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        held(&self.waiting).rows
    }

    /// Keeps room for a message, so that it can be put once the office has heard it. `None`: too much waits already.
    pub(super) fn place(&self, message: &Message) -> Option<Place> {
        let bytes = row(message).len();
        let mut waiting = held(&self.waiting);
        if waiting.messages >= OUTGOING_MAX_MESSAGES || waiting.bytes + bytes > OUTGOING_MAX_BYTES {
            return None;
        }
        waiting.messages += 1;
        waiting.bytes += bytes;
        Some(Place { waiting: Arc::clone(&self.waiting), bytes, taken: false })
    }

    /// Puts a message at the end. It is on disk when this returns.
    pub(super) async fn put(&self, message: &Message, mut place: Place) -> Result<(), PublishError> {
        let failed = |error: CommitError| PublishError::Failed(error.to_string());
        let done = {
            // Numbers and rows in the same order: the commit is handed over before the next number is given.
            let mut waiting = held(&self.waiting);
            let key = Bytes::copy_from_slice(&waiting.next.to_be_bytes());
            let put = Write::Put { table: Table::Outgoing, key, value: row(message) };
            let done = self.store.commit(vec![put]).map_err(failed)?;
            waiting.next += 1;
            waiting.rows += 1;
            done
        };
        let done = done.await;
        if !matches!(done, Ok(Ok(_))) {
            let mut waiting = held(&self.waiting);
            waiting.rows = waiting.rows.saturating_sub(1);
        }
        match done {
            Ok(Ok(_)) => {
                place.taken = true;
                self.metrics.bus_waiting.set(self.count() as i64);
                self.more.notify_one();
                Ok(())
            }
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(PublishError::Failed("the store is closed".into())),
        }
    }

    /// Waits until a message may have been put.
    pub(super) async fn put_since(&self) {
        self.more.notified().await;
    }

    /// The oldest rows, at most so many, and no more than are sent at once. Blocks.
    pub(super) fn oldest(&self, most: usize) -> Result<Batch, BusError> {
        let most = most.clamp(1, OUTGOING_BATCH);
        let unread = |error: crate::store::ReadError| BusError(error.to_string());
        let rows = self.store.scan(Table::Outgoing, &[], most).map_err(unread)?;
        let mut batch = Batch { messages: Vec::new(), numbers: Vec::new() };
        let mut bytes = 0;
        for (key, row) in rows {
            bytes += row.len();
            if bytes > OUTGOING_BATCH_BYTES && !batch.messages.is_empty() {
                break;
            }
            let (Some(number), Some(message)) = (number(&key), message(&row)) else {
                return Err(BusError("a waiting message makes no sense".into()));
            };
            batch.numbers.push(number);
            batch.messages.push(message);
        }
        Ok(batch)
    }

    /// The first `count` of these were taken by the server: they go, and the cursor moves, in one commit.
    pub(super) async fn sent(&self, batch: &Batch, count: usize) -> Result<(), BusError> {
        let gone = batch.numbers.get(..count).unwrap_or_default();
        let Some(last) = gone.last() else { return Ok(()) };
        let mut writes: Vec<Write> = gone
            .iter()
            .map(|number| Write::Delete {
                table: Table::Outgoing,
                key: Bytes::copy_from_slice(&number.to_be_bytes()),
            })
            .collect();
        let value = Bytes::copy_from_slice(&last.to_be_bytes());
        writes.push(Write::Put { table: Table::Cursors, key: Bytes::from_static(CURSOR), value });
        let done = self.store.commit(writes).map_err(|error| BusError(error.to_string()))?;
        done.await
            .map_err(|_| BusError("the store is closed".into()))?
            .map_err(|error| BusError(error.to_string()))?;
        let mut waiting = held(&self.waiting);
        waiting.rows = waiting.rows.saturating_sub(count);
        waiting.messages = waiting.messages.saturating_sub(count);
        let bytes = batch.messages.iter().take(count).map(|message| row(message).len()).sum::<usize>();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        self.metrics.bus_waiting.set(waiting.rows as i64);
        Ok(())
    }
}

fn row(message: &Message) -> Bytes {
    let mut row = BytesMut::with_capacity(2 + message.channel.len() + message.body.len());
    row.put_u16(message.channel.len() as u16);
    row.put_slice(message.channel.as_bytes());
    row.put_slice(&message.body);
    row.freeze()
}

fn message(row: &Bytes) -> Option<Message> {
    let (length, rest) = row.split_first_chunk::<2>()?;
    let (channel, body) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Message::new(std::str::from_utf8(channel).ok()?, row.slice_ref(body)).ok()
}

fn number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}
