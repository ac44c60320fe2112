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
use crate::config::limits::{LAN_SHARE_WAIT, SHARING_NOTED_EVERY, SHARING_RESUMED_WITHIN};
use crate::store::{CommitError, Store, Table, Write};

/// The row of [`Table::Settings`].
const KEY: &[u8] = b"sharing";

/// Keeps in mind that the office is shared.
pub(super) struct Sharing {
    store: Store,
    clock: Clock,
    /// What the disk has; nothing when that was not read yet or is nothing.
    kept: Option<Noted>,
}

/// When and where the office was shared last.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noted {
    at_ms: u64,
    addresses: Vec<IpAddr>,
}

impl Sharing {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        let row = store.get(Table::Settings, KEY).unwrap_or_else(|error| {
            tracing::warn!(%error, "whether the office was shared is not known");
            None
        });
        let kept = row.and_then(|row| serde_json::from_slice(&row).ok());
        Self { store, clock, kept }
    }

    /// Whether it was on not long ago, nobody ended it, and this computer has one of the addresses it had then: in
    /// another network nobody asked for it.
    pub(super) fn was_interrupted(&self, here: &[IpAddr]) -> bool {
        self.kept.as_ref().is_some_and(|noted| {
            self.since(noted) <= SHARING_RESUMED_WITHIN
                && noted.addresses.iter().any(|address| here.contains(address))
        })
    }

    /// It is on, under these addresses.
    pub(super) async fn goes_on(&mut self, addresses: Vec<IpAddr>) {
        let is_noted = self
            .kept
            .as_ref()
            .is_some_and(|noted| noted.addresses == addresses && self.since(noted) < SHARING_NOTED_EVERY);
        if is_noted || addresses.is_empty() {
            return;
        }
        let noted = Noted { at_ms: self.clock.now_ms(), addresses };
        self.keep(Write::put_json(Table::Settings, KEY.into(), &noted)).await;
        // Also when the disk does not take it: it is noted again in time, and not with every look.
        self.kept = Some(noted);
    }

    /// Somebody ended it.
    pub(super) async fn ended(&mut self) {
        if self.kept.take().is_some() {
            self.keep(Ok(Write::Delete { table: Table::Settings, key: KEY.into() })).await;
        }
    }

    fn since(&self, noted: &Noted) -> Duration {
        Duration::from_millis(self.clock.now_ms().saturating_sub(noted.at_ms))
    }

    /// Sharing itself does not wait for a disk that hangs.
    async fn keep(&self, write: Result<Write, CommitError>) {
        let error = match write.and_then(|write| self.store.commit(vec![write])) {
            Ok(receipt) => match timeout(LAN_SHARE_WAIT, receipt).await {
                Ok(Ok(Ok(_))) => return,
                Ok(Ok(Err(error))) => error.to_string(),
                Ok(Err(_)) => "the store is closed".to_owned(),
                Err(_) => "the disk takes too long".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        tracing::warn!(error, "whether the office is shared was not saved");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn sharing_goes_on_where_it_was_interrupted_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_000);
        let store = Store::open(folder.path(), &clock, &Metrics::new()).unwrap();
        let [office, other]: [IpAddr; 2] = ["192.168.1.20", "10.0.0.7"].map(|ip| ip.parse().unwrap());
        let again = || Sharing::new(store.clone(), clock.clone());
        assert!(!again().was_interrupted(&[office]), "nobody shared yet");

        let mut sharing = again();
        sharing.goes_on(vec![office]).await;
        assert!(again().was_interrupted(&[other, office]));
        assert!(!again().was_interrupted(&[other]), "in another network");
        assert!(!again().was_interrupted(&[]));

        clock.advance(SHARING_RESUMED_WITHIN + Duration::from_millis(1));
        assert!(!again().was_interrupted(&[office]), "too long ago");
        sharing.goes_on(vec![office]).await;
        assert!(again().was_interrupted(&[office]), "noted again in time");

        sharing.ended().await;
        assert!(!again().was_interrupted(&[office]));
        let mut stale = again();
        stale.goes_on(vec![office]).await;
        again().ended().await;
        assert!(!again().was_interrupted(&[office]), "what another start left is ended as well");
    }
}
