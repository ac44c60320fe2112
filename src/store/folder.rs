//! The folder: who may use it, making the file the first time, and opening it again.
//!
//! Owns the lock, the check of the files, and what is done when a start finds rows in the journal only. Does not know
//! commits or readers.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use super::OpenError;
use super::ledger::{self, Ledger};
use super::log::{Engine, Fault, Lasting, Rows};
use super::row::{
    Census, FORMAT, HEADS, Head, KEY_CENSUS, KEY_FORMAT, KEY_JOURNAL, Mark, NAMES, ORDER, seal_number,
    seq_of, unseal_number,
};
use super::{journal, private};
use crate::clock::Stopwatch;
use crate::config::limits::{FOLDER_LOCK_WAIT, READ_PAUSE, STORE_CACHE_BYTES, STORE_CACHE_FULL_BYTES};

const FILE: &str = "townhall.db";
const FILE_NEW: &str = "townhall.db.new";
const FILE_LOCK: &str = "townhall.lock";

/// A folder that this process alone uses, as long as this lives.
pub(super) struct Folder {
    file: PathBuf,
    _lock: File,
}

impl Folder {
    /// Whether another process, or another store of this one, has the folder now. Changes nothing.
    pub(super) fn is_claimed(dir: &Path) -> bool {
        let lock = OpenOptions::new().read(true).write(true).open(dir.join(FILE_LOCK));
        lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Makes the folder when it is not there, and locks it.
    pub(super) fn claim(dir: &Path) -> Result<Self, OpenError> {
        let refused = |error: io::Error| OpenError::NotWritable(error.to_string());
        private::make_folder(dir).map_err(refused)?;
        if private::is_open_to_others(dir) {
            tracing::warn!(
                folder = %dir.display(),
                "other users of this computer may be able to read the data folder: it lies outside your own profile"
            );
        }
        for file in [FILE, journal::FILE, FILE_LOCK] {
            private::close_if_there(&dir.join(file));
        }
        let lock = private::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(FILE_LOCK))
            .map_err(refused)?;
        lock_file(&lock)?;
        Ok(Self { file: dir.join(FILE), _lock: lock })
    }

    /// Opens the office's file, or makes it in a folder that has none.
    pub(super) fn open(&self) -> Result<Opened, OpenError> {
        if !self.file.try_exists().map_err(|error| OpenError::NotWritable(error.to_string()))? {
            self.make().map_err(not_opened)?;
        }
        self.enter().map_err(not_opened)
    }

    /// Opens the file again after a fault; the engine before it must be gone.
    pub(super) fn reopen(&self) -> Result<Opened, Fault> {
        self.enter()
    }

    /// Opens the file and does again what is in the journal only. When the disk does not take that, it is done in
    /// memory: everything can be read, and the journal goes on holding it.
    fn enter(&self) -> Result<Opened, Fault> {
        match self.take_up(STORE_CACHE_BYTES, Lasting::Disk) {
            Err(fault @ (Fault::Full | Fault::Disk(_) | Fault::Stale)) => {
                let opened = self.take_up(STORE_CACHE_FULL_BYTES, Lasting::Memory)?;
                Ok(Opened { fault: Some(fault), ..opened })
            }
            opened => opened,
        }
    }

    fn take_up(&self, cache: usize, lasting: Lasting) -> Result<Opened, Fault> {
        let engine = open_file(&self.file, cache)?;
        let mark = engine.read(ledger::mark)?;
        let dir = self.file.parent().unwrap_or(Path::new("."));
        let (mut ledger, tail) = Ledger::open(dir, mark)?;
        if !tail.is_empty() {
            tracing::info!(records = tail.len(), "taking up what is in the journal only");
            ledger.again(&engine, &tail, lasting)?;
        }
        let census = engine.read(check)?;
        Ok(Opened { engine, census, ledger, fault: None })
    }

