//! How much of one thing a person may say, and how often the same is told.
//!
//! Owns the counters of a minute and the votes that wait for each other (both: the published design).
//! Does not know the clock: every call brings its time.

use std::collections::HashMap;
use std::hash::Hash;

use crate::config::limits::{FORUM_COUNTERS_MAX, FORUM_VOTES_MAX, FORUM_VOTES_WINDOW, FORUM_WINDOW};

/// Counts what people do, in windows of a minute each: per person and type.
#[derive(Debug, Default)]
pub(super) struct Counters(HashMap<(String, &'static str), Window>);

#[derive(Debug)]
struct Window {
    since_ms: u64,
    count: u32,
    /// With what other offices counted, when that is known.
    everywhere: u32,
}

impl Counters {
    /// One more; false: it is one too many.
    pub(super) fn one_more(&mut self, person: &str, kind: &'static str, most: u32, now_ms: u64) -> bool {
        let window = self.window(person, kind, now_ms);
        window.count = window.count.saturating_add(1);
        window.count.max(window.everywhere) <= most
    }

    /// Whether the next one is one too many by what was counted here alone.
    pub(super) fn is_full(&self, person: &str, kind: &'static str, most: u32, now_ms: u64) -> bool {
        let window = self.0.get(&(person.to_owned(), kind));
        window.is_some_and(|window| !window.is_over(now_ms) && window.count >= most)
    }

    /// So many there were at every office together, the one that is about to be counted here included.
    pub(super) fn everywhere(&mut self, person: &str, kind: &'static str, count: u32, now_ms: u64) {
        self.window(person, kind, now_ms).everywhere = count;
    }

    fn window(&mut self, person: &str, kind: &'static str, now_ms: u64) -> &mut Window {
        if self.0.len() >= FORUM_COUNTERS_MAX {
            self.0.retain(|_, window| !window.is_over(now_ms));
            if self.0.len() >= FORUM_COUNTERS_MAX {
                let oldest = self.0.iter().min_by_key(|(_, window)| window.since_ms);
                if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                    self.0.remove(&oldest);
                }
            }
        }
        let fresh = || Window { since_ms: now_ms, count: 0, everywhere: 0 };
        let window = self.0.entry((person.to_owned(), kind)).or_insert_with(fresh);
        if window.is_over(now_ms) {
            *window = fresh();
        }
        window
    }
}

impl Window {
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= FORUM_WINDOW.as_millis() as u64
    }
}

/// The first about a thing is told at once. Those that follow within the window wait for its end and are told in the
/// order in which they came, of each speaker only the newest: so what is told last is how it is.
#[derive(Debug)]
pub(super) struct Batches<K, S, V> {
    about: HashMap<K, Batch<S, V>>,
    /// How many wait, about whatever.
    waiting: usize,
}

#[derive(Debug)]
struct Batch<S, V> {
    until_ms: u64,
    waiting: Vec<(S, V)>,
}

impl<K, S, V> Default for Batches<K, S, V> {
    fn default() -> Self {
        Self { about: HashMap::new(), waiting: 0 }
    }
}

impl<K: Hash + Eq + Clone, S: PartialEq, V> Batches<K, S, V> {
    /// Takes one; gives what is to be told now, in order. Too many that wait are told early, not out of order.
    pub(super) fn take(&mut self, about: &K, speaker: S, value: V, now_ms: u64) -> Vec<V> {
        let Some(batch) = self.about.get_mut(about) else {
            if self.about.len() < FORUM_VOTES_MAX {
                self.about.insert(about.clone(), Batch { until_ms: later(now_ms), waiting: Vec::new() });
            }
            return vec![value];
        };
        let before = batch.waiting.len();
        batch.waiting.retain(|(of, _)| *of != speaker);
        batch.waiting.push((speaker, value));
        self.waiting += batch.waiting.len() - before;
        if self.waiting <= FORUM_VOTES_MAX {
            return Vec::new();
        }
        self.waiting -= batch.waiting.len();
        batch.waiting.drain(..).map(|(_, value)| value).collect()
    }

