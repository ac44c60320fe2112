//! Real Yjs clients' sessions: the office ends with exactly the document that Yjs makes of them.
//!
//! `tests/yjs/record.mjs` records 600 sessions (text, half emoji, formatting, maps, arrays, XML, undo, clients that
//! were offline); here they pass the gate as a room would let them, in six ways of delivery; `verify.mjs` reads
//! the office's bytes with Yjs again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use townhall::rooms::merge;
use townhall::wire::gate::{Known, Placement, check, state_vector};
use townhall::wire::varint::{Reader, write_buf, write_uint};

const SESSIONS: usize = 600;

/// One recorded session.
struct Session {
    /// What arrived, in order.
    received: Vec<Bytes>,
    /// The state vector at the end.
    have: Bytes,
    /// What clients that reconnect send besides: after which update, and what.
    overlaps: Vec<(usize, Bytes)>,
}

/// What a room does with updates, without its actors.
#[derive(Default)]
struct Office {
    known: Known,
    log: Vec<Bytes>,
    gaps: usize,
    cuts: usize,
}

impl Office {
    /// Takes one update; says whether something before it is missing.
    fn take(&mut self, update: &Bytes) -> Placement {
        let structure = check(update).expect("an honest update passes");
        let mut placement = self.known.place(&structure);
        match placement {
            Placement::New => {
                self.known.absorb(&structure);
                self.log.push(update.clone());
            }
            Placement::Overlap => {
                self.cuts += 1;
                let rest = merge::cut(update, &self.known.state_vector()).expect("cut");
                let structure = check(&rest).expect("what is cut passes");
                placement = self.known.place(&structure);
                assert_ne!(placement, Placement::Overlap, "what is cut overlaps no more");
                if placement == Placement::New {
                    self.known.absorb(&structure);
                    self.log.push(rest);
                }
            }
            Placement::Gap => self.gaps += 1,
            Placement::Nothing => {}
        }
        placement
    }

    fn take_in_order(&mut self, update: &Bytes) {
        assert_ne!(self.take(update), Placement::Gap, "nothing is missing in order");
    }

    fn whole(&self) -> Bytes {
        merge::merge(&self.log).expect("merge")
    }

    /// The document is complete, and nothing that was sent is news to it.
    fn finish(self, session: &Session) -> Self {
        let whole = self.whole();
        assert_eq!(state_vector(&self.known.state_vector()), state_vector(&session.have));
        assert_eq!(
            Known::from_parts([&whole[..]].into_iter()),
            Ok(self.known.clone()),
            "kept through a snapshot"
        );
        for update in session.received.iter().chain([&whole]) {
            assert_eq!(self.known.place(&check(update).expect("check")), Placement::Nothing);
        }
        self
    }
}

