//! What was said, put together from what everybody heard; and whether that is what each should have heard.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::publish::Published;
use super::rooms;

/// What the office took from Redis this long before something died it has handed out.
const TAKEN: Duration = Duration::from_secs(2);

/// A message as a client heard it.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// Its number in the space.
    pub(super) seq: u64,
    pub(super) room: Arc<str>,
    pub(super) id: Arc<str>,
}

/// Everything one client heard.
pub(super) struct Life {
    pub(super) client: usize,
    /// One more each time it was told that its session is gone.
    pub(super) parts: Vec<Vec<Heard>>,
    /// How often its session was taken up.
    pub(super) recovered: usize,
}

impl Life {
    pub(super) fn new(client: usize) -> Self {
        Self { client, parts: vec![Vec::new()], recovered: 0 }
    }

    pub(super) fn heard(&self) -> impl Iterator<Item = &Heard> {
        self.parts.iter().flatten()
    }
}

/// The number in an offset: what stands before the dash, in base 36.
pub(super) fn number_of(offset: &str) -> u64 {
    let (number, _) = offset.split_once('-').expect("an offset");
    u64::from_str_radix(number, 36).expect("an offset")
}

/// Every message that anybody heard, by its number.
pub(super) struct Ledger {
    all: BTreeMap<u64, Heard>,
    rooms: HashMap<Arc<str>, Vec<u64>>,
}

impl Ledger {
    pub(super) fn of(lives: &[Life]) -> Self {
        let mut all: BTreeMap<u64, Heard> = BTreeMap::new();
        for heard in lives.iter().flat_map(Life::heard) {
            let known = all.entry(heard.seq).or_insert_with(|| heard.clone());
            assert!(known.id == heard.id && known.room == heard.room, "{known:?} and {heard:?}");
        }
        let mut rooms: HashMap<Arc<str>, Vec<u64>> = HashMap::new();
        for heard in all.values() {
            rooms.entry(heard.room.clone()).or_default().push(heard.seq);
        }
        Self { all, rooms }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a client heard each message of its rooms once and in order: all of them in a life that was never
    /// interrupted, an unbroken row of them in each part of another.
    pub(super) fn check(&self, life: &Life) {
        let rooms = rooms(life.client);
        let mut mine: Vec<u64> =
            rooms.iter().filter_map(|room| self.rooms.get(room.as_str())).flatten().copied().collect();
        mine.sort_unstable();
        let last = life.parts.len() - 1;
        for (number, part) in life.parts.iter().enumerate() {
            let heard: Vec<u64> = part.iter().map(|heard| heard.seq).collect();
            let from = match number {
                0 => 0,
                _ => heard.first().map_or(mine.len(), |first| mine.partition_point(|seq| seq < first)),
            };
            let upto = match heard.last() {
                Some(end) if number < last => mine.partition_point(|seq| seq <= end),
                None if number < last => from,
                _ => mine.len(),
            };
            let expected = &mine[from..upto];
            if heard != expected {
                let at = heard.iter().zip(expected).position(|(heard, wanted)| heard != wanted);
                let at = at.unwrap_or(heard.len().min(expected.len()));
                panic!(
                    "client {} part {number}: heard {} of {}, at {at}: {:?} instead of {:?} ({:?})",
                    life.client,
                    heard.len(),
                    expected.len(),
                    &heard[at..heard.len().min(at + 5)],
                    &expected[at..expected.len().min(at + 5)],
                    expected.get(at).and_then(|seq| self.all.get(seq)),
                );
            }
        }
    }

    /// Whether every publication arrived that had to, none twice, and each back end's in its order.
    pub(super) fn check_publications(&self, published: &Published, shocks: &[Instant]) {
        let mut seqs: HashMap<&str, u64> = HashMap::new();
        for heard in self.all.values() {
            let before = seqs.insert(&heard.id, heard.seq);
            assert_eq!(before, None, "{} was said twice, again as {}", heard.id, heard.seq);
        }
        let missing: Vec<_> =
            published.answered.iter().filter(|id| !seqs.contains_key(id.as_str())).collect();
        assert!(missing.is_empty(), "answered by POST and never heard: {missing:?}");
        let in_peace = |at: Instant| shocks.iter().all(|shock| *shock < at || *shock > at + TAKEN);
        let lost: Vec<_> = published
            .through_redis
            .iter()
            .filter(|(id, at)| in_peace(*at) && !seqs.contains_key(id.as_str()))
            .collect();
        assert!(lost.is_empty(), "told by Redis and never heard: {lost:?}");
        for order in &published.orders {
            let said: Vec<u64> = order.iter().filter_map(|id| seqs.get(id.as_str()).copied()).collect();
            assert!(said.is_sorted(), "the messages of one back end changed their order");
        }
    }
}
