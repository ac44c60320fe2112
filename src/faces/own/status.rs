//! What an operator sees.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::OwnFace;
use super::answer::{Anybody, Failure, rfc3339};
use crate::auth::Role;

/// Alive, ready, and how full: without anything that a stranger should not know.
pub(super) async fn health(State(face): State<OwnFace>) -> Response {
    let office = face.desk.office();
    let bus = face.bus.state().borrow().clone();
    Json(json!({
        "status": "ok",
        "version": office.version,
        "rooms": face.metrics.rooms.get(),
        "connections": face.metrics.connections.get(),
        "store": office.store,
        "bus": bus.kind,
        "bus_up": bus.up,
        "bus_since": rfc3339(bus.since_ms),
        "bus_waiting": face.bus.waiting(),
    }))
    .into_response()
}

/// The figures, for this computer or an administrator.
pub(super) async fn metrics(
    State(face): State<OwnFace>,
    Anybody(caller): Anybody,
) -> Result<Response, Failure> {
    let admin = caller.grant.as_ref().is_some_and(|grant| grant.holds() && grant.role() == Role::Admin);
    if !caller.local && !admin {
        return Err(Failure::new(StatusCode::FORBIDDEN, "not_allowed", "Figures are for administrators."));
    }
    if let Some(memory) = memory_stats::memory_stats() {
        face.metrics.memory_bytes.set(memory.physical_mem as i64);
    }
    let text = face.metrics.text().map_err(|error| Failure::fault(&error))?;
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, form)], text).into_response())
}
