//! Socket.IO for the faces that speak it: Engine.IO 4 by polling and WebSocket, Socket.IO 5 on top.
//!
//! Owns transports, sessions and packets. Who may come in and what an event means is a [`Dialect`]'s; who hears what
//! is a space's. No message is dropped in silence: a client whose outbox passes its bound is closed, and recovers.

mod client;
mod dialect;
mod echo;
mod floor;
mod http;
mod pace;
mod query;
mod queue;
mod session;
mod talk;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};

pub use dialect::{Accepted, Ack, Arguments, Arrival, Dialect, Hello, Later, Peer, Reason, Refused, Said};
pub use echo::websocket_echo;

use crate::config::limits::{AUTHENTICATION_DEADLINE, ENGINE_PING_INTERVAL, ENGINE_PING_TIMEOUT};
use crate::telemetry::Metrics;
use floor::Floor;

/// Which pages of other places may talk to the channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All of them: for a reference server without secrets.
    Any,
    /// These, and our own, which need no permission.
    These(Vec<String>),
}

/// How the transport behaves.
#[derive(Debug, Clone)]
pub struct SioOptions {
    /// A client is asked for a sign of life this often…
    pub ping_interval: Duration,
    /// …and has this long to give it.
    pub ping_timeout: Duration,
    /// A client enters its first namespace within this time.
    pub connect_deadline: Duration,
    /// Whose pages may talk to us.
    pub origins: Origins,
    /// Whether a client that talks much is heard more slowly: off only where a suite measures how fast it goes.
    pub paced: bool,
    /// No Socket.IO: every Engine.IO message is sent back, for whoever examines that layer alone.
    pub echo: bool,
}

impl Default for SioOptions {
    fn default() -> Self {
        Self {
            ping_interval: ENGINE_PING_INTERVAL,
            ping_timeout: ENGINE_PING_TIMEOUT,
            connect_deadline: AUTHENTICATION_DEADLINE,
            origins: Origins::These(Vec::new()),
            paced: true,
            echo: false,
        }
    }
}

/// The channels' transport; cheap to clone.
#[derive(Clone)]
pub struct Sio(Arc<Floor>);

impl Sio {
    /// The transport below these dialects, which are asked in this order.
    #[must_use]
    pub fn new(dialects: Vec<Arc<dyn Dialect>>, options: SioOptions, metrics: &Metrics) -> Self {
        Self(Floor::new(dialects, options, metrics.clone()))
    }

    /// The routes under `/socket.io`. The door puts a [`super::Caller`] in front of them.
    pub fn routes(&self) -> Router {
        self.routes_at("/socket.io")
    }

    /// The routes under another path.
    pub fn routes_at(&self, path: &str) -> Router {
        Router::new()
            .route(&format!("{path}/"), any(http::answer))
            .route(&format!("{path}/socket.io.js"), get(client::bundle))
            .route(&format!("{path}/socket.io.min.js"), get(client::bundle))
            .route(path, any(http::nothing_here))
            .route(&format!("{path}/{{*rest}}"), any(http::nothing_here))
            .with_state(self.0.clone())
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.len()
    }

    /// Ends all sessions, and takes no new ones.
    pub async fn stop(&self) {
        self.0.stop().await;
    }
}
