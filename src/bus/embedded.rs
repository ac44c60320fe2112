//! The engine behind the bus: keys in one tree, their expiry in another, one thread that sweeps.
//!
//! Owns the engine's name, its files, and starting empty when they cannot be read. Does not know what bytes mean.
//!
//! The second tree holds an [`entry`] for each key that expires; one that no key agrees with means nothing and is swept
//! with the rest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use sled::{Config, Db, Error, IVec, Tree};

use super::BusError;
use super::stored::{entry, expiry_of, lives, value_of, with_expiry};
use crate::clock::{Clock, Stopwatch};
use crate::config::limits::{
    BUS_CACHE_BYTES, BUS_CLOSE_WAIT, BUS_FLUSH_WAIT, BUS_KEYS_MAX, BUS_LOCKED_PAUSE, BUS_MEND_INTERVAL,
    BUS_PROBE_BYTES, BUS_SWEEP_INTERVAL, BUS_SWEEP_MAX,
};
use crate::lock::held;

/// The bus of this office.
pub(super) struct Embedded {
    inner: Arc<Inner>,
    /// Dropping the sender ends the sweeper.
    sweeper: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

struct Inner {
    dir: PathBuf,
    clock: Clock,
    trees: RwLock<Option<Trees>>,
    /// Keys that are there, also expired ones that were not swept yet.
    count: AtomicUsize,
    /// Whether the engine failed. It may still be read, but it can go on taking keys that never reach the disk.
    failed: AtomicBool,
    mending: Mutex<Mending>,
    closed: AtomicBool,
}

/// Opening the files again after a fault.
#[derive(Default)]
struct Mending {
    why: Option<Error>,
    /// When it was last tried.
    tried: Option<Stopwatch>,
}

struct Trees {
    base: Db,
    keys: Tree,
    expiry: Tree,
}

impl Trees {
    fn open(dir: &Path) -> Result<Self, Error> {
        crate::store::private::own_folder(dir)?; // the engine makes its files as anybody's
        guarded(|| {
            let flush_ms = BUS_SWEEP_INTERVAL.as_millis() as u64;
            let base = Config::new()
                .path(dir)
                .cache_capacity(BUS_CACHE_BYTES)
                .flush_every_ms(Some(flush_ms))
                .open()?;
            let (keys, expiry) = (base.open_tree("keys")?, base.open_tree("expiry")?);
            Ok(Self { base, keys, expiry })
        })
    }

    /// Every key with what is stored of it.
    fn rows(&self) -> Result<Vec<(IVec, IVec)>, Error> {
        self.keys.iter().collect()
    }

