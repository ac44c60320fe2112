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

    /// So many there were at every office together, the one that is about to be counted here included.
    pub(super) fn everywhere(&mut self, person: &str, kind: &'static str, count: u32, now_ms: u64) {
        self.window(person, kind, now_ms).everywhere = count;
    }

    fn window(&mut self, person: &str, kind: &'static str, now_ms: u64) -> &mut Window {
        let over =
            |window: &Window| now_ms.saturating_sub(window.since_ms) >= FORUM_WINDOW.as_millis() as u64;
        if self.0.len() >= FORUM_COUNTERS_MAX {
            self.0.retain(|_, window| !over(window));
            if self.0.len() >= FORUM_COUNTERS_MAX {
                let oldest = self.0.iter().min_by_key(|(_, window)| window.since_ms);
                if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                    self.0.remove(&oldest);
                }
            }
        }
        let fresh = || Window { since_ms: now_ms, count: 0, everywhere: 0 };
        let window = self.0.entry((person.to_owned(), kind)).or_insert_with(fresh);
        if over(window) {
            *window = fresh();
        }
        window
    }
}

/// The first of its kind is told at once; those that follow within the window wait, and the newest is told for all.
#[derive(Debug)]
pub(super) struct Batches<K, V>(HashMap<K, Batch<V>>);

#[derive(Debug)]
struct Batch<V> {
    until_ms: u64,
    newest: Option<V>,
}

impl<K, V> Default for Batches<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone, V> Batches<K, V> {
    /// Takes one; gives it back when it is to be told now.
    pub(super) fn take(&mut self, key: &K, value: V, now_ms: u64) -> Option<V> {
        if let Some(batch) = self.0.get_mut(key) {
            batch.newest = Some(value);
            return None;
        }
        if self.0.len() < FORUM_VOTES_MAX {
            self.0.insert(key.clone(), Batch { until_ms: later(now_ms), newest: None });
        }
        Some(value)
    }

    /// What waited long enough.
    pub(super) fn due(&mut self, now_ms: u64) -> Vec<V> {
        let mut due = Vec::new();
        self.0.retain(|_, batch| {
            if batch.until_ms > now_ms {
                return true;
            }
            batch.until_ms = later(now_ms);
            let newest = batch.newest.take();
            let waited = newest.is_some();
            due.extend(newest);
            waited
        });
        due
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn later(now_ms: u64) -> u64 {
    now_ms + FORUM_VOTES_WINDOW.as_millis() as u64
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
        assert!(!counters.one_more("ann", "join", 10, 2_000), "the eleventh");
        assert!(counters.one_more("ann", "typing", 10, 2_000), "another type");
        assert!(counters.one_more("bob", "join", 10, 2_000), "another person");
        assert!(!counters.one_more("ann", "join", 10, 60_999), "the window is not over");
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
    fn the_newest_vote_is_told_for_all_and_the_last_is_never_lost() {
        let mut votes = Batches::default();
        assert_eq!(votes.take(&"post 9", 1, 0), Some(1), "the first is told at once");
        assert_eq!(votes.take(&"post 9", 2, 10), None);
        assert_eq!(votes.take(&"post 9", 3, 20), None);
        assert_eq!(votes.take(&"post 8", 1, 20), Some(1), "another post does not wait");
        assert!(votes.due(249).is_empty());
        assert_eq!(votes.due(250), [3]);
        assert_eq!(votes.take(&"post 9", 4, 260), None, "the window goes on");
        assert_eq!(votes.due(500), [4]);
        assert!(votes.due(750).is_empty());
        assert!(votes.due(1_000).is_empty() && votes.is_empty(), "quiet again, nothing is kept");
        assert_eq!(votes.take(&"post 9", 5, 1_001), Some(5));
    }
}
