//! The only HTTP client of the product: it goes where it was allowed to, and nowhere that a message made it go.
//!
//! Owns resolving, checking and pinning an address, TLS, deadlines and bounds. Does not know who is asked for what.
//! Nothing of a request but its host is ever said in an error or a log: addresses and headers may hold secrets.

mod address;
mod tls;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Uri;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, LOCATION};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use hyper::Method;
pub use hyper::header;

use crate::config::limits::{
    OUTBOUND_ANSWER_MAX_BYTES, OUTBOUND_AT_ONCE_MAX, OUTBOUND_DEADLINE, OUTBOUND_HEAD_MAX_BYTES,
    OUTBOUND_REDIRECTS_MAX, OUTBOUND_WAITING_MAX,
};
use tls::Tls;

type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
type Resolve = Arc<dyn Fn(&str, u16) -> Resolved + Send + Sync>;

/// The client; cheap to clone.
#[derive(Clone)]
pub struct Outbound(Arc<Inner>);

struct Inner {
    /// Hosts, or `host:port`, that the operator allows wherever they are.
    allowed: Vec<String>,
    resolve: Resolve,
    tls: Tls,
    permits: Semaphore,
    waiting: AtomicUsize,
}

/// One request.
#[derive(Clone)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// Headers besides `Host` and `Content-Length`.
    pub headers: Vec<(header::HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
    /// Whether the operator named this very URL's host: then it may be anywhere, and without TLS.
    pub trusted: bool,
    /// Whether a redirect is gone after, as a GET where browsers make it one.
    pub redirects: bool,
    /// The whole of it is done within this time; never longer than [`OUTBOUND_DEADLINE`].
    pub deadline: Duration,
}

impl Ask {
    /// A request with nothing special.
    #[must_use]
    pub fn new(method: Method, url: String) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: Bytes::new(),
            trusted: false,
            redirects: false,
            deadline: OUTBOUND_DEADLINE,
        }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// Seconds of `Retry-After`, where the other end said so.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The URL is none, or holds a name and a password.
    #[error("the address is not understood")]
    Url,
    /// Only TLS is spoken with hosts that the operator did not name.
    #[error("only https is allowed there")]
    Scheme,
    /// The host is this computer, this network, or otherwise not on the public internet.
    #[error("that host is not allowed")]
    Forbidden,
    /// Nobody knows the host.
    #[error("the host is not known")]
    Unknown,
    /// Nobody answers there.
    #[error("the host cannot be reached")]
    Unreachable,
    /// The other end is not who it should be, or speaks no TLS.
    #[error("the host has no certificate that is trusted here")]
    Tls,
    /// It took too long.
    #[error("the host did not answer in time")]
    TooSlow,
    /// The answer is longer than is read.
    #[error("the answer is too long")]
    TooLong,
    /// The answer is no HTTP.
    #[error("the answer is not understood")]
    Broken,
    /// Too many requests wait already.
    #[error("too many requests at once")]
    Busy,
}

/// Where a request goes.
struct Place {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
}

impl Outbound {
    /// A client that goes to the public internet, and to these hosts (or `host:port`) wherever they are.
    #[must_use]
    pub fn new(allowed: Vec<String>) -> Self {
        Self::with(
            allowed,
            Arc::new(|host, port| {
                let host = host.to_owned();
                Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
            }),
        )
    }

