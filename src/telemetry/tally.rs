//! A figure that is counted by reason, and can be read again.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::Reason;

/// Counts by reason; cheap to clone. Reasons are fixed words of the program, so there are as many as it knows.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    family: Family<Reason, Counter>,
    words: Arc<RwLock<BTreeSet<&'static str>>>,
}

impl Tally {
    /// Counts one.
    pub fn count(&self, reason: &'static str) {
        self.family.get_or_create(&Reason { reason }).inc();
        let known = self.words.read().unwrap_or_else(PoisonError::into_inner).contains(reason);
        if !known {
            self.words.write().unwrap_or_else(PoisonError::into_inner).insert(reason);
        }
    }

    /// Every reason that was counted, and how often.
    #[must_use]
    pub fn list(&self) -> Vec<(&'static str, u64)> {
        let words = self.words.read().unwrap_or_else(PoisonError::into_inner);
        words.iter().map(|reason| (*reason, self.get(reason))).collect()
    }

    /// How often something was counted for this reason.
    #[must_use]
    pub fn get(&self, reason: &'static str) -> u64 {
        self.family.get(&Reason { reason }).map_or(0, |counter| counter.get())
    }

    /// For the register of all figures.
    pub(super) fn family(&self) -> Family<Reason, Counter> {
        self.family.clone()
    }
}
