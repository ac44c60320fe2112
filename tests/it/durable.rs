//! Saved means on disk: whatever was acknowledged is there after the process was killed, once, in its order.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use townhall::clock::{Clock, Stopwatch};
use townhall::id::DocName;
use townhall::store::{Loaded, Store, Table, Write};
use townhall::telemetry::Metrics;

const WRITERS: usize = 8;
const LARGE_BYTES: usize = 100_000;

fn open(dir: &Path) -> Store {
    Store::open(dir, &Clock::real(), &Metrics::new()).unwrap()
}

fn doc(writer: usize) -> DocName {
    DocName::parse(&format!("d{writer}")).unwrap()
}

/// The numbers a document holds: `0,1,2,` is `[0, 1, 2]`.
fn numbers(loaded: &Loaded) -> Vec<u64> {
    let parts = loaded.snapshot.iter().chain(&loaded.tail);
    let text: Vec<u8> = parts.flat_map(|(_, bytes)| bytes.to_vec()).collect();
    let text = String::from_utf8(text).unwrap();
    text.split_terminator(',').map(|number| number.parse().unwrap()).collect()
}

/// One writer of the child: goes on where the disk says, and prints what was acknowledged. Every 20th commit also puts
/// a row, every 60th a snapshot; every 7th puts a large one, so that the journal is full several times before a kill.
fn write_on(store: &Store, writer: usize) {
    let name = doc(writer);
    let mut written = store.load(&name).unwrap().map_or_else(Vec::new, |loaded| numbers(&loaded));
    loop {
        let number = written.len() as u64;
        written.push(number);
        let mut writes = vec![Write::Append { doc: name.clone(), update: format!("{number},").into() }];
        if number % 20 == 19 {
            let value = Bytes::from(number.to_string());
            writes.push(Write::Put { table: Table::Cursors, key: format!("{writer}").into(), value });
        }
        if number % 7 == 6 {
            let value = Bytes::from(vec![number as u8; LARGE_BYTES]);
            writes.push(Write::Put { table: Table::Sources, key: format!("{writer}").into(), value });
        }
        let upto = store.commit(writes).unwrap().blocking_recv().unwrap().unwrap().upto;
        println!("ack {writer} {number}");
        if number % 60 == 59 {
            let state: String = written.iter().map(|number| format!("{number},")).collect();
            let _ = store.commit(vec![Write::Snapshot { doc: name.clone(), upto, state: state.into() }]);
        }
    }
}

/// The process that is killed.
#[test]
#[ignore = "started by another test"]
fn child_writes_until_killed() {
    let Some(dir) = std::env::var_os("TOWNHALL_TEST_DIR") else { return };
    let store = open(Path::new(&dir));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || write_on(store, writer));
        }
    });
}

fn child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "durable::child_writes_until_killed", "--nocapture"])
        .env("TOWNHALL_TEST_DIR", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills a child after a while; the highest number it acknowledged for each writer.
fn killed(mut child: Child, after: Duration) -> BTreeMap<usize, u64> {
    let mut out = child.stdout.take().unwrap();
    let heard = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = out.read_to_end(&mut text);
        text
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let heard = heard.join().unwrap();
    let whole = &heard[..heard.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1)];
    let mut acked = BTreeMap::new();
    for line in String::from_utf8_lossy(whole).lines() {
        if let Some((writer, number)) = line.strip_prefix("ack ").and_then(|rest| rest.split_once(' ')) {
            acked.insert(writer.parse().unwrap(), number.parse().unwrap());
        }
    }
    acked
}

/// Reads what is on disk: everything acknowledged is there, nothing is there twice, and rows go with their edits.
fn check(dir: &Path, acked: &BTreeMap<usize, u64>, round: u64) -> Duration {
    let watch = Stopwatch::start();
    let store = open(dir);
    let took = watch.elapsed();
    for writer in 0..WRITERS {
        let found = store.load(&doc(writer)).unwrap().map_or_else(Vec::new, |loaded| numbers(&loaded));
        assert!(
            found.iter().copied().eq(0..found.len() as u64),
            "round {round}: {writer} has gaps or doubles"
        );
        let most = acked.get(&writer).map_or(0, |number| number + 1);
        assert!(
            found.len() as u64 >= most,
            "round {round}: {writer} lost {} of {most}",
            most - found.len() as u64
        );
        let row = store.get(Table::Cursors, writer.to_string().as_bytes()).unwrap();
        let row = row.map_or(0, |row| String::from_utf8_lossy(&row).parse::<u64>().unwrap() + 1);
        assert_eq!(row, found.len() as u64 / 20 * 20, "round {round}: {writer}'s row and edits came apart");
        let large = store.get(Table::Sources, writer.to_string().as_bytes()).unwrap();
        let newest = (found.len() as u64 / 7).checked_sub(1).map(|part| (part * 7 + 6) as u8);
        assert_eq!(large.map(|large| large[LARGE_BYTES - 1]), newest, "round {round}: {writer}'s large row");
    }
    took
}

