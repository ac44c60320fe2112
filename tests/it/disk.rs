//! A disk that is full, read-only, shared or damaged ends in a clear state or message, and loses nothing acknowledged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use townhall::bus::Bus;
use townhall::clock::{Clock, Stopwatch};
use townhall::id::{DocName, Seq};
use townhall::store::{CommitError, Loaded, OpenError, ReadError, Store, StoreState, Table, Write};
use townhall::telemetry::Metrics;

const FILE: &str = "townhall.db";
const JOURNAL: &str = "townhall.journal";

fn open(dir: &Path) -> Result<Store, OpenError> {
    Store::open(dir, &Clock::real(), &Metrics::new())
}

fn doc(name: &str) -> DocName {
    DocName::parse(name).unwrap()
}

fn append(name: &str, update: &[u8]) -> Write {
    Write::Append { doc: doc(name), update: Bytes::copy_from_slice(update) }
}

fn commit(store: &Store, writes: Vec<Write>) -> Result<Seq, CommitError> {
    store.commit(writes)?.blocking_recv().unwrap_or(Err(CommitError::Closed)).map(|done| done.upto)
}

fn state(loaded: &Loaded) -> Vec<u8> {
    loaded.snapshot.iter().chain(&loaded.tail).flat_map(|(_, bytes)| bytes.to_vec()).collect()
}

/// A small disk of its own. Mounting needs root: without it the test says so and does nothing.
pub(crate) struct SmallDisk {
    pub(crate) root: PathBuf,
    /// Removed after the disk is unmounted.
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    pub(crate) fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        fs::create_dir(&path).unwrap();
        let disk = Self { root: path, _dir: dir };
        if disk.option(options, &["-t", "tmpfs", "townhall-test"]) {
            return Some(disk);
        }
        println!("SKIPPED: this test needs a small disk, and mounting one needs root on Linux");
        None
    }

    pub(crate) fn option(&self, options: &str, more: &[&str]) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", options]).args(more).arg(&self.root).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.join("store")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.root).stderr(Stdio::null()).status();
    }
}

/// Appends until the disk is full; what was acknowledged.
fn fill(store: &Store, name: &str) -> Vec<u8> {
    let mut saved = Vec::new();
    for n in 0u32.. {
        let row: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(n) >> 3) as u8).collect();
        match commit(store, vec![append(name, &row)]) {
            Ok(_) => saved.extend_from_slice(&row),
            Err(CommitError::Disk(why)) => {
                assert!(why.contains("full"), "{why}");
                return saved;
            }
            Err(other) => panic!("{other}"),
        }
        assert!(n < 10_000, "the disk never filled");
    }
    saved
}

fn resumes_within(store: &Store, most: Duration) -> Duration {
    let since = Stopwatch::start();
    let state = store.state();
    while *state.borrow() != StoreState::Writable {
        assert!(since.elapsed() < most, "saving did not resume");
        std::thread::sleep(Duration::from_millis(5));
    }
    since.elapsed()
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_saving_resumes_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("size=8m") else { return };
    let store = open(&disk.path()).unwrap();
    for round in 0..3 {
        let name = format!("d{round}");
        let saved = fill(&store, &name);
        assert_eq!(*store.state().borrow(), StoreState::Full);
        assert!(saved.len() > 100_000, "round {round}: only {} bytes fitted", saved.len());

        // Reading goes on, new edits are refused at once, and the state stays while the disk is full.
        assert!(state(&store.load(&doc(&name)).unwrap().unwrap()).starts_with(&saved));
        std::thread::sleep(Duration::from_millis(1_200));
        let since = Stopwatch::start();
        assert!(matches!(commit(&store, vec![append(&name, &[1; 40_000])]), Err(CommitError::Disk(_))));
        assert!(since.elapsed() < Duration::from_secs(1));
        assert_eq!(*store.state().borrow(), StoreState::Full);

        assert!(disk.option(&format!("remount,size={}m", 24 + 16 * round), &[]));
        let took = resumes_within(&store, Duration::from_secs(2));
        println!("round {round}: {} bytes saved before, saving again after {took:?}", saved.len());
        commit(&store, vec![append(&name, b"after")]).unwrap();
        let now = state(&store.load(&doc(&name)).unwrap().unwrap());
        assert!(now.starts_with(&saved) && now.ends_with(b"after"));
    }
    store.close();
}