    fn take_over(&self, rows: &[(IVec, IVec)]) -> Result<(), Error> {
        for (key, stored) in rows {
            if expiry_of(stored) != 0 {
                self.expiry.insert(entry(expiry_of(stored), key), &[])?;
            }
            self.keys.insert(key, stored)?;
        }
        Ok(())
    }
}

impl Embedded {
    pub(super) fn open(dir: &Path, clock: &Clock) -> Result<Self, BusError> {
        let trees = open_or_set_aside(dir)?;
        let inner = Arc::new(Inner {
            dir: dir.to_owned(),
            clock: clock.clone(),
            count: AtomicUsize::new(trees.keys.len()),
            trees: RwLock::new(Some(trees)),
            failed: AtomicBool::new(false),
            mending: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let (stop, stopped) = channel();
        let swept = Arc::clone(&inner);
        let thread = thread::Builder::new().name("bus-sweeper".into()).spawn(move || sweep(&swept, &stopped));
        let thread = thread.map_err(|error| BusError(error.to_string()))?;
        Ok(Self { inner, sweeper: Mutex::new(Some((stop, thread))) })
    }

    pub(super) fn set(&self, key: &str, value: &[u8], life: Option<Duration>) -> Result<(), BusError> {
        let expires = life.map_or(0, |life| {
            let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
            self.inner.clock.now_ms().saturating_add(life_ms).max(1)
        });
        let stored = with_expiry(expires, value);
        let full = self.inner.count.load(Ordering::Relaxed) >= BUS_KEYS_MAX;
        let set = self.inner.change(|trees| {
            if full && !trees.keys.contains_key(key)? {
                return Ok(false);
            }
            // The entry comes first: after a crash in between it means nothing, while a key without one stays for ever.
            if expires != 0 {
                trees.expiry.insert(entry(expires, key.as_bytes()), &[])?;
            }
            match trees.keys.insert(key, stored.as_slice())? {
                Some(old) => {
                    let before = expiry_of(&old);
                    if before != 0 && before != expires {
                        trees.expiry.remove(entry(before, key.as_bytes()))?;
                    }
                }
                None => {
                    self.inner.count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(true)
        })?;
        if set { Ok(()) } else { Err(BusError("too many keys".into())) }
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Bytes>, BusError> {
        let now = self.inner.clock.now_ms();
        let found = self.inner.with(|trees| trees.keys.get(key))?;
        Ok(found.filter(|stored| lives(stored, now)).map(|stored| value_of(&stored)))
    }

    pub(super) fn delete(&self, key: &str) -> Result<bool, BusError> {
        let now = self.inner.clock.now_ms();
        self.inner.change(|trees| {
            let Some(old) = trees.keys.remove(key)? else { return Ok(false) };
            self.inner.forget();
            if expiry_of(&old) != 0 {
                trees.expiry.remove(entry(expiry_of(&old), key.as_bytes()))?;
            }
            Ok(lives(&old, now))
        })
    }

    pub(super) fn scan(&self, prefix: &str, most: usize) -> Result<Vec<(String, Bytes)>, BusError> {
        let now = self.inner.clock.now_ms();
        self.inner.with(|trees| {
            let mut found = Vec::new();
            for row in trees.keys.scan_prefix(prefix) {
                let (key, stored) = row?;
                if found.len() >= most {
                    break;
                }
                match std::str::from_utf8(&key) {
                    Ok(key) if lives(&stored, now) => found.push((key.to_owned(), value_of(&stored))),
                    _ => {}
                }
            }
            Ok(found)
        })
    }

    pub(super) fn settle(&self) -> Result<(), BusError> {
        self.inner.change(|trees| flush(trees, BUS_FLUSH_WAIT))
    }

    pub(super) fn close(&self) {
        let Some((stop, thread)) = held(&self.sweeper).take() else { return };
        self.inner.closed.store(true, Ordering::Release);
        drop(stop);
        let _ = thread.join();
        let trees = self.inner.trees.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(trees) = trees {
            if let Err(error) = flush(&trees, BUS_CLOSE_WAIT) {
                tracing::warn!(%error, "the newest keys of the bus may be gone after this stop");
            }
            put_away(trees);
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    /// Changes something in the trees; after a fault opens them again first.
    fn change<T>(&self, f: impl Fn(&Trees) -> Result<T, Error>) -> Result<T, BusError> {
        if self.failed.load(Ordering::Acquire) {
            self.mend(None)?;
        }
        self.with(f)
    }

    /// Does something with the trees; after a fault opens them again and does it once more.
    fn with<T>(&self, f: impl Fn(&Trees) -> Result<T, Error>) -> Result<T, BusError> {
        let attempt = || match self.trees.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(trees) => guarded(|| f(trees)),
            None => Err(Error::Unsupported("the bus is closed".into())),
        };
        attempt().or_else(|error| {
            self.failed.store(true, Ordering::Release);
            self.mend(Some(error))?;
            attempt().map_err(|error| refused(&error))
        })
    }

    /// Opens the files again after a fault: this one, or the last. Until that succeeds, nothing can be changed.
    fn mend(&self, why: Option<Error>) -> Result<(), BusError> {
        let mut mending = held(&self.mending);
        if why.is_some() {
            mending.why = why;
        }
        let Some(why) = mending.why.clone() else { return Ok(()) };
        let lately = mending.tried.is_some_and(|last| last.elapsed() < BUS_MEND_INTERVAL);
        if lately || self.closed.load(Ordering::Acquire) {
            return Err(refused(&why));
        }
        mending.tried = Some(Stopwatch::start());
        self.probe().map_err(|error| BusError(error.to_string()))?;
        self.open_again(&why)?;
        mending.why = None;
        self.failed.store(false, Ordering::Release);
        Ok(())
    }

    fn open_again(&self, why: &Error) -> Result<(), BusError> {
        let mut place = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        let readable = !matches!(why, Error::Corruption { .. } | Error::ReportableBug(_));
        // Nothing there: the last mending failed.
        let (closed, kept) = place.take().map_or((true, Vec::new()), |trees| {
            tracing::warn!(%why, "the bus failed and is opened again");
            // What it took last may be in memory alone.
            let kept = if readable { guarded(|| trees.rows()) } else { Ok(Vec::new()) };
            (put_away(trees), kept.unwrap_or_default())
        });
        let trees =
            if closed && readable { open_or_set_aside(&self.dir)? } else { open_empty(&self.dir, why)? };
        if let Err(error) = guarded(|| trees.take_over(&kept)) {
            tracing::warn!(%error, "not every key of the bus could be taken over");
        }
        self.count.store(trees.keys.len(), Ordering::Relaxed);
        *place = Some(trees);
        Ok(())
    }

    /// Whether the disk takes writes at all. While it does not, the failed engine is left as it is: it can hang
    /// for ever when it is closed, and once for each full disk is enough.
    fn probe(&self) -> io::Result<()> {
        let file = self.dir.with_extension("probe");
        let written = File::create(&file).and_then(|mut probe| {
            probe.write_all(&vec![0xA5; BUS_PROBE_BYTES])?;
            probe.sync_all()
        });
        written.and(fs::remove_file(&file))
    }

    fn forget(&self) {
        let _ = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    }

    /// Takes away keys whose time has come.
    fn sweep(&self) -> Result<(), BusError> {
        let now = self.clock.now_ms();
        self.change(|trees| {
            for row in trees.expiry.range(..entry(now.saturating_add(1), &[])).take(BUS_SWEEP_MAX) {
                let (due, _) = row?;
                if let Some((expires, key)) = due.split_first_chunk::<8>()
                    && let Some(stored) = trees.keys.get(key)?
                    && stored.starts_with(expires)
                    && trees.keys.compare_and_swap(key, Some(stored), None::<IVec>)?.is_ok()
                {
                    self.forget();
                }
                trees.expiry.remove(due)?;
            }
            Ok(())
        })
    }
}

fn sweep(inner: &Inner, stopped: &Receiver<()>) {
    while stopped.recv_timeout(BUS_SWEEP_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if let Err(error) = inner.sweep() {
            tracing::debug!(%error, "the bus was not swept");
        }
    }
}

/// Opens the files, or makes empty ones when these cannot be read.
fn open_or_set_aside(dir: &Path) -> Result<Trees, BusError> {
    let since = Stopwatch::start();
    let error = loop {
        match Trees::open(dir) {
            Ok(trees) => return Ok(trees),
            // The engine lets its lock go a moment after it is closed.
            Err(error) if is_locked(&error) && since.elapsed() < BUS_MEND_INTERVAL => {
                thread::sleep(BUS_LOCKED_PAUSE);
            }
            Err(error) => break error,
        }
    };
    if is_locked(&error) || is_refused_by_disk(&error) {
        return Err(refused(&error));
    }
    open_empty(dir, &error)
}

/// Puts the files aside under another name and makes empty ones: everything in them can be made again. One folder is
/// kept aside, for whoever wants to know why.
fn open_empty(dir: &Path, error: &Error) -> Result<Trees, BusError> {
    let aside = dir.with_extension("aside");
    let path = aside.display();
    tracing::error!(%error, aside = %path, "the bus cannot be read: it is set aside and starts empty");
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(|error| BusError(error.to_string()))?;
    }
    fs::rename(dir, &aside).map_err(|error| BusError(error.to_string()))?;
    Trees::open(dir).map_err(|error| refused(&error))
}

fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Whether new, empty files would fare no better.
fn is_refused_by_disk(error: &Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(error, Error::Io(error) if matches!(
        error.kind(),
        Kind::StorageFull | Kind::QuotaExceeded | Kind::PermissionDenied | Kind::ReadOnlyFilesystem
    ))
}

/// Writes down what is only in memory.
fn flush(trees: &Trees, wait: Duration) -> Result<(), Error> {
    let base = trees.base.clone();
    apart("bus-flush", wait, move || base.flush().map(|_bytes| ()))
        .unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Closes the files; says whether that was done.
fn put_away(trees: Trees) -> bool {
    let closed = apart("bus-closer", BUS_CLOSE_WAIT, move || {
        drop(trees);
        Ok(())
    });
    if closed.is_none() {
        tracing::error!("the bus does not close; it was left open");
    }
    closed.is_some()
}

/// What the engine does on a thread of its own; `None` when it does not come back: after a fault it can hang for ever.
fn apart(
    name: &str,
    wait: Duration,
    f: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Option<Result<(), Error>> {
    let (done, finished) = channel();
    let started = thread::Builder::new().name(name.into()).spawn(move || {
        // Who asked may have stopped waiting.
        let _ = done.send(guarded(f));
    });
    match started {
        Ok(_) => finished.recv_timeout(wait).ok(),
        Err(error) => Some(Err(error.into())),
    }
}

fn refused(error: &Error) -> BusError {
    BusError(error.to_string())
}

/// The engine panics on some damaged files; here that is an error like any other.
fn guarded<T>(f: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|_| Err(Error::ReportableBug("the files make no sense".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, clock: &Clock) -> Embedded {
        Embedded::open(&dir.join("bus"), clock).unwrap()
    }

    fn keys(bus: &Embedded) -> usize {
        bus.inner.trees.read().unwrap().as_ref().unwrap().keys.len()
    }

    fn entries(bus: &Embedded) -> usize {
        bus.inner.trees.read().unwrap().as_ref().unwrap().expiry.len()
    }

    #[test]
    fn a_key_is_gone_when_its_life_ends_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_000_000);
        let bus = open(dir.path(), &clock);
        bus.set("a", b"1", Some(Duration::from_secs(5))).unwrap();
        bus.set("b", b"2", Some(Duration::from_secs(50))).unwrap();
        bus.set("c", b"3", None).unwrap();
        bus.set("a", b"4", Some(Duration::from_secs(10))).unwrap();
        assert_eq!(entries(&bus), 2);
        clock.advance(Duration::from_secs(9));
        bus.inner.sweep().unwrap();
        assert_eq!(bus.get("a").unwrap().unwrap(), "4");
        clock.advance(Duration::from_secs(1));
        assert!(bus.get("a").unwrap().is_none());
        assert_eq!(bus.scan("", 9).unwrap().len(), 2);
        bus.inner.sweep().unwrap();
        assert_eq!((keys(&bus), entries(&bus)), (2, 1));
        bus.set("b", b"2", None).unwrap();
        clock.advance(Duration::from_secs(1_000));
        bus.inner.sweep().unwrap();
        assert_eq!(bus.get("b").unwrap().unwrap(), "2");
        assert!(bus.delete("b").unwrap() && !bus.delete("b").unwrap());
        assert_eq!((keys(&bus), entries(&bus)), (1, 0));
        assert_eq!(bus.inner.count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn keys_are_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(5);
        let bus = open(dir.path(), &clock);
        for n in 0..100 {
            bus.set(&format!("user/{n:03}"), b"x", None).unwrap();
        }
        drop(bus);
        let bus = open(dir.path(), &clock);
        assert_eq!(bus.scan("user/", 1_000).unwrap().len(), 100);
        let some = bus.scan("user/09", 3).unwrap();
        assert_eq!(
            some.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
            ["user/090", "user/091", "user/092"]
        );
    }

    #[test]
    fn files_that_cannot_be_read_are_set_aside_and_the_bus_starts_empty() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(5);
        for round in 0..3 {
            let bus = open(dir.path(), &clock);
            assert!(bus.get("a").unwrap().is_none(), "round {round}");
            bus.set("a", b"1", None).unwrap();
            drop(bus);
            fs::write(dir.path().join("bus/conf"), [0xFF; 64]).unwrap();
        }
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["bus", "bus.aside"]);
    }

    #[test]
    fn a_closed_bus_stays_closed() {
        let dir = tempfile::tempdir().unwrap();
        let bus = open(dir.path(), &Clock::manual(5));
        bus.set("a", b"1", None).unwrap();
        bus.close();
        assert!(bus.get("a").is_err() && bus.get("a").is_err());
        assert_eq!(open(dir.path(), &Clock::manual(5)).get("a").unwrap().unwrap(), "1");
    }

    #[test]
    fn a_fault_on_the_way_opens_the_files_again() {
        let dir = tempfile::tempdir().unwrap();
        let bus = open(dir.path(), &Clock::manual(5));
        bus.set("a", b"1", None).unwrap();
        bus.inner.mend(Some(Error::Unsupported("a test".into()))).unwrap();
        assert_eq!(bus.get("a").unwrap().unwrap(), "1");
        bus.inner.mending.lock().unwrap().tried = None;
        bus.inner.mend(Some(Error::Corruption { at: None, bt: () })).unwrap();
        assert!(bus.get("a").unwrap().is_none());
        assert!(dir.path().join("bus.aside").exists());
    }

    #[test]
    fn a_folder_in_use_is_never_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(5);
        let bus = open(dir.path(), &clock);
        bus.set("a", b"1", None).unwrap();
        assert!(Embedded::open(&dir.path().join("bus"), &clock).is_err());
        assert_eq!(bus.get("a").unwrap().unwrap(), "1");
        assert!(!dir.path().join("bus.aside").exists());
    }
}
