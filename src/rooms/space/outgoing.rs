//! From "said" to "on disk": messages, sessions and what left the ring, on their way to the store.
//!
//! Owns the order of commits, when a message may be heard, and what happens when a commit fails. Does not know members.

use std::collections::VecDeque;
use std::future::pending;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::SpaceError;
use super::event::{Room, Said};
use super::kept::Kept;
use super::numbers::Numbers;
use super::row;
use super::session::Mark;
use crate::config::limits::{COMMIT_ROWS_MAX, SAVE_RETRY, SAVE_RETRY_DISK, SPACE_COMMIT_MAX_BYTES};
use crate::rooms::alarm::Alarm;
use crate::rooms::saving::receipt;
use crate::store::{CommitError, Committed, Receipt, Store, Table, Write, Written};

/// The answer to whoever said something.
pub(super) type SaidReply = oneshot::Sender<Result<Said, SpaceError>>;

/// A message that is not on disk yet.
pub(super) struct Pending {
    pub(super) kept: Kept,
    /// Who waits: the publisher, and those who said it again meanwhile.
    pub(super) replies: Vec<SaidReply>,
}

/// A message that was handed out and is not on disk yet.
pub(super) struct Heard {
    pub(super) seq: u64,
    /// How many members heard it.
    pub(super) reached: usize,
    pub(super) replies: Vec<SaidReply>,
}

/// What happened to the commits under way.
pub(super) enum Came {
    /// The messages of a flight survive the end of the program: they may be heard. Who heard them is told to
    /// [`Outgoing::heard`] at once.
    Written(usize, Vec<Pending>),
    /// A commit ended.
    Landed(Landed),
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
    /// What was not handed out yet…
    pub(super) messages: Vec<Pending>,
    /// …and what was.
    pub(super) heard: Vec<Heard>,
    pub(super) beside: Beside,
    pub(super) result: Result<(), CommitError>,
}

struct Flight {
    messages: Vec<Pending>,
    heard: Vec<Heard>,
    /// Bytes of both.
    bytes: usize,
    /// Tells when its messages may be heard, if that is before it is on disk.
    written: Option<Written>,
    /// Up to which number it reserves.
    claim: Option<u64>,
    beside: Beside,
    /// The failed numbers whose rows go with it.
    burnt: Vec<u64>,
    receipt: Receipt,
}

/// Everything of one space that is on its way.
pub(super) struct Outgoing {
    space: &'static str,
    pub(super) numbers: Numbers,
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
    pub(super) fn new(space: &'static str, numbers: Numbers) -> Self {
        Self {
            space,
            numbers,
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

    /// The first message that was said and not handed out yet.
    pub(super) fn first_unheard(&self) -> Option<u64> {
        let flying = self.flights.iter().find_map(|flight| flight.messages.first());
        flying.or_else(|| self.queue.front()).map(|pending| pending.kept.seq)
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

    /// Who waits for the message with this number, while it is under way.
    pub(super) fn find(&mut self, seq: u64) -> Option<&mut Vec<SaidReply>> {
        for flight in &mut self.flights {
            if let Some(heard) = flight.heard.iter_mut().find(|heard| heard.seq == seq) {
                return Some(&mut heard.replies);
            }
            if let Some(pending) = flight.messages.iter_mut().find(|waits| waits.kept.seq == seq) {
                return Some(&mut pending.replies);
            }
        }
        let queued = self.queue.iter_mut().find(|waits| waits.kept.seq == seq);
        queued.map(|pending| &mut pending.replies)
    }

    /// Hands one commit to the store: messages from the queue, and what is beside. Gives back what was not
    /// taken. `last`: the last number given.
    pub(super) fn submit(&mut self, store: &Store, last: u64, mut beside: Beside) -> Option<Landed> {
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
        let claim = self.numbers.claim(last, &mut writes);
        // Numbers are reserved in order: when the last one is, all are.
        let is_early = self.queue.get(count.wrapping_sub(1)).is_some_and(|p| self.numbers.covers(p.kept.seq));
        let handed = match is_early {
            true => store.commit_in_steps(writes).map(|(written, receipt)| (Some(written), receipt)),
            false => store.commit(writes).map(|receipt| (None, receipt)),
        };
        match handed {
            Ok((written, receipt)) => {
                let messages = self.queue.drain(..count).collect();
                let (heard, burnt) = (Vec::new(), self.burnt.clone());
                let flight = Flight { messages, heard, bytes, written, claim, beside, burnt, receipt };
                self.flights.push_back(flight);
                None
            }
            Err(CommitError::Busy) => {
                self.busy.set(SAVE_RETRY);
                let (messages, heard) = (Vec::new(), Vec::new());
                Some(Landed { messages, heard, beside, result: Err(CommitError::Busy) })
            }
            Err(error) => {
                let messages: Vec<Pending> = self.queue.drain(..count).collect();
                self.settle(&messages, bytes, &[], Err(&error));
                Some(Landed { messages, heard: Vec::new(), beside, result: Err(error) })
            }
        }
    }

    /// Gives back the numbers that were reserved and not given, when everything is on disk.
    pub(super) fn release(&self, store: &Store, last: u64) -> Option<Receipt> {
        self.numbers.release(last).and_then(|write| store.commit(vec![write]).ok())
    }

    /// Waits for what comes next of the commits under way, or until it is time to try again (`None`). May be given up
    /// and waited for again.
    pub(super) async fn next(&mut self) -> Option<Came> {
        let landed: Result<Committed, CommitError> = loop {
            let (mut oldest, mut silent) = (None, None);
            for (index, flight) in self.flights.iter_mut().enumerate() {
                oldest = oldest.or(Some(&mut flight.receipt));
                // Later ones are not heard before it.
                if !flight.messages.is_empty() {
                    silent = Some((index, &mut flight.written, &mut flight.messages));
                    break;
                }
            }
            tokio::select! {
                biased;
                written = audible(silent) => match written {
                    Some((index, messages)) => return Some(Came::Written(index, messages)),
                    None => continue,
                },
                landed = receipt(oldest) => break landed,
                () = self.busy.ring() => return None,
                () = self.sick.ring() => return None,
            }
        };
        let Flight { messages, heard, bytes, claim, beside, burnt, .. } = self.flights.pop_front()?;
        let result = landed.map(|_| ());
        self.settle(&messages, bytes, &burnt, result.as_ref());
        if let (Some(upto), Ok(())) = (claim, &result) {
            self.numbers.claimed(upto);
        }
        Some(Came::Landed(Landed { messages, heard, beside, result }))
    }

    /// The messages of a flight were handed out.
    pub(super) fn heard(&mut self, flight: usize, heard: Vec<Heard>) {
        if let Some(flight) = self.flights.get_mut(flight) {
            flight.heard = heard;
        }
    }

    fn settle(
        &mut self,
        messages: &[Pending],
        bytes: usize,
        burnt: &[u64],
        result: Result<&(), &CommitError>,
    ) {
        self.bytes -= bytes;
        match result {
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
    }
}

/// Waits until messages may be heard, and takes them. `None`: not before they are on disk.
async fn audible(
    silent: Option<(usize, &mut Option<Written>, &mut Vec<Pending>)>,
) -> Option<(usize, Vec<Pending>)> {
    let Some((index, slot, messages)) = silent else { return pending().await };
    let Some(written) = slot else { return pending().await };
    let told = written.await;
    *slot = None;
    told.ok().map(|()| (index, std::mem::take(messages)))
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