    /// What waited long enough.
    pub(super) fn due(&mut self, now_ms: u64) -> Vec<V> {
        let mut due = Vec::new();
        self.about.retain(|_, batch| {
            if batch.until_ms > now_ms {
                return true;
            }
            batch.until_ms = later(now_ms);
            let waited = !batch.waiting.is_empty();
            due.extend(std::mem::take(&mut batch.waiting).into_iter().map(|(_, value)| value));
            waited
        });
        self.waiting -= due.len();
        due
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.about.is_empty()
    }
}

fn later(now_ms: u64) -> u64 {
    now_ms.saturating_add(FORUM_VOTES_WINDOW.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_minute_for_each_person_and_type() {
        let mut counters = Counters::default();
        for n in 1..=10 {
            assert!(counters.one_more("ann", "join", 10, 1_000 + n));
        }
        assert!(counters.is_full("ann", "join", 10, 2_000) && !counters.is_full("ann", "typing", 10, 2_000));
        assert!(!counters.one_more("ann", "join", 10, 2_000), "the eleventh");
        assert!(counters.one_more("ann", "typing", 10, 2_000), "another type");
        assert!(counters.one_more("bob", "join", 10, 2_000), "another person");
        assert!(!counters.one_more("ann", "join", 10, 60_999), "the window is not over");
        assert!(!counters.is_full("ann", "join", 10, 61_001));
        assert!(counters.one_more("ann", "join", 10, 61_001), "a new minute");
    }

    #[test]
    fn what_other_offices_counted_counts_too() {
        let mut counters = Counters::default();
        counters.everywhere("ann", "join", 10, 0);
        assert!(counters.one_more("ann", "join", 10, 0));
        counters.everywhere("ann", "join", 11, 1);
        assert!(!counters.one_more("ann", "join", 10, 1));
        counters.everywhere("ann", "join", 1, 70_000);
        assert!(counters.one_more("ann", "join", 10, 70_000), "a new minute");
    }

    #[test]
    fn many_people_cost_bounded_memory() {
        let mut counters = Counters::default();
        for n in 0..FORUM_COUNTERS_MAX + 50 {
            counters.one_more(&format!("p{n}"), "join", 10, n as u64 / 1_000);
        }
        assert!(counters.0.len() <= FORUM_COUNTERS_MAX);
    }

    #[test]
    fn what_was_said_last_is_told_last_and_of_each_speaker_only_the_newest() {
        let mut votes = Batches::default();
        assert_eq!(votes.take(&"post 9", "x", 1, 0), [1], "the first is told at once");
        assert!(votes.take(&"post 9", "x", 2, 10).is_empty());
        assert!(votes.take(&"post 9", "y", 3, 20).is_empty(), "nobody overtakes those who wait");
        assert!(votes.take(&"post 9", "x", 4, 30).is_empty());
        assert_eq!(votes.take(&"post 8", "x", 1, 30), [1], "another post does not wait");
        assert!(votes.due(249).is_empty());
        assert_eq!(votes.due(250), [3, 4]);
        assert!(votes.take(&"post 9", "x", 5, 260).is_empty(), "the window goes on");
        assert_eq!(votes.due(500), [5]);
        assert!(votes.due(750).is_empty());
        assert!(votes.due(1_000).is_empty() && votes.is_empty(), "quiet again, nothing is kept");
        assert_eq!(votes.take(&"post 9", "x", 6, 1_001), [6]);
    }

    #[test]
    fn too_many_that_wait_are_told_early_and_in_order() {
        let mut votes = Batches::default();
        let all: Vec<usize> = (0..=FORUM_VOTES_MAX + 1).collect();
        let told: Vec<usize> = all.iter().flat_map(|&n| votes.take(&"post", n, n, 0)).collect();
        assert_eq!((told, votes.waiting), (all, 0));
    }
}
