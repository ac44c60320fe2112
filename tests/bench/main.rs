//! The figures of `make bench`: the real program as a child process, real sockets, one line a figure.
//!
//! Owns measuring only; promises are tested in `tests/it`. Processor time and memory are read from `/proc`, so
//! those lines are left out where there is none.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod channels;
mod ear;
mod floor;
#[path = "../it/harness/hocus.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod hocus;
mod office;
#[path = "../it/harness/redis.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod redis_server;
#[path = "../it/harness/typist.rs"]
mod typist;

use std::time::{Duration, Instant};

use floor::Sends;
use hocus::{Heard, Hocus};
use office::{Measured, Office};
use tokio::task::JoinSet;
use typist::Typist;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("{:<52} {:>22}   goal", "figure", "measured");
        if asked_for("start") {
            start().await;
        }
        if asked_for("acknowledgement") {
            acknowledgement().await;
        }
        if asked_for("fan_out") {
            // An edit of one letter in its frames.
            let pause = Duration::from_millis(10);
            floor::bare_sends(Sends { readers: 50, rounds: 500, pause, bytes: 40 }).await;
            fan_out("a lone writer", 1, Duration::from_millis(10)).await;
            fan_out("ten rooms with a writer each", 10, Duration::from_millis(20)).await;
            all_write().await;
        }
        if asked_for("idle") {
            idle().await;
        }
        if asked_for("channels") {
            channels::figures().await;
        }
        if asked_for("connects") {
            channels::connects().await;
        }
        if asked_for("channels") || asked_for("redis") {
            channels::through_redis().await;
        }
        if asked_for("cold_join") {
            cold_join().await;
        }
    });
}

/// Whether a figure is among those named on the command line; all are when none is.
fn asked_for(name: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|argument| argument == name)
}

fn line(figure: &str, measured: &str, goal: &str) {
    println!("{figure:<52} {measured:>22}   {goal}");
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len() as f64 - 1.0) * share).round() as usize;
    sorted.get(at).map_or(0.0, |d| d.as_secs_f64() * 1000.0)
}

/// Ready after start, resident when idle.
async fn start() {
    let mut times = Vec::new();
    let mut resident_kib = 0;
    for _ in 0..5 {
        let office = Office::start().await;
        times.push(office.ready_after);
        tokio::time::sleep(Duration::from_millis(500)).await;
        resident_kib = office.resident_kib();
    }
    times.sort();
    line("ready after start, median of 5", &format!("{:.0} ms", percentile(&times, 0.5)), "<= 300 ms");
    line("resident when idle", &format!("{:.1} MB", resident_kib as f64 / 1024.0), "<= 40 MB");
}

