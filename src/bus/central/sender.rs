//! What is said to the central Redis: one command, or several in one go, and the answer within a bounded time.
//!
//! Owns the commands. Does not know how the connection was opened.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Value};

use super::super::message::Message;
use super::why::{SILENT, Why, words};
use crate::config::limits::CENTRAL_ANSWER_MAX;

/// Sends commands; cheap to clone.
#[derive(Clone)]
pub(in crate::bus) enum Sender {
    Single(MultiplexedConnection),
    Cluster(Box<ClusterConnection>),
}

impl Sender {
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Why> {
        let asked = async {
            match self {
                Self::Single(line) => command.query_async(line).await,
                Self::Cluster(line) => command.query_async(line.as_mut()).await,
            }
        };
        within(CENTRAL_ANSWER_MAX, asked).await
    }

    async fn ask_all<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, Why> {
        let asked = async {
            match self {
                Self::Single(line) => commands.query_async(line).await,
                Self::Cluster(line) => commands.query_async(line.as_mut()).await,
            }
        };
        within(CENTRAL_ANSWER_MAX, asked).await
    }

    /// A text, and how long it still lives; `None` for the life: for ever.
    pub(super) async fn get(&mut self, key: &str) -> Result<Option<(Bytes, Option<Duration>)>, Why> {
        let mut both = redis::pipe();
        both.atomic().get(key).pttl(key);
        let found: (Option<Vec<u8>>, i64) = self.ask_all(&both).await?;
        let (Some(text), left_ms) = found else { return Ok(None) };
        Ok(Some((text.into(), u64::try_from(left_ms).ok().map(Duration::from_millis))))
    }

    pub(in crate::bus) async fn set(
        &mut self,
        key: &str,
        value: &[u8],
        life: Option<Duration>,
    ) -> Result<(), Why> {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(value);
        if let Some(life) = life {
            command.arg("PX").arg(u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        self.ask(&command).await
    }

    pub(in crate::bus) async fn delete(&mut self, key: &str) -> Result<bool, Why> {
        self.ask::<u64>(redis::cmd("DEL").arg(key)).await.map(|count| count > 0)
    }

    /// Publishes in order. Says how many are done for certain when it fails.
    pub(super) async fn publish(&mut self, messages: &[Message]) -> Result<(), (usize, Why)> {
        match self {
            Self::Single(line) => {
                let mut all = redis::pipe();
                for message in messages {
                    all.publish(&*message.channel, &message.body[..]).ignore();
                }
                within(CENTRAL_ANSWER_MAX, all.query_async::<()>(line)).await.map_err(|why| (0, why))
            }
            // The nodes of a cluster do not wait for each other: the order is kept here.
            Self::Cluster(_) => {
                for (done, message) in messages.iter().enumerate() {
                    let mut command = redis::cmd("PUBLISH");
                    command.arg(&*message.channel).arg(&message.body[..]);
                    self.ask::<Value>(&command).await.map_err(|why| (done, why))?;
                }
                Ok(())
            }
        }
    }
}

pub(super) async fn within<T>(
    most: Duration,
    asked: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Why> {
    match tokio::time::timeout(most, asked).await {
        Ok(answer) => answer.map_err(|error| words(&error)),
        Err(_) => Err(SILENT.into()),
    }
}
