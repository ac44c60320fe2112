//! The WebSocket handshake of RFC 6455, as far as the Yjs faces need it.
//!
//! Owns turning an HTTP request into a [`Socket`]. Does not know dialects. Compression is never agreed to: it costs
//! memory per connection and opens the door to bombs.

use std::future::Future;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::socket::Socket;
use crate::telemetry::Metrics;

/// A request that may become a socket.
pub(super) struct Handshake {
    upgrade: OnUpgrade,
    accept: HeaderValue,
    offered: Vec<HeaderValue>,
}

/// The request is no WebSocket handshake.
pub(super) struct NotAHandshake;

impl IntoResponse for NotAHandshake {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "success": false,
            "error": { "code": "not_a_websocket", "message": "This address speaks WebSocket only." }
        });
        let headers = [(header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, "13")];
        (StatusCode::UPGRADE_REQUIRED, headers, Json(body)).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Handshake {
    type Rejection = NotAHandshake;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NotAHandshake> {
        let headers = &parts.headers;
        let asked = names(headers, header::CONNECTION, "upgrade")
            && names(headers, header::UPGRADE, "websocket")
            && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asked).ok_or(NotAHandshake)?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| NotAHandshake)?;
        let offered = offered(headers);
        let upgrade = parts.extensions.remove::<OnUpgrade>().ok_or(NotAHandshake)?;
        Ok(Self { upgrade, accept, offered })
    }
}

/// Whether a comma-separated header holds a word, in any case.
fn names(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

fn offered(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|item| HeaderValue::from_bytes(item.trim_ascii()).ok())
        .collect()
}

impl Handshake {
    /// The first offered subprotocol that begins with `prefix`.
    pub(super) fn offered(&self, prefix: &str) -> Option<HeaderValue> {
        self.offered.iter().find(|value| value.as_bytes().starts_with(prefix.as_bytes())).cloned()
    }

    /// Answers the request and hands the socket to `talk`. A browser fails a connection whose subprotocols were
    /// all passed over, so the caller says which one is taken.
    pub(super) fn accept<F>(
        self,
        subprotocol: Option<HeaderValue>,
        metrics: &Metrics,
        talk: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let metrics = metrics.clone();
        let upgrade = self.upgrade;
        tokio::spawn(async move {
            // A client that went away during the handshake is nobody's loss.
            if let Ok(upgraded) = upgrade.await {
                talk(Socket::new(upgraded, metrics).await).await;
            }
        });
        let headers = [
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept),
        ];
        let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
        if let Some(subprotocol) = subprotocol {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        response
    }
}
