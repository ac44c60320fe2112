//! Keys with expiry, publish and subscribe, as bytes: what a central Redis does, done in this office, and with that
//! Redis where there is one.
//!
//! Owns the embedded store of things that can be made again, who listens to what, and the way to the central server.
//! Does not know what the bytes mean.
//!
//! * Keys: the office's own ([`Bus::set`]: sessions) never leave it. Shared ones ([`Bus::put_shared`]) are at the
//!   central server while it is up, with copies here that answer while it is not. An office without Redis has the same
//!   keys, with the same lives.
//! * Publishing: listeners in this office hear at once, whatever becomes of the central server. For it the message lies
//!   on disk and follows, in order, at least once. What comes back of it is dropped.
//! * Listening: the central server is listened to for whatever anybody here wants to hear. What others published while
//!   it was out of reach is gone; listeners are told since when.

mod central;
mod collections;
mod embedded;
mod exchange;
mod message;
mod outgoing;
mod shared;
mod stored;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::collections::{Kept, Known};
pub use self::exchange::{Consuming, Subscription};
pub use self::message::{
    Beginning, Begun, Consumer, Heard, Message, Missed, Pattern, PublishError, Published, Undelivered,
};

pub use self::shared::{Found, LookedUp};

use self::central::Central;
use self::embedded::Embedded;
use self::exchange::Exchange;
use self::outgoing::Outgoing;
use crate::clock::Clock;
use crate::config::CentralUrl;
use crate::config::limits::{BUS_KEY_MAX_BYTES, BUS_VALUE_MAX_BYTES, COMMIT_WINDOW};
use crate::store::Store;
use crate::telemetry::Metrics;

/// Why the bus could not do what was asked. Nothing that matters is lost with it.
#[derive(Debug, Clone, Error)]
#[error("the bus failed: {0}")]
pub struct BusError(pub String);

/// Who carries messages and shared keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BusKind {
    /// This office alone.
    Embedded,
    /// This office and a central Redis.
    Central,
}

/// How the bus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusState {
    /// Who carries messages.
    pub kind: BusKind,
    /// Whether others can be reached; alone, there is nobody to reach, and it is true.
    pub up: bool,
    /// Since when it is so, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why the central Redis could not be used the last time, without secrets.
    pub last_error: Option<String>,
    /// Since when it was away the last time before it came back, in milliseconds since 1970: what others published from
    /// then until `since_ms` was not heard here.
    pub away_since_ms: Option<u64>,
    /// Whether it was up before: then something may have been missed.
    was_up_before: bool,
}

/// What the bus needs to reach others.
pub struct BusOptions {
    /// Keeps what waits for the central server.
    pub store: Store,
    /// The central server, if there is one.
    pub central: Option<CentralUrl>,
    /// The figures.
    pub metrics: Metrics,
}

/// A handle on the bus; cheap to clone. The last handle dropped closes it.
#[derive(Clone)]
pub struct Bus(Arc<Parts>);

struct Parts {
    name: String,
    local: Embedded,
    exchange: Arc<Exchange>,
    central: Arc<Central>,
    outgoing: Option<Outgoing>,
    clock: Clock,
    metrics: Metrics,
}

impl Bus {
    /// Opens the folder, for this office alone; one that cannot be read is set aside, and an empty one is made.
    ///
    /// # Errors
    /// When the folder is in use by somebody else, or cannot be written at all.
    pub fn open(dir: &Path, clock: &Clock) -> Result<Self, BusError> {
        Self::assemble(dir, clock, None, Metrics::new(), None)
    }

    /// Opens the folder, and can reach a central server once [`Bus::keep_connected`] runs.
    ///
    /// # Errors
    /// As [`Bus::open`], and when what waits for the central server cannot be read.
    pub fn open_with(dir: &Path, clock: &Clock, options: BusOptions) -> Result<Self, BusError> {
        let BusOptions { store, central, metrics } = options;
        let outgoing = Outgoing::open(store, metrics.clone())?;
        Self::assemble(dir, clock, central, metrics, Some(outgoing))
    }

