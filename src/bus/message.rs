//! What is published, where, and who does something with it.
//!
//! Owns the names of channels and patterns and their bounds. Does not know what a message means.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::config::limits::{BUS_ARRIVING_MAX_BYTES, BUS_CHANNEL_MAX_BYTES, BUS_MESSAGE_MAX_BYTES};

/// Something published: bytes on a channel, exactly as the publisher gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub channel: Arc<str>,
    /// What.
    pub body: Bytes,
}

impl Message {
    /// A message, if its channel and its body are within their bounds.
    ///
    /// # Errors
    /// [`PublishError::Channel`] or [`PublishError::TooLarge`].
    pub fn new(channel: &str, body: Bytes) -> Result<Self, PublishError> {
        if !is_channel(channel) {
            return Err(PublishError::Channel);
        }
        if body.len() > BUS_MESSAGE_MAX_BYTES {
            return Err(PublishError::TooLarge);
        }
        Ok(Self { channel: channel.into(), body })
    }

    /// A message that another server published, which may be larger than one of ours. `None`: it is beyond every bound.
    pub(super) fn arriving(channel: &str, body: Bytes) -> Option<Self> {
        let fits = is_channel(channel) && body.len() <= BUS_ARRIVING_MAX_BYTES;
        fits.then(|| Self { channel: channel.into(), body })
    }

    /// Bytes it takes while it waits somewhere.
    pub(crate) fn cost(&self) -> usize {
        self.channel.len() + self.body.len() + 64
    }
}

/// Whether this can be a channel's name.
fn is_channel(channel: &str) -> bool {
    let bounded = !channel.is_empty() && channel.len() <= BUS_CHANNEL_MAX_BYTES;
    bounded && !channel.chars().any(char::is_control)
}

/// Which channels somebody wants to hear.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// This channel and no other.
    Channel(Arc<str>),
    /// Every channel that begins so.
    Prefix(Arc<str>),
}

impl Pattern {
    /// This channel and no other.
    #[must_use]
    pub fn channel(name: &str) -> Self {
        Self::Channel(name.into())
    }

    /// Every channel that begins so.
    #[must_use]
    pub fn prefix(start: &str) -> Self {
        Self::Prefix(start.into())
    }

    /// Whether the channel is wanted.
    #[must_use]
    pub fn takes(&self, channel: &str) -> bool {
        match self {
            Self::Channel(name) => **name == *channel,
            Self::Prefix(start) => channel.starts_with(&**start),
        }
    }
}

/// What a subscription hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Message),
    /// Messages that cannot be had any more.
    Missed(Missed),
}

/// Why messages were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// The listener was too slow: so many were dropped, the oldest first.
    Lagged(u64),
    /// The central server was out of reach: what others published there between these times is not known.
    Away {
        /// Out of reach since, in milliseconds since 1970.
        since_ms: u64,
        /// Back at.
        until_ms: u64,
    },
}

/// A message that is being taken; what comes of it tells when it is done.
pub type Beginning<'a> = Pin<Box<dyn Future<Output = Begun> + Send + 'a>>;

/// A message that a consumer has taken in its turn.
pub struct Begun(Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send>>);

impl Begun {
    /// One that is done when this is, which others bring about: it may be waited for much later.
    #[must_use]
    pub fn until(done: impl Future<Output = Result<(), Undelivered>> + Send + 'static) -> Self {
        Self(Box::pin(done))
    }

    /// One that is done.
    #[must_use]
    pub fn done(done: Result<(), Undelivered>) -> Self {
        Self::until(std::future::ready(done))
    }

    /// Waits until it is done.
    ///
    /// # Errors
    /// When it was not.
    pub async fn end(self) -> Result<(), Undelivered> {
        self.0.await
    }
}

/// Somebody who does something with what is published and knows when it is done. Whoever publishes here waits for
/// that: what has to be on disk is there before the publisher is answered.
pub trait Consumer: Send + Sync + 'static {
    /// Takes a message in its turn, and says when it is done: several may be under way at once. `id` names the
    /// publication: the same one again changes nothing more. Messages of other servers come without one.
    fn begin<'a>(&'a self, message: &'a Message, id: Option<&'a str>) -> Beginning<'a>;

    /// Something was missed. Most cannot do anything about it.
    fn missed(&self, missed: Missed) {
        tracing::warn!(?missed, "messages of other servers were missed");
    }
}

/// Why a consumer did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Undelivered {
    /// The message makes no sense; it never will.
    #[error("{0}")]
    Refused(String),
    /// It could not be done now.
    #[error("{0}")]
    Failed(String),
}

/// Why nothing was published. Nothing of it will arrive later either, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// The channel's name is empty, too long, or has control characters in it.
    #[error("a channel's name has 1 to {BUS_CHANNEL_MAX_BYTES} bytes and no control characters")]
    Channel,
    /// The message is too large.
    #[error("a message has at most {BUS_MESSAGE_MAX_BYTES} bytes")]
    TooLarge,
    /// Whoever listens says that the message makes no sense.
    #[error("{0}")]
    Refused(String),
    /// It could not be done now; publishing it again with the same id is safe.
    #[error("{0}")]
    Failed(String),
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Listeners in this office that it was handed to.
    pub reached: usize,
    /// Whether it is on its way to the central server: it lies on disk until it is there. Not where there is none, nor
    /// where too much waits for it.
    pub forwarded: bool,
}
