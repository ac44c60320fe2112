//! Publishers' keys: what was said with one is not said again.
//!
//! Owns how long and how many of them are remembered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::config::limits::SPACE_IDS_MAX;

/// The publishers' keys of the last window.
#[derive(Default)]
pub(super) struct Ids {
    /// When it was said, and the number of a kept message.
    known: HashMap<Arc<str>, (u64, Option<u64>)>,
    order: VecDeque<(u64, Arc<str>)>,
}

impl Ids {
    /// What was said with this key: the number of a kept message, or none of one that passed.
    pub(super) fn get(&self, id: &str) -> Option<Option<u64>> {
        self.known.get(id).map(|(_, seq)| *seq)
    }

    pub(super) fn add(&mut self, at_ms: u64, id: Arc<str>, seq: Option<u64>) {
        if self.order.len() >= SPACE_IDS_MAX {
            self.pop();
        }
        self.known.insert(id.clone(), (at_ms, seq));
        self.order.push_back((at_ms, id));
    }

    /// What was not said after all.
    pub(super) fn forget(&mut self, id: Option<&str>) {
        if let Some(id) = id {
            self.known.remove(id);
        }
    }

    /// Forgets what was said before.
    pub(super) fn trim(&mut self, before_ms: u64) {
        while self.order.front().is_some_and(|(at_ms, _)| *at_ms < before_ms) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some((at_ms, id)) = self.order.pop_front() else { return };
        // One that failed and was said again later stays.
        if self.known.get(&id).is_some_and(|(later_ms, _)| *later_ms <= at_ms) {
            self.known.remove(&id);
        }
    }
}
