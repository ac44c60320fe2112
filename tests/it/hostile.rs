//! One bad client stays one bad client: hostile frames over real sockets are never acknowledged, never passed on,
//! and people in the same room do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use townhall::auth::Role;

use crate::harness::OfficeProcess;
use crate::harness::hocus::{Heard, Hocus};
use crate::harness::typist::{Typist, var_uint};

const DOC: &str = "hostile";

/// `parts`, numbers written as var-uints.
fn numbers(parts: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    parts.iter().for_each(|n| var_uint(&mut out, *n));
    out
}

/// Updates that no editor makes, each with a name for the failing message.
fn hostile_updates() -> Vec<(&'static str, Vec<u8>)> {
    let letter = Typist::new(66).types("abc").to_vec();
    let deep = |levels: usize| {
        let mut out = numbers(&[1, 1, 66, 0]);
        out.extend([8, 1, 1, b't', 1]);
        for _ in 0..levels {
            out.extend([117, 1]);
        }
        out.extend([126, 0]);
        out
    };
    vec![
        ("nothing", vec![]),
        ("noise", vec![0xff; 200]),
        ("cut short", letter[..letter.len() / 2].to_vec()),
        ("with a tail", [letter.clone(), vec![0]].concat()),
        ("an empty client block", numbers(&[1, 0, 66, 0, 0])),
        ("400 million clients", numbers(&[400_000_000])),
        ("400 million structs", numbers(&[1, 400_000_000, 66, 0])),
        ("400 million deletes", numbers(&[0, 1, 66, 400_000_000])),
        ("a clock at the end of time", [numbers(&[1, 1, 66, (1 << 31) - 1]), letter[4..].to_vec()].concat()),
        ("a clock beyond 53 bits", [vec![1, 1, 66], vec![0xff; 9], vec![1]].concat()),
        ("a value nested 20,000 deep", deep(20_000)),
        ("an unknown kind of content", numbers(&[1, 1, 66, 0, 31, 0])),
        ("deletes of nothing", numbers(&[0, 1, 66, 1, 5, 0])),
        (
            "the same client twice",
            [vec![2], letter[1..letter.len() - 1].to_vec(), letter[1..].to_vec()].concat(),
        ),
        ("a length that is too long", [letter[..8].to_vec(), vec![0xff, 0xff, 0xff, 0x7f, b'a']].concat()),
    ]
}

