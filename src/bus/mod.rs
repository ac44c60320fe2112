//! Keys with expiry, publish and subscribe, as bytes: what a central Redis would do, done in this office.
//!
//! Owns the embedded store of things that can be made again, and who listens to what. Does not know what the bytes
//! mean.

mod embedded;
mod exchange;
mod message;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

pub use self::exchange::{Consuming, Subscription};
pub use self::message::{
    Consumer, Delivery, Heard, Message, Missed, Pattern, PublishError, Published, Undelivered,
};

use self::embedded::Embedded;
use self::exchange::Exchange;
use crate::clock::Clock;
use crate::config::limits::{BUS_KEY_MAX_BYTES, BUS_VALUE_MAX_BYTES};

/// Why the bus could not do what was asked. Nothing that matters is lost with it.
#[derive(Debug, Clone, Error)]
#[error("the embedded bus failed: {0}")]
pub struct BusError(pub String);

/// A handle on the bus; cheap to clone. The last handle dropped closes it.
#[derive(Clone)]
pub struct Bus(Arc<Parts>);

struct Parts {
    local: Embedded,
    exchange: Arc<Exchange>,
}

impl Bus {
    /// Opens the folder; one that cannot be read is set aside, and an empty one is made.
    ///
    /// # Errors
    /// When the folder is in use by somebody else, or cannot be written at all.
    pub fn open(dir: &Path, clock: &Clock) -> Result<Self, BusError> {
        let local = Embedded::open(dir, clock)?;
        Ok(Self(Arc::new(Parts { local, exchange: Arc::default() })))
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

    /// Publishes: hands the message to everybody who listens here, and waits for every consumer. `id` names the
    /// publication; publishing it again under the same one is safe.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, message: &Message, id: Option<&str>) -> Result<Published, PublishError> {
        let said = self.0.exchange.say(message, id).await;
        let reached = said.map_err(|why| match why {
            Undelivered::Refused(why) => PublishError::Refused(why),
            Undelivered::Failed(why) => PublishError::Failed(why),
        })?;
        Ok(Published { reached, forwarded: false })
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

    /// Ends every subscription, writes what is in memory to disk and closes the files.
    pub fn close(&self) {
        self.0.exchange.close();
        self.0.local.close();
    }
}

fn too_many() -> BusError {
    BusError("too many listen already".into())
}
