//! One folder per dialect, translation only: between a socket and a handle of the core. Faces do not know each other.

pub mod curia;
pub mod door;
mod line;
pub mod loomio;
pub mod own;
pub mod sio;
pub mod yjs;

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::auth::Grant;
use door::Seat;

/// Where back ends say something to the forum's people, on the bus: `{"room","event","payload"}`.
pub const FORUM_CHANNEL: &str = "curia/emit";

/// Where offices tell each other of the forum's people, on the bus.
pub const FORUM_PEOPLE_CHANNEL: &str = "curia/people";

/// Who is calling, as the door found out before any face saw the request; a request extension.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The real address of the other end.
    pub address: IpAddr,
    /// Whether the other end is on this very computer.
    pub local: bool,
    /// The grant behind the request's cookie or bearer header, if it brought a valid one.
    pub grant: Option<Grant>,
    seat: Option<Arc<Seat>>,
}

impl Caller {
    pub(crate) fn new(address: IpAddr, local: bool, seat: Option<Arc<Seat>>) -> Self {
        Self { address, local, grant: None, seat }
    }

    /// Tells the door that this connection's person is known now: it stops counting as a stranger's.
    pub fn authenticated(&self) {
        if let Some(seat) = &self.seat {
            seat.authenticated();
        }
    }

    /// Tells the door that somebody was let in on this connection who is nobody in particular: it stops counting as a
    /// stranger's, and gives way when there are too many.
    pub(crate) fn let_in(&self) {
        if let Some(seat) = &self.seat {
            seat.let_in();
        }
    }

    /// Tells the door to hold the answer to the handshake until whoever takes over this connection says something,
    /// which has to be at once: both go out together, one segment instead of two for every client that comes.
    pub(crate) fn hold_answer(&self) {
        if let Some(seat) = &self.seat {
            seat.hold_answer();
        }
    }
}

/// An error as every route answers it: `{"success":false,"error":{"code","message"}}`.
#[must_use]
pub fn failure(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "success": false, "error": { "code": code, "message": message } });
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
