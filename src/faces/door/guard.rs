//! The checks that every request passes before any route sees it, in one list.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use super::names::{Names, Place};
use crate::auth::Auth;
use crate::clock::Stopwatch;
use crate::config::limits::REQUEST_DEADLINE;
use crate::faces::{Caller, failure};
use crate::telemetry::Metrics;

/// Where the channels are. Their sessions are known by secret ids, so that a request without a page may change them.
const CHANNELS: &str = "/socket.io/";

/// The cookie that holds a session's token.
pub const SESSION_COOKIE: &str = "townhall_session";

/// Where the body holds the credentials, and nothing else counts: what a cookie says is not even looked at.
const PROVEN_BY_BODY: &[&str] = &["/api/hocuspocus"];

/// What the checks need; cheap to clone.
#[derive(Clone)]
pub struct Guard {
    /// What the office is called.
    pub names: Names,
    /// Who people are.
    pub auth: Auth,
    /// What is counted.
    pub metrics: Metrics,
    /// What is said about refusals.
    pub refusals: Refusals,
}

/// Says each kind of refusal once a second at most: a crowd at the door must not fill the disk with its story. The
/// figures count all of them.
#[derive(Clone)]
pub struct Refusals(Arc<(Stopwatch, [AtomicU64; Refusal::KINDS])>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Arc::new((Stopwatch::start(), Default::default())))
    }
}

impl Refusals {
    pub(super) fn speaks(&self, kind: usize) -> bool {
        let (since, last) = &*self.0;
        let second = since.elapsed().as_secs() + 1;
        last.get(kind).is_none_or(|last| last.swap(second, Ordering::Relaxed) != second)
    }
}

/// The whole stack around all routes, outermost last: headers, Host, Origin, who calls, deadline.
pub fn stack(routes: Router, guard: Guard) -> Router {
    routes.layer(from_fn_with_state(guard, pass))
}

async fn pass(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let called = called(&guard, &request);
    let mut response = match admit(&guard, &mut request, called.as_ref()) {
        Ok(()) => answer(request, next).await,
        Err(refusal) => {
            guard.metrics.refuse(refusal.code());
            if guard.refusals.speaks(refusal as usize) {
                tracing::info!(%method, path, reason = refusal.code(), "a request was refused");
            }
            refusal.answer()
        }
    };
    harden(response.headers_mut(), called.as_ref());
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, took_ms = watch.elapsed().as_millis() as u64, "answered");
    response
}

/// Why a request did not pass.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    Host,
    Origin,
    Caller,
}

impl Refusal {
    const KINDS: usize = 3;

    fn code(self) -> &'static str {
        match self {
            Self::Host => "host_not_ours",
            Self::Origin => "origin_not_allowed",
            Self::Caller => "caller_unknown",
        }
    }

    fn answer(self) -> Response {
        match self {
            Self::Host => failure(
                StatusCode::MISDIRECTED_REQUEST,
                self.code(),
                "This server does not go by that name. Use the address shown on the office's computer.",
            ),
            Self::Origin => {
                failure(StatusCode::FORBIDDEN, self.code(), "A page from another place may not do this.")
            }
            Self::Caller => {
                failure(StatusCode::INTERNAL_SERVER_ERROR, self.code(), "The connection is not known.")
            }
        }
    }
}

/// The place the request was sent to, if it is ours: one Host header, and no other authority in the request line.
fn called(guard: &Guard, request: &Request) -> Option<Place> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    if hosts.next().is_some() {
        return None;
    }
    let place = guard.names.ours(host)?;
    match request.uri().authority() {
        Some(authority) if guard.names.ours(authority.as_str())? != place => None,
        _ => Some(place),
    }
}

