//! The WebSocket handshake of RFC 6455, as far as the faces need it.
//!
//! Owns turning an HTTP request into a [`Line`]. Does not know dialects. Compression is never agreed to: it costs
//! memory per connection and opens the door to bombs.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Line;
use crate::faces::failure;

/// A request that may become a socket.
pub(in crate::faces) struct Handshake {
    upgrade: OnUpgrade,
    accept: HeaderValue,
    offered: Vec<HeaderValue>,
}

/// The request is no WebSocket handshake.
pub(in crate::faces) struct NotAHandshake;

impl IntoResponse for NotAHandshake {
    fn into_response(self) -> Response {
        let headers = [(header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, "13")];
        let why = "This address speaks WebSocket only.";
        (headers, failure(StatusCode::UPGRADE_REQUIRED, "not_a_websocket", why)).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Handshake {
    type Rejection = NotAHandshake;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NotAHandshake> {
        Self::of(parts).ok_or(NotAHandshake)
    }
}

impl Handshake {
    /// The handshake of this request, if it is one.
    pub(in crate::faces) fn of(parts: &mut Parts) -> Option<Self> {
        let headers = &parts.headers;
        let asked = names(headers, header::CONNECTION, "upgrade")
            && names(headers, header::UPGRADE, "websocket")
            && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asked)?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()?;
        let offered = offered(headers);
        Some(Self { upgrade: parts.extensions.remove::<OnUpgrade>()?, accept, offered })
    }

    /// The first offered subprotocol that begins with `prefix`.
    pub(in crate::faces) fn offered(&self, prefix: &str) -> Option<HeaderValue> {
        self.offered.iter().find(|value| value.as_bytes().starts_with(prefix.as_bytes())).cloned()
    }

    /// Answers the request and hands the line to `talk`; a message on it has at most `most` bytes. A browser fails a
    /// connection whose subprotocols were all passed over, so the caller says which one is taken.
    pub(in crate::faces) fn accept<F>(
        self,
        subprotocol: Option<HeaderValue>,
        most: usize,
        talk: impl FnOnce(Line) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let upgrade = self.upgrade;
        tokio::spawn(async move {
            // A client that went away during the handshake is nobody's loss.
            let upgraded = upgrade.await.ok();
            if let Some(line) = upgraded.and_then(|upgraded| Line::new(upgraded, most)) {
                Box::pin(talk(line)).await; // beside this task, which began smaller
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

/// Whether a comma-separated header holds a word, in any case.
fn names(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}

fn offered(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|item| HeaderValue::from_bytes(item.trim_ascii()).ok())
        .collect()
}
