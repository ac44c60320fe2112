//! The engine: rows of bytes in byte order, in one file, changed by one transaction at a time.
//!
//! Owns the engine's name, its settings and its errors. Does not know what rows mean, nor their checksums.

mod fault;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};

pub(super) use self::fault::{Fault, WriteFault};
use super::redo::Redo;
use crate::config::limits::STORE_CACHE_BYTES;
use crate::lock::held;

/// All rows live in one tree: one commit then touches one path per place it changes, and no list of trees.
const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("townhall");

/// The open file. After a failed write it takes no more until it is dropped and opened again.
pub(super) struct Engine {
    /// Dropped before the database, which it belongs to.
    gathering: Mutex<Gathering>,
    base: Database,
}

/// The transaction that takes one journal record's changes after the other. The engine's own work for a commit is then
/// done once for many of them: when somebody reads, or the file is brought up to date.
enum Gathering {
    Nothing,
    Open(Box<WriteTransaction>),
    /// It met a fault, and what it had gathered is in the journal only.
    Lost,
}

impl Engine {
    fn new(base: Database) -> Self {
        Self { gathering: Mutex::new(Gathering::Nothing), base }
    }

    /// Makes the file, which must not exist or be empty.
    pub(super) fn create(path: &Path) -> Result<Self, Fault> {
        guarded(|| {
            let base = Database::builder().set_cache_size(STORE_CACHE_BYTES).create(path)?;
            Ok(Self::new(base))
        })
    }

    /// Opens a file that is there. An empty one is damage, not a new office. `cache`: bytes of memory, half of which
    /// may hold what is not on disk yet.
    pub(super) fn open(path: &Path, cache: usize) -> Result<Self, Fault> {
        guarded(|| {
            #[cfg(test)]
            if let Some(failing) = failing::Failing::at(path)? {
                let base = Database::builder().set_cache_size(cache).create_with_backend(failing)?;
                return Ok(Self::new(base));
            }
            let base = Database::builder().set_cache_size(cache).open(path)?;
            Ok(Self::new(base))
        })
    }

    /// Reads from one consistent state, which holds everything that was done before.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Reading) -> Result<T, Fault>) -> Result<T, Fault> {
        // A fault here is not of what is read: the file is opened again for it.
        guarded(|| self.show()).map_err(|fault| {
            tracing::error!(%fault, "what was saved last cannot be shown yet");
            Fault::Stale
        })?;
        guarded(|| {
            let table = self.base.begin_read().map_err(Fault::from)?.open_table(ROWS)?;
            f(&Reading(table))
        })
    }

    /// Writes down what `f` changes, without doing it: it reads what was done before.
    pub(super) fn write_down<T>(
        &self,
        f: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>,
    ) -> Result<(T, Redo), WriteFault> {
        guarded(|| {
            let mut gathering = self.gathering();
            let txn = gathering.take(&self.base)?;
            let mut redo = Redo::new();
            let made = f(&mut Writing { table: txn.open_table(ROWS)?, redo: Some(&mut redo) });
            *gathering = Gathering::Open(txn);
            Ok(made.map(|made| (made, redo)))
        })
        .map_err(WriteFault::Engine)?
        .map_err(WriteFault::Inner)
    }

    /// Does changes that last until this process ends or the file is closed after a fault. The next write on disk takes
    /// them with it. When it fails, the file must be opened again.
    pub(super) fn gather(&self, f: impl FnOnce(&mut Writing<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        guarded(|| {
            let mut gathering = self.gathering();
            let txn = gathering.take(&self.base)?;
            f(&mut Writing { table: txn.open_table(ROWS)?, redo: None })?;
            *gathering = Gathering::Open(txn);
            Ok(())
        })
    }

    /// Shows readers what was gathered.
    fn show(&self) -> Result<(), Fault> {
        let mut gathering = self.gathering();
        match std::mem::replace(&mut *gathering, Gathering::Lost) {
            Gathering::Nothing => {}
            Gathering::Open(txn) => finish(*txn, Lasting::Memory)?,
            Gathering::Lost => return Err(Fault::Stale),
        }
        *gathering = Gathering::Nothing;
        Ok(())
    }

    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        held(&self.gathering)
    }

    /// Changes rows in one transaction, which is on disk when this returns `Ok`, and undone when `f` fails.
    pub(super) fn write<T>(
        &self,
        f: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>,
    ) -> Result<T, WriteFault> {
        self.change(Lasting::Disk, f)
    }

    /// As [`Engine::write`], for as long as is said. Readers see the changes at once either way.
    pub(super) fn change<T>(
        &self,
        lasting: Lasting,
        f: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>,
    ) -> Result<T, WriteFault> {
        guarded(|| {
            self.show()?;
            let txn = self.base.begin_write().map_err(Fault::from)?;
            let made = f(&mut Writing { table: txn.open_table(ROWS)?, redo: None });
            match made {
                Ok(made) => finish(txn, lasting).map(|()| Ok(made)),
                Err(fault) => {
                    // When this fails too, the next transaction says so.
                    let _ = txn.abort();
                    Ok(Err(fault))
                }
            }
        })
        .map_err(WriteFault::Engine)?
        .map_err(WriteFault::Inner)
    }
}

