//! What was done by whom, written down: the newest deeds of an office, a bounded number of them.
//!
//! Owns their rows. The bound is a number, not an age: a clock that goes wrong for a moment takes nothing away.

use std::sync::Mutex;

use bytes::Bytes;
use serde::Serialize;

use super::Auth;
use crate::config::limits::{AUDIT_ROWS_MAX, AUDIT_ROWS_PRUNED};
use crate::lock::held;
use crate::store::{ReadError, Store, Table, Write};

/// Something that an office wants to be able to look up later.
#[derive(Debug, Clone, Serialize)]
pub struct Deed<'a> {
    /// What was done, as a short fixed word.
    pub what: &'static str,
    /// The person who did it.
    pub by: &'a str,
    /// What or whom it was done to.
    pub to: &'a str,
    /// The name that goes with it.
    pub name: &'a str,
}

/// The rows that are there.
pub(super) struct Deeds(Mutex<Counts>);

struct Counts {
    rows: usize,
    /// Tells apart what was done in one millisecond.
    next: u64,
}

impl Deeds {
    /// Counts what is there. Blocks.
    pub(super) fn open(store: &Store) -> Self {
        let mut rows = 0;
        let mut from = Vec::new();
        loop {
            let page = store.scan(Table::Audit, &from, AUDIT_ROWS_PRUNED).unwrap_or_else(|error| {
                tracing::warn!(%error, "not all audit rows could be counted: old ones stay longer");
                Vec::new()
            });
            rows += page.len();
            match page.last() {
                Some((last, _)) if page.len() == AUDIT_ROWS_PRUNED => from = [&last[..], &[0]].concat(),
                _ => break,
            }
        }
        Self(Mutex::new(Counts { rows, next: 0 }))
    }

    /// The row of one more, and what gives way to it.
    fn add(&self, store: &Store, at_ms: u64, value: Vec<u8>) -> Vec<Write> {
        let mut counts = held(&self.0);
        let key = [at_ms.to_be_bytes(), counts.next.to_be_bytes()].concat();
        counts.next += 1;
        counts.rows += 1;
        let mut writes = vec![Write::Put { table: Table::Audit, key: key.into(), value: value.into() }];
        if counts.rows >= AUDIT_ROWS_MAX + AUDIT_ROWS_PRUNED {
            match oldest(store) {
                Ok(Some(to)) => {
                    writes.insert(0, Write::DeleteRange { table: Table::Audit, from: Bytes::new(), to });
                    counts.rows -= AUDIT_ROWS_PRUNED;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "old audit rows stay"),
            }
        }
        writes
    }
}

/// The oldest row that stays.
fn oldest(store: &Store) -> Result<Option<Bytes>, ReadError> {
    let rows = store.scan(Table::Audit, &[], AUDIT_ROWS_PRUNED + 1)?;
    Ok(rows.into_iter().nth(AUDIT_ROWS_PRUNED).map(|(key, _)| key))
}

impl Auth {
    /// The rows for a deed, to go into the same commit as the deed itself where there is one.
    pub(super) fn audit_rows(&self, deed: &Deed<'_>) -> Vec<Write> {
        match serde_json::to_vec(deed) {
            Ok(value) => self.0.deeds.add(&self.0.store, self.0.clock.now_ms(), value),
            Err(error) => {
                tracing::error!(what = deed.what, %error, "the audit row cannot be written");
                Vec::new()
            }
        }
    }

    /// Writes a deed down, behind the deed: when the disk is full, the log line remains.
    pub fn audit(&self, deed: &Deed<'_>) {
        tracing::info!(what = deed.what, by = deed.by, to = deed.to, name = deed.name, "done");
        if let Err(error) = self.0.store.commit(self.audit_rows(deed)) {
            tracing::warn!(what = deed.what, %error, "the audit row was not saved");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn the_newest_deeds_stay_and_the_oldest_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &Clock::real(), &Metrics::new()).unwrap();
        let done = async |writes| store.commit(writes).unwrap().await.unwrap().unwrap();
        let deeds = Deeds::open(&store);
        let most = AUDIT_ROWS_MAX + AUDIT_ROWS_PRUNED;
        for from in (0..most - 1).step_by(1_000) {
            let some = from..(from + 1_000).min(most - 1);
            done(some.flat_map(|at| deeds.add(&store, at as u64, b"x".to_vec())).collect()).await;
        }
        // Counted again after a start; and a wrong clock takes nothing away.
        let deeds = Deeds::open(&store);
        done(deeds.add(&store, u64::MAX, b"last".to_vec())).await;
        let rows = store.scan(Table::Audit, &[], 2 * most).unwrap();
        assert_eq!(rows.len(), AUDIT_ROWS_MAX);
        assert_eq!(rows[0].0[..8], (AUDIT_ROWS_PRUNED as u64).to_be_bytes());
        assert_eq!(rows.last().unwrap().1, "last");
        assert_eq!(deeds.add(&store, 7, Vec::new()).len(), 1, "not with each deed");
    }
}
