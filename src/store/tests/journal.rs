//! What the journal promises: whatever a life leaves behind when it ends at any moment, the next one finds exactly what
//! was acknowledged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::damage::{office, tamper};
use super::*;

const DB: &str = "townhall.db";
const JOURNAL: &str = "townhall.journal";

/// What should be in a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    texts: BTreeMap<String, String>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    fn of(store: &Store) -> Self {
        let mut texts = BTreeMap::new();
        for (_, name) in store.changed_after(Seq(0), 99).unwrap() {
            texts.insert(name.as_str().to_owned(), read(store, name.as_str()));
        }
        let rows = store.scan(Table::Records, b"", 999).unwrap();
        Self { texts, rows: rows.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect() }
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// A batch of changes, done in the model too.
    fn batch(&mut self, model: &mut Model) -> Vec<Write> {
        let table = Table::Records;
        (0..1 + self.below(4))
            .map(|_| match self.below(8) {
                0..4 => {
                    let (name, part) = (format!("d{}", self.below(3)), format!("{} ", self.below(999)));
                    model.texts.entry(name.clone()).or_default().push_str(&part);
                    append(&name, &part)
                }
                4 | 5 => {
                    let (key, value) = (vec![b'k', self.below(9) as u8], vec![7; self.below(900)]);
                    model.rows.insert(key.clone(), value.clone());
                    Write::Put { table, key: key.into(), value: value.into() }
                }
                6 => {
                    let key = vec![b'k', self.below(9) as u8];
                    model.rows.remove(&key);
                    Write::Delete { table, key: key.into() }
                }
                _ => {
                    let from = self.below(9) as u8;
                    let (from, to) = (vec![b'k', from], vec![b'k', from + 2]);
                    model.rows.retain(|key, _| *key < from || *key >= to);
                    Write::DeleteRange { table, from: from.into(), to: to.into() }
                }
            })
            .collect()
    }
}

/// What a kill leaves behind: the files of a running office as they are.
fn killed(dir: &Path) -> (Vec<u8>, Vec<u8>) {
    let journal = fs::read(dir.join(JOURNAL)).unwrap();
    (fs::read(dir.join(DB)).unwrap(), journal)
}

fn folder(db: &[u8], journal: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(DB), db).unwrap();
    fs::write(dir.path().join(JOURNAL), journal).unwrap();
    dir
}

