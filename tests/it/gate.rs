//! Hostile bytes: the gate and the decoders answer ten million of them, quickly, within bounds, and whatever they
//! let through can be stored, joined, cut and loaded again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use townhall::clock::Stopwatch;
use townhall::config::limits::UPDATE_MAX_BYTES;
use townhall::rooms::merge;
use townhall::wire::gate::{Known, Placement, check, plain, state_vector};
use townhall::wire::varint::{write_buf, write_uint};
use townhall::wire::{awareness, hocuspocus, ysync};

use crate::harness::dice::Dice;
use crate::recorded;

const GATE_RUNS: u64 = 10_000_000;
const DECODER_RUNS: u64 = 1_000_000;
const MERGES_AT_LEAST: u64 = 200_000;
const THREADS: u64 = 2;
/// Updates for one document before the next one's turn.
const ROOM_RUNS: u64 = 4_000;
/// Documents that are read by Yjs.
const ROOMS: u64 = 1_000;
/// A document that fuzzing grew is put together again this often.
const PARTS: usize = 24;

const TELLING_BYTES: [u8; 16] = [0, 1, 2, 3, 4, 8, 10, 0x1f, 0x3f, 0x7f, 0x80, 0x81, 0x84, 0xc4, 0xf0, 0xff];

/// Changes a few bytes of `bytes`, sometimes with a piece of `other`.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len().max(1)).min(bytes.len());
        match dice.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 | 2 if at < bytes.len() => bytes[at] = *dice.pick(&TELLING_BYTES),
            3 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
            4 => bytes.insert(at, *dice.pick(&TELLING_BYTES)),
            5 if at < bytes.len() => _ = bytes.remove(at),
            6 if !other.is_empty() => {
                let from = dice.below(other.len());
                let to = (from + 1 + dice.below(12)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            7 if dice.below(8) == 0 => bytes.truncate(at),
            _ if at < bytes.len() => bytes[at] = bytes[at].wrapping_sub(1),
            _ => {}
        }
    }
}

/// An update by the grammar: well-formed more often than not, few clients, so that they meet.
fn grow(dice: &mut Dice, known: &[(u64, u32)]) -> Vec<u8> {
    let mut out = vec![];
    let sections = dice.below(3);
    out.push(sections as u8);
    for n in 0..sections {
        let structs = 1 + dice.below(4);
        write_uint(&mut out, structs as u64);
        let client = 1 + n as u64 + dice.below(2) as u64;
        write_uint(&mut out, client);
        let next = known.iter().find(|entry| entry.0 == client).map_or(0, |entry| entry.1);
        write_uint(&mut out, if dice.below(4) == 0 { dice.below(9) as u64 } else { u64::from(next) });
        (0..structs).for_each(|_| grow_struct(&mut out, dice, known));
    }
    let deletes = dice.below(3);
    out.push(deletes as u8);
    for n in 0..deletes {
        write_uint(&mut out, 1 + n as u64);
        let ranges = dice.below(4);
        out.push(ranges as u8);
        (0..ranges).for_each(|_| out.extend([dice.below(12) as u8, 1 + dice.below(3) as u8]));
    }
    out
}

fn grow_id(out: &mut Vec<u8>, dice: &mut Dice, known: &[(u64, u32)]) {
    match known {
        [] => out.extend([1 + dice.below(3) as u8, dice.below(4) as u8]),
        _ => {
            let (client, clock) = *dice.pick(known);
            write_uint(out, client);
            write_uint(out, dice.below(clock as usize + 1) as u64);
        }
    }
}

