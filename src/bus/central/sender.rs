//! What is said to the central Redis: one command, or several in one go, and the answer within a bounded time.
//!
//! Owns the commands. Does not know how the connection was opened.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Value};

use super::super::collections::Kept;
use super::super::message::Message;
use super::why::{OTHER_KIND, SILENT, Why, words};
use crate::config::limits::{CENTRAL_ANSWER_MAX, CENTRAL_SLOWEST_BYTES_PER_S};

/// Sends commands; cheap to clone.
#[derive(Clone)]
pub(in crate::bus) struct Sender {
    pub(super) way: Way,
    /// Bytes of publications that the server has not answered yet.
    under_way: Arc<AtomicUsize>,
}

/// Where commands go.
#[derive(Clone)]
pub(super) enum Way {
    Single(MultiplexedConnection),
    Cluster(Box<ClusterConnection>),
}

impl Way {
    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Single(line) => command.query_async(line).await,
            Self::Cluster(line) => command.query_async(line.as_mut()).await,
        }
    }

    async fn ask_all<T: FromRedisValue>(&mut self, commands: &Pipeline) -> RedisResult<T> {
        match self {
            Self::Single(line) => commands.query_async(line).await,
            Self::Cluster(line) => commands.query_async(line.as_mut()).await,
        }
    }
}

impl Sender {
    pub(super) fn new(way: Way) -> Self {
        Self { way, under_way: Arc::default() }
    }

    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Why> {
        within(CENTRAL_ANSWER_MAX, self.way.ask(command)).await
    }

    async fn ask_all<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, Why> {
        within(CENTRAL_ANSWER_MAX, self.way.ask_all(commands)).await
    }

    /// Asks for a sign of life. It stands in line behind what is being published, and may take as long as that.
    pub(super) async fn ping(&mut self) -> Result<(), Why> {
        let most = patience(self.under_way.load(Ordering::Acquire));
        within(most, self.way.ask::<String>(&redis::cmd("PING"))).await.map(drop)
    }

    /// A text, and how long it still lives; `None` for the life: for ever.
    pub(super) async fn get(&mut self, key: &str) -> Result<Option<(Bytes, Option<Duration>)>, Why> {
        let mut both = redis::pipe();
        both.atomic().get(key).pttl(key);
        let found: (Option<Vec<u8>>, i64) = match self.ask_all(&both).await {
            Err(why) if why == OTHER_KIND => return Ok(None),
            found => found?,
        };
        let (Some(text), left_ms) = found else { return Ok(None) };
        Ok(Some((text.into(), u64::try_from(left_ms).ok().map(Duration::from_millis))))
    }

    pub(in crate::bus) async fn set(
        &mut self,
        key: &str,
        value: &[u8],
        life: Option<Duration>,
    ) -> Result<(), Why> {
        self.ask(&setting(key, value, life)).await
    }

    /// The same where nothing lies; what lies there stays.
    pub(in crate::bus) async fn set_new(
        &mut self,
        key: &str,
        value: &[u8],
        life: Option<Duration>,
    ) -> Result<(), Why> {
        let mut command = setting(key, value, life);
        command.arg("NX");
        self.ask::<Value>(&command).await.map(drop)
    }

    pub(in crate::bus) async fn delete(&mut self, key: &str) -> Result<bool, Why> {
        self.ask::<u64>(redis::cmd("DEL").arg(key)).await.map(|count| count > 0)
    }

    pub(super) async fn exists(&mut self, key: &str) -> Result<bool, Why> {
        self.ask::<u64>(redis::cmd("EXISTS").arg(key)).await.map(|count| count > 0)
    }

    /// A text, or fields, whichever lies there.
    pub(super) async fn read(&mut self, key: &str) -> Result<Option<Kept>, Why> {
        let fields: Result<Vec<(String, Vec<u8>)>, Why> = self.ask(redis::cmd("HGETALL").arg(key)).await;
        match fields {
            Err(why) if why == OTHER_KIND => Ok(self.get(key).await?.map(|(text, _)| Kept::Text(text))),
            Err(why) => Err(why),
            Ok(fields) if fields.is_empty() => Ok(None),
            Ok(fields) => {
                let mut fields: Vec<(String, Bytes)> =
                    fields.into_iter().map(|(name, value)| (name, value.into())).collect();
                fields.sort_unstable();
                Ok(Some(Kept::Fields(fields)))
            }
        }
    }

    /// Sets these fields and leaves others as they are; what is no fields gives way.
    pub(in crate::bus) async fn put_fields(
        &mut self,
        key: &str,
        fields: &[(String, Bytes)],
        life: Option<Duration>,
    ) -> Result<(), Why> {
        let mut all = redis::pipe();
        let put = all.atomic().cmd("HSET").arg(key);
        for (name, value) in fields {
            put.arg(name).arg(&value[..]);
        }
        put.ignore();
        self.change(key, &mut all, life).await
    }