#[test]
fn a_disk_filled_by_others_is_noticed_and_opening_on_it_still_shows_every_text() {
    let Some(disk) = SmallDisk::mount("size=16m") else { return };
    let store = open(&disk.path()).unwrap();
    commit(&store, vec![append("a", b"kept ")]).unwrap();
    let filler = disk.root.join("filler");
    // Whatever is left, to the last page.
    let _ = fs::write(&filler, vec![0; 64 * 1024 * 1024]);
    let saved = fill(&store, "b");
    store.close();
    drop(store);

    let store = open(&disk.path()).unwrap();
    assert_eq!(state(&store.load(&doc("a")).unwrap().unwrap()), b"kept ");
    if let Some(b) = store.load(&doc("b")).unwrap() {
        assert!(state(&b).starts_with(&saved));
    }
    assert!(commit(&store, vec![append("b", &[7; 2_000_000])]).is_err());
    assert_eq!(*store.state().borrow(), StoreState::Full);
    fs::remove_file(&filler).unwrap();
    println!("saving again after {:?}", resumes_within(&store, Duration::from_secs(2)));
    commit(&store, vec![append("a", b"and more")]).unwrap();
    assert_eq!(state(&store.load(&doc("a")).unwrap().unwrap()), b"kept and more");
}

#[test]
fn what_the_journal_alone_has_is_read_on_a_full_disk_and_moves_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("size=16m") else { return };
    let store = open(&disk.path()).unwrap();
    let mut text = Vec::new();
    for n in 0..60u32 {
        let row: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(n) >> 3) as u8).collect();
        commit(&store, vec![append("a", &row)]).unwrap();
        text.extend_from_slice(&row);
    }
    let filler = disk.root.join("filler");
    let _ = fs::write(&filler, vec![0; 64 * 1024 * 1024]);
    // Nobody writes: the office itself finds out, when it moves what it saved on to the database.
    let is_full = |store: &Store| {
        let since = Stopwatch::start();
        while *store.state().borrow() != StoreState::Full {
            assert!(since.elapsed() < Duration::from_secs(5), "a full disk is not noticed");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(matches!(commit(store, vec![append("a", b"not now")]), Err(CommitError::Disk(_))));
        assert!(state(&store.load(&doc("a")).unwrap().unwrap()) == text, "the text is not whole");
    };
    is_full(&store);
    // What a kill leaves behind, carried to a disk with room.
    let elsewhere = tempfile::tempdir().unwrap();
    for file in [FILE, JOURNAL] {
        fs::copy(disk.path().join(file), elsewhere.path().join(file)).unwrap();
    }
    let saved = open(elsewhere.path()).unwrap();
    assert!(state(&saved.load(&doc("a")).unwrap().unwrap()) == text);
    assert_eq!(*saved.state().borrow(), StoreState::Writable);

    store.close();
    drop(store);
    let store = open(&disk.path()).unwrap();
    is_full(&store);
    fs::remove_file(&filler).unwrap();
    println!("saving again after {:?}", resumes_within(&store, Duration::from_secs(2)));
    commit(&store, vec![append("a", b"and more")]).unwrap();
    text.extend_from_slice(b"and more");
    store.close();
    drop(store);
    assert!(state(&open(&disk.path()).unwrap().load(&doc("a")).unwrap().unwrap()) == text);
}

