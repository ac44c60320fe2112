//! The forum's keys on the bus (the published design, Redis keys).
//!
//! Owns their names, and that nobody waits for them to be written, nor long for them to be read. What others write
//! there counts: a board's permissions and a community's partners are read whenever they are asked for. A central
//! server that answers slowly is left alone for a while, and what is known here counts, as if it were away.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::forum::offices::{Letter, OfficeWord};
use super::rules::{Rule, id};
use crate::bus::{Bus, BusError, Kept, Known, Message};
use crate::clock::Stopwatch;
use crate::config::limits::{
    FORUM_ANSWER_MAX, FORUM_AUDIENCE_MAX, FORUM_MAILBOX, FORUM_SLOW_PAUSE, FORUM_WINDOW,
};
use crate::lock::held;
use crate::telemetry::Metrics;

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum KeyChange {
    /// It holds this text, for so long.
    Text(String, Duration),
    /// These people of this office are in it, for so long; nobody: none of ours.
    People(Vec<String>, Duration),
    /// It is removed.
    Gone,
}

/// The forum's keys.
pub(super) struct Keys {
    bus: Bus,
    metrics: Metrics,
    changes: mpsc::Sender<Due>,
    /// When the bus was too slow the last time.
    slow: Mutex<Option<Stopwatch>>,
}

/// What is to be done on the bus.
enum Due {
    Key(String, KeyChange),
    Pass(Message),
}

impl Keys {
    /// Takes the bus. Call it inside a runtime.
    pub(super) fn new(bus: Bus, metrics: Metrics) -> Self {
        let (changes, mut due) = mpsc::channel::<Due>(FORUM_MAILBOX);
        let writing = bus.clone();
        tokio::spawn(async move {
            while let Some(due) = due.recv().await {
                let (key, change) = match due {
                    Due::Key(key, change) => (key, change),
                    Due::Pass(message) => {
                        writing.pass(message).await;
                        continue;
                    }
                };
                let done = match change {
                    KeyChange::Text(text, life) => {
                        writing.put_shared(&key, text.as_bytes(), Some(life)).await
                    }
                    KeyChange::People(here, life) => writing.put_members(&key, here, life).await,
                    KeyChange::Gone => writing.delete_shared(&key).await,
                };
                if let Err(error) = done {
                    tracing::debug!(%error, "a key of the forum was not written");
                }
            }
        });
        Self { bus, metrics, changes, slow: Mutex::default() }
    }

    /// Only for reading.
    pub(super) fn reader(bus: Bus, metrics: Metrics) -> Self {
        Self { bus, metrics, changes: mpsc::channel(1).0, slow: Mutex::default() }
    }

    /// Writes a key some time; whoever waits for the bus, it is not the forum.
    pub(super) fn change(&self, key: String, change: KeyChange) {
        self.due(Due::Key(key, change));
    }

    /// Tells the other offices something, some time soon.
    pub(super) fn tell(&self, word: OfficeWord) {
        if self.bus.central().is_some()
            && let Some(message) = Letter::message(self.bus.name(), word)
        {
            self.due(Due::Pass(message));
        }
    }

    fn due(&self, due: Due) {
        if self.changes.try_send(due).is_err() {
            self.metrics.refuse("curia_keys_behind");
        }
    }