impl Gathering {
    /// Takes the open transaction, or a new one. Until it is put back it counts as lost.
    fn take(&mut self, base: &Database) -> Result<Box<WriteTransaction>, Fault> {
        match std::mem::replace(self, Self::Lost) {
            Self::Nothing => Ok(Box::new(base.begin_write()?)),
            Self::Open(txn) => Ok(txn),
            Self::Lost => Err(Fault::Stale),
        }
    }
}

fn finish(mut txn: WriteTransaction, lasting: Lasting) -> Result<(), Fault> {
    let durability = match lasting {
        Lasting::Memory => Durability::None,
        Lasting::Disk => Durability::Immediate,
    };
    txn.set_durability(durability).map_err(|error| Fault::Disk(error.to_string()))?;
    // Writes in two phases and keeps the free list on disk: opening after a kill takes milliseconds, and bytes made by
    // strangers cannot forge a finished commit.
    txn.set_quick_repair(lasting == Lasting::Disk);
    Ok(txn.commit()?)
}

/// How long a transaction's changes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// Until this process ends or the file is closed after a fault; the next one that lasts on disk takes them with it.
    Memory,
    /// They are on disk.
    Disk,
}

/// One consistent state of all rows.
pub(super) struct Reading(ReadOnlyTable<&'static [u8], &'static [u8]>);

/// Where rows can be read, in a finished state or within a transaction.
pub(super) trait Rows {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;
    /// Shows rows from `from` (inclusive) to `to` (exclusive) in order until `each` says `false`.
    fn each(&self, from: &[u8], to: &[u8], each: &mut Each<'_>) -> Result<(), Fault>;
}

/// What looks at a row and says whether to go on.
pub(super) type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, Fault> + 'a;

impl Rows for Reading {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        get(&self.0, key)
    }
    fn each(&self, from: &[u8], to: &[u8], each: &mut Each<'_>) -> Result<(), Fault> {
        walk(&self.0, from, to, each)
    }
}

/// All rows within a transaction. Changes that are only written down are not done: reads do not see them.
pub(super) struct Writing<'a> {
    table: Table<'a, &'static [u8], &'static [u8]>,
    /// What is to be done, when it is only written down.
    redo: Option<&'a mut Redo>,
}

impl Rows for Writing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        get(&self.table, key)
    }
    fn each(&self, from: &[u8], to: &[u8], each: &mut Each<'_>) -> Result<(), Fault> {
        walk(&self.table, from, to, each)
    }
}

impl Writing<'_> {
    /// Puts a row, in place of one with the same key.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match &mut self.redo {
            Some(redo) => redo.put(key, value),
            None => drop(self.table.insert(key, value)?),
        }
        Ok(())
    }

    /// Removes a row, if there is one.
    pub(super) fn delete(&mut self, key: &[u8]) -> Result<(), Fault> {
        match &mut self.redo {
            Some(redo) => redo.delete(key),
            None => drop(self.table.remove(key)?),
        }
        Ok(())
    }

    /// Removes the rows from `from` (inclusive) to `to` (exclusive).
    pub(super) fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), Fault> {
        match &mut self.redo {
            Some(redo) => redo.delete_range(from, to),
            None => drop(self.table.retain_in::<&[u8], _>(from..to, |_, _| false)?),
        }
        Ok(())
    }
}

type Key = &'static [u8];

fn get(table: &impl ReadableTable<Key, Key>, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    Ok(table.get(key)?.map(|value| value.value().to_vec()))
}