#[test]
fn a_folder_that_cannot_be_written_is_named_as_such() {
    let disk = SmallDisk::mount("size=1m");
    let dir = tempfile::tempdir().unwrap();
    let path = match &disk {
        Some(disk) => {
            assert!(disk.option("remount,ro", &[]));
            disk.path()
        }
        None => {
            let mut rights = fs::metadata(dir.path()).unwrap().permissions();
            rights.set_readonly(true);
            fs::set_permissions(dir.path(), rights).unwrap();
            dir.path().join("store")
        }
    };
    match open(&path) {
        Err(OpenError::NotWritable(why)) => println!("told: {why}"),
        Err(other) => panic!("{other}"),
        // Where folders have no rights to refuse (Windows; root without mounts), there is nothing to show.
        Ok(_) => assert!(disk.is_none(), "a read-only disk was opened for writing"),
    }
}

/// The other process of the next test: holds the folder until it is killed.
#[test]
#[ignore = "started by another test"]
fn child_holds_the_folder() {
    let Some(dir) = std::env::var_os("TOWNHALL_TEST_DIR") else { return };
    let _store = open(Path::new(&dir)).unwrap();
    println!("\nholding");
    std::thread::sleep(Duration::from_secs(60));
}

fn holder(dir: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "disk::child_holds_the_folder", "--nocapture"])
        .env("TOWNHALL_TEST_DIR", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let heard = std::io::BufReader::new(child.stdout.as_mut().unwrap());
    assert!(std::io::BufRead::lines(heard).any(|line| line.unwrap() == "holding"));
    child
}

#[test]
fn a_second_process_on_the_folder_is_refused_and_a_killed_one_does_not_lock_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = holder(dir.path());
    assert!(matches!(open(dir.path()), Err(OpenError::InUse)));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(open(dir.path()).is_ok());
}

/// An office with documents of every kind: with and without snapshots, short and long.
fn office(dir: &Path) -> Vec<(DocName, Vec<u8>)> {
    let store = open(dir).unwrap();
    let mut texts = Vec::new();
    for number in 0..30usize {
        let name = format!("record:r{number}");
        let mut text = Vec::new();
        for step in 0..40usize {
            let row: Vec<u8> = (0..20 + number * 20).map(|i| (i * 31 + step * 7 + number) as u8).collect();
            text.extend_from_slice(&row);
            let upto = commit(&store, vec![append(&name, &row)]).unwrap();
            if number % 3 > 0 && step % 9 == 8 {
                let state = Bytes::from(text.clone());
                commit(&store, vec![Write::Snapshot { doc: doc(&name), upto, state }]).unwrap();
            }
        }
        let (key, value) = (Bytes::from(name.clone()), Bytes::from(text.clone()));
        commit(&store, vec![Write::Put { table: Table::Records, key, value }]).unwrap();
        texts.push((doc(&name), text));
    }
    store.close();
    texts
}

/// Opens a damaged copy and reads everything; how it ended, or a panic when wrong bytes came back without a word.
fn judged(dir: &Path, texts: &[(DocName, Vec<u8>)], what: &str) -> &'static str {
    let store = match open(dir) {
        Ok(store) => store,
        Err(OpenError::Damaged(_)) => return "refused at opening",
        Err(other) => panic!("{what}: {other}"),
    };
    let mut told = false;
    for (name, text) in texts {
        match store.load(name) {
            Ok(Some(loaded)) => assert!(state(&loaded) == *text, "{what}: {name} has wrong text, silently"),
            Ok(None) => panic!("{what}: {name} is gone, silently"),
            Err(ReadError::Damaged(why)) => told |= !why.is_empty(),
            Err(other) => panic!("{what}: {other}"),
        }
        match store.get(Table::Records, name.as_str().as_bytes()) {
            Ok(Some(value)) => assert!(value == *text, "{what}: row {name} is wrong, silently"),
            Ok(None) => panic!("{what}: row {name} is gone, silently"),
            Err(_) => told = true,
        }
    }
    match store.changed_after(Seq(0), 1_000) {
        Ok(changed) => assert_eq!(changed.len(), texts.len(), "{what}: the order is short, silently"),
        Err(_) => told = true,
    }
    match store.scan(Table::Records, b"", 1_000) {
        Ok(rows) => assert_eq!(rows.len(), texts.len(), "{what}: the table is short, silently"),
        Err(_) => told = true,
    }
    if told { "told when read" } else { "harmless" }
}

