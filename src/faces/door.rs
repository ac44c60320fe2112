//! The door: accept loops, seats, deadlines, and who is let in.
//!
//! Owns everything between a TCP connection and a face's route. Knows neither dialects nor rooms: it hands a
//! [`Caller`] on with each request.

mod guard;
mod names;
mod seats;
mod stream;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub use guard::{Guard, Refusals, SESSION_COOKIE, session_token, stack};
pub use names::Names;
pub use seats::Seat;
pub(in crate::faces) use stream::{DoorStream, StreamParts};

use super::{Caller, failure};
use crate::config::limits::{ACCEPT_PAUSE, GOODBYE, HEADER_DEADLINE, HEADERS_MAX, REQUEST_HEAD_MAX_BYTES};
use crate::lock::held;
use crate::telemetry::Metrics;
use seats::Seats;

/// The office's door; cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    router: Router,
    seats: Seats,
    metrics: Metrics,
    refusals: Refusals,
    /// No new requests.
    closing: CancellationToken,
    /// No connections at all.
    closed: CancellationToken,
    /// Connections from other computers, while those may come in.
    network: Mutex<Option<CancellationToken>>,
}

impl Door {
    /// A door to these routes, for callers on this computer only.
    #[must_use]
    pub fn new(router: Router, per_address_max: usize, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            router,
            seats: Seats::new(per_address_max, metrics.clone()),
            metrics,
            refusals: Refusals::default(),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
            network: Mutex::new(None),
        }))
    }

    /// Lets other computers in, or shuts them out and ends their connections.
    pub fn set_shared(&self, on: bool) {
        let mut network = held(&self.0.network);
        match (on, network.take()) {
            (true, open) => *network = Some(open.unwrap_or_else(|| self.0.closed.child_token())),
            (false, Some(open)) => open.cancel(),
            (false, None) => {}
        }
    }

    /// Accepts connections until `until` is cancelled; those that are open live on.
    pub async fn accept(&self, listener: TcpListener, until: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = until.cancelled() => return,
                () = self.0.closing.cancelled() => return,
            };
            match accepted {
                Ok((tcp, peer)) => {
                    let door = self.clone();
                    tokio::spawn(async move { door.connection(tcp, peer).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes no new connection and no new request; answers on their way are finished.
    pub fn close(&self) {
        self.0.closing.cancel();
    }

    /// Waits until every connection has ended by itself, but not longer than [`GOODBYE`].
    pub async fn emptied(&self) {
        if tokio::time::timeout(GOODBYE, self.0.seats.emptied()).await.is_err() {
            tracing::info!("some connections did not end by themselves");
        }
    }

    /// Ends every connection.
    pub fn end_all(&self) {
        self.0.closing.cancel();
        self.0.closed.cancel();
    }

    async fn connection(self, tcp: TcpStream, peer: SocketAddr) {
        let address = peer.ip().to_canonical();
        let local =
            address.is_loopback() || tcp.local_addr().is_ok_and(|ours| ours.ip().to_canonical() == address);
        let end = if local { Some(self.0.closed.child_token()) } else { self.network_end() };
        let Some(end) = end else {
            self.refused(address, "not_shared");
            return;
        };
        let Some(seat) = self.0.seats.take(address, local, end).await else {
            self.refused(address, "no_seat");
            return;
        };
        // Small frames leave at once; a failure to say so only makes them later.
        drop(tcp.set_nodelay(true));
        let caller = Caller::new(address, local, Some(seat.clone()));
        self.talk(DoorStream::new(tcp, seat.clone()), &seat, caller).await;
    }

    fn network_end(&self) -> Option<CancellationToken> {
        let network = held(&self.0.network);
        network.as_ref().map(CancellationToken::child_token)
    }

    async fn talk(&self, stream: DoorStream, seat: &Arc<Seat>, caller: Caller) {
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller.clone());
            let (router, seat) = (self.0.router.clone(), seat.clone());
            async move {
                if !seat.asked().await {
                    return Ok(failure(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "busy",
                        "Too many at once. Try again.",
                    ));
                }
                let response = router.oneshot(request.map(Body::new)).await;
                let response = response.unwrap_or_else(|never| match never {});
                if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    seat.answered();
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_DEADLINE)
            .max_headers(HEADERS_MAX)
            .max_header_size(REQUEST_HEAD_MAX_BYTES)
            .max_buf_size(REQUEST_HEAD_MAX_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.0.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(address = %caller.address, %error, "a connection ended early");
        }
    }

    fn refused(&self, address: std::net::IpAddr, reason: &'static str) {
        self.0.metrics.refuse(reason);
        if self.0.refusals.speaks(0) {
            tracing::info!(%address, reason, "a connection was refused");
        }
    }
}
