//! What reads the log behind everybody: started with the office, started again when it fails, ended with it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::follow::drafting;
use crate::records::Records;
use crate::store::Store;
use crate::telemetry::Metrics;

/// A follower that failed starts again after this long, from its cursor.
const START_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Followers {
    pub(super) store: Store,
    pub(super) records: Records,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

impl Followers {
    /// Runs until `stop`. A fault in a follower is its own: nobody's edit waits for it.
    pub(super) async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let (store, records) = (self.store.clone(), self.records.clone());
            let (clock, metrics) = (self.clock.clone(), self.metrics.clone());
            let drafting = tokio::spawn(drafting::run(store, records, clock, metrics, stop.clone()));
            if let Err(error) = drafting.await {
                tracing::error!(%error, "drafting failed and starts again");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(START_AGAIN) => {}
            }
        }
    }
}
