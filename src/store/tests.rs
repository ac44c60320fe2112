//! What the store promises to the rooms, the records and the followers.

mod damage;
mod journal;
mod noting;

use std::sync::atomic::Ordering;

use super::log::failing;
use super::*;
use crate::config::limits::{SNAPSHOT_GENERATIONS, WRITER_QUEUE_BYTES};
use crate::telemetry::metrics::Reason;

fn open(dir: &Path) -> Store {
    Store::open(dir, &Clock::manual(1_000), &Metrics::new()).unwrap()
}

fn doc(name: &str) -> DocName {
    DocName::parse(name).unwrap()
}

fn append(name: &str, text: &str) -> Write {
    Write::Append { doc: doc(name), update: Bytes::copy_from_slice(text.as_bytes()) }
}

fn done(store: &Store, writes: Vec<Write>) -> Seq {
    store.commit(writes).unwrap().blocking_recv().unwrap().unwrap().upto
}

fn text(loaded: &Loaded) -> String {
    let parts = loaded.snapshot.iter().chain(&loaded.tail);
    parts.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect()
}

fn read(store: &Store, name: &str) -> String {
    text(&store.load(&doc(name)).unwrap().unwrap())
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(store.load(&doc("a")).unwrap().is_none());
    assert_eq!(done(&store, vec![append("a", "1"), append("b", "x")]), Seq(2));
    assert_eq!(done(&store, vec![append("a", "2")]), Seq(3));
    let put = |key: &'static [u8], value: &'static [u8]| Write::Put {
        table: Table::Records,
        key: Bytes::from_static(key),
        value: Bytes::from_static(value),
    };
    done(&store, vec![put(b"k1", b"v1"), put(b"k2", b""), put(b"k3", b"v3")]);
    done(&store, vec![Write::Delete { table: Table::Records, key: Bytes::from_static(b"k3") }]);
    store.close();
    assert!(matches!(store.commit(vec![append("a", "3")]), Err(CommitError::Closed)));
    drop(store);

    let store = open(dir.path());
    assert_eq!((read(&store, "a"), read(&store, "b")), ("12".into(), "x".into()));
    assert_eq!(*store.tip().borrow(), Seq(3));
    assert_eq!(store.get(Table::Records, b"k1").unwrap().unwrap(), "v1");
    assert_eq!(store.get(Table::Records, b"k2").unwrap().unwrap(), "");
    assert!(store.get(Table::Records, b"k3").unwrap().is_none());
    assert!(store.get(Table::Drafts, b"k1").unwrap().is_none());
    let rows = store.scan(Table::Records, b"k1", 10).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(store.scan(Table::Records, b"k2", 10).unwrap()[0].0, "k2");
    assert_eq!(store.scan(Table::Records, b"", 1).unwrap().len(), 1);
    assert!(store.scan(Table::Sources, b"", 9).unwrap().is_empty());
    assert_eq!(done(&store, vec![append("a", "3")]), Seq(4));
}

#[test]
fn a_range_of_rows_goes_with_its_stamps_and_leaves_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = |n: u8| Bytes::from(vec![b'm', n]);
    let put = |table, n| Write::Put { table, key: key(n), value: key(n) };
    done(&store, (0..9).map(|n| put(Table::Messages, n)).collect());
    done(&store, (0..9).map(|n| put(Table::Sessions, n)).collect());
    done(&store, vec![Write::DeleteRange { table: Table::Messages, from: key(2), to: key(7) }]);
    let left: Vec<u8> = store.scan(Table::Messages, b"", 99).unwrap().iter().map(|(key, _)| key[1]).collect();
    assert_eq!(left, [0, 1, 7, 8]);
    assert_eq!(store.scan(Table::Sessions, b"", 99).unwrap().len(), 9);
    assert!(store.get(Table::Messages, &key(3)).unwrap().is_none());
}

#[test]
fn a_follower_sees_each_changed_document_once_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in ["a", "b", "a", "c", "b"] {
        done(&store, vec![append(name, "x")]);
    }
    let changed = |after, most| store.changed_after(Seq(after), most).unwrap();
    assert_eq!(changed(0, 9), [(Seq(3), doc("a")), (Seq(4), doc("c")), (Seq(5), doc("b"))]);
    assert_eq!(changed(3, 1), [(Seq(4), doc("c"))]);
    assert!(changed(5, 9).is_empty());
}

#[test]
fn an_older_snapshot_and_the_log_after_it_stay_until_enough_generations_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut whole = String::new();
    for round in 0..SNAPSHOT_GENERATIONS + 3 {
        for step in 0..4 {
            let part = format!("{round}.{step} ");
            whole.push_str(&part);
            done(&store, vec![append("a", &part)]);
        }
        let upto = *store.tip().borrow();
        let state = Bytes::from(whole.clone().into_bytes());
        done(&store, vec![Write::Snapshot { doc: doc("a"), upto, state }]);
        assert_eq!(read(&store, "a"), whole);
        let loaded = store.load(&doc("a")).unwrap().unwrap();
        assert!(loaded.tail.is_empty());
        assert_eq!(loaded.snapshot.unwrap().0, upto);
    }
    done(&store, vec![append("a", "end")]);
    store.close();
    drop(store);
    let store = open(dir.path());
    assert_eq!(read(&store, "a"), whole + "end");
    assert_eq!(store.load(&doc("a")).unwrap().unwrap().tail.len(), 1);
}