fn grow_struct(out: &mut Vec<u8>, dice: &mut Dice, known: &[(u64, u32)]) {
    let kind = *dice.pick(&[0, 1, 3, 4, 4, 4, 5, 6, 7, 7, 8, 8, 9, 10]);
    if kind == 0 || kind == 10 {
        return out.extend([kind, 1 + dice.below(4) as u8]);
    }
    let flags = (dice.below(8) as u8) << 5;
    out.push(kind | flags);
    (0..(flags >> 7) + (flags >> 6 & 1)).for_each(|_| grow_id(out, dice, known));
    if flags & 0xc0 == 0 {
        if dice.below(2) == 0 {
            out.extend([1, 1, b't']);
        } else {
            out.push(0);
            grow_id(out, dice, known);
        }
        if flags & 0x20 != 0 {
            out.extend([1, b'k']);
        }
    }
    match kind {
        1 => out.push(1 + dice.below(5) as u8),
        3 => out.extend([2, 0, 255]),
        4 => {
            let words = *dice.pick(&["a", "bc", "😀", "a😀b", "éé", "\u{fffd}"]);
            out.push(words.len() as u8);
            out.extend_from_slice(words.as_bytes());
        }
        5 => out.extend([4, b'[', b'1', b'2', b']']),
        6 => out.extend([1, b'b', 4, b't', b'r', b'u', b'e']),
        7 => {
            let of = dice.below(8) as u8;
            out.push(of);
            if of == 3 || of == 5 {
                out.extend([1, b'p']);
            }
        }
        8 => {
            let values = 1 + dice.below(4);
            out.push(values as u8);
            (0..values).for_each(|_| grow_value(out, dice, 0));
        }
        _ => out.extend([1, b'g', 118, 0]),
    }
}

fn grow_value(out: &mut Vec<u8>, dice: &mut Dice, depth: usize) {
    let kind = 116 + dice.below(12) as u8;
    match kind {
        116 | 119 => out.extend([kind, 1, b'x']),
        117 if depth < 3 => {
            out.extend([kind, 1]);
            grow_value(out, dice, depth + 1);
        }
        118 if depth < 3 => {
            out.extend([kind, 1, 1, b'k']);
            grow_value(out, dice, depth + 1);
        }
        117 | 118 => out.push(126),
        122 | 123 => out.extend([kind, 1, 2, 3, 4, 5, 6, 7, 8]),
        124 => out.extend([kind, 1, 2, 3, 4]),
        125 => out.extend([kind, 0x81, 1]),
        _ => out.push(kind),
    }
}

/// What a room does with hostile updates, and what it can rely on.
#[derive(Default)]
struct Room {
    known: Known,
    clocks: Vec<(u64, u32)>,
    parts: Vec<Bytes>,
    merges: u64,
    /// Keeps every part, for those who read them one by one.
    keeps: bool,
}

impl Room {
    fn of(updates: &[Bytes]) -> Self {
        let known = Known::from_parts(updates.iter().map(|update| &update[..])).expect("honest");
        let clocks = known.clocks().iter().collect();
        Self { known, clocks, parts: updates.to_vec(), ..Self::default() }
    }

    fn take(&mut self, bytes: &[u8]) {
        let Ok(structure) = check(bytes) else { return };
        assert!(structure.parts() <= bytes.len(), "memory is bounded by the bytes");
        let mut update = Bytes::copy_from_slice(bytes);
        let mut structure = structure;
        let mut placement = self.known.place(&structure);
        if placement == Placement::Overlap {
            self.merges += 1;
            update = merge::cut(&update, &self.known.state_vector()).expect("what passed can be cut");
            structure = check(&update).expect("what is cut passes");
            placement = self.known.place(&structure);
            assert_ne!(placement, Placement::Overlap, "what is cut overlaps no more: {bytes:?}");
        }
        if placement == Placement::New {
            self.known.absorb(&structure);
            assert_eq!(self.known.place(&structure), Placement::Nothing, "absorbed: {bytes:?}");
            self.clocks = self.known.clocks().iter().collect();
            self.parts.push(update);
            if self.parts.len() > PARTS && !self.keeps {
                self.compact();
            }
        }
    }

    /// A snapshot of whatever was let through says the same as its parts.
    fn compact(&mut self) {
        self.merges += 1;
        let whole = merge::merge(&self.parts).expect("what passed can be joined");
        assert_eq!(
            Known::from_parts([&whole[..]].into_iter()).as_ref(),
            Ok(&self.known),
            "a snapshot is whole"
        );
        self.parts = vec![whole];
    }