    /// Makes the file beside its place and moves it there when it is whole: a file in its place is never half made.
    fn make(&self) -> Result<(), Fault> {
        let new = self.file.with_file_name(FILE_NEW);
        match fs::remove_file(&new) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        private::options().write(true).create_new(true).open(&new)?;
        let engine = Engine::create(&new)?;
        engine
            .write(|rows| {
                rows.put(&KEY_FORMAT, &seal_number(&KEY_FORMAT, u64::from(FORMAT)))?;
                rows.put(&KEY_JOURNAL, &Mark::default().seal())?;
                rows.put(&KEY_CENSUS, &Census::default().seal())?;
                Ok(())
            })
            .map_err(|fault| fault.into_fault())?;
        drop(engine);
        fs::rename(&new, &self.file)?;
        sync_folder(&self.file)
    }
}

/// An office's open file.
pub(super) struct Opened {
    pub(super) engine: Engine,
    pub(super) census: Census,
    pub(super) ledger: Ledger,
    /// Why the disk does not take what was in the journal only: everything can be read, and nothing be saved.
    pub(super) fault: Option<Fault>,
}

/// Takes the lock. One that is held is asked for again for a moment: a process that ends, or that was just started by
/// this one, can hold it a little longer than it wants.
fn lock_file(lock: &File) -> Result<(), OpenError> {
    let since = Stopwatch::start();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if since.elapsed() < FOLDER_LOCK_WAIT => thread::sleep(READ_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse),
            // Some network drives know no locks; the engine tries its own.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!(
                    "this drive knows no locks: make sure that no second Townhall uses the folder"
                );
                return Ok(());
            }
            Err(TryLockError::Error(error)) => return Err(OpenError::NotWritable(error.to_string())),
        }
    }
}

/// Opens the file, which the engine locks too.
fn open_file(file: &Path, cache: usize) -> Result<Engine, Fault> {
    let since = Stopwatch::start();
    loop {
        match Engine::open(file, cache) {
            Err(Fault::InUse) if since.elapsed() < FOLDER_LOCK_WAIT => thread::sleep(READ_PAUSE),
            opened => return opened,
        }
    }
}

/// Makes the new name in the folder durable.
#[cfg(unix)]
pub(super) fn sync_folder(file: &Path) -> Result<(), Fault> {
    match file.parent() {
        Some(dir) => Ok(File::open(dir)?.sync_all()?),
        None => Ok(()),
    }
}

/// Windows writes a folder's names with the file itself.
#[cfg(not(unix))]
pub(super) fn sync_folder(_file: &Path) -> Result<(), Fault> {
    Ok(())
}

fn not_opened(fault: Fault) -> OpenError {
    match fault {
        Fault::InUse => OpenError::InUse,
        Fault::Damaged(what) => OpenError::Damaged(what),
        newer @ Fault::Newer(_) => OpenError::Newer(newer.to_string()),
        other @ (Fault::Full | Fault::Disk(_) | Fault::Stale | Fault::Journal(_)) => {
            OpenError::NotWritable(other.to_string())
        }
    }
}

/// Checks that every document can be found: by its name, by its number, and by its newest row.
/// Reads a few bytes for each document; its rows are checked when they are read.
fn check(rows: &super::log::Reading) -> Result<Census, Fault> {
    let damaged = |what: &str| Fault::Damaged(what.to_owned());
    let census = rows.get(&KEY_CENSUS)?.ok_or_else(|| damaged("the count of rows is missing"))?;
    let census = Census::unseal(&census)?;

    let mut names = 0;
    rows.each(&NAMES.0, &NAMES.1, &mut |key, sealed| {
        names += 1;
        unseal_number(key, sealed).map(|_| true)
    })?;
    let mut heads = 0;
    rows.each(&HEADS.0, &HEADS.1, &mut |key, sealed| {
        heads += 1;
        Head::unseal(key, sealed)?;
        Ok(seq_of(key)? == heads)
    })?;
    let (mut ordered, mut tip) = (0, 0);
    rows.each(&ORDER.0, &ORDER.1, &mut |key, sealed| {
        ordered += 1;
        tip = seq_of(key)?;
        unseal_number(key, sealed).map(|_| true)
    })?;
    if names != census.docs || heads != census.docs || ordered != census.docs || tip != census.tip {
        return Err(Fault::Damaged(format!(
            "the list of documents is not whole ({names} names, {heads} heads, {ordered} in order, of {})",
            census.docs
        )));
    }
    Ok(census)
}
