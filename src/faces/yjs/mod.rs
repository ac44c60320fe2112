//! The documents' face for Yjs clients: Hocuspocus providers at `/hocuspocus`, y-websocket at `/yjs/<room>`.
//!
//! Owns the two dialects and the sockets that speak them. Does not know what an update means, where it is kept, or
//! how a credential is checked.

mod address;
mod asking;
mod closing;
mod hocuspocus;
mod mouth;
mod notice;
mod say;
mod session;
mod ywebsocket;

use axum::Router;
use axum::http::Uri;
use axum::routing::get;
use bytes::Bytes;

use crate::auth::{Auth, Grant};
use crate::config::limits::SOCKET_BUFFER_BYTES;
use crate::faces::Caller;
use crate::rooms::Rooms;
use crate::telemetry::Metrics;

/// Where the frames of Hocuspocus' plain addresses are shared.
const YJS_HOCUSPOCUS: usize = 0;
/// Where the frames of y-websocket are shared.
const YJS_PLAIN: usize = 1;

/// What the two dialects need of the house.
#[derive(Clone)]
pub struct YjsFace {
    /// Where documents are.
    pub rooms: Rooms,
    /// Who may open them.
    pub auth: Auth,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether a y-websocket client may bring its token as `?token=` (existing clients do; a URL is a poor place).
    pub query_tokens: bool,
}

impl YjsFace {
    /// The grant behind a token that a client brought; the office's own counts on this computer only.
    fn grant(&self, caller: &Caller, token: &str) -> Option<Grant> {
        let grant = if caller.local { self.auth.grant_here(token) } else { self.auth.grant(token) };
        grant.ok()
    }
}

/// The routes of both dialects. The door puts a [`Caller`] in front of them.
pub fn routes(face: YjsFace) -> Router {
    Router::new()
        .route("/hocuspocus", get(hocuspocus::open))
        .route("/hocuspocus/", get(hocuspocus::open))
        .route("/yjs/{*room}", get(ywebsocket::open))
        .with_state(face)
}

/// The version of the record schema that a client says it knows: `?schema=1`.
fn schema_of(uri: &Uri) -> Option<u32> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("schema="))?.parse().ok()
}

/// Bytes that outlive their message. Short ones share the socket's read buffer, so they move out of it.
fn keep(bytes: Bytes) -> Bytes {
    if bytes.len() < SOCKET_BUFFER_BYTES { Bytes::copy_from_slice(&bytes) } else { bytes }
}
