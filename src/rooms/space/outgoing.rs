//! From "said" to "on disk": messages, sessions and what left the ring, on their way to the store.
//!
//! Owns the order of commits and what happens when one fails. Does not know members.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::SpaceError;
use super::event::{Room, Said};
use super::ring::Kept;
use super::row;
use super::session::Mark;
use crate::config::limits::{COMMIT_ROWS_MAX, SAVE_RETRY, SAVE_RETRY_DISK, SPACE_COMMIT_MAX_BYTES};
use crate::rooms::alarm::Alarm;
use crate::rooms::saving::{Receipt, receipt};
use crate::store::{CommitError, Committed, Store, Table, Write};

/// The answer to whoever said something.
pub(super) type SaidReply = oneshot::Sender<Result<Said, SpaceError>>;

/// A message that is not on disk yet.
pub(super) struct Pending {
    pub(super) kept: Kept,
    /// Who waits: the publisher, and those who said it again meanwhile.
    pub(super) replies: Vec<SaidReply>,
}

/// What one commit carries beside messages.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) writes: Vec<Write>,
    pub(super) marks: Vec<Mark>,
    /// Rooms that [`super::ring::Ring::leave_disk`] gave.
    pub(super) left: Option<Vec<Room>>,
    /// Who waits for a session's row.
    pub(super) waiting: Vec<oneshot::Sender<bool>>,
}

/// A commit that ended: what it carried.
pub(super) struct Landed {
    pub(super) messages: Vec<Pending>,
    pub(super) beside: Beside,
    pub(super) result: Result<(), CommitError>,
}

struct Flight {
    messages: Vec<Pending>,
    beside: Beside,
    /// The failed numbers whose rows go with it.
    burnt: Vec<u64>,
    receipt: Receipt,
}

/// Everything of one space that is on its way.
pub(super) struct Outgoing {
    space: &'static str,
    queue: VecDeque<Pending>,
    flights: VecDeque<Flight>,
    bytes: usize,
    /// Set while the store's queue is full: everything waits.
    busy: Alarm,
    /// Set after the disk refused: only messages go on trying, so that each publisher is told.
    sick: Alarm,
    failures: u32,
    /// Numbers whose commit failed: their rows may be on disk all the same, and go with the next commit.
    burnt: Vec<u64>,
}

impl Outgoing {
    pub(super) fn new(space: &'static str) -> Self {
        Self {
            space,
            queue: VecDeque::new(),
            flights: VecDeque::new(),
            bytes: 0,
            busy: Alarm::default(),
            sick: Alarm::default(),
            failures: 0,
            burnt: Vec::new(),
        }
    }

    /// Bytes of messages that are not on disk yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the disk refused lately.
    pub(super) fn is_sick(&self) -> bool {
        self.sick.is_set()
    }

    /// Whether failed numbers pile up behind a commit that does not end.
    pub(super) fn is_stuck(&self) -> bool {
        self.burnt.len() >= COMMIT_ROWS_MAX
    }

    /// Whether nothing is under way.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.flights.is_empty()
    }

    /// Whether there are messages to hand over, or too many failed numbers, and the store may take something.
    pub(super) fn wants(&self) -> bool {
        let sweeps = self.is_stuck() && self.flights.is_empty() && !self.sick.is_set();
        !self.busy.is_set() && (sweeps || !self.queue.is_empty())
    }

    /// Whether something beside messages may be handed over.
    pub(super) fn takes_beside(&self) -> bool {
        !self.busy.is_set() && !self.sick.is_set()
    }

    /// A message to write.
    pub(super) fn add(&mut self, kept: Kept, reply: SaidReply) {
        self.bytes += kept.cost();
        self.queue.push_back(Pending { kept, replies: vec![reply] });
    }

    /// The message with this number, while it is under way.
    pub(super) fn find(&mut self, seq: u64) -> Option<&mut Pending> {
        let flying = self.flights.iter_mut().flat_map(|flight| flight.messages.iter_mut());
        flying.chain(self.queue.iter_mut()).find(|pending| pending.kept.seq == seq)
    }

    /// Hands one commit to the store: messages from the queue, and what is beside. Gives back what was not
    /// taken.
    pub(super) fn submit(&mut self, store: &Store, mut beside: Beside) -> Option<Landed> {
        let (mut count, mut bytes) = (0, 0);
        while let Some(pending) = self.queue.get(count)
            && count < COMMIT_ROWS_MAX
            && (count == 0 || bytes + pending.kept.cost() <= SPACE_COMMIT_MAX_BYTES)
        {
            bytes += pending.kept.cost();
            count += 1;
        }
        let mut writes: Vec<Write> = self
            .burnt
            .iter()
            .map(|seq| Write::Delete { table: Table::Messages, key: row::key_message(self.space, *seq) })
            .collect();
        writes.append(&mut beside.writes);
        writes.extend(self.queue.iter().take(count).map(|pending| Write::Put {
            table: Table::Messages,
            key: row::key_message(self.space, pending.kept.seq),
            value: row::message(&pending.kept),
        }));
        match store.commit(writes) {
            Ok(receipt) => {
                let messages = self.queue.drain(..count).collect();
                let burnt = self.burnt.clone();
                self.flights.push_back(Flight { messages, beside, burnt, receipt });
                None
            }
            Err(CommitError::Busy) => {
                self.busy.set(SAVE_RETRY);
                Some(Landed { messages: Vec::new(), beside, result: Err(CommitError::Busy) })
            }
            Err(error) => {
                let messages = self.queue.drain(..count).collect();
                Some(self.settle(messages, beside, &[], Err(error)))
            }
        }
    }

    /// Waits for the oldest commit under way, or until it is time to try again (`None`). May be given up and
    /// waited for again.
    pub(super) async fn next(&mut self) -> Option<Landed> {
        let oldest = self.flights.front_mut().map(|flight| &mut flight.receipt);
        let landed: Result<Committed, CommitError> = tokio::select! {
            landed = receipt(oldest) => landed,
            () = self.busy.ring() => return None,
            () = self.sick.ring() => return None,
        };
        let flight = self.flights.pop_front()?;
        Some(self.settle(flight.messages, flight.beside, &flight.burnt, landed.map(|_| ())))
    }

    fn settle(
        &mut self,
        messages: Vec<Pending>,
        beside: Beside,
        burnt: &[u64],
        result: Result<(), CommitError>,
    ) -> Landed {
        self.bytes -= messages.iter().map(|pending| pending.kept.cost()).sum::<usize>();
        match &result {
            Ok(()) => {
                self.failures = 0;
                self.burnt.retain(|seq| !burnt.contains(seq));
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(space = self.space, %error, "messages cannot be kept");
                }
                self.failures = self.failures.saturating_add(1);
                self.burnt.extend(messages.iter().map(|pending| pending.kept.seq));
                self.sick.set(SAVE_RETRY_DISK);
            }
        }
        Landed { messages, beside, result }
    }
}

/// The rows of sessions.
pub(super) fn put_session(space: &str, mark: &Mark, value: Option<Bytes>) -> Write {
    let (table, key) = (Table::Sessions, row::key_session(space, mark));
    match value {
        Some(value) => Write::Put { table, key, value },
        None => Write::Delete { table, key },
    }
}

/// Tells everybody who waits for a message.
pub(super) fn answer(replies: Vec<SaidReply>, said: &Result<Said, SpaceError>) {
    for (index, reply) in replies.into_iter().enumerate() {
        let mut said = said.clone();
        if let Ok(said) = &mut said {
            said.repeated = index > 0;
        }
        let _ = reply.send(said);
    }
}