/// 100 writers, each in a document of its own, each waiting for its tick before the next letter.
async fn acknowledgement() {
    let office = Office::start().await;
    let mut writers = JoinSet::new();
    for n in 0..100u64 {
        let (port, token) = (office.port, office.token.clone());
        writers.spawn(async move {
            let (mut me, _) = Hocus::join(port, &format!("ack-{n}"), &token).await.unwrap();
            let mut typist = Typist::new(n + 1);
            let mut times = Vec::new();
            tokio::time::sleep(Duration::from_millis(500 + n * 7)).await;
            for _ in 0..50 {
                let start = Instant::now();
                me.update(&typist.types("a")).await.unwrap();
                me.saved(1).await.unwrap();
                times.push(start.elapsed());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            times
        });
    }
    let mut times: Vec<Duration> = writers.join_all().await.into_iter().flatten().collect();
    times.sort();
    line(
        "edit to tick on disk, 100 writers, p50 / p99",
        &format!("{:.1} / {:.1} ms", percentile(&times, 0.5), percentile(&times, 0.99)),
        "<= 5 / 25 ms",
    );
}

/// In each room one writer and 50 listeners, 50,000 deliveries a room.
async fn fan_out(load: &str, rooms: u64, pause: Duration) {
    const READERS: usize = 50;
    const EDITS: usize = 1_000;
    let office = Office::start().await;
    let mut listeners = JoinSet::new();
    let mut writers = JoinSet::new();
    for room in 0..rooms {
        let doc = format!("fan-{room}");
        for _ in 0..READERS {
            let (me, _) = Hocus::join(office.port, &doc, &office.token).await.unwrap();
            listeners.spawn(listen_to_the_end(me, EDITS));
        }
        let (writer, _) = Hocus::join(office.port, &doc, &office.token).await.unwrap();
        writers.spawn(type_to_the_end(writer, EDITS, pause));
    }
    let said = office.counted("townhall_messages_out_total").await;
    let spent = Spent::by(&office);
    writers.join_all().await;
    let delivered: usize = listeners.join_all().await.into_iter().sum();
    let owed = EDITS * READERS * rooms as usize;
    spent.lines(&office, load, delivered, owed);
    let said = office.counted("townhall_messages_out_total").await - said;
    line("  messages that went out for them", &said.to_string(), "");
}

/// What an office spent on deliveries.
struct Spent {
    start: Instant,
    cpu: Duration,
    disk: Duration,
}

impl Spent {
    /// The thread that commits.
    const WRITER: &str = "store-writer";

    /// Before the first delivery.
    fn by(office: &Office) -> Self {
        Self { start: Instant::now(), cpu: office.cpu(), disk: office.cpu_of(Self::WRITER) }
    }

    /// After the last one. What the commits of the edits take is in it and printed below it: who writes alone pays for
    /// one with every edit, and that is most of what such a room costs.
    fn lines(self, office: &Office, load: &str, delivered: usize, owed: usize) {
        let took = self.start.elapsed().as_secs_f64();
        let (cpu, disk) = (office.cpu() - self.cpu, office.cpu_of(Self::WRITER) - self.disk);
        let per_100_000 = |spent: Duration| {
            format!("{:.2} CPU-s", spent.as_secs_f64() * 100_000.0 / delivered.max(1) as f64)
        };
        line(&format!("fan-out to 50, {load}"), &format!("{delivered} of {owed} in {took:.1} s"), "all");
        line("  per 100,000 deliveries", &per_100_000(cpu), "<= 0.8 CPU-s");
        line("  of it, the commits of the edits", &per_100_000(disk), "");
    }
}

/// A room of 50 in which everybody types as fast as clerks do: 250 letters a second, each for the 49 others.
async fn all_write() {
    const PEOPLE: usize = 50;
    const LETTERS: usize = 100;
    let office = Office::start().await;
    let (mut chair, _) = Hocus::join(office.port, "meeting", &office.token).await.unwrap();
    let mut people = Vec::new();
    for _ in 0..PEOPLE {
        people.push(Hocus::join(office.port, "meeting", &office.token).await.unwrap().0);
    }
    let spent = Spent::by(&office);
    let mut typing = JoinSet::new();
    let (done, mut all_done) = tokio::sync::mpsc::channel(PEOPLE);
    for (n, me) in people.into_iter().enumerate() {
        typing.spawn(type_and_listen(me, n, LETTERS, done.clone()));
    }
    for _ in 0..PEOPLE {
        all_done.recv().await.unwrap();
    }
    chair.awareness(&[1, 1, 1, 2, b'{', b'}']).await.unwrap();
    let delivered = typing.join_all().await.into_iter().sum::<usize>() * (PEOPLE - 1);
    spent.lines(&office, "who all write", delivered, PEOPLE * (PEOPLE - 1) * LETTERS);
}

/// Types five letters a second, tells when all of them are saved, and listens until somebody shows presence: what was
/// said before that was heard. How many letters were saved.
async fn type_and_listen(
    mut me: Hocus,
    n: usize,
    letters: usize,
    done: tokio::sync::mpsc::Sender<()>,
) -> usize {
    let mut typist = Typist::new(n as u64 + 1);
    tokio::time::sleep(Duration::from_millis(n as u64 * 4)).await;
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    let (mut typed, mut saved) = (0, 0);
    loop {
        tokio::select! {
            _ = beat.tick(), if typed < letters => {
                me.update(&typist.types("a")).await.unwrap();
                typed += 1;
            }
            heard = me.next() => match heard {
                Heard::SyncStatus(true) => {
                    saved += 1;
                    if saved == letters {
                        done.send(()).await.unwrap();
                    }
                }
                Heard::Awareness(payload) if payload.len() > 1 => return saved,
                Heard::SyncStatus(false) | Heard::Closed(_) => return 0,
                _ => {}
            },
        }
    }
}

/// Edits that come together are sent on as one message, so messages are not counted: the writer's presence follows its
/// last edit.
async fn listen_to_the_end(mut me: Hocus, edits: usize) -> usize {
    loop {
        match me.next().await {
            Heard::Awareness(payload) if payload.len() > 1 => return edits,
            Heard::Closed(_) => return 0,
            _ => {}
        }
    }
}

async fn type_to_the_end(mut me: Hocus, edits: usize, pause: Duration) {
    let mut typist = Typist::new(1);
    let mut beat = tokio::time::interval(pause);
    for _ in 0..edits {
        beat.tick().await;
        me.update(&typist.types("a")).await.unwrap();
    }
    me.awareness(&[1, 1, 1, 2, b'{', b'}']).await.unwrap();
    // Who slams the door on answers that are under way may not be heard to the end.
    me.saved(edits).await.unwrap();
}

/// 1,000 connections that joined 100 documents and then say nothing.
async fn idle() {
    let office = Office::start().await;
    let before = office.resident_kib();
    let mut peers = Vec::new();
    for n in 0..1_000 {
        match Hocus::join(office.port, &format!("idle-{}", n % 100), &office.token).await {
            Ok((peer, _)) => peers.push(peer),
            Err(error) => {
                println!("  connection {n} failed: {error}");
                break;
            }
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown_kib = office.resident_kib().saturating_sub(before);
    line(
        &format!("memory per idle connection, {} of them", peers.len()),
        &format!("{:.1} KB", grown_kib as f64 / peers.len().max(1) as f64),
        "<= 12 KB",
    );
}

/// A document of 1.3 MB, joined right after a restart.
async fn cold_join() {
    let mut office = Office::start().await;
    let (mut writer, _) = Hocus::join(office.port, "large", &office.token).await.unwrap();
    let mut typist = Typist::new(7);
    let piece = "Le conseil municipal adopte. ".repeat(58);
    for _ in 0..782 {
        writer.update(&typist.types(&piece)).await.unwrap();
    }
    writer.saved(782).await.unwrap();
    writer.close().await;
    office.restart().await;
    let start = Instant::now();
    let (_me, state) = Hocus::join(office.port, "large", &office.token).await.unwrap();
    let took = start.elapsed();
    line(
        &format!("joining {:.1} MB cold, after a restart", state.len() as f64 / 1e6),
        &format!("{:.0} ms", took.as_secs_f64() * 1000.0),
        "<= 100 ms",
    );
}
