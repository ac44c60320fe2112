//! The bots: what a back end says on `chatbot/…` becomes Matrix messages.
//!
//! Owns the two forms (Loomio's channel server), one client for each configuration, and that nothing of it is felt
//! anywhere else: no bad message, no homeserver that is down or slow.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::matrix::{Bot, Config};
use super::plain::plain;
use crate::clock::Clock;
use crate::config::limits::{
    BOT_IDS_MAX, BOT_MESSAGE_LIFE, BOT_MESSAGES_PER_SERVER_MAX, BOT_MESSAGES_PER_SERVER_WAITING_MAX,
    BOT_MESSAGES_WAITING_MAX, BOTS_MAX,
};
use crate::lock::held;
use crate::outbound::Outbound;
use crate::telemetry::{Metrics, Reason};

/// What begins every channel of bots.
pub const CHATBOT: &str = "chatbot/";

/// All bots; cheap to clone.
#[derive(Clone)]
pub struct Bots(Arc<Inner>);

struct Inner {
    outbound: Outbound,
    clock: Clock,
    metrics: Metrics,
    known: Mutex<Known>,
    waiting: Arc<Semaphore>,
}

/// Bots in use, by the hash of their configuration, and when each was used last.
#[derive(Default)]
struct Known {
    bots: HashMap<[u8; 32], (Arc<Bot>, u64)>,
    /// Turns at each homeserver that is spoken to now; whoever waits there holds them.
    turns: HashMap<String, Arc<Semaphore>>,
    uses: u64,
    /// The ids of the last publications that had one.
    ids: VecDeque<Box<str>>,
}

#[derive(Deserialize)]
struct Test {
    #[serde(flatten)]
    config: Config,
    message: String,
}

#[derive(Deserialize)]
struct Publish {
    config: Config,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    html: String,
}

impl Bots {
    /// No bots yet.
    #[must_use]
    pub fn new(outbound: Outbound, clock: Clock, metrics: Metrics) -> Self {
        let waiting = Arc::new(Semaphore::new(BOT_MESSAGES_WAITING_MAX));
        Self(Arc::new(Inner { outbound, clock, metrics, known: Mutex::default(), waiting }))
    }

    /// Something was published on a channel of bots. The same `id` again says nothing more. Returns at once; call it
    /// inside a runtime.
    pub fn heard(&self, channel: &str, message: &[u8], id: Option<&str>) {
        let read = match channel.strip_prefix(CHATBOT) {
            Some("test") => serde_json::from_slice(message).map(|Test { config, message }| {
                (config, false, json!({ "msgtype": "m.notice", "body": message }))
            }),
            Some("publish") => serde_json::from_slice(message)
                .map(|Publish { config, payload }| (config, true, formatted(&payload.html))),
            _ => {
                tracing::info!(?channel, "nobody listens on this channel of bots");
                return self.count("other_channel");
            }
        };
        // What was wrong with it is not said: it may hold a token.
        let Ok((config, keep, body)) = read else {
            tracing::warn!(?channel, "a message to a bot is not understood and was dropped");
            self.0.metrics.refuse("chatbot");
            return self.count("not_understood");
        };
        let (place, turns) = (self.0.waiting.clone().try_acquire_owned(), self.turns(&config.server));
        let (Ok(place), Some(turns)) = (place, turns) else {
            tracing::warn!(?channel, "too many messages wait for bots; this one was dropped");
            return self.count("too_many");
        };
        if id.is_some_and(|id| !self.is_new(id)) {
            return self.count("repeated");
        }
        let room = config.channel.clone();
        let bot = if keep { self.bot(config) } else { Arc::new(self.make(config)) };
        let bots = self.clone();
        // Tasks begin in any order: which message comes next is settled here.
        let line = bot.stand_in_line();
        tokio::spawn(async move {
            let said = async {
                // In line first, so that one bot's many messages leave the other bots of its homeserver their turns.
                let _next = line.front().await;
                let _turn = turns.acquire().await;
                bot.say(&body).await
            };
            let said = tokio::time::timeout(BOT_MESSAGE_LIFE, said).await;
            drop(place);
            match said {
                Ok(Ok(())) => bots.count("sent"),
                Ok(Err(error)) => {
                    tracing::warn!(?room, %error, "a bot's message did not get there");
                    bots.count("failed");
                }
                Err(_) => {
                    tracing::warn!(?room, "a bot's message took too long and was given up");
                    bots.count("failed");
                }
            }
        });
    }

    /// The turns at a homeserver; those that nobody waits for are forgotten. `None`: too many wait for them, and one
    /// homeserver that is silent leaves room for the messages to the others.
    fn turns(&self, server: &str) -> Option<Arc<Semaphore>> {
        let mut known = held(&self.0.known);
        known.turns.retain(|_, turns| Arc::strong_count(turns) > 1);
        let fresh = || Arc::new(Semaphore::new(BOT_MESSAGES_PER_SERVER_MAX));
        let turns = known.turns.entry(server.to_owned()).or_insert_with(fresh);
        (Arc::strong_count(turns) <= BOT_MESSAGES_PER_SERVER_WAITING_MAX).then(|| Arc::clone(turns))
    }

    /// Whether this id was not seen lately; it is, then.
    fn is_new(&self, id: &str) -> bool {
        let mut known = held(&self.0.known);
        if known.ids.iter().any(|seen| **seen == *id) {
            return false;
        }
        known.ids.push_back(id.into());
        if known.ids.len() > BOT_IDS_MAX {
            known.ids.pop_front();
        }
        true
    }

    /// The one bot of a configuration; the one that was silent longest gives way.
    fn bot(&self, config: Config) -> Arc<Bot> {
        let mut hash = Sha256::new();
        for part in [&config.server, &config.access_token, &config.channel] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let key: [u8; 32] = hash.finalize().into();
        let mut known = held(&self.0.known);
        known.uses += 1;
        let now = known.uses;
        if let Some((bot, used)) = known.bots.get_mut(&key) {
            *used = now;
            return bot.clone();
        }
        if known.bots.len() >= BOTS_MAX {
            let oldest = known.bots.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            oldest.and_then(|key| known.bots.remove(&key));
        }
        let bot = Arc::new(self.make(config));
        known.bots.insert(key, (bot.clone(), now));
        bot
    }

    fn make(&self, config: Config) -> Bot {
        Bot::new(config, self.0.outbound.clone(), self.0.clock.clone())
    }

    fn count(&self, reason: &'static str) {
        self.0.metrics.bots.get_or_create(&Reason { reason }).inc();
    }
}

fn formatted(html: &str) -> Value {
    json!({
        "body": plain(html),
        "msgtype": "m.text",
        "format": "org.matrix.custom.html",
        "formatted_body": html,
    })
}

#[cfg(test)]
mod tests;
