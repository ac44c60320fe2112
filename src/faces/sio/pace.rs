//! How fast one client may speak.
//!
//! Owns a token bucket for each session. Who says more than it holds is heard more slowly, and nothing is lost; who
//! does not stop has to go. Does not know what is said.

use std::sync::Mutex;
use std::time::Duration;

use super::Reason;
use crate::clock::Stopwatch;
use crate::config::limits::{SIO_PACKETS_BURST, SIO_PACKETS_PER_SECOND, SIO_PACKETS_REST, SIO_STRAIN_MAX};
use crate::lock::held;

/// A session's bucket.
pub(super) struct Pace {
    since: Stopwatch,
    bucket: Mutex<Bucket>,
}

#[derive(Default)]
struct Bucket {
    /// When it will be full again.
    full_at: Duration,
    /// Since when it is empty.
    empty_since: Option<Duration>,
}

impl Bucket {
    /// One more packet: how long it waits; `None`: that went on for too long.
    fn take(&mut self, now: Duration) -> Option<Duration> {
        let each = Duration::from_secs(1) / SIO_PACKETS_PER_SECOND;
        self.full_at = self.full_at.max(now) + each;
        let (missing, whole) = (self.full_at - now, each * SIO_PACKETS_BURST);
        if missing + SIO_PACKETS_REST < whole {
            self.empty_since = None;
        } else if missing > whole {
            self.empty_since.get_or_insert(now);
        }
        let strained = self.empty_since.is_some_and(|since| now.saturating_sub(since) > SIO_STRAIN_MAX);
        (!strained).then(|| missing.saturating_sub(whole))
    }
}

impl Pace {
    /// A full bucket.
    pub(super) fn new() -> Self {
        Self { since: Stopwatch::start(), bucket: Mutex::default() }
    }

    /// Waits until one more packet may be looked at.
    ///
    /// # Errors
    /// When the client does not stop.
    pub(super) async fn pass(&self) -> Result<(), Reason> {
        let wait = {
            let mut bucket = held(&self.bucket);
            bucket.take(self.since.elapsed()).ok_or(Reason::Flood)?
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many at once as asked for, each after its wait: when the last one was looked at.
    fn burst(bucket: &mut Bucket, mut now: Duration, count: u32) -> Option<Duration> {
        for _ in 0..count {
            now += bucket.take(now)?;
        }
        Some(now)
    }

    #[test]
    fn a_burst_is_heard_at_once_and_more_of_it_more_slowly() {
        let (mut bucket, start) = (Bucket::default(), Duration::from_secs(100));
        assert_eq!(burst(&mut bucket, start, SIO_PACKETS_BURST), Some(start));
        let slowed = burst(&mut bucket, start, SIO_PACKETS_PER_SECOND).unwrap() - start;
        assert_eq!(slowed.as_secs_f64().round(), 1.0, "{slowed:?}");
        let rested = start + Duration::from_secs(1 + u64::from(SIO_PACKETS_BURST / SIO_PACKETS_PER_SECOND));
        assert_eq!(
            burst(&mut bucket, rested, SIO_PACKETS_BURST),
            Some(rested),
            "after a rest it is full again"
        );
    }

    #[test]
    fn who_never_stops_has_to_go_and_who_keeps_the_pace_does_not() {
        let mut bucket = Bucket::default();
        let most = SIO_PACKETS_PER_SECOND * (SIO_STRAIN_MAX.as_secs() as u32 + 2);
        assert_eq!(burst(&mut bucket, Duration::ZERO, SIO_PACKETS_BURST + most), None);
        // Heard a little too late each time, as timers are.
        let (mut bucket, mut now, mut heard) = (Bucket::default(), Duration::ZERO, 0);
        while let Some(wait) = bucket.take(now) {
            now += if wait.is_zero() { wait } else { wait + Duration::from_millis(1) };
            heard += 1;
        }
        assert!(heard < SIO_PACKETS_BURST + most, "{heard}");
        let (mut bucket, mut now) = (Bucket::default(), Duration::ZERO);
        for _ in 0..3 * most {
            now += Duration::from_secs(1) / SIO_PACKETS_PER_SECOND;
            assert_eq!(bucket.take(now), Some(Duration::ZERO));
        }
    }
}