/// Host, then Origin, then who it is.
fn admit(guard: &Guard, request: &mut Request, called: Option<&Place>) -> Result<(), Refusal> {
    let called = called.ok_or(Refusal::Host)?;
    let headers = request.headers();
    let bearer = bearer(headers);
    let channel = request.uri().path().starts_with(CHANNELS);
    let page = match page(guard, headers, called) {
        Err(_) if channel && may_listen(guard, request.method(), headers) => Page::Listener,
        other => other?,
    };
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD) && !is_websocket(headers);
    // A cookie comes along by itself, so alone it proves nothing for a request that changes something: there the page
    // has to be ours too. A bearer header is put there by a program that knows the token.
    let cookie = if page == Page::Ours || (harmless && page != Page::Listener) {
        session_token(headers)
    } else {
        None
    };
    let proven = channel || PROVEN_BY_BODY.contains(&request.uri().path());
    let bare = page == Page::None && bearer.is_none() && !proven;
    if bare && !harmless && !opens_websocket(request.method(), headers) {
        return Err(Refusal::Origin);
    }
    let caller = request.extensions().get::<Caller>().ok_or(Refusal::Caller)?;
    let here = caller.local;
    let grant = |token: &str| if here { guard.auth.grant_here(token) } else { guard.auth.grant(token) };
    let known = bearer.and_then(|token| grant(token).ok()).or_else(|| cookie.and_then(|t| grant(t).ok()));
    if let Some(caller) = request.extensions_mut().get_mut::<Caller>() {
        caller.grant = known;
        if caller.grant.is_some() {
            caller.authenticated();
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// The request comes from one of our own pages.
    Ours,
    /// A page of another place, on its way to the channels: no cookie of ours counts for it.
    Listener,
    /// No page at all: a program that is no browser, or a plain visit.
    None,
}

/// Whether a request for the channels may come from a page that is not ours. One that only reads may always: its page
/// cannot see the answer unless the channels say so, and without the session's id in it nothing can be changed.
fn may_listen(guard: &Guard, method: &Method, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !is_websocket(headers);
    reads || origin.to_str().is_ok_and(|origin| guard.names.may_listen(origin))
}

/// Where the request's page comes from; a page that is not ours gets nowhere but to a plain reading.
fn page(guard: &Guard, headers: &HeaderMap, called: &Place) -> Result<Page, Refusal> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => Ok(Page::None),
        (Some(origin), None) => match origin.to_str() {
            Ok(origin) if guard.names.may_talk(origin, called) => Ok(Page::Ours),
            _ => Err(Refusal::Origin),
        },
        (Some(_), Some(_)) => Err(Refusal::Origin),
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

/// Whether it is the beginning of a WebSocket, and no other request that only says so.
fn opens_websocket(method: &Method, headers: &HeaderMap) -> bool {
    let mut asked = headers.get_all(header::UPGRADE).iter();
    method == Method::GET && asked.any(|asked| asked.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The token of the session cookie.
#[must_use]
pub fn session_token(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    pairs.flat_map(|pairs| pairs.split(';')).find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == SESSION_COOKIE).then(|| value.trim())
    })
}

/// Whether it may be one that waits until the channels have news: how long, they know.
fn waits_for_news(request: &Request) -> bool {
    request.method() == Method::GET && request.uri().path() == CHANNELS
}

/// A request that is no WebSocket, and does not wait for news, is answered in time.
async fn answer(request: Request, next: Next) -> Response {
    if opens_websocket(request.method(), request.headers()) || waits_for_news(&request) {
        return next.run(request).await;
    }
    match tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "too_slow", "That took too long. Try again."),
    }
}

/// What every answer says to a browser: load nothing from elsewhere, guess no types, tell nobody where you were.
fn harden(headers: &mut HeaderMap, called: Option<&Place>) {
    // Not every browser takes 'self' to include WebSockets, so the place is named. It was parsed, so it is plain.
    let sockets = called.map(|place| format!(" ws://{place} wss://{place}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
         font-src 'self' data:; connect-src 'self'{sockets}; manifest-src 'self'; worker-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        // No opener policy: browsers ignore it on plain http, and complain about it.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.entry(policy).or_insert(HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tokio::time::sleep;
    use tower::ServiceExt;

    use super::*;
    use crate::config::limits::{ENGINE_PING_INTERVAL, ENGINE_PING_TIMEOUT};
    use crate::faces::sio::{Sio, SioOptions};

    async fn ask(routes: &Router, method: Method, uri: &str, body: &'static str) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(uri).body(Body::from(body)).unwrap();
        request.extensions_mut().insert(Caller::new(Ipv4Addr::LOCALHOST.into(), true, None));
        let response = routes.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1_024).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_waits_for_the_next_ping_however_late_the_last_one_was_answered() {
        let options = SioOptions { echo: true, ..SioOptions::default() };
        let sio = Sio::new(Vec::new(), options, &Metrics::new());
        let never = get(|| async { sleep(Duration::from_secs(3_600)).await });
        let routes = sio.routes().route("/never", never).layer(from_fn(answer));
        let (_, opened) = ask(&routes, Method::GET, "/socket.io/?EIO=4&transport=polling", "").await;
        let sid = opened.split('"').nth(3).unwrap();
        let here = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        assert_eq!(ask(&routes, Method::GET, &here, "").await, (200, "2".into()));
        // The client asks for more at once, as it should; its answer is late, and not too late.
        let (late, watch) = (ENGINE_PING_TIMEOUT - Duration::from_secs(1), tokio::time::Instant::now());
        let answer = async {
            sleep(late).await;
            ask(&routes, Method::POST, &here, "3").await
        };
        let (polled, answered) = tokio::join!(ask(&routes, Method::GET, &here, ""), answer);
        assert_eq!((polled, answered), ((200, "2".into()), (200, "ok".into())));
        assert!(watch.elapsed() >= late + ENGINE_PING_INTERVAL);
        assert_eq!(ask(&routes, Method::GET, "/never", "").await.0, 503, "others are answered in time");
    }

    #[test]
    fn not_every_request_that_names_a_websocket_begins_one() {
        let asking =
            |upgrade: &'static str| HeaderMap::from_iter([(header::UPGRADE, upgrade.parse().unwrap())]);
        assert!(opens_websocket(&Method::GET, &asking("WebSocket")));
        assert!(!opens_websocket(&Method::POST, &asking("websocket")));
        assert!(!opens_websocket(&Method::GET, &asking("h2c")));
        assert!(!opens_websocket(&Method::GET, &HeaderMap::new()));
    }
}
