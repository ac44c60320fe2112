//! The one thread that writes: it gathers what everybody hands over into few, large commits.
//!
//! Owns the order of commits, the open file, and getting it to work again after a fault. Does not know what
//! changes mean.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::apply::Applying;
use super::folder::Folder;
use super::handing::{Handed, Reply};
use super::ledger::Ledger;
use super::log::{Engine, Fault, WriteFault};
use super::row::{KEY_PROBE, seal};
use super::shared::{Desk, Shared};
use super::{CommitError, Committed, StoreState};
use crate::clock::Stopwatch;
use crate::config::limits::{
    COMMIT_COMPANY, COMMIT_MAX_BYTES, COMMIT_ROWS_MAX, COMMIT_WINDOW, STORE_PROBE_INTERVAL,
    STORE_PROBE_MAX_BYTES,
};
use crate::heap::make_room;
use crate::id::Seq;

/// Tests of faults have many of them.
const PROBE_INTERVAL: Duration = if cfg!(test) { Duration::from_millis(5) } else { STORE_PROBE_INTERVAL };

/// The writer thread's own things.
pub(super) struct Writer {
    shared: Arc<Shared>,
    folder: Folder,
    queue: Receiver<Handed>,
    /// Taken from the queue, not committed yet.
    waiting: VecDeque<Handed>,
    /// When the last commit was over.
    committed: Option<Stopwatch>,
    /// The fault that stopped the saving, and the bytes that could not be written.
    fault: Option<(Fault, usize)>,
    /// The file was opened with much memory, to hold what the disk does not take.
    holds: bool,
}

impl Writer {
    /// `fault`: why nothing can be saved from the beginning.
    pub(super) fn new(
        shared: Arc<Shared>,
        folder: Folder,
        fault: Option<Fault>,
        queue: Receiver<Handed>,
    ) -> Self {
        if let Some(fault) = &fault {
            tracing::error!(%fault, "nothing can be saved yet; it is tried again by itself");
            shared.enter(state_of(fault));
            shared.desk().is_sound = false;
        }
        let (holds, fault) = (fault.is_some(), fault.map(|fault| (fault, 0)));
        Self { shared, folder, queue, waiting: VecDeque::new(), committed: None, fault, holds }
    }

    /// Works until every handle is gone and the queue is empty, then closes the file.
    pub(super) fn run(mut self) {
        make_room();
        loop {
            let goes_on = if self.fault.is_none() { self.write() } else { self.recover() };
            if !goes_on {
                break;
            }
        }
        let mut desk = self.shared.desk();
        desk.is_sound = false;
        let closed = self.shared.engine().as_ref().map(|engine| desk.ledger.close(engine));
        if let Some(Err(fault)) = closed {
            tracing::warn!(%fault, "what was saved last stays in the journal until the next start");
        }
        self.shared.replace(|| None);
    }