    /// The last snapshot, made plain for other engines, still says the same.
    fn end(mut self) -> u64 {
        self.compact();
        let read = plain(&self.parts[0]).expect("what passed can be made plain");
        assert_eq!(Known::from_parts([&read[..]].into_iter()), Ok(self.known), "nothing moves");
        self.merges
    }
}

/// Splits `runs` over threads; `work` gets a seed and its share.
fn in_threads(runs: u64, work: impl Fn(u64, u64) + Sync) {
    std::thread::scope(|scope| {
        for seed in 1..=THREADS {
            let work = &work;
            scope.spawn(move || work(seed, runs / THREADS));
        }
    });
}

/// One room that is fed with hostile updates, made from honest ones or by the grammar.
struct Feed<'a> {
    session: &'a [Bytes],
    start: usize,
    by_grammar: bool,
    room: Room,
    bytes: Vec<u8>,
}

impl<'a> Feed<'a> {
    fn new(sessions: &'a [Vec<Bytes>], dice: &mut Dice) -> Self {
        let session = dice.pick(sessions);
        let start = dice.below(session.len());
        let by_grammar = dice.below(3) == 0;
        let room = if by_grammar { Room::default() } else { Room::of(&session[..start]) };
        Self { session, start, by_grammar, room, bytes: Vec::new() }
    }

    fn feed(&mut self, dice: &mut Dice) {
        self.bytes.clear();
        if self.by_grammar {
            self.bytes = grow(dice, &self.room.clocks);
        } else {
            let near = (self.start + dice.below(4)).min(self.session.len() - 1);
            self.bytes.extend_from_slice(&self.session[near]);
        }
        let other = dice.below(self.session.len());
        if !self.by_grammar || dice.below(4) == 0 {
            mutate(&mut self.bytes, &self.session[other], dice);
        }
        self.room.take(&self.bytes);
    }
}

#[test]
fn the_gate_answers_ten_million_hostile_updates() {
    let sessions = recorded::honest(120);
    let (merges, slowest) = (AtomicU64::new(0), AtomicU64::new(0));
    in_threads(GATE_RUNS, |seed, runs| {
        let mut dice = Dice::new(0x9e37_79b9_7f4a_7c15 ^ seed);
        for _ in 0..runs / ROOM_RUNS {
            let watch = Stopwatch::start();
            let mut feed = Feed::new(&sessions, &mut dice);
            (0..ROOM_RUNS).for_each(|_| feed.feed(&mut dice));
            merges.fetch_add(feed.room.end(), Ordering::Relaxed);
            slowest.fetch_max(watch.elapsed().as_micros() as u64, Ordering::Relaxed);
        }
    });
    let (merges, slowest) = (merges.into_inner(), Duration::from_micros(slowest.into_inner()));
    println!("{merges} merges and cuts; the slowest {ROOM_RUNS} runs took {slowest:?}");
    assert!(merges >= MERGES_AT_LEAST, "{merges} merges and cuts");
    assert!(slowest < Duration::from_secs(10), "no run takes long: {ROOM_RUNS} took {slowest:?}");
}

