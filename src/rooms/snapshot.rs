//! When a room's state is written whole, so that its log stays short to read.
//!
//! Owns the rhythm of snapshots and their way to disk. A snapshot that fails costs nothing but time: the log has
//! everything. Does not make states; `work` does.

use std::time::Duration;

use super::alarm::Alarm;
use super::saving::receipt;
use crate::config::Realtime;
use crate::config::limits::{SNAPSHOT_PUT_OFF_MAX, SNAPSHOT_RETRY, SNAPSHOT_SPACING};
use crate::id::DocName;
use crate::store::{CommitError, Committed, Receipt};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Reason;

/// The snapshots of one room.
pub(super) struct Snapshots {
    doc: DocName,
    metrics: Metrics,
    /// Due this long after the first change.
    interval: Duration,
    /// Due after this many updates.
    updates: usize,
    /// Whether the room holds all that is on disk; otherwise nothing may take its place.
    complete: bool,
    /// Rows on disk that no snapshot holds.
    since: usize,
    wanted: bool,
    /// How often one that is due let others go first.
    put_off: u32,
    /// The rows that the snapshot being made will hold.
    making: Option<usize>,
    flight: Option<Receipt>,
    due: Alarm,
    rest: Alarm,
}

impl Snapshots {
    pub(super) fn new(
        doc: DocName,
        metrics: Metrics,
        realtime: &Realtime,
        rows: usize,
        complete: bool,
    ) -> Self {
        Self {
            doc,
            metrics,
            interval: realtime.snapshot_interval,
            updates: realtime.snapshot_updates,
            complete,
            since: rows,
            wanted: false,
            put_off: 0,
            making: None,
            flight: None,
            due: Alarm::default(),
            rest: Alarm::default(),
        }
    }

    /// More rows are on disk.
    pub(super) fn count(&mut self, rows: usize) {
        if rows > 0 {
            self.since += rows;
            self.due.set_once(self.interval);
        }
    }

    /// The next occasion is good, however little there is.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether one should be made now.
    pub(super) fn is_due(&self) -> bool {
        self.could() && !self.rest.is_set() && (self.wanted || self.since >= self.updates)
    }

    /// Lets others go first, if it may: whoever asks without end does not keep the log from becoming short.
    pub(super) fn put_off(&mut self) -> bool {
        self.put_off += 1;
        self.put_off <= SNAPSHOT_PUT_OFF_MAX
    }

    /// Whether one could be made, for the last time.
    pub(super) fn could(&self) -> bool {
        self.complete && self.since > 0 && !self.is_busy()
    }

    /// Whether one is being made or written.
    pub(super) fn is_busy(&self) -> bool {
        self.making.is_some()
    }

    /// One is being made, of everything on disk now.
    pub(super) fn begin(&mut self) {
        (self.making, self.put_off) = (Some(self.since), 0);
    }

    /// What was made is on its way to disk, or is not.
    pub(super) fn sent(&mut self, made: Result<Receipt, String>) {
        match made {
            Ok(receipt) => self.flight = Some(receipt),
            Err(why) => self.fail(&why),
        }
    }

    /// Waits for news: the snapshot's commit, or `None` when it is time to look whether one is due. May be given up
    /// and waited for again.
    pub(super) async fn next(&mut self) -> Option<Result<Committed, CommitError>> {
        tokio::select! {
            landed = receipt(self.flight.as_mut()) => Some(landed),
            () = self.due.ring() => {
                self.wanted = true;
                None
            }
            () = self.rest.ring() => None,
        }
    }

    /// Settles what [`Snapshots::next`] gave.
    pub(super) fn settle(&mut self, landed: Result<Committed, CommitError>) {
        self.flight = None;
        if let Err(error) = landed {
            return self.fail(&error.to_string());
        }
        self.since -= self.making.take().unwrap_or_default().min(self.since);
        self.wanted = false;
        self.rest.set(SNAPSHOT_SPACING);
        self.due.clear();
        if self.since > 0 {
            self.due.set(self.interval);
        }
    }

    fn fail(&mut self, why: &str) {
        tracing::warn!(doc = %self.doc, why, "a snapshot was not written; the log has everything");
        self.making = None;
        self.rest.set(SNAPSHOT_RETRY);
        self.metrics.snapshots.get_or_create(&Reason { reason: "failed" }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_without_end_does_not_put_a_snapshot_off_for_ever() {
        let doc = DocName::parse("d").unwrap();
        let mut snapshots = Snapshots::new(doc, Metrics::new(), &Realtime::default(), 1, true);
        for _ in 0..2 {
            let rounds =
                std::iter::repeat_with(|| snapshots.put_off()).take_while(|goes_on| *goes_on).count();
            assert_eq!(rounds, SNAPSHOT_PUT_OFF_MAX as usize);
            snapshots.begin();
        }
    }
}
