//! What is asked of the central server while it is up; nobody asks one that is known to be away.
//!
//! Owns that somebody who got no answer has it looked into, and whether the server still has its data.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::super::collections::Kept;
use super::super::message::Message;
use super::why::{NOT_PERMITTED, Why};
use super::{Central, Sender, held};

impl Central {
    /// Does something with the server, when it is up. `None`: it is not, or does not answer.
    pub(in crate::bus) async fn with<T, F>(&self, ask: impl FnOnce(Sender) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Why>>,
    {
        let sender = held(&self.sender).clone()?;
        match ask(sender).await {
            Ok(answer) => Some(answer),
            Err(why) => {
                tracing::debug!(%why, "the central Redis was asked in vain");
                self.suspect.notify_one();
                None
            }
        }
    }

    pub(in crate::bus) async fn get(&self, key: &str) -> Option<Option<(Bytes, Option<Duration>)>> {
        self.with(|mut sender| async move { sender.get(key).await }).await
    }

    pub(in crate::bus) async fn read(&self, key: &str) -> Option<Option<Kept>> {
        self.with(|mut sender| async move { sender.read(key).await }).await
    }

    pub(in crate::bus) async fn members(&self, key: &str) -> Option<Vec<String>> {
        self.with(|mut sender| async move { sender.members(key).await }).await
    }

    pub(in crate::bus) async fn count(&self, key: &str, window: Duration) -> Option<u64> {
        self.with(|mut sender| async move { sender.count(key, window).await }).await
    }

    pub(in crate::bus) async fn set(&self, key: &str, value: &[u8], life: Option<Duration>) -> Option<()> {
        self.with(|mut sender| async move { sender.set(key, value, life).await }).await
    }

    pub(in crate::bus) async fn delete(&self, key: &str) -> Option<bool> {
        self.with(|mut sender| async move { sender.delete(key).await }).await
    }

    /// Publishes in order. Says how many need not be sent again, and whether that is all.
    pub(in crate::bus) async fn publish(&self, messages: &[Message]) -> (usize, bool) {
        let Some(mut sender) = held(&self.sender).clone() else { return (0, false) };
        held(&self.echoes).are_due(messages);
        let mut done = 0;
        for (message, told) in messages.iter().zip(sender.publish(messages).await) {
            match told {
                Ok(()) => _ = self.metrics.bus_messages_out.inc(),
                Err(why) if why == NOT_PERMITTED => {
                    tracing::error!(
                        channel = &*message.channel,
                        "the central Redis does not permit this channel: a message is dropped"
                    );
                    self.metrics.refuse("bus_not_permitted");
                }
                Err(why) => {
                    tracing::debug!(%why, done, "messages wait for the central Redis");
                    self.suspect.notify_one();
                    break;
                }
            }
            done += 1;
        }
        (done, done == messages.len())
    }

    /// Whether the server lost its data while it was up: then what it does not know says nothing, and is told again.
    pub(in crate::bus) async fn was_emptied(&self) -> bool {
        if !self.marked.load(Ordering::Acquire) {
            return false;
        }
        let there = self.with(|mut sender| async move { sender.exists(&self.mark).await }).await;
        let emptied = there == Some(false);
        if emptied {
            self.lost_data_ms.store(self.clock.now_ms(), Ordering::Release);
            self.owing.store(true, Ordering::Release);
            self.suspect.notify_one();
        }
        emptied
    }

    /// When the server was last seen to have lost its data.
    pub(in crate::bus) fn lost_data_ms(&self) -> Option<u64> {
        Some(self.lost_data_ms.load(Ordering::Acquire)).filter(|ms| *ms != 0)
    }
}
