//! The forum's keys on the bus (spec, Redis data structures).
//!
//! Owns their names and that nobody waits for them to be written. What others write there counts: a board's permissions
//! and a community's partners are read whenever they are asked for.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::rules::{Rule, id};
use crate::bus::Bus;
use crate::config::limits::{FORUM_AUDIENCE_MAX, FORUM_MAILBOX};
use crate::telemetry::Metrics;

/// A key to write, or to remove.
type Change = (String, Option<(Value, Duration)>);

/// The forum's keys.
pub(super) struct Keys {
    bus: Bus,
    metrics: Metrics,
    changes: mpsc::Sender<Change>,
}

impl Keys {
    /// Takes the bus. Call it inside a runtime.
    pub(super) fn new(bus: Bus, metrics: Metrics) -> Self {
        let (changes, mut due) = mpsc::channel::<Change>(FORUM_MAILBOX);
        let writing = bus.clone();
        tokio::spawn(async move {
            while let Some((key, change)) = due.recv().await {
                let done = match change {
                    Some((value, life)) => {
                        writing.put_shared(&key, value.to_string().as_bytes(), Some(life)).await
                    }
                    None => writing.delete_shared(&key).await,
                };
                if let Err(error) = done {
                    tracing::debug!(%error, "a key of the forum was not written");
                }
            }
        });
        Self { bus, metrics, changes }
    }

    /// Only for reading.
    pub(super) fn reader(bus: Bus, metrics: Metrics) -> Self {
        Self { bus, metrics, changes: mpsc::channel(1).0 }
    }

    /// Writes a key some time; whoever waits for the bus, it is not the forum.
    pub(super) fn change(&self, key: String, change: Option<(Value, Duration)>) {
        if self.changes.try_send((key, change)).is_err() {
            self.metrics.refuse("curia_keys_behind");
        }
    }

    /// The rules of these boards, as far as they are known.
    pub(super) async fn rules(&self, boards: impl IntoIterator<Item = String>) -> HashMap<String, Rule> {
        let mut rules = HashMap::new();
        for board in boards {
            if let Some(rule) = self.rule(&board).await {
                rules.insert(board, rule);
            }
        }
        rules
    }

    /// The rule of a board.
    pub(super) async fn rule(&self, board: &str) -> Option<Rule> {
        Rule::read(&self.read(&format!("board_permissions:{board}")).await?)
    }

    /// Keeps the rule of a board.
    pub(super) async fn keep_rule(&self, board: &str, rule: &Rule) {
        self.keep(&format!("board_permissions:{board}"), &rule.fields()).await;
    }

    /// The partners of a community that want to hear of it.
    pub(super) async fn partners(&self, community: &str) -> Vec<String> {
        let kept = self.read(&format!("community_partners:{community}")).await;
        let kept: Option<Value> = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
        kept.as_ref().map(partners_in).unwrap_or_default()
    }

    /// Keeps the partners of a community.
    pub(super) async fn keep_partners(&self, community: &str, partners: &[String]) {
        self.keep(&format!("community_partners:{community}"), &partners.into()).await;
    }

    async fn keep(&self, key: &str, value: &Value) {
        if let Err(error) = self.bus.put_shared(key, value.to_string().as_bytes(), None).await {
            tracing::warn!(%error, "what the forum was told could not be kept");
        }
    }

    async fn read(&self, key: &str) -> Option<bytes::Bytes> {
        self.bus.get_shared(key).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a key of the forum could not be read");
            None
        })
    }
}

/// Communities in a list.
pub(super) fn partners_in(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|one| id(Some(one))).take(FORUM_AUDIENCE_MAX).collect()
}
