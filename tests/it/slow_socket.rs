//! Nobody waits for the slowest, seen from the sockets: ten of fifty readers stop reading.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use townhall::auth::Role;

use crate::harness::OfficeProcess;
use crate::harness::hocus::{Heard, Hocus};
use crate::harness::typist::{Typist, read_var_uint, state_vector};

const READERS: usize = 50;
const STOPPED: usize = 10;
const EDITS: u64 = 2_000;
const EDITS_PER_S: u64 = 200;
const EDIT_BYTES: usize = 4096;

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
            readers.spawn(read_in_order(me));
        }
    }
    let before_kib = office.resident_kib();
    let (mut peak_kib, mut waiting_mib) = (0, 0);
    let mut typist = Typist::new(1);
    let piece = "y".repeat(EDIT_BYTES);
    let mut waits = Vec::new();
    let mut beat = tokio::time::interval(Duration::from_millis(1000 / EDITS_PER_S));
    for n in 0..EDITS {
        beat.tick().await;
        let start = Instant::now();
        writer.update(&typist.types(&piece)).await.unwrap();
        writer.saved(1).await.unwrap();
        waits.push(start.elapsed());
        if n % 100 == 0 {
            peak_kib = peak_kib.max(office.resident_kib());
            waiting_mib = waiting_mib.max(outbox_bytes(&office).await >> 20);
        }
    }
    waits.sort();
    let p99 = waits[waits.len() * 99 / 100];
    let grown_mib = peak_kib.saturating_sub(before_kib) / 1024;
    println!("writer's p99 {p99:?}, memory grown {grown_mib} MiB, {waiting_mib} MiB waiting at the most");
    // A writer that waits for a stopped reader would wait for as long as that one sleeps.
    assert!(p99 < Duration::from_secs(2), "the writer waited {p99:?}");
    assert!(waiting_mib <= READERS as u64, "{waiting_mib} MiB wait for {READERS} readers");
    // The document itself is 8 MB and is merged beside the room; what is left is far from all that was said, 400 MB.
    assert!(grown_mib < 256, "grown by {grown_mib} MiB");
    for heard in readers.join_all().await {
        assert_eq!(heard, EDITS * EDIT_BYTES as u64, "a reader that kept reading heard every edit");
    }
    for converged in stopped.join_all().await {
        assert!(converged, "a reader that had stopped has everything in the end");
    }
}

/// Reads updates until the writer's last letter; the letters heard without a gap.
async fn read_in_order(mut me: Hocus) -> u64 {
    let mut heard = 0;
    while heard < EDITS * EDIT_BYTES as u64 {
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
