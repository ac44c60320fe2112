//! How a commit becomes durable: as a record in the journal at once, in the database's file a little later.
//!
//! Owns which way a commit takes, when the database's file is brought up to date, and taking up what a life that ended
//! left in the journal only. Does not know what rows mean, nor who waits.
//!
//! A commit by the journal is one short write in place. The engine then gathers its rows in memory, and whoever reads
//! sees them; all of them reach its file together. Every transaction carries the number of its record ([`Mark`]):
//! whatever the engine's file holds after a fault or a kill says exactly which records are still to be done again.
//!
//! A commit may also only be noted: it is in the journal, and neither the disk nor the engine has been asked. Whatever
//! comes next takes it into the engine first.

use std::path::Path;
use std::time::Duration;

use super::journal::{FILE, Journal};
use super::log::{Engine, Fault, Lasting, Reading, Rows, WriteFault, Writing};
use super::redo::{self, Redo};
use super::row::{FORMAT, KEY_FORMAT, KEY_JOURNAL, Mark, seal_number, unseal_number};
use crate::clock::Stopwatch;
use crate::config::limits::{JOURNAL_AGE, JOURNAL_QUIET, JOURNAL_ROWS_MAX};

/// The first format with a journal.
const FORMAT_JOURNAL: u64 = 2;

/// The contents of records that are to be done again, in order.
pub(super) type Tail = Vec<Vec<u8>>;

/// The way of commits to the disk.
pub(super) struct Ledger {
    /// Nothing while it cannot be made or written: then every commit goes straight to the database's file.
    journal: Option<Journal>,
    /// How far the rows are.
    mark: Mark,
    /// The database's file says that the journal is in use, and the journal stands at its beginning or behind records
    /// that count from there.
    begun: bool,
    /// What is in the journal, and the engine does not have.
    noted: Option<Redo>,
    /// The last record that the disk is known to have.
    synced: u64,
    /// When the first and the last commit were that are in the journal only.
    first: Option<Stopwatch>,
    last: Stopwatch,
    /// Changes of rows in the journal only.
    rows: usize,
    /// The last transaction reached the journal, whatever came of it.
    has_recorded: bool,
}

/// What the rows say of the journal, once the file format was found to be known.
pub(super) fn mark(rows: &Reading) -> Result<Mark, Fault> {
    let damaged = |what: &str| Fault::Damaged(what.to_owned());
    let format = rows.get(&KEY_FORMAT)?.ok_or_else(|| damaged("the file's format number is missing"))?;
    let format = unseal_number(&KEY_FORMAT, &format)?;
    if format > u64::from(FORMAT) {
        return Err(Fault::Newer(format));
    }
    match rows.get(&KEY_JOURNAL)? {
        Some(sealed) => Mark::unseal(&sealed),
        None if format < FORMAT_JOURNAL => Ok(Mark::default()),
        None => Err(damaged("it is not known whether the journal holds rows")),
    }
}

impl Ledger {
    /// Takes up the journal of a folder whose rows say `mark`; also gives what is to be done again.
    pub(super) fn open(dir: &Path, mark: Mark) -> Result<(Self, Tail), Fault> {
        let opened = Journal::open(dir);
        if !mark.is_open {
            // Whatever it holds is in the database too.
            let journal = match opened {
                Ok(Some(journal)) => Ok(journal),
                Ok(None) | Err(_) => Journal::make(dir),
            };
            let journal = journal.inspect_err(|fault| {
                tracing::warn!(%fault, "there is no journal: every commit goes straight to the database, more slowly");
            });
            let mark = Mark { life: new_life()?, ..mark };
            return Ok((Self::new(journal.ok(), mark), Tail::new()));
        }
        let mut journal = opened?.ok_or_else(|| {
            Fault::Damaged(format!(
                "{FILE} is missing: the newest edits are in it; put it back beside the database"
            ))
        })?;
        let area = journal.area()?;
        let (tail, serial) = redo::tail(mark.life, mark.serial, &area)?;
        let tail = tail.into_iter().map(<[u8]>::to_vec).collect();
        Ok((Self::new(Some(journal), Mark { serial, ..mark }), tail))
    }

    fn new(journal: Option<Journal>, mark: Mark) -> Self {
        Self {
            journal,
            mark,
            begun: false,
            noted: None,
            synced: mark.serial,
            first: None,
            last: Stopwatch::start(),
            rows: 0,
            has_recorded: false,
        }
    }

    /// Does again what [`Ledger::open`] gave. In memory only, it stays in the journal too.
    pub(super) fn again(&mut self, engine: &Engine, tail: &Tail, lasting: Lasting) -> Result<(), Fault> {
        let mark = self.mark;
        let done = engine.change(lasting, |rows| {
            tail.iter().try_for_each(|content| redo::again(content, rows))?;
            rows.put(&KEY_JOURNAL, &mark.seal())
        });
        done.map_err(WriteFault::into_fault)?;
        if lasting == Lasting::Disk {
            self.settled();
        }
        Ok(())
    }