fn walk(
    table: &impl ReadableTable<Key, Key>,
    from: &[u8],
    to: &[u8],
    each: &mut Each<'_>,
) -> Result<(), Fault> {
    let mut before: Option<Vec<u8>> = None;
    for row in table.range::<&[u8]>(from..to)? {
        let (key, value) = row?;
        // A damaged tree can lead to rows that nobody asked for.
        let behind = before.as_deref().map_or(key.value() >= from, |before| key.value() > before);
        if !behind || key.value() >= to {
            return Err(Fault::Damaged("the rows are out of order".into()));
        }
        before = Some(key.value().to_vec());
        if !each(key.value(), value.value())? {
            break;
        }
    }
    Ok(())
}

/// The engine panics on some damaged files; here that is an error like any other.
fn guarded<T>(f: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|_| Err(Fault::Damaged("the file makes no sense to the engine".into())))
}

/// A disk that fails when a test says so.
#[cfg(test)]
pub(crate) mod failing {
    use std::collections::HashMap;
    use std::fs::OpenOptions;
    use std::io;
    use std::ops::Bound;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, LazyLock, Mutex};

    use redb::backends::FileBackend;
    use redb::{BackendError, StorageBackend};

    /// What fails: the call with number `at` fails with `kind`, and so do the `more` calls after it. A failing write
    /// leaves half of its bytes behind.
    #[derive(Debug)]
    pub(crate) struct Plan {
        pub(crate) calls: AtomicU64,
        pub(crate) at: u64,
        pub(crate) more: u64,
        pub(crate) kind: io::ErrorKind,
    }

    static PLANS: LazyLock<Mutex<HashMap<PathBuf, Arc<Plan>>>> = LazyLock::new(Mutex::default);

    impl Plan {
        pub(crate) fn lay(self, file: &Path) -> Arc<Self> {
            let plan = Arc::new(self);
            PLANS.lock().unwrap().insert(file.to_owned(), Arc::clone(&plan));
            plan
        }

        fn call(&self) -> io::Result<()> {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            if (self.at..=self.at + self.more).contains(&call) { Err(self.kind.into()) } else { Ok(()) }
        }
    }

    /// One call to another file of the folder.
    pub(crate) fn strike(beside: &Path) -> io::Result<()> {
        let plan = PLANS.lock().unwrap().get(&beside.with_file_name("townhall.db")).cloned();
        plan.map_or(Ok(()), |plan| plan.call())
    }

    #[derive(Debug)]
    pub(super) struct Failing(FileBackend, Arc<Plan>);

    impl Failing {
        pub(super) fn at(path: &Path) -> Result<Option<Self>, super::Fault> {
            let Some(plan) = PLANS.lock().unwrap().get(path).cloned() else { return Ok(None) };
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            Ok(Some(Self(FileBackend::new(file)?, plan)))
        }
    }

    type Place = Bound<u64>;

    impl StorageBackend for Failing {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.1.call()?;
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.1.call()?;
            self.0.set_len(len)
        }
        /// Kills and power cuts are not this disk's matter: it leaves the waiting out.
        fn sync_data(&self) -> io::Result<()> {
            self.1.call()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.1.call().inspect_err(|_| drop(self.0.write(offset, &data[..data.len() / 2])))?;
            self.0.write(offset, data)
        }
        fn close(&self) -> io::Result<()> {
            self.0.close()
        }
        fn try_lock_range(&self, start: Place, end: Place) -> Result<bool, BackendError> {
            self.0.try_lock_range(start, end)
        }
        fn try_lock_shared_range(&self, start: Place, end: Place) -> Result<bool, BackendError> {
            self.0.try_lock_shared_range(start, end)
        }
        fn lock_range(&self, start: Place, end: Place) -> Result<(), BackendError> {
            self.0.lock_range(start, end)
        }
        fn lock_shared_range(&self, start: Place, end: Place) -> Result<(), BackendError> {
            self.0.lock_shared_range(start, end)
        }
        fn unlock_range(&self, start: Place, end: Place) -> Result<(), BackendError> {
            self.0.unlock_range(start, end)
        }
        fn query_lock_range(&self, start: Place, end: Place) -> Result<bool, BackendError> {
            self.0.query_lock_range(start, end)
        }
    }
}