fn refused(dir: &Path) -> String {
    match Store::open(dir, &Clock::real(), &Metrics::new()) {
        Err(OpenError::Damaged(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

/// An office that ends without closing, with `commits` small commits in its journal only, and where each one ends.
fn unfinished(commits: usize) -> (Vec<u8>, Vec<u8>, Vec<usize>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    done(&store, vec![append("a", "0 ")]);
    let mut ends = Vec::new();
    for number in 1..=commits {
        done(&store, vec![append("a", &format!("{number} "))]);
        let journal = fs::read(dir.path().join(JOURNAL)).unwrap();
        ends.push(journal.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    }
    let (db, journal) = killed(dir.path());
    (db, journal, ends)
}

fn numbers_upto(last: usize) -> String {
    (0..=last).map(|number| format!("{number} ")).collect()
}

#[test]
fn wherever_a_record_is_cut_off_exactly_what_came_before_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut dice, mut model) = (Dice(7), Model::default());
    let (mut cuts, mut straight) = (0, 0);
    for round in 0..250 {
        let before = fs::read(dir.path().join(JOURNAL)).unwrap();
        let mut next = model.clone();
        done(&store, dice.batch(&mut next));
        let (db, after) = killed(dir.path());
        let Some(first) = (0..after.len()).find(|at| before[*at] != after[*at]) else {
            // It went straight to the database.
            straight += 1;
            model = next;
            continue;
        };
        let last = (0..after.len()).rfind(|at| before[*at] != after[*at]).unwrap();
        let cut = first + dice.below(last + 2 - first);
        let torn = [&after[..cut], &before[cut..]].concat();
        let copy = folder(&db, &torn);
        let found = Model::of(&open(copy.path()));
        assert!(found == if torn == after { next.clone() } else { model }, "round {round}: cut at {cut}");
        cuts += 1;
        model = next;
    }
    assert!(cuts > 100 && straight > 5, "{cuts} cut, {straight} straight");
    assert_eq!(Model::of(&store), model);
    drop(store);
    assert_eq!(Model::of(&open(dir.path())), model);
}

#[test]
fn a_damaged_record_that_others_follow_is_told_and_nothing_is_lost_silently() {
    let (db, journal, ends) = unfinished(5);
    let copy = folder(&db, &journal);
    assert_eq!(read(&open(copy.path()), "a"), numbers_upto(5));
    let places = (16..ends[3]).step_by(7);
    let (all, mut told) = (places.len(), 0);
    for at in places {
        let mut bad = journal.clone();
        bad[at] ^= 4;
        let copy = folder(&db, &bad);
        match Store::open(copy.path(), &Clock::real(), &Metrics::new()) {
            Err(OpenError::Damaged(why)) => {
                assert!(why.contains("journal"), "byte {at}: {why}");
                told += 1;
            }
            Err(other) => panic!("{other}"),
            // Between two records is nothing that could be damaged.
            Ok(store) => assert_eq!(read(&store, "a"), numbers_upto(5), "byte {at}"),
        }
    }
    assert!(told > all * 9 / 10, "{told} of {all}");
}

#[test]
fn a_journal_that_is_missing_or_cut_short_is_told_unless_the_office_was_closed() {
    let (db, journal, _) = unfinished(3);
    let gone = folder(&db, &journal);
    fs::remove_file(gone.path().join(JOURNAL)).unwrap();
    let why = refused(gone.path());
    assert!(why.contains("townhall.journal is missing"), "{why}");
    for most in [0, 5, 100, journal.len() - 1] {
        let why = refused(folder(&db, &journal[..most]).path());
        assert!(why.contains("journal is cut short"), "{most}: {why}");
    }
    // Put back, it is all there; closed, the database alone is enough.
    fs::write(gone.path().join(JOURNAL), &journal).unwrap();
    drop(open(gone.path()));
    fs::remove_file(gone.path().join(JOURNAL)).unwrap();
    let store = open(gone.path());
    assert_eq!(read(&store, "a"), numbers_upto(3));
    done(&store, vec![append("a", "on")]);
    drop(store);
    assert_eq!(read(&open(gone.path()), "a"), numbers_upto(3) + "on");
}

#[test]
fn taking_up_a_journal_may_end_at_any_moment_and_begins_again() {
    use std::io::ErrorKind;
    let (db, journal, _) = unfinished(6);
    for at in 0..200 {
        let copy = folder(&db, &journal);
        let plan = failing::Plan { calls: 0.into(), at, more: 1_000, kind: ErrorKind::Other };
        let plan = plan.lay(&copy.path().join(DB));
        // The disk fails from some moment of the taking up: what a kill would leave is what it has by then.
        drop(Store::open(copy.path(), &Clock::real(), &Metrics::new()));
        let (db, journal) = killed(copy.path());
        let again = folder(&db, &journal);
        let store = open(again.path());
        assert_eq!(read(&store, "a"), numbers_upto(6), "call {at}");
        done(&store, vec![append("a", "on")]);
        let (db, journal) = killed(again.path());
        assert_eq!(read(&open(folder(&db, &journal).path()), "a"), numbers_upto(6) + "on", "call {at}");
        if plan.calls.load(Ordering::SeqCst) < at {
            return;
        }
    }
    panic!("taking up a journal never ends");
}

#[test]
fn a_folder_from_before_the_journal_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    office(dir.path(), 9, &[]);
    tamper(dir.path(), |rows| {
        rows.delete(&row::KEY_JOURNAL)?;
        rows.put(&row::KEY_FORMAT, &row::seal_number(&row::KEY_FORMAT, 1))
    });
    fs::remove_file(dir.path().join(JOURNAL)).unwrap();
    let store = open(dir.path());
    let before = read(&store, "a");
    done(&store, vec![append("a", "x")]);
    done(&store, vec![append("a", "y")]);
    let (db, journal) = killed(dir.path());
    let copy = folder(&db, &journal);
    assert_eq!(read(&open(copy.path()), "a"), before + "xy");
    drop(store);
    // A program from before the journal would not find what is in it, and is told so.
    let engine = log::Engine::open(&dir.path().join(DB), 1 << 20).unwrap();
    let format = engine.read(|rows| log::Rows::get(rows, &row::KEY_FORMAT)).unwrap().unwrap();
    assert_eq!(row::unseal_number(&row::KEY_FORMAT, &format).unwrap(), u64::from(row::FORMAT));
}

/// A journal as it was before its records said what was on disk, and where each one begins.
fn of_format_2(journal: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (header, mut rest) = journal.split_at(16);
    let (mut old, mut begins) = (header.to_vec(), Vec::new());
    while let Some(record) = rest.strip_prefix(b"\xC7ro2") {
        let (length, record) = record.split_at(4);
        let (life_and_serial, record) = record.split_at(16);
        let content = &record[12..][..u32::from_le_bytes(length.try_into().unwrap()) as usize];
        let sum = crc32c::crc32c(&[life_and_serial, length, content].concat()).to_le_bytes();
        begins.push(old.len());
        old.extend([b"\xC7row", length, life_and_serial, &sum, content].concat());
        old.resize(header.len() + redo::place(old.len() - header.len()), 0);
        rest = &rest[redo::place(36 + content.len())..];
    }
    old.resize(journal.len(), 0);
    (old, begins)
}

#[test]
fn a_journal_whose_records_do_not_say_what_was_on_disk_is_taken_up_and_its_damage_told() {
    let (db, journal, _) = unfinished(4);
    let (journal, begins) = of_format_2(&journal);
    assert_eq!(begins.len(), 4);
    let copy = folder(&db, &journal);
    let store = open(copy.path());
    assert_eq!(read(&store, "a"), numbers_upto(4));
    done(&store, vec![append("a", "x")]);
    done(&store, vec![append("a", "y")]);
    let (db_after, journal_after) = killed(copy.path());
    assert_eq!(read(&open(folder(&db_after, &journal_after).path()), "a"), numbers_upto(4) + "xy");
    let mut bad = journal;
    bad[begins[2]..begins[3]].fill(0);
    let why = refused(folder(&db, &bad).path());
    assert!(why.contains("journal"), "{why}");
}

#[test]
fn bytes_of_strangers_cannot_pass_for_a_record() {
    let (db, journal, ends) = unfinished(1);
    let copy = folder(&db, &journal);
    let store = open(copy.path());
    // A client knows what a record looks like, and even this office's last one, but not the life it is in.
    let mut forged = journal[16..ends[0]].to_vec();
    forged[8..16].copy_from_slice(&[0; 8]);
    let mut of_another = redo::Redo::new();
    of_another.put(b"key", b"value");
    forged.extend(of_another.record(1, 99, 98));
    let update = Bytes::from(forged);
    done(&store, vec![Write::Append { doc: doc("b"), update: update.clone() }]);
    done(&store, vec![Write::Append { doc: doc("b"), update }]);
    let (db, journal) = killed(copy.path());
    let store = open(folder(&db, &journal).path());
    assert_eq!(store.load(&doc("b")).unwrap().unwrap().tail.len(), 2);
}