    /// One more of a kind that a person does; how many there were in this minute, at every office that shares the bus.
    pub(super) async fn count(&self, person: &str, kind: &str) -> Option<u32> {
        let key = format!("rate_limit:{person}:{kind}");
        let count = self.in_time(self.bus.count_shared(&key, FORUM_WINDOW)).await?;
        count.ok().map(|count| u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// What the bus answers, if it does so in time. Nobody asks one that was slow just now.
    async fn in_time<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        let slow = *held(&self.slow);
        if slow.is_some_and(|slow| slow.elapsed() < FORUM_SLOW_PAUSE) {
            return None;
        }
        let answer = timeout(FORUM_ANSWER_MAX, asked).await.ok();
        if answer.is_none() {
            self.metrics.refuse("curia_keys_behind");
            *held(&self.slow) = Some(Stopwatch::start());
        }
        answer
    }

    /// The rules of these boards; those that nobody can tell now are not among them.
    pub(super) async fn rules(
        &self,
        boards: impl IntoIterator<Item = String>,
    ) -> HashMap<String, Option<Rule>> {
        let boards: BTreeSet<String> = boards.into_iter().collect();
        let found = boards.into_iter().map(|board| async move { (self.rule(&board).await, board) });
        join_all(found).await.into_iter().filter_map(|(rule, board)| Some((board, rule?))).collect()
    }

    /// The rule of a board: the design's hash, or the same fields as the text of an object. `None`: nobody can tell.
    async fn rule(&self, board: &str) -> Option<Option<Rule>> {
        let kept = match self.read(&format!("board_permissions:{board}")).await {
            Known::There(kept) => kept,
            Known::Missing => return Some(None),
            Known::Unknown => return None,
        };
        Some(match kept {
            Kept::Text(text) => Rule::read(&text),
            Kept::Fields(fields) => {
                let text = |(name, value): (String, Bytes)| {
                    Some((name, Value::from(std::str::from_utf8(&value).ok()?)))
                };
                let fields = fields.into_iter().map(text).collect::<Option<Map<String, Value>>>();
                fields.as_ref().and_then(Rule::of)
            }
        })
    }

    async fn read(&self, key: &str) -> Known {
        let known = self.in_time(self.bus.read_shared(key)).await;
        known.unwrap_or_else(|| self.bus.known_here(key)).unwrap_or_else(|error| {
            tracing::warn!(%error, "a key of the forum could not be read");
            Known::Unknown
        })
    }

    /// Keeps the rule of a board, as the design's hash.
    ///
    /// # Errors
    /// When the disk did not take it.
    pub(super) async fn keep_rule(&self, board: &str, rule: &Rule) -> Result<(), BusError> {
        self.bus.put_fields(&format!("board_permissions:{board}"), &rule.hash()).await?;
        self.settled().await
    }

    /// The partners of a community that want to hear of it.
    pub(super) async fn partners(&self, community: &str) -> Vec<String> {
        let kept: Option<Value> = match self.read(&format!("community_partners:{community}")).await {
            Known::There(Kept::Text(text)) => serde_json::from_slice(&text).ok(),
            Known::There(Kept::Fields(_)) | Known::Missing | Known::Unknown => None,
        };
        kept.as_ref().map(partners_in).unwrap_or_default()
    }

    /// Keeps the partners of a community.
    ///
    /// # Errors
    /// When the disk did not take it.
    pub(super) async fn keep_partners(&self, community: &str, partners: &[String]) -> Result<(), BusError> {
        let value = Value::from(partners).to_string();
        self.bus.put_shared(&format!("community_partners:{community}"), value.as_bytes(), None).await?;
        self.settled().await
    }

    /// What a back end said of boards and partners is on disk before it is answered.
    async fn settled(&self) -> Result<(), BusError> {
        let bus = self.bus.clone();
        let settled = tokio::task::spawn_blocking(move || bus.settle()).await;
        settled.unwrap_or_else(|error| Err(BusError(error.to_string())))
    }
}

/// Communities in a list.
pub(super) fn partners_in(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|one| id(Some(one))).take(FORUM_AUDIENCE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn what_could_not_be_kept_is_not_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let bus = Bus::open(folder.path(), &Clock::real()).unwrap();
        let keys = Keys::new(bus.clone(), Metrics::new());
        let read = serde_json::json!({ "boardId": "5", "communityId": "1", "isPublic": true });
        let rule = Rule::read(read.to_string().as_bytes()).unwrap();
        assert!(keys.keep_rule("5", &rule).await.is_ok());
        bus.close();
        assert!(keys.keep_rule("5", &rule).await.is_err());
        assert!(keys.keep_partners("1", &["8".to_owned()]).await.is_err());
    }
}
