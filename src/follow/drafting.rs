//! Drafting: changed records become Markdown drafts, behind the log.
//!
//! Owns when a draft is written: a moment after the last change, at the latest some seconds after the first,
//! and again later when it failed. Cursor and draft are one commit. Does not know how text is read or
//! written.

use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Stopwatch};
use crate::config::limits::{
    DRAFT_BATCH, DRAFT_DEBOUNCE, DRAFT_DEBOUNCE_MAX, DRAFT_FAILED_MAX, DRAFT_RETRY, DRAFT_RETRY_MAX,
};
use crate::id::{DocKind, RecordId, Seq};
use crate::records::{ExportError, Failed, Progress, Records};
use crate::store::{CommitError, ReadError, Store};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Reason;

/// Writes drafts until `stop`. What is not written then is written after the next start.
pub async fn run(store: Store, records: Records, clock: Clock, metrics: Metrics, stop: CancellationToken) {
    let follow = follow(store, records, clock, metrics);
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = follow => {}
    }
}

/// Why a pass over the changed records ended early. It starts again from the cursor.
#[derive(Debug, Error)]
enum Halt {
    #[error("the log could not be read: {0}")]
    Read(#[from] ReadError),
    #[error("the drafts could not be saved: {0}")]
    Commit(#[from] CommitError),
    #[error("too many drafts failed")]
    TooManyFailed,
}

async fn follow(store: Store, records: Records, clock: Clock, metrics: Metrics) {
    let mut tip = store.tip();
    let progress = loop {
        match records.progress().await {
            Ok(progress) => break progress,
            Err(fault) => {
                tracing::error!(%fault, "how far the drafts are could not be read");
                tokio::time::sleep(DRAFT_RETRY).await;
            }
        }
    };
    let mut drafting = Drafting { store, records, clock, metrics, progress };
    loop {
        if !drafting.wait(&mut tip).await {
            return; // the store is closed
        }
        if let Err(halt) = drafting.pass().await {
            tracing::warn!(%halt, "drafts wait");
            tokio::time::sleep(DRAFT_RETRY).await;
        }
    }
}

struct Drafting {
    store: Store,
    records: Records,
    clock: Clock,
    metrics: Metrics,
    progress: Progress,
}

impl Drafting {
    /// Waits until something changed and it is quiet, or something failed may be tried again. False: nothing
    /// will change.
    async fn wait(&self, tip: &mut watch::Receiver<Seq>) -> bool {
        let cursor = self.progress.cursor;
        let again = async {
            match self.next_try() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = tip.wait_for(|tip| *tip > cursor) => if changed.is_err() { return false },
            () = again => return true,
        }
        // Looked at now and then: who writes would wake this at every commit.
        let since = Stopwatch::start();
        loop {
            tip.mark_unchanged();
            tokio::time::sleep(DRAFT_DEBOUNCE).await;
            match tip.has_changed() {
                Ok(true) if since.elapsed() < DRAFT_DEBOUNCE_MAX => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }

    fn next_try(&self) -> Option<Duration> {
        let again_ms = self.progress.failed.values().map(|failed| failed.again_ms).min()?;
        Some(Duration::from_millis(again_ms.saturating_sub(self.clock.now_ms())))
    }

    /// Looks at everything behind the cursor, and at what failed and is due.
    async fn pass(&mut self) -> Result<(), Halt> {
        loop {
            let (store, after) = (self.store.clone(), self.progress.cursor);
            let changed = tokio::task::spawn_blocking(move || store.changed_after(after, DRAFT_BATCH));
            let changed = changed.await.map_err(|_| CommitError::Closed)??;
            let more = changed.len() == DRAFT_BATCH;
            for (seq, doc) in changed {
                match doc.kind() {
                    DocKind::Record(id) => self.draft(&id, seq).await?,
                    DocKind::Loomio(_) | DocKind::Free => self.progress.cursor = seq,
                }
            }
            if !more {
                break;
            }
        }
        let now_ms = self.clock.now_ms();
        let failed = self.progress.failed.iter();
        let due: Vec<RecordId> =
            failed.filter(|(_, failed)| failed.again_ms <= now_ms).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.draft(&id, self.progress.cursor).await?;
        }
        if self.records.progress().await? != self.progress {
            self.records.put_progress(&self.progress, None).await?;
        }
        Ok(())
    }

    /// Brings one draft up to date; `seq` is the row up to which nothing is left to do then.
    async fn draft(&mut self, id: &RecordId, seq: Seq) -> Result<(), Halt> {
        let mut next = self.progress.clone();
        next.cursor = seq;
        let result = match self.changed_text(id).await {
            Ok(None) => {
                next.failed.remove(id);
                "unchanged"
            }
            Ok(Some(text)) => {
                next.failed.remove(id);
                self.records.put_progress(&next, Some((id, text))).await?;
                "written"
            }
            Err(why) => {
                self.note(&mut next, id, &why)?;
                // the clerk sees it at once, and a restart does not forget it
                self.records.put_progress(&next, None).await?;
                "failed"
            }
        };
        self.metrics.drafts.get_or_create(&Reason { reason: result }).inc();
        self.progress = next;
        Ok(())
    }

    /// The record's text, when it is not what its draft says already.
    async fn changed_text(&self, id: &RecordId) -> Result<Option<String>, ExportError> {
        if self.records.get(id).await?.is_none() {
            return Ok(None);
        }
        let text = self.records.written_now(id).await?;
        let source = self.records.source(id).await?;
        Ok((source.written.unwrap_or(source.body) != text).then_some(text))
    }

    fn note(&self, progress: &mut Progress, id: &RecordId, why: &ExportError) -> Result<(), Halt> {
        let before = progress.failed.get(id);
        if before.is_none() && progress.failed.len() >= DRAFT_FAILED_MAX {
            return Err(Halt::TooManyFailed);
        }
        let tries = before.map_or(0, |failed| failed.tries).saturating_add(1);
        let wait = DRAFT_RETRY.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(DRAFT_RETRY_MAX);
        let again_ms = self.clock.now_ms().saturating_add(wait.as_millis() as u64);
        tracing::warn!(record = %id, %why, tries, "a draft could not be written; it keeps its last text");
        progress.failed.insert(id.clone(), Failed { why: why.to_string(), tries, again_ms });
        Ok(())
    }
}