/// An update that waits in the editors for ever would cost each of them time with every further one.
#[test]
fn what_passes_the_gate_reaches_every_editor_whole() {
    let sessions = recorded::honest(120);
    let mut dice = Dice::new(4_711);
    let mut file = Vec::new();
    write_uint(&mut file, ROOMS);
    let mut updates = 0;
    for _ in 0..ROOMS {
        let mut feed = Feed::new(&sessions, &mut dice);
        feed.room.keeps = true;
        (0..200).for_each(|_| feed.feed(&mut dice));
        updates += feed.room.parts.len();
        write_uint(&mut file, feed.room.parts.len() as u64);
        feed.room.parts.iter().for_each(|part| write_buf(&mut file, part));
        write_buf(&mut file, &feed.room.known.state_vector());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rooms");
    std::fs::write(&path, file).expect("written");
    let said = recorded::node("survive.mjs", &[&path], &[]);
    assert_eq!(said.trim(), format!("{ROOMS} rooms, {updates} updates"));
}

/// Feeds `decode` with mutations of `seeds`.
fn storm(seeds: &[Bytes], decode: impl Fn(&Bytes) + Sync) {
    in_threads(DECODER_RUNS, |seed, runs| {
        let mut dice = Dice::new(0x1234_5678_9abc_def1 ^ (seed << 32));
        for _ in 0..runs {
            let mut bytes = dice.pick(seeds).to_vec();
            let other = dice.below(seeds.len());
            mutate(&mut bytes, &seeds[other], &mut dice);
            decode(&Bytes::from(bytes));
        }
    });
}

#[test]
fn state_vectors_of_strangers_are_answered() {
    let update =
        Bytes::from_static(&[1, 2, 7, 0, 4, 1, 1, b't', 3, b'a', b'b', b'c', 0x84, 7, 2, 1, b'd', 0]);
    let seeds =
        [&[0][..], &[1, 7, 2], &[3, 7, 4, 8, 200, 1, 9, 0], &[2, 0xff, 0xff, 0xff, 0xff, 0x0f, 3, 7, 1]];
    storm(&seeds.map(Bytes::from_static), |bytes| {
        if let Ok(have) = state_vector(bytes) {
            assert!(have.len() <= bytes.len() / 2);
            assert_eq!(state_vector(&have.encode()).as_ref(), Ok(&have));
            let lacks = merge::diff(&update, bytes).expect("any state vector has an answer");
            assert!(check(&lacks).is_ok());
        } else {
            assert!(merge::diff(&update, bytes).is_err());
        }
    });
}

#[test]
fn presence_of_strangers_is_answered() {
    let states = [r#"{"user":{"id":"a","name":"Zoé"},"cursor":{"anchor":1}}"#, "null", "{}", "[1]"];
    let entry = |n: usize| {
        let state = Some(Bytes::from_static(states[n].as_bytes()));
        awareness::Entry { client: 1 << (n * 13), clock: n as u32 * 99, state }
    };
    let seeds: Vec<Bytes> =
        (0..4).map(|n| awareness::encode(&(0..=n).map(entry).collect::<Vec<_>>())).collect();
    storm(&seeds, |bytes| {
        if let Ok(entries) = awareness::decode(bytes) {
            assert!(entries.len() <= bytes.len() / 3);
            entries.iter().for_each(|entry| _ = entry.is_json());
            assert_eq!(awareness::decode(&awareness::encode(&entries)), Ok(entries));
        }
    });
}

#[test]
fn frames_of_strangers_are_answered() {
    use hocuspocus::{Address, Body, Packet, SentToken};
    let address = Address::new("record:a\0session");
    let update = Bytes::from_static(&[0, 1, 7, 1, 0, 1]);
    let token = SentToken::new("token".into());
    let bodies = [
        Body::Sync(ysync::SyncMessage::Step1(Bytes::from_static(&[1, 7, 2]))),
        Body::SyncReply(ysync::SyncMessage::Step2(update.clone())),
        Body::Sync(ysync::SyncMessage::Update(update)),
        Body::Awareness(Bytes::from_static(&[1, 7, 2, 2, b'{', b'}'])),
        Body::Token { token, version: Some("4.8.0".into()) },
        Body::Authenticated { read_only: true },
        Body::Stateless(Bytes::from_static(b"words")),
        Body::Close(Some("bye".into())),
        Body::SyncStatus(true),
    ];
    let seeds: Vec<Bytes> = bodies.iter().map(|body| hocuspocus::encode(&address, body)).collect();
    storm(&seeds, |bytes| {
        if let Ok(Packet::Frame(frame)) = hocuspocus::decode(bytes) {
            let again = hocuspocus::decode(&hocuspocus::encode(&frame.address, &frame.body));
            assert_eq!(again, Ok(Packet::Frame(frame)));
        }
    });
    let nowhere = Address::new("");
    let seeds: Vec<Bytes> = bodies.iter().map(|body| hocuspocus::encode(&nowhere, body).slice(1..)).collect();
    storm(&seeds, |bytes| {
        if let Ok(message) = ysync::decode(bytes) {
            assert_eq!(ysync::decode(&ysync::encode(&message)), Ok(message));
        }
    });
}

/// One client's structs as bytes.
fn section(out: &mut Vec<u8>, client: u64, clock: u64, count: u64, mut one: impl FnMut(&mut Vec<u8>, u64)) {
    write_uint(out, count);
    write_uint(out, client);
    write_uint(out, clock);
    (0..count).for_each(|n| one(out, n));
}

fn reference(out: &mut Vec<u8>, client: u64, clock: u64) {
    out.push(0x84);
    write_uint(out, client);
    write_uint(out, clock);
    out.extend([1, b'x']);
}

/// Updates as large as a message may be, each the worst of its kind.
fn largest() -> Vec<(&'static str, Vec<u8>)> {
    let clients = 500_000;
    let mut waiting = vec![];
    write_uint(&mut waiting, clients);
    for n in 0..clients {
        // each waits for the next, so that nothing can begin before the last one was read
        section(&mut waiting, n, 0, 1, |out, _| match n + 1 == clients {
            true => out.extend([4, 1, 1, b't', 1, b'x']),
            false => reference(out, n + 1, 0),
        });
    }
    waiting.push(0);

    let steps = 400_000;
    let mut ladder = vec![2];
    section(&mut ladder, 1, 0, steps, |out, n| reference(out, 2, n));
    section(&mut ladder, 2, 0, steps, |out, n| match n {
        0 => out.extend([4, 1, 1, b't', 1, b'x']),
        _ => reference(out, 1, n - 1),
    });
    ladder.push(0);

    let mut deletes = vec![1, 1, 1, 0, 0];
    write_uint(&mut deletes, 1 << 30);
    deletes.extend([1, 1]);
    let count = 1_300_000;
    write_uint(&mut deletes, count);
    for n in (0..count).rev() {
        write_uint(&mut deletes, 2 * (n * 7919 % count));
        deletes.push(1);
    }

    let mut values = vec![1];
    section(&mut values, 1, 0, 1, |out, _| {
        out.extend([8, 1, 1, b't']);
        write_uint(out, 1_000_000);
        (0..1_000_000).for_each(|_| out.extend([117, 1, 118, 1, 1, b'k', 126]));
    });
    values.push(0);

    let json =
        [b"[\"".to_vec(), vec![b'{'; 4_000_000], b"\"".to_vec(), b",[]".repeat(1_000_000), b"]".to_vec()];
    let mut embed = vec![1];
    section(&mut embed, 1, 0, 1, |out, _| {
        out.extend([5, 1, 1, b't']);
        write_buf(out, &json.concat());
    });
    embed.push(0);
    let clients_waiting = ("500,000 clients that wait for each other", waiting);
    vec![
        clients_waiting,
        ("two clients that take turns 400,000 times", ladder),
        ("1,300,000 deletes in disorder", deletes),
        ("a million nested values", values),
        ("eight million bytes of JSON", embed),
    ]
}

#[test]
fn the_largest_updates_are_answered_in_time() {
    for (what, bytes) in largest() {
        assert!(bytes.len() <= UPDATE_MAX_BYTES, "{what}: {} bytes", bytes.len());
        let watch = Stopwatch::start();
        let mut room = Room::default();
        room.take(&bytes);
        assert_eq!(room.parts.len(), 1, "{what} is let in");
        room.compact();
        let took = watch.elapsed();
        println!("{what}: {} bytes, {took:?}", bytes.len());
        assert!(took < Duration::from_secs(60), "{what} took {took:?}");
    }
}
