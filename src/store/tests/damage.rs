//! A file that was changed behind the store's back: what is damaged is named, and the rest goes on.

use super::*;

type Tampering = fn(&mut log::Writing<'_>) -> Result<(), Fault>;

/// Changes the closed file behind the store's back.
pub(super) fn tamper(dir: &Path, change: impl FnOnce(&mut log::Writing<'_>) -> Result<(), Fault>) {
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
pub(super) fn office(dir: &Path, rows: u64, snapshots: &[u64]) -> String {
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