/// The name of a delivery, and the updates that make the document after it.
type Answer = (&'static str, Vec<Bytes>);

fn in_order(session: &Session) -> Answer {
    let mut office = Office::default();
    session.received.iter().for_each(|update| office.take_in_order(update));
    ("in order", vec![office.finish(session).whole()])
}

fn doubled(session: &Session) -> Answer {
    let mut office = Office::default();
    for (at, update) in session.received.iter().enumerate() {
        office.take_in_order(update);
        office.take_in_order(update);
        office.take_in_order(&session.received[at / 2]);
    }
    ("doubled", vec![office.finish(session).whole()])
}

/// Every few updates somebody sends again what is partly known, sometimes before the others' updates arrive.
fn overlapping(session: &Session) -> (Answer, usize) {
    let mut office = Office::default();
    let mut overlaps = session.overlaps.iter().peekable();
    for (at, update) in session.received.iter().enumerate() {
        if let Some((_, overlap)) = overlaps.next_if(|(after, _)| *after == at) {
            office.take_in_order(overlap);
        }
        office.take_in_order(update);
    }
    let cuts = office.cuts;
    (("overlapping", vec![office.finish(session).whole()]), cuts)
}

/// One in five comes late; what waits is sent again until it fits, as a client does that is asked to sync.
fn gapped(session: &Session, seed: u64) -> (Answer, usize) {
    let mut office = Office::default();
    let mut random = seed;
    let mut late: Vec<&Bytes> = Vec::new();
    for update in &session.received {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        if (random >> 33).is_multiple_of(5) || office.take(update) == Placement::Gap {
            late.push(update);
        }
        if (random >> 40).is_multiple_of(7) {
            late.retain(|update| office.take(update) == Placement::Gap);
        }
    }
    for _ in 0..=late.len() {
        late.retain(|update| office.take(update) == Placement::Gap);
    }
    assert!(late.is_empty(), "every gap heals");
    let gaps = office.gaps;
    (("gapped", vec![office.finish(session).whole()]), gaps)
}

/// A reader has the document as it was at some point, and is told what it lacks; the log was compacted meanwhile.
fn resynced(session: &Session) -> [Answer; 2] {
    let point = session.received.len() / 2;
    let mut office = Office::default();
    session.received[..point].iter().for_each(|update| office.take_in_order(update));
    let (then, have) = (office.whole(), office.known.state_vector());
    office.log = vec![then.clone()];
    session.received[point..].iter().for_each(|update| office.take_in_order(update));
    let lacks = merge::diff(&office.whole(), &have).expect("diff");
    let at_once = merge::diff_parts(&office.log, &have).expect("diff");
    office.finish(session);
    [("resynced", vec![then.clone(), lacks]), ("resynced from parts", vec![then, at_once])]
}

#[test]
fn six_hundred_real_sessions_end_equal_to_yjs() {
    let folder = tempfile::tempdir().expect("a folder");
    let recorded = record(folder.path(), SESSIONS);
    let sessions = read(&recorded);
    assert_eq!(sessions.len(), SESSIONS);
    let mut answers = Vec::new();
    let (mut all_cuts, mut all_gaps, mut ways) = (0, 0, 0);
    write_uint(&mut answers, sessions.len() as u64);
    for (n, session) in sessions.iter().enumerate() {
        let (overlapping, cuts) = overlapping(session);
        let (gapped, gaps) = gapped(session, n as u64);
        all_cuts += cuts;
        all_gaps += gaps;
        let [resynced, from_parts] = resynced(session);
        let six = [in_order(session), doubled(session), overlapping, gapped, resynced, from_parts];
        ways += six.len();
        write_answers(&mut answers, &six);
    }
    let path = folder.path().join("answers");
    std::fs::write(&path, answers).expect("written");
    let said = node("verify.mjs", &[&recorded, &path], &[]);
    assert_eq!(said.trim(), format!("{ways} answers read"));
    assert!(
        all_cuts > SESSIONS && all_gaps > SESSIONS,
        "{all_cuts} cuts and {all_gaps} gaps are enough to prove it"
    );
}

/// The updates of a few sessions, for those who need honest ones.
pub(crate) fn honest(sessions: usize) -> Vec<Vec<Bytes>> {
    let folder = tempfile::tempdir().expect("a folder");
    read(&record(folder.path(), sessions)).into_iter().map(|session| session.received).collect()
}

fn write_answers(out: &mut Vec<u8>, answers: &[Answer]) {
    write_uint(out, answers.len() as u64);
    for (way, parts) in answers {
        write_buf(out, way.as_bytes());
        write_uint(out, parts.len() as u64);
        parts.iter().for_each(|part| write_buf(out, part));
    }
}

fn read(path: &Path) -> Vec<Session> {
    let file = std::fs::read(path).expect("the recording");
    let mut reader = Reader::new(&file);
    let sessions = reader.uint().expect("a count");
    (0..sessions).map(|_| read_session(&mut reader)).collect()
}

fn read_session(reader: &mut Reader<'_>) -> Session {
    let updates = reader.uint().expect("a count");
    let received = (0..updates).map(|_| read_buf(reader)).collect();
    let have = read_buf(reader);
    read_buf(reader);
    let count = reader.uint().expect("a count");
    let overlaps = (0..count).map(|_| (reader.uint().expect("a place") as usize, read_buf(reader))).collect();
    Session { received, have, overlaps }
}

fn read_buf(reader: &mut Reader<'_>) -> Bytes {
    Bytes::copy_from_slice(reader.buf().expect("bytes"))
}

/// Records sessions with npm's Yjs; the same sessions every time.
fn record(folder: &Path, sessions: usize) -> PathBuf {
    let path = folder.join("recorded");
    node("record.mjs", &[&path], &[&sessions.to_string()]);
    path
}

/// Runs one of the scripts, fetching what it needs the first time.
pub(crate) fn node(script: &str, paths: &[&Path], words: &[&str]) -> String {
    static FETCHING: Mutex<()> = Mutex::new(());
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/yjs");
    let _one_at_a_time = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    if !home.join("node_modules/yjs").exists() {
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        run(Command::new(npm).args(["ci", "--no-audit", "--no-fund"]).current_dir(&home));
    }
    run(Command::new("node").arg(home.join(script)).args(paths).args(words))
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("Node.js, which the tests need, starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
