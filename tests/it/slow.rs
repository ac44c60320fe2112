//! A slow reader costs its own memory's bound and nothing else; it misses nothing in the end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use townhall::auth::Role;
use townhall::clock::Stopwatch;
use townhall::config::limits::OUTBOX_MAX_BYTES;
use townhall::rooms::merge;

use crate::harness::member::{House, Member};
use crate::harness::typist::Typist;

const EDITS: u64 = 600;
/// Three seconds of such edits are more than an outbox holds.
const WORDS: usize = 4_000;

/// Writes at 200 edits a second; gives the middle time of an acknowledgement. The slowest ones are the disk's.
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
    times[times.len() / 2]
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
        // Edits that come together are one part, but no letter is shorter for it.
        let heard = |me: &Member| me.parts.iter().map(|part| part.len() as u64).sum::<u64>() >= end;
        join_all(readers.iter_mut().map(|reader| reader.until(heard))).await;
        readers
    });
    let together = write(&mut writer, &mut typist).await;
    for reader in &stopped {
        assert!(reader.outbox.waiting_bytes() <= OUTBOX_MAX_BYTES);
        assert!(reader.outbox.lagging_for().is_some());
    }
    let readers = reading.await.unwrap();
    assert!(readers.iter().all(|reader| reader.lagged == 0 && reader.has(1, end)));
    println!("middle acknowledgement: {alone:?} alone, {together:?} with 50 readers of whom 10 stopped");
    assert!(together < alone * 3 + Duration::from_millis(20), "{alone:?} became {together:?}");

    for mut reader in stopped {
        reader.until(|me| me.lagged > 0 && me.have.len() > 1).await;
        reader.until(|me| me.has(1, end)).await;
        assert_eq!(reader.outbox.lagging_for(), None);
    }
    assert_eq!(house.metrics.resyncs.get(), 10);
}

/// Someone with a flaky network: reads or does not, leaves and comes back with what they had, as a Yjs client does.
struct Flaky {
    member: Option<Member>,
    name: String,
    typist: Typist,
    /// Everything heard and typed.
    parts: Vec<Bytes>,
}

impl Flaky {
    async fn come(&mut self, house: &House) {
        let mut member = house.enter("d", &self.name, Role::Editor).await;
        std::mem::take(&mut self.parts).into_iter().for_each(|part| member.take_in(part));
        member.peer.sync(member.known().state_vector()).await.unwrap();
        member.until(|me| !me.have.is_empty()).await;
        // the room's question: what it lacks of what was typed, which may never have arrived
        let mine = merge::diff(&merge::merge(&member.parts).unwrap(), &member.have).unwrap();
        member.peer.answer(mine).await.unwrap();
        self.member = Some(member);
    }

    fn leave(&mut self) {
        if let Some(mut member) = self.member.take() {
            self.parts = std::mem::take(&mut member.parts);
        }
    }

    async fn step(&mut self, house: &House, dice: u64) {
        match (dice % 40, &mut self.member) {
            (_, None) => self.come(house).await,
            (0, Some(_)) => self.leave(),
            (1, Some(member)) => member.listen(Duration::from_millis(1)).await,
            (2, Some(member)) => member.until(|me| me.lagged > 0 || me.outbox.waiting_bytes() == 0).await,
            (_, Some(member)) => {
                let update = self.typist.types(&"w".repeat(1 + dice as usize % 40_000));
                member.take_in(update.clone());
                member.edit(update).await;
            }
        }
    }
}

#[tokio::test]
async fn whoever_lags_leaves_and_returns_ends_with_everything() {
    for seed in 1..=2u64 {
        let house = House::new();
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut people: Vec<Flaky> = (1..=5)
            .map(|n| Flaky { member: None, name: format!("p{n}"), typist: Typist::new(n), parts: Vec::new() })
            .collect();
        for _ in 0..600 {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let who = (dice >> 40) as usize % people.len();
            people[who].step(&house, dice >> 8).await;
        }
        let clocks: Vec<(u64, u64)> = people.iter().map(|p| (p.typist.client, p.typist.clock)).collect();
        for person in &mut people {
            if person.member.is_none() {
                person.come(&house).await;
            }
        }
        for person in &mut people {
            let member = person.member.as_mut().unwrap();
            member
                .until(|me| me.outbox.waiting_bytes() == 0 && clocks.iter().all(|(c, n)| me.has(*c, *n)))
                .await;
            assert!(member.refused.is_empty());
        }
        println!("seed {seed}: {} resyncs, {clocks:?}", house.metrics.resyncs.get());
        let house = house.restart().await;
        let late = house.join("d", "late").await;
        assert!(clocks.iter().all(|(client, clock)| late.has(*client, *clock)));
    }
}