/// Whole frames, address included, that are not the protocol.
fn hostile_frames() -> Vec<Vec<u8>> {
    let address = |rest: &[u8]| [&[DOC.len() as u8], DOC.as_bytes(), rest].concat();
    vec![
        vec![],
        vec![0xff; 64],
        address(&[]),
        address(&[99]),
        address(&[0, 7, 0]),
        address(&[0, 2, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        address(&[1, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        address(&[1, 5, 0x80, 0x84, 0xaf, 0x5f, 0]),
        address(&[5, 4, 0xf0, 0x28, 0x8c, 0x28]),
        address(&[6, 2, b'h', b'i']),
        address(&[0, 0, 5, 0x80, 0x84, 0xaf, 0x5f, 0]),
    ]
}

/// How long the letters of a pair took from one to the other.
struct Witnessed {
    times: Vec<Duration>,
    letters: u64,
}

impl Witnessed {
    /// How long so many of a hundred took at the most.
    fn percentile(&mut self, percent: usize) -> Duration {
        self.times.sort_unstable();
        self.times[(self.times.len() * percent / 100).min(self.times.len() - 1)]
    }
}

/// A pair of honest people in the room, until told to stop.
async fn witness(port: u16, token: String, stop: Arc<AtomicBool>) -> Witnessed {
    let (mut writer, _) = Hocus::join(port, DOC, &token).await.unwrap();
    let (mut reader, _) = Hocus::join(port, DOC, &token).await.unwrap();
    let mut typist = Typist::new(1);
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        writer.update(&typist.types("h")).await.unwrap();
        loop {
            match reader.next_within(Duration::from_secs(5)).await {
                Some(Heard::Update(_)) => break,
                Some(Heard::Closed(why)) => panic!("an honest reader was closed: {why:?}"),
                None => panic!("an honest letter did not arrive"),
                Some(_) => {}
            }
        }
        times.push(start.elapsed());
        writer.saved(1).await.expect("an honest letter is saved");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Witnessed { times, letters: typist.clock }
}

/// Sends one hostile update; whether it was acknowledged.
async fn was_acknowledged(port: u16, token: &str, update: &[u8]) -> bool {
    let Ok((mut me, _)) = Hocus::join(port, DOC, token).await else { return false };
    // The witness' letters go on meanwhile: only an acknowledgement or an end is an answer.
    if me.update(update).await.is_err() {
        return false;
    }
    let until = Instant::now() + Duration::from_millis(300);
    while let Some(heard) = me.next_within(until.saturating_duration_since(Instant::now())).await {
        match heard {
            Heard::SyncStatus(saved) => return saved,
            Heard::Closed(_) => return false,
            _ => {}
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_are_refused_and_the_room_does_not_notice() {
    let folder = tempfile::tempdir().unwrap();
    let office = OfficeProcess::start(&folder.path().join("data"));
    let token = office.mint(Role::Editor).await;
    let stop = Arc::new(AtomicBool::new(false));
    let pair = tokio::spawn(witness(office.port(), token.clone(), stop.clone()));
    // The same pair in an office that nobody attacks: what the machine does to everybody.
    let elsewhere = OfficeProcess::start(&folder.path().join("elsewhere"));
    let quiet = elsewhere.mint(Role::Editor).await;
    let control = tokio::spawn(witness(elsewhere.port(), quiet, stop.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before_kib = office.resident_kib();
    for _ in 0..10 {
        for (name, update) in hostile_updates() {
            assert!(!was_acknowledged(office.port(), &token, &update).await, "acknowledged: {name}");
        }
        for frame in hostile_frames() {
            let (mut me, _) = Hocus::join(office.port(), DOC, &token).await.unwrap();
            let _ = me.raw(frame).await;
            let _ = me.next_within(Duration::from_millis(20)).await;
        }
    }
    flood_with_presence(&office, &token).await;
    stop.store(true, Ordering::Relaxed);
    let mut pair = pair.await.expect("the honest pair was not disturbed");
    let mut control = control.await.unwrap();
    let grown_kib = office.resident_kib().saturating_sub(before_kib);
    for percent in [95, 99, 100] {
        let (here, there) = (pair.percentile(percent), control.percentile(percent));
        println!("{percent} of 100 letters took {here:?} at the most, {there:?} where nobody attacks");
    }
    println!("{} letters; memory grown by {grown_kib} KiB", pair.letters);
    let (here, there) = (pair.percentile(95), control.percentile(95));
    assert!(here < there + Duration::from_millis(50), "{here:?}, and {there:?} where nobody attacks");
    let (here, there) = (pair.percentile(100), control.percentile(100));
    assert!(here < there + Duration::from_millis(500), "one took {here:?}, and {there:?} elsewhere");
    let letters = pair.letters;
    assert!(grown_kib < 32 << 10, "grown by {grown_kib} KiB");
    let (mut me, _) = Hocus::join(office.port(), DOC, &token).await.unwrap();
    let have = me.server_state().await;
    assert_eq!(have.get(&1), Some(&letters));
    assert_eq!(have.get(&66), None, "nothing hostile is in the document");
}

/// So many quotes, each one in the one before it.
fn quotes(levels: u64) -> Vec<u8> {
    let quote = |out: &mut Vec<u8>| out.extend([&[3, 10], &b"blockquote"[..]].concat());
    let mut out = numbers(&[1, levels, 66, 0]);
    out.extend([&[7, 1, 7], &b"default"[..]].concat());
    quote(&mut out);
    for clock in 0..levels - 1 {
        out.extend([7, 0]);
        out.extend(numbers(&[66, clock]));
        quote(&mut out);
    }
    out.push(0);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_nested_too_deep_are_told_to_who_exports_and_everything_else_goes_on() {
    const LEVELS: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let office = OfficeProcess::start(&folder.path().join("data"));
    let token = office.mint(Role::Editor).await;
    let clerk = office.client().with_token(&token);
    let made = clerk.post("/api/v1/records", json!({ "title": "Deep" })).await.json();
    let id = made["record"]["id"].as_str().unwrap().to_owned();
    let export = format!("/api/v1/records/{id}/export");
    assert_eq!(clerk.get(&export).await.status, 200);
    let (mut me, _) = Hocus::join(office.port(), &format!("record:{id}"), &token).await.unwrap();
    me.update(&quotes(LEVELS)).await.unwrap();
    me.saved(1).await.unwrap();
    let refused = clerk.get(&export).await;
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("stand one inside the other"), "{}", refused.text());
    // Another record is not concerned, and the same one is well again when they are gone.
    let other = clerk.post("/api/v1/records", json!({ "title": "Other" })).await.json();
    let other = other["record"]["id"].as_str().unwrap().to_owned();
    assert_eq!(clerk.get(&format!("/api/v1/records/{other}/export")).await.status, 200);
    me.update(&numbers(&[0, 1, 66, 1, 0, LEVELS])).await.unwrap();
    me.saved(1).await.unwrap();
    assert_eq!(clerk.get(&export).await.status, 200);
}

/// One entry of a presence message.
fn presence(client: u64, clock: u64, state: &str) -> Vec<u8> {
    let mut out = numbers(&[1, client, clock, state.len() as u64]);
    out.extend_from_slice(state.as_bytes());
    out
}

/// A person cannot speak in another's name, and ten thousand names do not add up.
async fn flood_with_presence(office: &OfficeProcess, token: &str) {
    let (mut honest, _) = Hocus::join(office.port(), DOC, token).await.unwrap();
    honest.awareness(&presence(1001, 1, r#"{"user":{"name":"Marie"}}"#)).await.unwrap();
    let (mut forger, _) = Hocus::join(office.port(), DOC, token).await.unwrap();
    forger.awareness(&presence(2002, 1, r#"{"user":{"name":"Forger"}}"#)).await.unwrap();
    forger.awareness(&presence(1001, 9, "null")).await.unwrap();
    for n in 0..1_000 {
        forger.awareness(&presence(10_000 + n, 1, r#"{"user":{"name":"Nobody"}}"#)).await.unwrap();
    }
    forger.awareness(&presence(2002, 5, &format!("\"{}\"", "x".repeat(9_000)))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut late, _) = Hocus::join(office.port(), DOC, token).await.unwrap();
    let mut everybody = Vec::new();
    let until = Instant::now() + Duration::from_millis(500);
    while let Some(heard) = late.next_within(until.saturating_duration_since(Instant::now())).await {
        if let Heard::Awareness(payload) = heard {
            everybody.extend_from_slice(&payload);
        }
    }
    let everybody = String::from_utf8_lossy(&everybody);
    assert!(!everybody.contains("Nobody") && !everybody.contains("xxxx"), "a flood of names was passed on");
}
