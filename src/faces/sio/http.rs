//! Engine.IO over HTTP: what a request asks for, what the reference server would answer, and polling.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::dialect::Arrival;
use super::floor::Floor;
use super::session::{Session, Transport};
use super::{Origins, Reason, query, websocket};
use crate::config::limits::{
    CLOSE_LINGER, ENGINE_OVERTAKING_MAX, ENGINE_PAYLOAD_MAX_BYTES, ENGINE_PROBE_PAUSE, REQUEST_DEADLINE,
    UNAUTHENTICATED_MAX_BYTES,
};
use crate::faces::Caller;
use crate::faces::line::{Handshake as WebSocketHandshake, messages};
use crate::wire::engineio::{self, Handshake, Packet, SEPARATOR};

/// A refusal, with the reference server's numbers and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Transport,
    Session,
    Method,
    Request,
    Version,
    TooLarge,
    Flood,
    Full,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Transport => (StatusCode::BAD_REQUEST, 0, "Transport unknown"),
            Self::Session => (StatusCode::BAD_REQUEST, 1, "Session ID unknown"),
            Self::Method => (StatusCode::BAD_REQUEST, 2, "Bad handshake method"),
            Self::Request => (StatusCode::BAD_REQUEST, 3, "Bad request"),
            Self::Version => (StatusCode::BAD_REQUEST, 5, "Unsupported protocol version"),
            // The reference server says nothing but the status here.
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, 3, "Payload too large"),
            Self::Flood => (StatusCode::TOO_MANY_REQUESTS, 3, "Too many messages"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, 4, "Too many at once. Try again."),
        };
        let body = format!("{{\"code\":{code},\"message\":\"{message}\"}}");
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// Every other path under ours.
pub(super) async fn nothing_here() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// The one route of the transport.
pub(super) async fn answer(
    State(floor): State<Arc<Floor>>,
    Extension(caller): Extension<Caller>,
    request: Request<Body>,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut response = if parts.method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        route(&floor, &caller, &mut parts, body).await.unwrap_or_else(|refusal| {
            tracing::debug!(?refusal, "a channel request was refused");
            refusal.into_response()
        })
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    allow(&floor.options.origins, &parts, response.headers_mut());
    response
}

async fn route(
    floor: &Arc<Floor>,
    caller: &Caller,
    parts: &mut Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let uri = parts.uri.clone();
    let asked =
        |name: &str| query::value(uri.query().unwrap_or_default(), name).filter(|value| !value.is_empty());
    let transport = match asked("transport").as_deref() {
        Some("polling") => Transport::Polling,
        Some("websocket") => Transport::WebSocket,
        _ => return Err(Refusal::Transport),
    };
    let upgrades = parts.headers.contains_key(header::UPGRADE);
    if let Some(sid) = asked("sid") {
        let session = floor.session(&sid).ok_or(Refusal::Session)?;
        // Before anything is waited for: whoever was let in and waits takes no stranger's place.
        session.introduce(caller);
        if transport == Transport::WebSocket {
            let handshake = WebSocketHandshake::of(parts).ok_or(Refusal::Request)?;
            let caller = caller.clone();
            return Ok(handshake.accept(None, ENGINE_PAYLOAD_MAX_BYTES, move |line| {
                websocket::upgrade(session, line, caller)
            }));
        }
        if upgrades || session.transport() == Transport::WebSocket {
            return Err(Refusal::Request);
        }
        return match parts.method {
            Method::GET => Ok(poll(&session, caller).await),
            Method::POST => take(&session, caller, parts, body).await,
            _ => Err(Refusal::Request),
        };
    }
    if parts.method != Method::GET {
        return Err(Refusal::Method);
    }
    if upgrades != (transport == Transport::WebSocket) {
        return Err(Refusal::Request);
    }
    if asked("EIO").as_deref() != Some("4") {
        return Err(Refusal::Version);
    }
    let arrival = Arrival::new(caller, &parts.uri, &parts.headers);
    if transport == Transport::Polling {
        let session = floor.open(arrival, transport).ok_or(Refusal::Full)?;
        return Ok(text_response(greeting(&session, true)));
    }
    let handshake = WebSocketHandshake::of(parts).ok_or(Refusal::Request)?;
    let session = floor.open(arrival, transport).ok_or(Refusal::Full)?;
    let hello = greeting(&session, false);
    session.signal(&Packet::Open(hello.get(1..).unwrap_or_default()));
    caller.hold_answer();
    let caller = caller.clone();
    Ok(handshake.accept(None, ENGINE_PAYLOAD_MAX_BYTES, move |line| websocket::open(session, line, caller)))
}

/// The open packet.
fn greeting(session: &Session, upgrades: bool) -> String {
    let options = &session.floor.options;
    let handshake = Handshake {
        sid: &session.sid,
        upgrades,
        ping_interval_ms: options.ping_interval.as_millis() as u64,
        ping_timeout_ms: options.ping_timeout.as_millis() as u64,
        max_payload: ENGINE_PAYLOAD_MAX_BYTES,
    };
    handshake.encode()
}

// --- polling ---------------------------------------------------------------------------------------------

/// A request that waits until there is something to say.
async fn poll(session: &Arc<Session>, caller: &Caller) -> Response {
    let Some(request) = session.begin(true) else {
        session.close(Reason::Overlap);
        return Refusal::Request.into_response();
    };
    let options = &session.floor.options;
    // Within this time the client is asked for a sign of life and has given it, or the session is over.
    let most = options.ping_interval + options.ping_timeout;
    let body = timeout(most, news(session)).await.unwrap_or_else(|_| Some(noop()));
    session.introduce(caller);
    request.done();
    body.map_or_else(|| Refusal::Request.into_response(), text_response)
}