#[test]
fn flipped_bytes_never_give_wrong_text_silently() {
    let dir = tempfile::tempdir().unwrap();
    let texts = office(dir.path());
    let good = fs::read(dir.path().join(FILE)).unwrap();
    let flips: u64 = std::env::var("TOWNHALL_TEST_FLIPS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let mut seen = std::collections::BTreeMap::new();
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 20
    };
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut wrong = Vec::new();
    for _ in 0..flips {
        let mut bad = good.clone();
        // Pages that were never used hold nothing that could be damaged.
        let place = std::iter::repeat_with(|| next() as usize % bad.len())
            .find(|place| {
                bad[place & !4095..][..4096.min(bad.len() - (place & !4095))].iter().any(|b| *b != 0)
            })
            .unwrap();
        bad[place] ^= 1 << (next() % 8);
        fs::write(dir.path().join(FILE), &bad).unwrap();
        let what = format!("byte {place} of {}", good.len());
        match std::panic::catch_unwind(|| judged(dir.path(), &texts, &what)) {
            Ok(end) => *seen.entry(end).or_insert(0) += 1,
            Err(panic) => wrong.push(panic.downcast_ref::<String>().cloned().unwrap_or(what)),
        }
    }
    std::panic::set_hook(quiet);
    println!("{flips} flipped bytes: {seen:?}");
    assert!(wrong.is_empty(), "{} of {flips}: {wrong:#?}", wrong.len());
}

#[test]
fn a_file_cut_short_is_refused_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    let texts = office(dir.path());
    let good = fs::read(dir.path().join(FILE)).unwrap();
    for part in [0, 1, 100, 4_096, good.len() / 4, good.len() / 2, good.len() - 4_096, good.len() - 1] {
        fs::write(dir.path().join(FILE), &good[..part]).unwrap();
        match open(dir.path()) {
            Err(OpenError::Damaged(why)) => println!("{part} bytes of {}: {why}", good.len()),
            Err(other) => panic!("{part}: {other}"),
            Ok(_) => panic!("{part} bytes of {} were opened", good.len()),
        }
    }
    fs::write(dir.path().join(FILE), &good).unwrap();
    assert_eq!(judged(dir.path(), &texts, "the whole file"), "harmless");
}

#[test]
fn a_bus_on_a_full_disk_works_again_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("size=6m") else { return };
    let bus = Bus::open(&disk.path(), &Clock::real()).unwrap();
    bus.set("somebody's session", b"mine", Some(Duration::from_secs(600))).unwrap();
    let set = |n: usize| bus.set(&format!("key{n}"), &vec![n as u8; 20_000], None);
    let full = (0..2_000).find(|n| set(*n).is_err());
    println!("full after {full:?} keys");
    assert!(full.is_some());
    assert!(disk.option("remount,size=64m", &[]));
    let since = Stopwatch::start();
    while set(9_999).is_err() {
        assert!(since.elapsed() < Duration::from_secs(5), "the bus stayed broken");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("works again after {:?}", since.elapsed());
    assert_eq!(bus.get("key9999").unwrap().unwrap().len(), 20_000);
    // An engine that failed can go on taking keys in memory alone.
    bus.settle().unwrap();
    bus.close();
    let bus = Bus::open(&disk.path(), &Clock::real()).unwrap();
    assert_eq!(bus.get("key9999").unwrap().unwrap().len(), 20_000);
    assert_eq!(bus.get("somebody's session").unwrap().unwrap(), "mine", "a full disk signs nobody out");
}
