//! Nobody waits for the slowest, seen from the sockets: ten of fifty readers stop reading.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use townhall::auth::Role;

use crate::harness::OfficeProcess;
use crate::harness::hocus::{Heard, Hocus};
use crate::harness::typist::{Typist, read_var_uint, state_vector, var_uint};

const READERS: usize = 50;
const STOPPED: usize = 10;
const EDITS: u64 = 2_000;
const EDITS_PER_S: u64 = 200;
const EDIT_BYTES: usize = 4096;
/// Others in the room notice nothing: that is, less than this.
const PROMISED: Duration = Duration::from_millis(50);

/// Reads edits until `clock` of the writer is reached, through updates and resyncs alike.
async fn read_to_the_end(mut me: Hocus, stop_for: Duration) -> bool {
    tokio::time::sleep(stop_for).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match me.next_within(deadline.saturating_duration_since(Instant::now())).await {
            Some(Heard::Step1(have)) if state_vector(&have).get(&1) == Some(&(EDITS * EDIT_BYTES as u64)) => {
                return true;
            }
            Some(Heard::Closed(_)) | None => return false,
            Some(_) => {}
        }
        // Asked after every message that may have been the last.
        if me.step1(&[0]).await.is_err() {
            return false;
        }
    }
}

/// Writes at a steady pace; how long nineteen of twenty edits took at the most, to their tick.
async fn write(writer: &mut Hocus, mut now_and_then: impl AsyncFnMut()) -> Duration {
    let (mut typist, piece) = (Typist::new(1), "y".repeat(EDIT_BYTES));
    let mut waits = Vec::new();
    let mut beat = tokio::time::interval(Duration::from_millis(1000 / EDITS_PER_S));
    for n in 0..EDITS {
        beat.tick().await;
        let start = Instant::now();
        writer.update(&typist.types(&piece)).await.unwrap();
        writer.saved(1).await.unwrap();
        waits.push(start.elapsed());
        if n % 100 == 0 {
            now_and_then().await;
        }
    }
    waits.sort();
    waits[waits.len() * 95 / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_stopped_readers_cost_a_mebibyte_each_and_nobody_else_notices() {
    let folder = tempfile::tempdir().unwrap();
    let office = OfficeProcess::start(&folder.path().join("data"));
    let token = office.mint(Role::Editor).await;
    let (mut writer, _) = Hocus::join(office.port(), "slow", &token).await.unwrap();
    let mut readers = JoinSet::new();
    let mut stopped = JoinSet::new();
    for n in 0..READERS {
        let (me, _) = Hocus::join(office.port(), "slow", &token).await.unwrap();
        if n < STOPPED {
            stopped.spawn(read_to_the_end(me, Duration::from_secs(EDITS / EDITS_PER_S + 2)));
        } else {
            let mut me = me;
            readers.spawn(async move { read_in_order(&mut me, 0, EDITS * EDIT_BYTES as u64).await });
        }
    }
    let before_kib = office.resident_kib();
    let (mut peak_kib, mut waiting_mib) = (0, 0);
    // Somebody who writes the same at the same time, undisturbed: what the machine does to everybody.
    let elsewhere = OfficeProcess::start(&folder.path().join("elsewhere"));
    let token = elsewhere.mint(Role::Editor).await;
    let (mut alone, _) = Hocus::join(elsewhere.port(), "slow", &token).await.unwrap();
    let (written, control) = tokio::join!(
        write(&mut writer, async || {
            peak_kib = peak_kib.max(office.resident_kib());
            waiting_mib = waiting_mib.max(outbox_bytes(&office).await >> 20);
        }),
        write(&mut alone, async || {})
    );
    let grown_mib = peak_kib.saturating_sub(before_kib) / 1024;
    println!("writer's p95 {written:?}, alone {control:?}; grown {grown_mib} MiB, {waiting_mib} MiB waiting");
    assert!(written < control + PROMISED, "the writer waited {written:?}, one alone {control:?}");
    assert!(waiting_mib <= STOPPED as u64, "{waiting_mib} MiB wait for {STOPPED} readers");
    // What waits, and the document of 8 MB a few times: as it was, as it is merged, as a snapshot.
    assert!(grown_mib < 96, "grown by {grown_mib} MiB");
    for heard in readers.join_all().await {
        assert_eq!(heard, EDITS * EDIT_BYTES as u64, "a reader that kept reading heard every edit");
    }
    for converged in stopped.join_all().await {
        assert!(converged, "a reader that had stopped has everything in the end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_not_read_holds_one_answer_however_many_it_asks_for() {
    const SESSIONS: usize = 32;
    const LARGE: &str = "large";
    let folder = tempfile::tempdir().unwrap();
    let office = OfficeProcess::start(&folder.path().join("data"));
    let token = office.mint(Role::Editor).await;
    let (mut writer, _) = Hocus::join(office.port(), LARGE, &token).await.unwrap();
    let mut typist = Typist::new(1);
    for _ in 0..16 {
        writer.update(&typist.types(&"y".repeat(500_000))).await.unwrap();
        writer.saved(1).await.unwrap();
    }
    let mut reader = Hocus::connect(office.port(), LARGE, &token).await.unwrap();
    for session in 0..SESSIONS {
        reader.at(&format!("{LARGE}\0{session}"));
        reader.authenticate(&token).await.unwrap();
        while !matches!(reader.next().await, Heard::Authenticated(_)) {}
    }
    let before_kib = office.resident_kib();
    for session in 0..SESSIONS {
        reader.at(&format!("{LARGE}\0{session}"));
        // All but a few letters, and for each session its own few.
        let mut have = vec![1, 1];
        var_uint(&mut have, session as u64 + 1);
        reader.step1(&have).await.unwrap();
    }
    let mut peak_kib = 0;
    for _ in 0..100 {
        peak_kib = peak_kib.max(office.resident_kib());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answers = 0;
    while answers < SESSIONS {
        match reader.next_within(Duration::from_secs(30)).await {
            Some(Heard::Step2(_)) => answers += 1,
            Some(Heard::Closed(_)) | None => panic!("{answers} of {SESSIONS} answers"),
            Some(_) => {}
        }
        peak_kib = peak_kib.max(office.resident_kib());
    }
    let grown_mib = peak_kib.saturating_sub(before_kib) / 1024;
    println!("grown {grown_mib} MiB");
    assert!(grown_mib < 96, "grown by {grown_mib} MiB for {SESSIONS} answers of 8 MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_in_fits_and_starts_hears_every_edit_whole_and_without_a_gap() {
    const PIECE_BYTES: usize = 40_000;
    const PIECES: usize = 190;
    let folder = tempfile::tempdir().unwrap();
    let office = OfficeProcess::start(&folder.path().join("data"));
    let token = office.mint(Role::Editor).await;
    let (mut writer, _) = Hocus::join(office.port(), "fits", &token).await.unwrap();
    let (mut reader, _) = Hocus::join(office.port(), "fits", &token).await.unwrap();
    let (mut typist, piece) = (Typist::new(1), "y".repeat(PIECE_BYTES));
    let mut heard = 0;
    for round in 1..=2 {
        // More than the line holds, while nobody reads; and the WebSocket's own answer and an answer in between.
        for n in 0..PIECES {
            if n % 50 == 0 {
                reader.ping().await.unwrap();
                reader.awareness(&[1, 9, n as u8 + 1, 2, b'{', b'}']).await.unwrap();
            }
            writer.update(&typist.types(&piece)).await.unwrap();
        }
        writer.saved(PIECES).await.unwrap();
        heard = read_in_order(&mut reader, heard, typist.clock).await;
        assert_eq!(heard, typist.clock, "in round {round}");
    }
}

/// Reads updates from what was heard before until the writer's last letter; the letters heard without a gap.
async fn read_in_order(me: &mut Hocus, mut heard: u64, last: u64) -> u64 {
    while heard < last {
        match me.next_within(Duration::from_secs(30)).await {
            Some(Heard::Update(update) | Heard::Step2(update)) => {
                let from = first_clock(&update);
                assert!(from <= heard, "a gap: {heard} heard, then {from}");
                heard = heard.max(from + letters(&update));
            }
            Some(Heard::Closed(_)) | None => break,
            Some(_) => {}
        }
    }
    heard
}

/// Where an update of the one writer begins.
fn first_clock(mut update: &[u8]) -> u64 {
    let [_clients, _structs, _client, clock] =
        std::array::from_fn(|_| read_var_uint(&mut update).unwrap_or(0));
    clock
}

/// How many letters it carries: the runs that are too long to be anything else.
fn letters(update: &[u8]) -> u64 {
    update.split(|byte| *byte != b'y').map(|run| run.len() as u64).filter(|run| *run > 1_000).sum()
}

/// What waits in all outboxes, as the program itself counts it.
async fn outbox_bytes(office: &OfficeProcess) -> u64 {
    let text = office.client().get("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix("townhall_outbox_bytes "));
    line.and_then(|bytes| bytes.trim().parse().ok()).expect("the figure is there")
}