#[test]
fn a_snapshot_never_claims_rows_that_come_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    done(&store, vec![append("a", "1")]);
    let state = Bytes::from_static(b"1");
    done(&store, vec![Write::Snapshot { doc: doc("a"), upto: Seq(999), state }]);
    done(&store, vec![append("a", "2")]);
    assert_eq!(read(&store, "a"), "12");
}

#[test]
fn many_writers_at_once_lose_nothing_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    thread::scope(|scope| {
        for writer in 0..20 {
            let store = &store;
            scope.spawn(move || {
                let told: Vec<_> = (0..50)
                    .map(|n| store.commit(vec![append(&format!("d{writer}"), &format!("{n},"))]).unwrap())
                    .collect();
                let mut last = Seq(0);
                for told in told {
                    let upto = told.blocking_recv().unwrap().unwrap().upto;
                    assert!(upto > last);
                    last = upto;
                }
            });
        }
    });
    let expected: String = (0..50).map(|n| format!("{n},")).collect();
    for writer in 0..20 {
        assert_eq!(read(&store, &format!("d{writer}")), expected);
    }
    assert_eq!(*store.tip().borrow(), Seq(1_000));
}

#[test]
fn the_queue_is_bounded_in_bytes_and_says_busy() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let big = Bytes::from(vec![7; WRITER_QUEUE_BYTES / 4]);
    let mut told = Vec::new();
    let busy = (0..64).any(|_| {
        match store.commit(vec![Write::Put { table: Table::Sources, key: Bytes::new(), value: big.clone() }])
        {
            Ok(handed) => told.push(handed),
            Err(CommitError::Busy) => return true,
            Err(other) => panic!("{other}"),
        }
        false
    });
    assert!(busy);
    for told in told {
        told.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(store.get(Table::Sources, b"").unwrap().unwrap(), big);
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let again = || Store::open(dir.path(), &Clock::real(), &Metrics::new());
    assert!(matches!(again(), Err(OpenError::InUse)));
    assert!(Store::is_in_use(dir.path()));
    drop(store);
    assert!(!Store::is_in_use(dir.path()));
    assert!(again().is_ok());
}

/// Commits until it is taken; what is shown is what was acknowledged on the way.
fn insist(store: &Store, writes: &[Write], in_steps: bool, whole: &dyn Fn()) {
    for _ in 0..2_000 {
        let told = match in_steps {
            true => store.commit_in_steps(writes.to_vec()).map(|(_, told)| told),
            false => store.commit(writes.to_vec()),
        };
        let told = told.map(Receipt::blocking_recv);
        whole();
        match told {
            Ok(Ok(Ok(_))) => return,
            Ok(Ok(Err(CommitError::Disk(_)))) => thread::sleep(READ_PAUSE / 10),
            other => panic!("{other:?}"),
        }
    }
    panic!("saving never resumed");
}

/// A short life of an office on a failing disk; how many calls to the disk it made.
fn life(dir: &Path, plan: failing::Plan) -> u64 {
    let what = format!("call {} {:?}", plan.at, plan.kind);
    let plan = plan.lay(&dir.join("townhall.db"));
    let clock = Clock::real();
    let store = (0..20).find_map(|_| Store::open(dir, &clock, &Metrics::new()).ok());
    let store = store.unwrap_or_else(|| panic!("{what}: never opened"));
    let mut whole = String::new();
    // An edit whose acknowledgement failed may be on disk all the same, and is handed over again: that is no loss.
    let numbers = |store: &Store| {
        let text = store.load(&doc("a")).unwrap_or_else(|error| panic!("{what}: {error}"));
        let text = text.map_or_else(String::new, |loaded| super::tests::text(&loaded));
        let mut numbers: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        numbers.dedup();
        numbers.join(" ")
    };
    for number in 0..8 {
        let acknowledged = whole.trim_end().to_owned();
        let shown = || assert!(numbers(&store).starts_with(&acknowledged), "{what}: lost at {number}");
        let part = format!("{number} ");
        whole.push_str(&part);
        let value = Bytes::from(vec![number; 3_000]);
        let put = Write::Put { table: Table::Records, key: part.clone().into(), value };
        insist(&store, &[append("a", &part), put], number % 3 > 0, &shown);
        if number % 2 == 1 {
            let state = Bytes::from(whole.clone());
            let upto = *store.tip().borrow();
            insist(&store, &[Write::Snapshot { doc: doc("a"), upto, state }], false, &shown);
        }
    }
    store.close();
    drop(store);
    let calls = plan.calls.load(Ordering::SeqCst);
    failing::Plan { calls: 0.into(), at: u64::MAX, more: 0, kind: std::io::ErrorKind::Other }
        .lay(&dir.join("townhall.db"));
    let store = open(dir);
    assert_eq!(numbers(&store), whole.trim_end(), "{what}: lost after opening again");
    assert_eq!(store.scan(Table::Records, b"", 99).unwrap().len(), 8, "{what}");
    calls
}

#[test]
fn every_call_to_the_disk_may_fail_and_nothing_acknowledged_is_lost() {
    use std::io::ErrorKind;
    let made = tempfile::tempdir().unwrap();
    open(made.path()).close();
    let fresh = std::fs::read(made.path().join("townhall.db")).unwrap();
    let run = |at, more, kind| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("townhall.db"), &fresh).unwrap();
        life(dir.path(), failing::Plan { calls: 0.into(), at, more, kind })
    };
    let calls = run(u64::MAX, 0, ErrorKind::Other);
    println!("{calls} calls");
    for (more, kind) in [(0, ErrorKind::Other), (3, ErrorKind::StorageFull), (0, ErrorKind::StorageFull)] {
        for at in 0..calls {
            run(at, more, kind);
        }
    }
}
