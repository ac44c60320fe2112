//! A slow reader costs its own memory's bound and nothing else; it misses nothing in the end.

use std::time::Duration;

use futures_util::future::join_all;
use townhall::clock::Stopwatch;
use townhall::config::limits::OUTBOX_MAX_BYTES;

use crate::harness::member::{House, Member};
use crate::harness::typist::Typist;

const EDITS: u64 = 600;
/// Three seconds of such edits are more than an outbox holds.
const WORDS: usize = 4_000;

/// Writes at 200 edits a second; gives the slowest acknowledgements (the 99th of 100).
async fn write(writer: &mut Member, typist: &mut Typist) -> Duration {
    let words = "w".repeat(WORDS);
    let mut times = Vec::new();
    for _ in 0..EDITS {
        let watch = Stopwatch::start();
        writer.save(typist.types(&words)).await;
        times.push(watch.elapsed());
        tokio::time::sleep(Duration::from_millis(5).saturating_sub(watch.elapsed())).await;
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_of_fifty_stop_reading() {
    let house = House::new();
    let mut writer = house.join("d", "writer").await;
    let mut typist = Typist::new(1);
    let alone = write(&mut writer, &mut typist).await;

    let mut readers: Vec<Member> =
        join_all((0..40).map(|n| house.join("d", Box::leak(format!("r{n}").into_boxed_str())))).await;
    let stopped =
        join_all((0..10).map(|n| house.join("d", Box::leak(format!("s{n}").into_boxed_str())))).await;
    let end = 2 * EDITS * WORDS as u64;
    let reading = tokio::spawn(async move {
        join_all(readers.iter_mut().map(|reader| reader.until(|me| me.parts.len() as u64 > EDITS))).await;
        readers
    });
    let together = write(&mut writer, &mut typist).await;
    for reader in &stopped {
        assert!(reader.outbox.waiting_bytes() <= OUTBOX_MAX_BYTES);
        assert!(reader.outbox.lagging_for().is_some());
    }
    let readers = reading.await.unwrap();
    assert!(readers.iter().all(|reader| reader.lagged == 0 && reader.has(1, end)));
    println!("99th acknowledgement: {alone:?} alone, {together:?} with 50 readers of whom 10 stopped");
    assert!(together < alone * 3 + Duration::from_millis(20), "{alone:?} became {together:?}");

    for mut reader in stopped {
        reader.until(|me| me.lagged > 0 && me.have.len() > 1).await;
        reader.until(|me| me.has(1, end)).await;
        assert_eq!(reader.outbox.lagging_for(), None);
    }
    assert_eq!(house.metrics.resyncs.get(), 10);
}
