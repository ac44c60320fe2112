//! What is promised of a commit's first step: what is written survives the end of the program, in the order in which it
//! was handed over, whether or not anybody waits for the disk.

use std::fs;
use std::path::Path;

use super::*;

const KEY: &[u8] = b"key";
const JOURNAL: &str = "townhall.journal";

fn put(value: usize) -> Write {
    Write::Put { table: Table::Messages, key: KEY.into(), value: value.to_string().into() }
}

fn value(store: &Store) -> usize {
    let value = store.get(Table::Messages, KEY).unwrap().unwrap();
    String::from_utf8_lossy(&value).parse().unwrap()
}

/// An office whose journal is in use.
fn office(dir: &Path) -> Store {
    let store = open(dir);
    done(&store, vec![put(0)]);
    store
}

/// What a kill leaves behind now.
fn killed(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["townhall.db", JOURNAL] {
        fs::copy(dir.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

/// What the next life finds after a kill now.
fn after_a_kill(dir: &Path) -> (tempfile::TempDir, Store) {
    let copy = killed(dir);
    let store = open(copy.path());
    (copy, store)
}

/// What a power cut leaves behind now, when the disk has everything but the record with this number of the last ones.
fn after_a_power_cut(dir: &Path, lost: usize) -> tempfile::TempDir {
    let copy = killed(dir);
    let mut journal = fs::read(copy.path().join(JOURNAL)).unwrap();
    let begins: Vec<usize> =
        (16..journal.len()).step_by(16).filter(|at| journal[*at..].starts_with(b"\xC7ro2")).collect();
    let from = begins[lost];
    let to = begins.get(lost + 1).copied().unwrap_or(journal.len());
    journal[from..to].fill(0);
    fs::write(copy.path().join(JOURNAL), journal).unwrap();
    copy
}

/// Begins a commit that the writer, which has nothing to do, is not needed for.
fn noted(store: &Store, writes: &[Write]) -> Receipt {
    for _ in 0..1_000 {
        let (written, receipt) = store.commit_in_steps(writes.to_vec()).unwrap();
        written.blocking_recv().unwrap();
        if receipt.is_noted() {
            return receipt;
        }
        // The writer was still at what came before.
        receipt.blocking_recv().unwrap().unwrap();
    }
    panic!("the writer never rests");
}

#[test]
fn what_is_written_survives_a_kill_though_the_writer_knows_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = office(dir.path());
    let mut receipts = Vec::new();
    for number in 1..=20 {
        receipts.push(noted(&store, &[put(number), append("a", &format!("{number} "))]));
        let (_copy, found) = after_a_kill(dir.path());
        assert_eq!(value(&found), number);
        let text = read(&found, "a");
        assert_eq!(text.split_whitespace().last(), Some(number.to_string().as_str()), "{text}");
    }
    // A commit of the writer's own takes up all of them on its way, and none twice.
    done(&store, vec![append("a", "end")]);
    let text = read(&store, "a");
    receipts.into_iter().for_each(|receipt| _ = receipt.blocking_recv().unwrap().unwrap());
    assert_eq!((value(&store), read(&store, "a")), (20, text.clone()));
    let tip = *store.tip().borrow();
    drop(store);
    let store = open(dir.path());
    assert_eq!((value(&store), read(&store, "a"), *store.tip().borrow()), (20, text, tip));
}

#[test]
fn a_power_cut_that_takes_one_of_the_records_nobody_was_told_of_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = office(dir.path());
    let receipts = [1, 2, 3].map(|number| noted(&store, &[put(number)]));
    for (lost, kept) in [(0, 0), (1, 1), (2, 2)] {
        let cut = after_a_power_cut(dir.path(), lost);
        let found = open(cut.path());
        assert_eq!(value(&found), kept, "without record {lost}");
        // What stands behind the hole does not come back when the hole is filled.
        done(&found, vec![put(7)]);
        for number in [8, 9] {
            done(&found, vec![put(number)]);
            let (_copy, next) = after_a_kill(cut.path());
            assert_eq!(value(&next), number, "without record {lost}");
        }
    }
    receipts.into_iter().for_each(|receipt| _ = receipt.blocking_recv().unwrap().unwrap());
    drop(noted(&store, &[put(4)]));
    // All but the last one were told to be on disk.
    for lost in [0, 1, 2] {
        let cut = after_a_power_cut(dir.path(), lost);
        let Err(refused) = Store::open(cut.path(), &Clock::real(), &Metrics::new()) else {
            panic!("without record {lost} it was opened")
        };
        assert!(matches!(refused, OpenError::Damaged(_)), "{refused}");
    }
    assert_eq!(value(&open(after_a_power_cut(dir.path(), 3).path())), 3);
}

#[test]
fn the_end_of_the_log_is_told_though_an_earlier_commit_comes_to_the_writer_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = office(dir.path());
    let tip = store.tip();
    for round in 0..100 {
        let earlier = store.commit_in_steps(vec![append("a", "1")]).unwrap().1;
        let later = store.commit(vec![append("a", "2")]).unwrap();
        let earlier = earlier.blocking_recv().unwrap().unwrap();
        let later = later.blocking_recv().unwrap().unwrap();
        assert!(earlier.upto < later.upto && later.upto <= *tip.borrow(), "round {round}");
    }
}

