//! What was done by whom, written down for good.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Serialize;

use super::Auth;
use crate::store::{Table, Write};

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

impl Auth {
    /// The row for a deed, to go into the same commit as the deed itself where there is one.
    pub(super) fn audit_row(&self, deed: &Deed<'_>) -> Write {
        let now_ms = self.0.clock.now_ms();
        let mut key = Vec::with_capacity(16);
        key.extend_from_slice(&now_ms.to_be_bytes());
        key.extend_from_slice(&self.0.deeds.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let value = serde_json::to_vec(deed).unwrap_or_default();
        Write::Put { table: Table::Audit, key: key.into(), value: Bytes::from(value) }
    }

    /// Writes a deed down, behind the deed: when the disk is full, the log line remains.
    pub fn audit(&self, deed: &Deed<'_>) {
        tracing::info!(what = deed.what, by = deed.by, to = deed.to, name = deed.name, "done");
        if let Err(error) = self.0.store.commit(vec![self.audit_row(deed)]) {
            tracing::warn!(what = deed.what, %error, "the audit row was not saved");
        }
    }
}