    /// Changes rows all together or not at all; they are on disk when this returns `Ok`. After a [`Fault::Journal`] the
    /// same may be tried again at once. `written` is called when they survive this program, if that is before they are
    /// on disk. `f` is called again when the journal does not take what it changed.
    pub(super) fn write<T>(
        &mut self,
        engine: &Engine,
        written: impl FnOnce(),
        mut f: impl FnMut(&mut Writing<'_>) -> Result<T, Fault>,
    ) -> Result<T, WriteFault> {
        self.has_recorded = false;
        let before = self.mark;
        if let Some(made) = self.note(engine, &mut f)? {
            written();
            self.settle(engine).inspect_err(|_| {
                // What goes another way now must not be done twice.
                (self.noted, self.mark, self.has_recorded) = (None, before, true);
            })?;
            return Ok(made);
        }
        let made = engine.write(|rows| {
            let made = f(rows)?;
            self.straight(rows, self.journal.is_some())?;
            Ok(made)
        })?;
        self.settled();
        Ok(made)
    }

    /// Changes rows all together or not at all; with `Ok(Some(..))` they survive this program, and are on disk after
    /// [`Ledger::settle`]. `Ok(None)`: this goes another way, and nothing was changed.
    pub(super) fn note<T>(
        &mut self,
        engine: &Engine,
        f: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, WriteFault> {
        // What is written down builds on it.
        self.take_in(engine).map_err(WriteFault::Engine)?;
        if !self.begun {
            return Ok(None);
        }
        let (made, mut redo) = engine.write_down(f)?;
        if !self.takes(&redo) {
            return Ok(None);
        }
        let mark = Mark { serial: self.mark.serial + 1, is_open: true, ..self.mark };
        let synced = self.synced;
        self.try_journal(|journal| journal.append(redo.record(mark.life, mark.serial, synced)))?;
        self.mark = mark;
        self.rows += redo.rows();
        self.last = Stopwatch::start();
        self.first.get_or_insert(self.last);
        self.noted = Some(redo);
        Ok(Some(made))
    }

    /// Waits until the disk has what was noted; then the engine gets its rows. Should it not take them, they come out
    /// of the journal when the file is opened again. After a [`Fault::Journal`] the same may be tried again at once.
    pub(super) fn settle(&mut self, engine: &Engine) -> Result<(), WriteFault> {
        self.has_recorded = false;
        if self.synced < self.mark.serial {
            if self.journal.is_none() {
                return self.checkpoint(engine, |_| Ok(())).map_err(WriteFault::Engine);
            }
            self.try_journal(|journal| journal.sync())?;
            self.synced = self.mark.serial;
        }
        self.take_in(engine).map_err(WriteFault::Engine)
    }

    /// Lets the engine gather what was noted.
    fn take_in(&mut self, engine: &Engine) -> Result<(), Fault> {
        let Some(redo) = self.noted.take() else { return Ok(()) };
        engine.gather(|rows| {
            redo::again(redo.content(), rows)?;
            rows.put(&KEY_JOURNAL, &self.mark.seal())
        })
    }

    /// Brings the database's file up to date; `f` may change rows with it.
    pub(super) fn checkpoint(
        &mut self,
        engine: &Engine,
        f: impl FnOnce(&mut Writing<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.take_in(engine)?;
        let done = engine.write(|rows| {
            f(rows)?;
            self.straight(rows, self.journal.is_some())
        });
        done.map_err(WriteFault::into_fault)?;
        self.settled();
        Ok(())
    }

    /// Brings the database's file up to date for the last time: from then on it is whole without the journal.
    pub(super) fn close(&mut self, engine: &Engine) -> Result<(), Fault> {
        if !self.begun && !self.mark.is_open {
            return Ok(());
        }
        self.take_in(engine)?;
        self.begun = false;
        engine.write(|rows| self.straight(rows, false)).map_err(WriteFault::into_fault)
    }

    /// Whether the last transaction reached the journal, so that it is done again with the next opening.
    pub(super) fn has_recorded(&self) -> bool {
        self.has_recorded
    }

    /// How long to wait before the file is brought up to date, should nothing be committed until then; `None`: it is.
    pub(super) fn is_due_in(&self) -> Option<Duration> {
        self.first.map(|_| JOURNAL_QUIET.saturating_sub(self.last.elapsed()))
    }

    /// Whether the journal takes this; otherwise it goes straight to the database's file, with everything before it.
    fn takes(&self, redo: &Redo) -> bool {
        self.begun
            && redo.is_whole()
            && self.rows + redo.rows() <= JOURNAL_ROWS_MAX
            && self.first.is_none_or(|first| first.elapsed() < JOURNAL_AGE)
            && self.journal.as_ref().is_some_and(|journal| journal.has_room(redo.len()))
    }

    /// Does something with the journal. One that fails is left alone from here on: the database takes everything.
    fn try_journal(&mut self, f: impl FnOnce(&mut Journal) -> Result<(), Fault>) -> Result<(), WriteFault> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let Err(fault) = f(journal) else { return Ok(()) };
        let file = journal.path().display();
        tracing::error!(%fault, %file, "the journal cannot be written and is not used any more");
        self.journal = None;
        Err(WriteFault::Inner(Fault::Journal(fault.to_string())))
    }

    /// The rows of a transaction that goes to the database's file.
    fn straight(&self, rows: &mut Writing<'_>, is_open: bool) -> Result<(), Fault> {
        if !self.begun {
            rows.put(&KEY_FORMAT, &seal_number(&KEY_FORMAT, FORMAT.into()))?;
        }
        rows.put(&KEY_JOURNAL, &Mark { is_open, ..self.mark }.seal())
    }

    /// Everything is in the database's file.
    fn settled(&mut self) {
        self.begun = self.journal.is_some();
        self.mark.is_open = self.begun;
        self.journal.iter_mut().for_each(Journal::restart);
        (self.first, self.rows, self.synced) = (None, 0, self.mark.serial);
    }
}

/// A number that nobody outside this computer knows.
fn new_life() -> Result<u64, Fault> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Fault::Disk(format!("no randomness: {error}")))?;
    Ok(u64::from_le_bytes(bytes))
}
