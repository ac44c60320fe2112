//! What reads the log behind everybody: started with the office, started again when it fails, ended with it.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::clock::Clock;
use crate::config::limits::FOLLOWER_RETRY;
use crate::follow::{drafting, relay};
use crate::records::Records;
use crate::store::Store;
use crate::telemetry::Metrics;

pub(super) struct Followers {
    pub(super) store: Store,
    pub(super) bus: Bus,
    pub(super) records: Records,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

impl Followers {
    /// Runs until `stop`. A fault in a follower is its own: nobody's edit waits for it.
    pub(super) async fn run(self, stop: CancellationToken) {
        let drafting = || {
            let (store, records) = (self.store.clone(), self.records.clone());
            let (clock, metrics) = (self.clock.clone(), self.metrics.clone());
            tokio::spawn(drafting::run(store, records, clock, metrics, stop.clone()))
        };
        let relay = || tokio::spawn(relay::run(self.bus.clone(), stop.clone()));
        let connection = || {
            let (bus, stop) = (self.bus.clone(), stop.clone());
            tokio::spawn(async move { bus.keep_connected(stop).await })
        };
        tokio::join!(
            again("drafting", drafting, &stop),
            again("relay", relay, &stop),
            again("central", connection, &stop)
        );
    }
}

/// Starts a follower, and again whenever it failed, until `stop`.
async fn again(name: &'static str, start: impl Fn() -> JoinHandle<()>, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = start().await {
            tracing::error!(%error, name, "a follower failed and starts again");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(FOLLOWER_RETRY) => {}
        }
    }
}
