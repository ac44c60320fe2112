//! Loomio's dialect: its channels, its bots, and who may write in its documents.
//!
//! Owns what a message of Loomio's back end means here. Does not know how sockets are spoken, nor what a record says.

mod boot;
mod bots;
mod channels;
mod feed;
mod matrix;
mod plain;
mod standing;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::routing::{get, post};

pub use bots::{Bots, CHATBOT};
pub use standing::is_room;

use crate::auth::Auth;
use crate::bus::{Bus, BusError, Consuming, LookedUp};
use crate::clock::Clock;
use crate::config::Loomio;
use crate::faces::sio::{Accepted, Dialect, Hello, Later, Peer, Reason, Refused, Said};
use crate::rooms::space::{Room, Space};
use crate::telemetry::Metrics;
use channels::Channels;

/// What the dialect needs of the house; cheap to clone.
#[derive(Clone)]
pub struct LoomioFace {
    /// Who people are.
    pub auth: Auth,
    /// Where channel tokens are known.
    pub bus: Bus,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    /// What the operator says.
    pub options: Loomio,
}

/// The routes that Loomio's pages and servers of shared texts ask.
pub fn routes(face: LoomioFace) -> Router {
    Router::new()
        .route("/api/v1/boot/site", get(boot::site))
        .route(MAY_WRITE, post(boot::may_write))
        .with_state(face)
}

/// Where another server asks who may write. The question itself holds the credentials.
pub const MAY_WRITE: &str = "/api/hocuspocus";

impl LoomioFace {
    async fn key(&self, key: &str) -> Result<LookedUp, BusError> {
        self.bus.look_up(key).await
    }

    async fn make_known(&self, key: &str, value: &[u8]) -> Result<(), BusError> {
        self.bus.put_shared(key, value, Some(self.options.token_life)).await
    }

    async fn forget(&self, key: &str) -> Result<(), BusError> {
        self.bus.delete_shared(key).await
    }
}

/// Loomio on the channels' transport: deaf until [`LoomioChannels::open`]; cheap to clone.
#[derive(Clone)]
pub struct LoomioChannels(Arc<Part>);

struct Part {
    face: LoomioFace,
    bots: Bots,
    open: OnceLock<Channels>,
}

impl LoomioChannels {
    /// A part that is not open yet.
    #[must_use]
    pub fn new(face: LoomioFace, bots: Bots) -> Self {
        Self(Arc::new(Part { face, bots, open: OnceLock::new() }))
    }

    /// Opens: from now on clients come in, and what is published reaches them until what is returned is dropped. Once.
    ///
    /// # Errors
    /// When too many listen to the bus already.
    pub fn open(&self, space: &Space) -> Result<Consuming, BusError> {
        let part = &self.0;
        let _ = part.open.set(Channels::new(part.face.clone(), space.clone()));
        let feed = feed::consumer(space.clone(), part.bots.clone(), part.face.metrics.clone());
        part.face.bus.consume(&feed::patterns(part.face.options.bots), feed)
    }

    /// Looks after memberships, for ever.
    pub async fn keep_watch(&self) {
        match self.0.open.get() {
            Some(channels) => channels.keep_watch().await,
            None => std::future::pending().await,
        }
    }
}

impl Dialect for LoomioChannels {
    fn connect<'a>(&'a self, hello: Hello<'a>) -> Later<'a, Option<Result<Accepted, Refused>>> {
        match self.0.open.get() {
            Some(channels) => channels.connect(hello),
            None => Box::pin(std::future::ready(None)),
        }
    }

    fn joined<'a>(&'a self, peer: &'a Peer, recovered: bool, rooms: Vec<Room>) -> Later<'a, ()> {
        match self.0.open.get() {
            Some(channels) => channels.joined(peer, recovered, rooms),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn event<'a>(&'a self, peer: &'a Peer, said: Said) -> Later<'a, ()> {
        match self.0.open.get() {
            Some(channels) => channels.event(peer, said),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn gone<'a>(&'a self, peer: &'a Peer, reason: Reason) -> Later<'a, ()> {
        match self.0.open.get() {
            Some(channels) => channels.gone(peer, reason),
            None => Box::pin(std::future::ready(())),
        }
    }
}