    /// Commits one batch; `false` when there will be no more.
    fn write(&mut self) -> bool {
        let has_backlog = !self.waiting.is_empty();
        if !has_backlog {
            let due_in = self.shared.desk().ledger.is_due_in();
            let handed = match due_in {
                Some(wait) => self.queue.recv_timeout(wait),
                None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match handed {
                Ok(handed) => self.take(handed),
                Err(RecvTimeoutError::Timeout) => {
                    self.checkpoint();
                    return true;
                }
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        self.gather(has_backlog);
        let batch = self.batch();
        self.commit(batch);
        self.committed = Some(Stopwatch::start());
        true
    }

    /// Nobody writes: brings the file up to date.
    fn checkpoint(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut desk = shared.desk();
        let done = match shared.engine().as_ref() {
            Some(engine) => desk.ledger.checkpoint(engine, |_| Ok(())),
            None => Err(Fault::Disk("the file is not open".into())),
        };
        match done {
            Ok(()) => {}
            // Somebody's read met a fault. What is in the journal is taken up with the opening.
            Err(Fault::Stale) => {
                if let Err(fault) = self.reopen(&mut desk) {
                    self.fail(&mut desk, Vec::new(), &fault);
                }
            }
            Err(fault) => self.fail(&mut desk, Vec::new(), &fault),
        }
    }

    /// Takes what is there. When the commit before is just over, others are likely on their way, and the window stays
    /// open for them. Somebody who writes alone never waits, nor does anybody behind a batch that was too large.
    fn gather(&mut self, has_backlog: bool) {
        let has_company = self.committed.is_some_and(|committed| committed.elapsed() < COMMIT_COMPANY);
        if has_company && !has_backlog {
            // Asleep: whoever hands something over need not wake anybody.
            std::thread::sleep(COMMIT_WINDOW);
        }
        while self.waiting.len() < COMMIT_ROWS_MAX {
            let Ok(handed) = self.queue.try_recv() else { return };
            self.take(handed);
        }
    }

    fn take(&mut self, handed: Handed) {
        self.shared.metrics.writer_queue.dec_by(handed.changes.len() as i64);
        self.waiting.push_back(handed);
    }

    /// The next commit's part of what waits: at most so many rows and bytes, but always one.
    fn batch(&mut self) -> Vec<Handed> {
        let (mut rows, mut bytes) = (0, 0);
        let mut count = 0;
        for handed in &self.waiting {
            rows += handed.changes.len();
            bytes += handed.bytes;
            if count > 0 && (rows > COMMIT_ROWS_MAX || bytes > COMMIT_MAX_BYTES) {
                break;
            }
            count += 1;
        }
        self.waiting.drain(..count).collect()
    }

    /// Commits a batch and answers. What is damaged in one document fails what was handed over for it, no more.
    fn commit(&mut self, mut batch: Vec<Handed>) {
        let shared = Arc::clone(&self.shared);
        let mut desk = shared.desk();
        let mut opened_again = false;
        loop {
            // What was noted in a file that was opened again since may be lost.
            let outdated =
                |handed: &mut Handed| handed.noted.is_some_and(|noted| noted.opening != desk.opening);
            let lost: Vec<Handed> = batch.extract_if(.., outdated).collect();
            self.refuse(lost, &Fault::Stale);
            if batch.is_empty() {
                return;
            }
            let watch = Stopwatch::start();
            let mut at = batch.len();
            let done = match shared.engine().as_ref() {
                Some(engine) => make_durable(&mut desk.ledger, engine, &batch, &mut at),
                None => Err(WriteFault::Engine(Fault::Disk("the file is not open".into()))),
            };
            match done {
                Ok(tips) => {
                    drop(desk);
                    shared.metrics.commit_seconds.observe(watch.elapsed().as_secs_f64());
                    return self.answer(batch, &tips);
                }
                Err(WriteFault::Inner(Fault::Damaged(what)) | WriteFault::Engine(Fault::Damaged(what)))
                    if at < batch.len() =>
                {
                    tracing::error!(what, "a change was refused: what it builds on is damaged on disk");
                    self.reply(batch.remove(at), Err(CommitError::Disk(what)));
                    opened_again = false;
                }
                Err(WriteFault::Inner(Fault::Journal(_))) => {}
                // Somebody's read met a fault, and the engine takes nothing more: nothing of this batch was tried.
                Err(WriteFault::Engine(Fault::Stale)) if !opened_again && !desk.ledger.has_recorded() => {
                    opened_again = true;
                    if let Err(fault) = self.reopen(&mut desk) {
                        return self.fail(&mut desk, batch, &fault);
                    }
                }
                Err(WriteFault::Inner(fault) | WriteFault::Engine(fault)) => {
                    return self.fail(&mut desk, batch, &fault);
                }
            }
        }
    }

    fn answer(&self, batch: Vec<Handed>, tips: &[u64]) {
        // What was noted came before what its batch was waiting with, and may stand behind it.
        if let Some(tip) = tips.iter().max() {
            self.shared.tip.send_if_modified(|now| {
                let is_news = *now < Seq(*tip);
                *now = (*now).max(Seq(*tip));
                is_news
            });
        }
        for (handed, tip) in batch.into_iter().zip(tips) {
            self.reply(handed, Ok(Committed { upto: Seq(*tip) }));
        }
    }

    fn refuse(&self, batch: impl IntoIterator<Item = Handed>, fault: &Fault) {
        for handed in batch {
            self.reply(handed, Err(CommitError::Disk(fault.to_string())));
        }
    }

    fn reply(&self, handed: Handed, reply: Reply) {
        self.shared.queued_bytes.fetch_sub(handed.bytes, Ordering::Relaxed);
        let _ = handed.reply.send(reply);
    }

    /// Enters the fault, tells everybody in the batch, and opens the file again, so that reading goes on.
    fn fail(&mut self, desk: &mut Desk, batch: Vec<Handed>, fault: &Fault) {
        let bytes = batch.iter().map(|handed| handed.bytes).sum();
        tracing::error!(%fault, bytes, "saving stopped; it is tried again by itself");
        desk.is_sound = false;
        self.shared.enter(state_of(fault));
        let now = self.reopen(desk).err().unwrap_or_else(|| fault.clone());
        self.fault = Some((now, bytes));
        self.refuse(batch, fault);
    }

    /// Opens the file again. With an error it may be open all the same, for reading.
    fn reopen(&mut self, desk: &mut Desk) -> Result<(), Fault> {
        let mut again = Ok(());
        let (shared, folder, holds) = (&self.shared, &self.folder, &mut self.holds);
        desk.opening += 1;
        shared.replace(|| match folder.reopen() {
            Ok(opened) => {
                let tip = Seq(opened.census.tip);
                shared.tip.send_if_modified(|now| std::mem::replace(now, tip) != tip);
                desk.ledger = opened.ledger;
                *holds = opened.fault.is_some();
                again = opened.fault.map_or(Ok(()), Err);
                Some(opened.engine)
            }
            Err(fault) => {
                tracing::error!(%fault, "the file cannot be opened again yet");
                again = Err(fault);
                None
            }
        });
        again
    }

    fn refuse_waiting(&mut self, fault: &Fault) {
        let waiting = std::mem::take(&mut self.waiting);
        self.refuse(waiting, fault);
    }

    /// Refuses what comes until the next trial, then tries; `false` when there will be no more.
    fn recover(&mut self) -> bool {
        let Some((fault, bytes)) = self.fault.clone() else { return true };
        self.refuse_waiting(&fault);
        let since = Stopwatch::start();
        loop {
            let left = PROBE_INTERVAL.saturating_sub(since.elapsed());
            if left.is_zero() {
                break;
            }
            match self.queue.recv_timeout(left) {
                Ok(handed) => {
                    self.take(handed);
                    self.refuse_waiting(&fault);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        // What was held in memory is on disk with the trial: from there on the file is opened as always.
        let shared = Arc::clone(&self.shared);
        let mut desk = shared.desk();
        let probed = self.probe(&mut desk, bytes);
        let done = probed.and_then(|()| if self.holds { self.reopen(&mut desk) } else { Ok(()) });
        match done {
            Ok(()) => {
                tracing::info!("saving works again");
                self.fault = None;
                desk.is_sound = true;
                self.shared.enter(StoreState::Writable);
            }
            Err(fault) => {
                self.shared.enter(state_of(&fault));
                self.fault = Some((self.reopen(&mut desk).err().unwrap_or(fault), bytes));
            }
        }
        true
    }

    /// Really writes as much as failed before, and takes it away again.
    fn probe(&self, desk: &mut Desk, bytes: usize) -> Result<(), Fault> {
        let trial = vec![0xA5; bytes.min(STORE_PROBE_MAX_BYTES)];
        let engine = self.shared.engine();
        let engine = engine.as_ref().ok_or_else(|| Fault::Disk("the file is not open".into()))?;
        let mut put = |value: &[u8]| {
            desk.ledger.checkpoint(engine, |rows| rows.put(&KEY_PROBE, &seal(&KEY_PROBE, &[value])))
        };
        put(&trial)?;
        put(&[])
    }
}

/// Brings a batch to disk: the last row of the log after each of its parts. `at`: which one met a fault, if one did.
fn make_durable(
    ledger: &mut Ledger,
    engine: &Engine,
    batch: &[Handed],
    at: &mut usize,
) -> Result<Vec<u64>, WriteFault> {
    if let Some(tips) = batch.iter().map(|handed| handed.noted.map(|noted| noted.tip)).collect() {
        return ledger.settle(engine).map(|()| tips);
    }
    let written = || {
        if batch.iter().map(Handed::tell_written).fold(false, bool::max) {
            // Some systems wake them on this very core, where they would wait until the disk is asked.
            std::thread::yield_now();
        }
    };
    ledger.write(engine, written, |rows| {
        let mut applying = Applying::new(rows)?;
        let mut tips = Vec::with_capacity(batch.len());
        for (index, handed) in batch.iter().enumerate() {
            *at = index;
            handed.changes.iter().try_for_each(|change| applying.change(change))?;
            tips.push(handed.noted.map_or(applying.tip(), |noted| noted.tip));
        }
        *at = batch.len();
        applying.finish()?;
        Ok(tips)
    })
}

fn state_of(fault: &Fault) -> StoreState {
    match fault {
        Fault::Full => StoreState::Full,
        Fault::Disk(_)
        | Fault::Damaged(_)
        | Fault::Stale
        | Fault::InUse
        | Fault::Newer(_)
        | Fault::Journal(_) => StoreState::Faulty,
    }
}