#[test]
fn a_kill_at_any_moment_loses_nothing_acknowledged_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let rounds: u64 = std::env::var("TOWNHALL_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let mut random = u64::from(std::process::id());
    let mut up_to = |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((random >> 33) % most)
    };
    let mut acked = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        acked.extend(killed(child(dir.path()), Duration::from_millis(20) + up_to(180)));
        if round % 3 == 0 {
            // Again, while it opens what the first kill left.
            acked.extend(killed(child(dir.path()), up_to(12)));
        }
        slowest = slowest.max(check(dir.path(), &acked, round));
    }
    let edits: u64 = acked.values().map(|number| number + 1).sum();
    println!("{rounds} rounds, {edits} acknowledged edits, none lost; slowest opening {slowest:?}");
    assert!(edits > rounds, "the child hardly wrote");
}

/// How long `writers` wait for each of their acknowledgements, every one writing on as soon as it has it.
fn waits(store: &Store, writers: usize, each: usize) -> Vec<Duration> {
    let waits: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                scope.spawn(move || {
                    let name = doc(1_000 + writer);
                    let wait = |_| {
                        let watch = Stopwatch::start();
                        let write = Write::Append { doc: name.clone(), update: Bytes::from_static(&[7; 60]) };
                        store.commit(vec![write]).unwrap().blocking_recv().unwrap().unwrap();
                        watch.elapsed()
                    };
                    (0..each).map(wait).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    waits
}

#[test]
#[ignore = "a measurement: run it alone on a quiet machine"]
fn acknowledgements_come_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    waits(&store, 10, 50);
    for (writers, each) in [(1, 500), (8, 200), (100, 100), (1, 500), (100, 100)] {
        let watch = Stopwatch::start();
        let mut waits = waits(&store, writers, each);
        let rate = waits.len() as f64 / watch.elapsed().as_secs_f64();
        waits.sort();
        let at = |part: usize| waits[(waits.len() * part / 100).min(waits.len() - 1)];
        println!(
            "{writers} writers: p50 {:?} p99 {:?} most {:?}, {rate:.0} edits/s",
            at(50),
            at(99),
            at(100)
        );
        assert!(at(50) <= Duration::from_millis(25), "{writers} writers wait {:?}", at(50));
    }
}

#[test]
#[ignore = "a measurement: run it alone on a quiet machine"]
fn a_large_office_opens_quickly_also_after_a_kill() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    let mut random = 7u64;
    for batch in 0..500 {
        let writes = (0..10).map(|number| {
            let next = || {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 56) as u8
            };
            let update: Vec<u8> = std::iter::repeat_with(next).take(20_000).collect();
            Write::Append { doc: doc(batch * 10 + number), update: update.into() }
        });
        store.commit(writes.collect()).unwrap().blocking_recv().unwrap().unwrap();
    }
    // A copy of the files of a running office is what a kill leaves behind.
    for file in ["townhall.db", "townhall.journal"] {
        std::fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }
    store.close();
    for (how, dir) in [("closed", dir.path()), ("killed", copy.path())] {
        let size = std::fs::metadata(dir.join("townhall.db")).unwrap().len() / 1_000_000;
        let watch = Stopwatch::start();
        let store = open(dir);
        let opened = watch.elapsed();
        assert_eq!(store.load(&doc(4_999)).unwrap().unwrap().tail[0].1.len(), 20_000);
        println!("{how}, {size} MB: open in {opened:?}, first text after {:?}", watch.elapsed());
        assert!(watch.elapsed() < Duration::from_secs(2));
    }
}
