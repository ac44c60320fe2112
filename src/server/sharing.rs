//! What is left of sharing when nobody ended it: a program that was killed, or whose computer failed, comes back as it
//! was, and colleagues go on writing without the clerk.
//!
//! Owns the setting's row: there while sharing is on, gone when somebody ended it or stopped the program. Does not know
//! listeners.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::limits::{SHARING_END_WAIT, SHARING_NOTED_EVERY, SHARING_RESUMED_WITHIN};
use crate::store::{Store, Table, Write};

/// The row of [`Table::Settings`].
const KEY: &[u8] = b"sharing";

/// Keeps in mind that the office is shared.
pub(super) struct Sharing {
    store: Store,
    clock: Clock,
    /// What the disk may have.
    noted: Option<Noted>,
}

/// When the office was shared last, and under which main address.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noted {
    at_ms: u64,
    address: IpAddr,
}

impl Sharing {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        let row = store.get(Table::Settings, KEY).unwrap_or_else(|error| {
            tracing::warn!(%error, "whether the office was shared is not known");
            None
        });
        let noted = row.and_then(|row| serde_json::from_slice(&row).ok());
        Self { store, clock, noted }
    }

    /// Whether it was on not long ago, and nobody ended it.
    pub(super) fn was_interrupted(&self) -> bool {
        self.noted.as_ref().is_some_and(|noted| self.is_within(noted, SHARING_RESUMED_WITHIN))
    }

    /// Whether it was under this main address: under another one nobody asked for it.
    pub(super) fn was_under(&self, main: Option<IpAddr>) -> bool {
        self.noted.as_ref().is_some_and(|noted| Some(noted.address) == main)
    }

    /// It is on, under this main address. The disk is not waited for: what it does not take is not resumed.
    pub(super) fn goes_on(&mut self, main: Option<IpAddr>) {
        let Some(address) = main else { return };
        let is_noted = |noted: &Noted| noted.address == address && self.is_within(noted, SHARING_NOTED_EVERY);
        if self.noted.as_ref().is_some_and(is_noted) {
            return;
        }
        let noted = Noted { at_ms: self.clock.now_ms(), address };
        let put = Write::put_json(Table::Settings, KEY.into(), &noted);
        if let Err(error) = put.and_then(|put| self.store.commit(vec![put])) {
            tracing::warn!(%error, "that the office is shared was not noted");
        }
        self.noted = Some(noted);
    }

    /// Whether the disk may say that it is on.
    pub(super) fn is_noted(&self) -> bool {
        self.noted.is_some()
    }

    /// Somebody ended it. Waits a bounded time for the disk; until that has it, [`Sharing::is_noted`] stays so.
    pub(super) async fn ended(&mut self) {
        if self.noted.is_none() {
            return;
        }
        let forgotten = async { self.store.commit(vec![forget()]).ok()?.await.ok()?.ok() };
        if matches!(timeout(SHARING_END_WAIT, forgotten).await, Ok(Some(_))) {
            self.noted = None;
        } else {
            tracing::warn!("that sharing ended is not on disk yet; it is tried again");
        }
    }

    /// A note from the future is of a clock that was wrong, then or now.
    fn is_within(&self, noted: &Noted, span: Duration) -> bool {
        let age_ms = self.clock.now_ms().checked_sub(noted.at_ms);
        age_ms.is_some_and(|age_ms| Duration::from_millis(age_ms) <= span)
    }
}

/// Takes the note away, without waiting: for who stops the whole program.
pub(super) fn forget_in(store: &Store) {
    if let Err(error) = store.commit(vec![forget()]) {
        tracing::warn!(%error, "that sharing ended is not on disk: the next start may find it on");
    }
}

fn forget() -> Write {
    Write::Delete { table: Table::Settings, key: KEY.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[tokio::test(flavor = "multi_thread")]
    async fn sharing_goes_on_where_it_was_interrupted_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_000_000);
        let store = Store::open(folder.path(), &clock, &Metrics::new()).unwrap();
        let [office, other]: [Option<IpAddr>; 2] = ["192.168.1.20", "10.0.0.7"].map(|ip| ip.parse().ok());
        let again = |clock: &Clock| {
            // Behind what was handed over before.
            let behind = store.commit(Vec::new()).unwrap();
            tokio::task::block_in_place(|| behind.blocking_recv()).unwrap().unwrap();
            Sharing::new(store.clone(), clock.clone())
        };
        assert!(!again(&clock).was_interrupted(), "nobody shared yet");

        let mut sharing = again(&clock);
        sharing.goes_on(None);
        assert!(!again(&clock).was_interrupted(), "without a network there is nothing to go on");
        sharing.goes_on(office);
        let found = again(&clock);
        assert!(found.was_interrupted() && found.was_under(office));
        assert!(!found.was_under(other) && !found.was_under(None), "in another network");
        assert!(!again(&Clock::manual(1)).was_interrupted(), "the clock went back");

        clock.advance(SHARING_RESUMED_WITHIN + Duration::from_millis(1));
        assert!(!again(&clock).was_interrupted(), "too long ago");
        sharing.goes_on(office);
        assert!(again(&clock).was_interrupted(), "noted again in time");

        again(&clock).ended().await;
        assert!(!again(&clock).was_interrupted(), "what another start left can be ended");
        sharing.goes_on(other);
        store.commit(vec![forget()]).unwrap();
        assert!(!again(&clock).is_noted(), "the whole program was stopped");
    }

    #[tokio::test]
    async fn an_end_that_the_disk_does_not_have_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_000_000);
        let store = Store::open(folder.path(), &clock, &Metrics::new()).unwrap();
        let mut sharing = Sharing::new(store.clone(), clock);
        sharing.goes_on("192.168.1.20".parse().ok());
        store.close();
        sharing.ended().await;
        assert!(sharing.is_noted());
    }
}
