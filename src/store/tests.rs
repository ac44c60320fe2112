//! What the store promises to the rooms, the records and the followers.

mod journal;

use super::log::failing;
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

type Tampering = fn(&mut log::Writing<'_>) -> Result<(), Fault>;

/// Changes the closed file behind the store's back.
fn tamper(dir: &Path, change: impl FnOnce(&mut log::Writing<'_>) -> Result<(), Fault>) {
    let engine = log::Engine::open(&dir.join("townhall.db"), 1 << 20).unwrap();
    engine.write(change).unwrap();
}

fn corrupt(rows: &mut log::Writing<'_>, key: &[u8]) -> Result<(), Fault> {
    use log::Rows;
    let mut value = rows.get(key)?.unwrap();
    let middle = value.len() / 2;
    value[middle] ^= 1;
    rows.put(key, &value)
}

/// A document "a" with one row for each number and a snapshot at each of `snapshots`; and "b", untouched.
fn office(dir: &Path, rows: u64, snapshots: &[u64]) -> String {
    let store = open(dir);
    let mut whole = String::new();
    for number in 1..=rows {
        let part = format!("{number} ");
        whole.push_str(&part);
        assert_eq!(done(&store, vec![append("a", &part)]), Seq(number));
        if snapshots.contains(&number) {
            let state = Bytes::from(whole.clone().into_bytes());
            done(&store, vec![Write::Snapshot { doc: doc("a"), upto: Seq(number), state }]);
        }
    }
    done(&store, vec![append("b", "untouched")]);
    whole
}

#[test]
fn a_damaged_snapshot_is_skipped_for_the_one_before_it_and_counted() {
    let snapshots = [10, 20, 30, 40, 50];
    for bad in 1..=SNAPSHOT_GENERATIONS {
        let dir = tempfile::tempdir().unwrap();
        let whole = office(dir.path(), 55, &snapshots);
        tamper(dir.path(), |rows| {
            snapshots.iter().rev().take(bad).try_for_each(|upto| corrupt(rows, &row::key_snapshot(1, *upto)))
        });
        let metrics = Metrics::new();
        let store = Store::open(dir.path(), &Clock::real(), &metrics).unwrap();
        if bad < SNAPSHOT_GENERATIONS {
            assert_eq!(read(&store, "a"), whole, "{bad} damaged");
            assert_eq!(metrics.snapshots.get_or_create(&Reason { reason: "damaged" }).get(), bad as u64);
        } else {
            let Err(ReadError::Damaged(why)) = store.load(&doc("a")) else { panic!() };
            assert!(why.contains("document a"), "{why}");
        }
        assert_eq!(read(&store, "b"), "untouched");
    }
}

#[test]
fn the_first_snapshots_may_all_be_damaged_while_the_log_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let whole = office(dir.path(), 25, &[10, 20]);
    tamper(dir.path(), |rows| {
        [10, 20].iter().try_for_each(|upto| corrupt(rows, &row::key_snapshot(1, *upto)))
    });
    assert_eq!(read(&open(dir.path()), "a"), whole);
}

#[test]
fn a_damaged_or_missing_row_is_named_and_other_documents_go_on() {
    let ways: [Tampering; 3] = [
        |rows| corrupt(rows, &row::key_log(1, 24)),
        |rows| rows.delete(&row::key_log(1, 24)),
        |rows| rows.delete(&row::key_log(1, 25)),
    ];
    for way in ways {
        let dir = tempfile::tempdir().unwrap();
        office(dir.path(), 25, &[10, 20]);
        tamper(dir.path(), way);
        let store = open(dir.path());
        let Err(ReadError::Damaged(why)) = store.load(&doc("a")) else { panic!() };
        assert!(why.contains("document a") && (why.contains("row 24") || why.contains("row 25")), "{why}");
        assert_eq!(read(&store, "b"), "untouched");
        done(&store, vec![append("b", ", still")]);
        assert_eq!(read(&store, "b"), "untouched, still");
    }
}

#[test]
fn a_change_to_a_damaged_document_is_refused_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    office(dir.path(), 25, &[10, 20]);
    let store = open(dir.path());
    store.close();
    // The store notices a damaged head when it opens; here it goes bad afterwards.
    let store = open(dir.path());
    let order = row::key_order(25);
    store.0.shared.engine().as_ref().unwrap().write(|rows| rows.delete(&order)).unwrap();
    let told: Vec<_> =
        ["b", "a", "b"].iter().map(|name| store.commit(vec![append(name, "!")]).unwrap()).collect();
    let told: Vec<bool> = told.into_iter().map(|told| told.blocking_recv().unwrap().is_ok()).collect();
    assert_eq!(told, [true, false, true]);
    assert_eq!(*store.state().borrow(), StoreState::Writable);
    assert_eq!(read(&store, "b"), "untouched!!");
}

#[test]
fn a_lost_or_outdated_row_of_a_table_is_noticed() {
    let key = |n: u8| Bytes::copy_from_slice(&[b'k', n]);
    let ways: [Tampering; 4] = [
        |rows| rows.delete(&row::key_table(Table::Tokens, b"k1")),
        |rows| rows.delete(&row::key_stamp(Table::Tokens, b"k1")),
        |rows| corrupt(rows, &row::key_table(Table::Tokens, b"k1")),
        |rows| {
            let key = row::key_table(Table::Tokens, b"k1");
            rows.put(&key, &row::seal_numbered(&key, 1, b"an older, whole row"))
        },
    ];
    for way in ways {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for n in b'0'..b'4' {
            done(&store, vec![Write::Put { table: Table::Tokens, key: key(n), value: key(n) }]);
        }
        store.close();
        tamper(dir.path(), way);
        let store = open(dir.path());
        assert!(matches!(store.get(Table::Tokens, b"k1"), Err(ReadError::Damaged(_))));
        assert!(matches!(store.scan(Table::Tokens, b"", 9), Err(ReadError::Damaged(_))));
        assert_eq!(store.get(Table::Tokens, b"k2").unwrap().unwrap(), "k2");
        assert_eq!(store.scan(Table::Tokens, b"k2", 9).unwrap().len(), 2);
    }
}

#[test]
fn a_file_of_a_newer_format_is_refused_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    office(dir.path(), 3, &[]);
    tamper(dir.path(), |rows| {
        rows.put(&row::KEY_FORMAT, &row::seal_number(&row::KEY_FORMAT, u64::from(row::FORMAT) + 1))
    });
    let Err(refused) = Store::open(dir.path(), &Clock::real(), &Metrics::new()) else { panic!() };
    assert!(matches!(refused, OpenError::Newer(_)) && refused.to_string().contains("newer"), "{refused}");
}

#[test]
fn a_start_that_was_cut_short_the_first_time_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("townhall.db.new"), b"half made").unwrap();
    let store = open(dir.path());
    done(&store, vec![append("a", "1")]);
    drop(store);
    assert_eq!(read(&open(dir.path()), "a"), "1");
}

/// Commits until it is taken; what is shown is what was acknowledged on the way.
fn insist(store: &Store, writes: &[Write], whole: &dyn Fn()) {
    for _ in 0..2_000 {
        let told = store.commit(writes.to_vec()).map(|told| told.blocking_recv());
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
        insist(&store, &[append("a", &part), put], &shown);
        if number % 2 == 1 {
            let state = Bytes::from(whole.clone());
            let upto = *store.tip().borrow();
            insist(&store, &[Write::Snapshot { doc: doc("a"), upto, state }], &shown);
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
