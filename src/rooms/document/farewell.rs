//! How a room ends when the office stops.

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Room;
use crate::config::limits::ROOM_FAREWELL_MAX;
use crate::rooms::Gone;
use crate::rooms::peer::Command;

impl Room {
    /// The office stops: finish what was handed in, say goodbye, write a last snapshot.
    pub(super) async fn farewell(mut self, mut commands: mpsc::Receiver<Command>) {
        commands.close();
        while !commands.is_empty() {
            self.batch(None, &mut commands);
        }
        self.batch(None, &mut commands);
        self.speak();
        let saved = timeout(ROOM_FAREWELL_MAX, async {
            while !self.saving.is_done() && self.saving.failures() == 0 {
                let landed = self.saving.next().await;
                self.landed(landed);
                self.hand_out();
            }
        });
        if saved.await.is_err() {
            tracing::warn!(doc = %self.listing.doc, "the disk was slow; the last edits may be unsaved");
        }
        for peer in std::mem::take(&mut self.peers).into_values() {
            peer.dismiss(Some(Gone::Stopping));
        }
        let _ = timeout(ROOM_FAREWELL_MAX, self.last_snapshot()).await;
    }

    async fn last_snapshot(&mut self) {
        while self.bench.is_busy() {
            let worked = self.bench.done().await;
            self.worked(worked);
        }
        if self.snapshots.could() {
            self.start_work(true, false);
        }
        while self.bench.is_busy() {
            let worked = self.bench.done().await;
            self.worked(worked);
        }
        while self.snapshots.is_busy() {
            if let Some(landed) = self.snapshots.next().await {
                self.snapshots.settle(landed);
            }
        }
    }
}