/// What there is to say, once there is something. `None`: the client has moved, and asks here all the same; one that
/// waits for its requests before it moves does not.
async fn news(session: &Session) -> Option<String> {
    loop {
        match session.take_now() {
            Ok(frames) if frames.is_empty() => {}
            Ok(frames) => return Some(payload(&frames)),
            Err(Reason::Closed | Reason::Left) => return Some(noop()),
            Err(_) => return Some("1".into()),
        }
        match session.transport() {
            Transport::Polling => session.wait(Transport::Polling).await,
            Transport::Probing => {
                let waited = timeout(ENGINE_PROBE_PAUSE, session.wait(Transport::Probing)).await;
                if waited.is_err() && session.transport() != Transport::Polling {
                    return Some(noop());
                }
            }
            Transport::WebSocket => return None,
        }
    }
}

fn noop() -> String {
    "6".to_owned()
}

/// Frames as a polling payload.
fn payload(frames: &[Bytes]) -> String {
    let mut out = Vec::with_capacity(frames.iter().map(|frame| frame.len() + 1).sum());
    for (is_text, message) in frames.iter().flat_map(|frames| messages(frames)) {
        if !out.is_empty() {
            out.push(SEPARATOR as u8);
        }
        if is_text {
            out.extend_from_slice(message);
        } else {
            engineio::encode_binary(&mut out, message);
        }
    }
    // Arguments came as text, or were JSON of our own; what is neither must not end the session.
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// A request that brings packets.
async fn take(
    session: &Arc<Session>,
    caller: &Caller,
    parts: &Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let Some(request) = session.begin(false) else {
        session.close(Reason::Overlap);
        return Err(Refusal::Request);
    };
    let kind = parts.headers.get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream")) {
        session.close(Reason::Malformed);
        return Err(Refusal::Request);
    }
    let most = if session.is_trusted() { ENGINE_PAYLOAD_MAX_BYTES } else { UNAUTHENTICATED_MAX_BYTES };
    let Some(body) = read(&parts.headers, body, most).await else {
        // The client reads why, and goes by itself; its other request must not tell it first that all is over.
        let session = session.clone();
        tokio::spawn(async move {
            tokio::time::sleep(CLOSE_LINGER).await;
            session.close(Reason::TooLarge);
        });
        request.done();
        return Err(Refusal::TooLarge);
    };
    let Ok(text) = std::str::from_utf8(&body) else {
        session.close(Reason::Malformed);
        return Err(Refusal::Request);
    };
    for packet in engineio::payload(text) {
        session.room(REQUEST_DEADLINE).await;
        if let Err(reason) = session.hear(packet).await {
            if reason == Reason::Closed {
                last_request(session).await;
            }
            session.close(reason);
            match reason {
                Reason::Closed => break,
                Reason::TooLarge => return Err(Refusal::TooLarge),
                Reason::Flood => return Err(Refusal::Flood),
                _ => return Err(Refusal::Request),
            }
        }
        if session.is_over() {
            break;
        }
    }
    session.introduce(caller);
    request.done();
    Ok(([(header::CONTENT_TYPE, "text/html")], "ok").into_response())
}

/// Waits a moment for the request that is to hear of the end: the client sent it before, on another connection.
async fn last_request(session: &Session) {
    let asked = async {
        while !session.is_asked() {
            tokio::time::sleep(ENGINE_OVERTAKING_MAX / 10).await;
        }
    };
    let _ = timeout(ENGINE_OVERTAKING_MAX, asked).await;
}

/// A body of at most `most` bytes. More is read and let go, a few times over: a client that is still sending does not
/// read an answer.
async fn read(headers: &HeaderMap, body: Body, most: usize) -> Option<Vec<u8>> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let (mut kept, mut seen) = (Vec::with_capacity(length.unwrap_or(0).min(most)), 0);
    let mut fits = length.is_none_or(|length| length <= most);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.ok()?;
        seen += piece.len();
        fits &= seen <= most;
        if fits {
            kept.extend_from_slice(&piece);
        } else if seen > 4 * ENGINE_PAYLOAD_MAX_BYTES {
            break;
        }
    }
    fits.then_some(kept)
}

fn text_response(body: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], body).into_response()
}

// --- other places' pages ---------------------------------------------------------------------------------

/// Says whose pages may read the answer. Who is not among them is told who is, as the reference server does.
fn allow(origins: &Origins, parts: &Parts, headers: &mut HeaderMap) {
    let origin = parts.headers.get(header::ORIGIN);
    let allowed = match origins {
        Origins::Any => Some(origin.cloned().unwrap_or(HeaderValue::from_static("*"))),
        Origins::These(list) => {
            let named = |origin: &&HeaderValue| {
                list.iter().any(|known| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes()))
            };
            let first = || list.first().and_then(|first| HeaderValue::from_str(first).ok());
            origin.filter(named).cloned().or_else(first)
        }
    };
    let Some(allowed) = allowed else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if parts.method == Method::OPTIONS {
        let methods = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        if let Some(wanted) = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            let vary = HeaderValue::from_static("Origin, Access-Control-Request-Headers");
            headers.insert(header::VARY, vary);
        }
    }
}