    fn assemble(
        dir: &Path,
        clock: &Clock,
        url: Option<CentralUrl>,
        metrics: Metrics,
        outgoing: Option<Outgoing>,
    ) -> Result<Self, BusError> {
        let local = Embedded::open(dir, clock)?;
        let name = name_of(&local);
        let exchange: Arc<Exchange> = Arc::default();
        let central = Central::new(url, &name, exchange.clone(), clock.clone(), metrics.clone());
        Ok(Self(Arc::new(Parts { name, local, exchange, central, outgoing, clock: clock.clone(), metrics })))
    }

    /// The office's name among those behind the same central server: the same after a restart.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Puts a key, for ever or for `life`.
    ///
    /// # Errors
    /// When it is too large, too many keys are there, or the disk refuses.
    pub fn set(&self, key: &str, value: &[u8], life: Option<Duration>) -> Result<(), BusError> {
        if key.len() > BUS_KEY_MAX_BYTES || value.len() > BUS_VALUE_MAX_BYTES {
            return Err(BusError("the key or its value is too large".into()));
        }
        self.0.local.set(key, value, life)
    }

    /// Reads a key that has not expired.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn get(&self, key: &str) -> Result<Option<Bytes>, BusError> {
        self.0.local.get(key)
    }

    /// Removes a key; says whether it was there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn delete(&self, key: &str) -> Result<bool, BusError> {
        self.0.local.delete(key)
    }

    /// Reads up to `most` keys that begin with `prefix` and have not expired.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn scan(&self, prefix: &str, most: usize) -> Result<Vec<(String, Bytes)>, BusError> {
        self.0.local.scan(prefix, most)
    }

    /// Writes the keys of this office to disk now; without it that happens within a second. What must outlive a
    /// kill, such as the end of somebody's session, is settled before it is answered.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn settle(&self) -> Result<(), BusError> {
        self.0.local.settle()
    }

    /// Publishes: hands the message to everybody who listens here, and waits for every consumer. With a central server
    /// configured the message is on disk, on its way there, when this returns; when as much waits for that server as
    /// may wait, it is for this office alone. `id` names the publication; publishing it again under the same one is
    /// safe. What was begun is finished, though nobody waits for it any more.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, message: &Message, id: Option<&str>) -> Result<Published, PublishError> {
        if self.0.outgoing.is_none() || !self.0.central.is_configured() {
            return Ok(Published { reached: self.say(message, id).await?, forwarded: false });
        }
        let (bus, message, id) = (self.clone(), message.clone(), id.map(str::to_owned));
        let both = tokio::spawn(async move { bus.say_and_forward(&message, id.as_deref()).await });
        both.await.unwrap_or_else(|error| Err(PublishError::Failed(error.to_string())))
    }

    async fn say(&self, message: &Message, id: Option<&str>) -> Result<usize, PublishError> {
        self.0.exchange.say(message, id).await.map_err(|why| match why {
            Undelivered::Refused(why) => PublishError::Refused(why),
            Undelivered::Failed(why) => PublishError::Failed(why),
        })
    }

    async fn say_and_forward(&self, message: &Message, id: Option<&str>) -> Result<Published, PublishError> {
        let place = self.0.outgoing.as_ref().and_then(|outgoing| Some((outgoing, outgoing.place(message)?)));
        let reached = self.say(message, id).await?;
        let forwarded = place.is_some();
        match place {
            Some((outgoing, place)) => outgoing.put(message, place).await?,
            None => {
                self.0.metrics.refuse("bus_full");
                tracing::warn!(
                    channel = &*message.channel,
                    "too much waits for the central Redis: a message stays in this office"
                );
            }
        }
        Ok(Published { reached, forwarded })
    }

    /// Tells other offices something that is worth nothing later: it is not kept, and lost where the central server is
    /// away. Nobody here hears it.
    pub async fn pass(&self, message: Message) {
        if self.0.central.is_configured() {
            self.0.central.publish(&[message]).await;
        }
    }

    /// Listens, until the subscription is dropped. What waits for it is bounded; it is told when it was too slow.
    ///
    /// # Errors
    /// When too many listen already.
    pub fn subscribe(&self, pattern: Pattern) -> Result<Subscription, BusError> {
        self.0.exchange.subscribe(pattern).ok_or_else(too_many)
    }

    /// Lets a consumer do its work on what is published on these channels, until what is returned is dropped. The
    /// patterns must not overlap. Call it inside a runtime.
    ///
    /// # Errors
    /// When too many listen already.
    pub fn consume(&self, patterns: &[Pattern], consumer: Arc<dyn Consumer>) -> Result<Consuming, BusError> {
        self.0.exchange.consume(patterns, consumer).ok_or_else(too_many)
    }

    /// How the bus is, and how it changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BusState> {
        self.0.central.state()
    }

    /// When it was last seen that the central server had lost its data, in milliseconds since 1970: what others had put
    /// there before may be missing without having been removed.
    #[must_use]
    pub fn lost_data_ms(&self) -> Option<u64> {
        self.0.central.lost_data_ms()
    }

    /// How many messages wait for the central server.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.outgoing.as_ref().map_or(0, Outgoing::count)
    }

    /// The central server, if one is configured.
    #[must_use]
    pub fn central(&self) -> Option<CentralUrl> {
        self.0.central.url()
    }

    /// Another central server from now on, or none.
    pub fn choose_central(&self, url: Option<CentralUrl>) {
        self.0.central.choose(url);
    }

    /// Tries a central server out: connects, logs in, asks for a sign of life. Answers within seconds.
    ///
    /// # Errors
    /// Why it cannot be used, without secrets.
    pub async fn try_central(url: &CentralUrl) -> Result<(), BusError> {
        Central::try_out(url).await.map_err(BusError)
    }

    /// A short word for why the central server could not be used ([`BusState::last_error`], [`Bus::try_central`]), for
    /// who says it in another language. `other` for what has no word.
    #[must_use]
    pub fn why_code(why: &str) -> &'static str {
        central::code(why)
    }

    /// Keeps the connection to the central server until `stop`: connects, listens, and connects again.
    pub async fn keep_connected(&self, stop: CancellationToken) {
        let greet = |sender, told| async move { self.put_again(sender, told).await };
        Arc::clone(&self.0.central).run(stop, greet).await;
    }

    /// Waits until messages wait for the central server and it is there.
    pub async fn can_forward(&self) {
        let Some(outgoing) = &self.0.outgoing else { return std::future::pending().await };
        let mut state = self.state();
        loop {
            let up = {
                let now = state.borrow_and_update();
                now.up && now.kind == BusKind::Central
            };
            if up && outgoing.count() > 0 {
                return;
            }
            tokio::select! {
                () = outgoing.put_since() => {}
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Sends the oldest waiting messages, at most so many, to the central server. True: all of them are there.
    ///
    /// # Errors
    /// When the disk could not be read or written; what was sent may be sent again.
    pub async fn forward(&self, most: usize) -> Result<bool, BusError> {
        let bus = self.clone();
        let batch = tokio::task::spawn_blocking(move || match &bus.0.outgoing {
            Some(outgoing) => outgoing.oldest(most).map(Some),
            None => Ok(None),
        });
        let batch = batch.await.map_err(|error| BusError(error.to_string()))??;
        let (Some(batch), Some(outgoing)) = (batch, &self.0.outgoing) else { return Ok(true) };
        if batch.messages.is_empty() {
            tokio::time::sleep(COMMIT_WINDOW).await; // still on its way to the disk
            return Ok(true);
        }
        let (done, all) = self.0.central.publish(&batch.messages).await;
        outgoing.sent(&batch, done).await?;
        Ok(all)
    }

    /// Ends every subscription, writes what is in memory to disk and closes the files.
    pub fn close(&self) {
        self.0.exchange.close();
        self.0.local.close();
    }
}

fn name_of(local: &Embedded) -> String {
    const NAME: &str = "bus/name";
    let known = local.get(NAME).ok().flatten();
    if let Some(name) = known.and_then(|name| String::from_utf8(name.to_vec()).ok()) {
        return name;
    }
    let mut bytes = [0; 8];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "no randomness for the office's name among others");
    }
    let name = format!("{:016x}", u64::from_be_bytes(bytes));
    if let Err(error) = local.set(NAME, name.as_bytes(), None) {
        tracing::debug!(%error, "the office's name among others was not kept");
    }
    name
}

fn too_many() -> BusError {
    BusError("too many listen already".into())
}
