//! What the store promises to the rooms, the records and the followers.

use super::*;
use crate::config::limits::SNAPSHOT_GENERATIONS;

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
    drop(store);
    assert!(again().is_ok());
}