#[test]
fn what_is_written_is_kept_by_a_stop_that_nobody_waits_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = office(dir.path());
    let receipt = noted(&store, &[put(7)]);
    store.close();
    assert!(receipt.blocking_recv().is_err(), "the store is closed");
    drop(store);
    assert_eq!(value(&open(dir.path())), 7);

    let store = open(dir.path());
    done(&store, vec![put(8)]);
    drop(noted(&store, &[put(9)]));
    // Whoever does not ask is not told; the writer has it all the same, and is done with it before this.
    done(&store, Vec::new());
    assert_eq!(value(&store), 9);
}

#[test]
fn nothing_overtakes_what_was_handed_over_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = office(dir.path());
    for round in 0..300 {
        let first = store.commit(vec![put(3 * round)]).unwrap();
        let (_, second) = store.commit_in_steps(vec![put(3 * round + 1)]).unwrap();
        if round % 2 == 0 {
            let (_, third) = store.commit_in_steps(vec![put(3 * round + 2)]).unwrap();
            third.blocking_recv().unwrap().unwrap();
        }
        second.blocking_recv().unwrap().unwrap();
        first.blocking_recv().unwrap().unwrap();
        assert_eq!(value(&store), 3 * round + 1 + (round + 1) % 2);
    }
}

#[test]
fn what_is_noted_in_a_journal_that_fails_is_on_disk_or_is_refused() {
    use std::io::ErrorKind;
    let mut refused = 0;
    for at in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let plan = |at, kind| failing::Plan { calls: 0.into(), at, more: 2, kind };
        let db = dir.path().join("townhall.db");
        let store = office(dir.path());
        drop(store);
        plan(u64::MAX - 2, ErrorKind::Other).lay(&db);
        let store = open(dir.path());
        done(&store, vec![put(1)]);
        let receipts = [2, 3].map(|number| noted(&store, &[put(number)]));
        // From here on the disk fails for a moment.
        plan(at, ErrorKind::StorageFull).lay(&db);
        let told: Vec<bool> = receipts
            .into_iter()
            .map(|receipt| receipt.blocking_recv().is_ok_and(|told| told.is_ok()))
            .collect();
        let least = told.iter().zip([2, 3]).filter(|(kept, _)| **kept).map(|(_, number)| number).max();
        refused += told.iter().filter(|kept| !**kept).count();
        let (_copy, found) = after_a_kill(dir.path());
        let found = value(&found);
        assert!((least.unwrap_or(1)..=3).contains(&found), "{at}: {told:?}, found {found}");
        insist(&store, &[put(9)], true, &|| ());
        assert_eq!(value(&store), 9);
    }
    println!("{refused} refused");
}