    /// The same where nothing lies; what lies there stays.
    pub(in crate::bus) async fn put_new_fields(
        &mut self,
        key: &str,
        fields: &[(String, Bytes)],
        life: Option<Duration>,
    ) -> Result<(), Why> {
        // In two steps: what does it in one needs commands that a user of little rights does not have.
        if self.exists(key).await? { Ok(()) } else { self.put_fields(key, fields, life).await }
    }

    /// Takes members out of a set and brings others in.
    pub(in crate::bus) async fn put_members(
        &mut self,
        key: &str,
        gone: &[String],
        here: &[String],
        life: Duration,
    ) -> Result<(), Why> {
        let mut all = redis::pipe();
        all.atomic();
        for (command, members) in [("SREM", gone), ("SADD", here)] {
            if !members.is_empty() {
                all.cmd(command).arg(key).arg(members).ignore();
            }
        }
        self.change(key, &mut all, Some(life)).await
    }

    /// Does this to a key that lives for so long then; another kind of value gives way.
    async fn change(&mut self, key: &str, all: &mut Pipeline, life: Option<Duration>) -> Result<(), Why> {
        if let Some(life) = life {
            all.pexpire(key, i64::try_from(life.as_millis()).unwrap_or(i64::MAX)).ignore();
        }
        match self.ask_all(all).await {
            Err(why) if why == OTHER_KIND => {
                self.delete(key).await?;
                self.ask_all(all).await
            }
            done => done,
        }
    }

    pub(super) async fn members(&mut self, key: &str) -> Result<Vec<String>, Why> {
        match self.ask(redis::cmd("SMEMBERS").arg(key)).await {
            Err(why) if why == OTHER_KIND => Ok(Vec::new()),
            members => members,
        }
    }

    /// Counts one more, in a window that begins with the first.
    pub(super) async fn count(&mut self, key: &str, window: Duration) -> Result<u64, Why> {
        let mut all = redis::pipe();
        all.atomic();
        all.cmd("SET").arg(key).arg(0).arg("PX").arg(window.as_millis() as u64).arg("NX").ignore();
        all.cmd("INCR").arg(key);
        let (count,): (u64,) = self.ask_all(&all).await?;
        Ok(count)
    }

    /// Publishes in order. Says what became of each; nothing is known of what comes after the last one told of.
    pub(super) async fn publish(&mut self, messages: &[Message]) -> Vec<Result<(), Why>> {
        let sizes = messages.iter().map(Message::cost).sum();
        self.under_way.fetch_add(sizes, Ordering::AcqRel);
        let under_way = UnderWay(&self.under_way, sizes);
        let most = patience(under_way.0.load(Ordering::Acquire));
        match &mut self.way {
            Way::Single(line) => {
                let mut all = redis::pipe();
                all.ignore_errors();
                for message in messages {
                    all.publish(&*message.channel, &message.body[..]);
                }
                let done: Result<Vec<RedisResult<Value>>, Why> = within(most, all.query_async(line)).await;
                match done {
                    Ok(each) => each.into_iter().map(|one| told(one).map(drop)).collect(),
                    Err(why) => vec![Err(why)],
                }
            }
            // The nodes of a cluster do not wait for each other: the order is kept here.
            Way::Cluster(_) => {
                let mut each = Vec::with_capacity(messages.len());
                for message in messages {
                    let mut command = redis::cmd("PUBLISH");
                    command.arg(&*message.channel).arg(&message.body[..]);
                    let done = within(most, self.way.ask::<Value>(&command)).await;
                    each.push(done.map(drop));
                    if each.last().is_some_and(Result::is_err) {
                        break;
                    }
                }
                each
            }
        }
    }
}

/// Publications that count as under way until this is dropped.
struct UnderWay<'a>(&'a AtomicUsize, usize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::AcqRel);
    }
}

/// How long an answer may take that comes after so many bytes: the line may be a slow one.
pub(super) fn patience(bytes: usize) -> Duration {
    CENTRAL_ANSWER_MAX + Duration::from_secs_f64(bytes as f64 / CENTRAL_SLOWEST_BYTES_PER_S as f64)
}

fn setting(key: &str, value: &[u8], life: Option<Duration>) -> Cmd {
    let mut command = redis::cmd("SET");
    command.arg(key).arg(value);
    if let Some(life) = life {
        command.arg("PX").arg(u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1));
    }
    command
}

pub(super) async fn within<T>(
    most: Duration,
    asked: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Why> {
    match tokio::time::timeout(most, asked).await {
        Ok(answer) => told(answer),
        Err(_) => Err(SILENT.into()),
    }
}

fn told<T>(answer: RedisResult<T>) -> Result<T, Why> {
    answer.map_err(|error| words(&error))
}