    fn with(allowed: Vec<String>, resolve: Resolve) -> Self {
        let allowed = allowed.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        Self(Arc::new(Inner {
            allowed,
            resolve,
            tls: Tls::default(),
            permits: Semaphore::new(OUTBOUND_AT_ONCE_MAX),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// Asks, and reads the whole answer.
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn ask(&self, ask: Ask) -> Result<Answer, OutboundError> {
        let waiting = &self.0.waiting;
        if waiting.fetch_add(1, Ordering::Relaxed) >= OUTBOUND_WAITING_MAX {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(OutboundError::Busy);
        }
        let _left = Waiting(waiting);
        let deadline = ask.deadline.min(OUTBOUND_DEADLINE);
        let asked = tokio::time::timeout(deadline, Box::pin(self.follow(ask))).await;
        asked.unwrap_or(Err(OutboundError::TooSlow))
    }

    async fn follow(&self, mut ask: Ask) -> Result<Answer, OutboundError> {
        let _permit = self.0.permits.acquire().await.map_err(|_| OutboundError::Busy)?;
        let mut left = if ask.redirects { OUTBOUND_REDIRECTS_MAX } else { 0 };
        loop {
            let place = place(&ask.url)?;
            let (answer, location) = self.once(&ask, &place).await?;
            let Some(location) = location.filter(|_| left > 0) else { return Ok(answer) };
            left -= 1;
            let to = joined(&place, &location)?;
            let there = self::place(&to)?;
            // Another host was not named by anybody, and what was sent here is no business of theirs.
            if there.host != place.host || (place.tls && !there.tls) {
                return Ok(answer);
            }
            if matches!(answer.status, 301..=303) {
                ask.method = Method::GET;
                ask.body = Bytes::new();
            }
            ask.url = to;
        }
    }

    async fn once(&self, ask: &Ask, place: &Place) -> Result<(Answer, Option<String>), OutboundError> {
        let allowed = ask.trusted || self.allows(place);
        if !place.tls && !allowed {
            return Err(OutboundError::Scheme);
        }
        // Asked once: what was checked is what is connected to.
        let found = (self.0.resolve)(&place.host, place.port).await.map_err(|_| OutboundError::Unknown)?;
        if found.is_empty() {
            return Err(OutboundError::Unknown);
        }
        let open = |address: &SocketAddr| allowed || address::is_public(address.ip());
        let addresses: Vec<_> = found.into_iter().filter(open).collect();
        if addresses.is_empty() {
            tracing::warn!(host = %place.host, "a request to a host that is not allowed was not made");
            return Err(OutboundError::Forbidden);
        }
        let tcp = TcpStream::connect(&*addresses).await.map_err(|_| OutboundError::Unreachable)?;
        if place.tls {
            let stream = self.0.tls.connect(&place.host, tcp).await?;
            talk(TokioIo::new(stream), ask, place).await
        } else {
            talk(TokioIo::new(tcp), ask, place).await
        }
    }

    fn allows(&self, place: &Place) -> bool {
        let with_port = format!("{}:{}", place.host, place.port);
        self.0.allowed.iter().any(|allowed| *allowed == place.host || *allowed == with_port)
    }
}

/// Somebody waits for an answer as long as this lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn place(url: &str) -> Result<Place, OutboundError> {
    let uri: Uri = url.parse().map_err(|_| OutboundError::Url)?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(OutboundError::Url),
    };
    let authority = uri.authority().ok_or(OutboundError::Url)?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(OutboundError::Url);
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Ok(Place { tls, host, port, authority: authority.as_str().to_owned() })
}

/// The URL that a redirect names, whole or as a path.
fn joined(place: &Place, location: &str) -> Result<String, OutboundError> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return Ok(location.to_owned());
    }
    if !location.starts_with('/') || location.starts_with("//") {
        return Err(OutboundError::Broken);
    }
    let scheme = if place.tls { "https" } else { "http" };
    Ok(format!("{scheme}://{}{location}", place.authority))
}

async fn talk<S>(stream: S, ask: &Ask, place: &Place) -> Result<(Answer, Option<String>), OutboundError>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let broken = |_: hyper::Error| OutboundError::Broken;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(OUTBOUND_HEAD_MAX_BYTES);
    let (mut sender, connection) = builder.handshake(stream).await.map_err(broken)?;
    // Ends with this request, whatever becomes of it.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let uri: Uri = ask.url.parse().map_err(|_| OutboundError::Url)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut request = hyper::Request::new(Full::new(ask.body.clone()));
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = path.parse().map_err(|_| OutboundError::Url)?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::try_from(&place.authority).map_err(|_| OutboundError::Url)?);
    for (name, value) in &ask.headers {
        headers.insert(name, value.clone());
    }
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let location = text(LOCATION).filter(|_| status.is_redirection()).map(str::to_owned);
    let retry_after = text(header::RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let body = Limited::new(response.into_body(), OUTBOUND_ANSWER_MAX_BYTES).collect().await;
    let body = body.map_err(|error| match error.downcast::<http_body_util::LengthLimitError>() {
        Ok(_) => OutboundError::TooLong,
        Err(_) => OutboundError::Broken,
    })?;
    Ok((Answer { status: status.as_u16(), body: body.to_bytes(), retry_after }, location))
}

/// Whether a text is an IP address: certificates and names treat those apart.
fn as_ip(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

#[cfg(test)]
mod tests;
